//! Long operations: steps, results, cancelling, and connections that break.

use std::io::{BufRead, BufReader};
use std::process::Stdio;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, channel};
use std::sync::{Arc, Mutex};

use rustix::process::{Pid, Signal, kill_process};
use serde_json::{Value, json};

use crate::node::{Node, Ran, Reply, chunk, environment, send};

const STREAM: &str = "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n";

fn done(environment: Option<Value>) -> Value {
    json!({
        "event": "done",
        "result": { "environment": environment, "changed": true, "summary": "" }
    })
}

fn events() -> Vec<Value> {
    vec![
        json!({ "event": "accepted", "operation": "op" }),
        json!({ "event": "step", "step": "creating the tree", "state": "started" }),
        json!({ "event": "step", "step": "creating the tree", "state": "done" }),
        json!({ "event": "note", "text": "volume `x` is shared" }),
        done(Some(environment("a1", "shop", "/src/shop".as_ref()))),
    ]
}

fn upper() -> Node {
    Node::new(|request| match request.path.as_str() {
        "/v1/environments" if request.method == "GET" => Reply::ok(json!([])),
        _ => Reply::Lines(events()),
    })
}

#[test]
fn up_shows_its_steps_and_ends_with_the_services() {
    let node = upper();
    std::fs::write(node.work().join("compose.yaml"), "").unwrap();
    let mut command = node.command("up a1 --build --shared db --profile dev");
    command.current_dir(node.work()).env("COMPOSE_PROFILES", "x").env("SECRET", "y");
    let ran = Ran::from(command.output().unwrap());
    assert_eq!(ran.code, 0, "{ran:?}");
    assert!(ran.err.contains("✓ creating the tree 0.0s\n"), "{ran:?}");
    assert!(ran.err.contains("note: volume `x` is shared\n"), "{ran:?}");
    assert!(ran.out.ends_with("a1 of shop is running: http://shop.a1.test\n"), "{ran:?}");
    let up = &node.asked("/a1/up")[0];
    assert_eq!(up.key.as_ref().unwrap().len(), 32);
    assert_eq!(up.body["build"], true);
    assert_eq!(up.body["shared"], json!(["db"]));
    let create = &up.body["create"];
    assert_eq!(create["source"], json!(node.work()));
    assert_eq!(create["profiles"], json!(["dev"]));
    assert_eq!(create["compose_variables"], json!({ "COMPOSE_PROFILES": "x" }));
}

#[test]
fn json_output_is_one_line_at_the_end() {
    let ran = upper().run("up a1 --json");
    let lines: Vec<&str> = ran.out.lines().collect();
    assert_eq!(lines.len(), 1, "{ran:?}");
    let last: Value = serde_json::from_str(lines[0]).unwrap();
    assert_eq!(last["outcome"], "success");
    assert_eq!(last["environment"]["name"], "a1");
    assert_eq!(upper().run("up a1 -q").out, "a1\n");
    assert_eq!(upper().run("up a1 -q").err, "");
}

#[test]
fn a_failed_operation_gives_its_code() {
    let node = Node::new(|request| match request.method.as_str() {
        "GET" => Reply::ok(json!([])),
        _ => Reply::Lines(vec![
            json!({ "event": "accepted", "operation": "op" }),
            json!({ "event": "step", "step": "starting web", "state": "undoing" }),
            json!({ "event": "failed", "problem": {
                "code": "pool_exhausted", "message": "no addresses are left"
            } }),
        ]),
    });
    let ran = node.run("create a1");
    assert_eq!(ran.code, 7);
    assert!(ran.err.contains("↶ undoing: starting web\n"), "{ran:?}");
}

#[test]
fn a_broken_connection_is_picked_up_where_it_was() {
    let node = Node::new(|request| match request.path.as_str() {
        "/v1/environments" => Reply::ok(json!([])),
        "/v1/operations/op" => Reply::Lines(events()),
        _ => Reply::Talk(Box::new(|stream| {
            send(stream, STREAM);
            for event in &events()[..3] {
                chunk(stream, format!("{event}\n").as_bytes());
            }
        })),
    });
    let ran = node.run("up a1");
    assert_eq!(ran.code, 0, "{ran:?}");
    assert_eq!(ran.err.matches("creating the tree").count(), 1, "{ran:?}");
    assert!(ran.err.contains("note: volume"), "{ran:?}");
}

/// A node whose operation hangs until it is cancelled, and a receiver that hears of its start.
fn hanging(obeys: bool) -> (Node, Receiver<()>) {
    let (started, wait_started) = channel();
    let (cancelled, wait_cancelled) = channel::<()>();
    let wait = Arc::new(Mutex::new(wait_cancelled));
    let node = Node::new(move |request| match request.path.as_str() {
        "/v1/environments" => Reply::ok(json!([])),
        "/v1/operations/op/cancel" => {
            if obeys {
                cancelled.send(()).unwrap();
            }
            Reply::ok(json!({}))
        }
        _ => {
            let (wait, started) = (wait.clone(), started.clone());
            Reply::Talk(Box::new(move |stream| {
                send(stream, STREAM);
                chunk(stream, b"{\"event\":\"accepted\",\"operation\":\"op\"}\n");
                started.send(()).unwrap();
                let _ = wait.lock().unwrap().recv();
                let failed = json!({ "event": "failed", "problem": {
                    "code": "cancelled", "message": "`up` was cancelled; it was undone"
                } });
                chunk(stream, format!("{failed}\n").as_bytes());
                send(stream, "0\r\n\r\n");
            }))
        }
    });
    (node, wait_started)
}

#[test]
fn ctrl_c_undoes_and_a_second_one_leaves() {
    for obeys in [true, false] {
        let (node, started) = hanging(obeys);
        let mut command = node.command("up a1");
        command.stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().unwrap();
        let pid = Pid::from_child(&child);
        let mut err = BufReader::new(child.stderr.take().unwrap());
        started.recv().unwrap();
        kill_process(pid, Signal::INT).unwrap();
        let mut line = String::new();
        err.read_line(&mut line).unwrap();
        assert!(line.contains("undoing what was done"), "{line}");
        if !obeys {
            kill_process(pid, Signal::INT).unwrap();
        }
        let mut rest = String::new();
        std::io::Read::read_to_string(&mut err, &mut rest).unwrap();
        assert_eq!(child.wait().unwrap().code(), Some(130), "{rest}");
        let last = if obeys { "(interrupted)" } else { "the daemon goes on undoing it" };
        assert!(rest.contains(last), "{rest}");
    }
}

#[test]
fn a_time_limit_cancels_and_ends_with_124() {
    let (node, _started) = hanging(true);
    let ran = node.run("up a1 --timeout 1s");
    assert_eq!(ran.code, 124, "{ran:?}");
    assert_eq!(node.asked("/cancel").len(), 1);
}

#[test]
fn destroy_names_what_is_lost_and_asks() {
    let gone = Arc::new(AtomicUsize::new(0));
    let count = gone.clone();
    let node = Node::absent();
    let work = node.work();
    node.listen(move |request| match request.path.as_str() {
        "/v1/environments" => Reply::ok(json!([environment("a1", "shop", &work)])),
        "/v1/environments/aaaaaaaaaa/losses" => Reply::ok(json!({
            "uncommitted": ["a.rs"], "unmerged_commits": 2, "sessions": [], "volumes": ["data"]
        })),
        _ => {
            count.fetch_add(1, Ordering::SeqCst);
            Reply::Lines(vec![done(None)])
        }
    });
    let dry = node.run("destroy a1 --dry-run");
    assert_eq!(dry.code, 0);
    assert!(dry.out.contains("uncommitted work: a.rs\n  2 commits"), "{dry:?}");
    let unasked = node.run("destroy a1");
    assert_eq!(unasked.code, 2);
    assert!(unasked.err.contains("hint: pass --yes"), "{unasked:?}");
    assert_eq!(gone.load(Ordering::SeqCst), 0);
    assert_eq!(node.run("rm a1 --yes --keep-workspace").code, 0);
    let body = &node.asked("/destroy")[0].body;
    assert_eq!((&body["force"], &body["keep_workspace"]), (&json!(false), &json!(true)));
    assert_eq!(node.run("destroy --all --force").code, 0);
    assert_eq!(node.asked("/destroy")[1].body["force"], true);
}
