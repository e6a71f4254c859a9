//! Bounds the control frames that a client may send: by a rate, a burst, and one more for each frame that is a reason
//! to send one. Pure.

use super::frames::{Frame, Frames, Kind};

/// The burst is the number of frames that the rate allows in ten seconds.
const BURST_SECONDS: u32 = 10;
/// GOAWAY with ENHANCE_YOUR_CALM (RFC 9113, sections 6.8 and 7), up to the number of the last stream.
const GO_AWAY: [u8; 9] = [0, 0, 8, 7, 0, 0, 0, 0, 0];
const ENHANCE_YOUR_CALM: u32 = 0xb;
/// The least that a client is expected to read before it updates a window: a quarter of what known clients do.
const BYTES_PER_UPDATE: usize = 1024;
/// The maximum number of updates that can be outstanding: a client that never sends any must not save up for a flood. A
/// client that has 400 MiB unread, and then updates two windows for each 4 KiB, sends fewer.
const MAX_UPDATES: u32 = 250_000;

/// Counts what a client has sent against what it may send.
///
/// Counted are SETTINGS, PING, PRIORITY, GOAWAY and unknown frames, acknowledgements of what we never sent included,
/// resets of streams that cannot be open, and WINDOW_UPDATE frames beyond those that have a reason. The library bounds
/// DATA, HEADERS and CONTINUATION frames, and resets of open streams.
///
/// A client updates two windows, the stream's and the connection's, for the DATA that it has read: for each frame, or
/// for each part of one that fits into its buffer (Go's `net/http2` does from 4 KiB on). Many clients also open a new
/// stream's window at once. That many updates have a reason, whenever they arrive.
///
/// A client that measures the bandwidth pings when DATA arrives (gRPC does, at most one ping under way): each DATA and
/// HEADERS frame that tidegate sends allows for one frame more. Frames that the client sends allow for none: it could
/// send a byte of DATA before each PING, and flood without end.
#[derive(Debug)]
pub(super) struct Budget {
    received: Frames,
    sent: Frames,
    per_second: u32,
    /// In thousandths of a frame.
    left: i64,
    /// WINDOW_UPDATE frames that have a reason and have not arrived.
    updates: u32,
    /// When time was last added, in milliseconds.
    refilled: i64,
    /// The number of the client's last stream.
    last_stream: u32,
    /// The number of streams that can be open.
    open: u32,
    most_open: u32,
}

/// What a client has sent at once.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Received {
    pub(super) frames: usize,
    /// The number of frames that count against the budget.
    pub(super) control: u32,
}

impl Budget {
    /// Creates the budget of a connection that begins at 0 ms, with its preface.
    pub(super) fn new(per_second: u32, most_open: u32) -> Self {
        let mut budget = Self {
            received: Frames::with_preface(),
            sent: Frames::default(),
            per_second,
            left: 0,
            updates: 0,
            refilled: 0,
            last_stream: 0,
            open: 0,
            most_open,
        };
        budget.left = budget.burst();
        budget
    }

    fn burst(&self) -> i64 {
        i64::from(self.per_second) * i64::from(BURST_SECONDS) * 1000
    }

    fn add(&mut self, thousandths: i64) {
        self.left = self.left.saturating_add(thousandths).min(self.burst());
    }

    fn expect_updates(&mut self, updates: usize) {
        let updates = u32::try_from(updates).unwrap_or(MAX_UPDATES);
        self.updates = self.updates.saturating_add(updates).min(MAX_UPDATES);
    }

    /// Counts what the client has sent.
    pub(super) fn receive(&mut self, mut bytes: &[u8]) -> Received {
        let mut received = Received::default();
        while let Some(frame) = self.received.next(&mut bytes) {
            received.frames += 1;
            received.control += u32::from(self.counts(frame));
        }
        received
    }

    fn counts(&mut self, frame: Frame) -> bool {
        match frame.kind {
            Kind::Control => return true,
            Kind::WindowUpdate => match self.updates.checked_sub(1) {
                Some(left) => self.updates = left,
                None => return true,
            },
            Kind::ResetStream if self.open == 0 => return true,
            Kind::ResetStream => self.open -= 1,
            Kind::Headers if frame.stream > self.last_stream => {
                self.last_stream = frame.stream;
                self.expect_updates(1);
                self.open = self.open.saturating_add(1).min(self.most_open);
            }
            _ => {}
        }
        false
    }

    /// Counts what tidegate has sent.
    pub(super) fn send(&mut self, mut bytes: &[u8]) {
        while let Some(frame) = self.sent.next(&mut bytes) {
            if matches!(frame.kind, Kind::Data | Kind::Headers) {
                self.add(1000);
            }
            if frame.kind == Kind::Data {
                self.expect_updates(2 * frame.length.div_ceil(BYTES_PER_UPDATE).max(1));
            }
        }
    }

    /// Returns whether this many frames may be sent by now.
    pub(super) fn spend(&mut self, frames: u32, now_ms: i64) -> bool {
        let elapsed = now_ms.saturating_sub(self.refilled).max(0);
        self.refilled = self.refilled.max(now_ms);
        // A frame per second is a thousandth in a millisecond.
        self.add(elapsed.saturating_mul(i64::from(self.per_second)));
        self.left = self.left.saturating_sub(i64::from(frames) * 1000);
        self.left >= 0
    }

    /// The frame that ends the connection. None: we are in the middle of another.
    pub(super) fn go_away(&self) -> Option<Vec<u8>> {
        let frame = || {
            let last_stream = self.last_stream.to_be_bytes();
            [&GO_AWAY[..], &last_stream, &ENHANCE_YOUR_CALM.to_be_bytes()].concat()
        };
        self.sent.is_between().then(frame)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn frame(kind: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
        let length = u32::try_from(payload.len()).unwrap().to_be_bytes();
        [&length[1..], &[kind, 0], &stream.to_be_bytes(), payload].concat()
    }

    fn budget() -> Budget {
        let mut budget = Budget::new(100, 10);
        assert_eq!(budget.receive(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"), Received::default());
        budget
    }

    /// How many of these frames count.
    fn control(budget: &mut Budget, frames: &[Vec<u8>]) -> u32 {
        budget.receive(&frames.concat()).control
    }

    #[test]
    fn only_control_frames_count() {
        for (kind, counts) in
            [(0, 0), (1, 0), (2, 1), (4, 1), (6, 1), (7, 1), (8, 1), (9, 0), (10, 1), (255, 1)]
        {
            assert_eq!(control(&mut budget(), &[frame(kind, 1, b"payload")]), counts, "{kind}");
        }
    }

    #[test]
    fn resets_count_when_no_stream_can_be_open() {
        let mut budget = budget();
        let reset = frame(3, 1, &[0; 4]);
        assert_eq!(control(&mut budget, std::slice::from_ref(&reset)), 1);
        let open = [1, 3, 3, 5].map(|stream| frame(1, stream, b""));
        assert_eq!(control(&mut budget, &open), 0);
        assert_eq!(control(&mut budget, &vec![reset.clone(); 5]), 2);
        let many: Vec<_> = (4..100).map(|number| frame(1, 2 * number + 1, b"")).collect();
        assert_eq!(control(&mut budget, &many), 0);
        assert_eq!(control(&mut budget, &vec![reset; 15]), 5);
    }

    #[test]
    fn the_burst_is_spent_once() {
        let mut budget = budget();
        assert!(budget.spend(1000, 0));
        assert!(!budget.spend(1, 0));
    }

    #[test]
    fn the_rate_refills_it() {
        let mut budget = budget();
        assert!(budget.spend(1000, 0));
        assert!(budget.spend(100, 1000));
        for now_ms in 1..=1000 {
            assert!(now_ms % 10 != 0 || budget.spend(1, 1000 + now_ms));
        }
        assert!(!budget.spend(1, 2000));
    }

    #[test]
    fn a_rest_does_not_save_more_than_the_burst() {
        let mut budget = budget();
        assert!(budget.spend(1000, 3_600_000));
        assert!(!budget.spend(1, 3_600_000));
    }

    #[test]
    fn a_clock_that_steps_back_adds_nothing() {
        let mut budget = budget();
        assert!(budget.spend(1000, 5000));
        assert!(budget.spend(0, 0));
        assert!(!budget.spend(1, 5000));
    }

    #[test]
    fn a_ping_for_each_data_frame_is_covered() {
        let mut budget = budget();
        for _ in 0..100_000 {
            budget.send(&frame(0, 1, b"message"));
            let ping = budget.receive(&frame(6, 0, &[0; 8])).control;
            assert!(budget.spend(ping, 0));
        }
    }

    fn update(stream: u32) -> Vec<u8> {
        frame(8, stream, &[0, 0, 0, 1])
    }

    #[test]
    fn updates_of_both_windows_for_each_data_frame_are_not_counted() {
        let mut budget = budget();
        for _ in 0..10_000 {
            budget.send(&frame(0, 1, b"message"));
        }
        for _ in 0..10_000 {
            assert_eq!(control(&mut budget, &[update(1), update(0)]), 0);
        }
        assert_eq!(control(&mut budget, &[update(1), update(0)]), 2);
    }

    #[test]
    fn updates_of_both_windows_for_each_kibibyte_of_data_are_not_counted() {
        let mut budget = budget();
        budget.send(&frame(0, 1, &[0; 16_384]));
        for _ in 0..16 {
            assert_eq!(control(&mut budget, &[update(1), update(0)]), 0);
        }
        assert_eq!(control(&mut budget, &[update(1)]), 1);
    }

    #[test]
    fn an_update_for_each_new_stream_is_not_counted() {
        let mut budget = budget();
        for stream in (1..20_000).step_by(2) {
            assert_eq!(control(&mut budget, &[frame(1, stream, b""), update(stream)]), 0);
        }
        assert_eq!(control(&mut budget, &[frame(1, 1, b""), update(1)]), 1);
    }

    #[test]
    fn what_is_sent_besides_data_explains_no_update() {
        let mut budget = budget();
        for kind in [1, 3, 4, 6, 7, 8] {
            budget.send(&frame(kind, 0, b"payload"));
        }
        assert_eq!(control(&mut budget, &[update(0)]), 1);
    }

    #[test]
    fn a_client_saves_up_no_more_updates_than_the_most() {
        let mut budget = budget();
        let data = frame(0, 1, b"message");
        for _ in 0..MAX_UPDATES {
            budget.send(&data);
        }
        for _ in 0..MAX_UPDATES {
            assert_eq!(budget.receive(&update(0)).control, 0);
        }
        assert_eq!(control(&mut budget, &[update(0)]), 1);
    }

    #[test]
    fn what_the_client_sends_allows_for_nothing() {
        let mut budget = budget();
        assert!(budget.spend(1000, 0));
        let upload = [frame(1, 1, b""), frame(0, 1, b"x"), frame(6, 0, &[0; 8])];
        assert_eq!(control(&mut budget, &upload), 1);
        assert!(!budget.spend(1, 0));
    }

    #[test]
    fn neither_our_acknowledgements_nor_empty_frames_allow_for_more() {
        let mut budget = budget();
        assert!(budget.spend(1000, 0));
        for kind in [3, 4, 6, 7, 8] {
            budget.send(&frame(kind, 0, b"payload"));
        }
        assert_eq!(control(&mut budget, &[frame(0, 1, b""), frame(1, 1, b""), frame(8, 1, &[0; 4])]), 0);
        assert!(!budget.spend(1, 0));
    }

    #[test]
    fn goaway_names_the_last_stream() {
        let mut budget = budget();
        control(&mut budget, &[frame(1, 7, b""), frame(1, 5, b"")]);
        assert_eq!(budget.go_away(), Some(frame(7, 0, &[0, 0, 0, 7, 0, 0, 0, 0xb])));
    }

    #[test]
    fn goaway_comes_between_frames() {
        let mut budget = budget();
        control(&mut budget, &[frame(1, 7, b"")]);
        let data = frame(0, 1, b"message");
        for cut in 1..data.len() {
            let (begin, end) = data.split_at(cut);
            budget.send(begin);
            assert_eq!(budget.go_away(), None, "{cut}");
            budget.send(end);
            assert_eq!(budget.go_away(), Some(frame(7, 0, &[0, 0, 0, 7, 0, 0, 0, 0xb])), "{cut}");
        }
    }

    #[test]
    fn large_bounds_do_not_overflow() {
        let mut budget = Budget::new(u32::MAX, u32::MAX);
        assert!(budget.spend(u32::MAX, i64::MAX));
        assert!(budget.spend(u32::MAX, i64::MIN));
    }
}
