//! The daemon as its clients meet it: start, stop, the socket, the API, configuration.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    missing_docs,
    reason = "a test ends where it meets what it does not expect"
)]

use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::Duration;

use dwell_testkit::{IDLE, TestHome, http, wait_until};

fn home() -> TestHome {
    TestHome::new(env!("CARGO_BIN_EXE_dwell"))
}

fn mode(path: &Path) -> u32 {
    path.metadata().unwrap().permissions().mode() & 0o777
}

fn call(home: &TestHome, head: &str, body: &str) -> (u16, String) {
    http(UnixStream::connect(home.socket()).unwrap(), head, body)
}

#[test]
fn it_starts_once_and_stops() {
    let home = home();
    home.dwell(["node", "status"]).fails_with(8);
    home.dwell(["node", "start"]).ok();
    let status = home.dwell(["node", "status", "--json"]).json();
    home.dwell(["node", "start"]).ok();
    assert_eq!(home.dwell(["node", "status", "--json"]).json()["pid"], status["pid"]);
    assert_eq!(status["version"], env!("CARGO_PKG_VERSION"));
    assert_eq!(mode(&home.socket()), 0o600);
    assert_eq!(mode(home.socket().parent().unwrap()), 0o700);
    assert_eq!(mode(&home.state()), 0o700);

    let second = home.dwell(["node", "run"]);
    assert!(second.code != Some(0), "a second daemon is refused: {second:?}");
    assert_eq!(home.dwell(["node", "status", "--json"]).json()["pid"], status["pid"]);

    assert!(!home.dwell(["node", "logs"]).ok().is_empty());
    assert_eq!(home.dwell(["node", "logs", "--tail", "1"]).ok().lines().count(), 1);
    home.dwell(["node", "stop"]).ok();
    home.dwell(["node", "status"]).fails_with(8);
    home.dwell(["node", "stop"]).ok();
    assert_eq!(home.dwell(["ls", "-q"]).ok(), "", "any command starts it");
}

#[test]
fn the_openapi_document_lists_every_endpoint() {
    let home = home();
    let document = home.dwell(["node", "openapi"]).json();
    assert!(document["openapi"].as_str().unwrap().starts_with("3."));
    let (status, served) = call(&home, "GET /v1/openapi.json HTTP/1.1\nhost: dwell", "");
    assert_eq!(status, 200);
    let paths = document["paths"].as_object().unwrap();
    assert!(paths.len() >= 20, "{}", paths.len());
    for (path, methods) in paths {
        assert!(served.contains(path.as_str()), "{path}");
        for method in methods.as_object().unwrap().keys().filter(|method| *method != "parameters") {
            let concrete = path.replace('{', "x").replace('}', "");
            // One ends the daemon, the other goes on for as long as somebody listens.
            if path.ends_with("/stop") || path == "/v1/watch" {
                continue;
            }
            let head = format!("{} {concrete} HTTP/1.1\nhost: dwell", method.to_uppercase());
            let (status, text) = call(&home, &head, "");
            assert_ne!(status, 405, "{method} {path}: {text}");
            assert!(status != 404 || text.contains("\"code\""), "{method} {path}: {text}");
        }
    }
}

#[test]
fn an_idempotency_key_makes_one_operation_of_two_calls() {
    let home = home();
    let lab = home.project("lab").compose(IDLE);
    home.dwell(["node", "start"]).ok();
    let body = format!("{{\"name\":\"a1\",\"source\":\"{}\"}}", lab.path().display());
    let post = "POST /v1/environments HTTP/1.1\nhost: dwell\ncontent-type: application/json";
    let (status, text) = call(&home, post, &body);
    assert!(status == 400 && text.contains("idempotency"), "a key is needed: {text}");
    let with_key = format!("{post}\nidempotency-key: one-and-only");
    let (status, first) = call(&home, &with_key, &body);
    assert!((200..300).contains(&status), "{first}");
    let (status, second) = call(&home, &with_key, &body);
    assert!((200..300).contains(&status), "{second}");
    let id = |text: &str| {
        let from = text.find("\"id\":\"").expect("it has an id") + 6;
        text[from..].split('"').next().unwrap().to_owned()
    };
    assert_eq!(id(&first), id(&second), "the same answer");
    wait_until(Duration::from_secs(20), "one environment", || {
        home.dwell(["ls", "-q"]).ok().lines().count() == 1
    });
    let (status, text) = call(&home, &format!("{post}\nidempotency-key: another"), &body);
    let refused = status == 409 || text.contains("\"exists\"");
    assert!(refused, "a new key asks for a second: {text}");
}

#[test]
fn configuration_is_shown_made_and_described() {
    let home = home();
    let lab = home.project("lab").compose(IDLE);
    let shown = home.dwell_in(&lab, ["config"]);
    assert!(shown.ok().contains("SETTING") && shown.stdout.contains("lab"), "{shown:?}");
    let schema = home.dwell_in(&lab, ["config", "--schema"]).json();
    assert!(schema["properties"]["hooks"].is_object(), "{schema}");
    home.dwell_in(&lab, ["config", "init"]).ok();
    let made = std::fs::read_to_string(lab.path().join("dwell.toml")).unwrap();
    home.dwell_in(&lab, ["config"]).ok();
    assert_ne!(home.dwell_in(&lab, ["config", "init"]).code, Some(0), "not written over");
    assert_eq!(std::fs::read_to_string(lab.path().join("dwell.toml")).unwrap(), made);
    std::fs::write(lab.path().join("dwell.toml"), "hook = {}\n").unwrap();
    let wrong = home.dwell_in(&lab, ["up", "a1"]);
    assert!(wrong.code != Some(0) && wrong.stderr.contains("hooks"), "a suggestion: {wrong:?}");
    for shell in ["bash", "zsh", "fish"] {
        assert!(home.dwell(["completion", shell]).ok().contains("dwell"), "{shell}");
    }
    assert!(home.dwell(["--version"]).ok().contains(env!("CARGO_PKG_VERSION")));
}
