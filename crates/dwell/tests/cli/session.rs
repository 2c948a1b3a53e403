//! `run`, `attach`, `send` and their sessions.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use serde_json::json;

use crate::node::{Node, Reply, chunk, environment, send, session};

/// A node with an environment whose sessions end with 3 after they wrote two lines.
fn ending() -> Node {
    Node::new(|request| {
        let a1 = environment("a1", "shop", "/".as_ref());
        match (request.method.as_str(), request.path.as_str()) {
            ("GET", "/v1/environments") if request.query.contains("name") => Reply::ok(json!([a1])),
            ("GET", "/v1/environments") => Reply::ok(json!([])),
            ("POST", "/v1/environments/a1/up" | "/v1/environments/aaaaaaaaaa/up") => {
                Reply::Lines(vec![json!({
                    "event": "done", "result": { "environment": a1, "changed": false }
                })])
            }
            ("POST", path) if path.ends_with("/sessions") => {
                Reply::ok(session("sh", "running", None, &["true"]))
            }
            (_, path) if path.ends_with("/transcript") => Reply::Bytes(b"one\ntwo\n".to_vec()),
            (_, path) if path.ends_with("/sessions/sh") => {
                Reply::ok(session("sh", "ended", Some(3), &[]))
            }
            ("GET", "/v1/sessions") => Reply::ok(json!([session("npm", "lost", None, &[])])),
            ("GET", path) if path.ends_with("/variables") => {
                Reply::ok(json!([["DWELL_ENV", "a1"]]))
            }
            ("POST", _) => Reply::ok(json!({})),
            (_, path) => Reply::problem(404, "not_found", path),
        }
    })
}

#[test]
fn without_a_terminal_the_output_streams_and_the_exit_code_returns() {
    let node = ending();
    let mut command = node.command("run --env A=1 --env HOME sh a1 -c x --json");
    let output = command.env("TMUX", "outer").env("B", "2").output().unwrap();
    assert_eq!(String::from_utf8(output.stdout).unwrap(), "one\ntwo\n");
    assert_eq!(output.status.code(), Some(3));
    let body = &node.asked("/sessions")[0].body;
    assert_eq!(body["command"], json!(["sh", "-c", "x", "--json"]));
    assert_eq!(body["pipes"], true);
    let variables = body["variables"].as_array().unwrap();
    assert!(variables.contains(&json!(["A", "1"])));
    assert!(variables.contains(&json!(["B", "2"])));
    assert!(!variables.iter().any(|pair| pair[0] == "TMUX"));
    assert!(node.asked("/a1/up")[0].body["create"].is_object());
}

#[test]
fn a_detached_session_is_named() {
    let node = ending();
    let ran = node.run("run -d sh a1");
    assert_eq!((ran.code, ran.out.as_str()), (0, "sh\n"));
    assert!(ran.err.contains("dwell attach a1 sh"), "{ran:?}");
    assert_eq!(node.asked("/sessions")[0].body["pipes"], false);
    assert!(node.run("run -d --json sh a1").out.contains("\"environment_name\":\"a1\""));
}

#[test]
fn a_missing_command_stops_before_anything_is_made() {
    let node = ending();
    let ran = node.run("run dwell-no-such-agent a1");
    assert_eq!(ran.code, 1);
    assert!(ran.err.contains("(tool_missing)"), "{ran:?}");
    // Only whether the environment is on another node, where the command may be, was asked.
    assert!(node.requests().iter().all(|request| request.method == "GET"), "{ran:?}");
}

#[test]
fn no_up_and_no_create_leave_out_their_part() {
    let node = ending();
    assert_eq!(node.run("run --no-up --no-create sh a1").code, 3);
    assert_eq!(node.asked("/up").len(), 0);
    assert_eq!(node.run("run --no-create sh a1").code, 3);
    assert!(node.asked("/up")[0].body.get("create").is_none());
}

#[test]
fn without_a_session_the_command_replaces_us() {
    let node = ending();
    let mut command = node.command("run --no-session --env X=7 sh a1 -c");
    let output = command.arg("echo $DWELL_ENV $X $PWD; exit 9").output().unwrap();
    assert_eq!(String::from_utf8(output.stdout).unwrap(), "a1 7 /\n");
    assert_eq!(output.status.code(), Some(9));
}

#[test]
fn a_lost_session_starts_again_with_its_own_command() {
    let node = ending();
    assert_eq!(node.run("run --resume a1").code, 3);
    let body = &node.requests().into_iter().find(|r| r.path.ends_with("a/sessions")).unwrap().body;
    assert_eq!((&body["name"], &body["resume"]), (&json!("npm"), &json!(true)));
    assert_eq!(body["command"], json!(["npm"]));
}

#[test]
fn a_broken_stream_goes_on_where_it_stopped() {
    let calls = Arc::new(AtomicUsize::new(0));
    let node = Node::new(move |request| {
        let a1 = environment("a1", "shop", "/".as_ref());
        match (request.method.as_str(), request.path.as_str()) {
            ("GET", "/v1/environments") => Reply::ok(json!([a1])),
            ("POST", path) if path.ends_with("/sessions") => {
                Reply::ok(session("sh", "running", None, &[]))
            }
            (_, path) if path.ends_with("/transcript") => {
                if calls.fetch_add(1, Ordering::SeqCst) > 0 {
                    return Reply::Bytes(b"one\ntwo\n".to_vec());
                }
                Reply::Talk(Box::new(|stream| {
                    send(stream, "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n");
                    chunk(stream, b"one\nt");
                }))
            }
            _ if calls.load(Ordering::SeqCst) < 2 => Reply::ok(session("sh", "running", None, &[])),
            _ => Reply::ok(session("sh", "ended", Some(0), &[])),
        }
    });
    let ran = node.run("run --no-up --no-create sh a1");
    assert_eq!((ran.code, ran.out.as_str()), (0, "one\ntwo\n"), "{ran:?}");
}

#[test]
fn text_is_sent_as_it_is() {
    let node = ending();
    assert_eq!(node.run("send --session claude a1 go on --force").code, 0);
    let body = &node.asked("/send")[0].body;
    assert_eq!(body["text"], "go on --force");
    assert_eq!((&body["enter"], &body["session"]), (&json!(true), &json!("claude")));
}

#[test]
fn attaching_needs_a_terminal_and_a_running_session() {
    let node = ending();
    let ran = node.run("attach a1");
    assert_eq!(ran.code, 3, "{ran:?}");
    let ran = node.run("attach a1 npm");
    assert!(ran.err.contains("dwell run --resume=npm a1"), "{ran:?}");
}
