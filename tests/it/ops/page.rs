//! docs/metrics.md, compared with what a process exposes when it starts.

use std::collections::{BTreeMap, BTreeSet};

use super::series;
use crate::harness::{Redis, Tidegate, Upstream, client, eventually};

pub const PAGE: &str = include_str!("../../../docs/metrics.md");

/// The metrics of certificates, and of the servers of a store: there is a series for each.
const CERTIFICATES: &str = "tidegate_certificate_expiry_timestamp_seconds";
const SERVERS: &str = "tidegate_store_breaker_open";

/// The rows of the table whose first column has this heading.
fn table(heading: &str) -> Vec<Vec<&'static str>> {
    let lines = PAGE.lines().skip_while(|line| !line.starts_with(&format!("| {heading} |")));
    let rows: Vec<Vec<&str>> = lines
        .skip(2)
        .take_while(|line| line.starts_with('|'))
        .map(|line| line.trim_matches('|').split('|').map(str::trim).collect())
        .collect();
    assert!(!rows.is_empty(), "docs/metrics.md has no table with the heading {heading}");
    rows
}

/// The words in backticks.
fn words(cell: &str) -> BTreeSet<&str> {
    cell.split('`').skip(1).step_by(2).collect()
}

/// The names in the first column of a table.
fn names(heading: &str) -> BTreeSet<&'static str> {
    table(heading).into_iter().flat_map(|row| words(row[0])).collect()
}

fn exposed(metrics: &str) -> BTreeSet<&str> {
    metrics.lines().filter_map(|line| line.strip_prefix("# TYPE ")?.split(' ').next()).collect()
}

/// The series of a metric that has one label besides those of the configuration: its value, and the count.
fn counts<'m>(metrics: &'m str, name: &str, label: &str) -> BTreeMap<&'m str, f64> {
    let lines = metrics.lines().filter_map(|line| {
        let series = line.strip_prefix(name)?;
        let (labels, value) =
            series.strip_prefix("_count").unwrap_or(series).strip_prefix('{')?.split_once("} ")?;
        let at = labels.find(&format!("{label}=\""))? + label.len() + 2;
        Some((labels[at..].split('"').next()?, value.parse().ok()?))
    });
    lines.collect()
}

/// The page names each metric of the process and no other, before the first request; but for `others`, whose labels have
/// no value in this configuration.
async fn is_complete(tidegate: &Tidegate, others: &[&str]) {
    // Status codes are an open set.
    let responses = "tidegate_responses_total";
    let mut documented = names("metric");
    for other in others.iter().chain([&responses]) {
        assert!(documented.remove(other), "{other}");
    }
    let before = tidegate.metrics().await;
    assert_eq!(exposed(&before), documented);
    client().get(tidegate.url("/")).send().await.unwrap();
    documented.insert(responses);
    assert_eq!(exposed(&tidegate.metrics().await), documented);
}

#[tokio::test]
async fn every_documented_metric_is_exposed_with_counters_in_memory() {
    let upstream = Upstream::start().await;
    is_complete(&Tidegate::configured(upstream.address, super::RULES).await, &[CERTIFICATES, SERVERS]).await;
}

#[tokio::test]
async fn every_documented_metric_is_exposed_with_counters_in_redis() {
    let (redis, upstream) = (Redis::start().await, Upstream::start().await);
    let store = format!("redis: {{ url: '{}' }}", redis.url());
    let config = super::RULES.replace("memory: {}", &store);
    is_complete(&Tidegate::configured(upstream.address, &config).await, &[CERTIFICATES]).await;
}

#[tokio::test]
async fn each_label_with_fixed_values_has_all_of_them_at_the_start() {
    let upstream = Upstream::start().await;
    let tidegate = Tidegate::configured(upstream.address, super::RULES).await;
    let metrics = tidegate.metrics().await;
    // The table of closed sets is the second that begins with a metric's name.
    let closed = PAGE.split_once("| metric | label | values |").expect("a table of closed sets").1;
    let rows = closed.lines().skip(2).take_while(|line| line.starts_with('|'));
    let mut sets: Vec<(&str, &str, BTreeSet<&str>)> = rows
        .map(|row| {
            let cells: Vec<&str> = row.trim_matches('|').split('|').map(|cell| cell.trim()).collect();
            (cells[0].trim_matches('`'), cells[1].trim_matches('`'), words(cells[2]))
        })
        .collect();
    assert!(sets.len() > 3);
    sets.push(("tidegate_bound_exceeded_total", "bound", names("`bound`")));
    for (metric, label, values) in sets {
        let counts = counts(&metrics, metric, label);
        assert_eq!(counts.keys().copied().collect::<BTreeSet<_>>(), values, "{metric}");
        // The first configuration has been read.
        let happened =
            |value: &str| f64::from(u8::from(metric == "tidegate_config_reloads_total" && value == "ok"));
        for (value, count) in counts {
            assert_eq!(count, happened(value), "{metric}{{{label}=\"{value}\"}}");
        }
    }
}

/// All outcomes on the page that series of this name have, each with 0.
fn outcomes(metrics: &str, rule: &str) -> BTreeSet<String> {
    let all = series(metrics, "tidegate_requests_total");
    let own = all.iter().filter_map(|(labels, count)| {
        let outcome = labels.strip_prefix(&format!("rule=\"{rule}\",outcome=\""))?.strip_suffix('"')?;
        assert_eq!(*count, 0.0, "{labels}");
        Some(outcome.to_owned())
    });
    own.collect()
}

/// The outcomes on the page, but for some.
fn all_but(others: &[&str]) -> BTreeSet<String> {
    let documented = names("`outcome`");
    documented.into_iter().filter(|outcome| !others.contains(outcome)).map(str::to_owned).collect()
}

#[tokio::test]
async fn a_rule_has_every_outcome_at_the_start() {
    let upstream = Upstream::start().await;
    let metrics = Tidegate::configured(upstream.address, super::RULES).await.metrics().await;
    for rule in ["tasks", "trial", "paused", "keyed"] {
        assert_eq!(outcomes(&metrics, rule), all_but(&["bypassed"]), "{rule}");
    }
}

#[tokio::test]
async fn a_bypass_has_its_outcomes_at_the_start() {
    let upstream = Upstream::start().await;
    let metrics = Tidegate::configured(upstream.address, super::RULES).await.metrics().await;
    for bypass in ["probes", "inside"] {
        assert_eq!(outcomes(&metrics, bypass), ["bypassed", "overloaded"].map(str::to_owned).into());
    }
}

#[tokio::test]
async fn requests_without_a_rule_have_their_outcomes_at_the_start() {
    let upstream = Upstream::start().await;
    let metrics = Tidegate::configured(upstream.address, super::RULES).await.metrics().await;
    assert_eq!(outcomes(&metrics, ""), ["overloaded", "rejected", "unlimited"].map(str::to_owned).into());
}

#[tokio::test]
async fn a_rule_that_a_reload_adds_has_every_outcome_before_its_first_request() {
    let upstream = Upstream::start().await;
    let tidegate = Tidegate::configured(upstream.address, super::RULES).await;
    tidegate.rewrite(&format!("{}  - {{ name: added, rate: 1/h }}\n", super::RULES));
    eventually("the added rule", async || {
        (outcomes(&tidegate.metrics().await, "added") == all_but(&["bypassed"])).then_some(())
    })
    .await;
}
