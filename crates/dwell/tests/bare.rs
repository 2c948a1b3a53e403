//! Projects without a compose file: environments with a tree, sessions and no services.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    missing_docs,
    reason = "a test ends where it meets what it does not expect"
)]

use std::fs;

use dwell_testkit::{IDLE, TestHome, git};

const NONE: &str = "has no services: its project has no compose file";

fn home() -> TestHome {
    TestHome::new(env!("CARGO_BIN_EXE_dwell"))
}

fn known(home: &TestHome) -> serde_json::Value {
    home.dwell(["ls", "--json"]).json()
}

#[test]
fn who_asks_for_a_place_gets_one_and_who_asks_for_services_is_told() {
    let home = home();
    let notes = home.project("notes").file("a.txt", "one\n").file("deep/b.txt", "b\n").git();
    git(&notes, ["config", "user.name", "test"]).ok();
    git(&notes, ["config", "user.email", "test@localhost"]).ok();
    let up = home.dwell_in(&notes, ["up", "a1"]);
    assert!(up.fails_with(1).contains("there is no compose file in"), "{up:?}");
    assert!(up.stderr.contains("`dwell create` makes an environment without services"), "{up:?}");
    assert_eq!(known(&home), serde_json::json!([]), "nothing was made");

    // From anywhere in it, the repository is the project.
    let made = home.dwell_in(notes.path().join("deep"), ["create", "a1"]);
    made.ok();
    assert!(made.stderr.contains(&format!("`notes/a1` {NONE}")), "{made:?}");
    let tree = home.data().join("notes/a1");
    assert_eq!(fs::read_to_string(tree.join("a.txt")).unwrap(), "one\n");
    assert_eq!(known(&home)[0]["status"], "created");
    for _ in 0..2 {
        let up = home.dwell_in(&notes, ["up", "a1"]);
        assert!(up.ok().contains(&format!("`notes/a1` {NONE}")), "{up:?}");
        assert!(!up.stderr.contains("starting containers"), "{up:?}");
    }
    assert_eq!(known(&home)[0]["status"], "created");

    let line = "echo two > a.txt; echo $DWELL_ENV; pwd";
    let ran = home.dwell_in(&notes, ["run", "sh", "a1", "-c", line]);
    assert_eq!(ran.ok(), format!("a1\n{}", tree.display()));
    assert!(home.dwell_in(&notes, ["diff", "a1"]).ok().contains("+two"));
    home.dwell_in(&notes, ["merge", "a1", "--commit", "Two"]).ok();
    assert_eq!(fs::read_to_string(notes.path().join("a.txt")).unwrap(), "two\n");
    fs::write(notes.path().join("a.txt"), "three\n").unwrap();
    home.dwell_in(&notes, ["sync", "a1"]).ok();
    assert_eq!(fs::read_to_string(tree.join("a.txt")).unwrap(), "three\n");
    home.dwell_in(&notes, ["down", "a1"]).ok();
    home.dwell_in(&notes, ["destroy", "a1", "--yes", "--force"]).ok();
    assert!(!tree.exists());
}

#[test]
fn a_compose_file_that_comes_later_counts_and_one_that_goes_is_missed() {
    let home = home();
    let notes = home.project("notes").file("a.txt", "one\n").git();
    home.dwell_in(&notes, ["run", "true", "a1"]).ok();
    let file = home.data().join("notes/a1/compose.yaml");
    fs::write(&file, IDLE).unwrap();
    let up = home.dwell_in(&notes, ["up", "a1"]);
    assert!(up.ok().contains("`notes/a1` is up"), "{up:?}");
    assert_eq!(known(&home)[0]["status"], "running");
    fs::remove_file(&file).unwrap();
    let up = home.dwell_in(&notes, ["up", "a1"]);
    assert!(up.fails_with(1).contains("there is no compose file in"), "{up:?}");
    assert_eq!(home.containers("a1", None).len(), 1, "it runs as before");
    home.dwell_in(&notes, ["down", "a1"]).ok();
    assert!(home.dwell_in(&notes, ["up", "a1"]).ok().contains(NONE));
    assert_eq!(known(&home)[0]["services"], serde_json::json!([]));
}

#[test]
fn what_lies_around_a_project_is_not_its_own() {
    let home = home();
    // Compose would look for its file in the directories above.
    let outer = home.project("outer").compose(IDLE);
    fs::create_dir_all(home.data()).unwrap();
    fs::write(home.data().join("compose.yaml"), IDLE).unwrap();
    let inner = dwell_testkit::Project::new(outer.path().join("inner")).file("a", "").git();
    home.dwell_in(&inner, ["run", "true", "a1"]).ok();
    assert!(home.containers("a1", None).is_empty());

    // A directory without git is copied; one that holds everything is not.
    let plain = home.project("plain").file("a.txt", "one\n");
    home.dwell_in(&plain, ["create", "a1"]).ok();
    fs::write(home.data().join("plain/a1/a.txt"), "two\n").unwrap();
    home.dwell_in(&plain, ["merge", "a1"]).ok();
    assert_eq!(fs::read_to_string(plain.path().join("a.txt")).unwrap(), "two\n");
    let everything = home.dwell_in(home.path(), ["create", "a2", "--project", "all"]);
    assert!(everything.fails_with(2).contains("is no project"), "{everything:?}");
}
