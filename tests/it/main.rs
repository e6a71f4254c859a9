//! The integration tests: real processes, real sockets, real Redis.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::missing_panics_doc,
    unreachable_pub,
    reason = "a test that cannot go on ends there, and says where"
)]

mod accuracy;
mod admin;
mod arithmetic;
mod authority;
mod bounds;
mod cli;
mod config;
mod ctl;
mod drain;
mod first_match;
mod golden;
mod harness;
mod identity;
mod lenient;
mod limiting;
mod names;
mod ops;
mod outage;
mod overrides;
mod parts;
mod path;
mod proxy_protocol;
mod proxying;
mod recipes;
mod redis;
mod redis_server;
mod reload;
mod renewal;
mod share;
mod socket;
mod store_conformance;
mod tls;
mod traffic;
mod tunnels;
mod upgrade;
