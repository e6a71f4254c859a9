//! Wrong files, but for the rules: each fault at its line and column, with its path and what would be right.

use super::{Wrong, assert_wrong, compile, compile_with, diagnostics, file, listed};
use tidegate::config::Overrides;

/// From line 2 on; line 1 is the upstream.
#[rustfmt::skip]
const SETTINGS: &[Wrong] = &[
    ("ruels: []", "2:1", "ruels", "no key 'ruels'", "did you mean 'rules'?"),
    ("colour: red", "2:1", "colour", "no key 'colour'", "listen, listen_mode, ops_listen, tls, proxy_protocol, upstream"),
    ("1: x", "2:1", "1", "no key '1'", "the keys are"),
    ("[a]: x", "2:1", "[...]", "no key", "the keys are"),
    ("<<: { a: b }", "2:1", "<<", "no key '<<'", "the keys are"),
    ("admin_listen: 127.0.0.1:9901", "2:1", "admin_listen", "not built yet", "remove"),
    ("upstream: http://127.0.0.1:1", "2:1", "upstream", "stands twice (line 1)", "keep one"),
    ("max_connections: 9", "2:1", "max_connections", "stands under bounds", "bounds: { connections"),
    ("timeout: 5s", "2:1", "timeout", "several timeouts", "in bounds"),
    ("cert_file: cert.pem", "2:1", "cert_file", "stand under tls", "write tls:"),
    ("forwarded: yes please", "2:12", "forwarded", "expected a boolean", "true or false"),
    ("listen: 8080", "2:9", "listen", "found the number 8080", "IP:PORT"),
    ("listen: localhost:8080", "2:9", "listen", "'localhost:8080' is no address", "0.0.0.0:8080"),
    ("listen: 0.0.0.0:99999", "2:9", "listen", "is no address", "IP:PORT"),
    ("listen:\n  - 0.0.0.0:80", "3:3", "listen", "found a list", "IP:PORT"),
    ("ops_listen: 0.0.0.0:8080", "2:13", "ops_listen", "taken by listen", "port of their own"),
    ("listen: 127.0.0.1:9080", "1:11", "upstream", "call itself", "another port"),
    ("store: memory", "2:8", "store", "expected a mapping, found the text 'memory'", "memory, redis"),
    ("store: { memory: {}, redis: { url: redis://a } }", "2:22", "store.redis", "two stores (line 2)", "either"),
    ("store: { memory: { max_keys: 0 } }", "2:30", "store.memory.max_keys", "0 is out of range", "from 1 to"),
    ("store: { memory: { max_keys: .nan } }", "2:30", "store.memory.max_keys", "found the number NaN", "whole"),
    ("store: { memory: { max_keys: -.inf } }", "2:30", "store.memory.max_keys", "found the number -inf", "whole"),
    ("store: { memory: { max_keys: 1e6 } }", "2:30", "store.memory.max_keys", "found the number 1000000.0", "whole"),
    ("store: { on_outage: memory }", "2:21", "store.on_outage", "'memory' is not known", "local, open, closed"),
    ("store: { on_outage: opne }", "2:21", "store.on_outage", "'opne' is not known", "did you mean 'open'?"),
    ("store: { on_outage: }", "2:21", "store.on_outage", "found nothing", "local, open, closed"),
    ("client: { trusted_proxies: [10.0.0.0/33] }", "2:29", "client.trusted_proxies[0]", "'10.0.0.0/33' is no network", "10.0.0.0/8"),
    ("client: { trusted_proxies: [10.0.0.0/8, lb] }", "2:41", "client.trusted_proxies[1]", "'lb' is no network", "10.0.0.0/8"),
    ("client: { trusted_proxies: ['::ffff:10.0.0.0/104'] }", "2:29", "client.trusted_proxies[0]", "never matches", "IPv4 network"),
    ("client: { header: X-Real-IP }", "2:19", "client.header", "'X-Real-IP' is not known", "x-forwarded-for, forwarded"),
    ("client: { ipv6_prefix: 129 }", "2:24", "client.ipv6_prefix", "129 is out of range", "from 1 to 128"),
    ("client: { ipv6_prefix: '64' }", "2:24", "client.ipv6_prefix", "found the text '64'", "from 1 to 128"),
    ("client: { hash_secret_file: none }", "2:29", "client.hash_secret_file", "cannot be read", "may read"),
    ("shutdown: { settle: 5s, grace: 2s }", "2:32", "shutdown.grace", "shorter than settle", "grace the longer"),
    ("shutdown: { settle: 26s }", "2:21", "shutdown.settle", "shorter than settle", "grace the longer"),
    ("shutdown: { grace: 2h }", "2:20", "shutdown.grace", "out of range", "0s to 1h"),
    ("bypass: { name: a }", "2:9", "bypass", "expected a list, found a mapping", "- name:"),
    ("bypass: [{ name: a }]", "2:10", "bypass[0]", "no condition", "paths, cidrs"),
    ("bypass: [{ name: a, paths: [/a], cidrs: ['::1'] }]", "2:10", "bypass[0]", "more than one condition", "two bypasses"),
    ("bypass: [{ name: a, paths: [] }]", "2:10", "bypass[0]", "list of the bypass is empty", "add an item"),
    ("bypass: [{ name: a, paths: [a] }]", "2:29", "bypass[0].paths[0]", "starts with '/'", "/files/*"),
    ("bypass: [{ name: a, paths: [/a, b] }]", "2:33", "bypass[0].paths[1]", "starts with '/'", "/files/*"),
    ("bypass: [{ name: a, cidrs: [a] }]", "2:29", "bypass[0].cidrs[0]", "'a' is no network", "10.0.0.0/8"),
    ("bypass: [{ name: a, header: X-T }]", "2:21", "bypass[0].header", "has no secret", "secret_file"),
    ("bypass: [{ name: a, header: 'X T', secret_file: secret }]", "2:29", "bypass[0].header", "no header name", "X-Internal-Token"),
    ("bypass: [{ name: a, header: Upgrade, secret_file: secret }]", "2:29", "bypass[0].header", "no rule sees the header upgrade", "X-Internal-Token"),
    ("bypass: [{ name: a, header: Host, secret_file: secret }]", "2:29", "bypass[0].header", "cannot hold a secret", "X-Internal-Token"),
    ("bypass: [{ name: a, paths: [/a], secret_file: secret }]", "2:34", "bypass[0].secret_file", "has no header", "name the header"),
    ("bypass: [{ name: a, header: X-T, secret_file: lines }]", "2:47", "bypass[0].secret_file", "line break", "one line"),
    ("bypass: [{ name: a, header: X-T, secret_env: UNSET }]", "2:46", "bypass[0].secret_env", "not set", "set it"),
    ("bypass: [{ name: a, header: X-T, secret_env: 'A-B' }]", "2:46", "bypass[0].secret_env", "no environment variable", "letters"),
    ("bypass: [{ name: a, header: X-T, secret_env: A_TOKEN, secret_file: secret }]", "2:34", "bypass[0].secret_env", "two secrets", "either"),
    ("bypass: [{ name: a, header: X-T, secret: x }]", "2:34", "bypass[0].secret", "not stand in this file", "secret_file"),
    ("bypass: [{ paths: [/a] }]", "2:10", "bypass[0].name", "the name is missing", "1 to 64"),
    ("listen: !address 0.0.0.0:80", "2:9", "listen", "a value with a tag", "IP:PORT"),
];

/// Not even YAML, or not a file of ours.
#[rustfmt::skip]
const SYNTAX: &[Wrong] = &[
    ("", "1:1", "", "the file is empty", "upstream:"),
    ("# only a comment\n", "2:1", "", "the file is empty", "upstream:"),
    ("just text", "1:1", "", "expected a mapping, found the text 'just text'", "the keys are"),
    ("- a\n- b", "1:1", "", "expected a mapping, found a list", "the keys are"),
    ("\tlisten: x", "1:1", "", "not YAML", "no tabs"),
    ("store:\n\tmemory: {}", "2:1", "", "not YAML", "no tabs"),
    ("a: 1\n---\nb: 2", "3:1", "", "second YAML document", "---"),
    ("a: [1, 2", "2:1", "", "not YAML", "close the bracket"),
    ("cidrs: [::1]", "1:9", "", "not YAML", "holds ':' in quotes"),
    ("a: \"x", "1:6", "", "not YAML", "close the quotes"),
    ("a: b: c", "1:5", "", "not YAML", "in quotes"),
    ("a: @b", "1:4", "", "not YAML", "in quotes"),
    ("hosts: [*.example.com]", "1:10", "", "not YAML", "starts with '*' in quotes"),
    ("a:\n  - x\n b: 1", "3:2", "", "not YAML", "indentation"),
    ("a: *b", "1:4", "", "unknown anchor", "starts with '*'"),
    ("a: &x [*x]", "1:4", "", "recursion", "levels"),
    ("a\u{0}b", "1:2", "", "control character", "not YAML"),
    ("x: 1\nab\u{1b}[1m", "2:3", "", "control character", "not YAML"),
];

#[test]
fn settings() {
    assert_wrong(SETTINGS, file);
}

#[test]
fn syntax() {
    assert_wrong(SYNTAX, str::to_owned);
}

#[test]
fn everything_is_told_at_once_in_the_order_of_the_file() {
    let text = "\
listen: nowhere
store:
  redis: { url: ftp://x, timeout: never }
rules:
  - name: a
    rate: 10/fortnight
    burst: -1
    mode: strict
  - name: a
    key: [ip]
    limits: []
    colour: red
  - match: { methods: [get], path: tasks, hosts: ['*'], headers: { 'a b': c } }
    rate: 0/min
";
    let found = diagnostics(text);
    let places: Vec<_> = found
        .iter()
        .map(|p| format!("{}:{} {}", p.line.unwrap_or(0), p.column.unwrap_or(0), p.path))
        .collect();
    assert_eq!(
        places,
        [
            "1:1 upstream",
            "1:9 listen",
            "3:17 store.redis.url",
            "3:35 store.redis.timeout",
            "6:11 rules[0].rate",
            "7:12 rules[0].burst",
            "8:11 rules[0].mode",
            "9:11 rules[1].name",
            "10:11 rules[1].key[0]",
            "11:13 rules[1].limits",
            "12:5 rules[1].colour",
            "13:5 rules[2].name",
            "13:24 rules[2].match.methods[0]",
            "13:36 rules[2].match.path",
            "13:51 rules[2].match.hosts[0]",
            "13:68 rules[2].match.headers.a b",
            "14:11 rules[2].rate",
        ],
        "\n{}",
        listed(&found)
    );
}

#[test]
fn a_diagnostic_reads_as_those_of_rustc() {
    let found = diagnostics(&file("rules:\n  - name: a\n    rate: 10/fortnight"));
    assert_eq!(
        found[0].to_string(),
        "error: '10/fortnight' is no rate\n \
         --> test.yaml:4:11: rules[0].rate\n    \
         help: write N/s, N/min, N/h, N/day or N/DURATION, such as 30/min or 100/90s"
    );
}

#[test]
fn crlf_and_a_byte_order_mark_change_no_position() {
    let text = "\u{feff}upstream: http://127.0.0.1:9080\r\nrules:\r\n  - name: a\r\n    rate: never\r\n";
    let found = diagnostics(text);
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
fn what_is_hardly_meant_is_a_warning() {
    for (rest, place, part) in [
        ("listen: 0.0.0.0:80", "1:1", "no rules: every request passes"),
        (
            "rules: [{ name: a, rate: 1/s }]\nclient: { trusted_proxies: [0.0.0.0/0] }",
            "3:29",
            "may claim any address",
        ),
        (
            "rules: [{ name: a, rate: 1/s }]\nclient: { trusted_proxies: [10.1.2.3/8] }",
            "3:29",
            "covers all of 10.0.0.0/8",
        ),
        ("rules: [{ name: a, rate: 1/s }]\nbypass: [{ name: b, cidrs: ['::/0'] }]", "3:29", "every address"),
        (
            "rules: [{ name: a, rate: 1/s }]\nbypass: [{ name: b, header: X, secret_file: short }]",
            "3:45",
            "shorter than 16",
        ),
        (
            "rules: [{ name: a, rate: 1/s }]\nstore: { redis: { url: 'redis://:pw@a' } }",
            "3:24",
            "password stands in the URL",
        ),
        ("rules: [{ name: a, match: { methods: [PSOT] }, rate: 1/s }]", "2:39", "no usual method"),
        (
            "bypass: [{ name: b, paths: [/a/*] }]\nrules: [{ name: a, match: { path: /a/b }, rate: 1/s }]",
            "3:17",
            "is never asked",
        ),
    ] {
        let config =
            compile(&file(rest)).unwrap_or_else(|diagnostics| panic!("{rest}\n{}", listed(&diagnostics)));
        let [warning] = &*config.warnings else { panic!("{rest}\n{}", listed(&config.warnings)) };
        let at = format!("{}:{}", warning.line.unwrap_or(0), warning.column.unwrap_or(0));
        assert!(at == place && warning.message.contains(part), "{rest}\n{warning}");
    }
}
