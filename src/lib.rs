//! tidegate: a reverse-proxy sidecar that limits the rate of HTTP requests.

pub mod clock;
pub mod config;
pub mod limiter;
pub mod metrics;
pub mod policy;
pub mod store;
pub mod window;
