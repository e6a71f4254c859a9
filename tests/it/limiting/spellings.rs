//! A rule on one path, and all the ways to spell that path: what the application could take for it, the rule counts.

use super::statuses;
use crate::harness::{Tidegate, Upstream, Wire, client, flood};
use crate::lenient::{Beyond, readings};

const RESOURCE: &str = "/api/v1/tasks";

/// What becomes of a spelling.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Verdict {
    /// 400, and the application sees nothing.
    Refused,
    /// The rule counts it.
    Counted,
    /// The rule does not count it, and what is forwarded is another resource.
    Other,
    /// The same, but for servers of this habit.
    OtherUnless(Beyond),
}
use Beyond::{
    DecodesBeforeParameters, DecodesTwice, IgnoresCase, MapsLookAlikes, StripsFormat, TrimsDotsAndBlanks,
};
use Verdict::{Counted, Other, OtherUnless, Refused};

#[rustfmt::skip]
const SPELLINGS: &[(&str, Verdict)] = &[
    // Slashes.
    ("//api/v1/tasks", Counted),
    ("/api//v1///tasks", Counted),
    ("/api/v1/tasks/", Counted),
    ("/api/v1/tasks//", Counted),
    ("/api/v1/tasks/%2f", Refused),
    ("/api%2Fv1/tasks", Counted),
    ("/api%2fv1%2ftasks", Counted),
    ("/%2Fapi/v1/tasks", Refused),
    ("/api\\v1\\tasks", Counted),
    ("/api%5cv1/tasks", Counted),
    ("/api%5cv1%2ftasks", Refused),
    ("/api/v1/x%5C..%5Ctasks", Refused),
    ("\\api\\v1\\tasks", Refused),
    ("//app.test/api/v1/tasks", Other),
    ("///app.test//api/v1/tasks", Other),
    // Dots.
    ("/api/./v1/tasks", Counted),
    ("/api/v1/tasks/.", Counted),
    ("/api/v1/tasks/./", Counted),
    ("/api/v1/tasks/x/..", Counted),
    ("/api/x/../v1/tasks", Counted),
    ("/./api/v1/tasks", Counted),
    ("/api/%2e/v1/tasks", Counted),
    ("/api/%2E/v1/tasks", Counted),
    ("/api/x/%2e%2E/v1/tasks", Counted),
    ("/api/x/.%2e/v1/tasks", Counted),
    ("/x//../api/v1/tasks", Counted),
    ("/../api/v1/tasks", Refused),
    ("/api/../../api/v1/tasks", Refused),
    ("/api/x/..%2fv1/tasks", Refused),
    ("/api/.../v1/tasks", Other),
    ("/api/v1/tasks.", OtherUnless(TrimsDotsAndBlanks)),
    ("/api/v1/tasks%2e", OtherUnless(TrimsDotsAndBlanks)),
    ("/api/v1/tasks./", OtherUnless(TrimsDotsAndBlanks)),
    ("/api/v1/tasks.json", OtherUnless(StripsFormat)),
    // Parameters.
    ("/api/v1/tasks;", Counted),
    ("/api/v1/tasks;jsessionid=1", Counted),
    ("/api/v1/tasks;a=1/", Counted),
    ("/api;x/v1;y=2/tasks;z", Counted),
    ("/api/v1/tasks;%2e", Counted),
    ("/api/v1/x/..;/tasks", Refused),
    ("/api/v1/x/%2e%2e;a/tasks", Refused),
    ("/api/;x/v1/tasks", Refused),
    ("/api/.;x/v1/tasks", Refused),
    ("/api/v1/tasks/;x", Refused),
    ("/;/api/v1/tasks", Refused),
    ("/api/v1/tasks%3Bx", OtherUnless(DecodesBeforeParameters)),
    // Escapes.
    ("/%61pi/v1/tasks", Counted),
    ("/api/v1/%74%61%73%6b%73", Counted),
    ("/api/v1/%74%61%73%6B%73", Counted),
    ("/api/%76%31/tasks", Counted),
    ("/%61%70%69/%2e/v1//tasks/", Counted),
    ("/api/v1/%2574asks", OtherUnless(DecodesTwice)),
    ("/api/%252e/v1/tasks", OtherUnless(DecodesTwice)),
    ("/api%252fv1/tasks", OtherUnless(DecodesTwice)),
    ("/api%255cv1/tasks", Other),
    ("/api/v1/tasks%zz", Refused),
    ("/api/v1/tasks%", Refused),
    ("/api/v1/tasks%2", Refused),
    ("/api%u002fv1/tasks", Refused),
    ("/api/v1/%u0074asks", Refused),
    ("/api%c0%afv1/tasks", Refused),
    ("/api/%C0%AE/v1/tasks", Refused),
    ("/api%e0%80%afv1/tasks", Refused),
    ("/api%EF%BC%8Fv1/tasks", OtherUnless(MapsLookAlikes)),
    ("/api/v1/\u{ff54}asks", OtherUnless(MapsLookAlikes)),
    ("/api/v1/tasks%E2%80%8B", Other),
    // Blanks and controls.
    ("/api/v1/tasks%00", Refused),
    ("/api/v1/tasks%00.png", Refused),
    ("/api/v1/tasks%09", Refused),
    ("/api/v1/tasks%0a", Refused),
    ("/api/v1/tasks%0D%0AX:1", Refused),
    ("/api/v1/tasks%7F", Refused),
    ("/api/v1/tasks\u{0}", Refused),
    ("/api/v1/tasks\t", Refused),
    ("/api/v1/tasks /x", Refused),
    ("/api/v1/tasks%20", OtherUnless(TrimsDotsAndBlanks)),
    ("/%20api/v1/tasks", Other),
    ("/api/v1/+tasks", Other),
    // Queries and fragments.
    ("/api/v1/tasks?", Counted),
    ("/api/v1/tasks?a=/../x", Counted),
    ("/api/v1/tasks??", Counted),
    ("/api/v1/tasks/?x", Counted),
    ("/api/v1/tasks;x?y;z", Counted),
    ("/api/v1/tasks#x", Refused),
    ("/api/v1/tasks#/../x", Refused),
    ("/api/v1/tasks%3Fx", OtherUnless(DecodesTwice)),
    ("/api/v1/tasks%23x", OtherUnless(DecodesTwice)),
    ("/x?/../api/v1/tasks", Other),
    ("/?/api/v1/tasks", Other),
    // Letters.
    ("/API/v1/tasks", OtherUnless(IgnoresCase)),
    ("/api/v1/%54asks", OtherUnless(IgnoresCase)),
    // Forms of the target.
    ("http://app.test/api/v1/tasks", Counted),
    ("HTTP://APP.test//api/./v1/tasks/", Counted),
    ("http://app.test/api%2fv1/tasks", Counted),
    ("http://other.test/api/v1/tasks", Refused),
    ("api/v1/tasks", Refused),
    ("*", Refused),
    // Neighbours.
    ("/api/v1/task", Other),
    ("/api/v1/tasks/1", Other),
    ("/api/v1/tasks-2", Other),
    ("/x/api/v1/tasks", Other),
    ("/api/v1", Other),
];

#[tokio::test]
async fn no_spelling_that_a_server_could_take_for_the_resource_escapes_its_rule() {
    let upstream = Upstream::start().await;
    let tidegate = Tidegate::start(upstream.address, &[&format!("--limit={RESOURCE}=1/h")]).await;
    assert_eq!(Wire::to(tidegate.address).await.ask(&format!("GET {RESOURCE}"), &[]).await.status, 200);
    let mut faults = String::new();
    for &(spelling, want) in SPELLINGS {
        let before = upstream.seen().len();
        let answer = Wire::to(tidegate.address).await.ask(&format!("GET {spelling}"), &[]).await;
        let forwarded = upstream.seen().get(before).map(|seen| seen.target.clone());
        let got = match (answer.status, &forwarded) {
            (400, None) => Refused,
            (429, None) => Counted,
            (200, Some(target)) => judged(target, want),
            other => panic!("{spelling}: {other:?}"),
        };
        if got != want {
            faults += &format!("{spelling} was {got:?}, not {want:?}; forwarded: {forwarded:?}\n");
        }
    }
    assert!(faults.is_empty(), "\n{faults}");
    assert!(SPELLINGS.len() >= 100, "{}", SPELLINGS.len());
}

/// What was forwarded without a check, as the most lenient server takes it.
fn judged(target: &str, want: Verdict) -> Verdict {
    let is_resource = |target: &str| readings(target).contains(RESOURCE.as_bytes());
    assert!(!is_resource(target), "{target} is the resource, and was not counted");
    match want {
        // What is said to be out of reach is shown to be it.
        OtherUnless(beyond) if is_resource(&beyond.read(target)) => want,
        _ => Other,
    }
}

/// A section `path`, a rule's path, the request, and what is forwarded of it when it is counted.
#[rustfmt::skip]
const CHOICES: &[(&str, &str, &str, Option<&str>)] = &[
    ("encoded_slashes: both", "/p/{id}", "/p/group%2fname", Some("/p/group%2Fname")),
    ("encoded_slashes: both", "/p/group/name", "/p/group%2fname", Some("/p/group%2Fname")),
    ("encoded_slashes: keep", "/p/{id}", "/p/group%2fname", Some("/p/group%2Fname")),
    ("encoded_slashes: keep", "/p/group%2Fname", "/p/group%2fname", Some("/p/group%2Fname")),
    ("encoded_slashes: keep", "/p/group/name", "/p/group%2fname", None),
    ("encoded_slashes: decode", "/p/group/name", "/p/group%2fname", Some("/p/group/name")),
    ("backslashes: both", "/p/{id}", "/p/a\\b", Some("/p/a%5Cb")),
    ("backslashes: both", "/p/a/b", "/p/a\\b", Some("/p/a%5Cb")),
    ("backslashes: keep", "/p/a\\b", "/p/a%5cb", Some("/p/a%5Cb")),
    ("backslashes: slash", "/p/a/b", "/p\\a%5Cb", Some("/p/a/b")),
    ("empty_segments: keep", "/p//b", "/p//b", Some("/p//b")),
    ("empty_segments: keep", "/p/b", "/p//b", None),
    ("empty_segments: keep", "/p/{id}/b", "/p//b", None),
    ("empty_segments: keep", "/p/*", "/p//b//", Some("/p//b//")),
    ("invalid_escapes: escape", "/p/100%25", "/p/100%", Some("/p/100%25")),
    ("case: insensitive", "/P/Tasks", "/p/tASKS", Some("/p/tASKS")),
];

#[tokio::test]
async fn rules_read_a_path_as_it_is_forwarded() {
    let upstream = Upstream::start().await;
    for &(choice, path, request, want) in CHOICES {
        let config = format!(
            "store: {{ memory: {{}} }}\npath: {{ {choice} }}\n\
             rules: [{{ name: one, match: {{ path: '{path}' }}, rate: 1/h }}]"
        );
        let tidegate = Tidegate::configured(upstream.address, &config).await;
        let mut wire = Wire::to(tidegate.address).await;
        assert_eq!(wire.ask(&format!("GET {request}"), &[]).await.status, 200, "{choice}, {request}");
        let forwarded = upstream.last().target;
        let again = wire.ask(&format!("GET {request}"), &[]).await.status;
        assert_eq!(again, if want.is_some() { 429 } else { 200 }, "{choice}, {path}, {request}");
        assert_eq!(forwarded, want.unwrap_or(request).replace("%2f", "%2F"), "{choice}, {request}");
    }
}

/// A rule that refuses no request, with this reading of paths.
fn reading(path: &str) -> String {
    format!("store: {{ memory: {{}} }}\npath: {{ {path} }}\nrules: [{{ name: one, rate: 1000/s }}]")
}

const STRICT: &str = "dot_segments: reject, empty_segments: reject, encoded_slashes: reject";

#[tokio::test]
async fn what_a_choice_refuses_does_not_reach_the_upstream() {
    let upstream = Upstream::start().await;
    let tidegate = Tidegate::configured(upstream.address, &reading(STRICT)).await;
    for path in ["/a/./b", "/a/%2e%2e/b", "/a//b", "/a/b%2fc"] {
        assert_eq!(
            Wire::to(tidegate.address).await.ask(&format!("GET {path}"), &[]).await.status,
            400,
            "{path}"
        );
    }
    assert!(upstream.seen().is_empty());
}

#[tokio::test]
async fn a_reload_changes_how_paths_are_read() {
    let upstream = Upstream::start().await;
    let tidegate = Tidegate::configured(upstream.address, &reading(STRICT)).await;
    let status = Wire::to(tidegate.address).await.ask("GET /a//b%2fc", &[]).await.status;
    assert_eq!(status, 400);
    tidegate.rewrite(&reading("encoded_slashes: keep"));
    let kept = async || {
        let mut wire = Wire::to(tidegate.address).await;
        (wire.ask("GET /a//b%2fc", &[]).await.status == 200).then_some(())
    };
    crate::harness::eventually("the new reading to act", kept).await;
    assert_eq!(upstream.last().target, "/a/b%2Fc");
}

#[tokio::test]
async fn a_slash_at_the_end_of_the_rule_makes_no_difference_either() {
    let upstream = Upstream::start().await;
    let tidegate = Tidegate::start(upstream.address, &["--limit=/x/=2/h"]).await;
    let client = client();
    let paths = ["/x", "/x/"];
    let answers = flood(4, |number| client.get(tidegate.url(paths[number % 2])));
    assert_eq!(answers.await, statuses([(200, 2), (429, 2)]));
}
