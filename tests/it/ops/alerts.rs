//! The queries of docs/metrics.md, evaluated by Prometheus's own tool over what a process exposes.

use std::collections::BTreeMap;
use std::path::Path;
use std::process::Command;

use serde_json::{Value, json};

use super::page::PAGE;
use crate::harness::{Tidegate, Upstream, eventually};

/// The queries of the page, each with the comment above it.
fn queries() -> Vec<(&'static str, String)> {
    let block = PAGE.split_once("```promql\n").and_then(|(_, rest)| rest.split_once("```")).unwrap().0;
    let query = |text: &'static str| {
        let (comment, query) = text.trim().split_once('\n').unwrap();
        (comment.strip_prefix("# ").unwrap(), query.to_owned())
    };
    block.split("\n\n").map(query).collect()
}

fn alerts(queries: &[(&str, String)]) -> Value {
    let alert = |(at, (comment, query)): (usize, &(&str, String))| json!({ "alert": format!("Query{at}"), "expr": query, "annotations": { "summary": comment } });
    let rules: Vec<Value> = queries.iter().enumerate().map(alert).collect();
    json!({ "groups": [{ "name": "documented", "rules": rules }] })
}

/// Runs promtool on a file of this content beside the rules. What it printed, if it ended with a fault.
fn promtool(directory: &Path, arguments: [&str; 2], rules: &Value, tests: &Value) -> Result<(), String> {
    // JSON is YAML.
    std::fs::write(directory.join("rules.yaml"), rules.to_string()).unwrap();
    std::fs::write(directory.join("tests.yaml"), tests.to_string()).unwrap();
    let file = if arguments[0] == "check" { "rules.yaml" } else { "tests.yaml" };
    let mut promtool = Command::new("promtool");
    promtool.args(arguments).arg(file).current_dir(directory);
    let output = promtool.output().expect("promtool is not installed; `make test` does that");
    let printed = [output.stdout, output.stderr].concat();
    if output.status.success() { Ok(()) } else { Err(String::from_utf8_lossy(&printed).into_owned()) }
}

/// A series and its values, one a minute, as promtool reads them.
fn input_series(scrapes: &[String]) -> Vec<Value> {
    let mut all: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    for (minute, scrape) in scrapes.iter().enumerate() {
        for line in scrape.lines().filter(|line| line.starts_with("tidegate_")) {
            let (series, value) = line.rsplit_once(' ').unwrap();
            let values = all.entry(series).or_default();
            // Absent until now, or between.
            values.resize(minute, "_");
            values.push(value);
        }
    }
    all.into_iter().map(|(series, values)| json!({ "series": series, "values": values.join(" ") })).collect()
}

#[test]
fn every_documented_query_is_valid() {
    let directory = tempfile::tempdir().unwrap();
    let queries = queries();
    assert!(queries.len() > 4);
    let checked = promtool(directory.path(), ["check", "rules"], &alerts(&queries), &Value::Null);
    checked.unwrap_or_else(|printed| panic!("{printed}"));
}

const FAILED: &str = "tidegate_config_reloads_total{result=\"error\"}";
const OK: &str = "tidegate_config_reloads_total{result=\"ok\"}";

/// What is scraped before a bad edit, after it, after another one, and after the file was fixed.
async fn scrapes() -> Vec<String> {
    let upstream = Upstream::start().await;
    let rule = |rate: &str| format!("store: {{ memory: {{}} }}\nrules: [{{ name: x, rate: {rate} }}]\n");
    let tidegate = Tidegate::configured(upstream.address, &rule("5/h")).await;
    let mut scrapes = vec![tidegate.metrics().await];
    for (rate, series, count) in [("five", FAILED, 1.0), ("many", FAILED, 2.0), ("5/h", OK, 2.0)] {
        tidegate.rewrite(&rule(rate));
        let read = async || tidegate.metric(series).await.filter(|&read| read == count);
        eventually("the edit to be read", read).await;
        scrapes.push(tidegate.metrics().await);
    }
    scrapes
}

#[tokio::test]
async fn the_documented_reload_alert_fires_from_the_first_failure_until_the_file_is_fixed() {
    let queries: Vec<_> =
        queries().into_iter().filter(|(comment, _)| comment.starts_with("The last reload failed")).collect();
    assert_eq!(queries.len(), 1, "docs/metrics.md has one query for it");
    let fires = |(minute, firing): (usize, bool)| {
        let alerts =
            if firing { vec![json!({ "exp_annotations": { "summary": queries[0].0 } })] } else { vec![] };
        json!({ "eval_time": format!("{minute}m"), "alertname": "Query0", "exp_alerts": alerts })
    };
    let expected: Vec<Value> = [false, true, true, false].into_iter().enumerate().map(fires).collect();
    let tests = json!({
        "rule_files": ["rules.yaml"],
        "evaluation_interval": "1m",
        "tests": [{ "interval": "1m", "input_series": input_series(&scrapes().await), "alert_rule_test": expected }],
    });
    let directory = tempfile::tempdir().unwrap();
    let tested = promtool(directory.path(), ["test", "rules"], &alerts(&queries), &tests);
    tested.unwrap_or_else(|printed| panic!("{printed}"));
}
