//! Secrets: where they are, and which are faulty. Pure: the caller reads the files.

use std::path::PathBuf;

use super::diagnostic::{Fault, shown};

/// Where a secret is.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum SecretSource {
    /// A file, as the configuration names it.
    File(PathBuf),
    /// A file of certificates, or of the key of one, in PEM: it may be larger.
    Pem(PathBuf),
    /// A file with the keys of a tier, one a line: it may be larger still.
    Keys(PathBuf),
    /// An environment variable.
    Env(String),
}

/// The help for a key that names a file with a secret.
pub(super) const FILE_HELP: &str = "expected the name of a file that holds the secret";

/// Reads a secret's bytes. `None`: the variable is not set, or the file is absent and may be. An error is why a file cannot be read.
pub type Secrets<'a> = dyn Fn(&SecretSource) -> Result<Option<Vec<u8>>, String> + 'a;

/// The secret without the line break that editors leave at the end. None: the variable is not set, or empty.
pub(super) fn read(source: &SecretSource, secrets: &Secrets<'_>) -> Result<Option<Vec<u8>>, Fault> {
    let (what, name, readable, filled) = match source {
        SecretSource::File(path) | SecretSource::Keys(path) => (
            "the secret file",
            path.to_string_lossy(),
            "name a file that holds the secret and that tidegate may read",
            "put the secret there",
        ),
        SecretSource::Pem(path) => (
            "the file",
            path.to_string_lossy(),
            "name a file in PEM that tidegate may read",
            "put the certificate or the key there, in PEM",
        ),
        SecretSource::Env(variable) => {
            ("the environment variable", variable.as_str().into(), "set it to the secret", "")
        }
    };
    let name = shown(&name);
    let read = secrets(source)
        .map_err(|why| Fault::new(format!("{what} '{name}' cannot be read: {why}"), readable))?;
    let Some(mut bytes) = read else { return Ok(None) };
    if bytes.last() == Some(&b'\n') {
        bytes.pop();
    }
    if bytes.last() == Some(&b'\r') {
        bytes.pop();
    }
    match source {
        _ if !bytes.is_empty() => Ok(Some(bytes)),
        SecretSource::Env(_) => Ok(None),
        _ => Err(Fault::new(format!("{what} '{name}' is empty"), filled)),
    }
}
