//! Rules whose clients choose the counter, and what bounds them.

use super::{file, listed, right};

const FREE: &str = "does not limit a client that sends another";

fn warnings(rest: &str) -> String {
    listed(&right(&file(rest)).warnings)
}

#[test]
fn a_second_limit_bounds_clients_that_choose_their_counter() {
    for global in [
        "{ name: b, key: client_ip, rate: 9/s }",
        "{ name: b, rate: 9/s }",
        "{ name: b, key: [client_ip, method], rate: 9/s }",
        "{ name: b, key: 'tls:san', on_missing: shared, rate: 9/s }",
        "{ name: b, match: { path: /x/* }, key: client_ip, rate: 9/s }",
    ] {
        let rest = format!(
            "global: [{global}]\nrules: [{{ name: a, match: {{ path: /x }}, key: 'header:X-Api-Key', rate: 1/s }}]"
        );
        assert!(!warnings(&rest).contains(FREE), "{rest}");
    }
}

#[test]
fn a_limit_of_other_requests_bounds_none() {
    for global in [
        "{ name: b, key: client_ip, rate: 9/s, mode: shadow }",
        "{ name: b, match: { methods: [POST] }, key: client_ip, rate: 9/s }",
        "{ name: b, key: [client_ip, 'cookie:sid'], rate: 9/s }",
        "{ name: b, key: 'tls:san', on_missing: skip, rate: 9/s }",
        "{ name: b, key: host, rate: 9/s }",
    ] {
        let rest = format!("global: [{global}]\nrules: [{{ name: a, key: 'header:X-Api-Key', rate: 1/s }}]");
        assert!(warnings(&rest).contains("the rule 'a' does not limit a client"), "{rest}");
    }
}

#[test]
fn clients_do_not_choose_every_counter() {
    for rule in [
        "key: client_ip",
        "key: []",
        "match: { path: '/users/{id}' }, key: 'path:id'",
        "key: [host, method]",
        "key: 'header:X-Api-Key', mode: off",
        // The header has one value for each request of the rule.
        "match: { headers: { X-Api-Key: one } }, key: 'header:X-Api-Key'",
        "match: { query: { id: one } }, key: 'query:id'",
    ] {
        let rest = format!("rules: [{{ name: a, rate: 1/s, {rule} }}]");
        assert!(!warnings(&rest).contains(FREE), "{rest}");
    }
    for rule in
        ["match: { headers: { X-Api-Key: '*' } }, key: 'header:X-Api-Key'", "key: [client_ip, 'cookie:sid']"]
    {
        let rest = format!("rules: [{{ name: a, rate: 1/s, {rule} }}]");
        assert!(warnings(&rest).contains(FREE), "{rest}");
    }
}

#[test]
fn a_limit_of_the_command_line_is_named_by_its_flag() {
    use tidegate::config::Overrides;

    let overrides = Overrides {
        limits: vec!["/a=1/s,key=header:X-Api-Key,name=a".to_owned()],
        upstream: Some("http://127.0.0.1:9".to_owned()),
        ..Overrides::default()
    };
    let found = tidegate::config::compile_text("test.yaml", b"{}", &overrides, &|_| Ok(None)).unwrap();
    let [warning] = &*found.warnings else { panic!("{}", listed(&found.warnings)) };
    assert!(warning.path.starts_with("--limit '/a=1/s") && warning.line.is_none(), "{warning}");
    assert!(
        warning.message.contains("the rule 'a' does not limit a client that sends another header:x-api-key"),
        "{warning}"
    );
}
