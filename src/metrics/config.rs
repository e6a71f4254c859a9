//! The configuration in force: its reloads, its hash, and the certificates that it names.

use metrics::{counter, gauge};

use super::table::{CERTIFICATE_EXPIRY, CONFIG_HASH, RELOAD_SUCCESSFUL, RELOADED_AT, RELOADS};

pub(super) fn announce() {
    for result in ["ok", "error"] {
        counter!(RELOADS, "result" => result).increment(0);
    }
}

/// Counts a reload, the first configuration included. One that succeeded gives its Unix time in seconds.
pub(crate) fn reloaded(result: Result<f64, ()>) {
    gauge!(RELOAD_SUCCESSFUL).set(if result.is_ok() { 1.0 } else { 0.0 });
    if let Ok(at) = result {
        gauge!(RELOADED_AT).set(at);
    }
    // Last: a scrape that shows the count shows the gauges too.
    counter!(RELOADS, "result" => if result.is_ok() { "ok" } else { "error" }).increment(1);
}

/// Shows the hash of the configuration in force: its first 48 bits, as a float holds 53 exactly.
pub(crate) fn config_hash(hash: &[u8; 32]) {
    let bits = hash.iter().take(6).fold(0.0, |number, &byte| number * 256.0 + f64::from(byte));
    gauge!(CONFIG_HASH).set(bits);
}

/// Shows when the first of the certificates under a key of the configuration expires, in seconds of Unix time.
#[expect(clippy::cast_precision_loss, reason = "a gauge is a float; exact up to 2^53")]
pub(crate) fn certificate_expires(key: &str, at_unix_seconds: u64) {
    gauge!(CERTIFICATE_EXPIRY, "key" => key.to_owned()).set(at_unix_seconds as f64);
}
