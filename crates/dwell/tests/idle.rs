//! Workspaces that nobody uses are put to sleep, those that work are not, and whoever asks for
//! something of one wakes it, once.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    missing_docs,
    reason = "a test ends where it meets what it does not expect"
)]

use std::process::{Child, Stdio};
use std::time::{Duration, Instant};

use dwell_api::remote::DIAL;
use dwell_api::workspace::WorkspaceDial;
use dwell_api::{Client, endpoint};
use dwell_testkit::{Terminal, TestHome, docker, has_image, sh, show, wait_until};
use tokio::io::AsyncReadExt;

const IMAGE: &str = "debian:bookworm";
/// The same with an ssh server.
const SERVER: &str = "dwell-test-workspace";
/// One with tmux.
const SESSIONS: &str = "dwell-test-workspace-image";
const SOON: Duration = Duration::from_secs(40);

fn home() -> TestHome {
    TestHome::new(env!("CARGO_BIN_EXE_dwell"))
}

fn create(home: &TestHome, name: &str, image: &str) {
    home.dwell(["ws", "create", name, "--image", image, "--class", "cpu=1,mem=512m"]).ok();
}

fn status(home: &TestHome, name: &str) -> String {
    show(home, name)["status"].as_str().unwrap().to_owned()
}

fn idle<const N: usize>(home: &TestHome, name: &str, settings: [&str; N]) -> serde_json::Value {
    let mut words = vec!["ws", "idle", name, "--json"];
    words.extend(settings);
    home.dwell(words).json()
}

#[track_caller]
fn becomes(home: &TestHome, name: &str, wanted: &str) {
    wait_until(SOON, &format!("{name} is {wanted}"), || status(home, name) == wanted);
}

/// A command that goes on until it is dropped.
struct Runs(Child);

impl Runs {
    fn start<const N: usize>(home: &TestHome, words: [&str; N]) -> Self {
        let mut command = home.dwell_command();
        command.args(words).stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::null());
        Self(command.spawn().unwrap())
    }
}

impl Drop for Runs {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// How often something happened to a workspace's container, as the engine tells.
fn happened(home: &TestHome, name: &str, event: &str, since: &str) -> usize {
    let container = show(home, name)["container"].as_str().unwrap().to_owned();
    let filters = [format!("container={container}"), format!("event={event}")];
    let now = docker(["info", "--format", "{{.SystemTime}}"]);
    let until = now.ok().to_owned();
    let events = docker([
        "events",
        "--since",
        since,
        "--until",
        &until,
        "--filter",
        &filters[0],
        "--filter",
        &filters[1],
    ]);
    events.ok().lines().count()
}

fn engine_time() -> String {
    docker(["info", "--format", "{{.SystemTime}}"]).ok().to_owned()
}

#[test]
fn one_that_nobody_uses_is_frozen_then_stopped_and_woken_by_who_asks() {
    if !has_image(SERVER) {
        return;
    }
    let home = home();
    create(&home, "box", SERVER);
    let fresh = idle(&home, "box", []);
    assert_eq!(
        (&fresh["policy"]["freeze_after"], &fresh["settings"]),
        (&"6h".into(), &serde_json::json!({}))
    );
    assert!(fresh["words"].as_str().unwrap().contains("unless something happens"), "{fresh}");
    home.dwell(["ssh", "box", "--", "true"]).ok();
    // A connection of which nobody uses anything: ssh asks by itself whether the other end lives.
    let zombie = Runs::start(&home, ["ssh", "box", "-N", "-o", "ServerAliveInterval=1"]);
    let set = idle(&home, "box", ["--freeze-after", "4s", "--stop-after", "5s"]);
    assert_eq!(set["settings"]["stop_after"], "5s");
    sh(&home, "box", "echo mine > /tmp/file").ok();
    becomes(&home, "box", "frozen");
    assert_eq!(show(&home, "box")["slept"], true);
    drop(zombie);

    // Looking wakes nothing, and keeps nothing awake.
    becomes(&home, "box", "stopped");
    for words in [&["ws", "ls"][..], &["ws", "idle", "box"], &["ws", "show", "box"]] {
        home.dwell(words).ok();
    }
    assert_eq!(status(&home, "box"), "stopped");
    assert_eq!(sh(&home, "box", "cat /tmp/file").ok(), "mine");
    assert_eq!(
        (status(&home, "box"), &show(&home, "box")["slept"]),
        ("running".to_owned(), &false.into())
    );
    becomes(&home, "box", "frozen");
    assert_eq!(home.dwell(["ssh", "box", "--", "cat /tmp/file"]).ok(), "mine");

    // What a person did is left alone: it is not stopped, and not started by who asks.
    home.dwell(["ws", "suspend", "box"]).ok();
    let held = idle(&home, "box", []);
    assert_eq!((&held["slept"], &held["next"]), (&false.into(), &serde_json::Value::Null));
    home.dwell(["ws", "stop", "box"]).ok();
    sh(&home, "box", "true").fails_with(1);
    idle(&home, "box", ["--reset"]);
    assert_eq!(idle(&home, "box", ["--off"])["policy"]["freeze_after"], "off");
}

#[test]
fn one_that_works_is_not_put_to_sleep() {
    if !has_image(SERVER) {
        return;
    }
    let home = home();
    home.configure("[idle]\nfreeze_after = \"4s\"\n");
    for name in ["task", "output", "processor", "kept", "none"] {
        create(&home, name, SERVER);
    }
    let kept = home.dwell(["keep", "kept", "1h", "--reason", "a long build", "--json"]).json();
    assert_eq!(kept["held"][0]["kind"], "keep");
    assert!(kept["held"][0]["words"].as_str().unwrap().contains("a long build"), "{kept}");
    let task = Runs::start(&home, ["ws", "exec", "task", "--", "sleep", "300"]);
    let ticks = "while true; do echo tick; sleep 0.5; done";
    let output = Runs::start(&home, ["ssh", "output", "-tt", ticks]);
    sh(&home, "processor", "(timeout 60 sh -c 'while true; do :; done') > /dev/null 2>&1 &").ok();

    becomes(&home, "none", "frozen");
    // All others were made before it, and are older than that.
    let until = Instant::now() + Duration::from_secs(12);
    while Instant::now() < until {
        for name in ["task", "output", "processor", "kept"] {
            assert_eq!(status(&home, name), "running", "{}", idle(&home, name, []));
        }
        std::thread::sleep(Duration::from_millis(500));
    }
    for name in ["task", "output", "processor", "kept"] {
        let kinds = idle(&home, name, [])["held"].as_array().unwrap().clone();
        let kind = if name == "kept" { "keep" } else { name };
        assert!(kinds.iter().any(|held| held["kind"] == kind), "{name}: {kinds:?}");
    }
    // Who asked for a command takes it along.
    drop((task, output));
    sh(&home, "processor", "pkill timeout").ok();
    home.dwell(["keep", "kept", "--release"]).ok();
    for name in ["task", "output", "processor", "kept"] {
        becomes(&home, name, "frozen");
    }
}

#[test]
fn an_agent_that_says_that_it_works_holds_it_and_one_that_waits_for_a_while() {
    if !has_image(SESSIONS) {
        return;
    }
    let home = home();
    create(&home, "box", SESSIONS);
    let agent = "printf '#!/bin/sh\nsleep 1000\n' > /usr/local/bin/claude; \
                 chmod +x /usr/local/bin/claude";
    home.dwell(["ws", "exec", "-u", "root", "box", "sh", "-c", agent]).ok();
    home.dwell(["run", "--in", "box", "--detach", "--name", "agent", "--", "claude"]).ok();
    let id = show(&home, "box")["id"].as_str().unwrap().to_owned();
    // What its hooks leave; it shows nothing.
    let says = |state: &str| {
        let sessions = home.state().join("workspaces").join(&id).join("sessions");
        let all = std::fs::read_dir(sessions).unwrap();
        let place = all.flatten().map(|entry| entry.path()).find(|path| path.is_dir()).unwrap();
        let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap();
        let text = format!("{{\"state\":\"{state}\",\"at\":{}}}", now.as_micros());
        std::fs::write(place.join("agent.json"), text).unwrap();
    };
    says("working");
    idle(&home, "box", ["--freeze-after", "4s", "--needs-input", "2s", "--stop-after", "off"]);
    let until = Instant::now() + Duration::from_secs(16);
    while Instant::now() < until {
        assert_eq!(status(&home, "box"), "running", "{}", idle(&home, "box", []));
        std::thread::sleep(Duration::from_millis(500));
    }
    let held = idle(&home, "box", [])["held"].as_array().unwrap().clone();
    assert!(held.iter().any(|held| held["kind"] == "agent"), "{held:?}");
    says("needs_input");
    becomes(&home, "box", "frozen");
}

#[test]
fn who_types_into_one_that_fell_asleep_wakes_it() {
    let home = home();
    create(&home, "box", IMAGE);
    let terminal = Terminal::open(&home, home.path(), "ws exec box");
    terminal.keys(&["echo begins-$((40 + 2))", "Enter"]);
    terminal.shows_within(SOON, "begins-42");
    // A terminal that is only attached counts for a while.
    idle(&home, "box", ["--freeze-after", "3s", "--attached", "1s", "--stop-after", "off"]);
    becomes(&home, "box", "frozen");
    terminal.keys(&["echo woke-$((40 + 3))", "Enter"]);
    terminal.shows_within(SOON, "woke-43");
    let held = idle(&home, "box", []);
    assert!(held["held"].as_array().unwrap().iter().any(|held| held["kind"] == "typing"), "{held}");
}

#[test]
fn what_was_asked_for_outlives_the_daemon() {
    let home = home();
    create(&home, "box", IMAGE);
    create(&home, "free", IMAGE);
    for name in ["box", "free"] {
        idle(&home, name, ["--freeze-after", "3s", "--stop-after", "off"]);
    }
    home.dwell(["keep", "box", "30m", "--reason", "overnight"]).ok();
    becomes(&home, "free", "frozen");
    let daemon = home.dwell(["node", "status", "--json"]).json()["pid"].as_u64().unwrap();
    let killed = std::process::Command::new("kill").args(["-9", &daemon.to_string()]).status();
    assert!(killed.unwrap().success());
    home.dwell(["node", "start"]).ok();
    let report = idle(&home, "box", []);
    assert!(report["words"].as_str().unwrap().contains("somebody keeps it awake"), "{report}");
    assert_eq!(
        (status(&home, "free"), &show(&home, "free")["slept"]),
        ("frozen".to_owned(), &true.into())
    );
    sh(&home, "free", "true").ok();
    becomes(&home, "free", "frozen");
    assert_eq!(status(&home, "box"), "running");
}

#[test]
fn a_hook_runs_before_it_is_stopped_and_not_before_it_is_frozen() {
    let home = home();
    create(&home, "box", IMAGE);
    let hook = "mkdir -p ~/.config/dwell; printf '#!/bin/sh\\necho $(id -un) >> ~/ran\\n' \
                > ~/.config/dwell/pre-stop; chmod +x ~/.config/dwell/pre-stop";
    sh(&home, "box", hook).ok();
    let ran = |name: &str| {
        let volume = format!("{}:/home/dev", show(&home, name)["home"].as_str().unwrap());
        let read =
            docker(["run", "--rm", "-v", &volume, IMAGE, "sh", "-c", "cat /home/dev/ran; :"]);
        read.stdout.trim().to_owned()
    };
    idle(&home, "box", ["--freeze-after", "2s", "--stop-after", "off"]);
    becomes(&home, "box", "frozen");
    assert_eq!(ran("box"), "");
    idle(&home, "box", ["--stop-after", "1s"]);
    becomes(&home, "box", "stopped");
    assert_eq!(ran("box"), "dev");
    idle(&home, "box", ["--off"]);
    sh(&home, "box", "printf '#!/bin/sh\\necho no >&2; exit 3\\n' > ~/.config/dwell/pre-stop").ok();
    let stopped = home.dwell(["ws", "stop", "box"]);
    stopped.ok();
    assert!(stopped.stderr.contains("ended with 3: no"), "{stopped:?}");
    assert_eq!(status(&home, "box"), "stopped");
}

/// Dials a port many times at once; gives how many streams brought bytes.
fn dial_all(home: &TestHome, name: &str, port: u16, count: usize) -> usize {
    let (socket, path) = (home.socket(), endpoint::fill(endpoint::WORKSPACE_DIAL, &[name]));
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let mut all = tokio::task::JoinSet::new();
        for _ in 0..count {
            let (socket, path) = (socket.clone(), path.clone());
            all.spawn(async move {
                let stream = tokio::net::UnixStream::connect(socket).await.unwrap();
                let client = Client::connect(stream).await.unwrap();
                let dial = WorkspaceDial { port, key: None, inside: false, desktop: false };
                let mut stream = match client.upgrade(&path, DIAL, &dial).await {
                    Ok(stream) => stream,
                    Err(error) => panic!("{error}"),
                };
                let mut banner = [0; 8];
                stream.read_exact(&mut banner).await.unwrap();
                assert_eq!(&banner, b"SSH-2.0-");
            });
        }
        let mut answered = 0;
        while let Some(ended) = all.join_next().await {
            ended.unwrap();
            answered += 1;
        }
        answered
    })
}

#[test]
fn a_hundred_at_once_wake_it_once() {
    if !has_image(SERVER) {
        return;
    }
    let home = home();
    create(&home, "box", SERVER);
    assert_eq!(dial_all(&home, "box", 22, 1), 1);
    idle(&home, "box", ["--freeze-after", "2s", "--stop-after", "off"]);
    becomes(&home, "box", "frozen");
    idle(&home, "box", ["--off"]);
    let since = engine_time();
    let begun = Instant::now();
    assert_eq!(dial_all(&home, "box", 22, 100), 100);
    eprintln!("100 dials to a frozen workspace: {:?}", begun.elapsed());
    assert_eq!(happened(&home, "box", "unpause", &since), 1);

    idle(&home, "box", ["--freeze-after", "1s", "--stop-after", "1s"]);
    becomes(&home, "box", "stopped");
    idle(&home, "box", ["--off"]);
    let since = engine_time();
    let begun = Instant::now();
    assert_eq!(dial_all(&home, "box", 22, 100), 100);
    eprintln!("100 dials to a stopped workspace: {:?}", begun.elapsed());
    assert_eq!(happened(&home, "box", "start", &since), 1);
    assert_eq!(status(&home, "box"), "running");
}

#[test]
fn a_port_where_nothing_listens_is_told_at_once() {
    let home = home();
    create(&home, "box", IMAGE);
    let refused = || {
        let begun = Instant::now();
        let dialled = std::panic::catch_unwind(|| dial_all(&home, "box", 81, 1));
        assert!(dialled.is_err());
        begun.elapsed()
    };
    // Right after it began to run a server may be about to listen.
    refused();
    wait_until(Duration::from_secs(20), "it has run for a while", || {
        refused() < Duration::from_millis(500)
    });
    assert!(refused() < Duration::from_millis(500));
}
