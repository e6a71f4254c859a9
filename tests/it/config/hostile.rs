//! Files that are not meant well. Nothing panics, nothing takes long, nothing fills the memory.

use std::fmt::Write as _;

use proptest::prelude::*;
use tidegate::config::{Diagnostic, Overrides, compile_text};

use super::shipped::SHIPPED;
use super::{diagnostics, file, listed, right};

fn bytes(text: &[u8]) -> Vec<Diagnostic> {
    match compile_text("test.yaml", text, &Overrides::default(), &|_| Ok(None)) {
        Ok(_) => Vec::new(),
        Err(diagnostics) => {
            assert!(!diagnostics.is_empty(), "refused without a reason: {text:?}");
            diagnostics
        }
    }
}

fn only(text: &[u8]) -> Diagnostic {
    let mut found = bytes(text);
    assert_eq!(found.len(), 1, "{}", listed(&found));
    found.remove(0)
}

fn at(diagnostic: &Diagnostic) -> (usize, usize) {
    (diagnostic.line.unwrap_or(0), diagnostic.column.unwrap_or(0))
}

#[test]
fn a_binary_file() {
    let elf = only(b"\x7fELF\x02\x01\x01\x00");
    assert!(at(&elf) == (1, 1) && elf.message.contains("control character"), "{elf}");
    let latin1 = only(b"upstream: http://a\nrules: caf\xe9\n");
    assert!(at(&latin1) == (2, 11) && latin1.help.contains("UTF-8"), "{latin1}");
    for (text, place) in [(&b"a\0b"[..], (1, 2)), (b"x: 1\nab\x1b[1m", (2, 3))] {
        let control = only(text);
        assert!(at(&control) == place && control.message.contains("control character"), "{control}");
        assert!(control.help.contains("not YAML"), "{control}");
    }
    let utf16 = only(b"\xff\xfel\x00i\x00");
    assert!(at(&utf16) == (1, 1) && utf16.message.contains("UTF-16"), "{utf16}");
}

#[test]
fn a_file_of_two_mebibytes() {
    let large = only(&vec![b'#'; 2 << 20]);
    assert!(large.line.is_none() && large.message.contains("1 MiB"), "{large}");
    let mut largest = file("rules: [{ name: a, rate: 1/s }]\n#");
    largest.extend(std::iter::repeat_n('x', (1 << 20) - largest.len()));
    assert!(right(&largest).warnings.is_empty());
}

#[test]
fn an_alias_bomb() {
    let mut text = String::from("a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n");
    for level in 1..12 {
        let items = vec![format!("*a{}", level - 1); 10].join(", ");
        writeln!(text, "a{level}: &a{level} [{items}]").unwrap();
    }
    let bomb = only(text.as_bytes());
    assert!(bomb.message.contains("too many values") && bomb.help.contains("aliases"), "{bomb}");
    // One long text, named over and over.
    let mut text = format!("a: &a {}\nb:\n", "x".repeat(500_000));
    text.push_str(&"- *a\n".repeat(50_000));
    let bomb = only(text.as_bytes());
    assert!(bomb.message.contains("too many values"), "{bomb}");
}

#[test]
fn deep_nesting() {
    for (open, close) in [("[", "]"), ("{a: ", "}"), ("- ", ""), ("[{a: ", "}]"), ("? ", "")] {
        for depth in [200, 1_200, 10_000, 100_000] {
            for close in [close.repeat(depth), String::new()] {
                let text = format!("{}x{close}", open.repeat(depth));
                assert!(!bytes(text.as_bytes()).is_empty(), "{open} {depth}");
            }
        }
    }
    let diagnostic = only("[".repeat(10_000).as_bytes());
    assert!(at(&diagnostic) == (1, 1001) && diagnostic.message.contains("too deeply"), "{diagnostic}");
    let diagnostic = only(format!("{}x{}", "[".repeat(200), "]".repeat(200)).as_bytes());
    assert!(at(&diagnostic) == (1, 129) && diagnostic.help.contains("five levels"), "{diagnostic}");
}

#[test]
fn only_the_first_hundred_of_a_thousand_faults_are_listed() {
    let mut text = String::from("rules:\n");
    for place in 0..1000 {
        writeln!(text, "- {{ name: r{place}, rate: none, match: {{ path: /{place} }} }}").unwrap();
    }
    let found = diagnostics(&file(&text));
    assert_eq!(found.len(), 101);
    assert!(found[..100].iter().all(|diagnostic| diagnostic.line.is_some()));
    assert_eq!(found[100].message, "and 900 more");
}

fn rules(count: usize) -> String {
    let rule = |place: usize| format!("- {{ name: r{place}, rate: 1/s, match: {{ path: /{place} }} }}\n");
    file(&format!("rules:\n{}", (0..count).map(rule).collect::<String>()))
}

#[test]
fn a_thousand_rules_are_right() {
    assert_eq!(right(&rules(1000)).policy.rules().len(), 1000);
}

#[test]
fn more_than_ten_thousand_rules_are_too_many() {
    let found = diagnostics(&rules(10_001));
    assert!(found.len() == 1 && found[0].message.contains("too many entries: 10001"), "{}", listed(&found));
}

#[test]
fn a_path_of_many_segments_is_refused() {
    let deep = |count: usize| {
        file(&format!("rules: [{{ name: a, rate: 1/s, match: {{ path: '{}' }} }}]", "/a".repeat(count)))
    };
    assert_eq!(right(&deep(64)).policy.rules().len(), 1);
    let found = diagnostics(&deep(30_000));
    assert!(found.len() == 1 && found[0].message.contains("64 segments"), "{}", listed(&found));
}

#[test]
fn a_long_list_is_refused() {
    let hosts = file(&format!(
        "rules: [{{ name: a, rate: 1/s, match: {{ hosts: [{}] }} }}]",
        "a.b, ".repeat(100_000)
    ));
    let found = diagnostics(&hosts);
    assert!(found[0].message.contains("too many entries: 100000"), "{}", listed(&found));
}

/// Parts of files, to be put together at random.
const PARTS: &[&str] = &[
    "upstream: http://127.0.0.1:9080\n",
    "rules:\n",
    "- ",
    "  - ",
    "name: a\n",
    "    rate: 1/s\n",
    "limits: ",
    "[",
    "]",
    "{",
    "}",
    ": ",
    ", ",
    "&a ",
    "*a",
    "<<: ",
    "!t ",
    "!!int ",
    "!!str ",
    "'",
    "\"",
    "|\n",
    ">-\n",
    "# ",
    "---\n",
    "...\n",
    "%YAML 1.2\n",
    "? ",
    "~",
    "null",
    "true",
    ".nan",
    "-.inf",
    "0x10",
    "1e999",
    "340282366920938463463374607431768211456",
    "\t",
    "\r\n",
    "\n",
    "\u{feff}",
    "\u{85}",
    "\u{2028}",
    "store: { redis: { url: redis://a } }\n",
    "store: { redis: { ",
    "sentinel: { master: m, urls: ",
    "cluster: [redis://a, ",
    "tls: { ca_file: a, ",
    "rediss://[::1]:1/2",
    " } }\n",
    "bypass: ",
    "key: ",
    "match: ",
    "path: /{id}\n",
    "headers: ",
    "hosts: ",
    "100/90s",
    "99999999999999999999/ms",
    "\u{e9}",
    "\u{1f600}",
    " ",
    "  ",
    "-",
    "=",
];

proptest! {
    #![proptest_config(ProptestConfig { cases: 2000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn any_bytes(text in proptest::collection::vec(any::<u8>(), 0..300)) {
        bytes(&text);
    }

    #[test]
    fn any_text(text in "\\PC{0,200}") {
        bytes(text.as_bytes());
    }

    #[test]
    fn any_redis_url(rest in "\\PC{0,40}", part in "[a-f0-9:/@.%\\[\\]-]{0,30}") {
        for key in ["url", "cluster"] {
            for url in [&rest, &part] {
                let url = format!("rediss://{url}").replace('\'', "''");
                bytes(file(&format!("store: {{ redis: {{ {key}: '{url}' }} }}\n")).as_bytes());
            }
        }
    }

    #[test]
    fn any_address_to_listen_on_or_to_connect_to(rest in "\\PC{0,40}", part in "[a-f0-9:/@.%\\[\\]-]{0,30}") {
        for start in ["", "unix:", "h2c+unix:", "http://", "https://"] {
            for text in [&rest, &part] {
                let text = format!("{start}{text}").replace('\'', "''");
                bytes(format!("listen: '{text}'\nupstream: {{ url: '{text}' }}\n").as_bytes());
            }
        }
    }

    #[test]
    fn any_parts(parts in proptest::collection::vec(proptest::sample::select(PARTS), 0..30)) {
        for diagnostic in bytes(parts.concat().as_bytes()) {
            prop_assert!(!diagnostic.message.is_empty() && !diagnostic.help.is_empty());
            prop_assert!(!diagnostic.to_string().trim_end_matches('\n').is_empty());
        }
    }

    #[test]
    fn the_shipped_file_damaged(
        cuts in proptest::collection::vec((0..SHIPPED.len(), 0..8_usize, proptest::sample::select(PARTS)), 1..6)
    ) {
        let mut text = SHIPPED.as_bytes().to_vec();
        for (place, length, part) in cuts {
            let place = place.min(text.len());
            let end = (place + length).min(text.len());
            text.splice(place..end, part.bytes());
        }
        for diagnostic in bytes(&text) {
            prop_assert!(!diagnostic.help.is_empty());
        }
    }

    #[test]
    fn any_limit_flag(text in "[A-Z|* /a-z{}=,:0-9._-]{0,60}") {
        let overrides = Overrides { limits: vec![text], ..Overrides::default() };
        let _ = compile_text("test.yaml", b"upstream: http://a", &overrides, &|_| Ok(None));
    }
}
