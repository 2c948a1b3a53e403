//! What is damaged, incomplete or hostile is refused, and leaves nothing behind.

use std::fs;
use std::io::Write;
use std::process::{Command, Stdio};

use dwell_drivers::tree::travel::{Offer, Store, TravelError};

use crate::node::Way;
use crate::support::Place;

/// A transfer put together by hand.
fn transfer(offer: &Offer, parts: &[(&str, bool, Vec<u8>)]) -> Vec<u8> {
    let mut bytes =
        format!("{{\"version\":1,\"what\":{}}}\n", serde_json::to_string(offer).unwrap())
            .into_bytes();
    for (commit, last, pack) in parts {
        bytes.extend(format!("{{\"commit\":\"{commit}\",\"last\":{last}}}\n").into_bytes());
        for chunk in pack.chunks(1000) {
            bytes.extend(u32::try_from(chunk.len()).unwrap().to_be_bytes());
            bytes.extend(chunk);
        }
        bytes.extend([0; 4]);
    }
    bytes
}

/// Git with bytes in and bytes out.
fn git(place: &Place, arguments: &[&str], input: &[u8]) -> Vec<u8> {
    let mut child = Command::new("git")
        .args(arguments)
        .current_dir(place.path("source"))
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    child.stdin.take().unwrap().write_all(input).unwrap();
    let output = child.wait_with_output().unwrap();
    assert!(output.status.success(), "git {arguments:?}");
    output.stdout
}

fn line(place: &Place, arguments: &[&str], input: &[u8]) -> String {
    String::from_utf8(git(place, arguments, input)).unwrap().trim().to_owned()
}

/// A tree object of raw entries (mode, name, object), which git itself would not write.
fn tree(place: &Place, entries: &[(&str, &str, &str)]) -> String {
    let mut raw = Vec::new();
    for (mode, name, object) in entries {
        raw.extend(format!("{mode} {name}\0").into_bytes());
        let digits = object.as_bytes().chunks(2).map(|pair| std::str::from_utf8(pair).unwrap());
        raw.extend(digits.map(|pair| u8::from_str_radix(pair, 16).unwrap()));
    }
    line(place, &["hash-object", "-t", "tree", "-w", "--literally", "--stdin"], &raw)
}

fn blob(place: &Place, text: &str) -> String {
    line(place, &["hash-object", "-w", "--stdin"], text.as_bytes())
}

/// The offer of a tree, and a pack of its commit and these objects.
fn offer_of(place: &Place, tree: &str, objects: &[&str]) -> (Offer, Vec<u8>) {
    let commit = line(place, &["commit-tree", tree, "-m", "snapshot"], b"");
    let text = format!(
        "{{\"format\":\"sha1\",\"head\":null,\"snapshot\":\"{commit}\",\"tree\":\"{tree}\",\
         \"directory\":\".\"}}"
    );
    let list = [&[commit.as_str(), tree], objects].concat().join("\n");
    let pack = git(place, &["pack-objects", "--stdout", "-q"], format!("{list}\n").as_bytes());
    (serde_json::from_str(&text).unwrap(), pack)
}

async fn receive(store: &Store, way: &Way, bytes: &[u8]) -> TravelError {
    let tree = way.tree_path();
    let error = store.receive(&way.name, bytes, Some(&tree)).await.unwrap_err();
    assert_eq!(way.place.run("node/store.git", &["for-each-ref"]), "");
    let left: Vec<_> = fs::read_dir(way.place.path("node/store.git"))
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .filter(|name| name.starts_with("dwell-incoming"))
        .collect();
    assert_eq!(left, Vec::<String>::new());
    assert!(way.place.run("node/store.git", &["count-objects", "-v"]).contains("packs: 0"));
    error
}

#[tokio::test]
async fn hostile_trees_are_refused() {
    let way = Way::git();
    let (place, store) = (&way.place, way.store().await);
    let file = blob(place, "hostile\n");
    let inner = tree(place, &[("100644", "config", &file)]);
    let modules = blob(place, "[submodule \"../../x\"]\n\tpath = x\n\turl = -u./x\n");
    let trees = [
        tree(place, &[("40000", ".git", &inner)]),
        tree(place, &[("40000", ".GIT", &inner)]),
        tree(place, &[("40000", "git~1", &inner)]),
        tree(place, &[("40000", ".g\u{200c}it", &inner)]),
        tree(place, &[("100644", "..", &file)]),
        tree(place, &[("40000", ".", &inner)]),
        tree(place, &[("100644", "../outside", &file)]),
        tree(place, &[("100644", "/etc/x", &file)]),
        tree(place, &[("100644", "", &file)]),
        tree(place, &[("120000", "a", &file), ("40000", "a", &inner)]),
        tree(place, &[("100644", "b", &file), ("100644", "a", &file)]),
        tree(place, &[("100644", ".gitmodules", &modules)]),
        tree(place, &[("120000", ".gitmodules", &file)]),
    ];
    for (number, tree) in trees.iter().enumerate() {
        let (offer, pack) = offer_of(place, tree, &[&file, &inner, &modules]);
        let commit = offer.snapshot.to_string();
        for last in [true, false] {
            let bytes = transfer(&offer, &[(&commit, last, pack.clone())]);
            let error = receive(&store, &way, &bytes).await;
            let refused = matches!(error, TravelError::Rejected { .. });
            assert!(refused, "tree {number}: {error:?}");
        }
    }
    assert!(!way.tree_path().exists());
}

#[tokio::test]
async fn damaged_and_incomplete_transfers_are_refused() {
    let way = Way::git();
    let (place, store) = (&way.place, way.store().await);
    let file = blob(place, "a file\n");
    let good = tree(place, &[("100644", "file", &file)]);
    let (offer, pack) = offer_of(place, &good, &[&file]);
    let commit = offer.snapshot.to_string();
    let mut damaged = pack.clone();
    let middle = damaged.len() / 2;
    damaged[middle] ^= 0x55;
    let error = receive(&store, &way, &transfer(&offer, &[(&commit, true, damaged)])).await;
    assert!(matches!(error, TravelError::Rejected { .. }), "{error:?}");
    let short = pack[..pack.len() - 30].to_vec();
    let error = receive(&store, &way, &transfer(&offer, &[(&commit, true, short)])).await;
    assert!(matches!(error, TravelError::Rejected { .. }), "{error:?}");
    // The tree and its file are missing.
    let alone = git(place, &["pack-objects", "--stdout", "-q"], format!("{commit}\n").as_bytes());
    let error = receive(&store, &way, &transfer(&offer, &[(&commit, true, alone)])).await;
    assert!(matches!(error, TravelError::Rejected { .. }), "{error:?}");
    // What was offered is not what came.
    let other = Offer { tree: offer.snapshot.clone(), ..offer.clone() };
    let error = receive(&store, &way, &transfer(&other, &[(&commit, true, pack.clone())])).await;
    assert!(matches!(error, TravelError::Rejected { .. }), "{error:?}");
    let whole = transfer(&offer, &[(&commit, true, pack)]);
    for cut in [0, 1, 20, whole.len() / 2, whole.len() - 5, whole.len() - 1] {
        let error = receive(&store, &way, &whole[..cut]).await;
        assert!(matches!(error, TravelError::Cut(_)), "{cut}: {error:?}");
    }
    for nonsense in [&b"\n"[..], b"{}\n", b"{\"version\":1,\"what\":{}}\n", &[0; 100]] {
        let error = receive(&store, &way, nonsense).await;
        assert!(matches!(error, TravelError::Wire { .. } | TravelError::Cut(_)), "{error:?}");
    }
    store.receive(&way.name, &whole[..], None).await.unwrap();
}

#[tokio::test]
async fn harmless_defects_of_old_commits_are_no_obstacle() {
    let way = Way::git();
    let (place, store) = (&way.place, way.store().await);
    let file = blob(place, "a file\n");
    let content = tree(place, &[("0100644", "file", &file)]);
    let old = format!("tree {content}\nauthor A <a@b> 1 +051800\ncommitter A<a> 1 +0000\n\nold\n");
    let hash = ["hash-object", "-t", "commit", "-w", "--literally", "--stdin"];
    let old = line(place, &hash, old.as_bytes());
    let commit = line(place, &["commit-tree", &content, "-p", &old, "-m", "snapshot"], b"");
    let (offer, _) = offer_of(place, &content, &[]);
    let offer =
        Offer { head: Some(old.parse().unwrap()), snapshot: commit.parse().unwrap(), ..offer };
    let pack = ["pack-objects", "--revs", "--stdout", "-q"];
    let pack = git(place, &pack, format!("{commit}\n").as_bytes());
    let bytes = transfer(&offer, &[(&commit, true, pack)]);
    store.receive(&way.name, &bytes[..], None).await.unwrap();
    way.create_from(&offer).await.unwrap();
}

#[tokio::test]
async fn a_tag_that_cannot_be_set_is_told_and_no_more() {
    let way = Way::git();
    let (place, store) = (&way.place, way.store().await);
    let file = blob(place, "a file\n");
    let good = tree(place, &[("100644", "file", &file)]);
    let (mut offer, pack) = offer_of(place, &good, &[&file]);
    for name in ["../../heads/x", "a b", "-x\ndelete refs/heads/main"] {
        offer.tags.insert(name.into(), offer.snapshot.clone());
    }
    let bytes = transfer(&offer, &[(offer.snapshot.as_str(), true, pack)]);
    let received = store.receive(&way.name, &bytes[..], None).await.unwrap();
    assert!(received.notes[0].contains("tags were not set"), "{received:?}");
    let refs = place.run("node/store.git", &["for-each-ref", "--format=%(refname)"]);
    assert_eq!(refs, "refs/dwell/a1/incoming\n");
}

#[tokio::test]
async fn a_full_disk_is_said_and_leaves_nothing() {
    let way = Way::git();
    let node = way.place.path("node");
    fs::create_dir(&node).unwrap();
    let mut mount = Command::new("mount");
    mount.args(["-t", "tmpfs", "-o", "size=2m,mode=700", "dwell-test"]).arg(&node);
    if !mount.status().is_ok_and(|status| status.success()) {
        eprintln!("skipped: a file system of its own takes root");
        return;
    }
    let mut text = String::new();
    for number in 0..400_000_u64 {
        text.push_str(&format!("{:x}", number.wrapping_mul(0x9e37_79b9_7f4a_7c15)));
    }
    let tree = way.create().await;
    way.place.write("source/large", &text);
    let full = way.try_send().await;
    let after = way.place.run("node/store.git", &["count-objects", "-v"]);
    way.place.write("source/large", "small\n");
    let again = way.sync(&tree, false).await;
    drop(way.store().await);
    Command::new("umount").arg("--lazy").arg(&node).status().unwrap();
    assert!(matches!(full, Err(TravelError::Full { .. })), "{full:?}");
    assert!(after.contains("packs: 1"), "{after}");
    assert!(!again.unwrap().nothing_to_do);
}
