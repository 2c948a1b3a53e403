//! Work that goes back and forth between a tree and its source.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use dwell_drivers::tree::{self, DiffOptions, MergeOptions, Tree, TreeError};

use crate::support::{Place, names};

async fn diff(place: &Place, tree: &Tree, options: DiffOptions) -> String {
    String::from_utf8(tree::diff(tree, &place.state(), options).await.unwrap()).unwrap()
}

async fn merge(place: &Place, tree: &Tree) -> Result<tree::MergeReport, TreeError> {
    tree::merge(tree, &place.state(), &MergeOptions::default()).await
}

fn plain() -> Place {
    let place = Place::new();
    place.write("source/a.txt", "one\n");
    place.write("source/dir/b.txt", "b\n");
    place.write("source/c.txt", "c\n");
    place
}

#[tokio::test]
async fn a_diff_shows_all_work_and_writes_nothing() {
    let place = Place::git();
    let tree = place.create().await;
    place.write("tree/a.txt", "one\nagent\nthree\n");
    place.commit("tree", "agent's");
    place.write("tree/c.txt", "uncommitted\n");
    place.write("tree/new\nfile", "untracked\n");
    fs::remove_file(place.path("tree/dir/b.txt")).unwrap();
    let objects = |place: &Place| place.run("source", &["count-objects", "-v"]);
    let before = (place.everything("source"), place.everything("tree"), objects(&place));
    let text = diff(&place, &tree, DiffOptions::default()).await;
    for line in ["-two", "+agent", "+uncommitted", "+untracked", "deleted file mode"] {
        assert!(text.contains(line), "{line} in {text}");
    }
    let names = diff(&place, &tree, DiffOptions { name_only: true, ..Default::default() }).await;
    assert_eq!(names.lines().count(), 4, "{names}");
    let stat = diff(&place, &tree, DiffOptions { stat: true, ..Default::default() }).await;
    assert!(stat.contains("4 files changed"), "{stat}");
    let color = diff(&place, &tree, DiffOptions { color: true, ..Default::default() }).await;
    assert!(color.contains("\u{1b}["));
    assert_eq!(before, (place.everything("source"), place.everything("tree"), objects(&place)));
}

#[tokio::test]
async fn a_diff_without_changes_is_empty_also_when_the_source_moved_on() {
    let place = Place::git();
    let tree = place.create().await;
    place.write("source/a.txt", "source moved\n");
    place.commit("source", "moved");
    assert_eq!(diff(&place, &tree, DiffOptions::default()).await, "");
}

#[tokio::test]
async fn a_merge_brings_commits_and_keeps_the_sources_own_work() {
    let place = Place::git();
    place.write("source/a.txt", "one\ntwo\nthree, by the user\n");
    place.write("source/notes", "the user's\n");
    let tree = place.create().await;
    place.write("tree/dir/b.txt", "agent\n");
    place.run("tree", &["commit", "-q", "-m", "agent's", "dir/b.txt"]);
    let report = merge(&place, &tree).await.unwrap();
    assert_eq!((report.commits, names(&report.files)), (1, vec!["dir/b.txt".to_owned()]));
    assert_eq!(place.read("source/dir/b.txt"), "agent\n");
    assert_eq!(place.read("source/a.txt"), "one\ntwo\nthree, by the user\n");
    assert_eq!(place.status("source"), " M a.txt\n?? notes\n");
    assert_eq!(place.git_line("source", &["branch", "--show-current"]), "main");
    let again = merge(&place, &tree).await.unwrap();
    assert_eq!((again.commits, again.files), (0, vec![]));
}

#[tokio::test]
async fn diverged_histories_merge_with_two_parents_or_squash() {
    for squash in [false, true] {
        let place = Place::git();
        let tree = place.create().await;
        place.write("tree/a.txt", "agent\ntwo\nthree\n");
        place.commit("tree", "agent's");
        place.write("source/a.txt", "one\ntwo\nuser\n");
        place.commit("source", "user's");
        let options =
            MergeOptions { squash, message: Some("take it".into()), ..Default::default() };
        tree::merge(&tree, &place.state(), &options).await.unwrap();
        assert_eq!(place.read("source/a.txt"), "agent\ntwo\nuser\n");
        assert_eq!(place.status("source"), "");
        let parents = place.git_line("source", &["log", "-1", "--format=%P %s"]);
        assert_eq!(parents.split(' ').count(), if squash { 3 } else { 4 }, "{parents}");
        assert!(parents.ends_with("take it"));
        assert!(!place.exists("source/.git/MERGE_HEAD"));
    }
}

#[tokio::test]
async fn uncommitted_work_refuses_a_merge_or_is_committed_when_asked() {
    let place = Place::git();
    place.write("source/notes", "the user's\n");
    let tree = place.create().await;
    place.write("tree/a.txt", "agent\n");
    place.write("tree/new", "n\n");
    let before = (place.everything("source"), place.everything("tree"));
    let Err(TreeError::Uncommitted { paths }) = merge(&place, &tree).await else { panic!() };
    assert_eq!(names(&paths), ["a.txt", "new"]);
    assert_eq!(before, (place.everything("source"), place.everything("tree")));
    let options = MergeOptions { commit: Some("agent's".into()), ..Default::default() };
    let report = tree::merge(&tree, &place.state(), &options).await.unwrap();
    assert_eq!(names(&report.files), ["a.txt", "new"]);
    // What came from the source uncommitted stays uncommitted on both sides.
    assert_eq!(place.status("source"), "?? notes\n");
    assert_eq!(place.status("tree"), "?? notes\n");
    assert_eq!(place.git_line("tree", &["log", "-1", "--format=%s"]), "agent's");
}

#[tokio::test]
async fn a_conflict_changes_nothing_and_names_the_files() {
    let place = Place::git();
    let tree = place.create().await;
    place.write("tree/a.txt", "agent\n");
    place.commit("tree", "agent's");
    place.write("source/a.txt", "user\n");
    place.commit("source", "user's");
    let before = (place.everything("source"), place.everything("tree"));
    let Err(TreeError::Conflicts { paths }) = merge(&place, &tree).await else { panic!() };
    assert_eq!(paths, [PathBuf::from("a.txt")]);
    let result = tree::sync(&tree, &place.state()).await;
    assert!(matches!(result, Err(TreeError::Conflicts { .. })));
    assert_eq!(before, (place.everything("source"), place.everything("tree")));
    assert!(!place.exists("source/.git/MERGE_HEAD"));
    let options = MergeOptions { keep_conflicts: true, ..Default::default() };
    let kept = tree::merge(&tree, &place.state(), &options).await;
    assert!(matches!(kept, Err(TreeError::Kept { .. })), "{kept:?}");
    assert!(place.exists("source/.git/MERGE_HEAD"));
}

#[tokio::test]
async fn local_changes_of_the_source_that_disagree_refuse_a_merge() {
    let place = Place::git();
    let tree = place.create().await;
    place.write("tree/a.txt", "agent\n");
    place.write("tree/new", "agent\n");
    place.commit("tree", "agent's");
    for (name, text) in [("source/a.txt", "user\n"), ("source/new", "user\n")] {
        place.write(name, text);
        let before = place.everything("source");
        let result = merge(&place, &tree).await;
        assert!(matches!(result, Err(TreeError::Conflicts { .. })), "{result:?}");
        assert_eq!(before, place.everything("source"));
        place.run("source", &["checkout", "-q", "a.txt"]);
    }
}

#[tokio::test]
async fn an_ignored_file_of_the_source_is_never_overwritten() {
    let place = Place::git();
    let tree = place.create().await;
    place.write("source/.env", "the user's\n");
    place.write("tree/.env", "agent\n");
    place.run("tree", &["add", "-f", ".env"]);
    place.run("tree", &["commit", "-q", "-m", "env"]);
    assert!(matches!(merge(&place, &tree).await, Err(TreeError::Conflicts { .. })));
    assert_eq!(place.read("source/.env"), "the user's\n");
}

#[tokio::test]
async fn work_that_came_from_the_source_uncommitted_may_go_on_there() {
    let place = Place::git();
    place.write("source/a.txt", "one\ntwo\nbegun by the user\n");
    let tree = place.create().await;
    place.write("tree/a.txt", "one\ntwo\nbegun by the user, ended by the agent\n");
    place.commit("tree", "agent's");
    merge(&place, &tree).await.unwrap();
    assert_eq!(place.read("source/a.txt"), "one\ntwo\nbegun by the user, ended by the agent\n");
    assert_eq!(place.status("source"), "");
}

#[tokio::test]
async fn a_sync_brings_commits_and_uncommitted_work_and_keeps_the_environments() {
    let place = Place::git();
    place.write("source/notes", "first\n");
    let tree = place.create().await;
    place.write("tree/dir/b.txt", "agent, committed\n");
    place.commit("tree", "agent's");
    place.write("tree/c.txt", "agent, uncommitted\n");
    place.write("source/a.txt", "one\ntwo\nuser, committed\n");
    place.run("source", &["commit", "-q", "-m", "user's", "a.txt"]);
    place.write("source/notes", "second\n");
    place.write("source/run.sh", "#!/bin/sh\nuser, uncommitted\n");
    let before = place.everything("source");
    let report = tree::sync(&tree, &place.state()).await.unwrap();
    assert_eq!(report.commits, 1);
    assert_eq!(names(&report.files), ["a.txt", "notes", "run.sh"]);
    let mut after = place.everything("source");
    after.insert("refs".into(), before["refs"].clone());
    assert_eq!(before, after);
    assert_eq!(place.read("tree/a.txt"), "one\ntwo\nuser, committed\n");
    assert_eq!(place.read("tree/dir/b.txt"), "agent, committed\n");
    assert_eq!(place.read("tree/c.txt"), "agent, uncommitted\n");
    // The environment committed the first notes; the second text is an uncommitted change.
    assert_eq!(place.status("tree"), " M c.txt\n M notes\n M run.sh\n");
    let again = tree::sync(&tree, &place.state()).await.unwrap();
    assert_eq!((again.commits, again.files), (0, vec![]));
}

#[tokio::test]
async fn a_sync_of_what_was_uncommitted_and_is_committed_now_is_no_conflict() {
    let place = Place::git();
    place.write("source/a.txt", "user's work\n");
    let tree = place.create().await;
    place.commit("source", "user's");
    tree::sync(&tree, &place.state()).await.unwrap();
    assert_eq!(place.status("tree"), "");
    let heads = ["source", "tree"].map(|name| place.git_line(name, &["rev-parse", "HEAD"]));
    assert_eq!(heads[0], heads[1]);
}

#[tokio::test]
async fn merge_and_sync_may_alternate() {
    let place = Place::git();
    let tree = place.create().await;
    for round in 0..4 {
        place.write(&format!("tree/agent-{round}"), "x\n");
        place.commit("tree", "agent's");
        place.write(&format!("source/user-{round}"), "x\n");
        if round % 2 == 0 {
            place.commit("source", "user's");
        }
        merge(&place, &tree).await.unwrap();
        tree::sync(&tree, &place.state()).await.unwrap();
        assert!(place.exists(&format!("tree/user-{round}")));
        assert!(place.exists(&format!("source/agent-{round}")));
    }
    place.run("source", &["fsck", "--no-dangling"]);
    place.run("tree", &["fsck", "--no-dangling"]);
    let refs = place.run("source", &["for-each-ref", "--format=%(refname)"]);
    assert_eq!(refs, "refs/heads/dwell/a1\nrefs/heads/main\n");
}

#[tokio::test]
async fn a_copied_directory_is_compared_merged_and_synced() {
    let place = plain();
    let tree = place.create().await;
    place.write("tree/a.txt", "agent\n");
    place.write("tree/new/file", "n\n");
    fs::remove_file(place.path("tree/c.txt")).unwrap();
    place.write("source/dir/b.txt", "user\n");
    let text = diff(&place, &tree, DiffOptions::default()).await;
    for line in ["a/a.txt", "-one", "+agent", "b/new/file", "deleted file"] {
        assert!(text.contains(line), "{line} in {text}");
    }
    assert!(!text.contains("user"), "{text}");
    let unsaved = tree::unsaved(&tree, &place.state()).await.unwrap();
    assert_eq!(names(&unsaved.uncommitted), ["a.txt", "c.txt", "new/file"]);
    let report = merge(&place, &tree).await.unwrap();
    assert_eq!(names(&report.files), ["a.txt", "c.txt", "new", "new/file"]);
    assert_eq!(
        (place.read("source/a.txt"), place.read("source/dir/b.txt")),
        ("agent\n".into(), "user\n".into())
    );
    assert!(place.exists("source/new/file") && !place.exists("source/c.txt"));
    let report = tree::sync(&tree, &place.state()).await.unwrap();
    assert_eq!(names(&report.files), ["dir/b.txt"]);
    assert_eq!(diff(&place, &tree, DiffOptions::default()).await, "");
    assert!(tree::unsaved(&tree, &place.state()).await.unwrap().uncommitted.is_empty());
}

#[tokio::test]
async fn a_conflict_of_copied_directories_changes_nothing() {
    let place = plain();
    let tree = place.create().await;
    place.write("tree/a.txt", "agent\n");
    place.write("tree/c.txt", "agent\n");
    place.write("source/a.txt", "user\n");
    for sync in [false, true] {
        let result = match sync {
            false => merge(&place, &tree).await,
            true => tree::sync(&tree, &place.state()).await,
        };
        let Err(TreeError::Conflicts { paths }) = result else { panic!("{result:?}") };
        assert_eq!(names(&paths), ["a.txt"]);
    }
    assert_eq!(
        (place.read("source/a.txt"), place.read("source/c.txt")),
        ("user\n".into(), "c\n".into())
    );
    assert_eq!(place.read("tree/a.txt"), "agent\n");
    place.write("source/a.txt", "agent\n");
    merge(&place, &tree).await.unwrap();
}

#[tokio::test]
async fn an_emptied_or_lost_side_deletes_nothing() {
    let place = plain();
    let tree = place.create().await;
    fs::rename(place.path("source"), place.path("away")).unwrap();
    assert!(matches!(tree::sync(&tree, &place.state()).await, Err(TreeError::NoTree { .. })));
    assert!(place.exists("tree/a.txt"));
    fs::rename(place.path("away"), place.path("source")).unwrap();
    fs::rename(place.path("tree"), place.path("away")).unwrap();
    assert!(matches!(merge(&place, &tree).await, Err(TreeError::NoTree { .. })));
    assert!(place.exists("source/a.txt"));
}

#[tokio::test]
async fn a_change_of_the_same_size_in_the_second_of_the_last_look_is_seen() {
    let place = Place::git();
    let tree = place.create().await;
    // Everything happened in one second, some time ago: to git, which compares whole seconds, the
    // file looks as it did, and only the time of the index tells that it must be read.
    place.run("source", &["config", "core.trustctime", "false"]);
    let then = SystemTime::now() - Duration::from_secs(60);
    let at_once = |path: &Path| {
        fs::File::options().write(true).open(path).unwrap().set_modified(then).unwrap();
    };
    at_once(&place.path("tree/c.txt"));
    place.run("tree", &["update-index", "-q", "--refresh"]);
    place.write("tree/c.txt", "d\n");
    at_once(&place.path("tree/c.txt"));
    let index =
        place.git_line("tree", &["rev-parse", "--path-format=absolute", "--git-path", "index"]);
    at_once(Path::new(&index));
    assert_eq!(place.status("tree"), " M c.txt\n");
    let all = DiffOptions { name_only: true, ..Default::default() };
    assert_eq!(diff(&place, &tree, all).await, "c.txt\n");
}
