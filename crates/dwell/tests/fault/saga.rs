//! Every step of every operation: failing, dying, repeated.

use std::path::Path;
use std::time::Duration;

use dwell_core::operation::{Kind, Step};
use dwell_testkit::{Ran, TestHome};

use crate::support::{Dice, World, change, home, project, status, stop, with_fault};

const NAME: &str = "one";

/// An operation and what is there when it begins.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Case {
    Create,
    CreateUp,
    UpCreated,
    UpRunning,
    Down,
    Destroy,
}

impl Case {
    const ALL: [Self; 6] =
        [Self::Create, Self::CreateUp, Self::UpCreated, Self::UpRunning, Self::Down, Self::Destroy];

    fn kind(self) -> Kind {
        match self {
            Self::Create => Kind::Create,
            Self::CreateUp => Kind::CreateUp,
            Self::UpCreated | Self::UpRunning => Kind::Up,
            Self::Down => Kind::Down,
            Self::Destroy => Kind::Destroy,
        }
    }

    fn arguments(self) -> &'static [&'static str] {
        match self {
            Self::Create => &["create", NAME],
            Self::CreateUp | Self::UpCreated | Self::UpRunning => &["up", NAME],
            Self::Down => &["down", NAME],
            Self::Destroy => &["destroy", "--force", NAME],
        }
    }

    fn prepare(self, home: &TestHome, source: &Path) {
        let run = |arguments: &[&str]| home.dwell_in(source, arguments).ok().to_owned();
        match self {
            Self::Create | Self::CreateUp => {}
            Self::UpCreated => drop(run(&["create", NAME])),
            Self::UpRunning => {
                run(&["up", NAME]);
                change(home, NAME);
            }
            Self::Down | Self::Destroy => drop(run(&["up", NAME])),
        }
    }

    /// Whether the operation did what it is for.
    fn is_done(self, home: &TestHome) -> bool {
        let expected = match self {
            Self::Create => "created",
            Self::CreateUp | Self::UpCreated | Self::UpRunning => "running",
            Self::Down => "stopped",
            Self::Destroy => "",
        };
        status(home, NAME) == expected
    }
}

fn word(step: Step) -> String {
    serde_json::to_value(step).unwrap().as_str().unwrap().to_owned()
}

fn points() -> Vec<(Case, Step, &'static str)> {
    let of = |case: Case| {
        let steps = (0..).zip(case.kind().steps());
        // What an `up` does once all is up is tolerant of failures by itself.
        let kind = case.kind();
        let undone = move |number: u32| kind.finishes() || !kind.finishes_at(number);
        let steps = steps.filter(move |(number, _)| undone(*number));
        steps.flat_map(move |(_, step)| [(case, *step, "before"), (case, *step, "after")])
    };
    Case::ALL.into_iter().flat_map(of).collect()
}

/// Runs the case's operation under a fault and checks what it leaves; gives the time it took to
/// settle.
fn check(case: Case, step: Step, moment: &str, act: &str) -> Duration {
    let what = format!("{case:?} {step:?} {moment} {act}");
    println!("--- {what}");
    let home = home();
    let project = project(&home);
    let source = project.path();
    let empty = World::of(&home, source);
    case.prepare(&home, source);
    let before = World::of(&home, source);
    let fault = format!("{}:{moment}:{act}", word(step));
    let ran = with_fault(&home, &fault, source, case.arguments());
    assert_ne!(ran.code, Some(0), "{what}: {ran:?}");
    let settled = if case.kind().finishes() {
        finishes(case, &home, source, act, &ran, &what)
    } else {
        before.comes_back(&home, source, &what)
    };
    stop(&home);
    if !(case == Case::Destroy && act == "abort") {
        let again = home.dwell_in(source, case.arguments());
        let gone = case == Case::Destroy && again.code == Some(3);
        assert!(gone || again.code == Some(0), "{what}, again: {again:?}");
    }
    assert!(case.is_done(&home), "{what}: is `{}`", status(&home, NAME));
    let ran = home.dwell_in(source, ["destroy", "--force", "--ignore-not-found", NAME]);
    assert_eq!(ran.code, Some(0), "{what}, destroyed: {ran:?}");
    empty.comes_back(&home, source, &what);
    settled
}

/// What removes things is finished by the next start, or by the reconciler.
fn finishes(
    case: Case,
    home: &TestHome,
    source: &Path,
    act: &str,
    _ran: &Ran,
    what: &str,
) -> Duration {
    if act == "fail" && case == Case::Down {
        // Repeated below.
        return Duration::ZERO;
    }
    if act == "fail" {
        stop(home);
    }
    let start = std::time::Instant::now();
    while !case.is_done(home) {
        // A failure before anything was recorded leaves it as it was.
        if act == "fail" && status(home, NAME) == "running" {
            return Duration::ZERO;
        }
        assert!(start.elapsed() < crate::support::SETTLE, "{what}: `{}`", status(home, NAME));
        std::thread::sleep(Duration::from_millis(100));
    }
    let _ = World::of(home, source);
    start.elapsed()
}

fn sweep(cases: &[Case], act: &str, few: usize) {
    let all: Vec<_> = points().into_iter().filter(|point| cases.contains(&point.0)).collect();
    let mut slowest = Duration::ZERO;
    let mut failed = Vec::new();
    for (case, step, moment) in Dice::new().some(all, few) {
        match std::panic::catch_unwind(|| check(case, step, moment, act)) {
            Ok(settled) => slowest = slowest.max(settled),
            Err(_) => failed.push(format!("{case:?} {step:?} {moment} {act}")),
        }
    }
    println!("slowest to settle: {slowest:?}");
    assert!(failed.is_empty(), "failed: {failed:#?}");
}

#[test]
fn a_making_operation_that_fails_at_any_step_is_undone() {
    sweep(&[Case::Create, Case::CreateUp, Case::UpCreated], "fail", 6);
}

#[test]
fn a_change_that_fails_at_any_step_leaves_the_running_environment_as_it_was() {
    sweep(&[Case::UpRunning], "fail", 3);
}

#[test]
fn a_removing_operation_that_fails_at_any_step_is_finished() {
    sweep(&[Case::Down, Case::Destroy], "fail", 4);
}

#[test]
fn a_making_operation_that_dies_at_any_step_is_undone_at_the_next_start() {
    sweep(&[Case::Create, Case::CreateUp, Case::UpCreated], "abort", 6);
}

#[test]
fn a_change_that_dies_at_any_step_leaves_the_running_environment_as_it_was() {
    sweep(&[Case::UpRunning], "abort", 3);
}

#[test]
fn a_removing_operation_that_dies_at_any_step_is_finished_at_the_next_start() {
    sweep(&[Case::Down, Case::Destroy], "abort", 4);
}

#[test]
fn every_act_may_be_repeated() {
    for case in Dice::new().some(Case::ALL.to_vec(), 4) {
        println!("--- {case:?}");
        let home = home();
        let project = project(&home);
        let empty = World::of(&home, project.path());
        case.prepare(&home, project.path());
        with_fault(&home, "*:act:repeat", project.path(), case.arguments()).ok();
        assert!(case.is_done(&home), "{case:?}: `{}`", status(&home, NAME));
        home.dwell_in(&project, ["destroy", "--force", "--ignore-not-found", NAME]).ok();
        empty.comes_back(&home, project.path(), &format!("{case:?} repeated"));
    }
}

#[test]
fn every_undo_may_be_repeated() {
    let making = [Case::Create, Case::CreateUp, Case::UpCreated, Case::UpRunning];
    for case in Dice::new().some(making.to_vec(), 3) {
        println!("--- {case:?}");
        let home = home();
        let project = project(&home);
        case.prepare(&home, project.path());
        let before = World::of(&home, project.path());
        let undone = (0..).zip(case.kind().steps());
        let (_, last) = undone.filter(|(at, _)| !case.kind().finishes_at(*at)).last().unwrap();
        let fault = format!("{}:after:fail,*:undo:repeat", word(*last));
        let ran = with_fault(&home, &fault, project.path(), case.arguments());
        assert_ne!(ran.code, Some(0), "{ran:?}");
        before.comes_back(&home, project.path(), &format!("{case:?} undone twice"));
    }
}
