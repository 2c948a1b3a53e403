//! Docker inside workspaces, as far as this machine lets it.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    missing_docs,
    reason = "a test ends where it meets what it does not expect"
)]

use std::time::Duration;

use dwell_testkit::{Ran, TestHome, docker, has_image, wait_until};

/// The workspace image's Docker variant, without agents.
const IMAGE: &str = "dwell-test-workspace-docker";
const COMPOSE: &str = "services:
  web:
    image: busybox
    init: true
    stop_grace_period: 0s
    command: sh -c 'mkdir /w; echo welcome > /w/index.html; exec httpd -f -p 80 -h /w'
    ports: ['8080:80']
  job:
    image: busybox
    command: sh -c 'until wget -qO- http://web; do sleep 0.2; done'
    depends_on: [web]
";

fn home() -> Option<TestHome> {
    if !has_image(IMAGE) {
        return None;
    }
    Some(TestHome::new(env!("CARGO_BIN_EXE_dwell")))
}

fn create(home: &TestHome, mode: &str) -> Ran {
    let args = ["ws", "create", "box", "--image", IMAGE, "--class", "cpu=2,mem=2g"];
    home.dwell([&args[..], &["--docker", mode]].concat())
}

#[track_caller]
fn sh(home: &TestHome, line: &str) -> Ran {
    home.dwell(["ws", "exec", "box", "--", "sh", "-c", line])
}

/// Brings a compose project up inside, with an image that came as a file.
fn compose_works(home: &TestHome) {
    let tar = home.path().join("busybox.tar");
    docker(["save", "-o", &tar.display().to_string(), "busybox"]).ok();
    std::fs::set_permissions(&tar, std::os::unix::fs::PermissionsExt::from_mode(0o644)).unwrap();
    let shown = home.dwell(["ws", "show", "box", "--json"]).json();
    let place = format!("{}:/home/dev/busybox.tar", shown["container"].as_str().unwrap());
    docker(["cp", &tar.display().to_string(), &place]).ok();
    sh(home, "docker load -i busybox.tar").ok();
    sh(home, &format!("mkdir -p p && cat > p/compose.yaml <<'END'\n{COMPOSE}END")).ok();
    sh(home, "cd p && docker compose up -d --quiet-pull").ok();
    wait_until(Duration::from_secs(30), "the job has read what the service says", || {
        sh(home, "cd p && docker compose logs job").stdout.contains("welcome")
    });
    let ask = "timeout 5 bash -c 'exec 3<>/dev/tcp/127.0.0.1/8080; printf \"GET / HTTP/1.0\\r\\n\\r\\n\" >&3; cat <&3'";
    assert!(sh(home, ask).stdout.contains("welcome"), "its port is reached from inside");
}

#[test]
fn compose_runs_inside_without_root_and_without_capabilities() {
    let Some(home) = home() else { return };
    let made = create(&home, "rootless");
    made.ok();
    assert!(made.stderr.contains("system calls"), "it is said what that takes: {made:?}");
    compose_works(&home);
    let shown = home.dwell(["ws", "show", "box", "--json"]).json();
    assert_eq!(shown["docker"], "rootless");
    let container = shown["container"].as_str().unwrap();
    let rights = "{{.HostConfig.Privileged}} {{.HostConfig.CapAdd}} {{json .HostConfig.Binds}}";
    assert_eq!(docker(["inspect", "-f", rights, container]).ok(), "false [] null");
    assert!(sh(&home, "docker info 2>/dev/null").stdout.contains("rootless"));
    assert_ne!(sh(&home, "docker ps -aq | wc -l").ok(), "0");

    // An engine that ends is started again, and what it had is there after a stop.
    sh(&home, "pkill -9 -x dockerd; pkill -9 -x rootlesskit").ok();
    wait_until(Duration::from_secs(40), "the engine is back", || {
        sh(&home, "docker version").code == Some(0)
    });
    home.dwell(["ws", "stop", "box"]).ok();
    home.dwell(["ws", "start", "box"]).ok();
    assert!(sh(&home, "docker image ls").stdout.contains("busybox"));
}

#[test]
fn an_engine_with_root_works_and_says_what_it_takes() {
    let Some(home) = home() else { return };
    let made = create(&home, "dind");
    made.ok();
    assert!(made.stderr.contains("root of this machine"), "{made:?}");
    compose_works(&home);

    // What is tidied up after a snapshot is not its data, and a copy begins without.
    home.dwell(["ws", "snapshot", "create", "box", "one"]).ok();
    home.dwell(["ws", "snapshot", "rm", "box", "one"]).ok();
    let forked = home.dwell(["ws", "fork", "box", "copy"]);
    forked.ok();
    assert!(forked.stderr.contains("images, containers and volumes in it are not"), "{forked:?}");
    let inside = |name: &str| {
        home.dwell(["ws", "exec", name, "--", "docker", "image", "ls", "-q"]).ok().to_owned()
    };
    assert!(!inside("box").is_empty() && inside("copy").is_empty());
    let volumes = |filter: &str| {
        docker(["volume", "ls", "-q", "--filter", &format!("label={filter}")]).ok().to_owned()
    };
    for name in ["box", "copy"] {
        let id = home.dwell(["ws", "show", name, "--json"]).json()["id"].clone();
        let own = volumes(&format!("dwell.workspace={}", id.as_str().unwrap()));
        assert_eq!(own.lines().count(), 2, "its home and its engine's data: {own}");
    }
    home.dwell(["ws", "upgrade", "box", "--yes"]).ok();
    assert!(!inside("box").is_empty(), "another container has what the engine had");

    for name in ["box", "copy"] {
        home.dwell(["ws", "destroy", name, "--force", "--purge"]).ok();
    }
    let ours = format!("dwell.node={}", home.node().unwrap());
    assert_eq!(volumes(&ours), "", "its data goes with it");
}

#[test]
fn the_nodes_engine_is_let_in_only_by_choice() {
    let Some(home) = home() else { return };
    let made = create(&home, "socket");
    made.ok();
    assert!(made.stderr.contains("every other workspace"), "{made:?}");
    let seen = sh(&home, "docker ps --format '{{.Names}}'");
    assert!(seen.ok().contains("dwell-ws-box"), "it sees itself: {seen:?}");
}

#[test]
fn what_cannot_work_says_why() {
    let home = TestHome::new(env!("CARGO_BIN_EXE_dwell"));
    for mode in ["rootless", "dind", "socket"] {
        let args = ["ws", "create", "box", "--image", "debian:bookworm", "--docker", mode];
        let refused = home.dwell(args);
        assert!(refused.fails_with(2).contains("dwell image build docker"), "{refused:?}");
    }
    home.dwell(["ws", "create", "box", "--docker", "other"]).fails_with(2);
    assert_eq!(home.dwell(["ws", "ls", "--json"]).json(), serde_json::json!([]));
}
