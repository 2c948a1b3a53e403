//! A node that is away for so long that everything has given up on it, as for an hour: what is in its
//! workspaces goes on, and is found again.

use std::time::{Duration, Instant};

use dwell_testkit::{HostPlan, Terminal, wait_until};
use serde_json::Value;

use crate::bench::Bench;

const IMAGE: &str = "dwell-test-workspace";
/// Longer than anything waits for a node: a link is given up after 8 s, a look at it after 2.
const AWAY: Duration = Duration::from_secs(25);
const LIMIT: Duration = Duration::from_secs(60);

fn show(bench: &Bench, name: &str) -> Value {
    bench.home.dwell(["ws", "show", name, "--json"]).json()
}

fn create(bench: &Bench, name: &str) {
    let create = ["ws", "create", name, "--image", IMAGE, "--node", "one"];
    bench.home.dwell([&create[..], &["--class", "cpu=1,mem=256m"]].concat()).ok();
}

/// The numbers that the session has said, all of them and in order.
fn counted(bench: &Bench) -> u64 {
    let said = bench.home.dwell(["logs", "box", "--session", "count"]);
    let numbers = said.ok().lines().filter_map(|line| line.strip_prefix("number ")).map(str::trim);
    let numbers: Vec<u64> = numbers.map(|number| number.parse().unwrap()).collect();
    assert!(numbers.iter().zip(1..).all(|(number, at)| *number == at), "{numbers:?}");
    numbers.len() as u64
}

#[test]
fn a_session_outlives_an_hour_without_the_network() {
    let Some(bench) = Bench::start([HostPlan::new("one").images([IMAGE])]) else { return };
    create(&bench, "box");
    create(&bench, "quiet");
    let idle = ["ws", "idle", "quiet", "--freeze-after", "6s", "--stop-after", "6s"];
    bench.home.dwell(idle).ok();
    let count = "i=0; while sleep 0.2; do i=\\$((i+1)); echo number \\$i; done";
    let line = format!("run --in box --name count -- sh -c \"{count}\"");
    let terminal = Terminal::open(&bench.home, bench.home.path(), &line);
    terminal.shows("number 3");
    let talk = "run --in box -d --name talk -- sh -c";
    let words = talk.split(' ').chain(["read word; echo got $word; sleep 1000"]);
    bench.home.dwell(words).ok();

    let before = counted(&bench);
    let begun = Instant::now();
    bench.host().partition();
    wait_until(LIMIT, "it is not known", || show(&bench, "box")["status"] == "unknown");
    let seen = show(&bench, "box")["seen"].as_i64().expect("it was seen");
    let told = bench.home.dwell(["ws", "show", "box"]);
    assert!(told.ok().contains("last seen:"), "{told:?}");
    for words in
        [&["ws", "ls"][..], &["sessions", "box"], &["send", "box", "--session", "talk", "x"]]
    {
        let ran = bench.home.dwell(words);
        assert!(ran.took < Duration::from_secs(15), "nobody waits for ever: {ran:?}");
    }
    let ran = bench.home.dwell(["logs", "box", "--session", "count"]);
    assert!(ran.code != Some(0) && !ran.stderr.is_empty(), "{ran:?}");
    // Nothing tells when everything has given up but the time.
    std::thread::sleep(AWAY.saturating_sub(begun.elapsed()));
    let still = show(&bench, "box");
    assert!(still["status"] == "unknown" && still["seen"].as_i64() == Some(seen), "{still}");
    // By its own rules, as the node's engine tells.
    let list = ["ps", "-a", "--filter", "name=dwell-ws-quiet", "--format", "{{.Status}}"];
    wait_until(LIMIT, "the other sleeps", || {
        let told = bench.host().docker(list).stdout;
        told.starts_with("Exited") || told.contains("Paused")
    });
    let gone = begun.elapsed();

    bench.host().heal();
    bench.comes_back("one");
    wait_until(LIMIT, "it is seen", || show(&bench, "box")["status"] == "running");
    wait_until(LIMIT, "the other was stopped meanwhile", || {
        show(&bench, "quiet")["status"] == "stopped"
    });
    let since = counted(&bench) - before;
    // Five a second, on a machine that may be busy with other things.
    assert!(since > gone.as_secs(), "{since} in {gone:?}");
    let now = counted(&bench);
    // The terminal shows it again, or has said why not; and it can be attached anew.
    wait_until(LIMIT, "the terminal is of use", || {
        let screen = terminal.screen();
        screen.contains("left ") || screen.contains(&format!("number {}", now + 5))
    });
    drop(terminal);
    let terminal = Terminal::open(&bench.home, bench.home.path(), "attach box talk");
    wait_until(LIMIT, "it is attached", || {
        let all = bench.home.dwell(["sessions", "box", "--json"]).json();
        let mut all = all.as_array().unwrap().iter();
        all.any(|it| it["name"] == "talk" && it["status"] == "running" && it["attached"] == 1)
    });
    terminal.keys(&["hello", "Enter"]);
    terminal.shows("got hello");
    let all = bench.home.dwell(["sessions", "box", "--json"]).json();
    assert!(all.as_array().unwrap().iter().all(|it| it["restored"].is_null()), "{all}");
    for name in ["box", "quiet"] {
        bench.home.dwell(["ws", "destroy", name, "--force", "--purge"]).ok();
    }
}
