//! The Lua scripts that decide and count inside Redis.

use std::sync::LazyLock;

use bb8_redis::redis::{self, Cmd, Script};

use super::resp::{self, Command};

const TAKE_CODE: &str = include_str!("scripts/take.lua");
const GIVE_BACK_CODE: &str =
    concat!(include_str!("scripts/counter_prelude.lua"), include_str!("scripts/give_back.lua"));
const SETTLE_CODE: &str =
    concat!(include_str!("scripts/counter_prelude.lua"), include_str!("scripts/settle.lua"));
const HEARTBEAT_CODE: &str = include_str!("scripts/heartbeat.lua");
const READ_CODE: &str = include_str!("scripts/read.lua");
const DELETE_CODE: &str = include_str!("scripts/delete.lua");
const DOCUMENT_CODE: &str = include_str!("scripts/document.lua");
const INTRODUCE_CODE: &str = include_str!("scripts/introduce.lua");

/// The words of a command that name a script, encoded.
pub(super) type Name = LazyLock<Vec<u8>>;

/// Decides about charges, and counts them.
pub(super) static TAKE: Name = LazyLock::new(|| name(TAKE_CODE));
/// Takes a charge back.
pub(super) static GIVE_BACK: Name = LazyLock::new(|| name(GIVE_BACK_CODE));
/// Adds to a counter what it lacks after an outage.
pub(super) static SETTLE: Name = LazyLock::new(|| name(SETTLE_CODE));
/// Records that an instance is alive.
pub(super) static HEARTBEAT: Name = LazyLock::new(|| name(HEARTBEAT_CODE));
/// Returns counters.
pub(super) static READ: Name = LazyLock::new(|| name(READ_CODE));
/// Deletes counters.
pub(super) static DELETE: Name = LazyLock::new(|| name(DELETE_CODE));
/// Returns or replaces the shared document.
pub(super) static DOCUMENT: Name = LazyLock::new(|| name(DOCUMENT_CODE));
/// Records what an instance reports of itself.
pub(super) static INTRODUCE: Name = LazyLock::new(|| name(INTRODUCE_CODE));

fn name(code: &str) -> Vec<u8> {
    resp::words(&[b"EVALSHA", Script::new(code).get_hash().as_bytes()])
}

/// Returns the commands that load the scripts.
pub(crate) fn load_commands() -> [Cmd; 8] {
    [
        TAKE_CODE,
        GIVE_BACK_CODE,
        SETTLE_CODE,
        HEARTBEAT_CODE,
        READ_CODE,
        DELETE_CODE,
        DOCUMENT_CODE,
        INTRODUCE_CODE,
    ]
    .map(|code| redis::cmd("SCRIPT").arg("LOAD").arg(code).take())
}

/// Begins the command that calls a script with this number of keys and then of arguments.
pub(super) fn evalsha(script: &[u8], keys: usize, arguments: usize) -> Command {
    // One allocation, sized for the usual key and charge.
    let mut command = Command::new(3 + keys + arguments, script, 96 + 160 * keys);
    command.number(i64::try_from(keys).unwrap_or(i64::MAX));
    command
}
