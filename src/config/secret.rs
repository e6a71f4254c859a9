//! Secrets: where they are, and what makes one unfit. Pure: who calls reads them.

use std::path::PathBuf;

use super::problem::{Wrong, shown};

/// Where a secret is.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum SecretSource {
    /// A file, as the configuration names it.
    File(PathBuf),
    /// An environment variable.
    Env(String),
}

/// Reads a secret's bytes. `None`: the variable is not set. An error says why a file cannot be read.
pub type Secrets<'a> = dyn Fn(&SecretSource) -> Result<Option<Vec<u8>>, String> + 'a;

/// The secret without the line break that editors leave at the end. None: the variable is not set, or empty.
pub(super) fn read(source: &SecretSource, secrets: &Secrets<'_>) -> Result<Option<Vec<u8>>, Wrong> {
    let (what, name) = match source {
        SecretSource::File(path) => ("the secret file", shown(&path.to_string_lossy())),
        SecretSource::Env(variable) => ("the environment variable", shown(variable)),
    };
    let read = secrets(source).map_err(|why| {
        let message = format!("{what} '{name}' cannot be read: {why}");
        Wrong::new(message, "name a file that holds the secret and that tidegate may read")
    })?;
    let Some(mut bytes) = read else { return Ok(None) };
    if bytes.last() == Some(&b'\n') {
        bytes.pop();
    }
    if bytes.last() == Some(&b'\r') {
        bytes.pop();
    }
    match source {
        SecretSource::File(_) if bytes.is_empty() => {
            Err(Wrong::new(format!("{what} '{name}' is empty"), "put the secret there"))
        }
        _ => Ok(Some(bytes).filter(|bytes| !bytes.is_empty())),
    }
}
