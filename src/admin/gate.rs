//! What a request must pass before a route gets it: a readable head, its host and origin, a token, and a rate.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use arc_swap::ArcSwap;
use http::{HeaderValue, Request, StatusCode, header};

use super::access::{Author, Denied, check_origin, check_token};
use super::problem::Problem;
use super::rate::{Rate, RateBound};
use crate::clock::Clock;
use crate::connection::Unreadable;
use crate::settings::{AdminSettings, Role};

/// Of one token: a page that shows the state, and a script beside it.
const REQUESTS: Rate = Rate { per_second: 50, burst: 100 };
/// Of all requests together whose token is missing or wrong.
const FAILED_LOGINS: Rate = Rate { per_second: 2, burst: 20 };
/// The author of a request where none needs a token.
const ANYONE: &str = "anonymous";

/// Decides which requests a route gets.
pub(super) struct Gate {
    settings: Arc<ArcSwap<AdminSettings>>,
    requests: RateBound,
    failed_logins: RateBound,
    /// Failed logins without a line in the log.
    unlogged: AtomicU64,
}

impl Gate {
    pub(super) fn new(settings: Arc<ArcSwap<AdminSettings>>) -> Self {
        Self {
            settings,
            requests: RateBound::new(REQUESTS, Clock::Real),
            failed_logins: RateBound::new(FAILED_LOGINS, Clock::Real),
            unlogged: AtomicU64::new(0),
        }
    }

    /// Returns the author of a request, or why a route must not get it.
    pub(super) fn admit<B>(&self, request: &Request<B>, peer: SocketAddr) -> Result<Author, Problem> {
        if let Some(Unreadable { status, reason }) = request.extensions().get() {
            return Err(Problem::new(*status, reason.clone()));
        }
        let settings = self.settings.load();
        let checked = check_origin(request.uri(), request.headers(), &settings.hosts)
            .and_then(|()| check_token(request.headers(), &settings));
        let token = checked.map_err(|denied| self.refuse(denied, peer))?;
        let (name, role) = token.map_or((ANYONE, Role::Write), |token| (&token.name, token.role));
        // After the login: requests that fail it must not take from those of an operator.
        if !self.requests.take(name) {
            return Err(too_many(format!("more than {} requests a second", REQUESTS.per_second)));
        }
        Ok(Author { name: name.to_owned(), role, peer })
    }

    fn refuse(&self, denied: Denied, peer: SocketAddr) -> Problem {
        let (detail, help) = match denied {
            Denied::Host => {
                let help = "use an IP address or localhost, or add the name to admin.hosts";
                let detail = "the host of the request is not one that the admin API is known by";
                return Problem::new(StatusCode::MISDIRECTED_REQUEST, detail).help(help);
            }
            Denied::Origin => {
                return Problem::new(StatusCode::FORBIDDEN, "a web page from elsewhere sent the request");
            }
            Denied::NoToken => ("the request has no bearer token", "send it in Authorization: Bearer TOKEN"),
            Denied::WrongToken => (
                "the token is not one of admin.tokens",
                "check the content of the token's file on both sides",
            ),
        };
        if !self.failed_logins.take("") {
            self.unlogged.fetch_add(1, Ordering::Relaxed);
            return too_many("too many requests without a valid token".to_owned());
        }
        let unlogged = self.unlogged.swap(0, Ordering::Relaxed);
        tracing::warn!(%peer, reason = detail, unlogged, "login to the admin API failed");
        let challenge = match denied {
            Denied::WrongToken => "Bearer realm=\"tidegate\", error=\"invalid_token\"",
            _ => "Bearer realm=\"tidegate\"",
        };
        Problem::new(StatusCode::UNAUTHORIZED, detail)
            .help(help)
            .header(header::WWW_AUTHENTICATE, HeaderValue::from_static(challenge))
    }
}

fn too_many(detail: String) -> Problem {
    Problem::new(StatusCode::TOO_MANY_REQUESTS, detail)
        .help("wait a second")
        .header(header::RETRY_AFTER, HeaderValue::from_static("1"))
}
