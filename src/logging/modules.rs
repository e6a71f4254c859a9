//! The modules of tidegate that log, as targets of `--log`. Pure.

/// All of them, and the modules around them: a filter for any other would have no effect. `tests/tidy.rs` compares the list
/// with the code.
pub(super) const MODULES: [&str; 26] = [
    "tidegate::admin",
    "tidegate::admin::gate",
    "tidegate::admin::reload",
    "tidegate::app",
    "tidegate::app::admin_listener",
    "tidegate::app::cgroup",
    "tidegate::app::reload",
    "tidegate::app::signals",
    "tidegate::limiter",
    "tidegate::limiter::outage",
    "tidegate::limiter::outage::settler",
    "tidegate::overrides",
    "tidegate::overrides::journal",
    "tidegate::proxy",
    "tidegate::proxy::forward",
    "tidegate::proxy::untrusted_forwarders",
    "tidegate::proxy::wrong_secrets",
    "tidegate::server",
    "tidegate::server::handshake",
    "tidegate::server::http_connection",
    "tidegate::store",
    "tidegate::store::redis",
    "tidegate::store::redis::server",
    "tidegate::store::redis::server::health",
    "tidegate::upstream",
    "tidegate::upstream::pool",
];
