//! What cannot be is refused before anything is made, and says what is wrong.

use std::path::Path;
use std::time::Duration;

use dwell_testkit::{HostPlan, Project};

use crate::bench::Bench;

const COMPOSE: &str = r#"
services:
  web: { image: "busybox:latest", command: ["sleep", "1000"], init: true }
  db: { image: "busybox:latest", command: ["sleep", "1000"], init: true, expose: ["5432"] }
"#;

fn project(bench: &Bench, name: &str, compose: &str) -> Project {
    bench.home.project(name).compose(compose).git()
}

/// Nothing is left of an environment that was refused, neither here nor on the node.
#[track_caller]
fn nothing_is_made(bench: &Bench, project: &Path) {
    let list = bench.home.dwell_in(project, ["ls", "--all", "--json"]).json();
    assert_eq!(list.as_array().map(Vec::len), Some(0), "{list}");
    let name = project.file_name().unwrap();
    let tree = bench.home.data().join(name).join("red");
    assert!(!tree.exists(), "{}", tree.display());
    for host in bench.hosts.all() {
        let tree = host.path("/root/.local/share/dwell").join(name).join("red");
        assert!(!tree.exists(), "{}", tree.display());
        assert_eq!(host.docker(["ps", "-aq"]).ok(), "");
        let networks = ["network", "ls", "-q", "--filter", "label=dwell.env"];
        assert_eq!(host.docker(networks).ok(), "");
    }
}

#[test]
fn what_cannot_travel_is_named() {
    let Some(bench) = Bench::start([HostPlan::new("one").engine()]) else { return };
    bench.load("one", "busybox:latest");
    std::fs::write(bench.home.path().join("outside"), "x").unwrap();
    for (name, mount, told) in [
        ("engine", "/var/run/docker.sock:/var/run/docker.sock", "/var/run/docker.sock"),
        ("device", "/dev/null:/x", "/dev/null"),
        ("outside", "../../outside:/x", "outside the project"),
    ] {
        let db = format!("expose: [\"5432\"], volumes: [\"{mount}\"] }}");
        let compose = COMPOSE.replace("expose: [\"5432\"] }", &db);
        let project = project(&bench, name, &compose);
        for place in [&["--remote", "one"][..], &["--place", "db=one"]] {
            let up = [&["up", "red"], place].concat();
            let refused = bench.home.dwell_in(&project, &up);
            let text = refused.fails_with(1);
            assert!(text.contains(told) && text.contains("`db`"), "{up:?}: {text}");
            nothing_is_made(&bench, project.path());
        }
        // The service that needs it stays here, and the others go.
        let up = ["up", "red", "--place", "web=one"];
        bench.home.dwell_in(&project, up).ok();
        bench.home.dwell_in(&project, ["destroy", "red", "--force"]).ok();
    }
}

#[test]
fn what_contradicts_itself_or_is_not_there_is_refused() {
    let Some(bench) = Bench::start([HostPlan::new("one").engine()]) else { return };
    let project = project(&bench, "lab", COMPOSE);
    for (flags, code, told) in [
        (&["--remote-services", "db"][..], 2, "on which node"),
        (&["--remote-host", "one"], 2, "--remote-services"),
        (&["--remote", "one", "--remote-host", "two", "--remote-services", "db"], 2, "two"),
        (&["--place", "db=one", "--place", "db=local"], 2, "db"),
        (&["--place", "db=one", "--local-services", "db"], 2, "db"),
        (&["--remote-services", "db", "--remote-host", "one", "--local-services", "db"], 2, "db"),
        (&["--remote", "nowhere"], 3, "nowhere"),
        (&["--place", "db=nowhere"], 2, "nowhere"),
        (&["--place", "other=one"], 2, "other"),
    ] {
        let refused = bench.home.dwell_in(&project, [&["up", "red"], flags].concat());
        assert!(refused.fails_with(code).contains(told), "{flags:?}: {}", refused.stderr);
        nothing_is_made(&bench, project.path());
    }
}

#[test]
fn a_node_that_is_away_is_told_at_once() {
    let Some(bench) = Bench::start([HostPlan::new("one").engine()]) else { return };
    bench.load("one", "busybox:latest");
    let project = project(&bench, "lab", COMPOSE);
    bench.post("/v1/remotes/one/ping", "{}");
    let host = bench.host();
    host.partition();
    // Once while the link looks well still, and then when it is known to be lost.
    for (place, limit) in
        [(&["--remote", "one"][..], 15), (&["--remote", "one"], 8), (&["--place", "db=one"], 8)]
    {
        let up = [&["up", "red", "--json"], place].concat();
        let refused = bench.home.dwell_in(&project, &up);
        refused.fails_with(8);
        let told = ["node_unreachable", "`one`"].iter().all(|word| refused.stdout.contains(word));
        assert!(told && refused.took < Duration::from_secs(limit), "{refused:?}");
    }
    host.heal();
    bench.comes_back("one");
    nothing_is_made(&bench, project.path());
    bench.home.dwell_in(&project, ["up", "red", "--remote", "one"]).ok();
}
