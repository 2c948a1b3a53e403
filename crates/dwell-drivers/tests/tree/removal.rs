//! Taking trees away.

use std::fs;

use dwell_drivers::tree::{self, Start, TreeError};

use crate::support::{Place, names};

#[tokio::test]
async fn a_tree_without_work_leaves_nothing() {
    let place = Place::git();
    let before = place.everything("source");
    let tree = place.create().await;
    let removed = tree::remove(&tree, &place.state(), false).await.unwrap();
    assert_eq!(removed, tree::Removed::default());
    assert!(!place.exists("tree") && !place.exists(".tree.growing"));
    assert_eq!(place.everything("source"), before);
    assert_eq!(place.run("source", &["worktree", "list"]).lines().count(), 1);
    assert_eq!(tree::remove(&tree, &place.state(), false).await.unwrap(), removed);
    place.create().await;
}

#[tokio::test]
async fn work_that_exists_nowhere_else_refuses_and_commits_keep_their_branch() {
    let place = Place::git();
    place.write("source/a.txt", "the user's, uncommitted\n");
    let tree = place.create().await;
    let state = place.state();
    assert_eq!(tree::unsaved(&tree, &state).await.unwrap(), tree::Unsaved::default());
    place.write("tree/c.txt", "agent\n");
    let commit = {
        place.run("tree", &["commit", "-q", "-m", "agent's", "c.txt"]);
        place.git_line("tree", &["rev-parse", "HEAD"])
    };
    place.write("tree/new", "n\n");
    let unsaved = tree::unsaved(&tree, &state).await.unwrap();
    assert_eq!(
        (names(&unsaved.uncommitted), unsaved.unmerged_commits),
        (vec!["new".to_owned()], 1)
    );
    let refused = tree::remove(&tree, &state, false).await;
    assert!(matches!(refused, Err(TreeError::Unsaved(u)) if u == unsaved));
    assert!(place.exists("tree/new"));
    let removed = tree::remove(&tree, &state, true).await.unwrap();
    assert_eq!(removed.kept_branch.as_deref(), Some("dwell/a1"));
    assert_eq!(place.git_line("source", &["rev-parse", "dwell/a1"]), commit);
    assert_eq!(place.read("source/a.txt"), "the user's, uncommitted\n");
    let again = place.create().await;
    assert_eq!(again.branch.as_deref(), Some("dwell/a1-2"));
}

#[tokio::test]
async fn a_merged_branch_goes() {
    let place = Place::git();
    let tree = place.create().await;
    place.write("tree/new", "n\n");
    place.commit("tree", "agent's");
    place.run("source", &["merge", "-q", "dwell/a1"]);
    let removed = tree::remove(&tree, &place.state(), false).await.unwrap();
    assert_eq!(removed.kept_branch, None);
    assert_eq!(place.run("source", &["branch", "--list", "dwell/*"]), "");
}

#[tokio::test]
async fn commits_on_a_detached_head_are_kept() {
    let place = Place::git();
    let tree = place.create().await;
    place.run("tree", &["checkout", "-q", "--detach"]);
    place.write("tree/new", "n\n");
    let commit = place.commit("tree", "detached");
    let removed = tree::remove(&tree, &place.state(), true).await.unwrap();
    assert!(removed.notes[0].contains("dwell/a1-detached"), "{:?}", removed.notes);
    assert_eq!(place.git_line("source", &["rev-parse", "dwell/a1-detached"]), commit);
}

#[tokio::test]
async fn read_only_directories_and_links_out_are_handled() {
    let place = Place::new();
    place.write("source/closed/file", "c");
    place.write("outside/file", "o");
    place.link("../outside", "source/out");
    place.mode("source/closed", 0o500);
    let tree = place.create().await;
    tree::remove(&tree, &place.state(), false).await.unwrap();
    assert!(!place.exists("tree") && place.exists("outside/file"));
    place.mode("source/closed", 0o700);
}

#[tokio::test]
async fn a_creation_that_was_cut_off_is_cleaned_up() {
    let place = Place::git();
    let tree = place.create().await;
    // As after a crash: registered and filled, not yet under its name.
    fs::create_dir(place.path(".tree.growing")).unwrap();
    fs::rename(place.path("tree"), place.path(".tree.growing/tree")).unwrap();
    place.run("source", &["worktree", "repair", "../.tree.growing/tree"]);
    tree::remove(&tree, &place.state(), true).await.unwrap();
    assert!(!place.exists(".tree.growing"));
    assert_eq!(place.run("source", &["worktree", "list"]).lines().count(), 1);
    assert_eq!(place.run("source", &["branch", "--list", "dwell/*"]), "");
    place.create_from("source", "tree", Start::Source, &[]).await.unwrap();
}

#[tokio::test]
async fn a_repeated_creation_takes_the_place_of_one_that_was_cut_off() {
    let place = Place::git();
    place.create().await;
    fs::create_dir(place.path(".tree.growing")).unwrap();
    fs::rename(place.path("tree"), place.path(".tree.growing/tree")).unwrap();
    place.run("source", &["worktree", "repair", "../.tree.growing/tree"]);
    let tree = place.create().await;
    assert_eq!(tree.branch.as_deref(), Some("dwell/a1"));
    assert_eq!(place.run("source", &["worktree", "list"]).lines().count(), 2);
}

#[tokio::test]
async fn files_that_do_not_go_are_named() {
    let place = Place::git();
    let tree = place.create().await;
    place.write("tree/data/file", "d");
    let file = place.path("tree/data");
    let set = |flag: &str| std::process::Command::new("chattr").arg(flag).arg(&file).status();
    if !set("+i").is_ok_and(|status| status.success()) {
        return; // Needs root and a file system with flags.
    }
    let result = tree::remove(&tree, &place.state(), true).await;
    set("-i").unwrap();
    let Err(TreeError::Undeletable { paths, .. }) = result else { panic!("{result:?}") };
    assert!(paths[0].ends_with("tree/data/file"), "{paths:?}");
    tree::remove(&tree, &place.state(), true).await.unwrap();
    assert!(!place.exists("tree"));
}
