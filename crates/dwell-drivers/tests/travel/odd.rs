//! Sources that are not plain repositories with plain files.

use std::fs;
use std::os::unix::fs::PermissionsExt;

use dwell_drivers::git::ObjectFormat;
use dwell_drivers::tree::travel::{Source, Store, TravelError};

use crate::node::Way;
use crate::support::{Place, names};

#[tokio::test]
async fn odd_names_links_and_modes_arrive_as_they_are() {
    let place = Place::git();
    for name in ["a b", "new\nline", "-dash", "größe", "tab\t", "quo\"te", "back\\slash", ":(top)x"]
    {
        place.write(&format!("source/odd/{name}"), name);
        place.write(&format!("source/later/{name}"), name);
    }
    place.mode("source/odd/-dash", 0o755);
    place.link("a.txt", "source/link");
    place.link("/nowhere/at all", "source/odd/dangling");
    place.link("dir", "source/directory link");
    place.run("source", &["add", "odd", "link"]);
    place.run("source", &["commit", "-q", "-m", "odd"]);
    let way = Way::of(place);
    let tree = way.create().await;
    let place = &way.place;
    let files = |name: &str| {
        let mut all = place.everything(name);
        all.retain(|key, _| key.starts_with("file "));
        all
    };
    assert_eq!(files(&way.tree()), files("source"));
    fs::remove_file(place.path("source/odd/new\nline")).unwrap();
    fs::remove_file(place.path("source/link")).unwrap();
    place.write("source/link/file", "a directory now\n");
    place.write("source/odd/größe", "changed\n");
    let applied = way.sync(&tree, false).await.unwrap();
    let changed = names(&applied.report.files);
    assert_eq!(changed, ["link", "link/file", "odd/größe", "odd/new\nline"]);
    assert_eq!(files(&way.tree()), files("source"));
}

#[tokio::test]
async fn a_project_in_a_subdirectory_brings_its_repository() {
    let place = Place::git();
    place.write("source/app/compose.yaml", "services: {}\n");
    place.write("source/app/.dwellignore", "cache/\n");
    place.commit("source", "app");
    place.write("source/app/cache/x", "x\n");
    place.write("source/app/new", "x\n");
    place.write("source/cache/x", "x\n");
    let mut way = Way::of(place);
    way.project = "source/app".into();
    let tree = way.create().await;
    assert_eq!(tree.project_dir, way.tree_path().join("app"));
    assert_eq!(way.place.status(&way.tree()), "?? app/new\n?? cache/x\n");
}

#[tokio::test]
async fn a_directory_that_a_repository_only_surrounds_is_no_git_source() {
    let place = Place::git();
    place.write("source/ignored/x", "x\n");
    fs::create_dir(place.path("plain")).unwrap();
    for directory in ["source/ignored", "plain"] {
        let source = Source::open(&place.path(directory), &place.path("state"), &[]).await;
        assert!(source.unwrap().is_none(), "{directory}");
    }
}

#[tokio::test]
async fn a_source_that_is_a_worktree_arrives_with_its_own_branch_and_changes() {
    let place = Place::git();
    place.run("source", &["worktree", "add", "-q", "-b", "other", "../linked", "HEAD~1"]);
    place.write("linked/b", "b\n");
    place.write("source/a.txt", "not this\n");
    let mut way = Way::of(place);
    way.project = "linked".into();
    let tree = way.create().await;
    let first = way.place.git_line("source", &["rev-parse", "HEAD~1"]);
    assert_eq!(tree.base_commit, Some(first));
    assert_eq!(way.place.status(&way.tree()), "?? b\n");
    assert_eq!(way.place.read(&format!("{}/a.txt", way.tree())), "one\ntwo\nthree\n");
    way.pull(&tree, false).await.unwrap();
    assert_eq!(way.place.git_line("linked", &["branch", "--show-current"]), "other");
}

#[tokio::test]
async fn what_stays_behind_is_told() {
    let place = Place::git();
    place.init("library");
    place.write("library/l", "l\n");
    place.commit("library", "library");
    place.run("source", &["submodule", "add", "-q", "../library", "sub"]);
    place.write("source/.gitattributes", "*.bin filter=lfs\n");
    place.run("source", &["config", "filter.lfs.clean", "echo pointer; cat >/dev/null"]);
    place.write("source/big.bin", "content\n");
    place.commit("source", "more");
    place.init("source/vendor");
    place.write("source/vendor/v", "v\n");
    place.commit("source/vendor", "v");
    let way = Way::of(place);
    let notes = way.offer().await.notes;
    let told = |words: &str| notes.iter().any(|note| note.contains(words));
    assert!(told("submodule sub is not sent"), "{notes:?}");
    assert!(told("vendor/ is a repository of its own"), "{notes:?}");
    assert!(told("big.bin is kept by Git LFS"), "{notes:?}");
    way.create().await;
    let tree = way.tree();
    assert_eq!(way.place.read(&format!("{tree}/big.bin")), "pointer\n");
    assert!(way.place.path(&format!("{tree}/sub")).is_dir());
    assert_eq!(way.place.status(&tree), "");
}

#[tokio::test]
async fn rules_leave_untracked_files_out_and_never_tracked_ones() {
    let mut way = Way::git();
    let place = &way.place;
    place.write("source/.dwellignore", "*.log\n/data/\n!keep.log\na.txt\n[\n");
    for name in ["x.log", "deep/x.log", "keep.log", "data/x", "deep/data/x", "secret/x"] {
        place.write(&format!("source/{name}"), "x\n");
    }
    way.exclude = vec!["secret".into()];
    let notes = way.offer().await.notes;
    assert!(notes.iter().any(|note| note.contains("`[`")), "{notes:?}");
    way.create().await;
    let status = way.place.status(&way.tree());
    assert_eq!(status, " M a.txt\n?? .dwellignore\n?? deep/data/x\n?? keep.log\n?? notes\n");
}

#[tokio::test]
async fn a_source_in_the_middle_of_a_merge_is_sent_with_its_files() {
    let place = Place::git();
    place.run("source", &["checkout", "-q", "-b", "other"]);
    place.write("source/a.txt", "other\n");
    place.commit("source", "other");
    place.run("source", &["checkout", "-q", "main"]);
    place.write("source/a.txt", "main\n");
    place.commit("source", "main");
    place.try_run("source", &["merge", "other"]);
    let way = Way::of(place);
    let before = way.place.everything("source");
    let notes = way.offer().await.notes;
    assert!(notes[0].contains("in the middle of a merge"), "{notes:?}");
    way.create().await;
    assert_eq!(before, way.place.everything("source"));
    assert_eq!(way.place.status(&way.tree()), " M a.txt\n");
    assert!(way.place.read(&format!("{}/a.txt", way.tree())).contains("<<<<<<<"));
}

#[tokio::test]
async fn a_shallow_source_arrives_shallow_and_goes_on() {
    let place = Place::git();
    place.write("source/more", "more\n");
    place.commit("source", "third");
    let url = format!("file://{}", place.path("source").display());
    fs::create_dir(place.path("clones")).unwrap();
    place.run("clones", &["clone", "-q", "--depth=1", &url, "shallow"]);
    let mut way = Way::of(place);
    way.project = "clones/shallow".into();
    let tree = way.create().await;
    assert_eq!(way.place.git_line(&way.tree(), &["log", "--format=%s"]), "third");
    way.place.write("clones/shallow/a.txt", "later\n");
    way.place.run(
        "clones/shallow",
        &["-c", "user.name=T", "-c", "user.email=t@t", "commit", "-qam", "fourth"],
    );
    way.sync(&tree, false).await.unwrap();
    assert_eq!(way.place.git_line(&way.tree(), &["log", "--format=%s"]), "fourth\nthird");
    way.place.run(&way.tree(), &["fsck"]);
    // A whole clone of the same project works with the same store.
    way.name = "a2".parse().unwrap();
    way.project = "source".into();
    way.create().await;
}

#[tokio::test]
async fn tags_arrive_also_later_and_moved() {
    let way = Way::git();
    way.place.run("source", &["tag", "v1", "HEAD~1"]);
    way.place.run("source", &["tag", "-a", "v2", "-m", "second", "HEAD"]);
    let tree = way.create().await;
    let describe = |way: &Way| way.place.git_line(&way.tree(), &["describe", "--tags"]);
    assert_eq!(describe(&way), "v2");
    way.place.run("source", &["tag", "-d", "v2"]);
    way.place.run("source", &["tag", "-f", "v1", "HEAD"]);
    way.place.run("source", &["tag", "-a", "v3", "-m", "third", "HEAD~1"]);
    assert!(!way.sync(&tree, false).await.unwrap().nothing_to_do);
    assert_eq!(way.place.git_line(&way.tree(), &["rev-parse", "v1"]), tree.base_commit.unwrap());
    assert_eq!(way.place.git_line(&way.tree(), &["cat-file", "-t", "v3"]), "tag");
}

#[tokio::test]
async fn objects_may_be_named_by_sha256() {
    let place = Place::new();
    fs::create_dir(place.path("source")).unwrap();
    place.run("source", &["init", "-q", "-b", "main", "--object-format=sha256"]);
    place.write("source/a", "a\n");
    let way = Way::of(place);
    let store = way.place.path("node/store.git");
    Store::open(&store, ObjectFormat::Sha256).await.unwrap();
    let wrong = Store::open(&store, ObjectFormat::Sha1).await;
    assert!(matches!(wrong, Err(TravelError::Format { .. })), "{wrong:?}");
    let (source, store) =
        (way.source().await, Store::open(&store, ObjectFormat::Sha256).await.unwrap());
    let offer = source.offer().await.unwrap().offer;
    assert_eq!(offer.format, ObjectFormat::Sha256);
    let mut bytes = Vec::new();
    source.send(&offer, &Default::default(), &mut bytes).await.unwrap();
    assert_eq!(store.receive(&way.name, &bytes[..], None).await.unwrap().offer, offer);
}

#[tokio::test]
async fn dwells_own_state_inside_the_source_is_not_sent() {
    let place = Place::git();
    let state = place.path("source/own/state");
    let source = Source::open(&place.path("source"), &state, &[]).await.unwrap().unwrap();
    let first = source.offer().await.unwrap().offer;
    let listed = place.run("source", &["ls-tree", "-r", "--name-only", "HEAD"]);
    assert!(!listed.contains("own"));
    let mode = fs::metadata(&state).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o700);
    place.write("source/own/state/other", "x\n");
    assert_eq!(source.offer().await.unwrap().offer, first);
}
