//! Sessions through the real binary: in a terminal, without one, and past the end of clients,
//! of the daemon and of tmux.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    missing_docs,
    reason = "a test ends where it meets what it does not expect"
)]

use std::fs;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use dwell_testkit::{IDLE, Project, Terminal, TestHome, run, wait_until};
use rustix::process::{Pid, Signal, kill_process};

const LIMIT: Duration = Duration::from_secs(20);
fn home() -> TestHome {
    TestHome::new(env!("CARGO_BIN_EXE_dwell"))
}

fn lab(home: &TestHome) -> Project {
    let lab = home.project("lab").compose(IDLE);
    home.dwell_in(&lab, ["up", "a1"]).ok();
    lab
}

/// The status and exit code of a session.
fn session(home: &TestHome, name: &str) -> (String, Option<i64>) {
    let all = home.dwell(["sessions", "--json"]).json();
    let all = all.as_array().or_else(|| all["sessions"].as_array()).unwrap().clone();
    let found = all.iter().find(|session| session["name"] == name).expect("it is listed");
    (found["status"].as_str().unwrap().to_owned(), found["exit_code"].as_i64())
}

fn ends_with(home: &TestHome, name: &str, code: i64) {
    wait_until(LIMIT, &format!("{name} ends with {code}"), || {
        session(home, name) == ("ended".to_owned(), Some(code))
    });
}

fn transcript(home: &TestHome, name: &str) -> String {
    home.dwell(["logs", "a1", "--session", name]).ok().to_owned()
}

fn kill_daemon(home: &TestHome) {
    let status = home.dwell(["node", "status", "--json"]).json();
    let pid = status["pid"].as_i64().and_then(|pid| i32::try_from(pid).ok());
    kill_process(pid.and_then(Pid::from_raw).unwrap(), Signal::KILL).unwrap();
}

#[test]
fn without_a_terminal_output_and_code_are_passed_on() {
    let home = home();
    let lab = home.project("lab").compose(IDLE);
    let script =
        "echo out; pwd; echo $DWELL_ENV $CILO_ENV $DWELL_PROJECT $GIVEN; echo $WEB_HOST; exit 7";
    let ran = home.dwell_in(&lab, ["run", "--env", "GIVEN=x y", "sh", "a1", "-c", script]);
    ran.fails_with(7);
    let lines: Vec<&str> = ran.stdout.lines().collect();
    let tree = home.data().join("lab/a1").display().to_string();
    assert_eq!(lines[..3], ["out", &tree, "a1 a1 lab x y"], "{ran:?}");
    assert!(!lines[3].is_empty(), "{ran:?}");
    assert_eq!(session(&home, "sh"), ("ended".to_owned(), Some(7)));
    assert!(transcript(&home, "sh").contains("a1 a1 lab x y"));

    let direct = ["run", "--no-session", "--env", "GIVEN=z", "sh", "a1", "-c"];
    let direct = home.dwell(direct.iter().chain(&["pwd; echo $DWELL_ENV $GIVEN; exit 9"]));
    direct.fails_with(9);
    assert_eq!(direct.stdout, format!("{tree}\na1 z\n"));

    let missing = home.dwell(["run", "dwell-no-such-program", "a2"]);
    assert_ne!(missing.code, Some(0));
    assert_eq!(home.dwell(["ls", "-q"]).ok().lines().count(), 1, "nothing is made for it");
}

#[test]
fn sessions_outlive_clients_and_daemons() {
    let home = home();
    lab(&home);
    let wait = "echo ready; read word; echo got $word; exit 5";
    for name in ["one", "two", "three"] {
        let ran = home.dwell(["run", "--detach", "--name", name, "sh", "a1", "-c", wait]);
        assert_eq!(ran.ok(), name);
    }
    let taken = home.dwell(["run", "--detach", "--name", "one", "true", "a1"]);
    taken.fails_with(5);
    home.dwell(["send", "a1", "hello"]).fails_with(5);
    assert!(home.dwell(["destroy", "a1", "--yes"]).code != Some(0), "live sessions are kept");
    assert!(home.data().join("lab/a1").is_dir());

    home.dwell(["node", "stop"]).ok();
    assert_eq!(session(&home, "one").0, "running");
    home.dwell(["send", "a1", "--session", "one", "hello"]).ok();
    ends_with(&home, "one", 5);
    assert!(transcript(&home, "one").contains("got hello"));

    kill_daemon(&home);
    assert_eq!(session(&home, "two").0, "running");
    home.dwell(["send", "a1", "--session", "two", "again"]).ok();
    kill_daemon(&home);
    ends_with(&home, "two", 5);
    assert!(transcript(&home, "two").contains("got again"));
    home.dwell(["destroy", "a1", "--force", "--yes"]).ok();
    assert_eq!(home.dwell(["sessions", "--json"]).json().to_string().matches("three").count(), 0);
}

#[test]
fn a_client_whose_daemon_is_killed_goes_on() {
    let home = home();
    lab(&home);
    let mut client = home.dwell_command();
    client.args([
        "run",
        "--name",
        "slow",
        "sh",
        "a1",
        "-c",
        "echo before; while [ ! -e go ]; do sleep 0.1; done; echo after; exit 4",
    ]);
    let output = home.path().join("client.out");
    client.stdout(fs::File::create(&output).unwrap());
    let mut client = client.spawn().unwrap();
    wait_until(LIMIT, "the first words", || fs::read_to_string(&output).unwrap() == "before\n");
    kill_daemon(&home);
    fs::write(home.data().join("lab/a1/go"), "").unwrap();
    assert_eq!(client.wait().unwrap().code(), Some(4));
    assert_eq!(fs::read_to_string(&output).unwrap(), "before\nafter\n", "each word once");
}

#[test]
fn lost_sessions_are_listed_and_start_again() {
    let home = home();
    lab(&home);
    home.dwell(["run", "--detach", "--name", "agent", "sh", "a1", "-c", "echo here; sleep 1000"])
        .ok();
    wait_until(LIMIT, "it speaks", || transcript(&home, "agent").contains("here"));
    // What a loss of power does: nobody gets to say goodbye.
    let mut list = Command::new("tmux");
    list.arg("-S").arg(home.path().join("run/dwell/tmux.sock"));
    list.args(["list-panes", "-a", "-F", "#{pane_pid} #{pid}"]);
    for pid in run(&mut list, LIMIT).ok().split_whitespace() {
        kill_process(Pid::from_raw(pid.parse().unwrap()).unwrap(), Signal::KILL).unwrap();
    }
    wait_until(LIMIT, "it is lost", || session(&home, "agent").0 == "lost");
    let text = home.dwell(["sessions", "--json"]).ok().to_owned();
    let tree = home.data().join("lab/a1").display().to_string();
    assert!(text.contains(&tree) && text.contains("sleep 1000"), "{text}");
    home.dwell(["run", "--detach", "--resume", "a1"]).ok();
    assert_eq!(session(&home, "agent").0, "running");
    home.dwell(["destroy", "a1", "--force", "--yes"]).ok();
}

#[test]
fn a_terminal_attaches_detaches_and_may_be_closed() {
    let home = home();
    let lab = lab(&home);
    let script = "\"echo ready; read w; echo got-\\$w; read w; exit 6\"";
    let terminal = Terminal::open(&home, lab.path(), &format!("run --name talk sh a1 -c {script}"));
    terminal.shows("ready");
    terminal.keys(&["hello", "Enter"]);
    terminal.shows("got-hello");
    terminal.keys(&["C-b", "d"]);
    terminal.shows("left 0");
    assert_eq!(session(&home, "talk").0, "running");
    terminal.keys(&[
        &format!("clear; {} attach a1 talk; echo left $?", env!("CARGO_BIN_EXE_dwell")),
        "Enter",
    ]);
    terminal.shows("got-hello");
    drop(terminal);
    assert_eq!(session(&home, "talk").0, "running", "closing the terminal ends nothing");
    let terminal = Terminal::open(&home, lab.path(), "attach a1");
    terminal.shows("got-hello");
    terminal.keys(&["bye", "Enter"]);
    terminal.shows("left 6");
    drop(terminal);
    ends_with(&home, "talk", 6);
}

#[test]
fn ten_at_once_and_no_secret_is_told() {
    let home = home();
    lab(&home);
    let secret = format!("hush-{}-{}", std::process::id(), "token");
    let mut clients: Vec<_> = (0..10)
        .map(|number| {
            let mut client = home.dwell_command();
            client.env("API_TOKEN", &secret).args(["run", "--detach", "--name"]);
            client.arg(format!("s{number}")).args([
                "sh",
                "a1",
                "-c",
                "read w; echo $w ${#API_TOKEN}; exit 3",
            ]);
            client.stdout(std::process::Stdio::null()).stderr(std::process::Stdio::null());
            client.spawn().unwrap()
        })
        .collect();
    for client in &mut clients {
        assert!(client.wait().unwrap().success());
    }
    assert_eq!(lines_with_secret(&secret), Vec::<String>::new(), "in the process list");
    home.dwell(["node", "status"]).ok();
    assert_eq!(files_with(&home.state(), &secret), Vec::<String>::new(), "in the state");
    for number in 0..10 {
        home.dwell(["send", "a1", "--session", &format!("s{number}"), "go"]).ok();
    }
    for number in 0..10 {
        let name = format!("s{number}");
        ends_with(&home, &name, 3);
        assert!(
            transcript(&home, &name).contains(&format!("go {}", secret.len())),
            "it has the variable"
        );
    }
}

fn lines_with_secret(secret: &str) -> Vec<String> {
    let all = fs::read_dir("/proc").unwrap().flatten();
    let lines = all.filter_map(|entry| fs::read(entry.path().join("cmdline")).ok());
    lines
        .map(|line| String::from_utf8_lossy(&line).into_owned())
        .filter(|l| l.contains(secret))
        .collect()
}

fn files_with(folder: &Path, secret: &str) -> Vec<String> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).unwrap().flatten() {
        let path = entry.path();
        if path.is_dir() {
            found.extend(files_with(&path, secret));
        } else if String::from_utf8_lossy(&fs::read(&path).unwrap_or_default()).contains(secret) {
            found.push(path.display().to_string());
        }
    }
    found
}
