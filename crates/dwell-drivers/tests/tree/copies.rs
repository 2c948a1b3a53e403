//! Trees of directories that are no git projects.

use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::time::{Duration, SystemTime};

use dwell_drivers::tree::{Start, TreeKind};

use crate::support::Place;

#[tokio::test]
async fn a_copy_is_faithful() {
    let place = Place::new();
    place.write("source/.hidden/file", "h");
    place.write("source/bin/tool", "#!/bin/sh\n");
    place.mode("source/bin/tool", 0o755);
    place.write("source/private", "p");
    place.mode("source/private", 0o600);
    place.write("source/read-only", "r");
    place.mode("source/read-only", 0o400);
    place.write("source/closed/file", "c");
    place.link("nowhere", "source/dangling");
    place.link("bin", "source/directory-link");
    place.link("/etc/hostname", "source/absolute");
    place.write("source/odd\nname \u{e9}", "o");
    fs::create_dir(place.path("source/empty")).unwrap();
    fs::hard_link(place.path("source/private"), place.path("source/same")).unwrap();
    let old = SystemTime::UNIX_EPOCH + Duration::new(1_000_000_000, 123_456_789);
    for path in ["source/bin/tool", "source/bin", "source/empty"] {
        let times = fs::FileTimes::new().set_modified(old);
        fs::File::open(place.path(path)).unwrap().set_times(times).unwrap();
    }
    place.mode("source/closed", 0o500);

    let tree = place.create().await;

    assert_eq!(tree.kind, TreeKind::Copy);
    assert!(tree.notes.is_empty(), "{:?}", tree.notes);
    for path in [
        ".hidden/file",
        "bin/tool",
        "bin",
        "private",
        "read-only",
        "closed",
        "closed/file",
        "dangling",
        "directory-link",
        "absolute",
        "odd\nname \u{e9}",
        "empty",
        "same",
    ] {
        let left = fs::symlink_metadata(place.path("source").join(path)).unwrap();
        let right = fs::symlink_metadata(place.path("tree").join(path)).unwrap();
        assert_eq!(left.permissions().mode(), right.permissions().mode(), "{path}");
        assert_eq!(
            (left.mtime(), left.mtime_nsec()),
            (right.mtime(), right.mtime_nsec()),
            "{path}"
        );
    }
    assert_eq!(fs::read_link(place.path("tree/dangling")).unwrap().to_str(), Some("nowhere"));
    assert_eq!(place.read("tree/odd\nname \u{e9}"), "o");
    let parent = fs::metadata(place.state()).unwrap().permissions().mode();
    assert_eq!(parent & 0o777, 0o700);
}

#[tokio::test]
async fn the_place_for_trees_is_private() {
    let place = Place::new();
    place.write("source/a", "a");
    place.create_from("source", "trees/shop/a1", Start::Source, &[]).await.unwrap();
    for path in ["trees", "trees/shop"] {
        let mode = fs::metadata(place.path(path)).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o700, "{path}");
    }
}

#[tokio::test]
async fn special_files_are_left_out_with_a_note() {
    let place = Place::new();
    place.write("source/a", "a");
    let fifo = place.path("source/pipe");
    rustix::fs::mknodat(
        rustix::fs::CWD,
        &fifo,
        rustix::fs::FileType::Fifo,
        rustix::fs::Mode::from_raw_mode(0o600),
        0,
    )
    .unwrap();
    let _socket = std::os::unix::net::UnixListener::bind(place.path("source/socket")).unwrap();
    let tree = place.create().await;
    assert_eq!(tree.notes, ["pipe was left out: a FIFO", "socket was left out: a socket"]);
    assert!(place.exists("tree/a") && !place.exists("tree/pipe") && !place.exists("tree/socket"));
}

#[tokio::test]
async fn a_hidden_source_and_rules_of_its_own() {
    let place = Place::new();
    place.write(".source/.dwellignore", "node_modules/\n*.log\n!keep.log\n[\n");
    place.write(".source/node_modules/x/y", "no");
    place.write(".source/a.log", "no");
    place.write(".source/keep.log", "yes");
    place.write(".source/src/main", "yes");
    let tree = place.create_from(".source", "tree", Start::Source, &[]).await.unwrap();
    assert_eq!(tree.notes, [".dwellignore: `[` is not understood"]);
    assert!(place.exists("tree/src/main") && place.exists("tree/keep.log"));
    assert!(!place.exists("tree/a.log") && !place.exists("tree/node_modules"));
}

#[tokio::test]
async fn a_tree_inside_its_source_does_not_copy_itself() {
    let place = Place::new();
    place.write("source/a", "a");
    place.create_from("source", "source/trees/one", Start::Source, &[]).await.unwrap();
    assert!(place.exists("source/trees/one/a"));
    assert!(!place.exists("source/trees/one/trees/one"));
    assert!(!place.exists("source/trees/.one.growing"));
}

#[tokio::test]
async fn holes_stay_holes() {
    let place = Place::new();
    fs::create_dir(place.path("source")).unwrap();
    let file = fs::File::create(place.path("source/sparse")).unwrap();
    std::os::unix::fs::FileExt::write_all_at(&file, b"start", 0).unwrap();
    std::os::unix::fs::FileExt::write_all_at(&file, b"middle", 40 << 20).unwrap();
    file.set_len(64 << 20).unwrap();
    place.create().await;
    let data = fs::metadata(place.path("tree/sparse")).unwrap();
    assert_eq!(data.len(), 64 << 20);
    assert!(data.blocks() * 512 < 8 << 20, "{} blocks", data.blocks());
    let same = fs::read(place.path("tree/sparse")).unwrap()
        == fs::read(place.path("source/sparse")).unwrap();
    assert!(same);
}

#[tokio::test]
async fn a_nested_worktree_becomes_a_repository_of_its_own() {
    let place = Place::git();
    fs::create_dir(place.path("project")).unwrap();
    place.run("source", &["worktree", "add", "-q", "-b", "feature", "../project/app"]);
    place.write("project/app/a.txt", "dirty\n");
    place.write("project/compose.yaml", "services: {}\n");
    let tree = place.create_from("project", "tree", Start::Source, &[]).await.unwrap();
    assert_eq!(tree.kind, TreeKind::Copy);
    assert!(place.path("tree/app/.git").is_dir());
    assert_eq!(place.git_line("tree/app", &["branch", "--show-current"]), "feature");
    assert_eq!(place.status("tree/app"), " M a.txt\n");
    let before = [place.everything("source"), place.everything("project/app")];
    place.commit("tree/app", "in the copy");
    place.run("tree/app", &["checkout", "-q", "-b", "more", "HEAD~1"]);
    assert_eq!(before, [place.everything("source"), place.everything("project/app")]);
    assert_eq!(place.run("tree/app", &["worktree", "list"]).lines().count(), 1);
}

#[tokio::test]
async fn nested_repositories_that_lead_elsewhere_are_made_independent() {
    let place = Place::git();
    fs::create_dir_all(place.path("project/linked")).unwrap();
    place.link("../../source/.git", "project/linked/.git");
    place.write("project/broken/.git", "gitdir: /nowhere/at/all\n");
    place.write("project/broken/file", "f");
    place.init("project/bound");
    place.write("project/bound/x", "x");
    place.commit("project/bound", "x");
    let bound = place.path("project/bound").display().to_string();
    place.run("project/bound", &["config", "core.worktree", &bound]);
    place.run("project/bound", &["worktree", "add", "-q", "../../elsewhere"]);
    let tree = place.create_from("project", "tree", Start::Source, &[]).await.unwrap();
    assert!(tree.notes[0].contains("broken/.git was left out"), "{:?}", tree.notes);
    assert!(place.exists("tree/broken/file") && !place.exists("tree/broken/.git"));
    let before = [place.everything("source"), place.everything("project/bound")];
    for name in ["tree/linked", "tree/bound"] {
        assert!(!fs::symlink_metadata(place.path(name).join(".git")).unwrap().is_symlink());
        place.write(&format!("{name}/new"), "n");
        place.commit(name, "in the copy");
        assert_eq!(place.run(name, &["worktree", "list"]).lines().count(), 1);
    }
    assert_eq!(before, [place.everything("source"), place.everything("project/bound")]);
}

#[tokio::test]
async fn a_nested_repository_with_its_submodules_inside_stays_whole() {
    let place = Place::git();
    place.init("project/app");
    place.write("project/app/x", "x");
    place.commit("project/app", "x");
    let source = place.path("source").display().to_string();
    place.run("project/app", &["submodule", "add", "-q", &source, "sub"]);
    place.commit("project/app", "submodule");
    place.create_from("project", "tree", Start::Source, &[]).await.unwrap();
    assert_eq!(place.status("tree/app"), "");
    let before = place.everything("project/app/sub");
    place.run(
        "tree/app/sub",
        &["-c", "user.name=T", "-c", "user.email=t@l", "commit", "-q", "--allow-empty", "-m", "x"],
    );
    place.run("tree/app/sub", &["checkout", "-q", "--detach", "HEAD~1"]);
    assert_eq!(before, place.everything("project/app/sub"));
}

#[tokio::test]
async fn in_place_and_empty_trees() {
    let place = Place::git();
    let tree = place.create_from("source", "tree", Start::InPlace, &[]).await.unwrap();
    assert_eq!(
        (tree.kind, tree.root),
        (TreeKind::InPlace, place.path("source").canonicalize().unwrap())
    );
    assert!(!place.exists("tree"));
    let tree = place.create_from("source", "tree", Start::Empty, &[]).await.unwrap();
    assert_eq!(fs::read_dir(tree.root).unwrap().count(), 0);
}
