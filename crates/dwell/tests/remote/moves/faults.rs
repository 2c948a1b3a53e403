//! Moves that go wrong: until the new is well, the old is what there is, with its data.

use super::*;

/// A fault in the daemon that the next command starts.
fn with_fault(bench: &Bench, project: &Path, fault: &str, arguments: &[&str]) -> Ran {
    bench.home.dwell(["node", "stop"]);
    let mut command = bench.home.dwell_command();
    command.env("DWELL_TEST_FAULT", fault).current_dir(project).args(arguments);
    let ran = run(&mut command, Duration::from_secs(180));
    bench.home.dwell(["node", "stop"]);
    ran
}

/// That all of it runs in one place, with its data, and only there.
#[track_caller]
fn is_whole_on(bench: &Bench, project: &Path, place: &str, what: &str) {
    // A daemon that has just started may still be settling, and meeting its nodes.
    wait_until(Duration::from_secs(30), &format!("{what}: it runs on {place}"), || {
        let ran = bench.home.dwell_in(project, ["status", "red", "--json"]);
        let status: Value = serde_json::from_str(&ran.stdout).unwrap_or_default();
        let home = status["node"].as_str().unwrap_or("local").to_owned();
        let services = status["services"].as_array().cloned().unwrap_or_default();
        let there = services.iter().filter(|service| service["name"] == "store");
        let node = there.map(|s| s["node"].as_str().map_or(home.clone(), str::to_owned)).next();
        let there = status["status"] == "running" && node.as_deref() == Some(place);
        there && {
            let (ran, wanted) = content(bench, project);
            ran.code == Some(0) && ran.stdout.trim() == wanted
        }
    });
    let list = bench.home.dwell_in(project, ["ls", "--json"]).json();
    assert_eq!(list.as_array().unwrap().len(), 1, "{what}: {list}");
    for other in bench.hosts.all().iter().map(|host| host.name()).filter(|name| *name != place) {
        let host = bench.hosts.host(other);
        wait_until(Duration::from_secs(30), &format!("{what}: nothing is left on {other}"), || {
            host.docker(["ps", "-aq"]).ok().is_empty()
                && host.docker(["volume", "ls", "-q"]).ok().is_empty()
        });
    }
    if place != "local" {
        wait_until(Duration::from_secs(30), &format!("{what}: its data is there only"), || {
            volumes_here(bench).is_empty()
        });
    }
    wait_until(Duration::from_secs(30), &format!("{what}: its name leads there"), || {
        resolve(bench.home.dns_port(), "store.red.test").len() == 1
    });
    assert_eq!(page(bench, "/count"), "1", "{what}");
}

/// Where a fault strikes: a step and a moment, and what it does there.
struct Fault {
    point: &'static str,
    act: &'static str,
    /// Whether what was done is undone, or else finished.
    undone: bool,
}

/// All of these faults, or with `few` as many of them by chance.
fn faults(undone: &[&'static str], finished: &[&'static str], few: usize) -> Vec<Fault> {
    let fails = undone.iter().map(|point| Fault { point, act: "fail", undone: true });
    let dies = undone.iter().map(|point| Fault { point, act: "abort", undone: true });
    let ends = finished.iter().map(|point| Fault { point, act: "abort", undone: false });
    let mut all: Vec<Fault> = fails.chain(dies).chain(ends).collect();
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap();
    let mut chance = since.subsec_nanos() as usize / 1000;
    while std::env::var_os("DWELL_FULL_FAULTS").is_none() && all.len() > few {
        all.remove(chance % all.len());
        chance /= 3;
    }
    all
}

fn check(
    bench: &Bench,
    project: &Path,
    (from, to): (&str, &str),
    subject: &[&str],
    faults: Vec<Fault>,
) {
    let moving =
        |to| [&["move", "red"], subject, &["--with-volumes", "--yes", "--to", to]].concat();
    for Fault { point, act, undone } in faults {
        let what = format!("{from} to {to}, {point}:{act}");
        println!("--- {what}");
        let ran = with_fault(bench, project, &format!("{point}:{act}"), &moving(to));
        if undone {
            let told = if act == "fail" { "a test failed the step" } else { "(interrupted)" };
            assert!(ran.code != Some(0) && ran.stderr.contains(told), "{what}: {ran:?}");
            is_whole_on(bench, project, from, &what);
        } else {
            is_whole_on(bench, project, to, &what);
            bench.home.dwell_in(project, moving(from)).ok();
        }
    }
    bench.home.dwell_in(project, moving(to)).ok();
    is_whole_on(bench, project, to, "after all");
}

#[test]
fn a_service_whose_move_fails_or_dies_is_where_it_was() {
    let Some(bench) = bench(1) else { return };
    let project = project(&bench);
    let project = project.path();
    bench.home.dwell_in(project, ["up", "red", "--wait"]).ok();
    fill(&bench, project);
    let undone = ["halt:after", "carry:after", "containers:after", "want_running:after"];
    let finished = ["settle:before", "drop_parts:before"];
    for way in [("local", "one"), ("one", "local")] {
        check(&bench, project, way, &["store"], faults(&undone, &finished, 2));
    }
}

#[test]
fn an_environment_whose_move_fails_or_dies_is_where_it_was() {
    let Some(bench) = bench(2) else { return };
    let project = project(&bench);
    let project = project.path();
    bench.home.dwell_in(project, ["up", "red", "--wait"]).ok();
    fill(&bench, project);
    let out = ["send:after", "halt:after", "carry:after", "arrive:after"];
    let home = ["tree:after", "halt:after", "carry:after", "want_running:after"];
    let gone = ["want_gone:after", "switch:after", "remove_tree:before"];
    let left = ["switch:before", "leave:before"];
    check(&bench, project, ("local", "one"), &[], faults(&out, &gone, 2));
    check(&bench, project, ("one", "two"), &[], faults(&out, &left, 1));
    check(&bench, project, ("two", "local"), &[], faults(&home, &left, 2));
}

#[test]
fn a_link_that_is_lost_in_the_middle_leaves_all_where_it_was() {
    let Some(bench) = bench(1) else { return };
    let project = project(&bench);
    let project = project.path();
    let dwell = |arguments: &[&str]| bench.home.dwell_in(project, arguments);
    dwell(&["up", "red", "--wait"]).ok();
    fill(&bench, project);
    let much = "dd if=/dev/urandom of=/data/much bs=1M count=300";
    for (to, from) in [("one", "local"), ("local", "one")] {
        dwell(&["exec", "red", "store", "sh", "-c", much]).ok();
        let mut command = bench.home.dwell_command();
        let moving = ["move", "red", "store", "--with-volumes", "--to", to];
        command.current_dir(project).args(moving).stderr(std::process::Stdio::null());
        let child = command.stdout(std::process::Stdio::null()).spawn().unwrap();
        wait_until(Duration::from_secs(60), "the data is on its way", || {
            let host = bench.hosts.host("one");
            let held = ["ps", "-aq", "--filter", "label=dwell.generation=0"];
            !host.docker(held).ok().is_empty()
        });
        bench.hosts.host("one").partition();
        let ended = child.wait_with_output().unwrap();
        assert_ne!(ended.status.code(), Some(0));
        bench.hosts.host("one").heal();
        is_whole_on(&bench, project, from, &format!("cut on the way to {to}"));
        dwell(&["exec", "red", "store", "rm", "/data/much"]).ok();
        dwell(&moving).ok();
        is_whole_on(&bench, project, to, &format!("again to {to}"));
    }
}

#[test]
fn a_service_that_is_not_well_where_it_went_comes_back() {
    let Some(bench) = bench(1) else { return };
    let project = project(&bench);
    let project = project.path();
    let dwell = |arguments: &[&str]| bench.home.dwell_in(project, arguments);
    dwell(&["up", "red", "--wait"]).ok();
    fill(&bench, project);
    // It goes on where it runs, and would not begin anew.
    dwell(&["exec", "red", "store", "touch", "/data/refuse"]).ok();
    let ran = dwell(&["move", "red", "store", "--to", "one", "--with-volumes"]);
    assert!(ran.code != Some(0) && ran.stderr.contains("store"), "{ran:?}");
    assert_eq!(node_of(&bench, project, "store"), "local");
    is_bare(&bench, "one");
    let volumes = volumes_here(&bench);
    assert_eq!(volumes.len(), 1, "{volumes:?}");
    let mut read = bench.home.command("docker");
    let mount = format!("{}:/data:ro", volumes[0]);
    read.args(["run", "--rm", "--network", "none", "-v", &mount, "busybox:latest"]);
    let ran = run(read.args(["cat", "/data/private"]), Duration::from_secs(60));
    assert_eq!(ran.ok(), "secret");
    assert!(ask(bench.home.dns_port(), "store.red.test", 1).is_some());
}
