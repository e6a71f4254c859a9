//! The documents: every YAML block in README.md and docs/*.md is a right configuration.
//!
//! A block with a top-level `upstream:` is checked as a file. Any other block is a part of one, and is checked as a
//! file beside `--upstream`. So no block needs a mark, and none is left out.

use std::fs;
use std::path::Path;

use tidegate::config::{Config, Diagnostic, Key, Kind, Overrides, SecretSource, compile_text, keys};

use super::{listed, pem};
use crate::harness::Tidegate;

/// A fenced block.
struct Block {
    document: String,
    /// The line of the document before the block's first.
    fence: usize,
    language: String,
    text: String,
}

impl Block {
    fn is_yaml(&self) -> bool {
        ["yaml", "yml"].contains(&&*self.language.to_ascii_lowercase())
    }

    fn has_upstream(&self) -> bool {
        self.text.lines().any(|line| line.starts_with("upstream:"))
    }

    /// Compiles it, with more lines at its end. Problems have the lines of the document.
    fn compile_with(&self, more: &str) -> Result<Config, Vec<Diagnostic>> {
        let text = format!("{}{}{more}", "\n".repeat(self.fence), self.text);
        let upstream = (!self.has_upstream()).then(|| "http://127.0.0.1:9080".to_owned());
        let overrides = Overrides { upstream, ..Overrides::default() };
        compile_text(&self.document, text.as_bytes(), &overrides, &|source| match source {
            SecretSource::Pem(path) => {
                pem(path).map(Some).ok_or_else(|| "the examples name ca.pem, cert.pem, key.pem".to_owned())
            }
            SecretSource::File(_) | SecretSource::Keys(_) | SecretSource::Env(_) => {
                Ok(Some(b"0123456789abcdef0123".to_vec()))
            }
        })
    }
}

/// The fenced blocks of a document (CommonMark 0.31, section 4.5), in lists too.
fn blocks(document: &str, text: &str) -> Vec<Block> {
    let mut blocks = Vec::new();
    let mut lines = text.lines().enumerate();
    while let Some((place, line)) = lines.next() {
        let Some((fence, info)) = opening(line) else {
            // In a quotation, for example, where its content would not be read.
            assert!(!line.contains("```"), "{document}:{}: a fence on a line with other text", place + 1);
            continue;
        };
        let language = info.split_whitespace().next().unwrap_or_default().to_owned();
        assert!(!language.is_empty(), "{document}:{}: expected a language behind the fence", place + 1);
        let indent = line.len() - line.trim_start().len();
        let mut text = String::new();
        loop {
            let (_, line) = lines.next().unwrap_or_else(|| panic!("{document}:{}: no end", place + 1));
            if opening(line).is_some_and(|(end, info)| info.is_empty() && end.starts_with(fence)) {
                break;
            }
            let blanks = line.len() - line.trim_start_matches(' ').len();
            text.push_str(&line[indent.min(blanks)..]);
            text.push('\n');
        }
        blocks.push(Block { document: document.to_owned(), fence: place + 1, language, text });
    }
    blocks
}

/// The fence of a line that is one, and what follows it.
fn opening(line: &str) -> Option<(&str, &str)> {
    let line = line.trim();
    let mark = line.chars().next().filter(|mark| ['`', '~'].contains(mark))?;
    let (fence, info) = line.split_at(line.len() - line.trim_start_matches(mark).len());
    // Behind backquotes, another one makes it code within a line.
    (fence.len() >= 3 && !(mark == '`' && info.contains('`'))).then_some((fence, info.trim()))
}

/// The YAML blocks of all documents.
fn documented() -> Vec<Block> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let docs = fs::read_dir(root.join("docs")).unwrap().map(|entry| entry.unwrap().file_name());
    let docs = docs.map(|name| format!("docs/{}", name.to_str().unwrap()));
    let mut names: Vec<String> = docs.filter(|name| name.ends_with(".md")).collect();
    names.push("README.md".to_owned());
    names.sort();
    let read = |name: &String| blocks(name, &fs::read_to_string(root.join(name)).unwrap());
    names.iter().flat_map(read).filter(Block::is_yaml).collect()
}

#[test]
fn every_yaml_block_is_right() {
    let diagnostics: Vec<Diagnostic> =
        documented().iter().filter_map(|block| block.compile_with("").err()).flatten().collect();
    assert!(diagnostics.is_empty(), "\n{}", listed(&diagnostics));
}

#[test]
fn a_fault_in_any_block_is_found_at_its_line() {
    for block in documented() {
        let line = block.fence + block.text.lines().count() + 1;
        let diagnostics = block.compile_with("no_such_key: 1\n").unwrap_err();
        let [diagnostic] = &*diagnostics else { panic!("{}", listed(&diagnostics)) };
        assert_eq!((&*diagnostic.path, diagnostic.line), ("no_such_key", Some(line)), "{diagnostic}");
    }
}

#[test]
fn the_readme_has_a_file_that_passes_check_as_it_stands() {
    let mut whole = documented();
    whole.retain(|block| block.document == "README.md" && block.has_upstream());
    assert!(!whole.is_empty(), "no block of README.md has an upstream");
    for block in whole {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("tidegate.yaml");
        fs::write(&file, &block.text).unwrap();
        let check = Tidegate::finished(&["check", file.to_str().unwrap()]);
        assert!(check.status.success() && check.stderr.is_empty(), "{}{}", check.stdout, check.stderr);
    }
}

/// The heading on the reference page that a key is under, and its name in the table there.
fn reference(path: &str) -> (&'static str, &str) {
    const HEADINGS: [(&str, &str); 26] = [
        ("admin.tokens[0].", "### admin"),
        ("admin.", "### admin"),
        ("store.redis.tls.", "#### TLS to Redis"),
        ("store.redis.sentinel.", "#### sentinel"),
        ("store.", "### store"),
        ("upstream.tls.", "#### TLS to the application"),
        ("upstream.", "### upstream"),
        ("tls.", "### tls"),
        ("proxy_protocol.", "### proxy_protocol"),
        ("bounds.", "### bounds"),
        ("client.", "### client"),
        ("path.", "### path"),
        ("bypass[0].", "### bypass"),
        ("rules[0].match.", "#### match"),
        ("rules[0].refusal.", "#### refusal"),
        ("rules[0].key[0].", "#### key"),
        ("rules[0].limits[0].", "### rules"),
        ("rules[0].trial.", "### rules"),
        ("rules[0].tiers.NAME.limits[0].", "### rules"),
        ("rules[0].tiers.NAME.", "### rules"),
        ("tiers[0].match.", "#### match"),
        ("tiers[0].", "### tiers"),
        ("rules[0].", "### rules"),
        ("access_log.", "### access_log"),
        ("shutdown.", "### shutdown"),
        ("", "## Top level"),
    ];
    let (start, heading) = HEADINGS.into_iter().find(|(start, _)| path.starts_with(start)).unwrap();
    (heading, &path[start.len()..])
}

/// What the row of a key lacks.
fn lacks(key: &Key, page: &str) -> Option<String> {
    // The keys of global rules are those of rules, and those of `not` are those of `match`.
    let path = key.path.replace("global[0].", "rules[0].").replace(".match.not.", ".match.");
    let (heading, name) = reference(&path);
    // Its keys are in the table, and not it.
    if matches!(&*path, "store.memory" | "store.redis" | "rules[0].tiers.NAME") {
        return None;
    }
    let table = page.lines().skip_while(|line| *line != heading).skip(1);
    let mut table = table.take_while(|line| !line.starts_with('#'));
    let cell = format!("`{name}`");
    let row = table.find(|line| line.starts_with("| ") && line.split(" | ").next().unwrap().contains(&cell));
    let Some(row) = row else { return Some(format!("{}: no row under {heading}", key.path)) };
    let mut wanted = match &key.kind {
        Kind::Word(words) => words.iter().map(|word| format!("`{word}`")).collect(),
        Kind::Boolean
        | Kind::Integer(..)
        | Kind::WordOrInteger(..)
        | Kind::Size(..)
        | Kind::Duration(..)
        | Kind::Percentage(..)
        | Kind::Number(..) => vec![key.kind.to_string()],
        Kind::Text(_)
        | Kind::Texts(_)
        | Kind::TextsOrMappings(_)
        | Kind::Mapping
        | Kind::TextOrMapping(_)
        | Kind::WordOrMapping(_)
        | Kind::List => vec![],
    };
    match &*key.default {
        "" => {}
        code if code.contains('`') => wanted.push(code.to_owned()),
        text => wanted.push(format!("`{text}`")),
    }
    let missing: Vec<_> = wanted.into_iter().filter(|text| !row.contains(text)).collect();
    (!missing.is_empty()).then(|| format!("{}: its row lacks {}", key.path, missing.join(" and ")))
}

#[test]
fn every_key_is_on_the_reference_page_in_full() {
    let page = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/configuration.md");
    let page = fs::read_to_string(page).unwrap();
    let keys = keys();
    assert!(keys.len() > 100, "{}", keys.len());
    let lacking: Vec<String> = keys.iter().filter_map(|key| lacks(key, &page)).collect();
    assert!(lacking.is_empty(), "\n{}\n", lacking.join("\n"));
}

#[test]
fn blocks_are_found_however_they_are_fenced() {
    let text = "\
```yaml
a: 1
```
~~~~ YAML example
```
~~~
~~~~
- in a list

  ``` yml
  b:
    - 2

  ```
";
    let found = blocks("a.md", text);
    let found: Vec<_> = found.iter().map(|b| (b.fence, b.is_yaml(), &*b.text)).collect();
    assert_eq!(found, [(1, true, "a: 1\n"), (4, true, "```\n~~~\n"), (10, true, "b:\n  - 2\n\n")]);
}
