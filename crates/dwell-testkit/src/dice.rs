//! Choices that a failed test can make again.

/// Whether all cases of a sweep are to be run, and not only a few.
pub fn every_case() -> bool {
    std::env::var_os("DWELL_FULL_FAULTS").is_some()
}

/// A repeatable source of choices: its seed is printed, and taken from `DWELL_SEED`.
pub struct Dice(u64);

impl Dice {
    /// One with a seed of its own.
    #[expect(clippy::new_without_default, reason = "it prints")]
    pub fn new() -> Self {
        let given = std::env::var("DWELL_SEED").ok().and_then(|text| text.parse().ok());
        let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
        let nanos = now.map_or(1, |now| u64::from(now.subsec_nanos()));
        let seed = given.unwrap_or(nanos | 1);
        println!("DWELL_SEED={seed}");
        Self(seed)
    }

    /// A number below `end`.
    pub fn below(&mut self, end: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % end
    }

    /// All of them, or a few of them unless [`every_case`] is to be run.
    pub fn some<T>(&mut self, mut all: Vec<T>, few: usize) -> Vec<T> {
        while !every_case() && all.len() > few {
            let index = self.below(all.len() as u64);
            all.remove(usize::try_from(index).unwrap_or(0));
        }
        all
    }
}
