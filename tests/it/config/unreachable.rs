//! Rules that no request reaches, as an earlier one takes all of theirs.

use super::file;

/// Pairs of rules of which the second is never reached.
const UNREACHABLE: &[(&str, &str)] = &[
    ("path: /a", "path: /a"),
    ("path: '/a/{x}'", "path: /a/b"),
    ("path: /a/*", "path: '/a/{x}/c'"),
    ("path: /a", "path: /a/"),
    ("methods: [GET]", "methods: [HEAD]"),
    ("methods: [GET, POST]", "methods: [POST], path: /a"),
    ("hosts: ['*.b.c']", "hosts: [a.b.c]"),
    ("hosts: [A.B.C]", "hosts: [a.b.c.]"),
    ("headers: { X-A: '*' }", "headers: { x-a: '1', X-B: '2' }"),
    ("headers: { X-A: '*' }", "headers: { X-A: 'a*' }"),
    ("headers: { X-A: 'a*' }", "headers: { X-A: 'ab*' }"),
    ("headers: { X-A: 'a*' }", "headers: { X-A: a }"),
    ("headers: { X-A: 'a*' }", "headers: { X-A: abc }, path: /a"),
    ("headers: { Authorization: 'bearer *' }", "headers: { Authorization: 'BEARER  abc' }"),
    ("websocket: true", "websocket: true, path: /a"),
    ("websocket: false", "websocket: false, methods: [GET]"),
    ("websocket: false", "methods: [POST, HEAD]"),
    ("methods: [GET]", "websocket: true"),
    ("path: /a/*", "path: /a/b, websocket: false"),
    ("", "path: /a"),
];

#[test]
fn a_rule_that_is_never_reached_names_the_one_above() {
    for (first, second) in UNREACHABLE {
        let text = file(&format!(
            "rules:\n- {{ name: one, rate: 1/s, match: {{ {first} }} }}\n- {{ name: two, rate: 1/s, match: {{ {second} }} }}\n"
        ));
        let found = super::diagnostics(&text);
        let [diagnostic] = &*found else { panic!("{text}{}", super::listed(&found)) };
        assert_eq!(
            (diagnostic.line, diagnostic.column, &*diagnostic.path),
            (Some(4), Some(11), "rules[1].name"),
            "{text}"
        );
        assert!(diagnostic.message.contains("'one' takes all of its requests (line 3)"), "{diagnostic}");
        assert!(diagnostic.help.contains("move it above 'one'"), "{diagnostic}");
        // The other way round each has requests of its own, unless the two are the same.
        let text = file(&format!(
            "rules:\n- {{ name: two, rate: 1/s, match: {{ {second} }} }}\n- {{ name: one, rate: 1/s, match: {{ {first} }} }}\n"
        ));
        let same = ["path: /a", "hosts: [A.B.C]"].contains(first);
        assert_eq!(super::compile(&text).is_ok(), !same, "{text}");
    }
}

#[test]
fn rules_of_upgrades_leave_each_other_their_requests() {
    for (first, second) in [
        ("websocket: true", "websocket: false"),
        ("websocket: true", "methods: [GET]"),
        ("methods: [POST, HEAD]", "websocket: true"),
        ("methods: [GET], websocket: false", "websocket: true"),
        ("websocket: true", "path: /a"),
    ] {
        let text = file(&format!(
            "rules:\n- {{ name: one, rate: 1/s, match: {{ {first} }} }}\n- {{ name: two, rate: 1/s, match: {{ {second} }} }}\n"
        ));
        assert_eq!(super::right(&text).policy.rules().len(), 2, "{text}");
    }
}

#[test]
fn a_condition_that_cannot_be_read_makes_no_later_rule_unreachable() {
    let text =
        file("rules:\n- { name: one, rate: 1/s, match: { methods: [5] } }\n- { name: two, rate: 1/s }\n");
    let found = super::diagnostics(&text);
    assert_eq!(found.len(), 1, "{}", super::listed(&found));
}
