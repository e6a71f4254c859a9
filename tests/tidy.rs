//! The rules of the house that no compiler checks, applied to the tree. Each rule has a self-test that feeds
//! it a bad source: a rule that cannot fail is no rule.
#![allow(clippy::expect_used, reason = "a test that cannot read the tree has failed")]

use std::fs;
use std::path::Path;
use std::process::Command;

#[path = "tidy/circles.rs"]
mod circles;
#[path = "tidy/lex.rs"]
mod lex;
#[path = "tidy/rules.rs"]
mod rules;
#[path = "tidy/self_tests.rs"]
mod self_tests;

use lex::File;

/// The architecture: who may import whom. A module may always import itself and its children.
/// main -> app -> the shell (server, ops) -> proxy -> limiter -> store -> window, the pure arithmetic.
/// The proxy does not know that Redis exists; the store does not know that HTTP exists.
const LAYERS: &[(&str, &[&str])] = &[
    ("lib", &[]),                     // declares the modules; re-exports nothing
    ("main", &["app", "cli", "ctl"]), // exit codes only
    ("app", &[EVERY]),                // the composition root: the one place that sees all parts
    ("cli", &["config", "settings", "logging", "version", "header_field"]),
    ("demo", &[]),
    ("ctl", &["cli"]), // a client of the admin API
    (
        "admin",
        &[
            "overrides",
            "limiter",
            "policy",
            "proxy", // what becomes of a request
            "store",
            "config", // rates as they are written
            "header_field",
            "metrics",
            "clock",
            "bounds",
            "connection",
            "settings",
            "version",
        ],
    ),
    ("version", &[]),      // of this build
    ("header_field", &[]), // as people write them
    // policy: how paths and hosts are read
    (
        "server",
        &[
            "metrics",
            "bounds",
            "connection",
            "permits",
            "policy",
            "clock",
            "tls",
            "trailers",
            "timer",
            "h2_error",
        ],
    ),
    ("connection", &[]),       // what server and proxy both know of a client's connection
    ("permits", &["address"]), // what clients have under way, bounded
    ("address", &[]),
    ("bounds", &[]),
    ("settings", &["bounds", "redacted"]), // what each part is constructed from
    ("redacted", &[]),                     // what must not be printed
    ("trailers", &[]),                     // what neither side of the proxy lets pass in a trailer section
    ("ops", &["connection"]),
    (
        "proxy",
        &[
            "limiter",
            "policy",
            "metrics",
            "clock",
            "bounds",
            "connection",
            "permits",
            "timer",
            "grpc",
            "upstream",
        ],
    ),
    ("upstream", &["metrics", "clock", "timer", "tls", "trailers", "grpc", "h2_error", "bounds", "settings"]), // knows neither rules nor clients
    ("overrides", &["limiter", "store", "policy", "window", "metrics", "clock"]),
    ("limiter", &["store", "table", "policy", "window", "metrics", "clock"]),
    ("store", &["table", "window", "clock", "metrics", "settings"]),
    ("table", &[]),
    ("grpc", &[]),
    ("h2_error", &[]),
    ("timer", &["clock"]),
    ("config", &["policy", "window", "tls", "bounds", "settings", "spelling", "logging"]), // logging: whether a filter is valid
    ("policy", &["window", "address", "redacted"]),
    ("window", &[]),
    ("tls", &[]),
    ("clock", &[]),
    ("metrics", &[]),
    ("logging", &["spelling"]),
    ("spelling", &[]),
];
const EVERY: &str = "*";

/// Modules that decide without I/O or time, with all their children: what they say depends on their arguments
/// alone, so a test needs nothing but a call.
const PURE: &[&str] = &[
    "window",
    "policy",
    "address",
    "grpc",
    "h2_error",
    "header_field",
    "tls",
    "redacted",
    "spelling",
    "trailers",
    "config/bounds",
    "config/bypass",
    "config/chosen_keys",
    "config/client",
    "config/policy",
    "config/redis",
    "config/report",
    "config/rules",
    "config/section",
    "config/tls",
    "config/value",
    "limiter/charges",
    "limiter/decide",
    "limiter/outage/undecided",
    "limiter/verdict",
    "overrides/change",
    "overrides/document",
    "overrides/effective",
    "overrides/set",
    "proxy/target",
    "server/http1/head",
    "server/http1/chunks",
    "server/http1/framing",
    "server/http1/malformed",
    "server/http1/prefix",
    "server/http2/budget",
    "server/http2/frames",
];
/// The cell that swaps policies: the one child of a pure module that is shared state.
const IMPURE: &[&str] = &["policy/live"];
const IMPURE_WORDS: &[&str] =
    &["tokio", "tokio_util", "hyper", "hyper_util", "tracing", "bb8_redis", "SystemTime", "Instant"];

const MAX_LINES: usize = 400;
const P90_LINES: usize = 300;

/// Names that say nothing, and so collect everything.
const VAGUE: &[&str] = &["mod", "util", "utils", "common", "types", "helpers", "misc"];

/// Work left undone. Spelled in halves, as this file is read too.
const UNDONE: &[&str] = &[
    concat!("todo", "!"),
    concat!("unimplemented", "!"),
    concat!("dbg", "!"),
    concat!("TO", "DO"),
    concat!("FIX", "ME"),
    concat!("#[", "ignore"),
];

const RUST: &[&str] = &["src", "tests", "benches", "examples"];

/// Every file under a folder of the repository, sorted, with its path from the root.
fn files(folder: &str, extensions: &[&str]) -> Vec<File> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut found = Vec::new();
    let Ok(entries) = fs::read_dir(root.join(folder)) else {
        return found; // benches/ and examples/ may be absent; an empty src/ fails below
    };
    for entry in entries {
        let entry = entry.expect("the folder can be read");
        let path = format!("{folder}/{}", entry.file_name().to_string_lossy());
        if entry.path().is_dir() {
            found.extend(files(&path, extensions));
        } else if extensions.iter().any(|extension| path.ends_with(extension)) {
            let text = fs::read_to_string(entry.path()).expect("the file is text");
            found.push(File::new(&path, &text));
        }
    }
    found.sort_by(|a, b| a.path.cmp(&b.path));
    found
}

fn assert_tidy(folders: &[&str], rule: fn(&File) -> Vec<String>) {
    let tree: Vec<File> = folders.iter().flat_map(|folder| files(folder, &[".rs"])).collect();
    assert!(!tree.is_empty(), "no Rust file under {folders:?}");
    none(tree.iter().flat_map(rule).collect());
}

fn none(faults: Vec<String>) {
    assert!(faults.is_empty(), "\n{}\n", faults.join("\n"));
}

#[test]
fn modules_import_only_the_layers_below() {
    assert_tidy(&["src"], rules::layer_faults);
}

#[test]
fn no_files_import_each_other() {
    none(circles::circle_faults(&files("src", &[".rs"])));
}

#[test]
fn pure_files_name_neither_io_nor_time() {
    assert_tidy(&["src"], rules::purity_faults);
}

#[test]
fn every_pure_module_exists() {
    let tree = files("src", &[".rs"]);
    let gone = PURE.iter().filter(|name| !tree.iter().any(|file| file.modules().join("/") == **name));
    none(
        gone.map(|name| format!("PURE names {name}, which src/ does not have: the rule reads nothing"))
            .collect(),
    );
}

#[test]
fn files_are_short() {
    assert_tidy(RUST, rules::length_faults);
    let lengths = files("src", &[".rs"]).iter().map(|file| file.text.lines().count()).collect();
    let p90 = rules::percentile_90(lengths);
    assert!(
        p90 <= P90_LINES,
        "nine files of ten under src/ keep to {P90_LINES} lines; the 90th percentile is {p90}"
    );
}

#[test]
fn modules_are_named_after_their_subject() {
    assert_tidy(RUST, rules::name_faults);
}

#[test]
fn nothing_is_left_undone() {
    assert_tidy(RUST, rules::undone_faults);
}

#[test]
fn silenced_lints_say_why() {
    assert_tidy(RUST, rules::reason_faults);
}

#[test]
fn the_metric_page_matches_the_code() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let page =
        fs::read_to_string(root.join("docs/metrics.md")).expect("docs/metrics.md: the page of all metrics");
    let code: Vec<File> = files("src", &[".rs"])
        .into_iter()
        .filter(|file| file.modules().first() == Some(&"metrics"))
        .collect();
    none(rules::metric_faults(&code, &page));
}

#[test]
fn the_list_of_log_targets_matches_the_code() {
    none(rules::target_faults(&files("src", &[".rs"])));
}

#[test]
fn every_shipped_configuration_is_accepted() {
    let shipped = files("configs", &[".yaml", ".yml"]);
    assert!(!shipped.is_empty(), "no YAML under configs/");
    // Beside manifests.
    let mounted = files("k8s", &["tidegate.yaml"]);
    assert!(!mounted.is_empty(), "no tidegate.yaml under k8s/");
    for file in shipped.into_iter().chain(mounted) {
        assert!(!file.text.trim().is_empty(), "{} is empty", file.path);
        let check = Command::new(env!("CARGO_BIN_EXE_tidegate"))
            .args(["check", &file.path])
            .current_dir(env!("CARGO_MANIFEST_DIR"))
            .output()
            .expect("the binary runs");
        let said = [check.stdout, check.stderr].concat();
        assert!(check.status.success(), "tidegate check {}:\n{}", file.path, String::from_utf8_lossy(&said));
    }
}
