//! The first time: what arrives is what the source has.

use std::fs;
use std::os::unix::fs::PermissionsExt;

use dwell_drivers::tree::travel::{Haves, TravelError};
use dwell_drivers::tree::{self, DiffOptions, TreeError, TreeKind};

use crate::node::Way;
use crate::support::{Place, names};

#[tokio::test]
async fn a_tree_arrives_as_a_local_one_would_be_made() {
    let way = Way::git();
    let place = &way.place;
    fs::remove_file(place.path("source/dir/b.txt")).unwrap();
    let before = place.everything("source");
    let tree = way.create().await;
    assert_eq!(before, place.everything("source"));
    assert_eq!(tree.kind, TreeKind::Worktree);
    assert_eq!((&tree.root, &tree.project_dir), (&way.tree_path(), &way.tree_path()));
    assert_eq!(tree.branch.as_deref(), Some("dwell/a1"));
    let head = place.git_line("source", &["rev-parse", "HEAD"]);
    assert_eq!(tree.base_commit.as_deref(), Some(head.as_str()));
    let name = way.tree();
    assert_eq!(place.git_line(&name, &["rev-parse", "HEAD"]), head);
    assert_eq!(place.git_line(&name, &["branch", "--show-current"]), "dwell/a1");
    assert_eq!(place.status(&name), place.status("source"));
    assert_eq!(place.status(&name), " M a.txt\n D dir/b.txt\n?? notes\n");
    assert_eq!(place.read(&format!("{name}/a.txt")), place.read("source/a.txt"));
    assert!(!place.exists(&format!("{name}/.env")));
    let run = fs::metadata(place.path(&format!("{name}/run.sh"))).unwrap();
    assert_eq!(run.permissions().mode() & 0o111, 0o111);
    place.run(&name, &["fsck", "--strict"]);
    assert_eq!(place.git_line(&name, &["log", "--format=%s"]), "second\nfirst");
    assert_eq!(place.git_line(&name, &["config", "user.name"]), "Test");
}

#[tokio::test]
async fn only_the_user_sees_what_arrived() {
    let way = Way::git();
    way.create().await;
    for private in ["node/store.git", "node/trees", "node/state", "home/state"] {
        let mode = fs::metadata(way.place.path(private)).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o700, "{private}");
    }
}

#[tokio::test]
async fn work_in_the_tree_is_seen_and_kept_by_the_common_operations() {
    let way = Way::git();
    let tree = way.create().await;
    let state = way.state();
    let unsaved = tree::unsaved(&tree, &state).await.unwrap();
    assert_eq!(unsaved, tree::Unsaved::default());
    let name = way.tree();
    way.place.write(&format!("{name}/agent"), "agent\n");
    way.place.run(&name, &["add", "agent"]);
    way.place.run(&name, &["commit", "-q", "-m", "agent's"]);
    way.place.write(&format!("{name}/c.txt"), "agent, uncommitted\n");
    let options = DiffOptions { name_only: true, ..DiffOptions::default() };
    let text = String::from_utf8(tree::diff(&tree, &state, options).await.unwrap()).unwrap();
    assert_eq!(text, "a.txt\nagent\nc.txt\nnotes\n");
    let unsaved = tree::unsaved(&tree, &state).await.unwrap();
    assert_eq!((names(&unsaved.uncommitted), unsaved.unmerged_commits), (vec!["c.txt".into()], 1));
    for result in [
        tree::sync(&tree, &state).await,
        tree::merge(&tree, &state, &tree::MergeOptions::default()).await,
    ] {
        assert!(matches!(result, Err(TreeError::Elsewhere { .. })), "{result:?}");
    }
    assert!(matches!(tree::remove(&tree, &state, false).await, Err(TreeError::Unsaved(_))));
    let removed = tree::remove(&tree, &state, true).await.unwrap();
    assert_eq!(removed.kept_branch.as_deref(), Some("dwell/a1"));
    let refs = way.place.run("node/store.git", &["for-each-ref", "--format=%(refname)"]);
    assert_eq!(refs, "refs/heads/dwell/a1\n");
}

#[tokio::test]
async fn a_tree_without_work_goes_without_a_trace() {
    let way = Way::git();
    let tree = way.create().await;
    let removed = tree::remove(&tree, &way.state(), false).await.unwrap();
    assert_eq!(removed, tree::Removed::default());
    assert_eq!(way.place.run("node/store.git", &["for-each-ref"]), "");
    assert_eq!(way.place.run("node/store.git", &["worktree", "list"]).lines().count(), 1);
    way.create().await;
}

#[tokio::test]
async fn a_second_environment_costs_almost_nothing() {
    let mut way = Way::git();
    let first = way.create().await;
    way.name = "a2".parse().unwrap();
    let (_, sent) = way.send().await;
    assert!(sent.bytes < 200, "{sent:?}");
    let second = way.create().await;
    assert_eq!(second.branch.as_deref(), Some("dwell/a2"));
    assert_ne!(first.root, second.root);
    assert_eq!(way.place.status(&way.tree()), " M a.txt\n?? notes\n");
}

#[tokio::test]
async fn an_empty_repository_arrives_without_commits() {
    let place = Place::new();
    place.init("source");
    let way = Way::of(place);
    let tree = way.create().await;
    assert_eq!((tree.base_commit.as_ref(), tree.branch.as_deref()), (None, Some("dwell/a1")));
    assert_eq!(way.place.status(&way.tree()), "");
    way.place.write("source/a", "a\n");
    assert_eq!(names(&way.sync(&tree, false).await.unwrap().report.files), ["a"]);
    assert_eq!(way.place.status(&way.tree()), "?? a\n");
    way.place.commit("source", "first");
    way.sync(&tree, false).await.unwrap();
    assert_eq!(way.place.status(&way.tree()), "");
    assert_eq!(way.place.git_line(&way.tree(), &["log", "--format=%s"]), "first");
}

#[tokio::test]
async fn an_unchanged_source_is_known_and_any_change_is_noticed() {
    let way = Way::git();
    let place = &way.place;
    let source = way.source().await;
    let mut last = source.offer().await.unwrap();
    assert_eq!(source.offer().await.unwrap(), last);
    let changes: [&dyn Fn(); 9] = [
        &|| place.write("source/a.txt", "changed\n"),
        &|| place.write("source/new/file", "new\n"),
        &|| fs::remove_file(place.path("source/c.txt")).unwrap(),
        &|| place.mode("source/a.txt", 0o755),
        &|| place.run("source", &["tag", "v1"]).clear(),
        &|| place.write("source/.dwellignore", "new\n"),
        &|| place.run("source", &["config", "user.name", "Other"]).clear(),
        &|| place.run("source", &["add", "-f", ".env"]).clear(),
        &|| place.commit("source", "third").clear(),
    ];
    for (number, change) in changes.into_iter().enumerate() {
        change();
        let offered = way.source().await.offer().await.unwrap();
        assert_ne!(offered.offer, last.offer, "change {number}");
        assert_eq!(way.source().await.offer().await.unwrap(), offered, "change {number}");
        last = offered;
    }
}

#[tokio::test]
async fn what_was_never_received_cannot_be_created_or_applied() {
    let way = Way::git();
    let offer = way.offer().await.offer;
    let missing = way.create_from(&offer).await;
    assert!(matches!(missing, Err(TravelError::NotReceived { .. })), "{missing:?}");
    assert!(!way.tree_path().exists());
    let tree = way.create().await;
    way.place.write("source/a.txt", "later\n");
    let later = way.offer().await.offer;
    let store = way.store().await;
    let state = way.state();
    let missing = dwell_drivers::tree::travel::apply(&tree, &state, &store, &later, false).await;
    assert!(matches!(missing, Err(TravelError::NotReceived { .. })), "{missing:?}");
    assert_eq!(store.haves(&way.name).await.unwrap().stages, Haves::default().stages);
}
