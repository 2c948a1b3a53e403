//! Repositories in unusual states.

use std::fs;

use dwell_drivers::tree::{self, MergeOptions, Start, TreeKind};

use crate::support::Place;

#[tokio::test]
async fn a_repository_without_commits() {
    let place = Place::new();
    place.init("source");
    place.write("source/a.txt", "a\n");
    place.write("source/b.txt", "b\n");
    place.run("source", &["add", "a.txt"]);
    let tree = place.create().await;
    assert_eq!(tree.kind, TreeKind::Worktree);
    assert_eq!(place.status("tree"), place.status("source"));
    place.commit("tree", "first");
    assert!(!place.try_run("source", &["rev-parse", "--verify", "-q", "HEAD"]).0);
    let report = tree::merge(&tree, &place.state(), &MergeOptions::default()).await.unwrap();
    assert_eq!(report.commits, 1);
    assert_eq!(place.status("source"), "");
    assert_eq!(place.git_line("source", &["log", "--format=%s", "main"]), "first");
}

#[tokio::test]
async fn a_detached_head() {
    let place = Place::git();
    place.run("source", &["checkout", "-q", "--detach", "HEAD~1"]);
    let before = place.git_line("source", &["rev-parse", "HEAD"]);
    let tree = place.create().await;
    assert_eq!(tree.base_commit.as_ref(), Some(&before));
    place.write("tree/new", "x");
    place.commit("tree", "new");
    assert_eq!(place.git_line("source", &["rev-parse", "HEAD"]), before);
}

#[tokio::test]
async fn a_source_in_the_middle_of_a_merge() {
    let place = Place::git();
    place.run("source", &["checkout", "-q", "-b", "other", "HEAD~1"]);
    place.write("source/a.txt", "other\n");
    place.commit("source", "other");
    place.run("source", &["checkout", "-q", "main"]);
    place.write("source/a.txt", "main\n");
    place.commit("source", "main");
    assert!(!place.try_run("source", &["merge", "-q", "other"]).0);
    let before = place.everything("source");
    let tree = place.create().await;
    assert!(tree.notes[0].contains("in the middle of a merge"), "{:?}", tree.notes);
    assert!(place.read("tree/a.txt").contains("<<<<<<<"));
    assert_eq!(place.status("tree"), " M a.txt\n");
    assert_eq!(place.everything("source")["index"], before["index"]);
    let merged = tree::merge(&tree, &place.state(), &MergeOptions::default()).await;
    assert!(merged.unwrap_err().to_string().contains("in the middle of a merge"));
}

#[tokio::test]
async fn submodules_are_usable_and_independent() {
    let place = Place::git();
    place.init("library");
    place.write("library/lib.c", "int x;\n");
    place.commit("library", "library");
    let library = place.path("library").display().to_string();
    place.run("source", &["submodule", "add", "-q", &library, "vendor/lib"]);
    place.run("source", &["submodule", "add", "-q", &library, "vendor/absent"]);
    place.commit("source", "submodules");
    place.run("source", &["submodule", "deinit", "-q", "-f", "vendor/absent"]);
    place.write("source/vendor/lib/lib.c", "int dirty;\n");
    fs::rename(place.path("library"), place.path("library-is-offline")).unwrap();
    let before = place.git_line("source/vendor/lib", &["rev-parse", "HEAD"]);

    let tree = place.create().await;

    assert_eq!(place.read("tree/vendor/lib/lib.c"), "int dirty;\n");
    assert_eq!(place.status("tree"), place.status("source"));
    assert_eq!(place.status("tree/vendor/lib"), " M lib.c\n");
    assert!(place.path("tree/vendor/lib/.git").is_dir());
    place.run("tree/vendor/lib", &["config", "user.name", "Test"]);
    place.run("tree/vendor/lib", &["config", "user.email", "test@localhost"]);
    place.commit("tree/vendor/lib", "in the tree");
    assert_eq!(place.git_line("source/vendor/lib", &["rev-parse", "HEAD"]), before);
    assert_eq!(place.read("source/vendor/lib/lib.c"), "int dirty;\n");
    place.run("tree/vendor/lib", &["checkout", "-q", "HEAD~1"]);
    assert_eq!(place.read("source/vendor/lib/lib.c"), "int dirty;\n");
    place.run("tree/vendor/lib", &["checkout", "-q", "-"]);
    let unsaved = tree::unsaved(&tree, &place.state()).await.unwrap();
    assert_eq!(unsaved.submodules, [std::path::PathBuf::from("vendor/lib")]);
    tree::remove(&tree, &place.state(), true).await.unwrap();
    assert!(!place.exists("tree"));
}

#[tokio::test]
async fn a_source_that_is_itself_a_submodule() {
    let place = Place::git();
    place.init("library");
    place.write("library/lib.c", "int x;\n");
    place.commit("library", "library");
    let library = place.path("library").display().to_string();
    place.run("source", &["submodule", "add", "-q", &library, "lib"]);
    place.commit("source", "submodule");
    let tree = place.create_from("source/lib", "tree", Start::Source, &[]).await.unwrap();
    assert_eq!(tree.kind, TreeKind::Worktree);
    let before = place.everything("source/lib");
    place.run("tree", &["config", "user.name", "Test"]);
    place.run("tree", &["config", "user.email", "test@localhost"]);
    place.write("tree/lib.c", "int y;\n");
    place.commit("tree", "new");
    assert_eq!(place.everything("source/lib")["file lib.c"], before["file lib.c"]);
    assert_eq!(place.status("source/lib"), "");
}

#[tokio::test]
async fn line_ends_and_filters_give_the_same_bytes() {
    let place = Place::git();
    place.run("source", &["config", "core.autocrlf", "true"]);
    place.write("source/crlf.txt", "a\r\nb\r\n");
    place.write("source/.gitattributes", "*.bin filter=lfs diff=lfs merge=lfs -text\n");
    place.write("source/large.bin", "version https://git-lfs.github.com/spec/v1\n");
    place.commit("source", "crlf");
    place.create().await;
    assert_eq!(place.read("tree/crlf.txt"), "a\r\nb\r\n");
    assert_eq!(place.read("tree/large.bin"), place.read("source/large.bin"));
    assert_eq!(place.status("tree"), "");
}

#[tokio::test]
async fn a_sparse_checkout_stays_sparse() {
    for sparse_index in ["--no-sparse-index", "--sparse-index"] {
        let place = Place::git();
        place.write("source/deep/er/x.txt", "x\n");
        place.commit("source", "deep");
        place.run("source", &["sparse-checkout", "set", "--cone", sparse_index, "dir"]);
        assert!(!place.exists("source/deep"));
        place.create().await;
        assert!(!place.exists("tree/deep") && place.exists("tree/dir/b.txt"));
        assert_eq!(place.status("tree"), "");
    }
}

#[tokio::test]
async fn index_formats_that_git_offers() {
    for (setting, value) in
        [("index.version", "4"), ("core.splitIndex", "true"), ("core.untrackedCache", "true")]
    {
        let place = Place::git();
        place.run("source", &["config", setting, value]);
        place.write("source/staged", "s\n");
        place.run("source", &["add", "staged"]);
        place.run("source", &["update-index", "--force-write-index"]);
        place.write("source/dir/b.txt", "dirty\n");
        place.create().await;
        assert_eq!(place.read("tree/dir/b.txt"), "dirty\n");
        assert!(place.exists("tree/staged"), "{setting}");
        let changed = place.status("tree");
        assert!(changed.contains(" M dir/b.txt") && changed.lines().count() == 2, "{changed}");
    }
}

#[tokio::test]
async fn a_repository_with_sha256_names() {
    let place = Place::new();
    fs::create_dir_all(place.path("source")).unwrap();
    place.run("source", &["init", "-q", "-b", "main", "--object-format=sha256"]);
    place.run("source", &["config", "user.name", "Test"]);
    place.run("source", &["config", "user.email", "test@localhost"]);
    place.write("source/a.txt", "a\n");
    place.commit("source", "first");
    place.write("source/a.txt", "dirty\n");
    let tree = place.create().await;
    assert_eq!(place.status("tree"), " M a.txt\n");
    assert!(tree::unsaved(&tree, &place.state()).await.unwrap().uncommitted.is_empty());
}

#[tokio::test]
async fn a_bare_repository_and_a_worktree_of_one() {
    let place = Place::git();
    place.run("source", &["clone", "-q", "--bare", ".", "../bare.git"]);
    let tree = place.create_from("bare.git", "tree", Start::Source, &[]).await.unwrap();
    assert_eq!(tree.kind, TreeKind::Worktree);
    assert_eq!(place.status("tree"), "");
    place.run("bare.git", &["worktree", "add", "-q", "../main", "main"]);
    place.write("main/dirty", "d");
    place.create_from("main", "second", Start::Source, &[]).await.unwrap();
    assert_eq!(place.status("second"), "?? dirty\n");
}

#[tokio::test]
async fn a_directory_that_became_a_link_is_not_followed() {
    let place = Place::git();
    place.write("outside/b.txt", "outside\n");
    fs::remove_dir_all(place.path("source/dir")).unwrap();
    place.link("../outside", "source/dir");
    place.create().await;
    assert!(fs::symlink_metadata(place.path("tree/dir")).unwrap().is_symlink());
    assert_eq!(place.status("tree"), place.status("source"));
}

#[tokio::test]
async fn inherited_git_variables_steer_nothing() {
    // The variables are set for a child, since other tests share this process.
    let exe = std::env::current_exe().unwrap();
    let place = Place::git();
    let output = std::process::Command::new(exe)
        .args(["--exact", "worktrees::a_git_project_gets_a_worktree_with_its_own_branch"])
        .env("GIT_TEST_CANARY", "1")
        .env("GIT_CEILING_DIRECTORIES", "/")
        .current_dir(place.path("source"))
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stdout));
}

#[tokio::test]
async fn the_tree_may_lie_inside_the_source() {
    let place = Place::git();
    let inside = place.create_from("source", "source/trees/a1", Start::Source, &[]).await.unwrap();
    assert!(!place.exists("source/trees/a1/trees"));
    let second = place.create_from("source", "source/trees/a2", Start::Source, &[]).await.unwrap();
    assert!(!place.exists("source/trees/a2/trees/a2"));
    assert_ne!(inside.branch, second.branch);
}
