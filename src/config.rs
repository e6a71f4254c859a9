//! Configuration: one YAML file, flags over it, secrets beside it.
//!
//! The text becomes a tree of values (`yaml`). One reader for each section (`file` and the modules that it calls) reads its
//! keys straight into the settings of a part, or into the [`Policy`]. A reader reports a fault with its location and goes
//! on, so that one attempt shows every fault. Only [`load`] does I/O.

mod access_log;
mod admin;
mod bounds;
mod bypass;
mod certificates;
mod chosen_keys;
mod client;
mod diagnostic;
mod file;
mod key_table;
mod limit_flag;
mod listen;
mod name;
mod network;
mod path;
mod policy;
mod rate;
mod readable_header;
mod redis;
mod report;
mod rules;
mod schema;
mod secret;
mod section;
mod size;
mod sources;
mod store;
mod tiers;
mod tls;
mod upstream;
mod value;
mod yaml;

use std::io::ErrorKind;
use std::net::SocketAddr;
use std::path::Path;
use std::rc::Rc;
use std::time::Duration;

use crate::policy::Policy;
use crate::settings::{AdminListen, Listen, Settings};
pub use certificates::{Certificates, warnings as certificate_warnings};
pub(crate) use diagnostic::Fault;
pub use diagnostic::{Diagnostic, Severity};
pub use file::OPS_LISTEN;
pub use key_table::{Key, Kind};
pub use listen::{admin_listen_flag, ops_listen_flag, tcp_listen_flag};
pub(crate) use rate::{Rate, duration as read_duration, rate as read_rate};
use report::{Located, Location, Report, Spanned};
pub use secret::{SecretSource, Secrets};
pub use sources::Sources;
use value::Value;

/// A configuration without errors.
#[derive(Debug)]
pub struct Config {
    /// Everything that is not a rule.
    pub settings: Settings,
    /// The rules.
    pub policy: Policy,
    /// What is valid, but probably not what the operator wants.
    pub warnings: Vec<Diagnostic>,
    /// Each file of certificates that it names.
    pub certificates: Vec<Certificates>,
    /// A hash of the file's text and of the limits on the command line: instances that are to be alike have the same.
    pub hash: blake3::Hash,
}

impl Config {
    /// Returns all warnings, those about certificates at this time since 1970 included.
    #[must_use]
    pub fn warnings_at(&self, now: Duration) -> Vec<Diagnostic> {
        self.warnings.iter().cloned().chain(certificates::warnings(&self.certificates, now)).collect()
    }
}

/// The flags and variables of the command line, which take precedence over the file.
#[derive(Clone, Default)]
pub struct Overrides {
    /// `--listen`
    pub listen: Option<Listen>,
    /// `--ops-listen`
    pub ops_listen: Option<SocketAddr>,
    /// `--admin-listen`
    pub admin_listen: Option<AdminListen>,
    /// `--upstream`
    pub upstream: Option<String>,
    /// `--redis`: the URL of a Redis store, instead of the servers of the file. The rest of the store is the
    /// file's.
    pub redis: Option<String>,
    /// The memory store, whichever the file has.
    pub memory: bool,
    /// The default of `bounds.connections`, where memory is limited.
    pub default_connections: Option<usize>,
    /// `--limit`, any number: rules before those of the file.
    pub limits: Vec<String>,
    /// The flags whose value came from the environment, each with its variable: `--listen` and `TIDEGATE_LISTEN`.
    pub variables: Vec<(String, String)>,
}

impl Overrides {
    /// Returns the variable that the value of a flag came from.
    fn variable(&self, flag: &str) -> Option<&str> {
        self.variables.iter().find(|(name, _)| name == flag).map(|(_, variable)| &**variable)
    }

    /// Returns the value of a flag with its location: the flag, or its variable.
    fn spanned<T: Clone>(&self, flag: &str, value: Option<&T>, root: &Location) -> Option<Spanned<T>> {
        let location = root.flag(self.variable(flag).unwrap_or(flag));
        value.cloned().map(|value| Spanned { value, location })
    }
}

/// The largest secret, in bytes.
const MAX_SECRET: usize = 64 * 1024;
/// The largest file of certificates: those of an operating system take about 300 KiB.
const MAX_PEM: usize = 1 << 20;
/// The largest file of the keys of a tier: it is read several times a second to see whether it has changed.
const MAX_KEYS: usize = 4 << 20;

pub use yaml::MAX_BYTES;

/// What [`check`] reads.
#[derive(Clone, Copy, Debug)]
pub enum Input<'i> {
    /// The flags alone.
    Flags,
    /// A file.
    File(&'i Path),
    /// A text, and what to call it in diagnostics. Secret files are named relative to the working directory.
    Text(&'i str, &'i [u8]),
}

/// Whether the files and variables with secrets, certificates and keys must exist.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum SecretFiles {
    Required,
    Optional,
}

/// Stands for a secret that may be absent and is.
const ABSENT_SECRET: &[u8] = b"a secret that is not there: it is checked without it";

/// Reads and compiles a configuration as [`load`] does. `without_secrets`: the files and variables that it names may be
/// absent, so the result may lack secrets and is not fit to run.
///
/// # Errors
/// Every fault, at least one.
pub fn check(
    input: Input<'_>,
    overrides: &Overrides,
    without_secrets: bool,
) -> Result<Config, Vec<Diagnostic>> {
    let files = if without_secrets { SecretFiles::Optional } else { SecretFiles::Required };
    let reader = sources::Reader::default();
    match input {
        Input::Flags => load_with(None, overrides, &reader, files),
        Input::File(path) => load_with(Some(path), overrides, &reader, files),
        Input::Text(name, text) => {
            compile_text(name, text, overrides, &|source| read_secret(Path::new(""), source, &reader, files))
        }
    }
}

/// Reads and compiles a file, or the flags alone. Secret files are named relative to the file's directory.
///
/// # Errors
/// Every fault, at least one.
pub fn load(file: Option<&Path>, overrides: &Overrides) -> Result<Config, Vec<Diagnostic>> {
    load_watched(file, overrides).0
}

/// Loads it, and returns the files that were read or should have been: when they change, it is time to read again.
pub fn load_watched(
    file: Option<&Path>,
    overrides: &Overrides,
) -> (Result<Config, Vec<Diagnostic>>, Sources) {
    let reader = sources::Reader::default();
    let config = load_with(file, overrides, &reader, SecretFiles::Required);
    (config, reader.sources())
}

fn load_with(
    file: Option<&Path>,
    overrides: &Overrides,
    reader: &sources::Reader,
    files: SecretFiles,
) -> Result<Config, Vec<Diagnostic>> {
    let base = file.and_then(Path::parent).unwrap_or(Path::new(""));
    let secrets = |source: &SecretSource| read_secret(base, source, reader, files);
    let Some(path) = file else { return compile(None, overrides, &secrets) };
    let name = path.to_string_lossy();
    let text = reader.read_file(path, yaml::MAX_BYTES).map_err(|error| {
        vec![Diagnostic {
            severity: Severity::Error,
            file: Some(name.clone().into_owned()),
            line: None,
            column: None,
            path: overrides.variable("--config").unwrap_or_default().to_owned(),
            message: format!("the file cannot be read: {error}"),
            help: "name a file that tidegate may read".to_owned(),
        }]
    })?;
    compile(Some((&name, &text)), overrides, &secrets)
}

/// Compiles a text as [`load`] does with a file's. Diagnostics name the file `name`. Pure, if `secrets` is.
///
/// # Errors
/// Every fault, at least one.
pub fn compile_text(
    name: &str,
    text: &[u8],
    overrides: &Overrides,
    secrets: &Secrets<'_>,
) -> Result<Config, Vec<Diagnostic>> {
    compile(Some((name, text)), overrides, secrets)
}

/// Returns the JSON Schema of the file.
#[must_use]
pub fn schema() -> serde_json::Value {
    schema::of(&keys())
}

/// Returns all keys of the file, as the readers ask for them.
#[must_use]
pub fn keys() -> Vec<Key> {
    let report = Rc::new(Report::of_keys());
    let root = Value::empty(Location::root(&report));
    file::read(&root, &Overrides::default(), &[], &|_| Ok(None));
    report.keys()
}

fn compile(
    source: Option<(&str, &[u8])>,
    overrides: &Overrides,
    secrets: &Secrets<'_>,
) -> Result<Config, Vec<Diagnostic>> {
    let report = Rc::new(Report::new(keys));
    let location = Location::root(&report);
    let limits = limit_flag::limits(overrides, &location);
    let mut text = None;
    let mut root = yaml::Node::Map(Vec::new());
    if let Some((name, bytes)) = source {
        let parsed = yaml::decode(bytes).and_then(|text| yaml::parse(text).map(|node| (text, node)));
        let (decoded, node) = parsed.map_err(|error| unreadable(name, error))?;
        text = Some((name, decoded));
        root = node;
    }
    let compiled = match root {
        yaml::Node::Null => {
            location.error(Fault::new("the file is empty", "expected at least upstream: and rules:"));
            None
        }
        _ => {
            let limits: Vec<Value<'_>> =
                limits.iter().map(|(node, location)| Value { node, location: location.clone() }).collect();
            file::read(&Value { node: &root, location }, overrides, &limits, secrets)
        }
    };
    let sound = report.errors() == 0;
    let Located { errors, warnings, certificates } = report.located(text);
    match compiled {
        Some((settings, policy)) if sound => {
            Ok(Config { settings, policy, warnings, certificates, hash: hash(source, overrides) })
        }
        _ => Err(errors),
    }
}

/// Returns the hash of a configuration. Secrets and certificates are not a part of it: they may differ between instances.
fn hash(source: Option<(&str, &[u8])>, overrides: &Overrides) -> blake3::Hash {
    let mut hasher = blake3::Hasher::new();
    let text = source.map_or(&[][..], |(_, text)| text);
    for part in std::iter::once(text).chain(overrides.limits.iter().map(String::as_bytes)) {
        hasher.update(blake3::hash(part).as_bytes());
    }
    hasher.finalize()
}

fn unreadable(name: &str, error: yaml::SyntaxError) -> Vec<Diagnostic> {
    vec![Diagnostic {
        severity: Severity::Error,
        file: Some(name.to_owned()),
        line: error.at.map(|(line, _)| line),
        column: error.at.map(|(_, column)| column),
        path: String::new(),
        message: error.fault.message,
        help: error.fault.help,
    }]
}

fn read_secret(
    base: &Path,
    source: &SecretSource,
    reader: &sources::Reader,
    files: SecretFiles,
) -> Result<Option<Vec<u8>>, String> {
    let optional = files == SecretFiles::Optional;
    let (path, most, size) = match source {
        SecretSource::Env(name) => {
            let value = std::env::var_os(name).map(std::os::unix::ffi::OsStringExt::into_vec);
            // Without its own variable, Redis has no password.
            let absent = (optional && !name.starts_with("TIDEGATE_")).then(|| ABSENT_SECRET.to_vec());
            return Ok(value.filter(|value| !value.is_empty()).or(absent));
        }
        SecretSource::File(path) => (path, MAX_SECRET, "64 KiB"),
        SecretSource::Pem(path) => (path, MAX_PEM, "1 MiB"),
        SecretSource::Keys(path) => (path, MAX_KEYS, "4 MiB"),
    };
    let bytes = match reader.read(&base.join(path), most) {
        Ok(bytes) => bytes,
        Err(error) if optional && error.kind() == ErrorKind::NotFound => {
            return Ok(matches!(source, SecretSource::File(_)).then(|| ABSENT_SECRET.to_vec()));
        }
        Err(error) => return Err(error.to_string()),
    };
    if bytes.len() > most { Err(format!("it is larger than {size}")) } else { Ok(Some(bytes)) }
}
