//! Workspaces on a real engine: what stays, what is frozen, what is kept apart.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    missing_docs,
    reason = "a test ends where it meets what it does not expect"
)]

use std::time::{Duration, Instant};

use dwell_testkit::{TestHome, docker, has_image, labelled, sh, show, wait_until};

const IMAGE: &str = "debian:bookworm";
/// The same with an ssh server, sudo and git.
const SERVER: &str = "dwell-test-workspace";

fn home() -> TestHome {
    TestHome::new(env!("CARGO_BIN_EXE_dwell"))
}

fn create(home: &TestHome, name: &str) {
    home.dwell(["ws", "create", name, "--image", IMAGE, "--class", "cpu=1,mem=512m"]).ok();
}

fn create_server(home: &TestHome, name: &str) {
    home.dwell(["ws", "create", name, "--image", SERVER, "--class", "cpu=1,mem=512m"]).ok();
}

#[test]
fn what_is_installed_stays_over_stop_and_start() {
    let home = home();
    create(&home, "box");
    let status = show(&home, "box");
    assert_eq!(status["status"], "running");
    assert!(status["host_key"].as_str().unwrap().starts_with("ssh-ed25519 "), "{status}");
    let again = home.dwell(["ws", "create", "box", "--image", IMAGE]);
    assert!(again.fails_with(5).contains("exists already"), "{again:?}");

    let who = sh(&home, "box", "id -un; id -u; pwd; hostname; echo $HOME");
    assert_eq!(who.ok(), "dev\n1000\n/home/dev\nbox\n/home/dev");
    let told = sh(&home, "box", "echo $DWELL_CPUS $DWELL_MEMORY_MB $DWELL_WORKSPACE_NAME");
    assert_eq!(told.ok(), "1 512 box");
    sh(&home, "box", "exit 7").fails_with(7);
    sh(&home, "box", "echo mine > ~/file").ok();
    let install =
        "echo '#!/bin/sh\necho works' > /usr/local/bin/tool; chmod +x /usr/local/bin/tool";
    home.dwell(["ws", "exec", "-u", "root", "box", "sh", "-c", install]).ok();

    let begun = Instant::now();
    home.dwell(["ws", "stop", "box"]).ok();
    assert!(begun.elapsed() < Duration::from_secs(4), "{:?}", begun.elapsed());
    assert_eq!(show(&home, "box")["status"], "stopped");
    let stopped = sh(&home, "box", "true");
    assert!(stopped.fails_with(1).contains("dwell ws start box"), "{stopped:?}");
    home.dwell(["ws", "start", "box"]).ok();
    assert_eq!(sh(&home, "box", "tool; cat ~/file").ok(), "works\nmine");
    assert_eq!(show(&home, "box")["generation"], 1);

    home.dwell(["ws", "rename", "box", "red"]).ok();
    assert_eq!(sh(&home, "red", "tool; echo $DWELL_WORKSPACE_NAME").ok(), "works\nred");
    home.dwell(["ws", "show", "box"]).fails_with(3);
    home.dwell(["ws", "resize", "red", "mem=256m"]).ok();
    assert_eq!(sh(&home, "red", "echo $DWELL_CPUS $DWELL_MEMORY_MB").ok(), "1 256");
    let limit = docker(["inspect", "-f", "{{.HostConfig.Memory}}", &container(&home, "red")]);
    assert_eq!(limit.ok(), (256_u64 << 20).to_string());
}

fn container(home: &TestHome, name: &str) -> String {
    show(home, name)["container"].as_str().unwrap().to_owned()
}

#[test]
fn a_frozen_workspace_stands_still_and_goes_on() {
    let home = home();
    create(&home, "box");
    let count = "(i=0; while true; do i=$((i+1)); echo $i > ~/count; sleep 0.02; done) \
                 > /dev/null 2>&1 &";
    sh(&home, "box", count).ok();
    let file = |name: &str| {
        let read = docker(["cp", &format!("{name}:/home/dev/count"), "-"]);
        read.stdout.chars().filter(char::is_ascii_graphic).collect::<String>()
    };
    let name = container(&home, "box");
    wait_until(Duration::from_secs(10), "the counter begins", || !file(&name).is_empty());
    home.dwell(["ws", "suspend", "box"]).ok();
    assert_eq!(show(&home, "box")["status"], "frozen");
    let first = file(&name);
    std::thread::sleep(Duration::from_millis(300));
    assert_eq!(file(&name), first, "a frozen counter stands still");
    home.dwell(["ws", "ls"]).ok();
    assert_eq!(show(&home, "box")["status"], "frozen", "listing wakes nothing");
    home.dwell(["ws", "resume", "box"]).ok();
    wait_until(Duration::from_secs(10), "the counter goes on", || file(&name) != first);

    // A command wakes it, once for all who ask at a time.
    home.dwell(["ws", "suspend", "box"]).ok();
    std::thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(|| assert_eq!(sh(&home, "box", "echo up").ok(), "up"));
        }
    });
    assert_eq!(show(&home, "box")["desired"], "running");
}

#[test]
fn a_destroyed_workspace_comes_back_with_its_home() {
    let home = home();
    create(&home, "box");
    sh(&home, "box", "echo mine > ~/file").ok();
    sh(&home, "box", "sleep 1000 > /dev/null 2>&1 &").ok();
    let key = show(&home, "box")["host_key"].clone();
    let plan = home.dwell(["ws", "destroy", "box", "--dry-run"]);
    assert!(plan.ok().contains("running: sleep 1000"), "{plan:?}");
    let refused = home.dwell(["ws", "destroy", "box", "--yes"]);
    assert!(refused.fails_with(5).contains("sleep 1000"), "{refused:?}");
    home.dwell(["ws", "destroy", "box"]).fails_with(2);
    home.dwell(["ws", "destroy", "box", "--force"]).ok();
    home.dwell(["ws", "show", "box"]).fails_with(3);
    assert!(home.dwell(["ws", "ls"]).ok().contains("no workspaces"));
    assert_eq!(home.dwell(["ws", "ls", "--all", "--json"]).json()[0]["status"], "destroyed");
    let node = format!("dwell.node={}", home.node().unwrap());
    assert!(labelled(None, "container", &node).is_empty());
    wait_until(Duration::from_secs(10), "its network goes", || {
        labelled(None, "network", &node).is_empty()
    });
    // At once after the next one, before its network is gone.
    home.dwell(["ws", "restore", "box"]).ok();
    home.dwell(["ws", "destroy", "box", "--force"]).ok();
    home.dwell(["ws", "restore", "box"]).ok();
    assert_eq!(sh(&home, "box", "cat ~/file").ok(), "mine");
    home.dwell(["ws", "destroy", "box", "--force"]).ok();

    // Its name is free for another one, which then has it.
    create(&home, "box");
    home.dwell(["ws", "restore", "box"]).fails_with(5);
    home.dwell(["ws", "destroy", "box", "--force", "--purge"]).ok();
    home.dwell(["ws", "restore", "box"]).ok();
    assert_eq!(sh(&home, "box", "cat ~/file").ok(), "mine");
    let back = show(&home, "box");
    assert_eq!((&back["generation"], &back["host_key"]), (&4.into(), &key));
    home.dwell(["ws", "destroy", "box", "--force", "--purge"]).ok();
    assert!(labelled(None, "volume", &node).is_empty());
    home.dwell(["ws", "restore", "box"]).fails_with(3);
}

#[test]
fn what_a_killed_daemon_began_to_make_is_gone() {
    for step in ["record", "network", "container", "start"] {
        let home = home();
        let fault = format!("workspace_{step}:after:abort");
        start_with(&home, &fault);
        let node = format!("dwell.node={}", home.node().unwrap());
        let made = home.dwell(["ws", "create", "box", "--image", IMAGE]);
        assert_ne!(made.code, Some(0), "{step}: {made:?}");
        wait_until(Duration::from_secs(30), "nothing is left", || {
            home.dwell(["ws", "ls", "--all", "--json"]).json().as_array().unwrap().is_empty()
        });
        for kind in ["container", "network", "volume"] {
            assert!(labelled(None, kind, &node).is_empty(), "{step}: a {kind} is left");
        }
        create(&home, "box");
        assert_eq!(show(&home, "box")["status"], "running", "{step}");
    }
}

#[test]
fn two_workspaces_do_not_reach_each_other_nor_the_node() {
    let home = home();
    create(&home, "one");
    create(&home, "two");
    let listen = "perl -MIO::Socket::INET -e '$s=IO::Socket::INET->new(LocalPort=>7000,\
                  Listen=>5,ReuseAddr=>1) or die; while($c=$s->accept){print $c \"hello\";\
                  close $c}' > /dev/null 2>&1 &";
    sh(&home, "one", listen).ok();
    let address = show(&home, "one")["address"].as_str().unwrap().to_owned();
    let ask = format!("timeout 2 bash -c 'cat < /dev/tcp/{address}/7000'");
    wait_until(Duration::from_secs(10), "it listens", || {
        sh(&home, "one", &ask).stdout.contains("hello")
    });
    let other = sh(&home, "two", &ask);
    assert!(other.code != Some(0) && !other.stdout.contains("hello"), "{other:?}");
    let ports =
        docker(["inspect", "-f", "{{json .NetworkSettings.Ports}}", &container(&home, "one")]);
    assert!(!ports.ok().contains("HostPort"), "{ports:?}");
    let found = "find / -xdev -name '*.sock' -not -path '/run/user/1000/*' 2>/dev/null; ls /var/run/docker.sock 2>/dev/null; true";
    assert_eq!(sh(&home, "two", found).ok(), "", "no socket is in it");
    let writes = home.dwell(["ws", "exec", "-u", "root", "two", "touch", "/run/dwell/x"]);
    assert_ne!(writes.code, Some(0), "what the node gives cannot be written: {writes:?}");
}

#[test]
fn too_much_memory_ends_the_offender_only() {
    let home = home();
    home.dwell(["ws", "create", "box", "--image", IMAGE, "--class", "cpu=1,mem=128m"]).ok();
    sh(&home, "box", "sleep 1000 > /dev/null 2>&1 &").ok();
    let hog =
        home.dwell(["ws", "exec", "box", "--", "perl", "-e", "$x = 'x' x (1 << 30); sleep 5"]);
    assert_ne!(hog.code, Some(0), "{hog:?}");
    let running = home.dwell(["ws", "destroy", "box", "--dry-run"]);
    assert!(running.ok().contains("sleep 1000"), "what did nothing goes on: {running:?}");
    assert_eq!(show(&home, "box")["status"], "running");
}

#[test]
fn more_than_the_limit_of_the_disk_is_told() {
    let home = home();
    let class = "cpu=1,mem=512m,disk=1g";
    let made = home.dwell(["ws", "create", "box", "--image", IMAGE, "--class", class]);
    made.ok();
    // Where the engine holds it to its limit there cannot be more.
    if !made.stderr.contains("holds nothing to the limit of its disk") {
        return;
    }
    sh(&home, "box", "fallocate -l 1100M big").ok();
    wait_until(Duration::from_secs(60), "it is measured", || {
        show(&home, "box")["size"].is_object()
    });
    let shown = home.dwell(["ws", "show", "box"]);
    assert!(shown.ok().contains("more than its limit of 1.0 GiB"), "{shown:?}");
    let told = home.dwell(["doctor"]).stdout;
    assert!(told.contains("`box` takes 11") && told.contains("dwell ws resize box"), "{told}");
    home.dwell(["ws", "resize", "box", "disk=2g"]).ok();
    let shown = home.dwell(["ws", "show", "box"]);
    assert!(shown.ok().contains(", of 2.0 GiB"), "{shown:?}");
    assert!(!home.dwell(["doctor"]).stdout.contains("`box` takes"));
}

#[test]
fn a_workspace_that_joined_reaches_services_by_name() {
    let home = home();
    let shop = home.project("shop").compose(
        "services:\n  web:\n    image: busybox\n    init: true\n    stop_grace_period: 0s\n    \
         command: sh -c 'mkdir /w; echo welcome > /w/index.html; exec httpd -f -p 80 -h /w'\n",
    );
    home.dwell_in(&shop, ["up", "a"]).ok();
    create(&home, "box");
    let get = |name: &str| {
        let ask = format!(
            "timeout 3 bash -c 'exec 3<>/dev/tcp/{name}/80; \
             printf \"GET / HTTP/1.0\\r\\n\\r\\n\" >&3; cat <&3'"
        );
        sh(&home, "box", &ask)
    };
    assert_ne!(get("web.a.test").code, Some(0), "before it joined");
    home.dwell(["ws", "join", "box", "a"]).ok();
    for name in ["web.a.test", "web.a.shop.test"] {
        wait_until(Duration::from_secs(10), name, || get(name).stdout.contains("welcome"));
    }
    assert_eq!(show(&home, "box")["environments"][0]["connected"], true);

    // The environment goes and comes, and so does the workspace.
    home.dwell_in(&shop, ["down", "a"]).ok();
    home.dwell_in(&shop, ["up", "a"]).ok();
    wait_until(Duration::from_secs(10), "up again", || {
        get("web.a.test").stdout.contains("welcome")
    });
    home.dwell(["ws", "stop", "box"]).ok();
    home.dwell_in(&shop, ["down", "a"]).ok();
    home.dwell_in(&shop, ["up", "a"]).ok();
    home.dwell(["ws", "start", "box"]).ok();
    wait_until(Duration::from_secs(10), "both again", || {
        get("web.a.test").stdout.contains("welcome")
    });

    home.dwell(["ws", "leave", "box", "shop/a"]).ok();
    assert_ne!(get("web.a.test").code, Some(0), "after it left");
    home.dwell(["ws", "create", "other", "--image", IMAGE, "--env", "a"]).ok();
    home.dwell_in(&shop, ["destroy", "a", "--force"]).ok();
    assert_eq!(show(&home, "other")["environments"].as_array().unwrap().len(), 0);
}

#[test]
fn the_first_process_reaps_supervises_and_ends_in_time() {
    if !has_image(SERVER) {
        return;
    }
    let home = home();
    create_server(&home, "box");
    assert_eq!(sh(&home, "box", "id -un; sudo id -un").ok(), "dev\nroot");
    sh(&home, "box", "for i in $(seq 200); do (sleep 0.2 &); done").ok();
    let states = |wanted: &str| {
        let look = "for f in /proc/[0-9]*/stat; do cat $f 2>/dev/null; done";
        let all = sh(&home, "box", look).ok().to_owned();
        all.lines().filter(|line| line.contains(wanted)).count()
    };
    wait_until(Duration::from_secs(10), "no zombies and no sleepers", || {
        states("(sleep)") == 0 && states(") Z ") == 0
    });

    let key = show(&home, "box")["host_key"].as_str().unwrap().to_owned();
    let address = show(&home, "box")["address"].as_str().unwrap().to_owned();
    let scan = || {
        let scan = dwell_testkit::run(
            home.command("ssh-keyscan").args(["-T", "2", "-t", "ed25519", &address]),
            Duration::from_secs(10),
        );
        scan.stdout.contains(&key)
    };
    wait_until(Duration::from_secs(10), "the server shows its key", scan);
    let kill = "kill $(cat /proc/[0-9]*/stat | grep '(sshd)' | cut -d' ' -f1)";
    home.dwell(["ws", "exec", "-u", "root", "box", "sh", "-c", kill]).ok();
    wait_until(Duration::from_secs(10), "the server is back", scan);

    // How long it takes is the engine's business as well, so one quick end of a few will do.
    let name = container(&home, "box");
    let stop = |_| {
        home.dwell(["ws", "start", "box"]).ok();
        sh(&home, "box", "trap '' TERM HUP; (sleep 1000; sleep 1000) > /dev/null 2>&1 &").ok();
        let stop = home.dwell(["ws", "stop", "box"]);
        stop.ok();
        let ended = docker(["inspect", "-f", "{{.State.ExitCode}}", &name]);
        assert_eq!(ended.ok(), "0", "the first process ended by itself");
        stop.took
    };
    assert!((0..5).map(stop).any(|took| took < Duration::from_secs(2)));

    home.dwell(["ws", "start", "box"]).ok();
    docker(["kill", &name]).ok();
    wait_until(Duration::from_secs(20), "it is wanted, so it runs again", || {
        show(&home, "box")["status"] == "running"
    });
}

#[test]
fn what_cannot_be_made_says_what_to_do() {
    let home = home();
    let missing = home.dwell(["ws", "create", "box", "--image", "dwell-test-no-such-image"]);
    assert!(missing.fails_with(3).contains("docker pull"), "{missing:?}");
    for limits in ["huge", "cpu=0", "mem=4"] {
        home.dwell(["ws", "create", "box", "--class", limits]).fails_with(2);
    }
    home.dwell(["ws", "create", "../x"]).fails_with(2);
    // An image that cannot be a workspace is told, and nothing stays.
    home.dwell(["ws", "create", "box", "--image", IMAGE, "--env", "nowhere"]).fails_with(3);
    assert_eq!(home.dwell(["ws", "ls", "--all", "--json"]).json(), serde_json::json!([]));
}

#[test]
fn work_that_is_nowhere_else_is_told_before_it_is_lost() {
    if !has_image(SERVER) {
        return;
    }
    let home = home();
    create_server(&home, "box");
    let git = "git config --global user.name t; git config --global user.email t@localhost; \
               git init -q --bare far.git; git clone -q far.git clean; cd clean; echo a > a; \
               git add a; git commit -qm a; git push -q origin HEAD; cd; git clone -q far.git work; \
               cd work; git commit -q --allow-empty -m b; echo b > b; echo c > 'c d'";
    sh(&home, "box", git).ok();
    let want = "/home/dev/work: 2 uncommitted files, 1 unpushed commits";
    let told = |what: &str| {
        let plan = home.dwell(["ws", "destroy", "box", "--dry-run"]);
        assert!(plan.ok().contains(want) && !plan.stdout.contains("clean"), "{what}: {plan:?}");
    };
    told("it runs");
    home.dwell(["ws", "destroy", "box", "-y"]).fails_with(5);
    home.dwell(["ws", "suspend", "box"]).ok();
    told("it is frozen");
    assert_eq!(show(&home, "box")["status"], "frozen");
    home.dwell(["ws", "stop", "box"]).ok();
    told("it is stopped");
    assert_eq!(show(&home, "box")["status"], "stopped");
}

#[test]
fn a_removal_that_a_crash_cut_off_is_finished() {
    let home = home();
    create(&home, "box");
    sh(&home, "box", "echo mine > ~/file").ok();
    home.dwell(["node", "stop"]).ok();
    start_with(&home, "workspace_clear:before:abort");
    let cut = home.dwell(["ws", "destroy", "box", "--force"]);
    assert_ne!(cut.code, Some(0), "{cut:?}");
    wait_until(Duration::from_secs(30), "it is gone", || {
        home.dwell(["ws", "ls", "--all", "--json"]).json()[0]["status"] == "destroyed"
    });
    let node = format!("dwell.node={}", home.node().unwrap());
    assert!(labelled(None, "container", &node).is_empty());
    home.dwell(["ws", "restore", "box", "--name", "red"]).ok();
    assert_eq!(sh(&home, "red", "hostname; cat ~/file").ok(), "red\nmine");
}

/// Starts the daemon, which is to fail or die at a step.
fn start_with(home: &TestHome, fault: &str) {
    let mut daemon = home.dwell_command();
    let daemon = daemon.args(["node", "start"]).env("DWELL_TEST_FAULT", fault);
    dwell_testkit::run(daemon, Duration::from_secs(30)).ok();
}

/// Has the daemon begin with a new database, as after the old one was lost.
fn lose_the_database(home: &TestHome) {
    for file in ["node.db", "node.db-wal", "node.db-shm"] {
        let _ = std::fs::remove_file(home.state().join(file));
    }
}

#[test]
fn workspaces_outlive_the_database_and_homes_their_time_only() {
    let home = home();
    create(&home, "box");
    create(&home, "old");
    let address = show(&home, "box")["address"].clone();
    let id = show(&home, "old")["id"].as_str().unwrap().to_owned();
    home.dwell(["ws", "destroy", "old", "--force"]).ok();
    home.dwell(["node", "stop"]).ok();
    let record = home.state().join("workspaces").join(&id).join("workspace.json");
    let text = std::fs::read_to_string(&record).unwrap();
    let mut kept: serde_json::Value = serde_json::from_str(&text).unwrap();
    kept["kept"]["until"] = 1.into();
    std::fs::write(&record, kept.to_string()).unwrap();
    lose_the_database(&home);

    home.dwell(["node", "start"]).ok();
    wait_until(Duration::from_secs(30), "the old home is gone", || {
        home.dwell(["ws", "ls", "--all", "-q"]).ok() == "box"
    });
    assert_eq!(show(&home, "box")["address"], address);
    assert_eq!(sh(&home, "box", "echo on").ok(), "on");
    let node = format!("dwell.node={}", home.node().unwrap());
    assert_eq!(labelled(None, "volume", &node).len(), 1);
    assert!(!record.exists());
}

#[test]
fn a_workspace_runs_again_after_the_engine_did() {
    let Some(mut engine) = dwell_testkit::Engine::private() else { return };
    engine.load(IMAGE);
    let home = TestHome::on_engine(env!("CARGO_BIN_EXE_dwell"), Some(engine.host()));
    create(&home, "box");
    create(&home, "off");
    home.dwell(["ws", "stop", "off"]).ok();
    sh(&home, "box", "echo mine > /tmp/file").ok();
    engine.kill();
    wait_until(Duration::from_secs(20), "it is not known", || {
        show(&home, "box")["status"] == "unknown"
    });
    engine.restart();
    wait_until(Duration::from_secs(40), "it runs again", || {
        show(&home, "box")["status"] == "running"
    });
    assert_eq!(sh(&home, "box", "cat /tmp/file").ok(), "mine");
    assert_eq!(show(&home, "off")["status"], "stopped");
}
