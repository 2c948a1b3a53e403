//! Work of an environment and of its source, brought to and fro through the real binary.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    missing_docs,
    reason = "a test ends where it meets what it does not expect"
)]

use std::fs;
use std::path::Path;

use dwell_testkit::{IDLE, TestHome, git};

fn home() -> TestHome {
    TestHome::new(env!("CARGO_BIN_EXE_dwell"))
}

fn read(folder: &Path, name: &str) -> String {
    fs::read_to_string(folder.join(name)).unwrap_or_default()
}

/// All that git knows and sees of a repository.
fn repository(folder: &Path) -> String {
    let said = |arguments: &[&str]| git(folder, arguments).ok().to_owned();
    said(&["for-each-ref"]) + &said(&["status", "--porcelain"]) + &said(&["stash", "list"])
}

#[test]
fn work_of_a_git_project_goes_both_ways_and_is_never_lost() {
    let home = home();
    let shop = home.project("shop").compose(IDLE).file("a.txt", "one\n").git();
    let source = shop.path();
    git(source, ["config", "user.name", "test"]).ok();
    git(source, ["config", "user.email", "test@localhost"]).ok();
    home.dwell_in(&shop, ["create", "a1"]).ok();
    let tree = home.data().join("shop/a1");
    let before = repository(source);

    fs::write(tree.join("a.txt"), "two\n").unwrap();
    fs::write(tree.join("new.txt"), "new\n").unwrap();
    let diff = home.dwell(["diff", "a1"]).ok().to_owned();
    assert!(diff.contains("+two") && diff.contains("new.txt") && diff.contains("+new"), "{diff}");
    assert_eq!(home.dwell(["diff", "a1", "--name-only"]).ok(), "a.txt\nnew.txt");
    assert_eq!(repository(source), before, "looking changes nothing");
    assert_eq!(git(&tree, ["status", "--porcelain"]).ok(), " M a.txt\n?? new.txt");

    home.dwell(["merge", "a1"]).fails_with(5);
    assert_eq!(repository(source), before, "uncommitted work is not passed over");
    home.dwell(["merge", "a1", "--commit", "Two"]).ok();
    assert_eq!((read(source, "a.txt"), read(source, "new.txt")), ("two\n".into(), "new\n".into()));
    assert_eq!(
        git(source, ["for-each-ref", "--format=%(refname)"]).ok(),
        "refs/heads/dwell/a1\nrefs/heads/main"
    );

    fs::write(source.join("a.txt"), "three\n").unwrap();
    git(source, ["commit", "--quiet", "--all", "--message", "three"]).ok();
    home.dwell(["sync", "a1"]).ok();
    assert_eq!(read(&tree, "a.txt"), "three\n");

    fs::write(tree.join("a.txt"), "theirs\n").unwrap();
    fs::write(source.join("a.txt"), "ours\n").unwrap();
    git(source, ["commit", "--quiet", "--all", "--message", "ours"]).ok();
    let before = repository(source);
    let conflict = home.dwell(["merge", "a1", "--commit", "Theirs"]);
    assert!(conflict.fails_with(5).contains("a.txt"), "{conflict:?}");
    assert_eq!((read(source, "a.txt"), read(&tree, "a.txt")), ("ours\n".into(), "theirs\n".into()));
    assert_eq!(repository(source).lines().count(), before.lines().count(), "no refs are left");
    assert!(!source.join(".git/MERGE_HEAD").exists());
    let conflict = home.dwell(["sync", "a1"]);
    assert!(conflict.fails_with(5).contains("a.txt"), "{conflict:?}");
    assert_eq!(read(&tree, "a.txt"), "theirs\n");
}

#[test]
fn work_of_a_plain_directory_goes_both_ways() {
    let home = home();
    let shop = home.project("shop").compose(IDLE).file("a.txt", "one\n").file("b.txt", "b\n");
    home.dwell_in(&shop, ["create", "a1"]).ok();
    let tree = home.data().join("shop/a1");
    fs::write(tree.join("a.txt"), "two\n").unwrap();
    fs::write(tree.join("new.txt"), "new\n").unwrap();
    let diff = home.dwell(["diff", "a1"]).ok().to_owned();
    assert!(diff.contains("+two") && diff.contains("new.txt"), "{diff}");
    assert_eq!(read(shop.path(), "a.txt"), "one\n");
    home.dwell(["merge", "a1"]).ok();
    assert_eq!(
        (read(shop.path(), "a.txt"), read(shop.path(), "new.txt")),
        ("two\n".into(), "new\n".into())
    );
    fs::write(shop.path().join("b.txt"), "c\n").unwrap();
    home.dwell(["sync", "a1"]).ok();
    assert_eq!(read(&tree, "b.txt"), "c\n");
    fs::write(tree.join("b.txt"), "theirs\n").unwrap();
    fs::write(shop.path().join("b.txt"), "ours\n").unwrap();
    let conflict = home.dwell(["merge", "a1"]);
    assert!(conflict.fails_with(5).contains("b.txt"), "{conflict:?}");
    assert_eq!(
        (read(shop.path(), "b.txt"), read(&tree, "b.txt")),
        ("ours\n".into(), "theirs\n".into())
    );
}

#[test]
fn copied_and_rendered_files_stay_as_they_should() {
    let home = home();
    let config = "copy = ['.env']\n[[render]]\nfile = '.env'\ntokens = true\nreplace = [{ from = 'here', to = 'here-${DWELL_ENV}' }]\n";
    let shop = home
        .project("shop")
        .compose(IDLE)
        .file("dwell.toml", config)
        .file(".gitignore", ".env\n")
        .git()
        .file(".env", "HOST=here\nBASE=${DWELL_BASE_URL}\n");
    let expected = "HOST=here-a1\nBASE=http://shop.a1.test\n";
    for _ in 0..3 {
        home.dwell_in(&shop, ["up", "a1"]).ok();
        assert_eq!(read(&home.data().join("shop/a1"), ".env"), expected);
    }
    assert_eq!(read(shop.path(), ".env"), "HOST=here\nBASE=${DWELL_BASE_URL}\n");
    assert_eq!(home.dwell(["diff", "a1"]).ok(), "");
}
