//! The screen of `connect`, at a terminal: every key, sizes, signals, and what is there without one.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    missing_docs,
    reason = "a test ends where it meets what it does not expect"
)]

use std::time::Duration;

use dwell_testkit::{Terminal, TestHome, has_image, run};

const LIMIT: Duration = Duration::from_secs(20);
const IMAGE: &str = "debian:bookworm";
/// One in which sessions can be.
const WITH_TMUX: &str = "dwell-test-workspace-image";

/// A home with workspaces.
fn home(names: &[&str]) -> TestHome {
    let home = TestHome::new(env!("CARGO_BIN_EXE_dwell"));
    for name in names {
        home.dwell(["ws", "create", name, "--image", IMAGE, "--class", "cpu=1,mem=256m"]).ok();
    }
    home
}

/// A terminal of 80 columns and 24 rows with the screen on it.
fn open<'a>(home: &'a TestHome, words: &str) -> Terminal<'a> {
    let terminal = Terminal::shell(home, home.path());
    terminal.resize(80, 24);
    terminal.types(&format!("{} {words}; echo left $?", home.binary().display()));
    terminal.keys(&["Enter"]);
    terminal.shows("q quit");
    terminal
}

fn status(home: &TestHome, name: &str) -> String {
    home.dwell(["ws", "show", name, "--json"]).json()["status"].as_str().unwrap().to_owned()
}

/// Waits until the row of a name is the selected one.
fn selects(terminal: &Terminal<'_>, name: &str) {
    let mark = format!("▸ {name}");
    terminal.shows(&mark);
}

#[test]
fn workspaces_are_chosen_made_stopped_and_destroyed() {
    let home = home(&["alpha", "beta"]);
    let terminal = open(&home, "connect");
    selects(&terminal, "alpha");
    for (key, name) in [
        ("Down", "beta"),
        ("j", "+ New workspace"),
        ("j", "alpha"),
        ("Up", "+ New workspace"),
        ("k", "beta"),
        ("g", "alpha"),
        ("G", "+ New workspace"),
        ("Home", "alpha"),
    ] {
        terminal.keys(&[key]);
        selects(&terminal, name);
    }

    // What happens elsewhere is seen, and looking wakes nothing.
    home.dwell(["ws", "suspend", "beta"]).ok();
    terminal.shows("◐ frozen");
    std::thread::sleep(Duration::from_millis(1500));
    assert_eq!(status(&home, "beta"), "frozen");

    terminal.keys(&["s"]);
    terminal.shows("○ stopped");
    assert_eq!(status(&home, "alpha"), "stopped");
    terminal.keys(&["s"]);
    terminal.shows("● running");

    terminal.keys(&["/"]);
    terminal.types("bet");
    selects(&terminal, "beta");
    assert!(!terminal.screen().contains("alpha"), "{}", terminal.screen());
    terminal.keys(&["Enter"]);
    terminal.shows("/bet");
    terminal.keys(&["Escape"]);
    terminal.shows("alpha");

    // Destroying asks, and takes only yes for yes.
    terminal.keys(&["g", "d"]);
    terminal.shows("type yes to destroy it");
    terminal.types("y");
    terminal.keys(&["Enter"]);
    terminal.shows("nothing was destroyed");
    terminal.keys(&["d"]);
    terminal.shows("type yes to destroy it");
    terminal.types("yes");
    terminal.keys(&["Enter"]);
    terminal.shows("destroyed `alpha`");
    selects(&terminal, "beta");
    home.dwell(["ws", "show", "alpha"]).fails_with(3);
    home.dwell(["ws", "restore", "alpha"]).ok();
    terminal.shows("alpha");

    terminal.keys(&["q"]);
    terminal.shows("left 0");
}

#[test]
fn sessions_are_begun_attached_to_left_and_ended() {
    if !has_image(WITH_TMUX) {
        return;
    }
    let home = home(&[]);
    home.dwell(["ws", "create", "box", "--image", WITH_TMUX, "--class", "cpu=1,mem=512m"]).ok();
    home.dwell(["ws", "suspend", "box"]).ok();
    let terminal = open(&home, "connect");
    terminal.shows("◐ frozen");
    terminal.keys(&["Enter"]);
    selects(&terminal, "+ New session");
    assert_eq!(status(&home, "box"), "frozen", "a list of sessions wakes nothing");

    // A new session is attached to at once; it wakes what is frozen.
    terminal.keys(&["n"]);
    terminal.shows("session, and its command");
    terminal.types("server sh");
    terminal.keys(&["Enter"]);
    terminal.shows("server 0:");
    terminal.types("echo in-$((40 + 2))");
    terminal.keys(&["Enter"]);
    terminal.shows("in-42");
    assert_eq!(status(&home, "box"), "running");
    terminal.keys(&["C-b", "d"]);
    selects(&terminal, "server");
    terminal.shows("○ detached");

    // And it is as it was left.
    terminal.keys(&["Enter"]);
    terminal.shows("in-42");
    terminal.keys(&["C-b", "d"]);
    selects(&terminal, "server");
    let all = home.dwell(["connect", "--json"]).json();
    assert_eq!(all[0]["sessions"][0]["name"], "server");
    assert!(home.dwell(["connect", "--plain"]).ok().contains("detached"));

    terminal.keys(&["x"]);
    terminal.shows("end session `server`");
    terminal.keys(&["n", "x"]);
    terminal.shows("end session `server`");
    terminal.keys(&["y"]);
    terminal.shows("✕ ended");
    terminal.keys(&["Enter"]);
    terminal.shows("does not run any more");
    terminal.keys(&["Escape"]);
    selects(&terminal, "box");
    terminal.keys(&["q"]);
    terminal.shows("left 0");

    let straight = open(&home, "connect box");
    straight.shows("✕ ended");
    straight.keys(&["q"]);
}

#[test]
fn the_terminal_is_as_it_was_after_a_signal_and_after_a_resize() {
    let home = home(&["alpha"]);
    let terminal = open(&home, "connect");
    for (columns, rows) in [(20, 4), (1, 1), (200, 60), (80, 24)] {
        terminal.resize(columns, rows);
    }
    selects(&terminal, "alpha");
    terminal.keys(&["n"]);
    terminal.shows("name of the new workspace");
    let pattern = format!("{} connect", home.binary().display());
    let tree = home.path().display().to_string();
    let of_this_home = std::fs::read_dir("/proc").unwrap().flatten().filter_map(|entry| {
        let line = std::fs::read(entry.path().join("cmdline")).ok()?;
        let own = std::fs::read(entry.path().join("environ")).ok()?;
        let line = String::from_utf8_lossy(&line).replace('\0', " ");
        let ours = String::from_utf8_lossy(&own).contains(&tree);
        (ours && line.trim() == pattern).then(|| entry.file_name().into_string().ok())?
    });
    let pids: Vec<String> = of_this_home.collect();
    assert_eq!(pids.len(), 1, "{pids:?}");
    let mut kill = home.command("kill");
    run(kill.args(["-TERM", &pids[0]]), LIMIT).ok();
    terminal.shows("left 143");
    terminal.types("echo it echoes; stty -a | grep -o ' icanon'");
    terminal.keys(&["Enter"]);
    terminal.says("it echoes");
    terminal.says("icanon");
    assert!(!terminal.screen().contains("q quit"), "{}", terminal.screen());

    // Ctrl-C is a way out as well, and Escape.
    for key in ["C-c", "Escape"] {
        terminal.types(&format!("clear; {} connect; echo left $?", home.binary().display()));
        terminal.keys(&["Enter"]);
        selects(&terminal, "alpha");
        terminal.keys(&[key]);
        terminal.shows("left 0");
    }
}

#[test]
fn without_a_terminal_it_says_what_to_do_and_prints_the_same() {
    let home = home(&["alpha"]);
    let refused = home.dwell(["connect"]);
    assert!(refused.fails_with(2).contains("dwell connect --plain"), "{refused:?}");
    let plain = home.dwell(["connect", "--plain"]);
    assert!(plain.ok().lines().any(|line| line.starts_with("alpha") && line.contains("running")));
    let all = home.dwell(["connect", "--json"]).json();
    assert_eq!(
        (&all[0]["name"], all[0]["sessions"].as_array().unwrap().len()),
        (&"alpha".into(), 0)
    );
    home.dwell(["connect", "nothing", "--plain"]).fails_with(3);
    let terminal = Terminal::shell(&home, home.path());
    terminal.types(&format!("TERM=dumb {} connect; echo left $?", home.binary().display()));
    terminal.keys(&["Enter"]);
    terminal.says("left 2");
    terminal.shows("dwell connect --plain");
}
