//! Whole trees move: from where they were made to a node, on to another one, and home again.

use std::path::PathBuf;

use dwell_core::EnvironmentName;
use dwell_drivers::git::ObjectFormat;
use dwell_drivers::tree::travel::{
    self, CreateReceived, Offer, Settle, Source, Store, TravelError, pass, settle, source_haves,
};
use dwell_drivers::tree::{self, DiffOptions, MergeOptions, Tree};

use crate::support::{Place, names};

/// A node: its store, trees and states.
struct Node<'a> {
    place: &'a Place,
    name: &'static str,
}

impl Node<'_> {
    fn tree(&self) -> String {
        format!("{}/trees/a1", self.name)
    }

    fn state(&self) -> PathBuf {
        self.place.path(&format!("{}/state/a1", self.name))
    }

    async fn store(&self) -> Store {
        let path = self.place.path(&format!("{}/store.git", self.name));
        Store::open(&path, ObjectFormat::Sha1).await.unwrap()
    }

    async fn create(&self, offer: &Offer) -> Result<Tree, TravelError> {
        travel::create(CreateReceived {
            store: &self.store().await,
            offer,
            tree: &self.place.path(&self.tree()),
            state: &self.state(),
            environment: &a1(),
        })
        .await
    }
}

fn a1() -> EnvironmentName {
    "a1".parse().unwrap()
}

/// A tree with commits and uncommitted work of its own, made of a source that has uncommitted
/// work, too.
async fn worked_on() -> (Place, Tree) {
    let place = Place::git();
    place.write("source/a.txt", "one\ntwo\nthree\nthe user's\n");
    place.write("source/notes", "the user's\n");
    let tree = place.create().await;
    place.write("tree/agent", "agent\n");
    place.run("tree", &["add", "agent"]);
    place.run("tree", &["commit", "-q", "-m", "agent's"]);
    place.write("tree/c.txt", "agent, uncommitted\n");
    place.write("tree/new", "agent, untracked\n");
    place.write("tree/ignored/file", "stays\n");
    (place, tree)
}

/// What there is to see of a tree.
async fn seen(place: &Place, name: &str, tree: &Tree, state: &std::path::Path) -> Vec<String> {
    let diff = tree::diff(tree, state, DiffOptions::default()).await.unwrap();
    let unsaved = tree::unsaved(tree, state).await.unwrap();
    vec![
        place.git_line(name, &["rev-parse", "HEAD"]),
        place.status(name),
        place.git_line(name, &["log", "--format=%s"]),
        String::from_utf8(diff).unwrap(),
        format!("{:?} {}", names(&unsaved.uncommitted), unsaved.unmerged_commits),
    ]
}

async fn to_node(tree: &Tree, state: &std::path::Path, node: &Node<'_>) -> Tree {
    let (source, offered) = Source::leaving(tree, state).await.unwrap();
    let store = node.store().await;
    let haves = store.haves(&a1()).await.unwrap();
    let (mut near, far) = tokio::io::duplex(64 * 1024);
    let path = node.place.path(&node.tree());
    let send = async {
        let sent = source.send(&offered.offer, &haves, &mut near).await;
        drop(near);
        sent
    };
    let name = a1();
    let (received, sent) = tokio::join!(store.receive(&name, far, Some(&path)), send);
    sent.unwrap();
    node.create(&received.unwrap().offer).await.unwrap()
}

async fn home(place: &Place, tree: &Tree, state: &std::path::Path) -> Result<Tree, TravelError> {
    let haves = source_haves(&place.path("source")).await?;
    let (mut near, far) = tokio::io::duplex(64 * 1024);
    let (source, offered) = Source::leaving(tree, state).await?;
    let order = Settle {
        source: &place.path("source"),
        tree: &place.path("home/a1"),
        state: &place.path("state/home"),
        environment: &a1(),
    };
    let send = async {
        let sent = source.send(&offered.offer, &haves, &mut near).await;
        drop(near);
        sent
    };
    let (settled, sent) = tokio::join!(settle(order, far), send);
    sent?;
    settled
}

#[tokio::test]
async fn a_tree_is_on_a_node_what_it_was_before() {
    let (place, tree) = worked_on().await;
    let before = seen(&place, "tree", &tree, &place.state()).await;
    let everything = place.everything("tree");
    let node = Node { place: &place, name: "one" };
    let there = to_node(&tree, &place.state(), &node).await;
    assert_eq!(seen(&place, &node.tree(), &there, &node.state()).await, before);
    assert_eq!(there.branch.as_deref(), Some("dwell/a1"));
    assert!(!place.exists(&format!("{}/ignored", node.tree())));
    // Leaving changes nothing.
    assert_eq!(place.everything("tree"), everything);

    // What the user does since comes in, and nothing is taken back.
    place.write("source/dir/b.txt", "the user's, later\n");
    let state = place.path("home/sent");
    let source = Source::open(&place.path("source"), &state, &[]).await.unwrap().unwrap();
    let offer = source.offer().await.unwrap().offer;
    let store = node.store().await;
    let haves = store.haves(&a1()).await.unwrap();
    let (mut near, far) = tokio::io::duplex(64 * 1024);
    let send = async {
        source.send(&offer, &haves, &mut near).await.unwrap();
        drop(near);
    };
    let name = a1();
    let (received, ()) = tokio::join!(store.receive(&name, far, None), send);
    received.unwrap();
    let applied = travel::apply(&there, &node.state(), &store, &offer, false).await.unwrap();
    assert_eq!(names(&applied.report.files), ["dir/b.txt"]);
    assert_eq!(place.read(&format!("{}/c.txt", node.tree())), "agent, uncommitted\n");
    assert_eq!(place.git_line(&node.tree(), &["log", "-1", "--format=%s"]), "agent's");
}

#[tokio::test]
async fn a_tree_goes_on_to_another_node_and_home_again() {
    let (place, tree) = worked_on().await;
    let before = seen(&place, "tree", &tree, &place.state()).await;
    let (one, two) = (Node { place: &place, name: "one" }, Node { place: &place, name: "two" });
    let there = to_node(&tree, &place.state(), &one).await;
    tree::remove(&tree, &place.state(), true).await.unwrap();

    let (source, offered) = Source::leaving(&there, &one.state()).await.unwrap();
    let store = two.store().await;
    let haves = store.haves(&a1()).await.unwrap();
    let (mut near, far) = tokio::io::duplex(64 * 1024);
    let (mut out, into) = tokio::io::duplex(64 * 1024);
    let send = async {
        source.send(&offered.offer, &haves, &mut near).await.unwrap();
        drop(near);
    };
    let between = async {
        let offer = pass(far, &mut out).await;
        drop(out);
        offer
    };
    let name = a1();
    let (received, passed, ()) = tokio::join!(store.receive(&name, into, None), between, send);
    assert_eq!(passed.unwrap(), received.unwrap().offer);
    let there = two.create(&offered.offer).await.unwrap();
    assert_eq!(seen(&place, &two.tree(), &there, &two.state()).await, before);

    let back = home(&place, &there, &two.state()).await.unwrap();
    let state = place.path("state/home");
    assert_eq!(seen(&place, "home/a1", &back, &state).await, before);
    assert_eq!(back.branch.as_deref(), Some("dwell/a1"));
    // Git may clean up: what the tree started from is kept apart.
    place.run("source", &["gc", "-q", "--prune=now"]);
    let options = MergeOptions { commit: Some("the rest".to_owned()), ..MergeOptions::default() };
    tree::merge(&back, &state, &options).await.unwrap();
    assert_eq!(place.read("source/c.txt"), "agent, uncommitted\n");
    assert_eq!(place.read("source/notes"), "the user's\n");
    assert_eq!(place.git_line("source", &["log", "--format=%s", "-2"]), "the rest\nagent's");
}

#[tokio::test]
async fn a_branch_with_pulled_work_is_taken_up_again_and_another_one_left_alone() {
    let (place, tree) = worked_on().await;
    let one = Node { place: &place, name: "one" };
    let there = to_node(&tree, &place.state(), &one).await;
    tree::remove(&tree, &place.state(), true).await.unwrap();
    let haves = source_haves(&place.path("source")).await.unwrap();
    let (mut near, far) = tokio::io::duplex(64 * 1024);
    let (name, from, state) = (a1(), place.path("source"), one.state());
    let order = travel::TakeWork { source: &from, environment: &name, force: false };
    let give = async {
        travel::give(&there, &state, &haves, &mut near).await.unwrap();
        drop(near);
    };
    let (taken, ()) = tokio::join!(travel::take(order, far), give);
    assert_eq!(taken.unwrap().uncommitted, 2);
    let back = home(&place, &there, &one.state()).await.unwrap();
    assert_eq!(back.branch.as_deref(), Some("dwell/a1"));
    assert_eq!(place.git_line("home/a1", &["log", "-1", "--format=%s"]), "agent's");

    tree::remove(&back, &place.path("state/home"), true).await.unwrap();
    place.run("source", &["branch", "-f", "dwell/a1", "main"]);
    place.run("source", &["worktree", "add", "-q", "../other", "dwell/a1"]);
    let back = home(&place, &there, &one.state()).await.unwrap();
    assert_eq!(back.branch.as_deref(), Some("dwell/a1-2"));
}

#[tokio::test]
async fn what_is_cut_off_leaves_no_tree() {
    let (place, tree) = worked_on().await;
    let (source, offered) = Source::leaving(&tree, &place.state()).await.unwrap();
    let mut whole = Vec::new();
    source.send(&offered.offer, &travel::Haves::default(), &mut whole).await.unwrap();
    place.init("other");
    for part in [0, whole.len() / 2, whole.len() - 1] {
        let order = Settle {
            source: &place.path("other"),
            tree: &place.path("home/a1"),
            state: &place.path("state/home"),
            environment: &a1(),
        };
        let refused = settle(order, &whole[..part]).await;
        assert!(matches!(refused, Err(TravelError::Cut(_))), "{part}: {refused:?}");
        assert!(!place.exists("home/a1"));
        assert_eq!(place.git_line("other", &["branch", "--list", "dwell/*"]), "");
    }
}
