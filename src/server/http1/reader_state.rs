//! State shared between the strict reader of an HTTP/1 connection and the service behind it.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};

use super::malformed::Malformed;

/// What the strict reader reports to the service, and waits for from it. Requests are numbered from 0, and served in
/// order.
#[derive(Debug, Default)]
pub(in crate::server) struct ReaderState {
    state: Mutex<State>,
    /// Whether the last request has been handed on to its end, and nothing of the next one is there.
    between_requests: AtomicBool,
}

#[derive(Debug, Default)]
struct State {
    /// What is wrong with the request in whose place the service gets a stand-in.
    fault: Option<Malformed>,
    upgrade: Upgrade,
}

/// The state of an upgrade, which decides what the bytes after its request are.
#[derive(Debug, Default)]
enum Upgrade {
    /// No request for an upgrade is under way.
    #[default]
    None,
    /// The response to this request decides.
    Requested(u64, Option<Waker>),
    /// The response has decided: a tunnel follows, or the next request.
    Decided { tunnel: bool },
}

impl ReaderState {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Notes whether the reader is between two requests.
    pub(super) fn set_between_requests(&self, between: bool) {
        self.between_requests.store(between, Ordering::Relaxed);
    }

    /// Returns whether the reader is between two requests.
    pub(in crate::server) fn is_between_requests(&self) -> bool {
        self.between_requests.load(Ordering::Relaxed)
    }

    /// Notes that a request is not valid, and that the service gets a stand-in for it.
    pub(super) fn set_fault(&self, fault: Malformed) {
        self.state().fault = Some(fault);
    }

    /// Takes what is wrong with the request that a stand-in stands for.
    pub(in crate::server) fn take_fault(&self) -> Option<Malformed> {
        self.state().fault.take()
    }

    /// Notes that this request is one for an upgrade. The bytes after it are not handed on until it has its response.
    pub(super) fn request_upgrade(&self, request: u64) {
        self.state().upgrade = Upgrade::Requested(request, None);
    }

    /// Notes that the response to this request begins, and whether it opens a tunnel.
    pub(in crate::server) fn begin_response(&self, request: u64, tunnel: bool) {
        let mut state = self.state();
        if let Upgrade::Requested(requested, waker) = &mut state.upgrade
            && *requested == request
        {
            let waker = waker.take();
            state.upgrade = Upgrade::Decided { tunnel };
            waker.inspect(Waker::wake_by_ref);
        }
    }

    /// Waits for the response to the request for an upgrade, and returns whether it opens a tunnel.
    pub(super) fn poll_upgrade(&self, context: &Context<'_>) -> Poll<bool> {
        let mut state = self.state();
        match &mut state.upgrade {
            Upgrade::Decided { tunnel } => {
                let tunnel = *tunnel;
                state.upgrade = Upgrade::None;
                Poll::Ready(tunnel)
            }
            Upgrade::Requested(_, waker) => {
                *waker = Some(context.waker().clone());
                Poll::Pending
            }
            Upgrade::None => Poll::Pending,
        }
    }
}
