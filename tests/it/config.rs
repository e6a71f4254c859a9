//! The configuration: what is valid compiles to what it says, and every fault is reported at once, with its
//! location and help.

mod certificates;
mod chosen_keys;
mod cli;
mod documents;
mod faults;
mod flags;
mod hostile;
mod meaning;
mod messages;
mod names;
mod path;
mod redis;
mod serving;
mod shipped;
mod unreachable;
mod upstream;

use std::collections::HashMap;
use std::path::Path;
use std::sync::LazyLock;

use tidegate::config::{Config, Diagnostic, Overrides, SecretSource, compile_text};
use tidegate::policy::Rule;
use tidegate::settings::{RedisSettings, RedisTopology};

use crate::authority::Authority;

/// Compiles a text; the only secrets there are lie in these places.
fn compile_with(text: &str, overrides: &Overrides) -> Result<Config, Vec<Diagnostic>> {
    compile_named("test.yaml", text, overrides)
}

fn compile_named(name: &str, text: &str, overrides: &Overrides) -> Result<Config, Vec<Diagnostic>> {
    compile_text(name, text.as_bytes(), overrides, &|source| match source {
        SecretSource::File(path) if path.ends_with("secret") => Ok(Some(b"0123456789abcdef0123\n".to_vec())),
        SecretSource::File(path) if path.ends_with("short") => Ok(Some(b"abc\r\n".to_vec())),
        SecretSource::Keys(path) if path.ends_with("secret") => Ok(Some(b"key\n".to_vec())),
        SecretSource::Keys(path) if path.ends_with("blank") => Ok(Some(b"\n".to_vec())),
        SecretSource::File(path) if path.ends_with("blank") => Ok(Some(b"\n".to_vec())),
        SecretSource::File(path) if path.ends_with("lines") => Ok(Some(b"one\ntwo".to_vec())),
        SecretSource::Pem(path) => pem(path).map(Some).ok_or_else(|| "there is none".to_owned()),
        SecretSource::Env(name) if name == "A_TOKEN" => Ok(Some(b"0123456789abcdef0123".to_vec())),
        SecretSource::Env(_) => Ok(None),
        SecretSource::File(_) | SecretSource::Keys(_) => Err("there is none".to_owned()),
    })
}

/// The files in PEM.
fn pem(path: &Path) -> Option<Vec<u8>> {
    static FILES: LazyLock<HashMap<&str, String>> = LazyLock::new(|| {
        let (one, other) = (Authority::new(), Authority::new());
        let (pair, others) = (one.sign("tidegate"), other.sign("tidegate"));
        HashMap::from([
            ("ca.pem", one.pem()),
            ("other-ca.pem", other.pem()),
            ("cut.pem", one.pem()[..100].to_owned()),
            ("blank.pem", "\n".to_owned()),
            ("both.pem", format!("{}{}", pair.certificate, pair.key)),
            ("cert.pem", pair.certificate),
            ("key.pem", pair.key),
            ("other-cert.pem", others.certificate),
            ("other-key.pem", others.key),
            ("encrypted.pem", "-----BEGIN ENCRYPTED PRIVATE KEY-----\n".to_owned()),
        ])
    });
    let name = path.file_name()?.to_str()?;
    FILES.get(name).map(|text| text.clone().into_bytes())
}

fn compile(text: &str) -> Result<Config, Vec<Diagnostic>> {
    compile_with(text, &Overrides::default())
}

/// A file with an upstream, and these lines from the second on.
fn file(rest: &str) -> String {
    format!("upstream: http://127.0.0.1:9080\n{rest}")
}

fn right(text: &str) -> Config {
    compile(text).unwrap_or_else(|diagnostics| panic!("{}\n{text}", listed(&diagnostics)))
}

fn diagnostics(text: &str) -> Vec<Diagnostic> {
    match compile(text) {
        Ok(_) => panic!("this should be wrong:\n{text}"),
        Err(diagnostics) => diagnostics,
    }
}

/// One line for each, and its help.
fn listed(diagnostics: &[Diagnostic]) -> String {
    let line =
        |found: &Diagnostic| format!("{}: {}\n    help: {}\n", found.location(), found.message, found.help);
    diagnostics.iter().map(line).collect()
}

/// The servers of a store, and the database.
fn servers(redis: &RedisSettings) -> String {
    let servers: Vec<String> = match &redis.topology {
        RedisTopology::Standalone(server) => vec![server.to_string()],
        RedisTopology::Sentinel { sentinels, .. } => sentinels.iter().map(ToString::to_string).collect(),
        RedisTopology::Cluster(seeds) => seeds.iter().map(ToString::to_string).collect(),
    };
    format!("{}/{}", servers.join(","), redis.database)
}

/// A rule and its limits in one line: quota/window+burst*slices.
fn limits(rule: &Rule) -> String {
    let one = |named: &tidegate::policy::NamedLimit| {
        let limit = named.limit;
        format!("{} {}/{}+{}*{}", named.name, limit.quota(), limit.window_ms(), limit.burst(), limit.slices())
    };
    rule.limits.iter().map(one).collect::<Vec<_>>().join("; ")
}
