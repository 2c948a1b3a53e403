//! What travels besides git's objects: files that git ignores, and projects without git.

use std::fs;
use std::time::Duration;

use dwell_testkit::HostPlan;

use crate::bench::{Bench, is_bare};

const IGNORED: &str = r#"
services:
  web:
    image: busybox:latest
    command: ["sleep", "1000"]
    init: true
    env_file: [.env]
    volumes: ["./data:/data:ro", "./config.local:/config:ro"]
    secrets: [token]
secrets:
  token: { file: ./token.key }
"#;

const RULES: &str = "copy = ['.env', 'data', '*.local', '*.key']\n[sync]\ninclude = ['notes.local']\nsecrets = ['sent.pem']\n";

/// A project whose services need what git ignores.
fn ignoring(bench: &Bench) -> dwell_testkit::Project {
    let project = bench.home.project("shop").compose(IGNORED);
    let project = project.file(".gitignore", "*.local\n*.pem\n*.key\n.env\n/data/\n");
    let project = project.file("dwell.toml", RULES).git();
    ["sent.pem", "kept.pem", "token.key", "config.local", "notes.local", "data/seed"]
        .into_iter()
        .fold(project.file(".env", "WORD=fromfile\n"), |project, name| {
            project.file(name, format!("{name}\n"))
        })
}

#[test]
fn ignored_files_go_where_services_and_rules_name_them() {
    let Some(bench) = Bench::one() else { return };
    let project = ignoring(&bench);
    let up = bench.home.dwell_in(&project, ["up", "red", "--remote", "one"]);
    up.ok();
    let told = &up.stderr;
    assert!(told.contains("sent by rule: sent.pem, token.key"), "{told}");
    assert!(told.contains("left out: .env, kept.pem"), "{told}");

    let exec = |command: &[&str]| {
        let words = [&["exec", "red", "web"], command].concat();
        bench.home.dwell_in(&project, words).ok().to_owned()
    };
    assert_eq!(exec(&["sh", "-c", "echo $WORD"]), "fromfile");
    let files = ["/data/seed", "/config", "/run/secrets/token"];
    assert_eq!(files.map(|name| exec(&["cat", name])), ["data/seed", "config.local", "token.key"]);
    let tree = bench.tree("one", "shop/red");
    let there = |name: &str| fs::read_to_string(tree.join(name)).ok();
    assert_eq!(there("notes.local").as_deref(), Some("notes.local\n"));
    assert_eq!(there("sent.pem").as_deref(), Some("sent.pem\n"));
    assert_eq!((there("kept.pem"), there(".env")), (None, None));
    let changed = bench.home.dwell_in(&project, ["diff", "red", "--name-only"]);
    assert_eq!(changed.ok(), "", "they are not the environment's work");

    // What changed here goes again, what is gone here goes there.
    fs::write(project.path().join("data/seed"), "second\n").unwrap();
    fs::remove_file(project.path().join("notes.local")).unwrap();
    bench.home.dwell_in(&project, ["sync", "red"]).ok();
    assert_eq!(exec(&["cat", "/data/seed"]), "second");
    assert_eq!(there("notes.local"), None);

    // What was changed there is not overwritten, and nothing else is brought then.
    fs::write(tree.join("data/seed"), "made there\n").unwrap();
    fs::write(project.path().join("data/seed"), "third\n").unwrap();
    fs::write(project.path().join("tracked"), "new\n").unwrap();
    let refused = bench.home.dwell_in(&project, ["sync", "red"]);
    let told = refused.fails_with(5);
    assert!(told.contains("data/seed"), "{told}");
    assert_eq!((there("data/seed").as_deref(), there("tracked")), (Some("made there\n"), None));
    bench.home.dwell_in(&project, ["sync", "red", "--force"]).ok();
    assert_eq!(exec(&["cat", "/data/seed"]), "third");

    bench.home.dwell_in(&project, ["destroy", "red", "--force"]).ok();
    is_bare(bench.host());
}

#[test]
fn ignored_files_go_with_a_part_and_with_a_move() {
    let Some(bench) = Bench::start([
        HostPlan::new("one").images(["busybox:latest"]),
        HostPlan::new("two").images(["busybox:latest"]),
    ]) else {
        return;
    };
    let project = ignoring(&bench);
    let up = bench.home.dwell_in(&project, ["up", "red", "--place", "web=one"]);
    up.ok();
    let seed = || {
        let ran = bench.home.dwell_in(&project, ["exec", "red", "web", "cat", "/data/seed"]);
        ran.ok().to_owned()
    };
    assert_eq!(seed(), "data/seed");
    bench.home.dwell_in(&project, ["destroy", "red", "--force"]).ok();

    bench.home.dwell_in(&project, ["up", "red", "--remote", "one"]).ok();
    bench.home.dwell_in(&project, ["move", "red", "--to", "two", "--yes"]).ok();
    assert_eq!(seed(), "data/seed");
    bench.home.dwell_in(&project, ["move", "red", "--to", "local", "--yes"]).ok();
    assert_eq!(seed(), "data/seed");
    bench.home.dwell_in(&project, ["destroy", "red", "--force"]).ok();
    for host in bench.hosts.all() {
        is_bare(host);
    }
}

const VALUES: &str = r#"
services:
  web:
    image: busybox:latest
    command: ["sleep", "1000"]
    init: true
    secrets: [token]
    configs: [{ source: word, target: /word }]
secrets:
  token: { environment: TOKEN }
configs:
  word: { environment: WORD }
"#;

#[test]
fn values_that_become_secrets_and_configs_go_along() {
    let Some(bench) = Bench::one() else { return };
    let project = bench.home.project("lab").compose(VALUES).git();
    for (name, place) in [("red", "--remote=one"), ("blue", "--place=web=one"), ("here", "-q")] {
        let mut up = bench.home.dwell_command();
        up.current_dir(&project).args(["up", name, place]);
        up.env("TOKEN", "hidden").env("WORD", "shown");
        dwell_testkit::run(&mut up, Duration::from_secs(60)).ok();
        let read = |path: &str| {
            let ran = bench.home.dwell_in(&project, ["exec", name, "web", "cat", path]);
            ran.ok().to_owned()
        };
        assert_eq!((read("/run/secrets/token"), read("/word")), ("hidden".into(), "shown".into()));
        bench.home.dwell_in(&project, ["destroy", name, "--force"]).ok();
    }
}

const PLAIN: &str = r#"
services:
  web:
    image: busybox:latest
    command: ["sleep", "1000"]
    init: true
    volumes: ["./files:/files:ro"]
    env_file: [.env]
"#;

#[test]
fn a_project_without_git_goes_by_rsync() {
    let Some(bench) = Bench::one() else { return };
    let project = bench.home.project("lab").compose(PLAIN).file(".env", "A=b\n");
    let project = project.file("files/a", "first\n").file("files/b", "first\n");
    let up = bench.home.dwell_in(&project, ["up", "red", "--remote", "one"]);
    up.ok();
    assert!(up.stderr.contains("left out: .env"), "{}", up.stderr);
    let read = |name: &str| {
        let path = format!("/files/{name}");
        bench.home.dwell_in(&project, ["exec", "red", "web", "cat", &path]).ok().to_owned()
    };
    assert_eq!((read("a"), read("b")), ("first".into(), "first".into()));
    let tree = bench.tree("one", "lab/red");
    assert!(!tree.join(".env").exists());

    fs::write(project.path().join("files/a"), "second, here\n").unwrap();
    bench.home.dwell_in(&project, ["sync", "red"]).ok();
    assert_eq!(read("a"), "second, here");
    let again = bench.home.dwell_in(&project, ["sync", "red"]);
    assert!(again.ok().contains("nothing to bring over"), "{}", again.ok());

    fs::write(tree.join("files/b"), "second, there\n").unwrap();
    fs::write(tree.join("files/own"), "made there\n").unwrap();
    let changed = bench.home.dwell_in(&project, ["diff", "red", "--name-only"]);
    assert_eq!(changed.ok(), "files/b\nfiles/own");
    // What only the node changed stays.
    fs::write(project.path().join("files/a"), "third, here\n").unwrap();
    bench.home.dwell_in(&project, ["up", "red"]).ok();
    assert_eq!((read("a"), read("b")), ("third, here".into(), "second, there".into()));
    // What both changed is refused, and nothing is changed.
    fs::write(project.path().join("files/a"), "fourth, here\n").unwrap();
    fs::write(project.path().join("files/b"), "other, here\n").unwrap();
    let refused = bench.home.dwell_in(&project, ["sync", "red"]);
    let told = refused.fails_with(5);
    assert!(told.contains("files/b") && told.contains("--force"), "{told}");
    assert_eq!((read("a"), read("b")), ("third, here".into(), "second, there".into()));

    let pulled = bench.home.dwell_in(&project, ["pull", "red"]);
    let place = pulled.ok().rsplit(" into ").next().unwrap().lines().next().unwrap().to_owned();
    let pulled = |name: &str| fs::read_to_string(format!("{place}/files/{name}")).ok();
    assert_eq!(pulled("b").as_deref(), Some("second, there\n"));
    assert_eq!((pulled("own").as_deref(), pulled("a")), (Some("made there\n"), None));

    bench.home.dwell_in(&project, ["sync", "red", "--force"]).ok();
    assert_eq!((read("a"), read("b")), ("fourth, here".into(), "other, here".into()));
    assert_eq!(read("own"), "made there", "what was made there is never deleted");
    bench.home.dwell_in(&project, ["destroy", "red", "--force"]).ok();
    assert!(!tree.exists());
    is_bare(bench.host());
}
