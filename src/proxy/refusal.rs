//! Why tidegate refuses a request, how it counts the refusal, and how it responds.

use http::{Method, Request, Response};
use hyper::body::Incoming;

use super::overload::Overload;
use super::response::{self, Body};
use super::target::RequestError;
use crate::connection::Unreadable;
use crate::limiter::{Limited, Standing};
use crate::metrics::{Bound, Outcome};
use crate::policy::{Policy, Rule};

/// Why a request is refused.
#[derive(Debug)]
pub(super) enum Refusal<'p> {
    /// The server could not read the request.
    Unreadable(Unreadable),
    /// The request can be read in more than one way, or asks for what tidegate does not forward.
    Invalid(RequestError),
    /// The key of `rule` needs a part that the request lacks.
    MissingKey { rule: &'p Rule, missing: String },
    /// The request has too many different values for this part of the key of `rule`.
    TooManyValues { rule: &'p Rule, part: String },
    /// The request repeats fields that rules match, and the different values put it under too many rules; the first
    /// is `rule`.
    TooManyReadings { rule: &'p Rule },
    /// An operator has blocked the client for `rule`.
    Blocked { rule: &'p Rule },
    /// A limit had no room for the request.
    Limited(Limited<'p>),
    /// Too much is under way. `rule` is the name of the rule or bypass of the request.
    Overloaded { rule: &'p str, overload: Overload },
    /// The store gave no decision in time, and `rule` has `on_outage: closed`.
    Unavailable { rule: &'p Rule },
}

impl From<RequestError> for Refusal<'_> {
    fn from(error: RequestError) -> Self {
        Self::Invalid(error)
    }
}

impl<'p> Refusal<'p> {
    /// Returns the name of the rule or bypass that the refusal is counted under; empty if there is none.
    pub(super) fn rule(&self) -> &'p str {
        match self {
            Self::Unreadable(_) | Self::Invalid(_) => "",
            Self::MissingKey { rule, .. }
            | Self::TooManyValues { rule, .. }
            | Self::TooManyReadings { rule }
            | Self::Blocked { rule }
            | Self::Unavailable { rule } => &rule.name,
            Self::Limited(limited) => &limited.rule.name,
            Self::Overloaded { rule, .. } => rule,
        }
    }

    /// Returns the outcome that the refusal is counted under.
    pub(super) fn outcome(&self) -> Outcome {
        match self {
            Self::Unreadable(_)
            | Self::Invalid(_)
            | Self::MissingKey { .. }
            | Self::TooManyValues { .. }
            | Self::TooManyReadings { .. } => Outcome::Rejected,
            Self::Blocked { .. } => Outcome::Blocked,
            Self::Limited(_) => Outcome::Limited,
            Self::Overloaded { .. } => Outcome::Overloaded,
            Self::Unavailable { .. } => Outcome::StoreFailedClosed,
        }
    }

    /// Returns the bound that the request reached, if it was refused for one. The server has counted the bounds of
    /// requests that it could not read.
    pub(super) fn bound(&self) -> Option<Bound> {
        match self {
            Self::Invalid(error) => error.bound(),
            Self::Overloaded { overload, .. } => Some(overload.bound()),
            Self::Unreadable(_)
            | Self::MissingKey { .. }
            | Self::TooManyValues { .. }
            | Self::TooManyReadings { .. }
            | Self::Blocked { .. }
            | Self::Limited(_)
            | Self::Unavailable { .. } => None,
        }
    }

    /// Returns why the request is refused, for the access log: the bound that it reached, or what is wrong with it. None: a
    /// limit says it all.
    pub(super) fn reason(&self) -> Option<String> {
        match self {
            Self::Unreadable(unreadable) => Some(unreadable.reason.clone()),
            Self::Invalid(error) => {
                Some(error.bound().map_or_else(|| error.to_string(), |bound| bound.label().to_owned()))
            }
            Self::MissingKey { missing, .. } => Some(format!("missing {missing}")),
            Self::TooManyValues { part, .. } => Some(format!("too many values of {part}")),
            Self::TooManyReadings { .. } => Some("too many readings".to_owned()),
            Self::Overloaded { overload, .. } => Some(overload.bound().label().to_owned()),
            Self::Blocked { .. } | Self::Limited(_) | Self::Unavailable { .. } => None,
        }
    }

    /// Returns how the client stands with the limit that refused.
    pub(super) fn standing(&self) -> Option<&Standing<'p>> {
        match self {
            Self::Limited(limited) => Some(&limited.standing),
            _ => None,
        }
    }

    /// Responds to the refused request, and reads what is left of it if that is little.
    pub(super) fn into_response(self, request: Request<Incoming>, policy: &Policy) -> Response<Body> {
        let mut response = match &self {
            // Its connection ends: the rest cannot be read either.
            Self::Unreadable(unreadable) => return response::unreadable(unreadable),
            Self::Invalid(error) => response::invalid(error),
            Self::MissingKey { missing, .. } => response::missing_key(missing),
            Self::TooManyValues { part, .. } => response::too_many_values(part),
            Self::TooManyReadings { .. } => response::too_many_readings(),
            Self::Blocked { .. } => response::blocked(request.headers()),
            Self::Limited(limited) => {
                response::limited(request.headers(), limited, policy.x_ratelimit_headers())
            }
            Self::Overloaded { overload, .. } => response::overloaded(request.headers(), *overload),
            Self::Unavailable { .. } => response::reduced_capacity(request.headers()),
        };
        if request.method() == Method::HEAD {
            response::remove_body(&mut response);
        }
        response::drain(request);
        response
    }
}
