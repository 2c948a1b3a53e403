//! The home itself, with a script in the binary's place: what it starts and labels is gone when
//! the home is dropped.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, missing_docs, reason = "a test")]

use std::path::PathBuf;
use std::time::Duration;

use dwell_testkit::{TestHome, docker, git, labelled, wait_until};

/// Behaves as the binary does towards the home: a daemon with a socket, an identity, a stop.
const STAND_IN: &str = r#"#!/bin/sh
set -eu
socket=$XDG_RUNTIME_DIR/dwell/node.sock
case "$*" in
    "node status --json") echo "{\"id\": \"$(cat "$XDG_STATE_HOME/dwell/id")\"}" ;;
    "node stop") rm "$socket" ;;
    "node logs") echo log ;;
    "up "*)
        mkdir -p "$XDG_RUNTIME_DIR/dwell" "$XDG_STATE_HOME/dwell/environments/$2"
        echo "$2" >"$XDG_STATE_HOME/dwell/id"
        : >"$socket"
        sleep 600 &
        for kind in network volume; do
            docker "$kind" create --label "dwell.node=$2" "dwell-$2" >/dev/null
        done
        docker tag busybox:latest "dwell-$2/web:latest"
        docker run --detach --network none --label "dwell.node=$2" busybox sleep 600
        ;;
    environment) env ;;
    *) echo "no: $*" >&2; exit 2 ;;
esac
"#;

fn home(name: &str) -> TestHome {
    let scratch = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(name);
    let project = dwell_testkit::Project::new(&scratch).script("dwell", STAND_IN);
    TestHome::new(project.path().join("dwell"))
}

#[test]
fn everything_is_gone_after_the_drop() {
    let home = home("gone");
    let id = format!("test{}", std::process::id());
    assert_eq!(home.node(), None);
    home.dwell(["up", &id]).ok();
    assert_eq!(home.node().unwrap().trim(), id);
    let label = format!("dwell.node={id}");
    for kind in ["container", "network", "volume"] {
        assert_eq!(labelled(None, kind, &label).len(), 1, "{kind}");
    }
    let mark = format!("XDG_STATE_HOME={}", home.path().display());
    assert!(running(&mark) > 0);
    let path = home.path().to_owned();

    drop(home);
    for kind in ["container", "network", "volume", "image"] {
        assert_eq!(labelled(None, kind, &label).len(), 0, "{kind}");
    }
    assert_eq!(docker(["image", "ls", "-q", &format!("dwell-{id}/web")]).ok(), "");
    wait_until(Duration::from_secs(5), "no process of the home", || running(&mark) == 0);
    assert!(!path.exists());
}

/// How many processes have this text in their environment.
fn running(mark: &str) -> usize {
    let processes = std::fs::read_dir("/proc").unwrap().flatten();
    let environments = processes.filter_map(|p| std::fs::read(p.path().join("environ")).ok());
    environments.filter(|e| String::from_utf8_lossy(e).contains(mark)).count()
}

#[test]
fn homes_do_not_meet_and_do_not_see_the_caller() {
    let (one, two) = (home("one"), home("two"));
    assert_ne!(one.dns_port(), two.dns_port());
    assert_ne!(one.pool(), two.pool());
    let environment = one.dwell(["environment"]);
    let environment = environment.ok();
    assert!(!environment.contains("CARGO_"), "{environment}");
    assert!(environment.contains(&format!("HOME={}", one.path().display())), "{environment}");
    assert!(one.dwell(["nonsense"]).fails_with(2).starts_with("no: nonsense"));
}

#[test]
fn projects_are_files_and_commits() {
    let home = home("projects");
    let project = home
        .project("shop")
        .compose("services: {web: {image: busybox}}\n")
        .file("a/b.txt", "text")
        .script("run.sh", "#!/bin/sh\necho ran\n")
        .git();
    let listed = git(&project, ["ls-tree", "-r", "--name-only", "main"]);
    assert_eq!(listed.ok(), "a/b.txt\ncompose.yaml\nrun.sh");
    assert_eq!(git(&project, ["status", "--porcelain"]).ok(), "");
    let ran = dwell_testkit::run(
        &mut home.command(project.path().join("run.sh")),
        Duration::from_secs(5),
    );
    assert_eq!(ran.ok(), "ran");
}
