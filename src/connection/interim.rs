//! Interim responses (RFC 9110, section 15.2), such as 103 (Early Hints), on their way to a client over HTTP/1.1.
//! hyper's server writes only final responses (and 100), so interim ones bypass it. Over HTTP/2 that is impossible.

use std::io::Write as _;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::task::Context;

use futures_util::task::AtomicWaker;
use http::{HeaderMap, StatusCode};

/// The maximum size of all interim responses to one request. Those beyond it are not passed on.
const MAX_BYTES: usize = 16 * 1024;

/// The interim responses to the current request of one connection, until they are written.
#[derive(Debug, Default)]
pub(crate) struct InterimResponses {
    state: Mutex<State>,
    /// Whether the last request may have interim responses: its final response has not begun. It changes only while the
    /// state is locked.
    open: AtomicBool,
    writer: AtomicWaker,
}

#[derive(Debug, Default)]
struct State {
    /// The number of requests so far.
    requests: u64,
    /// The bytes of all interim responses to the last request.
    bytes: usize,
    /// The bytes that are not written yet.
    unsent: Vec<u8>,
}

impl InterimResponses {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Notes that a request begins.
    pub(crate) fn begin_request(&self) {
        let mut state = self.state();
        state.requests += 1;
        state.bytes = 0;
        self.open.store(true, Ordering::Relaxed);
    }

    /// Returns the number of the last request.
    pub(crate) fn request(&self) -> u64 {
        self.state().requests
    }

    /// Notes that the final response begins. Interim responses that are not written yet are dropped.
    pub(crate) fn begin_final_response(&self) {
        let mut state = self.state();
        self.open.store(false, Ordering::Relaxed);
        state.unsent.clear();
    }

    /// Queues an interim response, unless the final response to `request` has begun.
    pub(crate) fn push(&self, request: u64, status: StatusCode, headers: &HeaderMap) {
        let mut message = Vec::with_capacity(256);
        let reason = status.canonical_reason().unwrap_or_default();
        // Writing to memory does not fail.
        let _ = write!(message, "HTTP/1.1 {} {reason}\r\n", status.as_str());
        for (name, value) in headers {
            message.extend_from_slice(name.as_str().as_bytes());
            message.extend_from_slice(b": ");
            message.extend_from_slice(value.as_bytes());
            message.extend_from_slice(b"\r\n");
        }
        message.extend_from_slice(b"\r\n");
        let mut state = self.state();
        if !self.open.load(Ordering::Relaxed)
            || state.requests != request
            || state.bytes + message.len() > MAX_BYTES
        {
            return;
        }
        state.bytes += message.len();
        state.unsent.append(&mut message);
        drop(state);
        self.writer.wake();
    }

    /// Takes the bytes to write. The task is woken when there are more for the same request.
    pub(crate) fn take_unsent(&self, context: &Context<'_>) -> Vec<u8> {
        // Nothing comes until the next request begins. Then this is called again.
        if !self.open.load(Ordering::Relaxed) {
            return Vec::new();
        }
        self.writer.register(context.waker());
        std::mem::take(&mut self.state().unsent)
    }
}
