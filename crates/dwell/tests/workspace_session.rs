//! Sessions in workspaces through the real binary: past the end of clients, of the daemon, of the
//! workspace's processes; and with somebody in the workspace who means no good.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    missing_docs,
    reason = "a test ends where it meets what it does not expect"
)]

use std::time::{Duration, Instant};

use dwell_testkit::{Terminal, TestHome, docker, wait_until};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;

/// The workspace image, without agents.
const IMAGE: &str = "dwell-test-workspace-image";
const LIMIT: Duration = Duration::from_secs(30);

fn home() -> TestHome {
    TestHome::new(env!("CARGO_BIN_EXE_dwell"))
}

fn create(home: &TestHome, name: &str) {
    home.dwell(["ws", "create", name, "--image", IMAGE, "--class", "cpu=1,mem=512m"]).ok();
}

fn sessions(home: &TestHome) -> Vec<Value> {
    home.dwell(["sessions", "--json"]).json().as_array().unwrap().clone()
}

#[track_caller]
fn session(home: &TestHome, name: &str) -> Value {
    let all = sessions(home);
    all.iter().find(|session| session["name"] == name).expect("it is listed").clone()
}

fn is(home: &TestHome, name: &str, status: &str) {
    wait_until(LIMIT, &format!("{name} is {status}"), || session(home, name)["status"] == status);
}

fn transcript(home: &TestHome, name: &str) -> String {
    home.dwell(["logs", "box", "--session", name]).ok().to_owned()
}

fn says(home: &TestHome, name: &str, text: &str) {
    let told = format!("{name} says {text}");
    wait_until(LIMIT, &told, || transcript(home, name).contains(text));
}

fn show(home: &TestHome) -> Value {
    home.dwell(["ws", "show", "box", "--json"]).json()
}

fn container(home: &TestHome) -> String {
    show(home)["container"].as_str().unwrap().to_owned()
}

fn kill_daemon(home: &TestHome) {
    let status = home.dwell(["node", "status", "--json"]).json();
    let pid = status["pid"].as_i64().and_then(|pid| i32::try_from(pid).ok());
    kill_process(pid.and_then(Pid::from_raw).unwrap(), Signal::KILL).unwrap();
}

#[test]
fn a_session_goes_on_without_clients_and_daemons() {
    let home = home();
    create(&home, "box");
    let ran = home.dwell([
        "run",
        "--in",
        "box",
        "--env",
        "GIVEN=x y",
        "--",
        "sh",
        "-c",
        "echo out; pwd; id -un; echo $DWELL_WORKSPACE_NAME $DWELL_SESSION $GIVEN; exit 7",
    ]);
    ran.fails_with(7);
    assert_eq!(ran.stdout, "out\n/home/dev\ndev\nbox sh x y\n", "{ran:?}");
    assert_eq!(session(&home, "sh")["exit_code"], 7);
    let missing = home.dwell(["run", "--in", "box", "dwell-no-such-program"]);
    assert!(missing.code == Some(127) && missing.stdout.contains("not found"), "{missing:?}");

    let wait = "echo ready; read word; echo got $word; exit 5";
    for name in ["one", "two"] {
        let run = ["run", "--in", "box", "--detach", "--name", name, "--", "sh", "-c", wait];
        assert_eq!(home.dwell(run).ok(), name);
    }
    let taken = home.dwell(["run", "--in", "box", "--detach", "--name", "one", "true"]);
    taken.fails_with(5);
    home.dwell(["send", "box", "hello"]).fails_with(5);
    says(&home, "one", "ready");
    home.dwell(["send", "box", "--session", "one", "hello"]).ok();
    is(&home, "one", "ended");
    assert_eq!(session(&home, "one")["exit_code"], 5);
    assert!(transcript(&home, "one").contains("got hello"));

    kill_daemon(&home);
    assert_eq!(session(&home, "two")["status"], "running");
    let plan = home.dwell(["ws", "destroy", "box", "--dry-run"]);
    assert!(plan.ok().contains("running session: two: sh -c"), "{plan:?}");
    home.dwell(["ws", "destroy", "box", "--yes"]).fails_with(5);
    home.dwell(["sessions", "kill", "box", "two"]).ok();
    assert_eq!(session(&home, "two")["status"], "ended");
}

#[test]
fn a_terminal_attaches_detaches_and_may_be_cut_off() {
    let home = home();
    create(&home, "box");
    let script = "\"echo up-\\$((1+1)); read w; echo got-\\$w; read w; exit 6\"";
    let line = format!("run --in box --name talk -- sh -c {script}");
    let terminal = Terminal::open(&home, home.path(), &line);
    terminal.shows("up-2");
    assert_eq!(session(&home, "talk")["attached"], 1);
    terminal.keys(&["hello", "Enter"]);
    terminal.shows("got-hello");
    terminal.keys(&["C-b", "d"]);
    terminal.shows("left 0");
    terminal.shows("dwell attach box talk");
    wait_until(LIMIT, "nobody shows it", || session(&home, "talk")["attached"] == 0);

    // Neither a client nor a daemon that is killed leaves a terminal behind.
    let terminal = Terminal::open(&home, home.path(), "attach box");
    terminal.shows("got-hello");
    wait_until(LIMIT, "it is shown", || session(&home, "talk")["attached"] == 1);
    drop(terminal);
    wait_until(LIMIT, "nobody shows it", || session(&home, "talk")["attached"] == 0);
    let terminal = Terminal::open(&home, home.path(), "attach box");
    terminal.shows("got-hello");
    kill_daemon(&home);
    terminal.keys(&["bye", "Enter"]);
    wait_until(LIMIT, "it is shown again, and ends", || {
        terminal.keys(&["Enter"]);
        terminal.screen().contains("left 6")
    });
}

#[test]
fn what_is_frozen_is_told_and_not_woken_and_a_message_wakes_it() {
    let home = home();
    create(&home, "box");
    home.dwell([
        "run",
        "--in",
        "box",
        "-d",
        "--name",
        "talk",
        "--",
        "sh",
        "-c",
        "echo ready; read w; echo got-$w; sleep 1000",
    ])
    .ok();
    says(&home, "talk", "ready");
    home.dwell(["ws", "suspend", "box"]).ok();
    let begun = Instant::now();
    assert_eq!(session(&home, "talk")["status"], "running");
    assert!(transcript(&home, "talk").contains("ready"));
    assert!(begun.elapsed() < Duration::from_secs(5));
    assert_eq!(show(&home)["status"], "frozen", "neither listing nor reading wakes it");
    home.dwell(["send", "box", "hello"]).ok();
    says(&home, "talk", "got-hello");
    assert_eq!(show(&home)["status"], "running");
    home.dwell(["ws", "suspend", "box"]).ok();
    home.dwell(["run", "--in", "box", "--", "true"]).ok();
}

#[test]
fn twenty_freezes_lose_nothing() {
    let home = home();
    create(&home, "box");
    let count = "i=0; while [ ! -e ~/enough ]; do i=$((i+1)); echo $i; sleep 0.01; done";
    home.dwell(["run", "--in", "box", "-d", "--name", "writer", "--", "sh", "-c", count]).ok();
    for _ in 0..20 {
        let before = transcript(&home, "writer").lines().count();
        home.dwell(["ws", "suspend", "box"]).ok();
        home.dwell(["ws", "resume", "box"]).ok();
        wait_until(LIMIT, "it goes on", || transcript(&home, "writer").lines().count() > before);
    }
    home.dwell(["ws", "exec", "box", "touch", "enough"]).ok();
    is(&home, "writer", "ended");
    let lines = transcript(&home, "writer");
    let numbers: Vec<usize> = lines.lines().map(|line| line.trim().parse().unwrap()).collect();
    assert!(numbers.len() > 20);
    assert!(
        numbers.iter().enumerate().all(|(at, number)| at + 1 == *number),
        "each once, in order"
    );
}

#[test]
fn after_a_stop_what_can_go_on_is_restored() {
    let home = home();
    create(&home, "box");
    // What dwell adds to a command line of Claude Code is not its business.
    let agent = "mkdir -p ~/.local/bin; cd ~/.local/bin; printf '#!/bin/sh\\n\
                 [ \"$1\" != --settings ] || shift 2\\necho \"agent $*\"\\n\
                 exec sleep 1000\\n' > claude; chmod +x claude";
    home.dwell(["ws", "exec", "box", "--", "sh", "-c", agent]).ok();
    home.dwell(["run", "--in", "box", "-d", "--", "claude", "--model", "opus", "fix it"]).ok();
    home.dwell(["run", "--in", "box", "-d", "--name", "shell"]).ok();
    home.dwell(["run", "--in", "box", "-d", "--name", "job", "--", "sleep", "1000"]).ok();
    home.dwell(["run", "--in", "box", "--name", "over", "--", "true"]).ok();
    says(&home, "claude", "agent --model opus fix it");
    home.dwell(["ws", "stop", "box"]).ok();
    for name in ["claude", "shell", "job"] {
        assert_eq!(session(&home, name)["status"], "lost", "{name}");
    }
    assert_eq!(session(&home, "over")["status"], "ended");
    home.dwell(["ws", "start", "box"]).ok();
    let restored = |name: &str| {
        let it = session(&home, name);
        it["status"] == "running" && it["restored"] == true
    };
    assert!(restored("claude") && restored("shell"), "{:?}", sessions(&home));
    says(&home, "claude", "agent --continue --model opus");
    assert_eq!(session(&home, "job")["status"], "lost", "nobody asked for it to be done again");
    let listed = home.dwell(["sessions", "box"]);
    assert!(listed.ok().contains("running (restored)"), "{listed:?}");
    home.dwell(["run", "--in", "box", "-d", "--resume=job"]).ok();
    let job = session(&home, "job");
    assert!(job["status"] == "running" && job["restored"].is_null(), "{job}");

    // Somebody else restarts the container, and it is killed without a word.
    docker(["restart", "-t", "5", &container(&home)]).ok();
    wait_until(LIMIT, "they are restored", || restored("claude") && restored("shell"));
    docker(["kill", &container(&home)]).ok();
    wait_until(LIMIT, "they are restored again", || restored("claude") && restored("shell"));
}

#[test]
fn what_a_workspace_writes_leads_nobody_astray() {
    let home = home();
    create(&home, "box");
    let secret = home.path().join("secret");
    std::fs::write(&secret, "the host's own").unwrap();
    home.dwell(["run", "--in", "box", "-d", "--name", "trap", "--", "sleep", "1000"]).ok();
    let root = |line: &str| home.dwell(["ws", "exec", "-u", "root", "box", "--", "sh", "-c", line]);
    let link = format!(
        "cd /run/dwell-sessions/trap-*; ln -sf {} transcript.0; rm -f exit.json; mkfifo exit.json",
        secret.display()
    );
    root(&link).ok();
    let read = home.dwell(["logs", "box", "--session", "trap"]);
    assert!(read.code != Some(0) && !read.stdout.contains("own"), "{read:?}");
    assert_eq!(session(&home, "trap")["status"], "lost", "and nobody waits for the pipe");
    let parent = secret.parent().unwrap().display();
    root(&format!(
        "cd /run/dwell-sessions; rm -rf trap-*/*; d=$(echo trap-*); rmdir $d; ln -s {parent} $d"
    ))
    .ok();
    assert_eq!(session(&home, "trap")["status"], "lost");
    home.dwell(["ws", "destroy", "box", "--force", "--purge"]).ok();
    assert!(secret.exists());
}
