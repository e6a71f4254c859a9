//! A thousand rules with all kinds of conditions find the same rule as a plain loop over them.

mod covered;
mod plain;

use std::collections::HashMap;
use std::net::Ipv4Addr;

use fastrand::Rng;
use http::{HeaderMap, HeaderName, HeaderValue, Method};
use tidegate::config::{Overrides, compile_text};
use tidegate::policy::client::Client;
use tidegate::policy::query::Query;
use tidegate::policy::{Facts, Parts, Plan, Policy};

use plain::{Request, Rule};

const RULES: usize = 1_000;
const REQUESTS: usize = 100_000;

/// Random rules, each read from a file of its own: in one file, those that are never reached are errors.
fn rules(random: &mut Rng, count: usize) -> (Vec<Rule>, Policy) {
    let (mut rules, mut compiled) = (Vec::new(), Vec::new());
    while rules.len() < count {
        let rule = Rule::random(random);
        let text = format!("upstream: http://127.0.0.1:1\nrules:\n{}", rule.written(rules.len()));
        match compile_text("test.yaml", text.as_bytes(), &Overrides::default(), &|_| Ok(None)) {
            Ok(config) => {
                compiled.extend(config.policy.rules().iter().cloned());
                rules.push(rule);
            }
            Err(faults) => {
                assert!(faults.iter().all(|fault| fault.message.contains("never matches")), "{faults:?}")
            }
        }
    }
    (rules, Policy::new(Parts { rules: compiled, ..Parts::default() }))
}

/// The rules that a request counts against, in order. None: there are too many.
fn decided(policy: &Policy, request: &Request) -> Option<Vec<usize>> {
    let method: Method = request.method.parse().unwrap();
    let mut headers = HeaderMap::new();
    for (name, value) in &request.headers {
        headers.append(HeaderName::from_static(name), HeaderValue::from_static(value));
    }
    let address = Ipv4Addr::from(request.client).into();
    let query = request.query();
    let facts = Facts {
        method: &method,
        host: request.host,
        path: &request.path,
        decoded_path: None,
        query: Query::new(&query),
        headers: &headers,
        websocket: request.websocket,
        client: Client { peer: address, address, direct: true, trusted_peer: true },
        names: &[],
    };
    match policy.plan(&facts) {
        Plan::Check { checks, .. } => {
            Some(checks.iter().map(|check| check.rule.name.parse().unwrap()).collect())
        }
        Plan::TooManyReadings { .. } => None,
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_thousand_rules_are_searched_as_a_plain_loop_does() {
    let mut random = Rng::with_seed(16);
    let (rules, policy) = rules(&mut random, RULES);
    let mut paths: HashMap<String, Vec<usize>> = HashMap::new();
    let (mut matched, mut several, mut refused) = (0, 0, 0);
    for _ in 0..REQUESTS {
        let request = Request::random(&mut random);
        let readings = request.readings();
        // Only few paths differ.
        let on_path = paths.entry(request.path.clone()).or_insert_with(|| {
            let has_path = |index: &usize| rules[*index].has_path(&readings[0]);
            (0..rules.len()).filter(has_path).collect::<Vec<usize>>()
        });
        let first = |reading| on_path.iter().copied().find(|index| rules[*index].matches(reading));
        let mut firsts: Vec<usize> = readings.iter().filter_map(first).collect();
        firsts.sort_unstable();
        firsts.dedup();
        matched += usize::from(!firsts.is_empty());
        several += usize::from(firsts.len() > 1);
        match decided(&policy, &request) {
            // No request escapes a rule that takes it in one reading.
            Some(found) if readings.len() > 1 => {
                assert!(firsts.iter().all(|rule| found.contains(rule)), "{firsts:?} {found:?} {request:?}");
            }
            Some(found) => assert_eq!(found, firsts, "{request:?}"),
            None => {
                assert!(readings.len() > 1, "{request:?}");
                refused += 1;
            }
        }
    }
    // The requests were worth sending.
    assert!(matched > REQUESTS / 4 && matched < REQUESTS, "{matched} requests matched");
    assert!(several > REQUESTS / 100, "{several} requests had several rules");
    assert!(refused > 0 && refused < REQUESTS / 20, "{refused} requests were refused");
}
