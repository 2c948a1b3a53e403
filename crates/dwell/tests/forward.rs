//! Ports of workspaces and environments at ports of this machine: in the foreground, held by the
//! daemon, and what listens in a workspace.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    missing_docs,
    reason = "a test ends where it meets what it does not expect"
)]

use std::net::TcpListener;
use std::time::Duration;

use dwell_testkit::{Foreground, TestHome, reach, serve, wait_until};

const LIMIT: Duration = Duration::from_secs(20);

fn home() -> TestHome {
    let home = TestHome::new(env!("CARGO_BIN_EXE_dwell"));
    create(&home, "box");
    home
}

fn create(home: &TestHome, name: &str) {
    home.dwell(["ws", "create", name, "--image", "debian:bookworm", "--class", "cpu=1,mem=512m"])
        .ok();
}

/// A port of this machine that was free a moment ago.
fn free() -> u16 {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

#[test]
fn what_listens_inside_is_reached_whatever_it_listens_at() {
    let home = home();
    serve(&home, "box", &[("127.0.0.1", 3000), ("0.0.0.0", 3001), ("127.0.0.1", 3002)]);
    let first = loop {
        let first = free();
        if (first..first + 4).all(|port| TcpListener::bind(("127.0.0.1", port)).is_ok()) {
            break first;
        }
    };
    let range = format!("{first}-{}:3000-3002", first + 2);
    let nothing = format!("{}:9", first + 3);
    let forward = Foreground::start(&home, &["box", &range, &nothing], 4);
    let told: Vec<String> = (0..3)
        .map(|i| format!("127.0.0.1:{} -> box:{}", first + i, 3000 + i))
        .chain([format!("127.0.0.1:{} -> box:9", first + 3)])
        .collect();
    assert_eq!(forward.said, told);
    for i in 0..3 {
        assert_eq!(reach(first + i, "hello"), Some(format!("{}:hello", 3000 + i)));
    }
    assert_eq!(reach(first + 3, "hello"), None);
    // Many at once, and much at once.
    let much = "x".repeat(2 << 20);
    std::thread::scope(|scope| {
        for i in 0..12 {
            let (port, much) = (first + i % 2, &much);
            scope.spawn(move || {
                let said = reach(port, much).unwrap();
                assert_eq!(said.len(), much.len() + 5);
            });
        }
    });

    // It stays reachable at the same port through all that happens to the far end.
    home.dwell(["ws", "suspend", "box"]).ok();
    assert_eq!(reach(first, "woken"), Some("3000:woken".to_owned()));
    home.dwell(["ws", "stop", "box"]).ok();
    assert_eq!(reach(first, "nobody"), None);
    home.dwell(["ws", "start", "box"]).ok();
    serve(&home, "box", &[("127.0.0.1", 3000)]);
    assert_eq!(reach(first, "again"), Some("3000:again".to_owned()));
    home.dwell(["node", "stop"]).ok();
    assert_eq!(reach(first, "daemon"), Some("3000:daemon".to_owned()));

    // Nobody but this machine reaches it, and its port is nobody else's.
    let taken = home.dwell(["forward", "box", &format!("{first}:3001")]);
    assert!(taken.fails_with(1).contains("is taken"), "{taken:?}");
    assert_eq!(forward.interrupt(), Some(0));
    assert_eq!(reach(first, "over"), None);
}

#[test]
fn the_daemon_holds_forwards_until_they_are_stopped() {
    let home = home();
    serve(&home, "box", &[("127.0.0.1", 3000)]);
    let (one, two) = (free(), free());
    let specs = [format!("{one}:3000"), format!("{two}:3000")];
    home.dwell(["forward", "box", &specs[0], &specs[1], "--detach"]).ok();
    home.dwell(["forward", "box", &specs[0], "--detach"]).ok();
    assert_eq!(reach(one, "a"), Some("3000:a".to_owned()));
    let other = home.dwell(["forward", "box", &format!("{one}:3001"), "--detach"]);
    assert!(other.fails_with(1).contains("already"), "{other:?}");

    // All or none.
    let own = TcpListener::bind("127.0.0.1:0").unwrap();
    let blocked = format!("{}:3000", own.local_addr().unwrap().port());
    let new = format!("{}:3000", free());
    let refused = home.dwell(["forward", "box", &new, &blocked, "--detach"]);
    assert!(refused.fails_with(1).contains("taken by another program"), "{refused:?}");
    assert_eq!(home.dwell(["forward", "ls", "--json"]).json().as_array().unwrap().len(), 2);

    // They come back with the daemon, at the same ports; one that is taken says so, and comes
    // back as soon as it is free.
    home.dwell(["node", "stop"]).ok();
    let mut blocker = None;
    wait_until(LIMIT, "the port is free", || {
        blocker = TcpListener::bind(("127.0.0.1", two)).ok();
        blocker.is_some()
    });
    home.dwell(["ws", "rename", "box", "red"]).ok();
    wait_until(LIMIT, "it is reached again", || reach(one, "b").is_some());
    let listed = home.dwell(["forward", "ls"]);
    assert!(listed.ok().contains("red:3000") && listed.stdout.contains("failed: "), "{listed:?}");
    drop(blocker);
    wait_until(LIMIT, "the port is taken up again", || reach(two, "c").is_some());
    assert!(!home.dwell(["forward", "ls"]).ok().contains("failed"));

    home.dwell(["forward", "stop", &two.to_string()]).ok();
    assert_eq!(reach(two, "d"), None);
    assert!(reach(one, "d").is_some());
    home.dwell(["forward", "stop", "nothing"]).fails_with(3);
    home.dwell(["ws", "destroy", "red", "--force"]).ok();
    assert_eq!(reach(one, "e"), None);
    assert_eq!(home.dwell(["forward", "ls", "--json"]).json().as_array().unwrap().len(), 0);
}

#[test]
fn what_listens_is_told_without_waking_anything() {
    let home = home();
    serve(&home, "box", &[("127.0.0.1", 3000), ("0.0.0.0", 3001)]);
    let start = "setsid perl /home/dev/echo.pl 127.0.0.1 81 >/dev/null 2>&1 </dev/null &";
    home.dwell(["ws", "exec", "-u", "root", "box", "sh", "-c", start]).ok();
    wait_until(LIMIT, "root listens", || {
        home.dwell(["ports", "box", "-q"]).stdout.starts_with("81")
    });
    let seen = home.dwell(["ports", "box", "--json"]).json();
    let told: Vec<String> = seen
        .as_array()
        .unwrap()
        .iter()
        .map(|it| format!("{} {} {}", it["port"], it["address"], it["process"]).replace('"', ""))
        .collect();
    assert_eq!(told, ["81 127.0.0.1 perl", "3000 127.0.0.1 perl", "3001 0.0.0.0 perl"]);

    home.dwell(["ws", "suspend", "box"]).ok();
    let frozen = home.dwell(["ports", "box"]);
    assert!(frozen.ok().contains("3000") && frozen.stderr.contains("is frozen"), "{frozen:?}");
    assert_eq!(home.dwell(["ws", "show", "box", "--json"]).json()["status"], "frozen");
    home.dwell(["ports", "box", "--wake"]).ok();
    assert_eq!(home.dwell(["ws", "show", "box", "--json"]).json()["status"], "running");
    home.dwell(["ws", "stop", "box"]).ok();
    assert!(home.dwell(["ports", "box"]).fails_with(1).contains("dwell ws start box"));
}

#[test]
fn services_of_an_environment_are_reached_by_name_or_by_their_port() {
    let home = TestHome::new(env!("CARGO_BIN_EXE_dwell"));
    let shop = home.project("shop").compose(
        "services:
  web:
    image: busybox
    init: true
    stop_grace_period: 1s
    expose: [8080]
    command: nc -ll -p 8080 -e echo web
  api:
    image: busybox
    init: true
    stop_grace_period: 1s
    expose: [8080, 9000]
    command: nc -ll -p 9000 -e echo api
",
    );
    home.dwell_in(shop.path(), ["up", "red"]).ok();
    let (one, two) = (free(), free());
    let specs = [format!("{one}:web:8080"), format!("{two}:9000")];
    let forward = Foreground::start(&home, &["red", &specs[0], &specs[1]], 2);
    let told =
        [format!("127.0.0.1:{one} -> web.red:8080"), format!("127.0.0.1:{two} -> api.red:9000")];
    assert_eq!(forward.said, told);
    let answers = |port: u16, text: &str| reach(port, "").is_some_and(|said| said.trim() == text);
    wait_until(LIMIT, "web answers", || answers(one, "web"));
    wait_until(LIMIT, "api answers", || answers(two, "api"));
    drop(forward);
    let which = home.dwell(["forward", "red", "8080"]);
    assert!(which.fails_with(5).contains("which service's port 8080"), "{which:?}");
    home.dwell(["forward", "red", "cache:1"]).fails_with(3);
    home.dwell(["forward", "none", "80"]).fails_with(3);

    home.dwell(["forward", "red", &specs[0], "--detach"]).ok();
    wait_until(LIMIT, "web answers", || answers(one, "web"));
    home.dwell_in(shop.path(), ["destroy", "red", "--force"]).ok();
    assert!(home.dwell(["forward", "ls"]).ok().contains("no forwards"));
}
