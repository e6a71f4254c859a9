//! Every rule finds what it forbids, and leaves alone what only looks like it.

use crate::UNDONE;
use crate::circles::circle_faults;
use crate::lex::File;
use crate::rules::*;

fn faults(rule: fn(&File) -> Vec<String>, path: &str, text: &str) -> Vec<String> {
    rule(&File::new(path, text))
}

#[test]
fn a_forbidden_import_is_found_in_every_spelling() {
    let bad = [
        ("src/store/batch.rs", "use crate::proxy::Reply;"),
        ("src/store.rs", "use crate::{\n    window::Take,\n    proxy::{self, Reply},\n};"),
        ("src/store.rs", "fn f() { crate::proxy::handle(); }"),
        ("src/store.rs", "use crate::*;"),
        ("src/store.rs", "use super::proxy;"),
        ("src/store/redis/pool.rs", "use super::super::super::{window, proxy::Reply};"),
        ("src/app.rs", "use crate::*;"),
        ("src/window.rs", "pub(in crate::policy) struct Count;"),
        ("src/main.rs", "use tidegate::{app, store::Store};"),
        ("src/lib.rs", "pub use store::Store;"),
    ];
    for (path, text) in bad {
        assert_eq!(faults(layer_faults, path, text).len(), 1, "{path}: {text}");
    }
}

#[test]
fn a_fault_names_its_line() {
    let found =
        faults(layer_faults, "src/policy.rs", "use crate::{\n    window::{a, b},\n    store::Store,\n};");
    assert_eq!(found, ["src/policy.rs:3: policy may not import store (it may: window, address, redacted)"]);
}

#[test]
fn an_allowed_import_passes() {
    let good = [
        ("src/store/batch.rs", "use crate::{window::{take, Take}, clock};\nuse crate::store::redis::Script;"),
        ("src/store/batch.rs", "use super::redis;\nuse super::metrics_of;"),
        ("src/window.rs", "mod tests { use super::*; }"),
        ("src/app.rs", "use crate::{server, ops::Ops};"),
    ];
    for (path, text) in good {
        assert_eq!(faults(layer_faults, path, text), [""; 0], "{path}: {text}");
    }
}

#[test]
fn a_comment_or_a_string_imports_nothing() {
    let good = [
        (
            "src/window.rs",
            "/* crate::store /* nested */ crate::store */ // crate::store\n/// [`crate::store`]",
        ),
        (
            "src/window.rs",
            r##"const A: &str = "crate::store \" crate::app"; const B: &str = r#"" crate::app"#;"##,
        ),
        ("src/window.rs", "const QUOTE: char = '\"'; fn f<'a>(x: &'a str) -> &'a str { x } // \" crate::app"),
    ];
    for (path, text) in good {
        assert_eq!(faults(layer_faults, path, text), [""; 0], "{path}: {text}");
    }
}

#[test]
fn a_module_without_a_row_is_found() {
    assert_eq!(faults(layer_faults, "src/telemetry/otlp.rs", "").len(), 1);
}

/// The faults of a tree of files, each given by its path and text.
fn circles(files: &[(&str, &str)]) -> Vec<String> {
    circle_faults(&files.iter().map(|(path, text)| File::new(path, text)).collect::<Vec<_>>())
}

#[test]
fn a_circle_is_found() {
    let found = circles(&[
        ("src/store/node.rs", "use super::queue::{self, Queue};"),
        ("src/store/queue.rs", "use crate::store::probe::Probe;"),
        ("src/store/probe.rs", "fn f() { super::node::new(); }"),
        ("src/window.rs", ""),
    ]);
    assert_eq!(
        found,
        ["src/store/node.rs:1: files import each other: \
         src/store/node.rs -> src/store/queue.rs -> src/store/probe.rs -> src/store/node.rs"]
    );
}

#[test]
fn a_circle_through_a_reexport_is_found() {
    let found = circles(&[
        ("src/store.rs", "mod node;\nmod queue;\npub(crate) use queue::Queue;"),
        ("src/store/node.rs", "use super::Queue;"),
        ("src/store/queue.rs", "use super::node::Node;"),
    ]);
    assert_eq!(found.len(), 1, "{found:#?}");
}

#[test]
fn two_circles_are_two_faults() {
    let found = circles(&[
        ("src/a.rs", "use crate::b::B;"),
        ("src/b.rs", "use crate::a::A;"),
        ("src/c.rs", "use crate::{d::D, a::A};"),
        ("src/d.rs", "use crate::c as e;"),
    ]);
    assert_eq!(found.len(), 2, "{found:#?}");
}

#[test]
fn a_parent_is_no_circle_with_its_children() {
    let good = [
        ("src/store.rs", "mod node;\npub use node::Node;\nuse node::start;\npub struct Error;"),
        ("src/store/node.rs", "use super::{Error, queue::Queue};"),
        (
            "src/store/queue.rs",
            "#[cfg(test)]\nmod tests { use super::super::node::Node; }\n// super::node::Node",
        ),
    ];
    assert_eq!(circles(&good), [""; 0]);
}

#[test]
fn impurity_is_found_in_pure_files_only() {
    let bad = [
        "use tokio::sync::Mutex;",
        "use hyper_util::rt::TokioIo;",
        "fn f() { metrics::counter!(\"x\"); }",
        "fn f(at: Instant) {}",
        "use std::{fmt, fs};",
        "use std::net::{IpAddr, TcpStream};",
        "use crate::clock::Clock;",
    ];
    for text in bad {
        assert_eq!(faults(purity_faults, "src/policy/matcher.rs", text).len(), 1, "{text}");
        assert_eq!(faults(purity_faults, "src/policy/live.rs", text), [""; 0], "{text}");
        assert_eq!(faults(purity_faults, "src/config.rs", text), [""; 0], "{text}");
    }
    let good = "//! tokio and hyper are far\nuse std::net::IpAddr;\nfn f(metrics: u64) -> u64 { metrics }";
    assert_eq!(faults(purity_faults, "src/window.rs", good), [""; 0]);
}

#[test]
fn length_is_found() {
    assert_eq!(faults(length_faults, "src/a.rs", &"//\n".repeat(400)), [""; 0]);
    assert_eq!(faults(length_faults, "src/a.rs", &"//\n".repeat(401)).len(), 1);
    assert_eq!(percentile_90((1..=10).rev().collect()), 9);
    assert_eq!(percentile_90(vec![10, 500]), 500);
}

#[test]
fn a_vague_name_is_found() {
    for (path, text) in
        [("src/store/mod.rs", ""), ("src/utils.rs", ""), ("src/types/id.rs", ""), ("src/a.rs", "mod misc {}")]
    {
        assert_eq!(faults(name_faults, path, text).len(), 1, "{path}: {text}");
    }
    assert_eq!(faults(name_faults, "src/model.rs", "mod mode; // mod misc"), [""; 0]);
}

#[test]
fn undone_work_is_found() {
    for word in UNDONE {
        assert_eq!(faults(undone_faults, "src/a.rs", &format!("fn f() {{}}\n// {word}")).len(), 1, "{word}");
    }
    assert_eq!(faults(undone_faults, "src/a.rs", "// what is to do"), [""; 0]);
}

#[test]
fn a_silenced_lint_without_a_reason_is_found() {
    let bad = [
        "#[allow(dead_code)]\nfn f() {}",
        "#![expect(clippy::panic)]",
        "#[cfg_attr(test, allow(unused), doc(reason = \"no\"))] fn f() {}",
    ];
    for text in bad {
        assert_eq!(faults(reason_faults, "src/a.rs", text).len(), 1, "{text}");
    }
    let good = "#![allow(\n    dead_code,\n    reason = \"ours\"\n)]\nfn f() { g().expect(1); }";
    assert_eq!(faults(reason_faults, "src/a.rs", good), [""; 0]);
}

#[test]
fn a_metric_on_one_side_only_is_found() {
    let code = [File::new("src/metrics.rs", "// tidegate_gone_total\nconst A: &str = \"tidegate_a_total\";")];
    assert_eq!(metric_faults(&code, "| `tidegate_a_total{rule}` | all `tidegate_*` |"), [""; 0]);
    assert_eq!(metric_faults(&code, "").len(), 1);
    assert_eq!(metric_faults(&code, "tidegate_a_total, tidegate_gone_total").len(), 1);
    assert_eq!(metric_faults(&[], "").len(), 1);
    let histogram = [File::new("src/metrics.rs", "const A: &str = \"tidegate_check_seconds\";")];
    assert_eq!(metric_faults(&histogram, "tidegate_check_seconds, tidegate_check_seconds_bucket"), [""; 0]);
}

#[test]
fn a_log_target_on_one_side_only_is_found() {
    let list =
        File::new("src/logging/modules.rs", "const A: [&str; 2] = [\"tidegate::a\", \"tidegate::a::b\"];");
    let code =
        |text: &str| vec![File::new("src/a/b.rs", text), File::new("src/logging/modules.rs", &list.text)];
    let logs = "fn f() { tracing::warn!(\"x\"); }";
    assert_eq!(target_faults(&code(logs)), [""; 0]);
    assert_eq!(target_faults(&[File::new("src/a/b.rs", logs)]).len(), 2);
    for silent in ["", "// tracing::warn!()", "fn f() { tracing::info!(target: \"access\", x); }"] {
        assert_eq!(target_faults(&code(silent)).len(), 2, "{silent}");
    }
}
