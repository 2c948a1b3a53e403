//! Input that no environment can be made of.

use dwell_testkit::TestHome;

use crate::support::{World, home, small};

fn refused(home: &TestHome, directory: &std::path::Path, arguments: &[&str], code: &str) -> String {
    let ran = home.dwell_in(directory, arguments.iter().copied().chain(["--json"]));
    assert!(!matches!(ran.code, Some(0) | None), "{ran:?}");
    assert!(ran.stdout.contains(&format!("\"{code}\"")), "`{code}` was expected: {ran:?}");
    ran.stdout
}

#[test]
fn names_that_are_paths_are_refused() {
    let home = home();
    let project = small(&home, "shop");
    home.dwell(["node", "start"]).ok();
    for name in ["../../victim", "/etc", "..", ".", "", "!"] {
        let ran = home.dwell_in(&project, ["create", "--", name]);
        assert_eq!(ran.code, Some(2), "{name:?}: {ran:?}");
    }
    let long = "a".repeat(300);
    assert_eq!(home.dwell_in(&project, ["create", &long]).code, Some(2));
    assert!(!home.path().join("data/victim").exists());
    assert_eq!(World::of(&home, project.path()).count("environment"), 0);
    let missing = home.path().join("no-such");
    let from = ["create", "one", "--from", missing.to_str().unwrap()];
    assert_ne!(home.dwell(from).code, Some(0));
}

#[test]
fn compose_projects_that_cannot_be_read_leave_nothing() {
    let home = home();
    home.dwell(["node", "start"]).ok();
    for (name, text, says) in [
        ("syntax", "services: [", "syntax"),
        ("unknown", "services:\n  web:\n    image: busybox\n    nonsense: 1\n", "nonsense"),
        ("missing", "services:\n  web:\n    image: ${TAG?a tag}\n", "TAG"),
        ("empty", "", "empty"),
        ("none", "services: {}\n", "no services"),
    ] {
        let project = small(&home, name).file("compose.yaml", text);
        let before = World::of(&home, project.path());
        let told = refused(&home, project.path(), &["up", "one"], "invalid_compose");
        assert!(told.to_lowercase().contains(&says.to_lowercase()), "{name}: {told}");
        before.comes_back(&home, project.path(), name);
    }
    let project = small(&home, "image")
        .file("compose.yaml", "services:\n  web:\n    image: 127.0.0.1:1/no-such:1\n");
    let before = World::of(&home, project.path());
    refused(&home, project.path(), &["up", "one"], "tool_failed");
    before.comes_back(&home, project.path(), "image");
    let project = home.project("directory").file("compose.yaml/file", "");
    refused(&home, project.path(), &["up", "one"], "invalid_compose");
    let project = home.project("nothing").file("README", "");
    let ran = home.dwell_in(&project, ["up", "one"]);
    assert_ne!(ran.code, Some(0), "{ran:?}");
    assert!(ran.stderr.contains("compose"), "{ran:?}");
}

#[test]
fn configuration_that_is_too_large_or_wrong_is_refused() {
    let home = home();
    for (name, text) in [
        ("huge", "# comment\n".repeat(100_000)),
        ("wrong", "[hook]\nsetup = 'x'\n".to_owned()),
        ("toml", "= = =".to_owned()),
        ("escape", "compose_files = ['../../etc/passwd']\n".to_owned()),
    ] {
        let project = small(&home, name).file("dwell.toml", text);
        refused(&home, project.path(), &["up", "one"], "invalid_config");
    }
    let project = small(&home, "binary").file("dwell.toml", b"\xff\xfe\x00");
    assert_ne!(home.dwell_in(&project, ["up", "one"]).code, Some(0));
    let project = small(&home, "folder").file("dwell.toml/file", "");
    assert_ne!(home.dwell_in(&project, ["up", "one"]).code, Some(0));
    assert_eq!(World::of(&home, project.path()).count("environment"), 0);
}

#[test]
fn what_is_in_the_way_is_left_alone() {
    let home = home();
    let project = small(&home, "shop");
    let tree = home.data().join("shop/one");
    std::fs::create_dir_all(&tree).unwrap();
    std::fs::write(tree.join("work"), "precious").unwrap();
    refused(&home, project.path(), &["up", "one"], "exists");
    refused(&home, project.path(), &["create", "one"], "exists");
    assert_eq!(std::fs::read_to_string(tree.join("work")).unwrap(), "precious");
}
