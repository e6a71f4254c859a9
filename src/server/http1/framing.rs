//! Which bytes of an HTTP/1 connection belong to which message (RFC 9112, section 6). Pure.

#[cfg(test)]
mod tests;

use super::chunks::{Chunks, Scanned};
use super::head::{self, Following, HeadBounds};
use super::malformed::Malformed;
use super::prefix::Prefix;
use crate::policy::live::Live;

/// The part of a message that the next byte belongs to.
#[derive(Debug)]
pub(super) enum Framing {
    /// A head that has been read this far.
    Head(Prefix),
    /// A body that ends after this number of bytes.
    Length(u64),
    /// A body in chunks.
    Chunked(Chunks),
    /// The bytes after a request to upgrade: a tunnel or the next request, which the response decides.
    AfterUpgrade,
    /// Bytes that are passed on unread: a tunnel, or HTTP/2.
    PassThrough,
    /// Bytes that are not read: the connection ends.
    Closed,
}

impl Default for Framing {
    fn default() -> Self {
        Self::Head(Prefix::default())
    }
}

impl Framing {
    /// Returns how many of the first `bytes` can be handed on, and moves to the part that follows them. A head is
    /// handed on whole: until its last byte is there, the next call begins with the same bytes. `policy` configures how
    /// paths are read.
    ///
    /// # Errors
    /// When the bytes cannot belong to a valid message.
    pub(super) fn advance(
        &mut self,
        bytes: &[u8],
        bounds: &HeadBounds,
        policy: &Live,
    ) -> Result<usize, Malformed> {
        match self {
            Self::Head(prefix) => {
                // Nearly all heads arrive at once: they are judged without the byte-by-byte reading of a prefix.
                let whole = if prefix.is_new() { head::read(bytes, bounds)? } else { None };
                let (end, following) = match whole {
                    Some(whole) => whole,
                    None => match prefix.scan(bytes, bounds, policy.load().path())? {
                        Some(end) => (end, head::judge(bytes.get(..end).unwrap_or_default(), bounds)?),
                        None => return Ok(0),
                    },
                };
                *self = following.into();
                Ok(end)
            }
            Self::Length(left) => {
                let own = usize::try_from(*left).unwrap_or(usize::MAX).min(bytes.len());
                *left = left.saturating_sub(own as u64);
                if *left == 0 {
                    *self = Self::default();
                }
                Ok(own)
            }
            Self::Chunked(chunks) => match chunks.scan(bytes)? {
                Scanned::All => Ok(bytes.len()),
                Scanned::End(length) => {
                    *self = Self::default();
                    Ok(length)
                }
            },
            Self::PassThrough => Ok(bytes.len()),
            Self::AfterUpgrade | Self::Closed => Ok(0),
        }
    }

    /// Returns whether only empty lines of a head have been read. The caller drops them: a client that sends no more
    /// than these is idle, not late.
    pub(super) fn drop_empty_lines(&mut self) -> bool {
        if let Self::Head(prefix) = self { prefix.drop_empty_lines() } else { false }
    }

    pub(super) fn is_head(&self) -> bool {
        matches!(self, Self::Head(_))
    }
}

impl From<Following> for Framing {
    fn from(following: Following) -> Self {
        match following {
            Following::Length(0) => Self::default(),
            Following::Length(length) => Self::Length(length),
            Following::Chunked => Self::Chunked(Chunks::default()),
            Following::Upgrade => Self::AfterUpgrade,
        }
    }
}
