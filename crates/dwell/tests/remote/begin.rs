//! One command from a project here to an agent at work on it on a node, and its work back.

use std::fs;
use std::time::Duration;

use dwell_testkit::{HostPlan, Terminal, git, has_image, wait_until};

use crate::bench::Bench;

/// Has a stand-in for Claude Code.
const IMAGE: &str = "dwell-test-agent";
const LIMIT: Duration = Duration::from_secs(60);

#[test]
fn an_agent_works_on_a_node_and_its_work_is_pulled() {
    if !has_image(IMAGE) {
        return;
    }
    let Some(bench) = Bench::start([HostPlan::new("one").images([IMAGE])]) else { return };
    let home = &bench.home;
    let notes = home.project("notes").file("a.txt", "one\n").git();
    let begin = ["claude", "--node", "one", "--image", IMAGE, "--detach", "write a.txt two"];
    let began = home.dwell_in(&notes, begin);
    assert_eq!(began.ok(), "claude");
    assert!(began.stderr.contains("has no services"), "{began:?}");
    let said = || home.dwell(["logs", "notes-claude", "--session", "claude"]).stdout;
    wait_until(LIMIT, "it has written there", || said().contains("wrote a.txt"));
    assert_eq!(home.dwell(["ws", "show", "notes-claude", "--json"]).json()["node"], "one");

    let terminal = Terminal::open(home, &notes, "attach notes-claude");
    terminal.shows_within(LIMIT, "wrote a.txt");
    terminal.types("write b.txt mine");
    terminal.keys(&["Enter"]);
    terminal.shows("wrote b.txt");
    terminal.keys(&["C-b", "d"]);
    terminal.says("left 0");
    // The node does not have to be said again.
    terminal.runs("claude write c.txt three", "wrote c.txt");
    terminal.keys(&["C-b", "d"]);
    terminal.says("left 0");
    assert_eq!(home.dwell(["sessions", "notes-claude", "-q"]).ok(), "claude", "one session");

    let pulled = home.dwell_in(&notes, ["pull", "claude"]);
    assert!(pulled.ok().contains("dwell/claude"), "{pulled:?}");
    assert_eq!(fs::read_to_string(notes.path().join("a.txt")).unwrap(), "one\n");
    for (file, text) in [("a.txt", "two"), ("b.txt", "mine"), ("c.txt", "three")] {
        assert_eq!(git(&notes, ["show", &format!("dwell/claude:{file}")]).ok(), text);
    }
    home.dwell(["ws", "destroy", "notes-claude", "--force", "--purge"]).ok();
}
