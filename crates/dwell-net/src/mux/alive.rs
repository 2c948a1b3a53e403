//! Whether the other side is still there: when something last came and went, pings, round trips.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::oneshot;
use tokio::time::Instant;

/// How many pings of ours may be unanswered; older ones count as lost.
const PINGS: usize = 64;

/// The link's clock and what was seen when.
pub(crate) struct Alive {
    began: Instant,
    /// Microseconds since then, as all that follow.
    received: AtomicU64,
    sent: AtomicU64,
    latest: AtomicU64,
    shortest: AtomicU64,
    pings: Mutex<Pings>,
}

#[derive(Default)]
struct Pings {
    next: u64,
    waiting: VecDeque<Ping>,
}

struct Ping {
    number: u64,
    at: Instant,
    asked: Option<oneshot::Sender<Duration>>,
}

/// What keeping a link alive needs now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Need {
    /// Nothing before this much time has passed.
    Wait(Duration),
    /// A ping.
    Ping,
    /// Nothing has come for this long: the link is dead.
    Dead(Duration),
}

/// Decides from how long ago something was received, sent, and a ping was sent. A ping is also due
/// when nothing was sent, since the other side waits for a sign too and may be unable to send.
pub(crate) fn need(
    received: Duration,
    sent: Duration,
    pinged: Duration,
    every: Duration,
    dead: Duration,
) -> Need {
    if received >= dead {
        return Need::Dead(received);
    }
    let quiet = received.max(sent).min(pinged);
    if quiet >= every {
        return Need::Ping;
    }
    Need::Wait((every - quiet).min(dead - received))
}

impl Alive {
    pub(crate) fn new() -> Self {
        Self {
            began: Instant::now(),
            received: AtomicU64::new(0),
            sent: AtomicU64::new(0),
            latest: AtomicU64::new(u64::MAX),
            shortest: AtomicU64::new(u64::MAX),
            pings: Mutex::default(),
        }
    }

    /// The time since the link began.
    pub(crate) fn now(&self) -> Duration {
        self.began.elapsed()
    }

    pub(crate) fn has_received(&self) {
        self.received.store(micros(self.now()), Ordering::Relaxed);
    }

    pub(crate) fn has_sent(&self) {
        self.sent.store(micros(self.now()), Ordering::Relaxed);
    }

    pub(crate) fn since_received(&self) -> Duration {
        self.now().saturating_sub(Duration::from_micros(self.received.load(Ordering::Relaxed)))
    }

    pub(crate) fn since_sent(&self) -> Duration {
        self.now().saturating_sub(Duration::from_micros(self.sent.load(Ordering::Relaxed)))
    }

    /// Notes a ping of ours and says its number.
    pub(crate) fn ping(&self, asked: Option<oneshot::Sender<Duration>>) -> u64 {
        let mut pings = self.pings.lock().unwrap_or_else(PoisonError::into_inner);
        let number = pings.next;
        pings.next = pings.next.wrapping_add(1);
        if pings.waiting.len() >= PINGS {
            pings.waiting.pop_front();
        }
        pings.waiting.push_back(Ping { number, at: Instant::now(), asked });
        number
    }

    /// An answer came; one to no ping of ours changes nothing.
    pub(crate) fn pong(&self, number: u64) {
        let mut pings = self.pings.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(place) = pings.waiting.iter().position(|ping| ping.number == number) else {
            return;
        };
        let Some(ping) = pings.waiting.drain(..=place).next_back() else { return };
        drop(pings);
        let took = ping.at.elapsed();
        self.latest.store(micros(took), Ordering::Relaxed);
        self.shortest.fetch_min(micros(took), Ordering::Relaxed);
        if let Some(asked) = ping.asked {
            let _ = asked.send(took);
        }
    }

    /// The latest round trip.
    pub(crate) fn latest(&self) -> Option<Duration> {
        known(self.latest.load(Ordering::Relaxed))
    }

    /// The shortest round trip, which is the one without queues.
    pub(crate) fn shortest(&self) -> Option<Duration> {
        known(self.shortest.load(Ordering::Relaxed))
    }
}

fn micros(duration: Duration) -> u64 {
    u64::try_from(duration.as_micros()).unwrap_or(u64::MAX - 1)
}

fn known(micros: u64) -> Option<Duration> {
    (micros != u64::MAX).then(|| Duration::from_micros(micros))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_quiet_link_is_pinged_and_a_silent_one_is_dead() {
        let needed = |received: u64, sent: u64, pinged: u64| {
            let [received, sent, pinged, every, dead] =
                [received, sent, pinged, 2000, 8000].map(Duration::from_millis);
            need(received, sent, pinged, every, dead)
        };
        let wait = |ms| Need::Wait(Duration::from_millis(ms));
        assert_eq!(needed(0, 0, 0), wait(2000));
        assert_eq!(needed(500, 1900, 9000), wait(100));
        assert_eq!(needed(2000, 0, 9000), Need::Ping, "nothing came");
        assert_eq!(needed(0, 2000, 9000), Need::Ping, "nothing went");
        assert_eq!(needed(3000, 500, 500), wait(1500), "one was sent already");
        assert_eq!(needed(7500, 100, 100), wait(500), "the end comes before the next ping");
        assert_eq!(needed(8000, 0, 0), Need::Dead(Duration::from_secs(8)));
    }

    #[test]
    fn answers_are_matched_and_lost_pings_are_forgotten() {
        let alive = Alive::new();
        assert_eq!((alive.latest(), alive.shortest()), (None, None));
        let (asked, mut answer) = oneshot::channel();
        let lost = alive.ping(None);
        let number = alive.ping(Some(asked));
        alive.pong(number + 1);
        assert!(answer.try_recv().is_err());
        alive.pong(number);
        assert!(answer.try_recv().is_ok());
        assert!(alive.latest().is_some() && alive.shortest() <= alive.latest());
        alive.pong(lost);
        for _ in 0..10 * PINGS {
            alive.ping(None);
        }
        assert_eq!(alive.pings.lock().unwrap().waiting.len(), PINGS);
    }
}
