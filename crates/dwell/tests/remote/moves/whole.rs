//! Whole environments.

use std::fs;

use dwell_testkit::git;

use super::*;

#[test]
fn an_environment_goes_from_node_to_node_and_home_with_all_that_is_its_own() {
    let Some(bench) = bench(2) else { return };
    let project = project(&bench);
    let project = project.path();
    let dwell = |arguments: &[&str]| bench.home.dwell_in(project, arguments);
    dwell(&["up", "red", "--wait"]).ok();
    fill(&bench, project);
    let tree = bench.home.data().join("shop/red");
    fs::write(tree.join("agent"), "committed\n").unwrap();
    git(&tree, ["add", "agent"]).ok();
    git(&tree, ["commit", "-qm", "By the agent"]).ok();
    fs::write(tree.join("web/index.html"), "changed\n").unwrap();
    fs::write(tree.join("draft"), "untracked\n").unwrap();
    let head = git(&tree, ["rev-parse", "HEAD"]).ok().to_owned();
    let diff = dwell(&["diff", "red"]).ok().to_owned();
    assert!(diff.contains("+changed") && diff.contains("+untracked"), "{diff}");
    let names = |shown: &Value| service(shown, "store")["names"].clone();
    let before = names(&bench.status(project, "red"));

    for (to, from) in [("one", "local"), ("two", "one"), ("local", "two")] {
        let ran = dwell(&["move", "red", "--to", to, "--with-volumes"]);
        assert!(ran.ok().contains("moved `shop/red`"), "{ran:?}");
        let status = bench.status(project, "red");
        assert_eq!(status["status"], "running", "{status}");
        assert_eq!(status["node"].as_str().unwrap_or("local"), to);
        assert_eq!((&names(&status), &status["branch"]), (&before, &"dwell/red".into()));
        let list = dwell(&["ls", "--json"]).json();
        assert_eq!(list.as_array().unwrap().len(), 1, "{list}");
        is_filled(&bench, project);
        assert_eq!(page(&bench, "/count"), "1");
        assert_eq!(page_from_web(&bench, project, "/count"), "1");
        let inside = ["exec", "red", "web", "cat", "/www/index.html"];
        assert_eq!(dwell(&inside).ok(), "changed");
        assert_eq!(dwell(&["diff", "red"]).ok(), diff, "on {to}");
        if from == "local" {
            assert!(!tree.exists() && volumes_here(&bench).is_empty());
        } else {
            is_bare(&bench, from);
        }
    }
    assert_eq!(git(&tree, ["rev-parse", "HEAD"]).ok(), head);
    assert_eq!(git(&tree, ["status", "--porcelain"]).stdout, " M web/index.html\n?? draft\n");
    // It is an environment of this project as any other.
    let ran = dwell(&["merge", "red", "--commit", "The rest"]);
    assert!(ran.ok().contains("merged"), "{ran:?}");
    assert_eq!(fs::read_to_string(project.join("draft")).unwrap(), "untracked\n");
    assert_eq!(git(project, ["log", "--format=%s", "-2"]).ok(), "The rest\nBy the agent");
    dwell(&["destroy", "red", "--force"]).ok();
}

#[test]
fn what_the_user_does_after_a_move_comes_in_and_work_is_pulled() {
    let Some(bench) = bench(1) else { return };
    let project = project(&bench);
    let project = project.file("a", "one\n").file("b", "one\n");
    let project = project.path();
    let dwell = |arguments: &[&str]| bench.home.dwell_in(project, arguments);
    dwell(&["create", "red"]).ok();
    let tree = bench.home.data().join("shop/red");
    fs::write(tree.join("a"), "the agent's\n").unwrap();
    // What does not run is moved as it is.
    let ran = dwell(&["move", "red", "--to", "one"]);
    assert!(ran.ok().contains("moved"), "{ran:?}");
    assert_eq!(bench.hosts.host("one").docker(["ps", "-aq"]).ok(), "");

    fs::write(project.join("b"), "the user's\n").unwrap();
    dwell(&["up", "red"]).ok();
    let there = bench.hosts.host("one").path("/root/.local/share/dwell/shop/red");
    assert_eq!(fs::read_to_string(there.join("a")).unwrap(), "the agent's\n");
    assert_eq!(fs::read_to_string(there.join("b")).unwrap(), "the user's\n");
    let pulled = dwell(&["pull", "red"]);
    assert!(pulled.ok().contains("1 commits, "), "{pulled:?}");
    assert_eq!(git(project, ["show", "dwell/red:a"]).ok(), "the agent's");
    let ran = dwell(&["move", "red", "--to", "one"]);
    assert!(ran.ok().contains("is on `one` already"), "{ran:?}");
}

#[test]
fn sessions_are_named_and_only_ended_by_force() {
    let Some(bench) = bench(1) else { return };
    let project = project(&bench);
    let project = project.path();
    let dwell = |arguments: &[&str]| bench.home.dwell_in(project, arguments);
    dwell(&["run", "--detach", "sh", "red", "-c", "echo begun > note; sleep 1000"]).ok();
    for (to, session) in [("one", "sh"), ("local", "sh-2")] {
        let moving = ["move", "red", "--to", to, "--with-volumes"];
        let ran = dwell(&[&moving[..], &["--yes"]].concat());
        let named = format!("running session: {session}");
        assert!(ran.fails_with(5).contains(&named), "{ran:?}");
        let plan = dwell(&["move", "red", "--to", to, "--dry-run", "--json"]).json();
        assert_eq!(plan["sessions"], serde_json::json!([session]));
        dwell(&[&moving[..], &["--force"]].concat()).ok();
        let ran = dwell(&["run", "sh", "red", "-c", "cat note; hostname"]);
        let place = if to == "one" { "begun\none" } else { "begun" };
        assert!(ran.ok().starts_with(place), "{ran:?}");
        dwell(&["run", "--detach", "sh", "red", "-c", "sleep 1000"]).ok();
    }
}

#[test]
fn an_environment_whose_services_are_on_another_node_comes_together() {
    let Some(bench) = bench(2) else { return };
    let project = project(&bench);
    let project = project.path();
    let dwell = |arguments: &[&str]| bench.home.dwell_in(project, arguments);
    dwell(&["up", "red", "--place", "store=one", "--wait"]).ok();
    fill(&bench, project);
    dwell(&["move", "red", "--to", "two", "--with-volumes"]).ok();
    assert_eq!(node_of(&bench, project, "store"), "two");
    assert_eq!(node_of(&bench, project, "web"), "two");
    is_filled(&bench, project);
    is_bare(&bench, "one");
    assert_eq!(page(&bench, "/count"), "1");
}
