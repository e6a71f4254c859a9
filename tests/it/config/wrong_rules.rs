//! Wrong rules: each fault at its line and column, with its path and what would be right.

use super::{Wrong, assert_wrong, file};

/// Line 2 is `rules:`, the rule starts in line 3, column 5.
#[rustfmt::skip]
const RULES: &[Wrong] = &[
    ("name: a", "3:5", "rules[0].rate", "the rate is missing", "30/min"),
    ("rate: 1/s", "3:5", "rules[0].name", "the name is missing", "1 to 64"),
    ("{ name: 'a b', rate: 1/s }", "3:13", "rules[0].name", "'a b' is no name", "1 to 64"),
    ("{ name: 7, rate: 1/s }", "3:13", "rules[0].name", "found the number 7", "quotes"),
    ("{ name: a, rate: 10/fortnight }", "3:22", "rules[0].rate", "'10/fortnight' is no rate", "100/90s"),
    ("{ name: a, rate: 100 }", "3:22", "rules[0].rate", "found the number 100", "30/min"),
    ("{ name: a, rate: 0.5/s }", "3:22", "rules[0].rate", "whole number", "1/2s"),
    ("{ name: a, rate: -5/s }", "3:22", "rules[0].rate", "whole number", "1/2s"),
    ("{ name: a, rate: 0/min }", "3:22", "rules[0].rate", "at least 1", "mode: off"),
    ("{ name: a, rate: 99999999999999999999/s }", "3:22", "rules[0].rate", "at most 4294967295", "lower rate"),
    ("{ name: a, rate: 4294967295/366d }", "3:22", "rules[0].rate", "2^53", "shorter window"),
    ("{ name: a, rate: 1/0s }", "3:22", "rules[0].rate", "between 1 ms and 366 days", "1ms to 366d"),
    ("{ name: a, rate: 1/367d }", "3:22", "rules[0].rate", "between 1 ms and 366 days", "1ms to 366d"),
    ("{ name: a, rate: 1/s, burst: -1 }", "3:34", "rules[0].burst", "-1 is out of range", "from 0"),
    ("{ name: a, rate: 1/s, burst: 4294967295 }", "3:22", "rules[0].rate", "at most 4294967295", "lower burst"),
    ("{ name: a, rate: 1/s, burst: 340282366920938463463374607431768211455 }", "3:34", "rules[0].burst", "out of range", "from 0"),
    ("{ name: a, rate: 1/s, burst: 1e400 }", "3:34", "rules[0].burst", "found the text '1e400'", "whole number"),
    ("{ name: a, rate: 1/s, burst: yes }", "3:34", "rules[0].burst", "found the text 'yes'", "whole number"),
    ("{ name: a, rate: 1/s, burst: }", "3:34", "rules[0].burst", "found nothing", "whole number"),
    ("{ name: a, rate: 1/s, slices: 65 }", "3:35", "rules[0].slices", "65 is out of range", "from 1 to 64"),
    ("{ name: a, rate: 1/5ms, slices: 8 }", "3:37", "rules[0].slices", "milliseconds", "fewer slices"),
    ("{ name: a, rate: 1/s, limits: [{ rate: 2/min }] }", "3:16", "rules[0].rate", "either a rate of its own or a list", "into the list"),
    ("{ name: a, limits: [] }", "3:24", "rules[0].limits", "list of limits is empty", "rate: 5/min"),
    ("{ name: a, limits: { rate: 1/s } }", "3:24", "rules[0].limits", "expected a list, found a mapping", "rate: 5/min"),
    ("{ name: a, limits: [{ burst: 2 }] }", "3:25", "rules[0].limits[0].rate", "the rate is missing", "30/min"),
    ("{ name: a, limits: [{ rate: 1/s, mode: off }] }", "3:38", "rules[0].limits[0].mode", "no key 'mode'", "rate, burst, slices"),
    ("{ name: a, limits: [{ rate: 1/min }, { rate: 2/60s }] }", "3:50", "rules[0].limits[1].rate", "same window, 60s (line 3)", "smaller"),
    ("{ name: a, rate: 1/s, mode: on }", "3:33", "rules[0].mode", "'on' is not known", "enforce, shadow, off"),
    ("{ name: a, rate: 1/s, mode: Enforce }", "3:33", "rules[0].mode", "'Enforce' is not known", "did you mean 'enforce'?"),
    ("{ name: a, rate: 1/s, mode: true }", "3:33", "rules[0].mode", "found the boolean true", "enforce, shadow, off"),
    ("{ name: a, rate: 1/s, on_outage: Local }", "3:38", "rules[0].on_outage", "'Local' is not known", "did you mean 'local'?"),
    ("{ name: a, rate: 1/s, on_outage: true }", "3:38", "rules[0].on_outage", "found the boolean true", "local, open, closed"),
    ("{ name: a, rate: 1/s, on_missing: refuse }", "3:39", "rules[0].on_missing", "'refuse' is not known", "client_ip, shared, skip, reject"),
    ("{ name: a, rate: 1/s, count_on: [401] }", "3:27", "rules[0].count_on", "not built yet", "remove"),
    ("{ name: a, rate: 1/s, window: 60s }", "3:27", "rules[0].window", "part of the rate", "100/90s"),
    ("{ name: a, rate: 1/s, brust: 5 }", "3:27", "rules[0].brust", "no key 'brust'", "did you mean 'burst'?"),
    ("{ name: a, rate: 1/s, rate: 2/s }", "3:27", "rules[0].rate", "stands twice (line 3)", "keep one"),
    ("{ name: a, rate: 1/s, key: ip }", "3:32", "rules[0].key", "'ip' is no part of a key", "client_ip"),
    ("{ name: a, rate: 1/s, key: }", "3:32", "rules[0].key", "found nothing", "[] is one bucket"),
    ("{ name: a, rate: 1/s, key: [client-ip] }", "3:33", "rules[0].key[0]", "no part of a key", "did you mean 'client_ip'?"),
    ("{ name: a, rate: 1/s, key: ['jwt:sub'] }", "3:33", "rules[0].key[0]", "not built yet", "header:NAME"),
    ("{ name: a, rate: 1/s, key: ['header:X Y'] }", "3:33", "rules[0].key[0]", "no header name", "header:NAME"),
    ("{ name: a, rate: 1/s, key: ['header:Host'] }", "3:33", "rules[0].key[0]", "key of its own", "write host"),
    ("{ name: a, rate: 1/s, key: ['cookie:'] }", "3:33", "rules[0].key[0]", "no cookie name", "cookie:NAME"),
    ("{ name: a, rate: 1/s, key: [host, host] }", "3:39", "rules[0].key[1]", "stands twice", "keep one"),
    ("{ name: a, rate: 1/s, key: [[host]] }", "3:33", "rules[0].key[0]", "found a list", "client_ip"),
    ("{ name: a, rate: 1/s, key: ['path:id'] }", "3:33", "rules[0].key[0]", "no parameter 'id'", "/tasks/{id}"),
    ("{ name: a, rate: 1/s, match: { path: '/t/{no}' }, key: ['path:id'] }", "3:61", "rules[0].key[0]", "no parameter 'id'", "/tasks/{id}"),
    ("{ name: a, rate: 1/s, match: { path: tasks } }", "3:42", "rules[0].match.path", "starts with '/'", "/api/tasks"),
    ("{ name: a, rate: 1/s, match: { path: '/a?b=c' } }", "3:42", "rules[0].match.path", "'?' cannot be part", "/api/tasks"),
    ("{ name: a, rate: 1/s, match: { path: '/a/*/b' } }", "3:42", "rules[0].match.path", "stands alone", "/files/*"),
    ("{ name: a, rate: 1/s, match: { paths: [/a] } }", "3:36", "rules[0].match.paths", "no key 'paths'", "did you mean 'path'?"),
    ("{ name: a, rate: 1/s, path: /a }", "3:27", "rules[0].path", "under match", "match: { path"),
    ("{ name: a, rate: 1/s, match: { methods: [get] } }", "3:46", "rules[0].match.methods[0]", "upper case", "write GET"),
    ("{ name: a, rate: 1/s, match: { methods: [TRACE] } }", "3:46", "rules[0].match.methods[0]", "refuses it", "remove"),
    ("{ name: a, rate: 1/s, match: { methods: ['A B'] } }", "3:46", "rules[0].match.methods[0]", "no method", "GET"),
    ("{ name: a, rate: 1/s, match: { methods: [GET, GET] } }", "3:51", "rules[0].match.methods[1]", "stands twice", "keep one"),
    ("{ name: a, rate: 1/s, match: { hosts: ['a:80'] } }", "3:44", "rules[0].match.hosts[0]", "holds a port", "api.example.com"),
    ("{ name: a, rate: 1/s, match: { hosts: ['http://a'] } }", "3:44", "rules[0].match.hosts[0]", "is a URL", "api.example.com"),
    ("{ name: a, rate: 1/s, match: { hosts: ['*'] } }", "3:44", "rules[0].match.hosts[0]", "no host name", "leave hosts out"),
    ("{ name: a, rate: 1/s, match: { hosts: ['a.*.b'] } }", "3:44", "rules[0].match.hosts[0]", "no host", "*.example.com"),
    ("{ name: a, rate: 1/s, match: { hosts: [b\u{fc}cher.de] } }", "3:44", "rules[0].match.hosts[0]", "not ASCII", "xn--"),
    ("{ name: a, rate: 1/s, match: { hosts: [A.b, a.B.] } }", "3:49", "rules[0].match.hosts[1]", "stands twice", "keep one"),
    ("{ name: a, rate: 1/s, match: { headers: [X-A] } }", "3:45", "rules[0].match.headers", "expected a mapping", "NAME: VALUE"),
    ("{ name: a, rate: 1/s, match: { headers: { X-A: 2 } } }", "3:52", "rules[0].match.headers.X-A", "found the number 2", "quotes"),
    ("{ name: a, rate: 1/s, match: { headers: { X-A: \"a\\tb\\n\" } } }", "3:52", "rules[0].match.headers.X-A", "never matches", "as it is sent"),
    ("{ name: a, rate: 1/s, match: { headers: { X-A: '*a' } } }", "3:52", "rules[0].match.headers.X-A", "'*' is only valid at the end", "\"Bearer *\""),
    ("{ name: a, rate: 1/s, match: { headers: { X-A: 'a*b*' } } }", "3:52", "rules[0].match.headers.X-A", "'*' is only valid at the end", "exact value"),
    ("{ name: a, rate: 1/s, match: { headers: { Accept: '*/*' } } }", "3:55", "rules[0].match.headers.Accept", "'*' is only valid at the end", "\"*\" for any"),
    ("{ name: a, rate: 1/s, match: { headers: { X-A: '**' } } }", "3:52", "rules[0].match.headers.X-A", "'*' is only valid at the end", "\"*\" for any"),
    ("{ name: a, rate: 1/s, match: { headers: { X-A: ' a*' } } }", "3:52", "rules[0].match.headers.X-A", "starts with a blank", "as it is sent"),
    ("{ name: a, rate: 1/s, match: { headers: { X-A: ' *' } } }", "3:52", "rules[0].match.headers.X-A", "starts with a blank", "as it is sent"),
    ("{ name: a, rate: 1/s, match: { headers: { X-A: 'a ' } } }", "3:52", "rules[0].match.headers.X-A", "ends with a blank", "as it is sent"),
    ("{ name: a, rate: 1/s, match: { headers: { X-A: \"\\0*\" } } }", "3:52", "rules[0].match.headers.X-A", "no header can", "as it is sent"),
    ("{ name: a, rate: 1/s, match: { headers: { Host: a } } }", "3:47", "rules[0].match.headers.Host", "condition of its own", "hosts:"),
    ("{ name: a, rate: 1/s, match: { headers: { Upgrade: '*' } } }", "3:47", "rules[0].match.headers.Upgrade", "no rule sees the header upgrade", "websocket: true"),
    ("{ name: a, rate: 1/s, match: { headers: { Connection: '*' } } }", "3:47", "rules[0].match.headers.Connection", "no rule sees the header connection", "websocket: true"),
    ("{ name: a, rate: 1/s, match: { headers: { Keep-Alive: '*' } } }", "3:47", "rules[0].match.headers.Keep-Alive", "no rule sees the header keep-alive", "reaches the upstream"),
    ("{ name: a, rate: 1/s, match: { headers: { Proxy-Connection: '*' } } }", "3:47", "rules[0].match.headers.Proxy-Connection", "no rule sees the header proxy-connection", "reaches the upstream"),
    ("{ name: a, rate: 1/s, match: { headers: { Proxy-Authenticate: '*' } } }", "3:47", "rules[0].match.headers.Proxy-Authenticate", "no rule sees the header proxy-authenticate", "reaches the upstream"),
    ("{ name: a, rate: 1/s, match: { headers: { Proxy-Authorization: '*' } } }", "3:47", "rules[0].match.headers.Proxy-Authorization", "no rule sees the header proxy-authorization", "expected Authorization"),
    ("{ name: a, rate: 1/s, match: { headers: { Transfer-Encoding: '*' } } }", "3:47", "rules[0].match.headers.Transfer-Encoding", "no rule sees the header transfer-encoding", "reaches the upstream"),
    ("{ name: a, rate: 1/s, match: { headers: { TE: '*' } } }", "3:47", "rules[0].match.headers.TE", "no rule sees the header te", "application/grpc*"),
    ("{ name: a, rate: 1/s, match: { headers: { Expect: '*' } } }", "3:47", "rules[0].match.headers.Expect", "no rule sees the header expect", "reaches the upstream"),
    ("{ name: a, rate: 1/s, match: { headers: { X-RateLimit-Exceeded: '*' } } }", "3:47", "rules[0].match.headers.X-RateLimit-Exceeded", "no rule sees the header x-ratelimit-exceeded", "reaches the upstream"),
    ("{ name: a, rate: 1/s, match: { headers: { X_Forwarded_For: '*' } } }", "3:47", "rules[0].match.headers.X_Forwarded_For", "no rule sees the header x_forwarded_for", "expected x-forwarded-for"),
    ("{ name: a, rate: 1/s, match: { headers: { Keep_Alive: '*' } } }", "3:47", "rules[0].match.headers.Keep_Alive", "no rule sees the header keep_alive", "reaches the upstream"),
    ("{ name: a, rate: 1/s, key: ['header:Upgrade'] }", "3:33", "rules[0].key[0]", "no rule sees the header upgrade", "header:X-Api-Key"),
    ("{ name: a, rate: 1/s, key: ['header:TE'] }", "3:33", "rules[0].key[0]", "no rule sees the header te", "header:X-Api-Key"),
    ("{ name: a, rate: 1/s, key: ['header:Proxy-Authorization'] }", "3:33", "rules[0].key[0]", "no rule sees the header proxy-authorization", "header:Authorization"),
    ("{ name: a, rate: 1/s, key: ['header:Content_Length'] }", "3:33", "rules[0].key[0]", "no rule sees the header content_length", "header:X-Api-Key"),
    ("{ name: a, rate: 1/s, match: { websocket: yes } }", "3:47", "rules[0].match.websocket", "expected a boolean, found the text 'yes'", "true or false"),
    ("{ name: a, rate: 1/s, match: { websocket: } }", "3:47", "rules[0].match.websocket", "found nothing", "true or false"),
    ("{ name: a, rate: 1/s, match: { methods: [POST, HEAD], websocket: true } }", "3:70", "rules[0].match.websocket", "is a GET, and methods has no GET", "methods with GET"),
    ("{ name: a, rate: 1/s, match: { upgrade: websocket } }", "3:36", "rules[0].match.upgrade", "matched by websocket", "websocket: true"),
    ("{ name: a, rate: 1/s, websocket: true }", "3:27", "rules[0].websocket", "a condition of match", "match: { websocket: true }"),
    ("{ name: a, rate: 1/s, match: { headers: { X-A: a, x-a: b } } }", "3:55", "rules[0].match.headers.x-a", "stands twice", "keep one"),
    ("{ name: a, rate: 1/s, refusal: { status: 200 } }", "3:46", "rules[0].refusal.status", "out of range", "400 to 599"),
    ("{ name: a, rate: 1/s, refusal: { body: 7 } }", "3:44", "rules[0].refusal.body", "found the number 7", "quotes"),
    ("{ name: a, rate: 1/s, refusal: { headers: { 'X A': a } } }", "3:49", "rules[0].refusal.headers.X A", "no header name", "X-Reason"),
    ("{ name: a, rate: 1/s, refusal: { headers: { X-A: \"\\0\" } } }", "3:54", "rules[0].refusal.headers.X-A", "no header can", "ASCII"),
    ("{ name: a, rate: 1/s, refusal: { headers: { Retry-After: '1' } } }", "3:49", "rules[0].refusal.headers.Retry-After", "set by tidegate", "remove it"),
    ("{ name: a, rate: 1/s, refusal: { headers: { Cache-Control: public } } }", "3:49", "rules[0].refusal.headers.Cache-Control", "set by tidegate", "remove it"),
    ("{ name: a, rate: 1/s, match: { path: /x/%2e/y } }", "3:42", "rules[0].match.path", "never has the segment '%2e'", "write a path"),
    ("{ name: a, rate: 1/s, refusal: { text: a } }", "3:38", "rules[0].refusal.text", "no key 'text'", "status, body, headers"),
    ("name: a\n    match: { path: /x }\n    rate: 1/s\n  - name: a\n    rate: 1/s", "6:11", "rules[1].name", "'a' is taken (line 3)", "another name"),
];

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
fn rules() {
    assert_wrong(RULES, |rest| file(&format!("rules:\n  - {rest}\n")));
}

#[test]
fn a_name_is_unique_over_rules_global_and_bypass() {
    let text = "\
global: [{ name: a, rate: 1/s }]
bypass: [{ name: a, paths: [/x] }]
rules: [{ name: a, rate: 1/s }]
";
    let found = super::diagnostics(&file(text));
    let lines: Vec<_> = found.iter().map(|diagnostic| (diagnostic.line, &*diagnostic.message)).collect();
    let want = "the name 'a' is taken (line 4)";
    assert_eq!(lines, [(Some(2), want), (Some(3), want)]);
}

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
