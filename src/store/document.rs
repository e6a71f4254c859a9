//! A document that all instances share, and replace as a whole.

use super::StoreMs;

/// What the store replied about the document.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DocumentReply {
    /// The store's time.
    pub now: StoreMs,
    /// What it found or did.
    pub outcome: DocumentOutcome,
}

/// What the store found or did.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum DocumentOutcome {
    /// The document has the revision that the caller knows.
    Same,
    /// It has another one, and was not replaced. None: there is no document.
    Other(Option<Vec<u8>>),
    /// It was replaced.
    Written {
        /// Why other instances were not notified.
        unpublished: Option<String>,
    },
    /// The store does not allow it.
    Denied(String),
}

/// The length of a revision, with which each document begins.
pub const REVISION: usize = 16;
