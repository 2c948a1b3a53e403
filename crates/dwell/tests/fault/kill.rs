//! The daemon and its clients killed at random moments.

use std::time::{Duration, Instant};

use dwell_testkit::{run, wait_until};
use rustix::process::{Pid, Signal, kill_process};

use crate::support::{Dice, SETTLE, World, full, home, pid, project, status, stop};

const NAME: &str = "one";

fn pid_of(number: u32) -> Pid {
    Pid::from_raw(i32::try_from(number).unwrap()).unwrap()
}

#[test]
fn a_daemon_killed_at_any_moment_settles_at_its_next_start() {
    let mut dice = Dice::new();
    let home = home();
    let project = project(&home);
    let empty = World::of(&home, project.path());
    let mut slowest = Duration::ZERO;
    for round in 0..if full() { 60 } else { 12 } {
        let up = round % 2 == 0;
        let verb: &[&str] = if up { &["up", NAME] } else { &["destroy", "--force", NAME] };
        if !up {
            home.dwell_in(&project, ["up", NAME]).ok();
        }
        let daemon = pid_of(pid(&home));
        let mut client = home.dwell_command();
        client.current_dir(&project).args(verb);
        let mut client = client.stderr(std::process::Stdio::null()).spawn().unwrap();
        let moment = Duration::from_millis(dice.below(1200));
        std::thread::sleep(moment);
        kill_process(daemon, Signal::KILL).unwrap();
        client.wait().unwrap();
        let what = format!("round {round}, {verb:?} killed after {moment:?}");
        println!("{what}");
        let start = Instant::now();
        // Unwound, or finished: both are whole.
        loop {
            let status = status(&home, NAME);
            if status == "running" || status.is_empty() {
                break;
            }
            assert!(start.elapsed() < SETTLE, "{what}: `{status}`");
            std::thread::sleep(Duration::from_millis(50));
        }
        slowest = slowest.max(start.elapsed());
        home.dwell_in(&project, verb).code.filter(|code| [0, 3].contains(code)).expect(&what);
        home.dwell_in(&project, ["destroy", "--force", "--ignore-not-found", NAME]).ok();
        empty.comes_back(&home, project.path(), &what);
    }
    println!("slowest to settle: {slowest:?}");
}

#[test]
fn an_interrupted_up_is_undone() {
    let home = home();
    let project = project(&home);
    let empty = World::of(&home, project.path());
    let mut dice = Dice::new();
    for _ in 0..3 {
        let mut client = home.dwell_command();
        client.current_dir(&project).args(["up", NAME]);
        let mut client = client.stderr(std::process::Stdio::null()).spawn().unwrap();
        let moment = Duration::from_millis(100 + dice.below(700));
        std::thread::sleep(moment);
        kill_process(pid_of(client.id()), Signal::INT).unwrap();
        let status = client.wait().unwrap();
        assert_eq!(status.code(), Some(130), "after {moment:?}");
        empty.comes_back(&home, project.path(), &format!("interrupted after {moment:?}"));
    }
    home.dwell_in(&project, ["up", NAME]).ok();
}

#[test]
fn an_operation_outlives_its_client() {
    let home = home();
    let project = project(&home);
    let mut client = home.dwell_command();
    client.current_dir(&project).args(["up", NAME]);
    let mut client = client.stderr(std::process::Stdio::null()).spawn().unwrap();
    let accepted = || !status(&home, NAME).is_empty();
    wait_until(SETTLE, "the operation to begin", accepted);
    kill_process(pid_of(client.id()), Signal::KILL).unwrap();
    client.wait().unwrap();
    wait_until(SETTLE, "the operation to end", || status(&home, NAME) == "running");
}

#[test]
fn a_daemon_without_its_tools_says_what_is_missing() {
    let home = home();
    let project = project(&home);
    stop(&home);
    let tools = home.path().join("tools");
    std::fs::create_dir(&tools).unwrap();
    // The compose plugin is found without `docker` on PATH; git is not found without PATH.
    for tool in ["tmux", "rsync", "sh", "touch"] {
        let found = run(std::process::Command::new("which").arg(tool), SETTLE);
        std::os::unix::fs::symlink(found.ok(), tools.join(tool)).unwrap();
    }
    let mut command = home.dwell_command();
    command.env("PATH", &tools).current_dir(&project).args(["up", NAME, "--json"]);
    let ran = run(&mut command, SETTLE);
    assert!(ran.stdout.contains("tool_missing") && ran.stdout.contains("git"), "{ran:?}");
    assert_ne!(ran.code, Some(0));
    stop(&home);
    home.dwell_in(&project, ["up", NAME]).ok();
}
