//! Tiers: clients with other limits than the rest.

use std::path::Path;

use super::{statuses, text};
use crate::harness::{Redis, Tidegate, Upstream, client, eventually, flood, h2_client, standing};

const MEMORY: &str = "store: { memory: {} }";

/// One rule with a tier by condition, one by keys, and one that is unlimited.
fn rules(folder: &Path) -> String {
    format!(
        "
tiers:
  - {{ name: gold, match: {{ headers: {{ X-Plan: gold }} }} }}
  - {{ name: partner, keys_file: {}/partners }}
  - {{ name: staff, match: {{ headers: {{ X-Plan: staff }} }} }}
rules:
  - name: x
    match: {{ path: /x }}
    key: ['header:X-Api-Key']
    rate: 1/h
    tiers: {{ gold: {{ rate: 3/h, burst: 1 }}, partner: {{ limits: [{{ rate: 2/h }}, {{ rate: 100/day }}] }}, staff: unlimited }}
",
        folder.display()
    )
}

async fn sends(
    tidegate: &Tidegate,
    client: &reqwest::Client,
    fields: &[(&'static str, &str)],
    count: usize,
) -> Vec<u16> {
    let mut statuses = Vec::new();
    for _ in 0..count {
        let request = client.get(tidegate.url("/x"));
        let request = fields.iter().fold(request, |request, (name, value)| request.header(*name, *value));
        statuses.push(request.send().await.unwrap().status().as_u16());
    }
    statuses
}

async fn each_tier_has_its_limit(store: &str) {
    let (upstream, folder) = (Upstream::start().await, tempfile::tempdir().unwrap());
    std::fs::write(folder.path().join("partners"), "# of 2026\npartner-key\n").unwrap();
    let tidegate =
        Tidegate::configured(upstream.address, &format!("{store}\n{}", rules(folder.path()))).await;
    for (client, run) in [(client(), "1"), (h2_client(), "2")] {
        let key = |name: &str| format!("{name}-{run}");
        let base = sends(&tidegate, &client, &[("x-api-key", &key("base"))], 3).await;
        assert_eq!(base, [200, 429, 429]);
        let gold = sends(&tidegate, &client, &[("x-api-key", &key("gold")), ("x-plan", "gold")], 5).await;
        assert_eq!(gold, [200, 200, 200, 200, 429]);
        let staff = sends(&tidegate, &client, &[("x-api-key", &key("staff")), ("x-plan", "staff")], 5).await;
        assert_eq!(staff, [200; 5]);
    }
    let partner = sends(&tidegate, &client(), &[("x-api-key", "partner-key")], 3).await;
    assert_eq!(partner, [200, 200, 429]);
    assert_eq!(tidegate.counted("x", "unlimited").await, 10.0);
    assert_eq!(tidegate.counted("x", "allowed").await, 2.0 + 8.0 + 2.0);
    assert_eq!(tidegate.counted("x", "limited").await, 4.0 + 2.0 + 1.0);
}

#[tokio::test]
async fn each_tier_has_its_limit_in_memory() {
    each_tier_has_its_limit(MEMORY).await;
}

#[tokio::test]
async fn each_tier_has_its_limit_in_redis() {
    let redis = Redis::start().await;
    each_tier_has_its_limit(&format!("store: {{ redis: {{ url: \"{}\", timeout: 10s }} }}", redis.url()))
        .await;
}

/// With an empty file of partners.
async fn started() -> (Upstream, tempfile::TempDir, Tidegate) {
    let (upstream, folder) = (Upstream::start().await, tempfile::tempdir().unwrap());
    std::fs::write(folder.path().join("partners"), "").unwrap();
    let tidegate =
        Tidegate::configured(upstream.address, &format!("{MEMORY}\n{}", rules(folder.path()))).await;
    (upstream, folder, tidegate)
}

#[tokio::test]
async fn a_tier_changes_the_limit_and_not_the_counter() {
    let (_upstream, _folder, tidegate) = started().await;
    let (gold, plain) = (&[("x-api-key", "a"), ("x-plan", "gold")][..], &[("x-api-key", "a")][..]);
    assert_eq!(sends(&tidegate, &client(), plain, 2).await, [200, 429]);
    assert_eq!(sends(&tidegate, &client(), gold, 4).await, [200, 200, 200, 429], "one of 3 + 1 is used");
    assert_eq!(sends(&tidegate, &client(), plain, 1).await, [429]);
}

#[tokio::test]
async fn the_first_of_the_tiers_that_a_rule_names_applies() {
    let (upstream, folder) = (Upstream::start().await, tempfile::tempdir().unwrap());
    std::fs::write(folder.path().join("partners"), "both\n").unwrap();
    let tidegate =
        Tidegate::configured(upstream.address, &format!("{MEMORY}\n{}", rules(folder.path()))).await;
    let both = sends(&tidegate, &client(), &[("x-api-key", "both"), ("x-plan", "gold")], 5).await;
    assert_eq!(both, [200, 200, 200, 200, 429], "the limit of gold, which is above partner");
}

#[tokio::test]
async fn a_client_learns_the_limit_of_its_tier() {
    let (_upstream, _folder, tidegate) = started().await;
    let request = client().get(tidegate.url("/x")).header("x-plan", "gold").header("x-api-key", "a");
    let response = request.send().await.unwrap();
    assert_eq!(standing(response.headers()), Some(("x".to_owned(), 3)));
    assert_eq!(text(response.headers(), "ratelimit-policy"), "\"x\";q=3;w=3600");
}

#[tokio::test]
async fn an_unlimited_client_learns_of_no_limit() {
    let (_upstream, _folder, tidegate) = started().await;
    let request = client().get(tidegate.url("/x")).header("x-plan", "staff").header("x-api-key", "a");
    assert_eq!(standing(request.send().await.unwrap().headers()), None);
}

#[tokio::test]
async fn a_file_of_keys_is_read_again_when_it_changes() {
    let (_upstream, folder, tidegate) = started().await;
    let partner = &[("x-api-key", "p")][..];
    assert_eq!(sends(&tidegate, &client(), partner, 2).await, [200, 429]);
    std::fs::write(folder.path().join("partners"), "other\np\n").unwrap();
    eventually("the key to be known", async || {
        (sends(&tidegate, &client(), partner, 1).await == [200]).then_some(())
    })
    .await;
    assert_eq!(sends(&tidegate, &client(), partner, 1).await, [429], "two of two are used");
}

#[tokio::test]
async fn the_spelling_of_another_field_does_not_choose_a_tier() {
    let (upstream, _folder, tidegate) = started().await;
    let odd = &[("x-api-key", "a"), ("x_plan", "gold")][..];
    assert_eq!(sends(&tidegate, &client(), odd, 2).await, [200, 429]);
    assert!(!upstream.last().headers.contains_key("x_plan"), "the upstream may take it for X-Plan");
}

#[tokio::test]
async fn an_unlimited_tier_is_still_under_the_global_limit() {
    let rules = "
global: [{ name: all, rate: 3/h }]
tiers: [{ name: staff, match: { headers: { X-Plan: staff } } }]
rules: [{ name: x, rate: 1/h, trial: { rate: 2/h }, tiers: { staff: unlimited } }]";
    let upstream = Upstream::start().await;
    let tidegate = Tidegate::configured(upstream.address, &format!("{MEMORY}\n{rules}")).await;
    let client = client();
    let staff = |_| client.get(tidegate.url("/")).header("x-plan", "staff");
    assert_eq!(flood(5, staff).await, statuses([(200, 3), (429, 2)]));
    assert_eq!(tidegate.counted("all", "limited").await, 2.0);
    let series = "tidegate_trial_requests_total{rule=\"x\",result=\"limited\"}";
    assert_eq!(tidegate.metric(series).await, Some(3.0), "the trial limit counts all clients of the rule");
}

#[tokio::test]
async fn a_request_of_an_unlimited_tier_with_a_trial_limit_is_unlimited() {
    let rules = "
tiers: [{ name: staff, match: { headers: { X-Plan: staff } } }]
rules: [{ name: x, rate: 1/h, trial: { rate: 2/h }, tiers: { staff: unlimited } }]";
    let upstream = Upstream::start().await;
    let tidegate = Tidegate::configured(upstream.address, &format!("{MEMORY}\n{rules}")).await;
    let client = client();
    let staff = |_| client.get(tidegate.url("/")).header("x-plan", "staff");
    assert_eq!(flood(4, staff).await, statuses([(200, 4)]));
    assert_eq!(tidegate.counted("x", "unlimited").await, 4.0);
}

/// An upstream may take `/a%2Fb` for one segment or for two.
#[tokio::test]
async fn a_tier_by_path_has_to_match_both_readings() {
    let upstream = Upstream::start().await;
    let rules = "
tiers: [{ name: short, match: { path: '/{name}' } }]
rules: [{ name: x, key: [], rate: 1/h, tiers: { short: { rate: 9/h } } }]";
    let tidegate = Tidegate::configured(upstream.address, &format!("{MEMORY}{rules}")).await;
    let mut statuses = Vec::new();
    for path in ["/a/b", "/a%2Fb", "/a"] {
        statuses.push(client().get(tidegate.url(path)).send().await.unwrap().status().as_u16());
    }
    assert_eq!(statuses, [200, 429, 200]);
}
