//! How much one stream may be sent, and when to allow more. Pure: times come in as values.

use std::time::Duration;

use super::error::ProtocolError;

/// How much of a stream may be on its way or unread at first, in bytes; both sides count on it.
pub const WINDOW: u32 = 256 * 1024;
/// More is allowed at the latest when so much was taken since the last time, in bytes. Small, so
/// that a slow link hears from the receiver often.
const STEP: u32 = 128 * 1024;
/// What does not count as time: switching between processes takes as long.
const SLACK: Duration = Duration::from_millis(2);
/// The largest window, in bytes: 100 ms of a link of 1.3 Gbit/s.
const MOST: u32 = 16 * 1024 * 1024;

/// The receiver's account of one stream.
#[derive(Debug)]
pub(crate) struct Window {
    /// What may be on its way or waiting here at once.
    size: u32,
    /// What may still come.
    left: u32,
    /// What was taken since more was last allowed.
    taken: u32,
    /// What was taken since the round began.
    round: u32,
    round_began: Duration,
}

/// More that may be sent.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Grant {
    /// By so many bytes.
    pub credit: u32,
    /// By how much the window grew, which is contained in `credit`.
    pub grown: u32,
}

/// What a window's growth depends on.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Path {
    /// The time now, on any clock.
    pub now: Duration,
    /// The shortest round trip that was seen; unknown before the first.
    pub round_trip: Option<Duration>,
    /// By how much the window may grow, in bytes.
    pub spare: u32,
}

impl Window {
    pub(crate) fn new() -> Self {
        Self { size: WINDOW, left: WINDOW, taken: 0, round: 0, round_began: Duration::ZERO }
    }

    /// As much of `length` as may come now, at least 1.
    pub(crate) fn within(&self, stream: u32, length: usize) -> Result<usize, ProtocolError> {
        match length.min(self.left as usize) {
            0 => Err(ProtocolError::Overrun { stream }),
            within => Ok(within),
        }
    }

    /// Data has come.
    pub(crate) fn received(&mut self, stream: u32, length: usize) -> Result<(), ProtocolError> {
        let left = u32::try_from(length).ok().and_then(|length| self.left.checked_sub(length));
        self.left = left.ok_or(ProtocolError::Overrun { stream })?;
        Ok(())
    }

    /// Data was taken by its reader; says when to allow more. A window that is used up within two
    /// round trips, or within no time at all, holds the sender back, so it doubles.
    pub(crate) fn taken(&mut self, length: usize, path: impl FnOnce() -> Path) -> Option<Grant> {
        let length = u32::try_from(length).unwrap_or(u32::MAX);
        self.taken = self.taken.saturating_add(length);
        self.round = self.round.saturating_add(length);
        if self.taken < STEP.min(self.size / 2) {
            return None;
        }
        let mut grown = 0;
        if self.round >= self.size {
            let path = path();
            let lasted = path.now.saturating_sub(self.round_began);
            if path.round_trip.is_some_and(|round_trip| lasted < 2 * round_trip + SLACK) {
                grown = self.size.min(path.spare).min(MOST.saturating_sub(self.size));
                self.size += grown;
            }
            (self.round, self.round_began) = (0, path.now);
        }
        let credit = self.taken.saturating_add(grown);
        self.left = self.left.saturating_add(credit);
        self.taken = 0;
        Some(Grant { credit, grown })
    }

    /// By how much it has grown.
    pub(crate) fn grown(&self) -> u32 {
        self.size.saturating_sub(WINDOW)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn path(now_ms: u64) -> Path {
        let round_trip = Some(Duration::from_millis(10));
        Path { now: Duration::from_millis(now_ms), round_trip, spare: u32::MAX / 2 }
    }

    #[test]
    fn more_than_allowed_is_an_error() {
        let mut window = Window::new();
        window.received(1, WINDOW as usize).unwrap();
        assert_eq!(window.received(1, 1), Err(ProtocolError::Overrun { stream: 1 }));
        assert!(window.taken(1000, || path(0)).is_none(), "too little to talk about");
        let grant = window.taken(STEP as usize - 1000, || path(1000)).unwrap();
        assert_eq!(grant, Grant { credit: STEP, grown: 0 });
        window.received(1, STEP as usize).unwrap();
        assert!(window.received(1, 1).is_err());
    }

    #[test]
    fn it_grows_only_when_it_holds_the_sender_back() {
        let mut window = Window::new();
        let half = (WINDOW / 2) as usize;
        window.taken(half, || path(30)).unwrap();
        assert_eq!(window.taken(half, || path(60)).unwrap().grown, 0, "slower than the link");
        window.taken(half, || path(65)).unwrap();
        let grant = window.taken(half, || path(70)).unwrap();
        assert_eq!(grant, Grant { credit: WINDOW / 2 + WINDOW, grown: WINDOW });
        assert_eq!(window.grown(), WINDOW);
    }

    #[test]
    fn it_does_not_grow_beyond_what_is_spare_or_without_knowing_the_link() {
        let mut window = Window::new();
        let unknown = Path { round_trip: None, ..path(0) };
        let little = Path { spare: 5, ..path(0) };
        for (path, grown) in [(unknown, 0), (little, 5)] {
            window.taken((WINDOW / 2) as usize, || path).unwrap();
            assert_eq!(window.taken((WINDOW / 2 + 5) as usize, || path).unwrap().grown, grown);
        }
    }
}
