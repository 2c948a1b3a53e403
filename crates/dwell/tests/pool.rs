//! The warm pool on a real engine: what waits becomes a workspace like any other, nobody gets what
//! another one got, and a crash leaves nothing behind.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    missing_docs,
    reason = "a test ends where it meets what it does not expect"
)]

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::time::Duration;

use dwell_testkit::{Engine, Ran, TestHome, docker, has_image, labelled, sh, show, wait_until};
use serde_json::Value;

const IMAGE: &str = "debian:bookworm";
/// The same with an ssh server, sudo and git.
const SERVER: &str = "dwell-test-workspace";
const SOON: Duration = Duration::from_secs(60);

/// A home in whose pool so many of an image wait.
fn home(image: &str, count: u32) -> TestHome {
    let home = TestHome::new(env!("CARGO_BIN_EXE_dwell"));
    want(&home, image, count);
    full(&home, count);
    home
}

fn want(home: &TestHome, image: &str, count: u32) {
    home.configure(&format!("[pool]\n\"{image}\" = {count}\n"));
}

fn pool(home: &TestHome) -> Value {
    home.dwell(["ws", "pool", "--json"]).json()
}

fn ready(home: &TestHome) -> u64 {
    let pool = pool(home);
    pool["images"].as_array().unwrap().iter().map(|it| it["ready"].as_u64().unwrap()).sum()
}

/// Waits until all wait. A test ends so, too: what the engine makes at that moment is missed by who
/// cleans up.
#[track_caller]
fn full(home: &TestHome, count: u32) {
    wait_until(SOON, "the pool is full", || ready(home) == u64::from(count));
}

/// The containers of this home.
fn containers(home: &TestHome) -> BTreeSet<String> {
    let label = format!("dwell.node={}", home.node().unwrap());
    let list = ["ps", "--all", "--quiet", "--no-trunc", "--filter"];
    let ran = docker([&list[..], &[&format!("label={label}")]].concat());
    ran.ok().lines().map(str::to_owned).collect()
}

fn everything(home: &TestHome) -> Vec<usize> {
    let label = format!("dwell.node={}", home.node().unwrap());
    ["container", "network", "volume"].map(|kind| labelled(None, kind, &label).len()).into()
}

fn inspect(container: &str, what: &str) -> String {
    docker(["inspect", "--format", what, container]).ok().to_owned()
}

/// Whether everything in a container stands still, whoever saw to that.
fn is_frozen(container: &str) -> bool {
    let pid = inspect(container, "{{.State.Pid}}");
    let text = std::fs::read_to_string(format!("/proc/{pid}/cgroup")).unwrap();
    let path = |name: &str| {
        let line = text.lines().find(|line| line.split(':').nth(1) == Some(name))?;
        line.splitn(3, ':').nth(2).map(|path| path.trim_start_matches('/').to_owned())
    };
    let root = PathBuf::from("/sys/fs/cgroup");
    match path("freezer") {
        Some(group) => {
            let file = root.join("freezer").join(group).join("freezer.state");
            std::fs::read_to_string(file).unwrap().trim() == "FROZEN"
        }
        None => {
            let file = root.join(path("").unwrap()).join("cgroup.events");
            std::fs::read_to_string(file).unwrap().contains("frozen 1")
        }
    }
}

fn create(home: &TestHome, name: &str, image: &str) -> Ran {
    home.dwell(["ws", "create", name, "--image", image])
}

/// Whether a workspace was made before it had its name.
fn is_of_the_pool(home: &TestHome, name: &str) -> bool {
    let shown = show(home, name);
    let label = "{{index .Config.Labels \"dwell.name\"}}";
    let made_as = inspect(shown["container"].as_str().unwrap(), label);
    assert!(made_as == name || made_as == shown["id"].as_str().unwrap(), "{made_as}");
    made_as != name
}

#[test]
fn one_that_waits_becomes_a_workspace() {
    if !has_image(SERVER) {
        return;
    }
    let home = home(SERVER, 1);
    let waits = containers(&home).pop_first().unwrap();
    assert!(is_frozen(&waits), "it waits frozen");
    assert!(home.dwell(["ws", "ls", "--all"]).ok().contains("no workspaces"));
    let id = inspect(&waits, "{{index .Config.Labels \"dwell.workspace\"}}");
    home.dwell(["ws", "show", &id]).fails_with(3);
    home.dwell(["ws", "exec", &id, "--", "true"]).fails_with(3);
    home.dwell(["ws", "idle", &id]).fails_with(3);
    let listed = home.dwell(["ws", "pool"]);
    assert!(listed.ok().contains(SERVER) && listed.stdout.contains("MiB"), "{listed:?}");

    let took = create(&home, "box", SERVER);
    took.ok();
    println!("made in {:?}", took.took);
    let shown = show(&home, "box");
    assert_eq!((&shown["id"], &shown["status"]), (&id.into(), &"running".into()));
    assert!(is_of_the_pool(&home, "box") && !is_frozen(&waits));
    let names = "hostname; cat /etc/hostname; getent hosts box | wc -l; echo $DWELL_WORKSPACE_NAME";
    assert_eq!(sh(&home, "box", names).ok(), "box\nbox\n1\nbox");
    let told = home.dwell(["ssh", "box", "--", "hostname; echo $DWELL_WORKSPACE_NAME"]);
    assert_eq!(told.ok(), "box\nbox");
    let known = std::fs::read_to_string(home.state().join("ssh/known_hosts")).unwrap();
    assert_eq!(known, format!("box.dwell {}\n", shown["host_key"].as_str().unwrap()));

    let created = shown["created"].as_i64().unwrap();
    let idle = home.dwell(["ws", "idle", "box", "--json"]).json();
    let freezes = idle["next"]["at"].as_i64().unwrap();
    assert!(freezes >= created + 6 * 3600 * 1_000_000 - 1_000_000, "{idle}");

    sh(&home, "box", "echo mine > ~/file").ok();
    home.dwell(["ws", "stop", "box"]).ok();
    home.dwell(["ws", "start", "box"]).ok();
    assert_eq!(sh(&home, "box", "hostname; cat ~/file /etc/hostname").ok(), "box\nmine\nbox");
    home.dwell(["ws", "rename", "box", "red"]).ok();
    let called = "hostname; getent hosts red | wc -l; getent hosts box | wc -l";
    assert_eq!(sh(&home, "red", called).ok(), "red\n1\n0");
    home.dwell(["ws", "destroy", "red", "--force"]).ok();
    home.dwell(["ws", "restore", "red"]).ok();
    assert_eq!(sh(&home, "red", "hostname; cat ~/file").ok(), "red\nmine");
    assert!(!is_of_the_pool(&home, "red"), "it was made anew");

    full(&home, 1);
    create(&home, "blue", SERVER).ok();
    assert!(is_of_the_pool(&home, "blue"));
    let other = show(&home, "red")["address"].as_str().unwrap().to_owned();
    let reach = format!("timeout 2 bash -c 'exec 3<>/dev/tcp/{other}/22' 2>/dev/null && echo yes");
    assert_eq!(sh(&home, "blue", &reach).stdout, "", "it is kept apart as others are");
    full(&home, 1);
}

#[test]
fn limits_are_given_and_what_takes_another_container_is_made_anew() {
    let home = home(IMAGE, 2);
    let small = ["ws", "create", "small", "--image", IMAGE, "--class", "cpu=1,mem=256m"];
    home.dwell(small).ok();
    assert!(is_of_the_pool(&home, "small"));
    assert_eq!(sh(&home, "small", "echo $DWELL_CPUS $DWELL_MEMORY_MB").ok(), "1 256");
    let container = show(&home, "small")["container"].as_str().unwrap().to_owned();
    assert_eq!(inspect(&container, "{{.HostConfig.Memory}}"), (256_u64 << 20).to_string());

    let project = home.project("shop").compose("services:\n  web:\n    image: busybox\n");
    home.dwell_in(&project, ["create", "red"]).ok();
    home.dwell_in(&project, ["ws", "create", "joined", "--image", IMAGE, "--env", "red"]).ok();
    assert!(!is_of_the_pool(&home, "joined"), "a tree takes a container of its own");
    home.dwell(["ws", "create", "signed", "--image", IMAGE, "--credentials", "claude"]).ok();
    assert!(!is_of_the_pool(&home, "signed"));
    let taken = home.dwell(["ws", "create", "small", "--image", IMAGE]);
    assert!(taken.fails_with(5).contains("exists already"), "{taken:?}");
    full(&home, 2);
}

#[test]
fn ten_at_once_share_nothing() {
    let home = home(IMAGE, 3);
    let names: Vec<String> = (0..10).map(|number| format!("box-{number}")).collect();
    let waited = containers(&home);
    std::thread::scope(|scope| {
        for name in &names {
            scope.spawn(|| create(&home, name, IMAGE).ok().to_owned());
        }
    });
    let ids: BTreeSet<String> =
        names.iter().map(|name| show(&home, name)["id"].as_str().unwrap().to_owned()).collect();
    assert_eq!(ids.len(), 10);
    let container =
        |name: &String| inspect(show(&home, name)["container"].as_str().unwrap(), "{{.Id}}");
    let all: BTreeSet<String> = names.iter().map(container).collect();
    assert_eq!(all.len(), 10);
    let warm = all.intersection(&waited).count();
    assert_eq!(warm, 3, "those that waited, each once");
    for name in &names {
        assert_eq!(sh(&home, name, "hostname").ok(), name);
    }
    full(&home, 3);
}

#[test]
fn it_follows_the_configuration_and_the_image() {
    let home = TestHome::new(env!("CARGO_BIN_EXE_dwell"));
    let own = format!("dwell-test-pool-{}:latest", std::process::id());
    assert_eq!(ready(&home), 0, "there is none by default");
    assert_eq!(everything(&home), [0, 0, 0]);
    want(&home, &own, 1);
    let told = |text: &str| home.dwell(["ws", "pool"]).stdout.contains(text);
    wait_until(SOON, "it is told", || told("there is no such image"));

    docker(["tag", IMAGE, &own]).ok();
    full(&home, 1);
    let first = containers(&home);
    assert!(is_frozen(first.first().unwrap()));
    home.dwell(["node", "stop"]).ok();
    full(&home, 1);
    assert_eq!(containers(&home), first, "another daemon finds it");

    let other = if has_image(SERVER) { SERVER } else { "busybox" };
    docker(["tag", other, &own]).ok();
    // Nobody looked yet, and it is not taken all the same.
    if other == SERVER {
        create(&home, "box", &own).ok();
        assert!(!is_of_the_pool(&home, "box"), "the image is another one");
        home.dwell(["ws", "destroy", "box", "--force", "--purge"]).ok();
        wait_until(SOON, "one of the new image waits", || {
            ready(&home) == 1 && containers(&home).is_disjoint(&first)
        });
    }
    home.configure("[pool]\nx = 99\n");
    wait_until(SOON, "it is told", || told("nothing is made: "));
    assert_eq!(ready(&home), 1, "what is not understood changes nothing");
    home.configure("");
    wait_until(SOON, "off removes all", || everything(&home) == [0, 0, 0]);
    assert!(home.dwell(["ws", "pool"]).ok().contains("nothing waits"));
    docker(["rmi", &own]).ok();
}

/// Starts the daemon, which is to die at a step.
fn start_with(home: &TestHome, fault: &str) {
    let mut daemon = home.dwell_command();
    let daemon = daemon.args(["node", "start"]).env("DWELL_TEST_FAULT", fault);
    dwell_testkit::run(daemon, Duration::from_secs(30)).ok();
}

#[test]
fn a_crash_while_it_is_filled_leaves_nothing_behind() {
    let home = TestHome::new(env!("CARGO_BIN_EXE_dwell"));
    home.dwell(["node", "start"]).ok();
    home.dwell(["node", "stop"]).ok();
    want(&home, IMAGE, 1);
    for step in ["pool_record", "workspace_network", "pool_container", "pool_start", "pool_freeze"]
    {
        start_with(&home, &format!("{step}:after:abort"));
        let socket = home.socket();
        wait_until(SOON, "the daemon dies", || {
            std::os::unix::net::UnixStream::connect(&socket).is_err()
        });
        // The next command starts it again.
        full(&home, 1);
        wait_until(SOON, "nothing else is there", || everything(&home) == [1, 1, 1]);
        want(&home, IMAGE, 0);
        // Who asks has the configuration looked at.
        home.dwell(["ws", "pool"]).ok();
        wait_until(SOON, "off removes it", || everything(&home) == [0, 0, 0]);
        home.dwell(["node", "stop"]).ok();
        want(&home, IMAGE, 1);
    }
}

#[test]
fn a_crash_while_one_is_taken_undoes_the_workspace() {
    for step in ["pool_named", "pool_finished"] {
        let home = home(IMAGE, 1);
        home.dwell(["node", "stop"]).ok();
        start_with(&home, &format!("{step}:after:abort"));
        let ran = create(&home, "box", IMAGE);
        assert_ne!(ran.code, Some(0), "{ran:?}");
        wait_until(SOON, "it is undone", || {
            home.dwell(["ws", "ls", "--all", "-q"]).ok().is_empty()
        });
        full(&home, 1);
        wait_until(SOON, "nothing else is there", || everything(&home) == [1, 1, 1]);
        create(&home, "box", IMAGE).ok();
        assert!(is_of_the_pool(&home, "box"));
        assert_eq!(sh(&home, "box", "hostname").ok(), "box");
        full(&home, 1);
    }
}

#[test]
fn where_taking_one_fails_another_is_made() {
    let home = home(IMAGE, 1);
    home.dwell(["node", "stop"]).ok();
    start_with(&home, "pool_named:after:fail");
    full(&home, 1);
    let ran = create(&home, "box", IMAGE);
    ran.ok();
    assert!(ran.stderr.contains("the container that waited could not be used"), "{ran:?}");
    assert!(!is_of_the_pool(&home, "box"));
    assert_eq!(sh(&home, "box", "hostname").ok(), "box");
    full(&home, 1);
}

#[test]
fn what_waits_outlives_the_database_and_goes_with_its_container() {
    let home = home(IMAGE, 1);
    let first = containers(&home);
    home.dwell(["node", "stop"]).ok();
    for file in ["node.db", "node.db-wal", "node.db-shm"] {
        let _ = std::fs::remove_file(home.state().join(file));
    }
    full(&home, 1);
    assert_eq!(containers(&home), first);
    docker(["rm", "--force", first.first().unwrap()]).ok();
    wait_until(SOON, "another one waits", || {
        let now = containers(&home);
        now.len() == 1 && now.is_disjoint(&first) && ready(&home) == 1
    });
    wait_until(SOON, "nothing else is there", || everything(&home) == [1, 1, 1]);
}

/// The engine sees processes by other numbers than the daemon, which can only ask it.
#[test]
fn an_engine_that_only_can_be_asked_freezes_and_names_it() {
    let Some(mut engine) = Engine::private() else { return };
    engine.load(IMAGE);
    let home = TestHome::on_engine(env!("CARGO_BIN_EXE_dwell"), Some(engine.host()));
    want(&home, IMAGE, 1);
    full(&home, 1);
    let paused = |engine: &Engine| {
        engine.docker(["ps", "--quiet", "--filter", "status=paused"]).ok().to_owned()
    };
    let first = paused(&engine);
    assert!(!first.is_empty());
    create(&home, "box", IMAGE).ok();
    let names = "hostname; cat /etc/hostname; getent hosts box | wc -l; echo $DWELL_WORKSPACE_NAME";
    assert_eq!(sh(&home, "box", names).ok(), "box\nbox\n1\nbox");
    full(&home, 1);
    let second = paused(&engine);
    assert!(!second.is_empty() && second != first);
    engine.kill();
    engine.restart();
    wait_until(SOON, "another one waits", || {
        let now = paused(&engine);
        !now.is_empty() && now != second && ready(&home) == 1
    });
    wait_until(SOON, "the workspace runs", || sh(&home, "box", "hostname").stdout == "box\n");
    full(&home, 1);
}
