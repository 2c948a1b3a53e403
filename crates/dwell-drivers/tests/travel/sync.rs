//! Later: what is new is brought into the tree, and what the environment did there stays.

use std::fs;

use dwell_drivers::tree::TreeError;
use dwell_drivers::tree::travel::{self, TravelError};

use crate::node::Way;
use crate::support::{Place, names};

fn conflicts(result: Result<travel::Applied, TravelError>) -> Vec<String> {
    match result {
        Err(TravelError::Tree(TreeError::Conflicts { paths })) => names(&paths),
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn new_commits_and_new_uncommitted_work_are_taken() {
    let way = Way::git();
    let tree = way.create().await;
    let place = &way.place;
    let name = way.tree();
    place.write(&format!("{name}/agent"), "made there\n");
    place.write(&format!("{name}/ignored/cache"), "made there\n");
    place.commit("source", "third");
    place.write("source/dir/b.txt", "uncommitted\n");
    fs::remove_file(place.path("source/c.txt")).unwrap();
    let applied = way.sync(&tree, false).await.unwrap();
    assert_eq!(names(&applied.report.files), ["c.txt", "dir/b.txt"]);
    assert_eq!((applied.report.commits, applied.nothing_to_do), (1, false));
    assert_eq!(place.status(&name), " D c.txt\n M dir/b.txt\n?? agent\n");
    assert_eq!(place.git_line(&name, &["log", "-1", "--format=%s"]), "third");
    assert!(place.exists(&format!("{name}/ignored/cache")));
    let again = way.sync(&tree, false).await.unwrap();
    assert!(again.nothing_to_do && again.report.files.is_empty());
    let offer = way.offer().await.offer;
    assert!(travel::is_current(&tree, &way.state(), &offer).unwrap());
}

#[tokio::test]
async fn only_missing_objects_are_sent() {
    let way = Way::git();
    let text: String = (0..20_000).map(|number: u32| format!("{}\n", number.pow(2))).collect();
    way.place.write("source/large", &text);
    way.place.commit("source", "large");
    let (_, first) = way.send().await;
    way.create().await;
    way.place.write("source/large", &format!("{text}one more\n"));
    let (_, second) = way.send().await;
    assert!(first.bytes > 40_000 && second.bytes < 1_500, "{first:?} {second:?}");
}

#[tokio::test]
async fn both_sides_may_change_different_things() {
    let way = Way::git();
    let tree = way.create().await;
    let (place, name) = (&way.place, way.tree());
    place.write(&format!("{name}/dir/b.txt"), "agent, committed\n");
    place.run(&name, &["commit", "-q", "-m", "agent's", "dir/b.txt"]);
    place.write(&format!("{name}/c.txt"), "agent\n");
    place.write("source/a.txt", "user, committed\ntwo\nthree\nuncommitted\n");
    place.run("source", &["commit", "-q", "-m", "user's", "a.txt"]);
    place.write("source/notes", "user\n");
    let changed = travel::changed(&tree, &way.state()).await.unwrap();
    assert_eq!(
        (changed.commits, names(&changed.files)),
        (1, vec!["c.txt".into(), "dir/b.txt".into()])
    );
    let applied = way.sync(&tree, false).await.unwrap();
    assert_eq!(names(&applied.report.files), ["a.txt", "notes"]);
    assert_eq!(place.status(&name), " M c.txt\n?? notes\n");
    let log = place.git_line(&name, &["log", "-1", "--format=%P"]);
    assert_eq!(log.split(' ').count(), 2, "{log}");
    assert_eq!(place.read(&format!("{name}/dir/b.txt")), "agent, committed\n");
}

#[tokio::test]
async fn a_change_of_the_same_lines_changes_nothing_until_the_sender_is_to_win() {
    let way = Way::git();
    let tree = way.create().await;
    let (place, name) = (&way.place, way.tree());
    place.write(&format!("{name}/a.txt"), "agent\n");
    place.write(&format!("{name}/c.txt"), "agent\n");
    place.write(&format!("{name}/own"), "agent\n");
    fs::remove_file(place.path(&format!("{name}/dir/b.txt"))).unwrap();
    place.write("source/a.txt", "user\n");
    place.write("source/dir/b.txt", "user\n");
    let before = place.everything(&name);
    let mut both = conflicts(way.sync(&tree, false).await);
    both.sort();
    assert_eq!(both, ["a.txt", "dir/b.txt"]);
    let mut after = place.everything(&name);
    after.insert("refs".into(), before["refs"].clone());
    assert_eq!(before, after);
    let changed = travel::changed(&tree, &way.state()).await.unwrap();
    assert_eq!(names(&changed.files), ["a.txt", "c.txt", "dir/b.txt", "own"]);
    let applied = way.sync(&tree, true).await.unwrap();
    assert_eq!(names(&applied.report.files), ["a.txt", "dir/b.txt"]);
    assert_eq!(place.read(&format!("{name}/a.txt")), "user\n");
    assert_eq!(place.read(&format!("{name}/dir/b.txt")), "user\n");
    assert_eq!(place.read(&format!("{name}/c.txt")), "agent\n");
    assert_eq!(place.read(&format!("{name}/own")), "agent\n");
}

#[tokio::test]
async fn the_sender_wins_in_commits_too() {
    let way = Way::git();
    let tree = way.create().await;
    let (place, name) = (&way.place, way.tree());
    place.write(&format!("{name}/a.txt"), "agent\n");
    place.write(&format!("{name}/agent"), "agent\n");
    place.commit(&name, "agent's");
    place.write("source/a.txt", "user\n");
    place.run("source", &["commit", "-q", "-m", "user's", "a.txt"]);
    assert_eq!(conflicts(way.sync(&tree, false).await), ["a.txt"]);
    way.sync(&tree, true).await.unwrap();
    assert_eq!(place.read(&format!("{name}/a.txt")), "user\n");
    assert_eq!(place.read(&format!("{name}/agent")), "agent\n");
    assert_eq!(place.status(&name), "");
    place.run(&name, &["fsck"]);
}

#[tokio::test]
async fn an_ignored_file_there_is_overwritten_only_by_force() {
    let way = Way::git();
    let tree = way.create().await;
    let name = way.tree();
    way.place.write(&format!("{name}/.env"), "agent\n");
    way.place.run("source", &["add", "-f", ".env"]);
    assert_eq!(conflicts(way.sync(&tree, false).await), [".env"]);
    assert_eq!(way.place.read(&format!("{name}/.env")), "agent\n");
    way.sync(&tree, true).await.unwrap();
    assert_eq!(way.place.read(&format!("{name}/.env")), "SECRET=1\n");
}

#[tokio::test]
async fn a_file_in_place_of_a_directory_with_foreign_files_is_refused_always() {
    let way = Way::git();
    let tree = way.create().await;
    let name = way.tree();
    way.place.write(&format!("{name}/dir/foreign"), "agent\n");
    fs::remove_dir_all(way.place.path("source/dir")).unwrap();
    way.place.write("source/dir", "a file now\n");
    for force in [false, true] {
        let before = way.place.everything(&name);
        assert!(way.sync(&tree, force).await.is_err());
        let mut after = way.place.everything(&name);
        after.insert("refs".into(), before["refs"].clone());
        assert_eq!(before, after);
    }
}

#[tokio::test]
async fn amended_commits_replace_what_they_amend() {
    let way = Way::git();
    let (place, name) = (&way.place, way.tree());
    place.write("source/amended", "first try\n");
    place.commit("source", "try");
    let tree = way.create().await;
    place.write("source/amended", "second try\n");
    place.run("source", &["commit", "-q", "--amend", "-a", "-m", "done"]);
    way.sync(&tree, false).await.unwrap();
    let log = |way: &Way| way.place.git_line(&way.tree(), &["log", "--format=%s"]);
    assert_eq!(log(&way), "done\nsecond\nfirst");
    assert_eq!(place.status(&name), "");
    // With commits of the environment's own, both histories are kept, and the content is right.
    place.write(&format!("{name}/agent"), "agent\n");
    place.commit(&name, "agent's");
    place.write("source/amended", "third try\n");
    place.run("source", &["commit", "-q", "--amend", "-a", "-m", "really done"]);
    way.sync(&tree, false).await.unwrap();
    assert_eq!(place.read(&format!("{name}/amended")), "third try\n");
    assert_eq!(place.read(&format!("{name}/agent")), "agent\n");
    assert_eq!(place.status(&name), "");
    assert!(log(&way).contains("really done") && log(&way).contains("agent's"));
}

#[tokio::test]
async fn a_source_that_went_back_takes_an_untouched_tree_with_it() {
    let way = Way::of(Place::git());
    let tree = way.create().await;
    way.place.run("source", &["reset", "-q", "--hard", "HEAD~1"]);
    way.sync(&tree, false).await.unwrap();
    let head = way.place.git_line("source", &["rev-parse", "HEAD"]);
    assert_eq!(way.place.git_line(&way.tree(), &["rev-parse", "HEAD"]), head);
    assert!(!way.place.exists(&format!("{}/c.txt", way.tree())));
    assert_eq!(way.place.status(&way.tree()), "");
}

#[tokio::test]
async fn a_tree_in_the_middle_of_something_is_left_alone() {
    let way = Way::git();
    let tree = way.create().await;
    let name = way.tree();
    way.place.write("source/c.txt", "later\n");
    let head = way.place.path("node/store.git/worktrees/a1/MERGE_HEAD");
    fs::write(&head, way.place.git_line(&name, &["rev-parse", "HEAD"])).unwrap();
    let busy = way.sync(&tree, false).await;
    assert!(matches!(busy, Err(TravelError::Tree(TreeError::Busy { .. }))), "{busy:?}");
    fs::remove_file(head).unwrap();
    way.sync(&tree, false).await.unwrap();
}

#[tokio::test]
async fn two_at_once_do_each_others_work_once() {
    let way = Way::git();
    let tree = way.create().await;
    way.place.write("source/c.txt", "later\n");
    let (a, b) = tokio::join!(way.sync(&tree, false), way.sync(&tree, false));
    let (a, b) = (a.unwrap(), b.unwrap());
    assert_ne!(a.nothing_to_do, b.nothing_to_do);
    assert_eq!(way.place.read(&format!("{}/c.txt", way.tree())), "later\n");
    way.place.run(&way.tree(), &["fsck"]);
}

#[tokio::test]
async fn two_environments_at_once_share_a_store() {
    let one = Way::git();
    one.place.run("source", &["tag", "v1"]);
    let path = one.place.path("");
    let two = Way { place: Place::at(&path), name: "a2".parse().unwrap(), ..Way::of(Place::new()) };
    let (a, b) = tokio::join!(one.create(), two.create());
    assert_ne!(a.branch, b.branch);
    for way in [&one, &two] {
        assert_eq!(way.place.status(&way.tree()), " M a.txt\n?? notes\n");
    }
    one.place.run("node/store.git", &["fsck"]);
}

#[tokio::test]
async fn nothing_that_is_needed_falls_to_gits_clean_up() {
    let way = Way::git();
    let tree = way.create().await;
    let name = way.tree();
    way.place.write(&format!("{name}/a.txt"), "agent\n");
    way.place.run(&name, &["gc", "-q", "--prune=now"]);
    way.place.write("source/a.txt", "user\n");
    assert_eq!(conflicts(way.sync(&tree, false).await), ["a.txt"]);
    way.place.run(&name, &["gc", "-q", "--prune=now"]);
    way.sync(&tree, true).await.unwrap();
    way.place.run(&name, &["gc", "-q", "--prune=now"]);
    way.place.write("source/c.txt", "user\n");
    let applied = way.sync(&tree, false).await.unwrap();
    assert_eq!(names(&applied.report.files), ["c.txt"]);
}
