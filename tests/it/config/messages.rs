//! The form of a diagnostic, its position, and what it must not show.

use super::{compile_with, diagnostics, file, listed};
use tidegate::config::Overrides;

#[test]
fn a_diagnostic_reads_as_those_of_rustc() {
    let found = diagnostics(&file("rules:\n  - name: a\n    rate: 10/fortnight"));
    assert_eq!(
        found[0].to_string(),
        "error: invalid rate '10/fortnight'\n \
         --> test.yaml:4:11: rules[0].rate\n    \
         help: expected N/s, N/min, N/h, N/day or N/DURATION, such as 30/min or 100/90s"
    );
}

const WITH_CRLF: &str = "upstream: http://127.0.0.1:9080\r\nrules:\r\n  - name: a\r\n    rate: never\r\n";

#[test]
fn crlf_changes_no_position() {
    let found = diagnostics(WITH_CRLF);
    assert_eq!((found.len(), found[0].line, found[0].column), (1, Some(4), Some(11)), "{}", listed(&found));
}

#[test]
fn a_byte_order_mark_changes_no_position() {
    let found = diagnostics(&format!("\u{feff}{WITH_CRLF}"));
    assert_eq!((found.len(), found[0].line, found[0].column), (1, Some(4), Some(11)), "{}", listed(&found));
}

#[test]
fn columns_count_characters() {
    let found = diagnostics(&file("rules: [{ name: a, match: { path: /caf\u{e9}\u{1f600} }, rate: never }]"));
    assert_eq!((found[0].line, found[0].column), (Some(2), Some(51)), "{}", listed(&found));
}

#[test]
fn no_message_holds_a_password_or_a_control_character() {
    let wrong = [
        "store: { redis: { url: 'redis://u:hunter2@a/b' } }",
        "store: { redis: { url: 'ftp://u:hunter2@a' } }",
        "store: { redis: { url: redis://a, password: hunter2 } }",
        "bypass: [{ name: a, header: X-T, secret: hunter2 }]",
        "store: redis://u:hunter2@a",
        "store: { redis: 'redis://u:hunter2@a' }",
        "rules: 'http://u:hunter2@a'",
        "rules: [{ name: a, rate: 1/s, match: { path: \"/a\\e[31mb\" } }]",
        "\"\\e[31mred\\n\": 1",
        "rules: [{ name: \"\\e]0;x\\a\", rate: \"\\u202e1/s\" }]",
    ];
    for rest in wrong {
        let said = listed(&diagnostics(&file(rest)));
        let clean = said.chars().all(|c| c == '\n' || (!c.is_control() && c != '\u{202e}'));
        assert!(clean && !said.contains("hunter2"), "{said}");
    }
    for scheme in ["http", "https", "ftp", "redis"] {
        let upstream = listed(&diagnostics(&format!("upstream: {scheme}://u:hunter2@app/x")));
        assert!(!upstream.contains("hunter2"), "{upstream}");
    }
    let overrides = Overrides { redis: Some("redis://u:hunter2@a/b".to_owned()), ..Overrides::default() };
    let flag = compile_with(&file("rules: []"), &overrides).unwrap_err();
    assert!(!listed(&flag).contains("hunter2"), "{}", listed(&flag));
}

#[test]
fn no_message_about_an_upstream_holds_a_password() {
    for url in [
        "http://u:hunter2@a",
        "https://u:hunter2@a/b",
        "unix://u:hunter2@a/b",
        "h2c+unix://hunter2@a",
        "x://hunter2@",
    ] {
        for text in [format!("upstream: '{url}'"), format!("upstream: {{ url: '{url}' }}")] {
            let said = listed(&diagnostics(&text));
            assert!(!said.contains("hunter2"), "{said}");
        }
    }
}

#[test]
fn no_message_about_redis_holds_a_secret() {
    for text in [
        "url: 'redis://u:hunter2@a/b'",
        "url: 'rediss://u:hunter2@a#b'",
        "url: 'redis://u:hunter2@'",
        "sentinel: { master: m, urls: ['redis://u:hunter2@s'] }",
        "sentinel: 'redis://u:hunter2@s'",
        "sentinel: { master: m, urls: redis://s, password: hunter2 }",
        "cluster: ['redis://u:hunter2@s', 'redis://u:hunter2@s/2', 'hunter2://a']",
        "cluster: { a: 'redis://u:hunter2@s' }",
    ] {
        let said = listed(&diagnostics(&file(&format!("store: {{ redis: {{ {text} }} }}"))));
        assert!(!said.contains("hunter2"), "{said}");
    }
}

#[test]
fn a_socket_has_room_for_107_bytes() {
    let found = diagnostics(&format!("upstream: unix:/{}", "x".repeat(107)));
    let [diagnostic] = &*found else { panic!("{}", listed(&found)) };
    assert!(diagnostic.message.contains("108 bytes, more than the 107"), "{diagnostic}");
    assert!(diagnostic.help.contains("shorter path"), "{diagnostic}");
}
