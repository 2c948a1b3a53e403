//! Interruptions: nothing half made is left, and what came whole does not come again.

use std::fs;
use std::pin::Pin;
use std::task::{Context, Poll};

use dwell_drivers::tree::travel::TravelError;
use tokio::io::{AsyncRead, ReadBuf};

use crate::node::Way;
use crate::support::Place;

/// A stream that ends after some bytes, by failing or by standing still.
struct Cut {
    bytes: Vec<u8>,
    at: usize,
    still: bool,
}

impl AsyncRead for Cut {
    fn poll_read(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<std::io::Result<()>> {
        if self.at >= self.bytes.len() && self.still {
            return Poll::Pending;
        }
        let most = buffer.remaining().min(self.bytes.len() - self.at);
        buffer.put_slice(&self.bytes[self.at..self.at + most]);
        self.at += most;
        Poll::Ready(Ok(()))
    }
}

/// A source whose tree is large enough for stages.
fn large() -> Way {
    let place = Place::git();
    for letter in ["a", "b", "c"] {
        place.write(&format!("source/large/{letter}"), &letter.repeat(33 << 20));
    }
    place.commit("source", "large");
    place.write("source/z", "uncommitted\n");
    Way::of(place)
}

fn quarantines(way: &Way) -> usize {
    let entries = fs::read_dir(way.place.path("node/store.git")).unwrap().flatten();
    entries.filter(|e| e.file_name().to_string_lossy().starts_with("dwell-incoming")).count()
}

#[tokio::test]
async fn a_large_transfer_goes_on_where_it_was_cut() {
    let way = large();
    let (source, store) = (way.source().await, way.store().await);
    let offer = source.offer().await.unwrap().offer;
    let mut all = Vec::new();
    let whole = source.send(&offer, &Default::default(), &mut all).await.unwrap();
    let tree = way.tree_path();
    // Cut in the last of its parts.
    let cut = Cut { bytes: all[..all.len() - 300].to_vec(), at: 0, still: false };
    let error = store.receive(&way.name, cut, Some(&tree)).await.unwrap_err();
    assert!(matches!(error, TravelError::Cut(_)), "{error:?}");
    assert_eq!(quarantines(&way), 0);
    assert!(!tree.exists());
    let haves = store.haves(&way.name).await.unwrap();
    assert_eq!((haves.commits.len(), haves.stages.len()), (0, 1));
    let (_, rest) = way.send().await;
    assert!(rest.bytes < 2000 && whole.bytes > 60_000, "{rest:?} of {whole:?}");
    let made = way.create_from(&offer).await.unwrap();
    assert_eq!(way.place.status(&way.tree()), "?? z\n");
    assert_eq!(fs::metadata(made.root.join("large/b")).unwrap().len(), 33 << 20);
    assert!(!tree.with_file_name(".a1.growing").exists());
    assert_eq!(way.place.run("node/store.git", &["worktree", "list"]).lines().count(), 2);
    assert!(store.haves(&way.name).await.unwrap().stages.is_empty());
}

#[tokio::test]
async fn a_source_that_changed_meanwhile_still_sends_only_what_is_missing() {
    let way = large();
    let (source, store) = (way.source().await, way.store().await);
    let offer = source.offer().await.unwrap().offer;
    let mut all = Vec::new();
    source.send(&offer, &Default::default(), &mut all).await.unwrap();
    let cut = Cut { bytes: all[..all.len() - 300].to_vec(), at: 0, still: false };
    store.receive(&way.name, cut, Some(&way.tree_path())).await.unwrap_err();
    way.place.write("source/a-first", "new\n");
    let (received, rest) = way.send().await;
    assert!(rest.bytes < 3000, "{rest:?}");
    way.create_from(&received.offer).await.unwrap();
    assert_eq!(way.place.status(&way.tree()), "?? a-first\n?? z\n");
}

#[tokio::test]
async fn whoever_is_killed_in_the_middle_leaves_nothing_that_stays() {
    let way = Way::git();
    let (source, store) = (way.source().await, way.store().await);
    let offer = source.offer().await.unwrap().offer;
    let mut all = Vec::new();
    source.send(&offer, &Default::default(), &mut all).await.unwrap();
    let half = all[..all.len() / 2].to_vec();
    let mut receive =
        Box::pin(store.receive(&way.name, Cut { bytes: half, at: 0, still: true }, None));
    while quarantines(&way) == 0 {
        tokio::select! {
            _ = &mut receive => panic!("it cannot end"),
            () = tokio::task::yield_now() => {}
        }
    }
    // The other transfer goes on: what it has is not taken away.
    way.store().await;
    assert_eq!(quarantines(&way), 1);
    // As a killed daemon leaves it.
    let left = way.place.path("node/store.git/dwell-incoming-0000000000000000");
    fs::create_dir(&left).unwrap();
    fs::write(left.join("lock"), "").unwrap();
    way.store().await;
    assert_eq!(quarantines(&way), 1);
    drop(receive);
    assert_eq!(quarantines(&way), 0);
    way.create().await;
}

#[tokio::test]
async fn a_killed_apply_is_repeated() {
    let way = Way::git();
    let tree = way.create().await;
    way.place.write("source/c.txt", "later\n");
    way.place.commit("source", "third");
    let before = fs::read(way.state().join("tree/sent.json")).unwrap();
    let base = fs::read(way.state().join("tree/base")).unwrap();
    way.sync(&tree, false).await.unwrap();
    // Files and branch moved, what is remembered did not.
    fs::write(way.state().join("tree/sent.json"), before).unwrap();
    fs::write(way.state().join("tree/base"), base).unwrap();
    let applied = way.sync(&tree, false).await.unwrap();
    assert!(applied.report.files.is_empty() && !applied.nothing_to_do);
    assert_eq!(way.place.status(&way.tree()), "");
    assert!(way.sync(&tree, false).await.unwrap().nothing_to_do);
}

#[tokio::test]
async fn a_half_grown_tree_is_no_obstacle() {
    let way = large();
    let (received, _) = way.send().await;
    let growing = way.tree_path().with_file_name(".a1.growing").join("a1");
    assert!(growing.join("large/a").exists());
    fs::write(growing.join("large/a"), "torn\n").unwrap();
    fs::write(way.place.path("node/store.git/worktrees/a1/dwell-grown"), "").unwrap();
    way.create_from(&received.offer).await.unwrap();
    assert_eq!(way.place.status(&way.tree()), "?? z\n");
}
