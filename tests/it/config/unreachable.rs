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
    ("path: [/a/*, /b]", "path: [/b, '/a/{id}']"),
    ("path: [/a, '/{x}']", "path: /c"),
    ("query: { a: '*' }", "query: { a: '1', b: '2' }"),
    ("query: { a: 'x*' }", "query: { a: xy }"),
    ("clients: [10.0.0.0/8]", "clients: [10.1.0.0/16, 10.2.3.4]"),
    ("clients: [10.0.0.0/9, 10.128.0.0/9]", "clients: 10.0.0.0/8, path: /a"),
    ("not: { headers: { X-A: a } }", "not: { headers: { X-A: '*' } }"),
    ("not: { path: /a/b }", "not: { path: /a/* }, methods: [GET]"),
    ("not: { path: /a/b }", "not: { path: [/x, /a/*], query: { q: '*' } }"),
    ("not: { methods: [GET] }", "methods: [POST]"),
    ("not: { methods: [POST] }", "websocket: true"),
    ("not: { websocket: true }", "websocket: false"),
    ("not: { websocket: true }", "methods: [POST]"),
    ("not: { clients: [10.0.0.0/8] }", "clients: [192.0.2.0/24]"),
    ("not: { hosts: [a.b] }", "not: { hosts: ['*.b'] }"),
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
fn a_rule_with_requests_of_its_own_is_reached() {
    for (first, second) in [
        ("path: [/a, /b]", "path: [/b, /c]"),
        ("path: /a, query: { a: '*' }", "path: /a"),
        ("query: { a: '1' }", "query: { a: '*' }"),
        ("query: { a: '1' }", "query: { A: '1' }"),
        ("query: { a: '1' }", "headers: { a: '1' }"),
        ("clients: [10.0.0.0/8]", "clients: [10.0.0.0/8, 192.0.2.1]"),
        ("clients: [10.0.0.0/8]", "path: /a"),
        ("not: { headers: { X-A: '*' } }", "path: /a"),
        ("not: { headers: { X-A: '*' } }", "headers: { X-A: '*' }"),
        ("not: { headers: { X-A: '*' } }", "not: { headers: { X-A: a } }"),
        ("not: { methods: [HEAD] }", "methods: [GET]"),
        ("not: { methods: [GET] }", "methods: [HEAD]"),
        ("not: { websocket: false }", "methods: [GET]"),
        ("not: { path: /a/* }", "not: { path: /a/b }"),
        ("not: { path: /a, methods: [GET] }", "not: { path: /a }"),
        ("not: { clients: [10.0.0.0/8] }", "clients: [10.1.0.0/16]"),
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
