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

use dwell_testkit::{Terminal, TestHome, has_image, run, wait_until};

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
    terminal.shows("1 window ");
    let windows = |words: &[&str]| {
        let tmux = ["ws", "exec", "box", "tmux", "-S", "/run/user/1000/dwell-tmux.sock"];
        home.dwell(tmux.iter().chain(words)).ok();
    };
    windows(&["new-window", "-dt", "server:", ";", "new-window", "-dt", "server:"]);
    terminal.shows("3 windows");
    windows(&["kill-window", "-t", "server:2"]);
    terminal.shows("2 windows");

    // All of it is known of what stands still, too.
    home.dwell(["ws", "suspend", "box"]).ok();
    terminal.shows("◐ frozen");
    let seen = &home.dwell(["connect", "--json"]).json()[0]["sessions"][0];
    assert_eq!((&seen["windows"], &seen["attached"]), (&2.into(), &0.into()), "{seen}");
    assert_eq!(status(&home, "box"), "frozen");

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

/// The processes of a home that show the screen.
fn screens(home: &TestHome) -> Vec<String> {
    let (pattern, place) = (home.binary().display(), home.path().display().to_string());
    let line = format!("{pattern} connect");
    let found = std::fs::read_dir("/proc").unwrap().flatten().filter_map(|entry| {
        let said = std::fs::read(entry.path().join("cmdline")).ok()?;
        let variables = std::fs::read(entry.path().join("environ")).ok()?;
        let said = String::from_utf8_lossy(&said).replace('\0', " ");
        let ours = String::from_utf8_lossy(&variables).contains(&place);
        (ours && said.trim() == line).then(|| entry.file_name().into_string().ok())?
    });
    found.collect()
}

/// A terminal whose modes are known, with the screen on it.
struct Watched<'a> {
    home: &'a TestHome,
    terminal: Terminal<'a>,
}

impl<'a> Watched<'a> {
    fn new(home: &'a TestHome) -> Self {
        let terminal = Terminal::shell(home, home.path());
        terminal.resize(80, 24);
        terminal.types("stty -g > modes; echo kno''wn");
        terminal.keys(&["Enter"]);
        terminal.shows("known");
        Self { home, terminal }
    }

    /// Shows the screen, with these variables.
    fn open(&self, variables: &str) {
        let binary = self.home.binary().display();
        self.terminal.types(&format!("clear; {variables} {binary} connect; echo left $?"));
        self.terminal.keys(&["Enter"]);
    }

    fn signal(&self, name: &str) {
        let pids = screens(self.home);
        assert_eq!(pids.len(), 1, "{pids:?}");
        run(self.home.command("kill").args([name, &pids[0]]), LIMIT).ok();
    }

    /// The terminal is as it was before.
    #[track_caller]
    fn is_as_before(&self) {
        self.terminal.types("stty -g | cmp - modes && echo the sa''me");
        self.terminal.keys(&["Enter"]);
        self.terminal.shows("the same");
        assert_eq!(self.terminal.knows("#{alternate_on} #{cursor_flag}"), "0 1");
        assert!(!self.terminal.screen().contains("q quit"), "{}", self.terminal.screen());
    }
}

#[test]
fn the_terminal_is_as_it_was_whatever_ends_the_screen() {
    let home = home(&["alpha"]);
    let it = Watched::new(&home);
    for (signal, code) in [("-TERM", 143), ("-HUP", 143), ("-INT", 130)] {
        it.open("");
        selects(&it.terminal, "alpha");
        assert_eq!(it.terminal.knows("#{alternate_on}"), "1");
        it.terminal.keys(&["n"]);
        it.terminal.shows("name of the new workspace");
        it.signal(signal);
        it.terminal.shows(&format!("left {code}"));
        it.is_as_before();
    }
    for key in ["C-c", "Escape"] {
        it.open("");
        selects(&it.terminal, "alpha");
        it.terminal.keys(&[key]);
        it.terminal.shows("left 0");
        it.is_as_before();
    }

    // A panic tells what it is on the screen that was there before.
    it.open("DWELL_TEST_PANIC=1");
    it.terminal.shows("asks for a panic");
    it.terminal.shows("left 101");
    it.is_as_before();

    // Where the terminal is taken away nothing stays behind.
    it.open("");
    selects(&it.terminal, "alpha");
    it.terminal.close();
    wait_until(LIMIT, "the screen has ended", || screens(&home).is_empty());
}

#[test]
fn the_screen_stops_goes_on_and_takes_any_size() {
    let home = home(&["alpha"]);
    let it = Watched::new(&home);
    it.open("");
    selects(&it.terminal, "alpha");
    for (columns, rows) in [(20, 5), (20, 4), (1, 1), (200, 60), (20, 5), (80, 24)] {
        it.terminal.resize(columns, rows);
    }
    selects(&it.terminal, "alpha");
    it.terminal.shows("q quit");

    // The shell has the terminal as it was while the screen is stopped.
    for _ in 0..2 {
        it.terminal.keys(&["C-z"]);
        wait_until(LIMIT, "it is stopped", || it.terminal.knows("#{alternate_on}") == "0");
        it.is_as_before();
        it.terminal.types("clear; fg; echo left $?");
        it.terminal.keys(&["Enter"]);
        selects(&it.terminal, "alpha");
        it.terminal.shows("q quit");
        it.terminal.keys(&["Down"]);
        selects(&it.terminal, "+ New workspace");
        it.terminal.keys(&["g"]);
    }
    it.terminal.keys(&["q"]);
    it.terminal.shows("left 0");
    it.is_as_before();
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

#[test]
fn what_a_workspace_takes_is_measured_aside_and_shown_without_waking_it() {
    let home = home(&["alpha"]);
    let write = "head -c 30M /dev/zero > big; sync";
    home.dwell(["ws", "exec", "alpha", "--", "sh", "-c", write]).ok();
    let changed = "head -c 20M /dev/zero > /var/big; sync";
    home.dwell(["ws", "exec", "-u", "root", "alpha", "--", "sh", "-c", changed]).ok();
    let show = || home.dwell(["ws", "show", "alpha", "--json"]).json();
    wait_until(Duration::from_secs(60), "it is measured", || show()["size"].is_object());
    let size = show()["size"].clone();
    let (home_bytes, changed_bytes) = (size["home"].as_u64(), size["changed"].as_u64());
    assert!((30 << 20..32 << 20).contains(&home_bytes.unwrap()), "{size}");
    assert!((20 << 20..22 << 20).contains(&changed_bytes.unwrap()), "{size}");

    // Measuring is no use of it.
    let idle = home.dwell(["ws", "idle", "alpha", "--json"]).json();
    let before = size["measured"].as_i64().unwrap() - 5_000_000;
    let used = idle["held"].as_array().unwrap().iter();
    assert!(used.clone().all(|it| it["last"].as_i64().unwrap() < before), "{idle}");

    home.dwell(["ws", "suspend", "alpha"]).ok();
    let terminal = open(&home, "connect");
    terminal.shows("◐ frozen");
    let row = terminal.screen().lines().find(|line| line.contains("alpha")).unwrap().to_owned();
    assert!(row.contains(" MiB") && row.contains("frozen"), "{row}");
    terminal.keys(&["q"]);
    terminal.shows("left 0");
    let listed = home.dwell(["ws", "ls"]);
    assert!(listed.ok().contains("SIZE") && listed.stdout.contains(" MiB"), "{listed:?}");
    let shown = home.dwell(["ws", "show", "alpha"]);
    assert!(
        shown.ok().contains("size:") && shown.stdout.contains(" MiB, changed files 2"),
        "{shown:?}"
    );
    assert_eq!(status(&home, "alpha"), "frozen");
    // It outlives the daemon.
    home.dwell(["node", "stop"]).ok();
    assert_eq!(show()["size"], size);
    assert!(home.dwell(["connect", "--plain"]).ok().contains(" MiB"));
}
