//! Which connector to try, and when. Pure: times are values on any clock, chance comes in.

use std::time::Duration;

/// How long to wait after failures.
#[derive(Debug, Clone)]
pub struct Retry {
    /// After the first failure; it doubles with each.
    pub first: Duration,
    /// The longest.
    pub longest: Duration,
    /// After a failure that trying again cannot heal.
    pub hopeless: Duration,
    /// Between attempts with a better connector while a lesser one carries.
    pub better: Duration,
    /// How long an attempt has before the next connector is tried beside it.
    pub stagger: Duration,
    /// A link that ends sooner counts as a failed attempt.
    pub stable: Duration,
}

impl Default for Retry {
    fn default() -> Self {
        Self {
            first: Duration::from_millis(200),
            longest: Duration::from_secs(15),
            hopeless: Duration::from_secs(60),
            better: Duration::from_secs(30),
            stagger: Duration::from_secs(1),
            stable: Duration::from_secs(10),
        }
    }
}

/// The wait after so many failures in a row. `chance`, from 0 to 1, takes up to half of it away, so
/// that many who lost the same node do not come back at once.
pub(crate) fn backoff(retry: &Retry, failures: u32, chance: f64) -> Duration {
    let doublings = failures.saturating_sub(1).min(30);
    let whole = retry.first.saturating_mul(1 << doublings).min(retry.longest);
    whole.mul_f64(1.0 - chance.clamp(0.0, 1.0) / 2.0)
}

/// The connectors, the better first, and what is known of each.
#[derive(Debug)]
pub(crate) struct Plan {
    retry: Retry,
    candidates: Vec<Candidate>,
    /// The one that carries, and since when.
    current: Option<(usize, Duration)>,
}

#[derive(Debug, Clone, Default)]
struct Candidate {
    failures: u32,
    /// Not before this time.
    due: Duration,
    /// When the attempt that is under way began.
    began: Option<Duration>,
}

impl Plan {
    pub(crate) fn new(retry: Retry, count: usize) -> Self {
        Self { retry, candidates: vec![Candidate::default(); count], current: None }
    }

    /// When the connector `index` shall be tried; `None` while it is, and while it is of no use.
    fn when(&self, index: usize) -> Option<Duration> {
        let candidate = self.candidates.get(index)?;
        if candidate.began.is_some() {
            return None;
        }
        if let Some((current, _)) = self.current {
            return (index < current).then_some(candidate.due);
        }
        let better = self.candidates.iter().take(index);
        let waits = better.filter_map(|better| Some(better.began? + self.retry.stagger));
        Some(waits.fold(candidate.due, Duration::max))
    }

    /// The connector to try now, if any.
    pub(crate) fn due(&self, now: Duration) -> Option<usize> {
        (0..self.candidates.len()).find(|index| self.when(*index).is_some_and(|when| when <= now))
    }

    /// When something is due next, should nothing happen before.
    pub(crate) fn next(&self) -> Option<Duration> {
        (0..self.candidates.len()).filter_map(|index| self.when(index)).min()
    }

    /// Whether any attempt is under way.
    pub(crate) fn is_trying(&self) -> bool {
        self.candidates.iter().any(|candidate| candidate.began.is_some())
    }

    pub(crate) fn began(&mut self, index: usize, now: Duration) {
        if let Some(candidate) = self.candidates.get_mut(index) {
            candidate.began = Some(now);
        }
    }

    /// An attempt failed; `heals` says whether another may do better.
    pub(crate) fn failed(&mut self, index: usize, now: Duration, heals: bool, chance: f64) {
        let carried = self.current.is_some();
        let Some(candidate) = self.candidates.get_mut(index) else { return };
        candidate.began = None;
        candidate.failures = candidate.failures.saturating_add(1);
        let mut wait = self.retry.hopeless;
        if heals {
            wait = backoff(&self.retry, candidate.failures, chance);
        }
        if carried {
            wait = wait.max(self.retry.better);
        }
        candidate.due = now + wait;
    }

    /// The connector carries now, unless a better one does. Attempts with lesser ones have no use
    /// any more.
    pub(crate) fn up(&mut self, index: usize, now: Duration) -> bool {
        if self.current.is_some_and(|(current, _)| current <= index) {
            return false;
        }
        self.current = Some((index, now));
        for (other, candidate) in self.candidates.iter_mut().enumerate() {
            if other >= index {
                candidate.began = None;
            } else {
                candidate.due = candidate.due.max(now + self.retry.better);
            }
        }
        true
    }

    /// The link that carried is gone: every other connector is tried at once, then this one.
    pub(crate) fn lost(&mut self, now: Duration, chance: f64) {
        let Some((current, since)) = self.current.take() else { return };
        let alone = self.candidates.len() == 1;
        for (index, candidate) in self.candidates.iter_mut().enumerate() {
            candidate.due = now;
            if index != current {
                continue;
            }
            if !alone {
                candidate.due += self.retry.stagger;
            }
            if now.saturating_sub(since) < self.retry.stable {
                candidate.failures = candidate.failures.saturating_add(1);
                candidate.due = now + backoff(&self.retry, candidate.failures, chance);
            } else {
                candidate.failures = 0;
            }
        }
    }

    /// Somebody knows that now is a good time: all that is of use is tried at once.
    pub(crate) fn wake(&mut self, now: Duration) {
        for candidate in &mut self.candidates {
            candidate.due = now;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MESH: usize = 0;
    const SSH: usize = 1;

    fn ms(ms: u64) -> Duration {
        Duration::from_millis(ms)
    }

    fn plan(count: usize) -> Plan {
        Plan::new(Retry::default(), count)
    }

    #[test]
    fn waits_double_up_to_the_longest_and_chance_halves_them_at_most() {
        let retry = Retry::default();
        let waits = [1, 2, 3, 7, 8, 40, u32::MAX].map(|failures| backoff(&retry, failures, 0.0));
        assert_eq!(waits, [200, 400, 800, 12_800, 15_000, 15_000, 15_000].map(ms));
        assert_eq!(backoff(&retry, 3, 1.0), ms(400));
        assert_eq!(backoff(&retry, 3, 0.5), ms(600));
    }

    #[test]
    fn the_preferred_comes_first_and_the_other_when_it_fails_or_takes_long() {
        let mut plan = plan(2);
        assert_eq!(plan.due(ms(0)), Some(MESH));
        plan.began(MESH, ms(0));
        assert_eq!((plan.due(ms(999)), plan.next()), (None, Some(ms(1000))));
        assert_eq!(plan.due(ms(1000)), Some(SSH), "it takes long");
        plan.failed(MESH, ms(100), true, 0.0);
        assert_eq!(plan.due(ms(100)), Some(SSH), "it failed");
        plan.began(SSH, ms(100));
        assert_eq!(plan.due(ms(299)), None);
        assert_eq!(plan.due(ms(300)), Some(MESH), "it is tried again after its wait");
    }

    #[test]
    fn a_better_one_is_tried_now_and_then_and_takes_over() {
        let mut plan = plan(2);
        plan.began(MESH, ms(0));
        plan.failed(MESH, ms(10), true, 0.0);
        plan.began(SSH, ms(10));
        assert!(plan.up(SSH, ms(50)));
        assert!(!plan.is_trying());
        assert_eq!((plan.due(ms(30_049)), plan.next()), (None, Some(ms(30_050))));
        plan.began(MESH, ms(30_050));
        plan.failed(MESH, ms(31_000), true, 0.0);
        assert_eq!(plan.next(), Some(ms(61_000)));
        plan.began(MESH, ms(61_000));
        assert!(plan.up(MESH, ms(61_100)));
        assert_eq!(plan.next(), None, "nothing is better");
        assert!(!plan.up(SSH, ms(61_200)), "a lesser one comes too late");
    }

    #[test]
    fn when_the_preferred_dies_the_other_is_used_at_once() {
        let mut plan = plan(2);
        plan.began(MESH, ms(0));
        plan.up(MESH, ms(10));
        plan.lost(ms(60_000), 0.0);
        assert_eq!(plan.due(ms(60_000)), Some(SSH));
        plan.began(SSH, ms(60_000));
        assert_eq!(plan.due(ms(61_000)), Some(MESH));
    }

    #[test]
    fn a_single_connector_returns_at_once_unless_its_links_do_not_last() {
        let mut plan = plan(1);
        plan.began(0, ms(0));
        plan.up(0, ms(0));
        plan.lost(ms(10_000), 0.0);
        assert_eq!(plan.due(ms(10_000)), Some(0));
        for wait in [200, 400, 800] {
            plan.began(0, ms(10_000));
            plan.up(0, ms(10_000));
            plan.lost(ms(10_000), 0.0);
            assert_eq!(plan.next(), Some(ms(10_000 + wait)));
        }
    }

    #[test]
    fn what_cannot_heal_is_tried_slowly_and_a_wake_tries_at_once() {
        let mut plan = plan(2);
        for index in [MESH, SSH] {
            plan.began(index, ms(0));
            plan.failed(index, ms(0), false, 0.0);
        }
        assert_eq!((plan.due(ms(59_999)), plan.next()), (None, Some(ms(60_000))));
        plan.wake(ms(500));
        assert_eq!(plan.due(ms(500)), Some(MESH));
    }
}
