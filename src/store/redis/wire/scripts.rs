//! The Lua scripts that decide and count inside Redis.

use std::sync::LazyLock;

use bb8_redis::redis::{self, Cmd, Script};

use super::resp::Command;

const TAKE_CODE: &str = include_str!("scripts/take.lua");
const GIVE_BACK_CODE: &str =
    concat!(include_str!("scripts/counter_prelude.lua"), include_str!("scripts/give_back.lua"));
const SETTLE_CODE: &str =
    concat!(include_str!("scripts/counter_prelude.lua"), include_str!("scripts/settle.lua"));
const HEARTBEAT_CODE: &str = include_str!("scripts/heartbeat.lua");

/// Decides about charges, and counts them.
pub(super) static TAKE: LazyLock<Script> = LazyLock::new(|| Script::new(TAKE_CODE));
/// Takes a charge back.
pub(super) static GIVE_BACK: LazyLock<Script> = LazyLock::new(|| Script::new(GIVE_BACK_CODE));
/// Adds to a counter what it lacks after an outage.
pub(super) static SETTLE: LazyLock<Script> = LazyLock::new(|| Script::new(SETTLE_CODE));
/// Records that an instance is alive.
pub(super) static HEARTBEAT: LazyLock<Script> = LazyLock::new(|| Script::new(HEARTBEAT_CODE));

/// Returns the commands that load the scripts.
pub(crate) fn load_commands() -> [Cmd; 4] {
    [TAKE_CODE, GIVE_BACK_CODE, SETTLE_CODE, HEARTBEAT_CODE]
        .map(|code| redis::cmd("SCRIPT").arg("LOAD").arg(code).take())
}

/// Begins the command that calls a script with this number of keys and then of arguments.
pub(super) fn evalsha(script: &Script, keys: usize, arguments: usize) -> Command {
    // One allocation, sized for the usual key and charge.
    let mut command = Command::new(3 + keys + arguments, 96 + 160 * keys);
    command.word(&[b"EVALSHA"]).word(&[script.get_hash().as_bytes()]);
    command.number(i64::try_from(keys).unwrap_or(i64::MAX));
    command
}
