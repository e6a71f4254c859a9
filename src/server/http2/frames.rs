//! The frames in the bytes of an HTTP/2 connection (RFC 9113, section 4.1). Pure.

const HEADER: usize = 9;
/// What a client sends before its first frame (RFC 9113, section 3.4).
const PREFACE: usize = 24;

/// The header of a frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Frame {
    pub(super) kind: Kind,
    /// 0: the connection.
    pub(super) stream: u32,
    /// The bytes of its payload.
    pub(super) length: usize,
}

/// Types of frames.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Data,
    Headers,
    ResetStream,
    WindowUpdate,
    Continuation,
    /// All others, also those that are not defined.
    Control,
}

/// How far one direction of a connection has been read.
#[derive(Debug, Default)]
pub(super) struct Frames {
    header: [u8; HEADER],
    /// How many bytes of the header have been read.
    filled: usize,
    /// How many bytes of the payload are left.
    payload: usize,
}

impl Frames {
    /// Creates the reader of what a client sends, from its first byte.
    pub(super) fn with_preface() -> Self {
        Self { payload: PREFACE, ..Self::default() }
    }

    /// Returns whether a frame has just ended.
    pub(super) fn is_between(&self) -> bool {
        self.filled == 0 && self.payload == 0
    }

    /// Takes bytes off the front up to the end of a frame's header, or all of them. A header is reported once.
    pub(super) fn next(&mut self, bytes: &mut &[u8]) -> Option<Frame> {
        self.payload -= take(bytes, self.payload).len();
        let part = take(bytes, HEADER - self.filled);
        let free = self.header.get_mut(self.filled..)?;
        for (slot, byte) in free.iter_mut().zip(part) {
            *slot = *byte;
        }
        self.filled += part.len();
        if self.filled < HEADER {
            return None;
        }
        let [l2, l1, l0, kind, _flags, s3, s2, s1, s0] = self.header;
        let length = usize::try_from(u32::from_be_bytes([0, l2, l1, l0])).unwrap_or(usize::MAX);
        (self.filled, self.payload) = (0, length);
        // The first bit is reserved.
        let stream = u32::from_be_bytes([s3 & 0x7f, s2, s1, s0]);
        Some(Frame { kind: Kind::of(kind), stream, length })
    }
}

impl Kind {
    fn of(byte: u8) -> Self {
        match byte {
            0 => Self::Data,
            1 => Self::Headers,
            3 => Self::ResetStream,
            8 => Self::WindowUpdate,
            9 => Self::Continuation,
            _ => Self::Control,
        }
    }
}

/// Takes at most `most` bytes off the front.
fn take<'a>(bytes: &mut &'a [u8], most: usize) -> &'a [u8] {
    let (taken, rest) = bytes.split_at_checked(most).unwrap_or((*bytes, &[]));
    *bytes = rest;
    taken
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn frame(kind: u8, stream: u32, payload: usize) -> Vec<u8> {
        let length = u32::try_from(payload).unwrap().to_be_bytes();
        [&length[1..], &[kind, 1], &stream.to_be_bytes(), &vec![9; payload]].concat()
    }

    fn all(frames: &mut Frames, mut bytes: &[u8]) -> Vec<Frame> {
        std::iter::from_fn(|| frames.next(&mut bytes)).collect()
    }

    #[test]
    fn each_frame_has_its_kind() {
        use Kind::{Continuation, Control, Data, Headers, ResetStream, WindowUpdate};
        let kinds = [
            Data,
            Headers,
            Control,
            ResetStream,
            Control,
            Control,
            Control,
            Control,
            WindowUpdate,
            Continuation,
            Control,
            Control,
        ];
        for (number, kind) in (0..).zip(kinds) {
            let found = all(&mut Frames::default(), &frame(number, 0x8000_0003, 5));
            assert_eq!(found, [Frame { kind, stream: 3, length: 5 }], "{number}");
        }
    }

    #[test]
    fn the_preface_is_no_frame() {
        let mut frames = Frames::with_preface();
        assert_eq!(all(&mut frames, b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"), []);
        assert!(frames.is_between());
        assert_eq!(all(&mut frames, &frame(4, 0, 0)).len(), 1);
    }

    proptest! {
        #[test]
        fn the_frames_are_the_same_however_the_bytes_arrive(
            list in prop::collection::vec((any::<u8>(), 0..100_u32, 0..30_usize), 0..10),
            step in 1..40_usize,
        ) {
            let bytes = list.iter().map(|(kind, stream, length)| frame(*kind, *stream, *length)).collect::<Vec<_>>();
            let bytes = bytes.concat();
            let mut frames = Frames::default();
            let found: Vec<Frame> = bytes.chunks(step).flat_map(|part| all(&mut frames, part)).collect();
            let want: Vec<Frame> = list
                .iter()
                .map(|(kind, stream, length)| Frame { kind: Kind::of(*kind), stream: *stream, length: *length })
                .collect();
            prop_assert_eq!(found, want);
            prop_assert!(frames.is_between());
        }
    }
}
