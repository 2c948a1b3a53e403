//! Whether a workspace is idle: what was seen of its use, how long each sign counts, and what is
//! due. Time here is *watched time*: it passes only while the node looks, so that neither a
//! machine that slept, nor a daemon that was away, nor a clock that was set counts as idleness.

mod policy;
mod signs;
mod span;
#[cfg(test)]
mod tests;
mod words;

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

pub use policy::{Policy, Settings};
pub use signs::{Signs, Terminal, is_editor, is_shell};
pub use span::{After, Span, SpanError};
pub use words::{Explained, Held};

/// The most that watched time advances between two looks: 2 minutes, in microseconds. Looks are
/// much closer together, so what is longer is time in which nobody could see anything.
pub const LONGEST_STEP: i64 = 120 * 1_000_000;
/// How long before something is due the workspace itself is asked, at most, in microseconds.
const CLOSE: i64 = 600 * 1_000_000;
/// How often it is asked then, in microseconds.
const ASK_AGAIN: (i64, i64) = (500_000, 60 * 1_000_000);

/// What shows that a workspace is used.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Source {
    /// A person types.
    Typing,
    /// Somebody connects to one of its ports, or sends something there.
    Request,
    /// A command that was started in it by a program runs.
    Task,
    /// An agent says that it works.
    Agent,
    /// A program writes to its terminal.
    Output,
    /// Its processes use the processor.
    Processor,
    /// A person's terminal is attached and silent.
    Attached,
    /// A program in the foreground of a terminal is silent.
    Job,
    /// An agent waits for a person.
    NeedsInput,
}

impl Source {
    /// Whether it only shows that somebody is there, which counts for a bounded time.
    pub fn is_silent(self) -> bool {
        matches!(self, Self::Attached | Self::Job | Self::NeedsInput)
    }
}

/// When a source was seen, in watched time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Sign {
    /// Since when without a break, as far as that was seen.
    pub since: i64,
    /// The last time.
    pub last: i64,
    /// Whether it was seen to be over.
    pub over: bool,
}

/// What somebody asked to be kept awake for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Keep {
    /// Until when, in watched time.
    pub until: i64,
    /// Since when, in watched time.
    pub since: i64,
    /// Why, in the person's words.
    pub reason: Option<String>,
}

/// What a workspace does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Phase {
    /// It runs.
    Running,
    /// dwell froze it.
    Frozen,
    /// A person froze it.
    Held,
    /// Its processes are ended.
    Stopped,
}

/// All that was seen of a workspace's use. It outlives the daemon.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ledger {
    /// Watched time: microseconds in which the node looked.
    clock: i64,
    /// The node's clock at the last look, in microseconds since the Unix epoch.
    looked: i64,
    phase: Phase,
    /// When the phase began, in watched time.
    since: i64,
    /// When it was last started, in watched time.
    started: i64,
    signs: BTreeMap<Source, Sign>,
    keep: Option<Keep>,
}

/// The two tiers of sleep.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Tier {
    /// It is frozen: memory is kept.
    Freeze,
    /// Its processes are ended.
    Stop,
}

/// Why a workspace is not put to sleep before some time, or is put to sleep.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Because {
    /// Somebody asked for it.
    Keep,
    /// This was seen last.
    Sign(Source),
    /// Nothing was seen since it began to run.
    Woke,
    /// It was frozen for long.
    Asleep,
    /// It has run as long as it may.
    Lifetime,
}

/// What is due.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// Nothing, ever.
    Never,
    /// Nothing yet.
    Awake {
        /// What holds it.
        because: Because,
        /// Until when it is held, in watched time.
        until: i64,
        /// What follows unless something happens.
        then: Tier,
    },
    /// This, now.
    Due {
        /// What.
        tier: Tier,
        /// Why.
        because: Because,
    },
}

impl Ledger {
    /// Of a workspace that nothing is known of yet; `now` is in microseconds since the Unix epoch.
    pub fn new(now: i64) -> Self {
        let signs = BTreeMap::new();
        Self {
            clock: 0,
            looked: now,
            phase: Phase::Stopped,
            since: 0,
            started: 0,
            signs,
            keep: None,
        }
    }

    /// Advances watched time to a look at `now`, in microseconds since the Unix epoch.
    pub fn tick(&mut self, now: i64) {
        let passed = now.saturating_sub(self.looked).clamp(0, LONGEST_STEP);
        self.clock = self.clock.saturating_add(passed);
        self.looked = now;
    }

    /// A look at `now` before which nothing could be seen: no time has passed.
    pub fn skip(&mut self, now: i64) {
        self.looked = now;
    }

    /// Watched time.
    pub fn clock(&self) -> i64 {
        self.clock
    }

    /// What it does, as far as that was seen.
    pub fn phase(&self) -> Phase {
        self.phase
    }

    /// How long it has been in its phase, in microseconds of watched time.
    pub fn in_phase(&self) -> i64 {
        self.clock - self.since
    }

    /// What it was seen to do. Beginning to run restarts the clock.
    pub fn enter(&mut self, phase: Phase) {
        if phase == self.phase {
            return;
        }
        if phase == Phase::Running {
            if self.phase == Phase::Stopped {
                self.started = self.clock;
            }
            // What was seen before it slept says nothing about now; what goes on is seen again.
            self.signs.retain(|_, sign| sign.last >= self.since);
        }
        self.phase = phase;
        self.since = self.clock;
    }

    /// A source was seen now.
    pub fn sign(&mut self, source: Source) {
        self.sign_ago(source, 0);
    }

    /// A source was seen last so many microseconds ago.
    pub fn sign_ago(&mut self, source: Source, ago: i64) {
        let at = self.clock.saturating_sub(ago.max(0));
        let sign = self.signs.entry(source).or_insert(Sign { since: at, last: at, over: false });
        if sign.over && at > sign.last {
            (sign.since, sign.over) = (at, false);
        }
        sign.last = sign.last.max(at);
    }

    /// A source was looked for and is not there.
    pub fn over(&mut self, source: Source) {
        if let Some(sign) = self.signs.get_mut(&source) {
            sign.over = true;
        }
    }

    /// Keeps it awake for a time.
    pub fn keep(&mut self, time: Span, reason: Option<String>) {
        let until = self.clock.saturating_add(time.micros());
        self.keep = Some(Keep { until, since: self.clock, reason });
    }

    /// Takes that back; gives whether there was anything to take back.
    pub fn release(&mut self) -> bool {
        let was = self.kept().is_some();
        self.keep = None;
        was
    }

    /// What somebody keeps it awake for now.
    fn kept(&self) -> Option<&Keep> {
        self.keep.as_ref().filter(|keep| keep.until > self.clock)
    }

    /// When a source counts as seen last: presence counts for a bounded time after the last real
    /// sign.
    fn counts(&self, policy: &Policy, source: Source, sign: &Sign) -> i64 {
        let bound = match source {
            Source::Attached => policy.attached,
            Source::Job | Source::NeedsInput => policy.needs_input,
            _ => return sign.last,
        };
        let real = self.signs.iter().filter(|(source, _)| !source.is_silent());
        let real = real.map(|(_, sign)| sign.last).max().unwrap_or_default().max(self.since);
        sign.last.min(sign.since.max(real).saturating_add(bound.micros()))
    }

    /// What was seen last, and when; since it runs.
    fn last(&self, policy: &Policy) -> (Because, i64) {
        let signs = self
            .signs
            .iter()
            .map(|(source, sign)| (Because::Sign(*source), self.counts(policy, *source, sign)));
        let seen = signs.max_by_key(|(_, at)| *at).filter(|(_, at)| *at >= self.since);
        seen.unwrap_or((Because::Woke, self.since))
    }

    /// What is due.
    pub fn decide(&self, policy: &Policy) -> Verdict {
        let (since, because, tier, after) = match self.phase {
            Phase::Held | Phase::Stopped => return Verdict::Never,
            Phase::Frozen => {
                // Who asks for something now is about to wake it.
                let asked = self.signs.values().map(|sign| sign.last).max();
                let since = self.since.max(asked.unwrap_or_default());
                (since, Because::Asleep, Tier::Stop, policy.stop_after)
            }
            Phase::Running => {
                if let Some(ends) = self.ends(policy)
                    && ends <= self.clock
                {
                    return Verdict::Due { tier: Tier::Stop, because: Because::Lifetime };
                }
                let (because, at) = self.last(policy);
                match policy.freeze_after.0 {
                    Some(_) => (at, because, Tier::Freeze, policy.freeze_after),
                    None => (at, because, Tier::Stop, policy.stop_after),
                }
            }
        };
        let Some(after) = after.0 else { return self.never(policy) };
        let mut held = (since.saturating_add(after.micros()), because);
        if let Some(keep) = self.kept()
            && keep.until > held.0
        {
            held = (keep.until, Because::Keep);
        }
        let (until, because) = held;
        if until <= self.clock {
            return Verdict::Due { tier, because };
        }
        match self.ends(policy) {
            Some(ends) if ends < until && self.phase == Phase::Running => {
                Verdict::Awake { because, until: ends, then: Tier::Stop }
            }
            _ => Verdict::Awake { because, until, then: tier },
        }
    }

    /// One that is never put to sleep for being idle may still have a lifetime.
    fn never(&self, policy: &Policy) -> Verdict {
        match self.ends(policy) {
            Some(until) if self.phase == Phase::Running => {
                Verdict::Awake { because: self.last(policy).0, until, then: Tier::Stop }
            }
            _ => Verdict::Never,
        }
    }

    /// When it has run as long as it may.
    fn ends(&self, policy: &Policy) -> Option<i64> {
        let lifetime = policy.lifetime.0?;
        Some(self.started.saturating_add(lifetime.micros()))
    }

    /// When the workspace itself is to be asked for signs, where it was asked last at `asked`
    /// (watched time): only shortly before something is due. `None`: not as things are.
    pub fn ask_at(&self, policy: &Policy, asked: Option<i64>) -> Option<i64> {
        let after = policy.freeze_after.0.or(policy.stop_after.0)?.micros();
        let Verdict::Awake { until, because, .. } = self.decide(policy) else {
            return (self.phase == Phase::Running).then_some(self.clock);
        };
        if self.phase != Phase::Running || because == Because::Keep && until > self.clock + CLOSE {
            return None;
        }
        let close = CLOSE.min(after / 2);
        let (least, most) = ASK_AGAIN;
        let again = asked.map(|asked| asked.saturating_add((close / 4).clamp(least, most)));
        Some(until.saturating_sub(close).max(again.unwrap_or(i64::MIN)))
    }
}
