//! Just enough of a Rust lexer to tell code from comments and strings, and to read paths across lines.

/// One source file: its path from the repository's root, with `/`, and what it says.
pub(crate) struct File {
    pub(crate) path: String,
    pub(crate) text: String,
    pub(crate) tokens: Vec<Token>,
}

impl File {
    pub(crate) fn new(path: &str, text: &str) -> File {
        File { path: path.to_owned(), text: text.to_owned(), tokens: lex(text) }
    }

    /// A fault as compilers print it, for editors to jump to.
    pub(crate) fn fault(&self, line: usize, what: &str) -> String {
        format!("{}:{line}: {what}", self.path)
    }

    /// The modules from the crate's root to this file: `src/store/batch.rs` is `["store", "batch"]`.
    pub(crate) fn modules(&self) -> Vec<&str> {
        let inside = self.path.strip_prefix("src/").unwrap_or(&self.path);
        inside.strip_suffix(".rs").unwrap_or(inside).split('/').collect()
    }

    pub(crate) fn token(&self, i: usize) -> &str {
        self.tokens.get(i).map_or("", |t| if t.kind == Kind::Text { "" } else { &t.text })
    }

    pub(crate) fn line(&self, i: usize) -> usize {
        self.tokens.get(i).map_or(0, |t| t.line)
    }

    /// What follows the path segment at `i`: one name, or for `{a, b::c}` the first name of each branch,
    /// each with its line. `*` is a name too; empty where no `::` follows.
    pub(crate) fn children(&self, i: usize) -> Vec<(usize, &str)> {
        if self.token(i + 1) != "::" {
            return Vec::new();
        }
        if self.token(i + 2) != "{" {
            return vec![(self.line(i + 2), self.token(i + 2))];
        }
        let (mut found, mut depth, mut at, mut branch_starts) = (Vec::new(), 1, i + 3, true);
        while depth > 0 && at < self.tokens.len() {
            match self.token(at) {
                "{" => depth += 1,
                "}" => depth -= 1,
                "," if depth == 1 => branch_starts = true,
                name if branch_starts => {
                    found.push((self.line(at), name));
                    branch_starts = false;
                }
                _ => {}
            }
            at += 1;
        }
        found
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// An identifier, keyword or number.
    Word,
    /// One character of punctuation, or `::`.
    Punct,
    /// A string literal, without its quotes; escapes are left as written.
    Text,
}

pub(crate) struct Token {
    pub(crate) line: usize,
    pub(crate) kind: Kind,
    pub(crate) text: String,
}

struct Scan {
    chars: Vec<char>,
    at: usize,
    line: usize,
}

impl Scan {
    fn peek(&self, ahead: usize) -> Option<char> {
        self.chars.get(self.at + ahead).copied()
    }

    fn bump(&mut self) -> Option<char> {
        let c = self.peek(0)?;
        self.at += 1;
        self.line += usize::from(c == '\n');
        Some(c)
    }

    fn take_while(&mut self, wanted: impl Fn(char) -> bool) -> String {
        let mut taken = String::new();
        while let Some(c) = self.peek(0).filter(|&c| wanted(c)) {
            taken.push(c);
            self.bump();
        }
        taken
    }

    fn skip_block_comment(&mut self) {
        let mut depth = 0;
        loop {
            match (self.peek(0), self.peek(1)) {
                (Some('/'), Some('*')) => depth += 1,
                (Some('*'), Some('/')) => depth -= 1,
                (None, _) => return,
                _ => {
                    self.bump();
                    continue;
                }
            }
            self.bump();
            self.bump();
            if depth == 0 {
                return;
            }
        }
    }

    /// The rest of a literal up to `quote`, which is consumed.
    fn quoted(&mut self, quote: char) -> String {
        let mut text = String::new();
        while let Some(c) = self.bump().filter(|&c| c != quote) {
            text.push(c);
            if c == '\\' {
                text.extend(self.bump());
            }
        }
        text
    }

    /// A raw string from its first `#` or quote; None where that is a raw identifier (`r#type`).
    fn raw_string(&mut self) -> Option<String> {
        let hashes = (0..).take_while(|&n| self.peek(n) == Some('#')).count();
        if self.peek(hashes) != Some('"') {
            return None;
        }
        self.at += hashes + 1;
        let mut text = String::new();
        while let Some(c) = self.bump() {
            if c == '"' && (0..hashes).all(|n| self.peek(n) == Some('#')) {
                self.at += hashes;
                break;
            }
            text.push(c);
        }
        Some(text)
    }

    /// A character literal is dropped, as is a lifetime: no rule asks for either.
    fn skip_quote(&mut self) {
        self.bump();
        if self.peek(0) == Some('\\') || self.peek(1) == Some('\'') {
            if self.bump() == Some('\\') {
                self.bump();
            }
            self.quoted('\'');
        } else {
            self.take_while(is_word);
        }
    }
}

fn is_word(c: char) -> bool {
    c.is_alphanumeric() || c == '_'
}

pub(crate) fn lex(source: &str) -> Vec<Token> {
    let mut scan = Scan { chars: source.chars().collect(), at: 0, line: 1 };
    let mut tokens = Vec::new();
    while let Some(c) = scan.peek(0) {
        let line = scan.line;
        let mut push = |kind, text| tokens.push(Token { line, kind, text });
        match (c, scan.peek(1)) {
            ('/', Some('/')) => drop(scan.take_while(|c| c != '\n')),
            ('/', Some('*')) => scan.skip_block_comment(),
            ('\'', _) => scan.skip_quote(),
            ('"', _) => {
                scan.bump();
                push(Kind::Text, scan.quoted('"'));
            }
            (':', Some(':')) => {
                scan.at += 2;
                push(Kind::Punct, "::".to_owned());
            }
            (c, _) if is_word(c) => {
                let word = scan.take_while(is_word);
                let raw = matches!(word.as_str(), "r" | "br" | "cr").then(|| scan.raw_string()).flatten();
                match raw {
                    Some(text) => push(Kind::Text, text),
                    None => push(Kind::Word, word),
                }
            }
            (c, _) => {
                scan.bump();
                if !c.is_whitespace() {
                    push(Kind::Punct, c.to_string());
                }
            }
        }
    }
    tokens
}
