//! What holds a workspace awake, in words.

use super::{Because, Keep, Ledger, Policy, Sign, Source, Span, Tier, Verdict};

/// One thing that holds a workspace awake, or did last.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Held {
    /// The word for its kind: `typing`, `keep`.
    pub kind: &'static str,
    /// What it is, for people.
    pub words: String,
    /// How long ago it began, in microseconds.
    pub since: i64,
    /// How long ago it was seen last, in microseconds; 0 while it goes on.
    pub last: i64,
    /// How much longer it holds by itself, in microseconds; below zero where it does not any more.
    pub holds: i64,
}

/// Why a workspace is awake, and what comes next.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Explained {
    /// What holds it, the longest first.
    pub held: Vec<Held>,
    /// What is due next and in how many microseconds, unless something happens.
    pub next: Option<(Tier, i64)>,
    /// All that in a sentence.
    pub words: String,
}

impl Source {
    /// The word for it.
    pub fn kind(self) -> &'static str {
        match self {
            Self::Typing => "typing",
            Self::Request => "request",
            Self::Task => "task",
            Self::Agent => "agent",
            Self::Output => "output",
            Self::Processor => "processor",
            Self::Attached => "attached",
            Self::Job => "job",
            Self::NeedsInput => "needs_input",
        }
    }

    /// What it is, for people.
    pub fn words(self) -> &'static str {
        match self {
            Self::Typing => "somebody typed in a terminal",
            Self::Request => "somebody connected to one of its ports",
            Self::Task => "a command ran that was started in it",
            Self::Agent => "an agent worked",
            Self::Output => "a program wrote to its terminal",
            Self::Processor => "its processes used the processor",
            Self::Attached => "a terminal was attached to it",
            Self::Job => "a program ran in the foreground of a terminal",
            Self::NeedsInput => "an agent waited for a person",
        }
    }
}

impl Ledger {
    /// Why it is awake, and what comes next.
    pub fn explain(&self, policy: &Policy) -> Explained {
        let after = policy.freeze_after.0.or(policy.stop_after.0).map_or(0, Span::micros);
        let mut held: Vec<Held> = self
            .signs
            .iter()
            .map(|(source, sign)| self.held(policy, *source, sign, after))
            .collect();
        held.extend(self.kept().map(|keep| self.held_by(keep)));
        held.sort_by_key(|held| std::cmp::Reverse(held.holds));
        let (next, words) = match self.decide(policy) {
            Verdict::Never => (None, "nothing is due by itself".to_owned()),
            Verdict::Due { tier, because } => (Some((tier, 0)), self.sentence(tier, because, 0)),
            Verdict::Awake { because, until, then } => {
                let left = until - self.clock;
                (Some((then, left)), self.sentence(then, because, left))
            }
        };
        Explained { held, next, words }
    }

    fn held(&self, policy: &Policy, source: Source, sign: &Sign, after: i64) -> Held {
        Held {
            kind: source.kind(),
            words: source.words().to_owned(),
            since: self.clock - sign.since,
            last: self.clock - sign.last,
            holds: self.counts(policy, source, sign).saturating_add(after) - self.clock,
        }
    }

    fn held_by(&self, keep: &Keep) -> Held {
        let why = keep.reason.as_ref().map(|why| format!(": {why}")).unwrap_or_default();
        Held {
            kind: "keep",
            words: format!("somebody keeps it awake{why}"),
            since: self.clock - keep.since,
            last: 0,
            holds: keep.until - self.clock,
        }
    }

    fn sentence(&self, tier: Tier, because: Because, left: i64) -> String {
        let ago = |at: i64| Span::of_micros(self.clock - at).words();
        let why = match because {
            Because::Keep => "somebody keeps it awake".to_owned(),
            Because::Woke => {
                format!("nothing happened since it began to run {} ago", ago(self.since))
            }
            Because::Asleep => format!("it is frozen since {} ago", ago(self.since)),
            Because::Lifetime => "it has run as long as it may".to_owned(),
            Because::Sign(source) => {
                let last = self.signs.get(&source).map_or(self.clock, |sign| sign.last);
                format!("{} {} ago", source.words(), ago(last))
            }
        };
        let what = match tier {
            Tier::Freeze => "frozen",
            Tier::Stop => "stopped",
        };
        match left {
            ..=0 => format!("{why}; it is {what} now"),
            _ => format!(
                "{why}; it is {what} in {} unless something happens",
                Span::of_micros(left).words()
            ),
        }
    }
}
