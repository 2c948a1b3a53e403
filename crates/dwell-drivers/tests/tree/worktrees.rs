//! Trees of git projects.

use std::fs;
use std::os::unix::fs::PermissionsExt;

use dwell_drivers::tree::{Start, TreeError, TreeKind};

use crate::support::Place;

#[tokio::test]
async fn a_git_project_gets_a_worktree_with_its_own_branch() {
    let place = Place::git();
    let head = place.git_line("source", &["rev-parse", "HEAD"]);
    let tree = place.create().await;
    assert_eq!(tree.kind, TreeKind::Worktree);
    assert_eq!(tree.branch.as_deref(), Some("dwell/a1"));
    assert_eq!(tree.base_commit.as_ref(), Some(&head));
    assert!(tree.notes.is_empty(), "{:?}", tree.notes);
    assert_eq!(place.git_line("tree", &["branch", "--show-current"]), "dwell/a1");
    assert_eq!(place.status("tree"), "");
    assert_eq!(place.read("tree/dir/b.txt"), "b\n");
    assert!(!place.exists(".tree.growing"));
    place.run("tree", &["fsck", "--no-dangling"]);
    place.run("source", &["worktree", "list"]);
}

#[tokio::test]
async fn a_commit_in_the_tree_moves_nothing_in_the_source() {
    let place = Place::git();
    let tree = place.create().await;
    let before = place.everything("source");
    place.write("tree/a.txt", "agent\n");
    place.commit("tree", "agent's");
    let mut after = place.everything("source");
    let refs = String::from_utf8(after.remove("refs").unwrap()).unwrap();
    assert!(refs.contains("refs/heads/dwell/a1"));
    let mut before = before;
    before.remove("refs");
    assert_eq!(before, after);
    drop(tree);
}

#[tokio::test]
async fn a_source_that_is_itself_a_worktree_is_not_aliased() {
    let place = Place::git();
    place.run("source", &["worktree", "add", "-q", "-b", "feature", "../feature"]);
    let tree = place.create_from("feature", "tree", Start::Source, &[]).await.unwrap();
    let before = place.git_line("feature", &["rev-parse", "HEAD"]);
    place.write("tree/new.txt", "x");
    place.commit("tree", "agent's");
    assert_eq!(place.git_line("feature", &["rev-parse", "HEAD"]), before);
    assert_eq!(place.git_line("feature", &["branch", "--show-current"]), "feature");
    assert_eq!(place.status("feature"), "");
    assert_eq!(tree.source, place.path("feature").canonicalize().unwrap());
}

#[tokio::test]
async fn uncommitted_and_untracked_work_comes_along_and_the_source_stays_as_it_is() {
    let place = Place::git();
    place.write("source/a.txt", "one\nchanged\nthree\n");
    place.write("source/staged.txt", "staged\n");
    place.run("source", &["add", "staged.txt"]);
    place.write("source/untracked dir/new\nline.txt", "u\n");
    place.write("source/intended.txt", "later\n");
    place.run("source", &["add", "-N", "intended.txt"]);
    place.run("source", &["mv", "c.txt", "renamed.txt"]);
    fs::remove_file(place.path("source/dir/b.txt")).unwrap();
    place.mode("source/run.sh", 0o644);
    place.link("nowhere", "source/dangling");
    place.write("source/ignored/big.bin", "no\n");
    place.write("source/.env", "SECRET=1\n");
    place.write("source/private", "p");
    place.mode("source/private", 0o600);
    place.run("source", &["stash", "list"]);
    let before = place.everything("source");

    place.create().await;

    assert_eq!(place.status("tree"), place.status("source"));
    let mut after = place.everything("source");
    assert!(after["refs"].len() > before["refs"].len());
    after.insert("refs".into(), before["refs"].clone());
    assert_eq!(before, after);
    assert_eq!(place.read("tree/a.txt"), "one\nchanged\nthree\n");
    assert_eq!(place.read("tree/untracked dir/new\nline.txt"), "u\n");
    assert!(!place.exists("tree/dir/b.txt") && !place.exists("tree/c.txt"));
    assert!(!place.exists("tree/ignored") && !place.exists("tree/.env"));
    assert_eq!(fs::read_link(place.path("tree/dangling")).unwrap().to_str(), Some("nowhere"));
    let mode = |name| fs::metadata(place.path(name)).unwrap().permissions().mode() & 0o777;
    assert_eq!((mode("tree/private"), mode("tree/run.sh")), (0o600, 0o644));
    assert_eq!(
        place.git_line("source", &["for-each-ref", "--format=%(refname)"]),
        "refs/heads/dwell/a1\nrefs/heads/main"
    );
}

#[tokio::test]
async fn the_copy_is_clean_without_reading_files_again() {
    let place = Place::git();
    // Old enough that the source's index trusts its stamps.
    for file in ["a.txt", "c.txt", "dir/b.txt", "run.sh", ".gitignore"] {
        let time = std::time::SystemTime::now() - std::time::Duration::from_secs(3600);
        let file = fs::File::open(place.path("source").join(file)).unwrap();
        file.set_times(fs::FileTimes::new().set_modified(time)).unwrap();
    }
    place.run("source", &["update-index", "--refresh"]);
    place.create().await;
    // An index with wrong stamps names files here.
    let changed = place.run("tree", &["diff-files", "--name-only"]);
    assert_eq!(changed, "");
}

#[tokio::test]
async fn copy_patterns_bring_ignored_files() {
    let place = Place::git();
    place.write("source/.gitignore", "*.local.json\n.env\nsecrets/\nlinked\n");
    place.commit("source", "ignore");
    place.write("source/.env", "A=1\n");
    place.mode("source/.env", 0o600);
    place.write("source/config/x.local.json", "{}");
    place.write("source/config/deep/y.local.json", "{}");
    place.write("source/secrets/key", "k");
    place.write("outside/file", "o");
    place.link("../outside", "source/linked");
    let patterns = [".env", "config/*.local.json", "secrets", "linked", "linked/*", "absent"];
    place.create_from("source", "tree", Start::Source, &patterns).await.unwrap();
    assert_eq!(place.read("tree/.env"), "A=1\n");
    let mode = fs::metadata(place.path("tree/.env")).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    assert!(place.exists("tree/config/x.local.json"));
    assert!(!place.exists("tree/config/deep"));
    assert_eq!(place.read("tree/secrets/key"), "k");
    assert!(fs::symlink_metadata(place.path("tree/linked")).unwrap().is_symlink());
    assert_eq!(place.status("tree"), "");
    for bad in ["../outside/file", "/etc/passwd", ".git/config", "**/../x"] {
        let result = place.create_from("source", "bad", Start::Source, &[bad]).await;
        assert!(matches!(result, Err(TreeError::Pattern { .. })), "{bad}: {result:?}");
        assert!(!place.exists("bad") && !place.exists(".bad.growing"));
    }
    // A refused order leaves neither a registration nor a branch.
    let list = place.run("source", &["worktree", "list", "--porcelain"]);
    assert_eq!(list.matches("worktree ").count(), 2, "{list}");
    assert_eq!(place.run("source", &["branch", "--list", "dwell/*"]).lines().count(), 1);
}

#[tokio::test]
async fn a_folder_of_a_repository_gives_the_whole_tree_and_the_folder() {
    let place = Place::git();
    place.write("source/apps/shop/compose.yaml", "services: {}\n");
    place.commit("source", "monorepo");
    place.write("source/apps/shop/.env", "X=1\n");
    let tree = place.create_from("source/apps/shop", "tree", Start::Source, &[".env"]).await;
    let tree = tree.unwrap();
    assert_eq!(tree.project_dir, place.path("tree").canonicalize().unwrap().join("apps/shop"));
    assert!(place.exists("tree/a.txt"));
    assert_eq!(place.read("tree/apps/shop/.env"), "X=1\n");
}

#[tokio::test]
async fn a_folder_that_a_repository_only_surrounds_is_copied_alone() {
    let place = Place::git();
    place.write("source/ignored/project/compose.yaml", "services: {}\n");
    let tree = place.create_from("source/ignored/project", "tree", Start::Source, &[]).await;
    assert_eq!(tree.unwrap().kind, TreeKind::Copy);
    assert!(place.exists("tree/compose.yaml") && !place.exists("tree/a.txt"));
}

#[tokio::test]
async fn a_revision_starts_without_uncommitted_work() {
    let place = Place::git();
    place.write("source/a.txt", "dirty\n");
    let start = Start::Revision("HEAD~1".into());
    let tree = place.create_from("source", "tree", start, &[]).await.unwrap();
    assert_eq!(place.status("tree"), "");
    assert!(!place.exists("tree/c.txt"));
    let wanted = place.git_line("source", &["rev-parse", "HEAD~1"]);
    assert_eq!(tree.base_commit, Some(wanted));
    for bad in ["nothing", "--help", "-x"] {
        let start = Start::Revision(bad.into());
        let result = place.create_from("source", "bad", start, &[]).await;
        assert!(matches!(result, Err(TreeError::NoRevision { .. })), "{result:?}");
    }
}

#[tokio::test]
async fn an_old_branch_is_used_again_only_when_nothing_is_lost() {
    let place = Place::git();
    place.run("source", &["branch", "dwell/a1", "HEAD~1"]);
    let tree = place.create().await;
    assert_eq!(tree.branch.as_deref(), Some("dwell/a1"));
    assert!(tree.notes.is_empty());
    let second = place.create_from("source", "second", Start::Source, &[]).await.unwrap();
    assert_eq!(second.branch.as_deref(), Some("dwell/a1-2"));
    assert!(second.notes[0].contains("is checked out elsewhere"), "{:?}", second.notes);
    place.write("second/new.txt", "x");
    let kept = place.commit("second", "kept");
    place.run("source", &["worktree", "remove", "--force", "../second"]);
    place.run("source", &["worktree", "remove", "--force", "../tree"]);
    place.run("source", &["branch", "-f", "dwell/a1", &kept]);
    let third = place.create_from("source", "third", Start::Source, &[]).await.unwrap();
    assert_eq!(third.branch.as_deref(), Some("dwell/a1-3"));
    assert!(third.notes[0].contains("has commits of its own"), "{:?}", third.notes);
    assert_eq!(place.git_line("source", &["rev-parse", "dwell/a1"]), kept);
}

#[tokio::test]
async fn a_branch_called_dwell_does_not_stand_in_the_way() {
    let place = Place::git();
    place.run("source", &["branch", "dwell"]);
    assert_eq!(place.create().await.branch.as_deref(), Some("dwell-a1"));
}

#[tokio::test]
async fn no_hook_of_the_repository_runs() {
    let place = Place::git();
    for hook in ["post-checkout", "reference-transaction", "pre-commit", "post-index-change"] {
        let canary = place.path("canary");
        place.write(
            &format!("source/.git/hooks/{hook}"),
            &format!("#!/bin/sh\ntouch '{}'\n", canary.display()),
        );
        place.mode(&format!("source/.git/hooks/{hook}"), 0o755);
    }
    let tree = place.create().await;
    let start = Start::Revision("HEAD".into());
    place.create_from("source", "other", start, &[]).await.unwrap();
    dwell_drivers::tree::remove(&tree, &place.state(), true).await.unwrap();
    assert!(!place.exists("canary"));
}

#[tokio::test]
async fn what_exists_is_not_touched() {
    let place = Place::git();
    place.write("tree/mine", "x");
    let result = place.create_from("source", "tree", Start::Source, &[]).await;
    assert!(matches!(result, Err(TreeError::Exists { .. })));
    assert_eq!(place.read("tree/mine"), "x");
    let result = place.create_from("absent", "other", Start::Source, &[]).await;
    assert!(matches!(result, Err(TreeError::NoSource { .. })));
}
