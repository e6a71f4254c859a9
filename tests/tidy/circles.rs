//! Finds files that import each other, directly or through others: none of them can be read without all.
//!
//! An import of a name that a file re-exports counts as one from the file that defines it. What a file imports from its
//! own children does not count: it is put together from them. Tests are left out.

use std::collections::{BTreeMap, BTreeSet};

use crate::lex::File;

/// Re-exports that are followed from one name: more would be a circle of their own.
const MAX_REEXPORTS: usize = 8;

/// An import, as its path from the root of the crate.
struct Import {
    path: Vec<String>,
    reexports: bool,
}

/// For each file the files that it imports.
type Graph<'a> = BTreeMap<&'a str, BTreeSet<&'a str>>;

pub(crate) fn circle_faults(tree: &[File]) -> Vec<String> {
    let mut graph = graph(tree);
    let mut faults = Vec::new();
    while let Some(circle) = circle(&graph) {
        let first = circle.first().copied().unwrap_or_default();
        faults.push(format!("{first}:1: files import each other: {} -> {first}", circle.join(" -> ")));
        // One fault per circle: without one of its files, others that share no file with it remain.
        graph.retain(|file, _| !circle.contains(file));
    }
    faults
}

fn graph(tree: &[File]) -> Graph<'_> {
    let files: Vec<(Vec<&str>, &File)> = tree.iter().map(|file| (home(file), file)).collect();
    let imports: Vec<Vec<Import>> = tree.iter().map(imports).collect();
    let mut graph = Graph::new();
    for ((home, file), own) in files.iter().zip(&imports) {
        let targets = own.iter().filter(|import| !import.reexports).filter_map(|import| {
            let target = target(&files, &imports, &import.path, MAX_REEXPORTS)?;
            let (there, target) = files.get(target)?;
            (!there.starts_with(home)).then_some(target.path.as_str())
        });
        graph.insert(&file.path, targets.collect());
    }
    graph
}

/// The module that a file holds; that of `lib.rs` and `main.rs` is the root.
fn home(file: &File) -> Vec<&str> {
    let modules = file.modules();
    if matches!(modules[..], ["lib" | "main"]) { Vec::new() } else { modules }
}

/// Returns the index of the file that defines what a path names.
fn target(
    files: &[(Vec<&str>, &File)],
    imports: &[Vec<Import>],
    path: &[String],
    reexports: usize,
) -> Option<usize> {
    let holds = |home: &[&str]| home.len() <= path.len() && home.iter().zip(path).all(|(a, b)| a == b);
    let (index, (home, _)) = files
        .iter()
        .enumerate()
        .filter(|(_, (home, _))| holds(home))
        .max_by_key(|(_, (home, _))| home.len())?;
    let Some(name) = path.get(home.len()).filter(|_| reexports > 0) else { return Some(index) };
    let elsewhere = imports.get(index)?.iter().find(|import| {
        import.reexports && import.path.last() == Some(name) && !path.starts_with(&import.path)
    });
    match elsewhere {
        Some(import) => target(files, imports, &import.path, reexports - 1),
        None => Some(index),
    }
}

fn imports(file: &File) -> Vec<Import> {
    let home = home(file);
    let mut found = Vec::new();
    let mut at = 0;
    while at < file.tokens.len() {
        if let Some(end) = test_module(file, at) {
            at = end;
            continue;
        }
        let starts_path = at == 0 || file.token(at - 1) != "::";
        let is_use = at > 0 && file.token(at - 1) == "use";
        let rooted = matches!(file.token(at), "crate" | "tidegate" | "super" | "self");
        if starts_path && ((rooted && file.token(at + 1) == "::") || is_use) {
            let reexports = is_use && at > 1 && matches!(file.token(at - 2), "pub" | ")");
            let mut paths = Vec::new();
            at = expand(file, at, &[], &mut paths);
            found.extend(paths.iter().map(|path| Import { path: from_root(&home, path), reexports }));
        } else {
            at += 1;
        }
    }
    found
}

/// Where a test module that begins at `at` ends.
fn test_module(file: &File, at: usize) -> Option<usize> {
    let cfg = ["#", "[", "cfg", "(", "test", ")", "]", "mod"];
    if !cfg.iter().enumerate().all(|(n, token)| file.token(at + n) == *token) {
        return None;
    }
    let open = (at..file.tokens.len()).find(|&n| matches!(file.token(n), "{" | ";"))?;
    let mut depth = 0;
    for n in open..file.tokens.len() {
        match file.token(n) {
            "{" => depth += 1,
            "}" => depth -= 1,
            _ => {}
        }
        if depth == 0 {
            return Some(n + 1);
        }
    }
    Some(file.tokens.len())
}

/// Adds the paths of the use tree at `at`, each beginning with `prefix`. Returns where it ends.
fn expand(file: &File, mut at: usize, prefix: &[&str], paths: &mut Vec<Vec<String>>) -> usize {
    let mut path = prefix.to_vec();
    loop {
        if file.token(at) == "{" {
            at += 1;
            while at < file.tokens.len() && file.token(at) != "}" {
                at = if file.token(at) == "," { at + 1 } else { expand(file, at, &path, paths) };
            }
            return at + 1;
        }
        path.push(file.token(at));
        if file.token(at + 1) != "::" {
            paths.push(path.iter().map(|&name| name.to_owned()).collect());
            return if file.token(at + 1) == "as" { at + 3 } else { at + 1 };
        }
        at += 2;
    }
}

fn from_root(home: &[&str], path: &[String]) -> Vec<String> {
    let mut base: Vec<String> = home.iter().map(|&name| name.to_owned()).collect();
    let mut rest = path.iter().map(String::as_str).peekable();
    match rest.peek() {
        Some(&("crate" | "tidegate")) => {
            base.clear();
            rest.next();
        }
        Some(&"self") => drop(rest.next()),
        _ => {
            while rest.next_if_eq(&"super").is_some() {
                base.pop();
            }
        }
    }
    // `use a::{self, b}` names `a` itself.
    base.extend(rest.filter(|&name| name != "self").map(str::to_owned));
    base
}

/// Returns the files of a circle, if there is one, from the first in alphabetical order.
fn circle<'a>(graph: &Graph<'a>) -> Option<Vec<&'a str>> {
    graph.keys().find_map(|start| {
        // The shortest way back to the start.
        let mut ways = vec![vec![*start]];
        let mut seen = BTreeSet::new();
        while !ways.is_empty() {
            let mut longer = Vec::new();
            for way in ways {
                for &next in way.last().and_then(|last| graph.get(last)).into_iter().flatten() {
                    if next == *start {
                        return Some(way);
                    }
                    if seen.insert(next) {
                        longer.push([&way[..], &[next]].concat());
                    }
                }
            }
            ways = longer;
        }
        None
    })
}
