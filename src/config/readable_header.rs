//! Which header fields a rule or a bypass may read. Pure.

use http::HeaderName;
use http::header::{CONNECTION, HOST, PROXY_AUTHORIZATION, TE, UPGRADE};

use super::diagnostic::Fault;
use crate::policy::fields;

/// What a field is read for.
#[derive(Clone, Copy)]
pub(super) enum Purpose {
    /// A condition of a rule.
    Condition,
    /// A part of a rule's key.
    Key,
    /// The secret of a bypass.
    Secret,
}

/// Refuses a field that requests do not have any more when rules and bypasses read them: what depends on it would
/// silently never apply.
pub(super) fn readable(name: &HeaderName, purpose: Purpose) -> Result<(), Fault> {
    if *name == HOST {
        return Err(host(purpose));
    }
    if !fields::is_hidden(name) {
        return Ok(());
    }
    let message = format!("no rule sees the header {name}: tidegate removes it from every request first");
    let help = match purpose {
        Purpose::Condition => instead_of_condition(name),
        Purpose::Key if *name == PROXY_AUTHORIZATION => "expected header:Authorization".to_owned(),
        Purpose::Key => "expected a header that reaches the upstream, such as header:X-Api-Key".to_owned(),
        Purpose::Secret => OWN_HEADER.to_owned(),
    };
    Err(Fault::new(message, help))
}

const OWN_HEADER: &str = "expected a header of its own, such as X-Internal-Token";

fn host(purpose: Purpose) -> Fault {
    match purpose {
        Purpose::Condition => {
            Fault::new("the host has a condition of its own", "expected hosts: [api.example.com]")
        }
        Purpose::Key => Fault::new("the host has a key of its own", "expected host"),
        Purpose::Secret => Fault::new("the header host cannot hold a secret", OWN_HEADER),
    }
}

fn instead_of_condition(name: &HeaderName) -> String {
    match *name {
        UPGRADE | CONNECTION => return "expected websocket: true, for upgrades to WebSocket".to_owned(),
        PROXY_AUTHORIZATION => return "expected Authorization".to_owned(),
        TE => return "expected Content-Type: \"application/grpc*\", for gRPC calls".to_owned(),
        _ => {}
    }
    // An odd spelling is hidden where the plain one may not be.
    match HeaderName::from_bytes(fields::folded(name.as_str()).as_bytes()) {
        Ok(plain) if !fields::is_hidden(&plain) => format!("expected {plain}"),
        _ => "expected a header that reaches the upstream".to_owned(),
    }
}
