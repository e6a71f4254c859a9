//! The alerts under k8s/monitoring: valid, each fires in its scenario and in no other, and each is in the runbook.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_yaml::Value;

const RUNBOOK: &str = include_str!("../../../docs/runbook.md");
const RULES: &str = include_str!("../../../k8s/monitoring/rules.yaml");
const SCENARIOS: &str = include_str!("../../../k8s/monitoring/rules.test.yaml");
const RESOURCE: &str = include_str!("../../../k8s/monitoring/prometheus-rule.yaml");

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("k8s/monitoring")
}

fn promtool(arguments: &[&str]) {
    let output = Command::new("promtool").args(arguments).current_dir(folder()).output();
    let output = output.expect("promtool is not installed; `make test` does that");
    let printed = [output.stdout, output.stderr].concat();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&printed));
}

/// The alerts of the file, each with its annotations.
fn alerts() -> Vec<(String, Value)> {
    let file: Value = serde_yaml::from_str(RULES).unwrap();
    let groups = file["groups"].as_sequence().unwrap();
    let rules = groups.iter().flat_map(|group| group["rules"].as_sequence().unwrap());
    let alerts = rules.filter(|rule| rule.get("alert").is_some());
    alerts.map(|rule| (rule["alert"].as_str().unwrap().to_owned(), rule["annotations"].clone())).collect()
}

#[test]
fn the_rules_are_valid() {
    promtool(&["check", "rules", "rules.yaml"]);
}

#[test]
fn each_alert_fires_in_its_scenario_and_in_no_other() {
    promtool(&["test", "rules", "rules.test.yaml"]);
}

#[test]
fn each_alert_has_a_scenario() {
    let tests: Value = serde_yaml::from_str(SCENARIOS).unwrap();
    let tests = tests["tests"].as_sequence().unwrap();
    let samples = tests.iter().flat_map(|test| test["promql_expr_test"].as_sequence().unwrap());
    let fired: BTreeSet<String> = samples
        .filter_map(|test| test.get("exp_samples")?[0]["labels"].as_str())
        .map(|labels| labels.split('"').nth(1).unwrap().to_owned())
        .collect();
    assert_eq!(fired, alerts().into_iter().map(|(name, _)| name).collect());
}

#[test]
fn each_alert_has_a_summary_a_description_and_a_section_of_the_runbook() {
    let alerts = alerts();
    for (name, annotations) in &alerts {
        for key in ["summary", "description"] {
            assert!(annotations[key].as_str().is_some_and(|text| text.len() > 20), "{name}: {key}");
        }
        let anchor = format!("docs/runbook.md#{}", name.to_lowercase());
        assert_eq!(annotations["runbook"].as_str(), Some(&*anchor), "{name}");
        assert!(RUNBOOK.contains(&format!("\n## {name}\n")), "{name} has no section");
    }
    let sections = RUNBOOK.lines().filter(|line| line.starts_with("## ")).count();
    assert_eq!(sections, alerts.len(), "a section of an alert that is gone");
}

#[test]
fn the_resource_of_the_operator_has_the_same_rules() {
    let [plain, resource]: [Value; 2] = [RULES, RESOURCE].map(|text| serde_yaml::from_str(text).unwrap());
    assert_eq!(resource["kind"], "PrometheusRule");
    assert_eq!(resource["spec"]["groups"], plain["groups"], "`make monitoring` writes the resource");
}
