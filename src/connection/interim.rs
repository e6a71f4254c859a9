//! Interim answers (RFC 9110, section 15.2), such as 103 (Early Hints), on their way to a client of HTTP/1.1. hyper's
//! server writes final answers only (and 100), so they pass beside it; to HTTP/2 they cannot be sent with it at all.

use std::io::Write as _;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::task::Context;

use futures_util::task::AtomicWaker;
use http::{HeaderMap, StatusCode};

/// Of one request. What an application says beyond them is not passed on.
const BYTES: usize = 16 * 1024;

/// Those of the request under way on one connection.
#[derive(Debug, Default)]
pub struct Interim {
    state: Mutex<State>,
    writer: AtomicWaker,
}

#[derive(Debug, Default)]
struct State {
    /// Requests so far.
    requests: u64,
    /// Whether the last of them may have interim answers: its final one has not begun.
    open: bool,
    said: usize,
    unsent: Vec<u8>,
}

impl Interim {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A request has come.
    pub fn begin(&self) {
        let mut state = self.state();
        state.requests += 1;
        (state.open, state.said) = (true, 0);
    }

    /// The number of the request that came last.
    pub fn request(&self) -> u64 {
        self.state().requests
    }

    /// The request's final answer begins.
    pub fn end(&self) {
        let mut state = self.state();
        state.open = false;
        state.unsent.clear();
    }

    /// Passes one on, for a request that has not got its final answer.
    pub fn say(&self, request: u64, status: StatusCode, headers: &HeaderMap) {
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
        if !state.open || state.requests != request || state.said + message.len() > BYTES {
            return;
        }
        state.said += message.len();
        state.unsent.append(&mut message);
        drop(state);
        self.writer.wake();
    }

    /// What waits to be written. If nothing does, the task is woken when something will.
    pub fn take(&self, context: &Context<'_>) -> Vec<u8> {
        self.writer.register(context.waker());
        std::mem::take(&mut self.state().unsent)
    }
}
