//! What a workspace takes on the disk, as it was measured last, and when that is done again.

use serde::{Deserialize, Serialize};

use super::Limits;
use crate::Generation;

/// How long a figure is good at least, in microseconds.
const GOOD: i64 = 10 * 60 * 1_000_000;
/// Of how much time measuring takes one part at most.
const SHARE: i64 = 100;

/// What a workspace was seen to take on the disk.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema), schema(as = WorkspaceSize))]
pub struct Size {
    /// Its home, in bytes.
    pub home: u64,
    /// What was changed in its file system besides the image, in bytes.
    pub changed: u64,
    /// When that was measured, in microseconds since the Unix epoch.
    pub measured: i64,
}

impl Size {
    /// All of it.
    pub fn total(&self) -> u64 {
        self.home.saturating_add(self.changed)
    }

    /// Whether that is more than there may be.
    pub fn exceeds(&self, limits: &Limits) -> bool {
        limits.disk_mb.is_some_and(|most| self.total() > most << 20)
    }
}

/// A measurement, whether or not anything came of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Measured {
    /// Which container was measured.
    pub generation: Generation,
    /// When, in microseconds since the Unix epoch.
    pub at: i64,
    /// How long it took, in microseconds.
    pub took: i64,
}

impl Measured {
    /// Whether it is time for another one: never so often that measuring takes more than a
    /// hundredth of the time.
    pub fn is_old(&self, generation: Generation, now: i64) -> bool {
        let good = GOOD.max(self.took.saturating_mul(SHARE));
        generation != self.generation || now < self.at || now - self.at >= good
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn home_and_the_rest_count_together() {
        let takes = |home: u64, changed: u64| Size {
            home: home << 20,
            changed: changed << 20,
            measured: 0,
        };
        let limits = Limits { disk_mb: Some(10), ..Limits::default() };
        assert!(!takes(6, 4).exceeds(&limits) && takes(6, 5).exceeds(&limits));
        assert!(!takes(6, 5).exceeds(&Limits::default()));
    }

    #[test]
    fn what_takes_long_is_measured_seldom() {
        const MINUTE: i64 = 60 * 1_000_000;
        let is_old = |took, generation, now| {
            Measured { generation: Generation(1), at: 0, took }.is_old(Generation(generation), now)
        };
        assert!(!is_old(0, 1, 10 * MINUTE - 1) && is_old(0, 1, 10 * MINUTE));
        assert!(!is_old(MINUTE, 1, 99 * MINUTE) && is_old(MINUTE, 1, 100 * MINUTE));
        assert!(is_old(MINUTE, 2, 1), "another container begins anew");
        assert!(is_old(0, 1, -1), "a clock that was set back does not keep it for ever");
    }
}
