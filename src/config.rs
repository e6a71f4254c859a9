//! Configuration: one YAML file, flags over it, secrets beside it.
//!
//! Two stages, both pure: the text is read into the file's shape ([`schema`]), and the shape is compiled into
//! [`Settings`] and a [`Policy`] ([`compile`]). Whatever is wrong is noted with its place and the walk goes on, so
//! that one attempt shows every fault. Only [`load`] does I/O.

mod bypass;
mod compile;
mod flags;
mod network;
mod problem;
mod rate;
mod reader;
mod report;
mod rules;
mod schema;
mod secret;
mod settings;
mod yaml;

use std::fs::File;
use std::io::Read as _;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use crate::policy::Policy;
pub use problem::Problem;
use problem::Wrong;
use reader::Cursor;
use report::{Place, Report};
pub use secret::{SecretSource, Secrets};
pub use settings::{RedisSettings, Secret, Settings, Shutdown, StoreSettings, Upstream};

/// A configuration without errors.
#[derive(Debug)]
pub struct Config {
    /// Everything that is not a rule.
    pub settings: Settings,
    /// The rules.
    pub policy: Policy,
    /// What is allowed, but hardly meant.
    pub warnings: Vec<Problem>,
    /// The files that secrets were read from: to be watched with the file itself.
    pub secret_files: Vec<PathBuf>,
}

/// What the command line and the environment say: they win over the file.
#[derive(Clone, Default)]
pub struct Overrides {
    /// `--listen`
    pub listen: Option<SocketAddr>,
    /// `--ops-listen`
    pub ops_listen: Option<SocketAddr>,
    /// `--upstream`
    pub upstream: Option<String>,
    /// `--redis`: the URL of a Redis store. Its other settings stay the file's.
    pub redis: Option<String>,
    /// The memory store, whatever the file says.
    pub memory: bool,
    /// `--limit`, any number: rules before those of the file.
    pub limits: Vec<String>,
}

/// The largest secret, in bytes.
const MAX_SECRET: u64 = 64 * 1024;

/// Reads and compiles a file, or the flags alone. Secret files are named relative to the file's directory.
///
/// # Errors
/// Everything that is wrong, at least one problem.
pub fn load(file: Option<&Path>, overrides: &Overrides) -> Result<Config, Vec<Problem>> {
    let Some(path) = file else {
        return compile(None, overrides, &|source| read_secret(Path::new(""), source));
    };
    let name = path.to_string_lossy();
    let base = path.parent().unwrap_or(Path::new(""));
    let limit = u64::try_from(yaml::MAX_BYTES).unwrap_or(u64::MAX).saturating_add(1);
    let text = read(path, limit).map_err(|error| {
        vec![Problem {
            file: Some(name.clone().into_owned()),
            line: None,
            column: None,
            path: String::new(),
            message: format!("the file cannot be read: {error}"),
            remedy: "name a file that tidegate may read".to_owned(),
        }]
    })?;
    let mut config = compile(Some((&name, &text)), overrides, &|source| read_secret(base, source))?;
    for file in &mut config.secret_files {
        *file = base.join(&file);
    }
    Ok(config)
}

/// Compiles a text as [`load`] does with a file's. `name` stands in the problems. Pure, if `secrets` is.
///
/// # Errors
/// Everything that is wrong, at least one problem.
pub fn compile_text(
    name: &str,
    text: &[u8],
    overrides: &Overrides,
    secrets: &Secrets<'_>,
) -> Result<Config, Vec<Problem>> {
    compile(Some((name, text)), overrides, secrets)
}

fn compile(
    source: Option<(&str, &[u8])>,
    overrides: &Overrides,
    secrets: &Secrets<'_>,
) -> Result<Config, Vec<Problem>> {
    let mut report = Report::default();
    let flags = flags::rules(&overrides.limits, &mut report);
    let mut text = None;
    let mut shape = Some(schema::File::default());
    if let Some((name, bytes)) = source {
        let parsed = yaml::decode(bytes).and_then(|text| yaml::parse(text).map(|root| (text, root)));
        let (decoded, root) = parsed.map_err(|error| unreadable(name, error))?;
        text = Some((name, decoded));
        shape = read_shape(&root, &mut report);
    }
    let compiled = shape.and_then(|shape| {
        let settings = settings::settings(&shape, overrides, secrets, &mut report);
        let policy = compile::policy(&shape, &flags, secrets, &mut report);
        settings.map(|settings| (settings, policy, compile::secret_files(&shape)))
    });
    let sound = report.errors() == 0;
    let (errors, warnings) = report.problems(text);
    match compiled {
        Some((settings, policy, secret_files)) if sound => {
            Ok(Config { settings, policy, warnings, secret_files })
        }
        _ => Err(errors),
    }
}

fn read_shape(root: &yaml::Node, report: &mut Report) -> Option<schema::File> {
    let place = Place::root();
    if matches!(root, yaml::Node::Null) {
        report.error(&place, Wrong::new("the file is empty", "write at least upstream: and rules:"));
        return None;
    }
    schema::file(&Cursor { node: root, place }, report)
}

fn unreadable(name: &str, error: yaml::SyntaxError) -> Vec<Problem> {
    vec![Problem {
        file: Some(name.to_owned()),
        line: error.at.map(|(line, _)| line),
        column: error.at.map(|(_, column)| column),
        path: String::new(),
        message: error.wrong.message,
        remedy: error.wrong.remedy,
    }]
}

fn read(path: &Path, limit: u64) -> std::io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    File::open(path)?.take(limit).read_to_end(&mut bytes)?;
    Ok(bytes)
}

fn read_secret(base: &Path, source: &SecretSource) -> Result<Option<Vec<u8>>, String> {
    match source {
        SecretSource::Env(name) => Ok(std::env::var_os(name).map(std::os::unix::ffi::OsStringExt::into_vec)),
        SecretSource::File(path) => {
            let bytes = read(&base.join(path), MAX_SECRET + 1).map_err(|error| error.to_string())?;
            let fits = u64::try_from(bytes.len()).is_ok_and(|len| len <= MAX_SECRET);
            fits.then_some(Some(bytes)).ok_or_else(|| "it is larger than 64 KiB".to_owned())
        }
    }
}
