//! docs/recipes.md: each file starts the real binary, and the requests of the table get the responses that the page promises.

mod steps;
mod table;

use std::net::SocketAddr;
use std::path::Path;

use crate::harness::{Dialect, Finished, Redis, Tidegate, Upstream};
use steps::{Instances, Step};

const PAGE: &str = include_str!("../../docs/recipes.md");

/// Where the files of the page have their upstream and their Redis.
const UPSTREAM: &str = "http://127.0.0.1:9080";
const UPSTREAM_H2C: &str = "h2c://127.0.0.1:9080";
const REDIS: &str = "redis://127.0.0.1:6379/0";

/// What is expected of a recipe.
struct Recipe {
    steps: &'static [Step],
    /// Files beside the configuration, each with its content.
    files: &'static [(&'static str, &'static str)],
    /// Series of the first instance, after all steps.
    metrics: &'static [(&'static str, f64)],
    /// A part of each warning of `tidegate check`.
    warnings: &'static [&'static str],
    /// The number of instances.
    instances: usize,
}

impl Recipe {
    const fn new(steps: &'static [Step]) -> Self {
        Self { steps, files: &[], metrics: &[], warnings: &[], instances: 1 }
    }
}

/// The headings of the page, each with the YAML under it.
fn documented() -> Vec<(&'static str, &'static str)> {
    let section = |section: &'static str| {
        let (heading, rest) = section.split_once('\n').unwrap();
        let (_, block) = rest.split_once("\n```yaml\n").unwrap_or_else(|| panic!("{heading}: no file"));
        let (yaml, rest) = block.split_once("\n```\n").unwrap();
        assert!(!rest.contains("```"), "{heading}: more than one block");
        (heading, yaml)
    };
    PAGE.split("\n## ").skip(1).map(section).collect()
}

/// The file of a recipe, with the addresses of this test, and with patience for a busy machine. All else is as on the page.
fn adapted(yaml: &str, upstream: SocketAddr, redis: Option<&Redis>) -> String {
    let (url, scheme) = if yaml.contains(UPSTREAM_H2C) { (UPSTREAM_H2C, "h2c") } else { (UPSTREAM, "http") };
    assert_eq!(yaml.matches(url).count(), 1, "{yaml}");
    let patient = format!("{{ url: \"{scheme}://{upstream}\", connect_timeout: 30s }}");
    let mut text = yaml.replace(url, &patient);
    if let Some(redis) = redis {
        text = text.replace(REDIS, &format!("{}, timeout: 10s", redis.url()));
    }
    text
}

/// The warnings of `tidegate check` about a file that is valid.
fn warnings(heading: &str, file: &Path) -> Vec<String> {
    let Finished { status, stderr, .. } = Tidegate::finished(&["check", file.to_str().unwrap()]);
    assert_eq!(status.code(), Some(0), "{heading}: {stderr}");
    stderr.split("warning: ").skip(1).map(str::to_owned).collect()
}

async fn run(heading: &str) {
    let (_, recipe) = table::RECIPES.iter().find(|(name, _)| *name == heading).unwrap();
    let documented = documented();
    let (_, yaml) = documented.iter().find(|(name, _)| *name == heading).unwrap();
    let folder = tempfile::tempdir().unwrap();
    for (name, content) in recipe.files {
        assert!(yaml.contains(name), "{heading}: {name} is not a file of the recipe");
        std::fs::write(folder.path().join(name), content).unwrap();
    }
    let file = folder.path().join("tidegate.yaml");
    std::fs::write(&file, yaml).unwrap();
    let found = warnings(heading, &file);
    assert_eq!(found.len(), recipe.warnings.len(), "{heading}: {found:#?}");
    for part in recipe.warnings {
        assert!(found.iter().any(|warning| warning.contains(part)), "{heading}: {part}: {found:#?}");
    }

    let grpc = yaml.contains(UPSTREAM_H2C);
    let upstream = if grpc { Upstream::start_as(Dialect::H2c).await } else { steps::upstream().await };
    let redis = if yaml.contains(REDIS) { Some(Redis::start().await) } else { None };
    std::fs::write(&file, adapted(yaml, upstream.address, redis.as_ref())).unwrap();
    let mut instances = Vec::new();
    for _ in 0..recipe.instances {
        instances.push(Tidegate::with_config(&file).await);
    }
    let around = Instances { instances: &instances, upstream: &upstream };
    for step in recipe.steps {
        step.take(heading, &around).await;
    }
    for (series, value) in recipe.metrics {
        assert_eq!(instances[0].metric(series).await, Some(*value), "{heading}: {series}");
    }
}

#[test]
fn every_recipe_of_the_page_is_run_and_no_other() {
    let documented: Vec<&str> = documented().into_iter().map(|(heading, _)| heading).collect();
    let tested: Vec<&str> = table::RECIPES.iter().map(|(heading, _)| *heading).collect();
    assert_eq!(documented, tested);
    assert_eq!(documented.len(), 20);
}

#[test]
fn every_recipe_has_requests() {
    for (heading, recipe) in table::RECIPES {
        assert!(recipe.steps.iter().any(Step::is_admitted), "{heading}: no request is admitted");
        let shows_more = recipe.steps.iter().any(Step::is_refused) || !recipe.metrics.is_empty();
        assert!(shows_more, "{heading}: no request is refused, and no series shows one");
    }
}

/// The links of the table at the start are to the headings, as GitHub makes their anchors.
#[test]
fn the_table_of_needs_has_every_recipe() {
    let (start, _) = PAGE.split_once("\n## ").unwrap();
    for (heading, _) in documented() {
        let anchor = heading.to_lowercase().replace(' ', "-");
        assert!(start.contains(&format!("[{heading}](#{anchor})")), "{heading}");
    }
}
