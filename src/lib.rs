//! tidegate: a reverse-proxy sidecar that limits the rate of HTTP requests.

pub mod clock;
pub mod config;
pub mod policy;
pub mod window;
