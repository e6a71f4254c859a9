//! The call of tidegate's script `take.lua`, made by programs outside the crate. `tests/it/redis_server/bench.rs` checks it against a
//! real Redis, as the crate itself does not use it.

use bb8_redis::redis::{Cmd, Script};

/// The script of tidegate.
pub(crate) fn script() -> Script {
    Script::new(include_str!("../../src/store/redis/wire/scripts/take.lua"))
}

/// Returns the call that charges one unit of `rate` a minute to a counter. `script` is its hash.
pub(crate) fn call(script: &str, counter: &[u8], rate: u64) -> Cmd {
    const MINUTE_MS: u64 = 60_000;
    // quota, burst, window, slices, cost and group, then the time to live.
    let mut charge = Vec::with_capacity(28);
    for (number, width) in [(rate, 4), (0, 4), (MINUTE_MS, 5), (7, 1), (1, 5), (0, 4)] {
        charge.extend(number.to_le_bytes().into_iter().take(width));
    }
    charge.extend(MINUTE_MS.to_string().bytes());
    // The last argument is the deadline. This one never passes.
    let no_deadline = 1_u64 << 52;
    Cmd::new().arg("EVALSHA").arg(script).arg(1).arg(counter).arg(charge).arg(no_deadline).take()
}
