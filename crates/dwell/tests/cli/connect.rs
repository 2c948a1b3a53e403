//! Finding the daemon.

use std::fs::File;
use std::process::{Child, Stdio};

use serde_json::json;

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
