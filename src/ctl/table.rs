//! Tables that fit a terminal. Pure.

use super::text::clean;

/// The width of a terminal.
const WIDTH: usize = 80;
/// Between two columns.
const GAP: usize = 2;

/// A table: columns of texts.
pub(super) struct Table {
    rows: Vec<Vec<String>>,
}

impl Table {
    /// A table with the names of its columns.
    pub(super) fn new(columns: &[&str]) -> Self {
        Self { rows: vec![columns.iter().map(|&name| name.to_owned()).collect()] }
    }

    /// A table without names of columns.
    pub(super) fn of_pairs() -> Self {
        Self { rows: Vec::new() }
    }

    pub(super) fn row(&mut self, cells: impl IntoIterator<Item = String>) {
        self.rows.push(cells.into_iter().map(|cell| clean(&cell)).collect());
    }

    pub(super) fn pair(&mut self, name: &str, value: impl Into<String>) {
        self.row([name.to_owned(), value.into()]);
    }

    /// Writes the table. Where it would be too wide, the widest columns are wrapped.
    pub(super) fn written(&self) -> String {
        let columns = self.rows.iter().map(Vec::len).max().unwrap_or_default();
        let width = |column: usize| {
            let cells = self.rows.iter().filter_map(|row| row.get(column));
            cells.map(|cell| length(cell)).max().unwrap_or_default()
        };
        let widths = fitted((0..columns).map(width).collect());
        let mut text = String::new();
        for row in &self.rows {
            let cells: Vec<Vec<String>> =
                row.iter().zip(&widths).map(|(cell, width)| wrapped(cell, *width)).collect();
            let height = cells.iter().map(Vec::len).max().unwrap_or_default();
            for line in 0..height {
                let mut written = String::new();
                for (cell, width) in cells.iter().zip(&widths) {
                    let part = cell.get(line).map_or("", |part| part);
                    written.push_str(part);
                    written.extend(std::iter::repeat_n(' ', (width + GAP).saturating_sub(length(part))));
                }
                text.push_str(written.trim_end());
                text.push('\n');
            }
        }
        text
    }
}

fn length(text: &str) -> usize {
    text.chars().count()
}

/// Takes from the widest columns until all fit.
fn fitted(mut widths: Vec<usize>) -> Vec<usize> {
    let room = WIDTH.saturating_sub(GAP * widths.len().saturating_sub(1));
    while widths.iter().sum::<usize>() > room {
        match widths.iter_mut().max() {
            Some(widest) if *widest > 1 => *widest -= 1,
            _ => break,
        }
    }
    widths
}

/// The lines of a text that is at most so wide, broken at blanks where there are some.
fn wrapped(text: &str, width: usize) -> Vec<String> {
    let mut lines = vec![String::new()];
    for word in text.split(' ') {
        let mut word: Vec<char> = word.chars().collect();
        let Some(line) = lines.last_mut() else { break };
        let blank = usize::from(!line.is_empty());
        if length(line) + blank + word.len() <= width {
            line.extend(std::iter::repeat_n(' ', blank));
            line.extend(&word);
            continue;
        }
        if !line.is_empty() {
            lines.push(String::new());
        }
        while word.len() > width.max(1) {
            let rest = word.split_off(width.max(1));
            if let Some(line) = lines.last_mut() {
                line.extend(&word);
            }
            lines.push(String::new());
            word = rest;
        }
        if let Some(line) = lines.last_mut() {
            line.extend(&word);
        }
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_as_wide_as_their_cells() {
        let mut table = Table::new(&["A", "LONGER"]);
        table.row(["one".to_owned(), "x".to_owned()]);
        assert_eq!(table.written(), "A    LONGER\none  x\n");
    }

    #[test]
    fn no_line_is_wider_than_a_terminal() {
        let mut table = Table::new(&["NAME", "LIMITS", "KEY"]);
        table.row([
            "w".repeat(64),
            "100/min burst 20 + 1000/day".to_owned(),
            "header:x-api-key, client_ip".to_owned(),
        ]);
        table.row(["short".to_owned(), "5/s".to_owned(), "z".repeat(200)]);
        let text = table.written();
        assert!(text.lines().all(|line| line.chars().count() <= WIDTH), "{text}");
        let kept = |of: char| text.chars().filter(|&c| c == of).count();
        assert_eq!((kept('w'), kept('z')), (64, 200), "nothing is lost: {text}");
    }

    #[test]
    fn a_text_is_broken_at_blanks() {
        assert_eq!(wrapped("one two three", 8), ["one two", "three"]);
        assert_eq!(wrapped("onetwothree", 4), ["onet", "woth", "ree"]);
        assert_eq!(wrapped("a onetwothree", 4), ["a", "onet", "woth", "ree"]);
        assert_eq!(wrapped("", 4), [""]);
    }

    #[test]
    fn what_a_terminal_would_act_on_is_escaped() {
        let mut table = Table::of_pairs();
        table.pair("reason", "\u{1b}[2Jgone\n");
        assert_eq!(table.written(), "reason  \\u{1b}[2Jgone\\u{a}\n");
    }
}
