//! `exec` over frames.

use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::process::Stdio;

use bytes::{Bytes, BytesMut};
use dwell_api::exec::Frame;
use serde_json::json;

use crate::node::{Node, Ran, Reply, environment, send};

const UPGRADED: &str =
    "HTTP/1.1 101 Switching Protocols\r\nconnection: upgrade\r\nupgrade: dwell-exec\r\n\r\n";

fn put(stream: &mut UnixStream, frame: &Frame) {
    let mut bytes = BytesMut::new();
    frame.encode(&mut bytes);
    stream.write_all(&bytes).unwrap();
}

/// Reads stdin frames until the empty one.
fn input(stream: &mut UnixStream) -> Vec<u8> {
    let (mut buffer, mut all, mut chunk) = (BytesMut::new(), Vec::new(), [0; 4096]);
    loop {
        while let Some(frame) = Frame::decode(&mut buffer).unwrap() {
            match frame {
                Frame::Stdin(bytes) if bytes.is_empty() => return all,
                Frame::Stdin(bytes) => all.extend_from_slice(&bytes),
                other => panic!("{other:?}"),
            }
        }
        let count = stream.read(&mut chunk).unwrap();
        assert!(count > 0, "the input ended without an empty frame");
        buffer.extend_from_slice(&chunk[..count]);
    }
}

#[test]
fn input_output_and_exit_code_pass_through_one_connection() {
    let node = Node::new(|_| {
        Reply::Talk(Box::new(|stream| {
            send(stream, UPGRADED);
            let all = input(stream);
            put(stream, &Frame::Stdout(Bytes::from(all)));
            put(stream, &Frame::Stderr(Bytes::from_static(b"oh\n")));
            put(stream, &Frame::Exit(42));
        }))
    });
    std::fs::write(node.work().join("compose.yaml"), "").unwrap();
    let mut command = node.command("exec -e A=b -u root -w /srv a1 web cat -n --json");
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().unwrap();
    let text = "x".repeat(200_000);
    child.stdin.take().unwrap().write_all(text.as_bytes()).unwrap();
    let ran = Ran::from(child.wait_with_output().unwrap());
    assert_eq!((ran.code, ran.err.as_str()), (42, "oh\n"));
    assert!(ran.out == text, "{} bytes came back", ran.out.len());
    let asked = node.requests();
    assert_eq!(asked.len(), 1, "one round trip");
    assert_eq!(asked[0].path, "/v1/environments/a1/exec");
    let body = &asked[0].body;
    assert_eq!(body["command"], json!(["cat", "-n", "--json"]));
    assert_eq!(body["variables"], json!([["A", "b"]]));
    assert_eq!((&body["tty"], &body["stdin"]), (&json!(false), &json!(true)));
    assert_eq!((&body["user"], &body["directory"]), (&json!("root"), &json!("/srv")));
}

#[test]
fn an_ambiguous_name_is_settled_by_where_we_are() {
    let node = Node::absent();
    let work = node.work();
    node.listen(move |request| match request.path.as_str() {
        "/v1/environments/a1/exec" => Reply::problem(409, "ambiguous", "two of them"),
        "/v1/environments/aaaaaaaaaa/exec" => Reply::Talk(Box::new(|stream| {
            send(stream, UPGRADED);
            put(stream, &Frame::Exit(0));
        })),
        _ => Reply::ok(json!([
            environment("a1", "shop", &work),
            environment("a1", "blog", "/src/blog".as_ref())
        ])),
    });
    let ran = node.run("exec a1 web true");
    assert_eq!(ran.code, 0, "{ran:?}");
}

#[test]
fn problems_and_lost_connections_have_their_codes() {
    let node = Node::new(|request| match request.body["service"].as_str() {
        Some("web") => Reply::problem(409, "not_running", "service `web` does not run"),
        Some("db") => Reply::Talk(Box::new(|stream| {
            send(stream, UPGRADED);
            let problem = json!({ "code": "tool_missing", "message": "no `frob` in it" });
            put(stream, &Frame::Failed(Bytes::from(problem.to_string())));
        })),
        _ => Reply::Talk(Box::new(|stream| send(stream, UPGRADED))),
    });
    std::fs::write(node.work().join("compose.yaml"), "").unwrap();
    let ran = node.run("exec a1 web ls");
    assert_eq!(ran.code, 1);
    assert!(ran.err.contains("does not run"), "{ran:?}");
    assert!(node.run("exec a1 db frob").err.contains("no `frob` in it"));
    let lost = node.run("exec a1 other ls");
    assert_eq!(lost.code, 255, "{lost:?}");
    assert_eq!(node.run("exec a1 we/b ls").code, 2);
}
