//! What a configuration was read from, to notice that it has changed.

use std::cell::RefCell;
use std::fs::File;
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};

/// The files that a configuration was read from, and what they held.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Sources {
    files: Vec<(PathBuf, u64)>,
    fingerprint: [u8; 32],
}

impl Sources {
    /// A hash of what the files held when the configuration was read.
    #[must_use]
    pub fn fingerprint(&self) -> [u8; 32] {
        self.fingerprint
    }

    /// The same hash of what they hold now. A file that cannot be read counts as holding the reason.
    #[must_use]
    pub fn look(&self) -> [u8; 32] {
        let hashes = self.files.iter().map(|(path, most)| hash(&read(path, *most)));
        fold(hashes)
    }
}

/// Reads files and takes note of them.
#[derive(Debug, Default)]
pub(super) struct Reader(RefCell<Vec<(PathBuf, u64, blake3::Hash)>>);

impl Reader {
    /// Reads at most `most` bytes and one more, so that the caller can tell that there are more.
    pub(super) fn read(&self, path: &Path, most: usize) -> io::Result<Vec<u8>> {
        let most = u64::try_from(most).unwrap_or(u64::MAX).saturating_add(1);
        let bytes = read(path, most);
        // A pipe can be read but once: there is nothing to look at again.
        if path.is_file() || !path.exists() {
            self.0.borrow_mut().push((path.to_owned(), most, hash(&bytes)));
        }
        bytes
    }

    pub(super) fn sources(self) -> Sources {
        let noted = self.0.into_inner();
        let fingerprint = fold(noted.iter().map(|(.., hash)| *hash));
        Sources { files: noted.into_iter().map(|(path, most, _)| (path, most)).collect(), fingerprint }
    }
}

fn read(path: &Path, most: u64) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    File::open(path)?.take(most).read_to_end(&mut bytes)?;
    Ok(bytes)
}

fn hash(content: &io::Result<Vec<u8>>) -> blake3::Hash {
    match content {
        Ok(bytes) => blake3::hash(bytes),
        Err(error) => blake3::hash(error.to_string().as_bytes()),
    }
}

fn fold(hashes: impl Iterator<Item = blake3::Hash>) -> [u8; 32] {
    let mut hasher = blake3::Hasher::new();
    for hash in hashes {
        hasher.update(hash.as_bytes());
    }
    hasher.finalize().into()
}
