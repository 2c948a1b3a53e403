//! Sessions on a node, from more than one machine and past the end of links and daemons.

use std::time::Duration;

use dwell_testkit::{Terminal, TestHome, wait_until};

use crate::bench::Bench;

const LIMIT: Duration = Duration::from_secs(20);
const TALK: &str = "\"echo ready; while read w; do echo got-\\$w; done; exit 6\"";

fn transcript(home: &TestHome) -> String {
    home.dwell(["logs", "red", "--session", "talk"]).stdout
}

#[test]
fn a_session_goes_on_without_the_laptop_and_is_found_from_another() {
    let Some(bench) = Bench::one() else { return };
    let project = bench.idle();
    let script = "echo ready; read w; hostname; echo got-$w; exit 5";
    let run = ["run", "--remote", "one", "--detach", "--name", "talk", "sh", "red", "-c", script];
    bench.home.dwell_in(&project, run).ok();
    let other = bench.laptop("root");
    bench.home.dwell(["node", "stop"]).ok();

    wait_until(LIMIT, "the other laptop sees it", || {
        let list = other.dwell(["ls", "--json"]).json();
        list[0]["name"] == "red" && list[0]["node"] == "one" && list[0]["status"] == "running"
    });
    wait_until(LIMIT, "it is ready", || transcript(&other).contains("ready"));
    other.dwell(["send", "red", "hello"]).ok();
    wait_until(LIMIT, "it ends", || {
        let sessions = other.dwell(["sessions", "--json"]).json();
        sessions[0]["status"] == "ended" && sessions[0]["exit_code"] == 5
    });
    assert!(transcript(&other).contains("one") && transcript(&other).contains("got-hello"));
    // The first laptop hears of it when it is back.
    wait_until(LIMIT, "the first laptop sees the end", || {
        bench.home.dwell(["sessions"]).ok().contains("ended (5)")
    });
    // What was made elsewhere is not synced from here.
    let refused = other.dwell(["sync", "red"]);
    assert!(refused.fails_with(2).contains("source"), "{}", refused.stderr);
}

#[test]
fn a_terminal_attaches_again_after_a_cut() {
    let Some(bench) = Bench::one() else { return };
    let project = bench.idle();
    let words = format!("run --remote one --name talk sh red -c {TALK}");
    let terminal = Terminal::open(&bench.home, &project, &words);
    terminal.shows("ready");
    terminal.keys(&["first", "Enter"]);
    terminal.shows("got-first");

    let other = bench.laptop("root");
    wait_until(LIMIT, "the other laptop sees it", || {
        other.dwell(["sessions", "-q"]).ok().contains("talk")
    });
    let second = Terminal::open(&other, other.path(), "attach red");
    second.shows("got-first");
    second.keys(&["second", "Enter"]);
    terminal.shows("got-second");

    bench.host().partition();
    terminal.shows_within(Duration::from_secs(15), "the node is away");
    bench.host().heal();
    let limit = Duration::from_secs(40);
    wait_until(limit, "it is attached again", || {
        let screen = terminal.screen();
        screen.contains("got-second") && !screen.contains("the node is away")
    });
    terminal.keys(&["third", "Enter"]);
    terminal.shows("got-third");
    second.shows_within(limit, "got-third");
    second.keys(&["C-d"]);
    terminal.shows("left 6");
    second.shows("left 6");
}
