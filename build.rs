//! Facts about the build, for `--version` and the admin API: the target, and the commit.
#![allow(clippy::print_stdout, reason = "cargo reads what a build script prints")]

use std::env;
use std::fs;
use std::path::{Path, PathBuf};

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    println!("cargo::rerun-if-env-changed=TIDEGATE_COMMIT");
    let target = env::var("TARGET").unwrap_or_default();
    let given = env::var("TIDEGATE_COMMIT").ok().filter(|commit| is_commit(commit));
    let commit = given.or_else(|| {
        // Not in debug builds: each commit would compile all of them once more.
        let release = env::var("PROFILE").is_ok_and(|profile| profile == "release");
        let repository = Repository::find(Path::new(&env::var("CARGO_MANIFEST_DIR").ok()?))?;
        if !release {
            return None;
        }
        repository.watched().for_each(|file| println!("cargo::rerun-if-changed={}", file.display()));
        repository.commit()
    });
    let commit = commit.unwrap_or_default();
    let shown = commit.get(..12).unwrap_or("unknown");
    println!("cargo::rustc-env=TIDEGATE_TARGET={target}");
    println!("cargo::rustc-env=TIDEGATE_COMMIT={commit}");
    println!("cargo::rustc-env=TIDEGATE_BUILD=commit {shown}, {target}");
}

/// A repository of git. Its files are read without git, which an image for building may lack.
struct Repository {
    /// Of the working tree.
    head: PathBuf,
    /// Of all working trees.
    shared: PathBuf,
}

impl Repository {
    fn find(root: &Path) -> Option<Self> {
        let mut own = root.join(".git");
        // Of a linked working tree it is a file.
        if let Ok(text) = fs::read_to_string(&own) {
            own = root.join(text.strip_prefix("gitdir:")?.trim());
        }
        let shared = match fs::read_to_string(own.join("commondir")) {
            Ok(path) => own.join(path.trim()),
            Err(_) => own.clone(),
        };
        let head = own.join("HEAD");
        head.is_file().then_some(Self { head, shared })
    }

    /// The branch that is checked out: `refs/heads/main`.
    fn branch(&self) -> Option<String> {
        Some(fs::read_to_string(&self.head).ok()?.strip_prefix("ref:")?.trim().to_owned())
    }

    fn commit(&self) -> Option<String> {
        let Some(branch) = self.branch() else {
            return Some(fs::read_to_string(&self.head).ok()?.trim().to_owned())
                .filter(|text| is_commit(text));
        };
        let loose = fs::read_to_string(self.shared.join(&branch)).ok().map(|text| text.trim().to_owned());
        let packed = || {
            let refs = fs::read_to_string(self.shared.join("packed-refs")).ok()?;
            let rows = refs.lines().filter_map(|line| line.split_once(' '));
            rows.filter(|(_, name)| *name == branch).map(|(commit, _)| commit.to_owned()).next()
        };
        loose.or_else(packed).filter(|text| is_commit(text))
    }

    /// The files that another commit changes.
    fn watched(&self) -> impl Iterator<Item = PathBuf> {
        let loose = self.branch().map(|branch| self.shared.join(branch));
        let files = [Some(self.head.clone()), loose, Some(self.shared.join("packed-refs"))];
        // A file that is missing would have the script run each time.
        files.into_iter().flatten().filter(|file| file.exists())
    }
}

fn is_commit(text: &str) -> bool {
    (12..=64).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_hexdigit())
}
