//! Work comes back.

use dwell_drivers::tree::travel::TravelError;
use dwell_drivers::tree::{self, Unsaved};

use crate::node::Way;
use crate::support::{Place, names};

#[tokio::test]
async fn commits_come_as_they_are_and_uncommitted_work_as_one_more() {
    let way = Way::git();
    let tree = way.create().await;
    let (place, name) = (&way.place, way.tree());
    place.write(&format!("{name}/agent"), "agent\n");
    place.run(&name, &["add", "agent"]);
    place.run(&name, &["commit", "-q", "-m", "agent's"]);
    place.write(&format!("{name}/c.txt"), "agent, uncommitted\n");
    place.write(&format!("{name}/new\nname"), "agent, untracked\n");
    let before = place.everything("source");
    let taken = way.pull(&tree, false).await.unwrap();
    assert_eq!(taken.branch.as_deref(), Some("dwell/a1"));
    assert_eq!((taken.commits, taken.uncommitted), (2, 2));
    assert_eq!(names(&taken.files), ["agent", "c.txt", "new\nname"]);
    let mut after = place.everything("source");
    after.insert("refs".into(), before["refs"].clone());
    assert_eq!(before, after);
    let log = place.git_line("source", &["log", "--format=%s", "main..dwell/a1"]);
    assert_eq!(log, "Uncommitted work in a1\nagent's");
    // What was uncommitted at the source is the source's own.
    let files = place.run("source", &["diff", "--name-only", "-z", "main", "dwell/a1"]);
    assert_eq!(files, "agent\0c.txt\0new\nname\0");
    place.run("source", &["fsck"]);
    assert_eq!(place.status(&name), " M a.txt\n M c.txt\n?? \"new\\nname\"\n?? notes\n");
    // Nothing is only there any more.
    assert_eq!(tree::unsaved(&tree, &way.state()).await.unwrap(), Unsaved::default());
    place.write(&format!("{name}/c.txt"), "more\n");
    let unsaved = tree::unsaved(&tree, &way.state()).await.unwrap();
    assert_eq!(names(&unsaved.uncommitted), ["c.txt"]);
}

#[tokio::test]
async fn pulling_again_moves_the_branch_on() {
    let way = Way::git();
    let tree = way.create().await;
    let name = way.tree();
    way.place.write(&format!("{name}/c.txt"), "one\n");
    let first = way.pull(&tree, false).await.unwrap();
    assert_eq!(way.pull(&tree, false).await.unwrap().commits, 0);
    way.place.write(&format!("{name}/c.txt"), "two\n");
    way.place.run(&name, &["commit", "-q", "-m", "agent's", "c.txt"]);
    way.place.write(&format!("{name}/c.txt"), "three\n");
    let second = way.pull(&tree, false).await.unwrap();
    assert_eq!((first.commits, second.commits), (1, 2));
    let log = way.place.git_line("source", &["log", "--format=%s", "main..dwell/a1"]);
    assert_eq!(log, "Uncommitted work in a1\nagent's");
}

#[tokio::test]
async fn a_branch_with_other_commits_moves_only_by_force() {
    let way = Way::git();
    let tree = way.create().await;
    let name = way.tree();
    way.place.run("source", &["branch", "dwell/a1"]);
    way.place.write(&format!("{name}/c.txt"), "one\n");
    way.pull(&tree, false).await.unwrap();
    way.place.run("source", &["worktree", "add", "-q", "../other", "dwell/a1"]);
    way.place.write("other/mine", "mine\n");
    way.place.commit("other", "mine");
    way.place.write(&format!("{name}/c.txt"), "two\n");
    let refused = way.pull(&tree, true).await;
    assert!(matches!(refused, Err(TravelError::CheckedOut { .. })), "{refused:?}");
    way.place.run("source", &["worktree", "remove", "../other"]);
    let before = way.place.everything("source");
    let objects = || way.place.run("source", &["count-objects", "-v"]);
    let counted = objects();
    let refused = way.pull(&tree, false).await;
    assert!(matches!(refused, Err(TravelError::Diverged { .. })), "{refused:?}");
    assert_eq!((before, counted), (way.place.everything("source"), objects()));
    way.pull(&tree, true).await.unwrap();
    assert_eq!(way.place.git_line("source", &["show", "dwell/a1:c.txt"]), "two");
}

#[tokio::test]
async fn merged_work_is_what_both_have_in_common_from_then_on() {
    let way = Way::git();
    let tree = way.create().await;
    let (place, name) = (&way.place, way.tree());
    place.write(&format!("{name}/c.txt"), "agent\n");
    way.pull(&tree, false).await.unwrap();
    place.run("source", &["merge", "-q", "--no-edit", "dwell/a1"]);
    place.write(&format!("{name}/c.txt"), "agent, further on\n");
    place.write("source/dir/b.txt", "user\n");
    let applied = way.sync(&tree, false).await.unwrap();
    assert_eq!(names(&applied.report.files), ["dir/b.txt"]);
    assert_eq!(place.read(&format!("{name}/c.txt")), "agent, further on\n");
    assert_eq!(place.status(&name), " M a.txt\n M c.txt\n M dir/b.txt\n?? notes\n");
}

#[tokio::test]
async fn work_without_any_commit_comes_back_too() {
    let place = Place::new();
    place.init("source");
    let way = Way::of(place);
    let tree = way.create().await;
    assert_eq!(way.pull(&tree, false).await.unwrap().branch, None);
    way.place.write(&format!("{}/first", way.tree()), "agent\n");
    let taken = way.pull(&tree, false).await.unwrap();
    assert_eq!((taken.commits, names(&taken.files)), (1, vec!["first".to_owned()]));
    assert_eq!(way.place.git_line("source", &["show", "dwell/a1:first"]), "agent");
}
