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
    /// See [`Sources::file_hash`].
    file_hash: Option<String>,
}

impl Sources {
    /// A hash of what the files held when the configuration was read.
    #[must_use]
    pub fn fingerprint(&self) -> [u8; 32] {
        self.fingerprint
    }

    /// The hash of the configuration file alone, in hexadecimal. None: there is none, or it could not be read. Secrets are
    /// left out: a hash that depends on them would help to guess them.
    #[must_use]
    pub fn file_hash(&self) -> Option<&str> {
        self.file_hash.as_deref()
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
pub(super) struct Reader {
    noted: RefCell<Vec<(PathBuf, u64, blake3::Hash)>>,
    file_hash: RefCell<Option<String>>,
}

impl Reader {
    /// Reads at most `most` bytes and one more, so that the caller can tell that there are more.
    pub(super) fn read(&self, path: &Path, most: usize) -> io::Result<Vec<u8>> {
        let most = u64::try_from(most).unwrap_or(u64::MAX).saturating_add(1);
        let bytes = read(path, most);
        // A pipe can be read but once: there is nothing to look at again.
        if path.is_file() || !path.exists() {
            self.noted.borrow_mut().push((path.to_owned(), most, hash(&bytes)));
        }
        bytes
    }

    /// Reads the configuration file.
    pub(super) fn read_file(&self, path: &Path, most: usize) -> io::Result<Vec<u8>> {
        let bytes = self.read(path, most)?;
        *self.file_hash.borrow_mut() = Some(blake3::hash(&bytes).to_hex().to_string());
        Ok(bytes)
    }

    pub(super) fn sources(self) -> Sources {
        let (noted, file_hash) = (self.noted.into_inner(), self.file_hash.into_inner());
        let fingerprint = fold(noted.iter().map(|(.., hash)| *hash));
        Sources {
            files: noted.into_iter().map(|(path, most, _)| (path, most)).collect(),
            fingerprint,
            file_hash,
        }
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
