//! Sessions on a node, and work that comes back from there.

use std::fs;
use std::time::{Duration, Instant};

use dwell_testkit::{HostPlan, git};

use crate::bench::Bench;

const COMPOSE: &str = r#"
services:
  web: { image: "busybox:latest", command: ["sleep", "1000"], init: true }
"#;

fn bench() -> Option<Bench> {
    let bench = Bench::start([HostPlan::new("one").engine()])?;
    bench.load("one", "busybox:latest");
    Some(bench)
}

#[test]
fn a_command_runs_on_the_node_and_its_work_comes_back_to_a_branch() {
    let Some(bench) = bench() else { return };
    let project = bench.home.project("shop").compose(COMPOSE).file("a", "one\n").git();
    let script = "hostname; echo agent >> a; git commit -qam 'By the agent'; echo left > b; exit 3";
    let run = ["run", "--remote", "one", "sh", "red", "-c", script];
    let ran = bench.home.dwell_in(&project, run);
    ran.fails_with(3);
    assert!(ran.stdout.starts_with("one"), "{}", ran.stdout);
    let sessions = bench.home.dwell_in(&project, ["sessions"]);
    assert!(sessions.ok().contains("ended (3)") && sessions.ok().contains("one"));

    // The user's files and branch stay as they are.
    let pulled = bench.home.dwell_in(&project, ["pull", "red"]);
    assert!(pulled.ok().contains("dwell/red"), "{}", pulled.stdout);
    assert_eq!(fs::read_to_string(project.path().join("a")).unwrap(), "one\n");
    let log = git(&project, ["log", "--format=%s", "main..dwell/red"]);
    assert_eq!(log.ok().lines().last(), Some("By the agent"));
    assert_eq!(git(&project, ["show", "dwell/red:b"]).ok(), "left");
    assert_eq!(git(&project, ["show", "dwell/red~1:a"]).ok(), "one\nagent");
}

#[test]
fn what_both_sides_changed_is_never_overwritten_silently() {
    let Some(bench) = bench() else { return };
    let project = bench.home.project("shop").compose(COMPOSE);
    let project = project.file("a", "one\n").file("b", "one\n").git();
    bench.home.dwell_in(&project, ["up", "red", "--remote", "one"]).ok();
    let there = bench.hosts.host("one").path("/root/.local/share/dwell/shop/red");
    fs::write(there.join("a"), "there\n").unwrap();
    fs::write(there.join("new"), "made there\n").unwrap();
    let project = project.file("b", "here\n");

    bench.home.dwell_in(&project, ["sync", "red"]).ok();
    assert_eq!(fs::read_to_string(there.join("a")).unwrap(), "there\n");
    assert_eq!(fs::read_to_string(there.join("b")).unwrap(), "here\n");

    let project = project.file("a", "here\n");
    for command in [["sync", "red"], ["up", "red"]] {
        let refused = bench.home.dwell_in(&project, command);
        assert!(refused.fails_with(5).contains("\n  a\n"), "{}", refused.stderr);
        assert_eq!(fs::read_to_string(there.join("a")).unwrap(), "there\n");
    }
    bench.home.dwell_in(&project, ["sync", "red", "--force"]).ok();
    assert_eq!(fs::read_to_string(there.join("a")).unwrap(), "here\n");
    assert_eq!(fs::read_to_string(there.join("new")).unwrap(), "made there\n");
}

#[test]
fn a_command_there_has_its_input_its_output_and_its_code() {
    let Some(bench) = bench() else { return };
    let project = bench.home.project("shop").compose(COMPOSE).git();
    bench.home.dwell_in(&project, ["up", "red", "--remote", "one"]).ok();
    let noise: Vec<u8> =
        (0..3_000_000_u32).flat_map(|n| n.wrapping_mul(2_654_435_761).to_le_bytes()).collect();
    let project = project.file("noise", &noise);
    bench.home.dwell_in(&project, ["up", "here"]).ok();
    for environment in ["red", "here"] {
        let exec = |script: &str| {
            let mut command = bench.home.dwell_command();
            command.current_dir(&project).args(["exec", environment, "web", "sh", "-c", script]);
            command.stdin(fs::File::open(project.path().join("noise")).unwrap());
            command.output().unwrap()
        };
        let back = exec("cat; exit 7");
        assert_eq!(back.status.code(), Some(7), "{}", String::from_utf8_lossy(&back.stderr));
        assert!(back.stdout == noise, "{} of {} bytes", back.stdout.len(), noise.len());
        // One that does not care for the rest of its input ends when it wants to.
        for _ in 0..5 {
            let begun = Instant::now();
            let early = exec("head -c 3 >/dev/null; echo enough; exit 4");
            assert_eq!(early.status.code(), Some(4), "{}", String::from_utf8_lossy(&early.stderr));
            assert_eq!(early.stdout, b"enough\n");
            assert!(begun.elapsed() < Duration::from_secs(4), "{:?}", begun.elapsed());
        }
    }
}
