//! The private engine itself: it works, survives being killed, and leaves nothing behind.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, missing_docs, reason = "a test")]

use std::fs;
use std::path::PathBuf;
use std::time::Duration;

use dwell_testkit::{Engine, docker, wait_until};

/// What on this machine mentions this directory: mounts, processes, network namespaces.
fn traces(directory: &str) -> Vec<String> {
    let name = directory.trim_start_matches("/tmp/");
    let mounts = fs::read_to_string("/proc/self/mountinfo").unwrap();
    let mut found: Vec<String> =
        mounts.lines().filter(|line| line.contains(name)).map(str::to_owned).collect();
    for entry in fs::read_dir("/proc").unwrap().flatten() {
        let line = fs::read(entry.path().join("cmdline")).unwrap_or_default();
        let line = String::from_utf8_lossy(&line).replace('\0', " ");
        if line.contains(name) {
            found.push(line);
        }
    }
    let left = [PathBuf::from(directory), PathBuf::from("/run/netns").join(name)];
    found.extend(left.iter().filter(|path| path.exists()).map(|path| path.display().to_string()));
    found
}

#[test]
fn it_runs_containers_survives_a_kill_and_leaves_nothing() {
    let Some(mut engine) = Engine::private() else { return };
    let directory = engine.host().trim_start_matches("unix://").replace("/docker.sock", "");
    engine.load("busybox:latest");
    engine.docker(["network", "create", "--subnet", "10.224.1.0/24", "net"]).ok();
    let name = format!("c{}", std::process::id());
    // The restarted dockerd stops what the killed one left; `sleep` would sit out a TERM.
    let run = ["run", "-d", "--stop-signal", "KILL", "--net", "net", "--name", &name];
    engine.docker(run.into_iter().chain(["busybox", "sleep", "600"])).ok();
    engine.docker(["exec", &name, "true"]).ok();
    assert_eq!(docker(["ps", "-aq", "--filter", &format!("name={name}")]).ok(), "");

    engine.kill();
    assert!(!engine.answers());
    engine.restart();
    engine.docker(["start", &name]).ok();
    engine.docker(["exec", &name, "true"]).ok();

    assert!(!traces(&directory).is_empty(), "the search for traces finds what is there");
    drop(engine);
    assert_eq!(traces(&directory), [""; 0]);
}

#[test]
fn it_can_be_frozen_and_can_be_dropped_while_dockerd_is_dead() {
    let Some(mut engine) = Engine::private() else { return };
    let directory = engine.host().trim_start_matches("unix://").replace("/docker.sock", "");
    engine.load("busybox:latest");
    engine.docker(["run", "-d", "--net", "none", "--name", "left", "busybox", "sleep", "600"]).ok();
    engine.freeze();
    let asked = std::process::Command::new("timeout")
        .args(["1", "docker", "ps"])
        .env("DOCKER_HOST", engine.host())
        .output()
        .unwrap();
    assert_eq!(asked.status.code(), Some(124));
    engine.thaw();
    wait_until(Duration::from_secs(10), "an answer", || engine.answers());
    engine.kill();
    drop(engine);
    assert_eq!(traces(&directory), [""; 0]);
}
