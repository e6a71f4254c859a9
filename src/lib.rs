//! tidegate is a reverse proxy that limits the rate of requests. It checks each request against sliding-window counters
//! that all instances share, and forwards it to the upstream or responds with 429.
//!
//! # Where to start
//!
//! [`window`] is the arithmetic, and uses no other module. `proxy::Proxy::handle` is the life of a request.
//! [`app`] puts the parts together. `ARCHITECTURE.md` says why the parts are what they are.
//!
//! ```text
//! main -> cli, ctl
//!      -> app -> server -> connection, permits, policy, tls
//!                  -> proxy  -> limiter  -> store    -> window
//!                                        -> policy   -> window
//!                            -> policy
//!                            -> upstream -> settings, tls
//!                            -> connection, permits
//!                  -> ops    -> connection
//!                  -> admin  -> connection, limiter, policy, settings
//!                  -> config -> settings, policy, tls
//! ```
//!
//! The store is constructed from [`settings`] too. The picture leaves out the smallest modules: `tests/tidy.rs` has the
//! whole list, and checks it.
//!
//! # Invariants
//!
//! - The proxy does not know that Redis exists; the stores do not know that HTTP exists.
//! - [`window`], [`policy`] and [`tls`] are pure: no I/O, no clock, no runtime. [`clock`] is the only reader of time.
//! - From the end of its head on, a request sees one [`policy::Policy`], loaded once.
//! - Nothing a peer, a file or Redis says makes the process panic; every table and every wait is bounded.
//! - No client, path or user is in a metric's label. What may be a secret is hashed before it leaves the process.
//! - No fault of the limiter turns into a 500 or a stall.
//!
//! # Glossary
//!
//! - **rule**: which requests, whose counter, which limits, and what to do when there is no room.
//! - **limit**: `quota` units per `window`, with a `burst` allowance above it for clients that had paused.
//! - **counter**: what one client has used of one limit.
//! - **check**: one rule that applies to one request. The store decides about all checks of a request at once, within the
//!   `timeout` of a check.
//! - **charge**: the units that a request costs one counter; a *keyed charge* names the counter too. The store makes a
//!   **decision** about each charge.
//! - **call**: one execution of a script in Redis, on behalf of a request or of upkeep; Redis sends a **reply**.
//! - **part**: the share of a limit by which one instance decides while the store cannot.
//! - **settlement**: what a counter in Redis lacks after an outage, and is added to it. Until then, what this instance
//!   admitted is **unsettled**.
//! - **generation**: changes whenever a Redis server may have lost counters.
//! - **store time** and **local time**: the time on the store's clock and on the limiter's timeline, each with its own type.
//! - **node**: one Redis server as the store uses it, with a queue, a pool of connections and a **breaker**, which is open
//!   while the server is not used. Only **probes**, calls beside all requests, open and close it.
//! - **settings**: everything in the configuration that is not a rule; the parts of the process are constructed from them.
//! - **permit**: what a client holds while a request, a tunnel or a connection of its own is under way. Their number is
//!   bounded, for each client and for some kinds also in total. Dropping a permit gives it back.
//! - **strict reader**: reads HTTP/1 before hyper does. In the place of a request that it refuses, hyper gets a
//!   **stand-in**, to which the proxy responds.
//! - **shadow**: a rule on trial. It counts and reports, and refuses nothing.
//! - **outage policy**: what a rule does when its store makes no decision in time.

// A future is copied wherever it is moved. (Not for tests: they move those of a large client.)
#![warn(clippy::large_futures)]

// Public is what the binary, the tests, the benchmarks and the examples name. The rest is private, so that the compiler
// reports what is not used.
mod address;
mod admin;
pub mod app;
pub mod bounds;
pub mod cli;
pub mod clock;
pub mod config;
mod connection;
pub mod ctl;
mod demo;
mod grpc;
mod h2_error;
mod header_field;
pub mod limiter;
mod logging;
mod metrics;
mod ops;
pub mod overrides;
mod permits;
pub mod policy;
mod proxy;
mod redacted;
mod server;
pub mod settings;
mod spelling;
pub mod store;
mod table;
mod timer;
pub mod tls;
mod trailers;
mod upstream;
mod version;
pub mod window;
