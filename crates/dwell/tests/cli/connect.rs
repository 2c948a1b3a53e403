//! Finding the daemon.

use std::collections::BTreeSet;
use std::fs::File;
use std::net::TcpListener;
use std::process::{Child, Stdio};

use serde_json::{Value, json};

use crate::node::{Node, Ran, Reply};

#[test]
fn ten_at_once_wait_for_the_one_that_starts_it() {
    let node = Node::absent();
    std::fs::create_dir_all(node.home().join("run")).unwrap();
    // We are the one that holds the lock, and so the one that starts it.
    let lock = File::create(node.home().join("run/start.lock")).unwrap();
    lock.lock().unwrap();
    let start = |_| {
        let mut command = node.command("ls -q");
        command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap()
    };
    let mut children: Vec<Child> = (0..10).map(start).collect();
    assert!(children.iter_mut().all(|child| child.try_wait().unwrap().is_none()));
    node.listen(|_| Reply::ok(json!([])));
    for child in children {
        let ran = Ran::from(child.wait_with_output().unwrap());
        assert_eq!((ran.code, ran.err.as_str()), (0, ""));
    }
    assert!(!node.home().join("state/node.log").exists(), "none of them started another");
}

/// Stops the daemon of a test, also of one that failed.
struct Stop<'a>(&'a Node);

impl Drop for Stop<'_> {
    fn drop(&mut self) {
        let ran = self.0.run("node stop");
        assert!(ran.code == 0 || std::thread::panicking(), "{ran:?}");
    }
}

#[test]
fn ten_at_once_start_one_daemon_that_outlives_them() {
    let node = Node::absent();
    let free = || TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let config = format!("[dns]\nport = {}\n[proxy]\nport = {}\n", free(), free());
    std::fs::create_dir_all(node.home().join("config")).unwrap();
    std::fs::write(node.home().join("config/config.toml"), config).unwrap();
    let stop = Stop(&node);
    let start = |_| {
        let mut command = node.command("node start --json");
        command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap()
    };
    let children: Vec<Child> = (0..10).map(start).collect();
    let daemons: BTreeSet<i64> = children
        .into_iter()
        .map(|child| {
            let ran = Ran::from(child.wait_with_output().unwrap());
            assert_eq!(ran.code, 0, "{ran:?}");
            serde_json::from_str::<Value>(&ran.out).unwrap()["pid"].as_i64().unwrap()
        })
        .collect();
    assert_eq!(daemons.len(), 1, "{daemons:?}");
    assert_eq!(node.run("ls -q").code, 0);
    drop(stop);
    assert_eq!(node.run("node status").code, 8);
}

#[test]
fn a_daemon_that_cannot_start_says_why() {
    let node = Node::absent();
    std::fs::write(node.home().join("state"), "in the way").unwrap();
    let ran = node.run("ls");
    assert_eq!(ran.code, 1);
    assert!(ran.err.contains("/state` cannot be used"), "{ran:?}");
    assert!(ran.err.contains("(state)"), "{ran:?}");
}

#[test]
fn looking_at_the_daemon_does_not_start_it() {
    let node = Node::absent();
    let status = node.run("node status");
    assert_eq!(status.code, 8, "{status:?}");
    assert_eq!(node.run("node stop").code, 0);
    assert!(!node.home().join("state").exists());
}

#[test]
fn a_daemon_of_another_version_is_named() {
    let node = Node::new(|request| match request.path.as_str() {
        "/v1/node" => Reply::ok(json!({
            "id": "aaaaaaaaaa", "version": "0.0.1", "pid": 1, "started": 0, "environments": 0,
            "parts": [], "suffixes": []
        })),
        _ => Reply::Json(404, json!("no such path")),
    });
    let ran = node.run("ls");
    assert_eq!(ran.code, 1);
    assert!(ran.err.contains("the running daemon is dwell 0.0.1"), "{ran:?}");
    let doctor = node.run("doctor");
    assert_eq!(doctor.code, 1, "{doctor:?}");
}
