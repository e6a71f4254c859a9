//! State shared between the strict reader of an HTTP/1 connection and the service behind it.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};

use super::malformed::Malformed;

/// State shared between the strict reader and the service of one connection. Requests are numbered from 0, and served in
/// order.
#[derive(Debug, Default)]
pub(in crate::server) struct UpgradeGate(Mutex<State>);

#[derive(Debug, Default)]
struct State {
    /// What was wrong with the request that the stand-in stands for.
    fault: Option<Malformed>,
    upgrade: Upgrade,
}

/// What the bytes after a request to upgrade are.
#[derive(Debug, Default)]
enum Upgrade {
    /// Nobody has asked for one.
    #[default]
    None,
    /// The answer to this request will tell.
    Asked(u64, Option<Waker>),
    /// The answer was: a tunnel, or no upgrade, and so the next request.
    Answered { tunnel: bool },
}

impl UpgradeGate {
    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A request could not be read.
    pub(super) fn refused(&self, fault: Malformed) {
        self.state().fault = Some(fault);
    }

    /// What was wrong with the request that a stand-in stands for.
    pub(in crate::server) fn fault(&self) -> Option<Malformed> {
        self.state().fault.take()
    }

    /// This request asks for an upgrade: nothing behind it is read before it has its answer.
    pub(super) fn upgrade_asked(&self, request: u64) {
        self.state().upgrade = Upgrade::Asked(request, None);
    }

    /// A request has its answer.
    pub(in crate::server) fn answered(&self, request: u64, tunnel: bool) {
        let mut state = self.state();
        if let Upgrade::Asked(asked, waker) = &mut state.upgrade
            && *asked == request
        {
            let waker = waker.take();
            state.upgrade = Upgrade::Answered { tunnel };
            waker.inspect(Waker::wake_by_ref);
        }
    }

    /// Whether what follows the request to upgrade is a tunnel, once that is known.
    pub(super) fn poll_upgrade(&self, context: &Context<'_>) -> Poll<bool> {
        let mut state = self.state();
        match &mut state.upgrade {
            Upgrade::Answered { tunnel } => {
                let tunnel = *tunnel;
                state.upgrade = Upgrade::None;
                Poll::Ready(tunnel)
            }
            Upgrade::Asked(_, waker) => {
                *waker = Some(context.waker().clone());
                Poll::Pending
            }
            Upgrade::None => Poll::Pending,
        }
    }
}
