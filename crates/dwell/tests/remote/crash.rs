//! Daemons and clients that die in the middle of something, and nodes that restart.

use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::process::{Child, Stdio};
use std::time::Duration;

use dwell_testkit::{Dice, HostPlan, run, wait_until};
use rustix::process::{Pid, Signal, kill_process};

use crate::bench::{Bench, is_bare, service};

const LIMIT: Duration = Duration::from_secs(60);
const BINARY: &str = "/root/.local/share/dwell/bin/dwell";
/// What the daemon of the host is told to do wrong, while the file is there.
const FAULT: &str = "/run/fault";

const SPREAD: &str = r#"
services:
  web: { image: "busybox:latest", command: ["sleep", "1000"], init: true }
  db:
    image: busybox:latest
    command: ["sh", "-c", "mkdir /www; echo db > /www/index.html; exec httpd -f -p 8080 -h /www"]
    init: true
    expose: ["8080"]
    volumes: ["data:/data"]
volumes: { data: {} }
"#;
const PLACE: [&str; 2] = ["--place", "db=one"];
const WHOLE: [&str; 2] = ["--remote", "one"];

fn kill_daemon(bench: &Bench) {
    let status = bench.home.dwell(["node", "status", "--json"]).json();
    let pid = status["pid"].as_i64().and_then(|pid| i32::try_from(pid).ok());
    kill_process(pid.and_then(Pid::from_raw).unwrap(), Signal::KILL).unwrap();
    wait_until(LIMIT, "it is gone", || UnixStream::connect(bench.home.socket()).is_err());
}

fn running(bench: &Bench, project: &Path, name: &str) -> bool {
    let list = bench.home.dwell_in(project, ["ls", "--json"]).json();
    let mut all = list.as_array().unwrap().iter();
    all.any(|shown| shown["name"] == name && shown["status"] == "running")
}

/// Starts a command without waiting for it.
fn begin(bench: &Bench, project: &Path, words: &[&str]) -> Child {
    let mut command = bench.home.dwell_command();
    command.current_dir(project).args(words).stdin(Stdio::null());
    command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap()
}

#[test]
fn a_node_that_restarts_brings_its_environments_up_again() {
    let Some(bench) = Bench::one() else { return };
    let whole = bench.idle();
    bench.home.dwell_in(&whole, ["up", "red", "--remote", "one"]).ok();
    bench.home.dwell_in(&whole, ["up", "off", "--remote", "one"]).ok();
    bench.home.dwell_in(&whole, ["down", "off"]).ok();
    let spread = bench.home.project("shop").compose(SPREAD).git();
    bench.home.dwell_in(&spread, [&["up", "blue"], &PLACE[..]].concat()).ok();
    let before = bench.status(&spread, "blue");
    bench.home.dwell(["node", "stop"]).ok();

    let host = bench.host();
    host.on_boot("root", &format!("{BINARY} node start"));
    host.reboot();
    wait_until(LIMIT, "all that was up is up", || {
        let up = host.docker(["ps", "--format", "{{.Names}}"]).stdout;
        up.contains("dwell-red-") && up.contains("dwell-blue-")
    });
    assert_eq!(host.docker(["ps", "-aq", "--filter", "label=dwell.name=off"]).ok(), "");
    bench.comes_back("one");
    wait_until(LIMIT, "it is shown", || running(&bench, whole.path(), "red"));
    wait_until(LIMIT, "it is shown", || running(&bench, spread.path(), "blue"));
    let after = bench.status(&spread, "blue");
    assert_eq!(service(&before, "db")["addresses"], service(&after, "db")["addresses"]);
    let ask = ["exec", "blue", "web", "wget", "-qO-", "http://db:8080/"];
    assert_eq!(bench.home.dwell_in(&spread, ask).ok(), "db");
}

#[test]
fn a_node_whose_daemon_dies_has_nothing_half_made() {
    let Some(bench) = Bench::one() else { return };
    let project = bench.idle();
    let host = bench.host();
    // A binary that does what the file says.
    std::fs::rename(host.path(BINARY), host.path(format!("{BINARY}.real"))).unwrap();
    let script = format!(
        "#!/bin/sh\n[ ! -e {FAULT} ] || export DWELL_TEST_FAULT=$(cat {FAULT})\n\
         exec {BINARY}.real \"$@\"\n"
    );
    std::fs::write(host.path(BINARY), script).unwrap();
    let mode = std::fs::Permissions::from_mode(0o755);
    std::fs::set_permissions(host.path(BINARY), mode).unwrap();

    let up = ["up", "red", "--remote", "one"];
    for step in
        ["record:after", "tree:before", "tree:after", "containers:before", "containers:after"]
    {
        std::fs::write(host.path(FAULT), format!("{step}:abort")).unwrap();
        host.kill_daemon("root");
        bench.post("/v1/remotes/one/ping", "{}");
        let ran = bench.home.dwell_in(&project, up);
        assert_ne!(ran.code, Some(0), "{step}: {ran:?}");
        std::fs::remove_file(host.path(FAULT)).unwrap();
        bench.post("/v1/remotes/one/ping", "{}");
        wait_until(LIMIT, step, || bench.listed(&project).is_empty());
        is_bare(host);
        assert!(!bench.tree("one", "lab/red").exists(), "{step}");

        host.kill_daemon("root");
        bench.home.dwell_in(&project, up).ok();
        wait_until(LIMIT, step, || running(&bench, project.path(), "red"));
        bench.home.dwell_in(&project, ["destroy", "red", "--force"]).ok();
    }
}

#[test]
fn a_home_whose_daemon_dies_has_nothing_half_made() {
    let Some(bench) = Bench::one() else { return };
    let project = bench.home.project("shop").compose(SPREAD).git();
    let up = [&["up", "red"], &PLACE[..]].concat();
    for step in ["parts:before", "parts:after", "containers:before", "containers:after"] {
        bench.home.dwell(["node", "stop"]).ok();
        let mut command = bench.home.dwell_command();
        command.env("DWELL_TEST_FAULT", format!("{step}:abort"));
        let ran = run(command.current_dir(&project).args(&up), LIMIT);
        assert_ne!(ran.code, Some(0), "{step}: {ran:?}");
        wait_until(LIMIT, step, || bench.listed(&project).is_empty());
        let host = bench.host();
        let bare = || {
            host.docker(["ps", "-aq"]).ok().is_empty() && !bench.tree("one", "shop/red").exists()
        };
        wait_until(LIMIT, &format!("{step}: nothing is left there"), bare);
        is_bare(host);

        bench.home.dwell(["node", "stop"]).ok();
        bench.home.dwell_in(&project, &up).ok();
        wait_until(LIMIT, step, || running(&bench, project.path(), "red"));
        bench.home.dwell_in(&project, ["destroy", "red", "--force"]).ok();
        is_bare(host);
    }
}

#[test]
fn whoever_dies_at_any_moment_the_next_up_succeeds() {
    let Some(bench) = Bench::one() else { return };
    let project = bench.home.project("shop").compose(SPREAD).git();
    let host = bench.host();
    let all = ["client", "home", "node", "link"].into_iter();
    let all: Vec<_> = all.flat_map(|victim| [(victim, &WHOLE), (victim, &PLACE)]).collect();
    let mut dice = Dice::new();
    for (number, (victim, place)) in dice.some(all, 4).into_iter().enumerate() {
        let name = format!("env{number}");
        let up = [&["up", &name], &place[..]].concat();
        let moment = 50 + dice.below(800);
        let what = format!("{victim} {place:?} after {moment} ms");
        println!("--- {what}");
        let mut client = begin(&bench, project.path(), &up);
        std::thread::sleep(Duration::from_millis(moment));
        match victim {
            "client" => client.kill().unwrap(),
            "home" => kill_daemon(&bench),
            "node" => drop(host.kill_daemon("root")),
            _ => host.hang_up(),
        }
        client.wait().unwrap();
        let again = bench.home.dwell_in(&project, &up);
        assert_eq!(again.code, Some(0), "{what}: {again:?}");
        wait_until(LIMIT, &what, || running(&bench, project.path(), &name));
        let gone = bench.home.dwell_in(&project, ["destroy", &name, "--force"]);
        assert_eq!(gone.code, Some(0), "{what}: {gone:?}");
        assert_eq!(bench.listed(&project), [""; 0], "{what}");
        is_bare(host);
    }
}

#[test]
fn a_sync_that_is_cut_off_changes_nothing_until_it_is_repeated() {
    let Some(bench) = Bench::one() else { return };
    let project = bench.idle();
    bench.home.dwell_in(&project, ["up", "red", "--remote", "one"]).ok();
    let mut state = 1_u64;
    let mut large: Vec<u8> = Vec::new();
    while large.len() < 24 << 20 {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        large.extend_from_slice(&state.to_le_bytes()[3..]);
    }
    let project = project.file("large", &large);
    let there = bench.tree("one", "lab/red/large");
    let host = bench.host();
    for victim in ["node", "link", "home"] {
        for moment in [50, 200] {
            let mut sync = begin(&bench, project.path(), &["sync", "red"]);
            std::thread::sleep(Duration::from_millis(moment));
            match victim {
                "node" => drop(host.kill_daemon("root")),
                "home" => kill_daemon(&bench),
                _ => host.hang_up(),
            }
            let ended = sync.wait().unwrap();
            let whole = std::fs::read(&there).is_ok_and(|content| content == large);
            assert!(whole || !there.exists(), "{victim} {moment}: half of a file is there");
            assert!(whole || !ended.success(), "{victim} {moment}: it was said to be there");
            bench.comes_back("one");
        }
    }
    bench.home.dwell_in(&project, ["sync", "red"]).ok();
    assert!(std::fs::read(&there).unwrap() == large);
}

#[test]
fn what_was_asked_while_the_node_was_away_is_done_when_it_is_back() {
    let Some(bench) = Bench::start([HostPlan::new("one").images(["busybox:latest"])]) else {
        return;
    };
    let project = bench.home.project("shop").compose(SPREAD).git();
    for name in ["red", "blue"] {
        bench.home.dwell_in(&project, [&["up", name], &PLACE[..]].concat()).ok();
    }
    bench.home.dwell_in(&project, ["up", "whole", "--remote", "one"]).ok();
    let host = bench.host();
    host.partition();
    for (command, name) in [("down", "blue"), ("destroy", "red"), ("destroy", "whole")] {
        let words = [&[command, name][..], if command == "destroy" { &["--force"] } else { &[] }];
        let ran = bench.home.dwell_in(&project, words.concat());
        ran.ok();
        assert!(ran.took < Duration::from_secs(15), "{ran:?}");
        assert!(ran.stderr.contains("as soon as it is back"), "{command} {name}: {}", ran.stderr);
    }
    let left = bench.listed(&project);
    assert_eq!(left, ["blue"]);
    let containers = |name: &str| host.containers(name, None).len();
    // One that was asked for in an earlier life of the daemon counts as well.
    kill_daemon(&bench);
    bench.home.dwell(["node", "start"]).ok();
    assert!(containers("red") > 0 && containers("whole") > 0 && containers("blue") > 0);
    host.heal();
    wait_until(LIMIT, "it is done", || {
        containers("red") == 0 && containers("whole") == 0 && containers("blue") == 0
    });
    wait_until(LIMIT, "the trees are gone", || {
        !bench.tree("one", "shop/red").exists() && !bench.tree("one", "shop/whole").exists()
    });
    wait_until(LIMIT, "they are listed no more", || bench.listed(&project) == ["blue"]);
    bench.home.dwell_in(&project, ["up", "blue"]).ok();
    bench.home.dwell_in(&project, ["destroy", "blue", "--force"]).ok();
    is_bare(host);
}
