use proptest::prelude::*;

use super::*;

const SECOND: i64 = 1_000_000;
const MINUTE: i64 = 60 * SECOND;
const HOUR: i64 = 60 * MINUTE;
/// Some time in 2026, in microseconds since the Unix epoch.
const BEGIN: i64 = 1_790_000_000 * SECOND;
/// How often the node looks.
const PASS: i64 = 30 * SECOND;

fn policy(freeze: &str, stop: &str) -> Policy {
    let (freeze_after, stop_after) = (freeze.parse().unwrap(), stop.parse().unwrap());
    Policy { freeze_after, stop_after, ..Policy::default() }
}

/// A workspace in simulated time: the true time that passes while the machine is awake, and the
/// clock that the node reads, which may jump.
struct World {
    ledger: Ledger,
    policy: Policy,
    clock: i64,
    /// True time in which the machine was awake.
    awake: i64,
}

impl World {
    fn new(policy: Policy) -> Self {
        let mut ledger = Ledger::new(BEGIN);
        ledger.enter(Phase::Running);
        Self { ledger, policy, clock: BEGIN, awake: 0 }
    }

    /// Looks after a time, and does what is due; gives it.
    fn pass(&mut self, time: i64) -> Option<Tier> {
        self.awake += time;
        self.clock += time;
        self.ledger.tick(self.clock);
        self.act()
    }

    fn act(&mut self) -> Option<Tier> {
        let Verdict::Due { tier, .. } = self.ledger.decide(&self.policy) else { return None };
        self.ledger.enter(match tier {
            Tier::Freeze => Phase::Frozen,
            Tier::Stop => Phase::Stopped,
        });
        Some(tier)
    }

    /// Looks every half minute for a time, or until something is due.
    fn idle(&mut self, time: i64) -> Option<(Tier, i64)> {
        let begun = self.awake;
        while self.awake - begun < time {
            if let Some(tier) = self.pass(PASS) {
                return Some((tier, self.awake - begun));
            }
        }
        None
    }
}

#[test]
fn an_idle_one_is_frozen_and_later_stopped() {
    let mut it = World::new(policy("6h", "3d"));
    assert_eq!(it.idle(10 * HOUR), Some((Tier::Freeze, 6 * HOUR)));
    assert_eq!(it.idle(100 * HOUR), Some((Tier::Stop, 72 * HOUR)));
    assert_eq!(it.idle(1000 * HOUR), None);
}

#[test]
fn each_tier_can_be_off() {
    assert_eq!(World::new(policy("off", "off")).idle(9000 * HOUR), None);
    assert_eq!(World::new(policy("off", "1h")).idle(9 * HOUR), Some((Tier::Stop, HOUR)));
    let mut frozen = World::new(policy("1h", "off"));
    assert_eq!(frozen.idle(9 * HOUR), Some((Tier::Freeze, HOUR)));
    assert_eq!(frozen.idle(9000 * HOUR), None);
}

#[test]
fn waking_restarts_the_clock() {
    let mut it = World::new(policy("1h", "2h"));
    it.ledger.sign(Source::Typing);
    assert_eq!(it.idle(9 * HOUR), Some((Tier::Freeze, HOUR)));
    it.idle(90 * MINUTE);
    it.ledger.enter(Phase::Running);
    assert_eq!(it.idle(9 * HOUR), Some((Tier::Freeze, HOUR)));
    assert_eq!(it.idle(9 * HOUR), Some((Tier::Stop, 2 * HOUR)), "not of the first sleep");
    it.ledger.enter(Phase::Running);
    assert_eq!(it.idle(9 * HOUR), Some((Tier::Freeze, HOUR)));
}

#[test]
fn who_asks_while_it_is_about_to_be_stopped_is_seen() {
    let mut it = World::new(policy("1h", "2h"));
    assert_eq!(it.idle(9 * HOUR), Some((Tier::Freeze, HOUR)));
    it.idle(2 * HOUR - PASS);
    it.ledger.tick(it.clock + MINUTE);
    it.ledger.sign(Source::Request);
    assert!(matches!(it.ledger.decide(&it.policy), Verdict::Awake { .. }));
}

#[test]
fn what_a_person_put_to_sleep_is_left_alone() {
    for phase in [Phase::Held, Phase::Stopped] {
        let mut it = World::new(policy("1h", "1h"));
        it.ledger.enter(phase);
        assert_eq!(it.idle(500 * HOUR), None);
    }
}

#[test]
fn a_machine_that_slept_was_not_idle() {
    let mut it = World::new(policy("1h", "3d"));
    it.idle(30 * MINUTE);
    it.ledger.sign(Source::Output);
    // The lid is closed for a night, in the middle of the agent's work.
    it.clock += 9 * HOUR;
    assert_eq!(it.pass(PASS), None);
    let (tier, after) = it.idle(9 * HOUR).unwrap();
    assert_eq!(tier, Tier::Freeze);
    assert!(after > HOUR - LONGEST_STEP - 2 * PASS, "{after}");
}

#[test]
fn a_clock_that_is_set_changes_little() {
    for jump in [-400 * 24 * HOUR, -HOUR, HOUR, 400 * 24 * HOUR] {
        let mut it = World::new(policy("1h", "off"));
        it.idle(30 * MINUTE);
        it.clock += jump;
        let (_, after) = it.idle(9 * HOUR).unwrap();
        assert!((after - 30 * MINUTE).abs() <= LONGEST_STEP + PASS, "{jump}: {after}");
    }
}

#[test]
fn keeping_holds_it_for_its_time_and_can_be_taken_back() {
    let mut it = World::new(policy("10m", "off"));
    it.ledger.keep(Span::hours(2), Some("a long build".to_owned()));
    let explained = it.ledger.explain(&it.policy);
    assert_eq!(explained.held[0].kind, "keep");
    assert!(explained.held[0].words.contains("a long build"));
    assert_eq!(it.idle(9 * HOUR), Some((Tier::Freeze, 2 * HOUR)));

    let mut it = World::new(policy("10m", "off"));
    it.ledger.keep(Span::hours(2), None);
    assert_eq!(it.idle(HOUR), None);
    assert!(it.ledger.release());
    assert!(!it.ledger.release());
    assert_eq!(it.act(), Some(Tier::Freeze));
}

#[test]
fn presence_counts_for_a_bounded_time_after_the_last_real_sign() {
    for (source, bound) in
        [(Source::Attached, HOUR), (Source::NeedsInput, 2 * HOUR), (Source::Job, 2 * HOUR)]
    {
        let mut it = World::new(policy("10m", "off"));
        it.ledger.sign(Source::Typing);
        let mut frozen = None;
        while frozen.is_none() && it.awake < 99 * HOUR {
            it.ledger.sign(source);
            frozen = it.pass(PASS);
        }
        assert_eq!(frozen, Some(Tier::Freeze));
        assert_eq!(it.awake, bound + 10 * MINUTE, "{source:?}");
    }
}

#[test]
fn who_leaves_within_that_time_gives_it_the_whole_pause() {
    let mut it = World::new(policy("10m", "off"));
    while it.awake < 20 * MINUTE {
        it.ledger.sign(Source::Attached);
        assert_eq!(it.pass(PASS), None);
    }
    it.ledger.over(Source::Attached);
    let (_, after) = it.idle(HOUR).unwrap();
    assert!((after - 10 * MINUTE).abs() <= PASS, "{after}");
}

#[test]
fn a_lifetime_ends_even_what_works() {
    let lifetime = After(Some(Span::hours(8)));
    let mut it = World::new(Policy { lifetime, ..policy("1h", "off") });
    let mut ended = None;
    while ended.is_none() && it.awake < 99 * HOUR {
        it.ledger.sign(Source::Processor);
        ended = it.pass(PASS);
    }
    assert_eq!((ended, it.awake), (Some(Tier::Stop), 8 * HOUR));
    it.ledger.enter(Phase::Running);
    assert_eq!(it.pass(PASS), None, "it has a new life");
    // Frozen for being idle does not end it; going on is the same life.
    assert_eq!(it.idle(9 * HOUR), Some((Tier::Freeze, HOUR - PASS)));
}

#[test]
fn the_workspace_itself_is_asked_only_when_something_is_close() {
    let mut it = World::new(policy("6h", "off"));
    it.pass(PASS);
    let first = it.ledger.ask_at(&it.policy, None).unwrap();
    assert_eq!(first, 6 * HOUR - CLOSE);
    let again = it.ledger.ask_at(&it.policy, Some(first)).unwrap();
    assert_eq!(again, first + 60 * SECOND);
    it.ledger.keep(Span::hours(48), None);
    assert_eq!(it.ledger.ask_at(&it.policy, None), None);
    it.ledger.enter(Phase::Frozen);
    assert_eq!(it.ledger.ask_at(&it.policy, None), None, "nothing can answer there");
    let brief = World::new(policy("4s", "off"));
    assert_eq!(brief.ledger.ask_at(&brief.policy, Some(2 * SECOND)), Some(2 * SECOND + 500_000));
}

#[test]
fn what_holds_it_is_said_in_words() {
    let mut it = World::new(policy("6h", "3d"));
    it.pass(PASS);
    let woke = it.ledger.explain(&it.policy);
    assert_eq!(
        woke.words,
        "nothing happened since it began to run 30s ago; it is frozen in 5h 59m unless something happens"
    );
    it.ledger.sign(Source::Typing);
    it.idle(3 * MINUTE);
    let typed = it.ledger.explain(&it.policy);
    assert_eq!(
        typed.words,
        "somebody typed in a terminal 3m ago; it is frozen in 5h 57m unless something happens"
    );
    assert_eq!((typed.held[0].kind, typed.held[0].last), ("typing", 3 * MINUTE));
    assert_eq!(typed.next, Some((Tier::Freeze, 5 * HOUR + 57 * MINUTE)));
    it.ledger.enter(Phase::Held);
    assert_eq!(it.ledger.explain(&it.policy).words, "nothing is due by itself");
}

#[test]
fn a_ledger_outlives_its_daemon() {
    let mut it = World::new(policy("1h", "off"));
    it.ledger.keep(Span::hours(1), Some("x".to_owned()));
    it.ledger.sign(Source::Task);
    it.idle(30 * MINUTE);
    let text = serde_json::to_string(&it.ledger).unwrap();
    let mut back: Ledger = serde_json::from_str(&text).unwrap();
    assert_eq!(back, it.ledger);
    // It was away for a day, in which nobody looked.
    back.skip(it.clock + 24 * HOUR);
    assert_eq!(back.decide(&it.policy), it.ledger.decide(&it.policy));
}

const REAL: [Source; 6] = [
    Source::Typing,
    Source::Request,
    Source::Task,
    Source::Agent,
    Source::Output,
    Source::Processor,
];
const SILENT: [Source; 3] = [Source::Attached, Source::Job, Source::NeedsInput];

/// What happens between two looks.
#[derive(Debug, Clone)]
enum Happening {
    Nothing,
    Real(usize),
    Silent(usize),
    Over(usize),
    /// The clock jumps, or the machine sleeps.
    Jump(i64),
    /// The daemon is away for a while, and reads what it wrote before.
    Away(i64),
    /// Somebody wakes it.
    Wake,
}

fn happening() -> impl Strategy<Value = Happening> {
    prop_oneof![
        12 => Just(Happening::Nothing),
        3 => (0..REAL.len()).prop_map(Happening::Real),
        3 => (0..SILENT.len()).prop_map(Happening::Silent),
        1 => (0..SILENT.len()).prop_map(Happening::Over),
        1 => (-500 * HOUR..500 * HOUR).prop_map(Happening::Jump),
        1 => (0..50 * HOUR).prop_map(Happening::Away),
        1 => Just(Happening::Wake),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    /// Whatever happens, it is not frozen before its pause is over since the last real sign or
    /// waking, in the time in which the machine was awake; a jump costs at most one step of it.
    #[test]
    fn a_working_one_is_never_suspended(
        minutes in 3_u64..60,
        happenings in prop::collection::vec((happening(), 1..PASS), 1..400),
    ) {
        let freeze_after = After(Some(Span::seconds(minutes * 60)));
        let mut it = World::new(Policy { freeze_after, ..Policy::default() });
        let (mut real, mut jumps) = (0, 0);
        for (happening, time) in happenings {
            match happening {
                Happening::Nothing => {}
                Happening::Real(which) => {
                    it.ledger.sign(REAL[which]);
                    (real, jumps) = (it.awake, 0);
                }
                Happening::Silent(which) => it.ledger.sign(SILENT[which]),
                Happening::Over(which) => it.ledger.over(SILENT[which]),
                Happening::Jump(by) => {
                    it.clock += by;
                    jumps += 1;
                }
                Happening::Away(long) => {
                    it.clock += long;
                    it.ledger.skip(it.clock);
                }
                Happening::Wake => {
                    if it.ledger.phase != Phase::Running {
                        it.ledger.enter(Phase::Running);
                        (real, jumps) = (it.awake, 0);
                    }
                }
            }
            let ran = it.ledger.phase == Phase::Running;
            let due = it.pass(time);
            if ran && due.is_some() {
                let pause = freeze_after.0.unwrap().micros();
                prop_assert!(it.awake - real + jumps * LONGEST_STEP >= pause);
            }
        }
    }

    /// With nothing but presence it is frozen once each kind of it had its bound and the pause,
    /// one after the other at the most, however often somebody lists it, asks why, or the clock
    /// is set.
    #[test]
    fn an_idle_one_is_never_kept_awake(
        minutes in 1_u64..60,
        silent in prop::collection::vec(prop::option::of(0..SILENT.len()), 1..600),
        backwards in prop::collection::vec(0..500 * HOUR, 0..4),
    ) {
        let freeze_after = After(Some(Span::seconds(minutes * 60)));
        let mut it = World::new(Policy { freeze_after, ..Policy::default() });
        let pause = freeze_after.0.unwrap().micros();
        let set = i64::try_from(backwards.len()).unwrap();
        let bounds = 2 * it.policy.needs_input.micros() + it.policy.attached.micros();
        let most = 4 * pause + bounds + PASS * (set + 4);
        let (mut silent, mut backwards) = (silent.into_iter().cycle(), backwards.into_iter());
        let mut frozen = false;
        while !frozen && it.awake <= most {
            if let Some(which) = silent.next().flatten() {
                it.ledger.sign(SILENT[which]);
            }
            if it.awake % (20 * MINUTE) == 0 {
                it.clock -= backwards.next().unwrap_or(0);
            }
            // Its own polling: it is looked at and explained.
            let _ = (it.ledger.explain(&it.policy), it.ledger.ask_at(&it.policy, None));
            frozen = it.pass(PASS).is_some();
        }
        prop_assert!(frozen, "awake for {} min", it.awake / MINUTE);
    }

    /// Text of a policy is what was set.
    #[test]
    fn settings_over_settings(freeze in prop::option::of(1_u64..999_999), off in any::<bool>()) {
        let set = freeze.map(|seconds| After(Some(Span::seconds(seconds))));
        let own = Settings { freeze_after: set, ..Settings::default() };
        let changed = Settings { stop_after: off.then_some(After::OFF), ..Settings::default() };
        let policy = changed.over(own).on(Policy::default());
        prop_assert_eq!(policy.freeze_after, set.unwrap_or(Policy::default().freeze_after));
        prop_assert_eq!(policy.stop_after == After::OFF, off);
        let text = serde_json::to_string(&own).unwrap();
        prop_assert_eq!(serde_json::from_str::<Settings>(&text).unwrap(), own);
    }
}
