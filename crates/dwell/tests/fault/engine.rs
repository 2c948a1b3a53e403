//! The engine absent, killed, frozen; containers taken away behind dwell's back.

use std::time::{Duration, Instant};

use dwell_testkit::{Engine, TestHome, run, wait_until};

use crate::support::{SETTLE, World, containers, small, status};

const NAME: &str = "one";

/// A home on a private engine with the image; `None` where there can be no such engine.
fn private() -> Option<(Engine, TestHome)> {
    let engine = Engine::private()?;
    engine.load("busybox");
    let home = TestHome::on_engine(env!("CARGO_BIN_EXE_dwell"), Some(engine.host()));
    home.configure("[shared]\ngrace_seconds = 0\n");
    Some((engine, home))
}

/// Twelve services, so that many are being made when the engine goes away.
fn twelve() -> String {
    let service = |n| {
        format!(
            "  s{n}:\n    image: busybox\n    command: sleep 1d\n    init: true\n    stop_grace_period: 1s\n"
        )
    };
    format!("services:\n{}", (0..12).map(service).collect::<String>())
}

#[test]
fn an_engine_that_is_not_there_is_said_and_awaited() {
    let Some((mut engine, home)) = private() else { return };
    let project = small(&home, "shop");
    home.dwell_in(&project, ["up", "before"]).ok();
    engine.kill();
    let ran = home.dwell_in(&project, ["up", NAME, "--json"]);
    assert!(ran.stdout.contains("engine_unreachable"), "{ran:?}");
    ran.fails_with(8);
    assert_eq!(status(&home, "before"), "unknown");
    engine.restart();
    wait_until(Duration::from_secs(60), "what ran to run again", || {
        status(&home, "before") == "running"
    });
    wait_until(SETTLE, "nothing to be left", || status(&home, NAME).is_empty());
    home.dwell_in(&project, ["up", NAME]).ok();
}

#[test]
fn an_engine_killed_in_the_middle_leaves_nothing_behind() {
    let Some((mut engine, home)) = private() else { return };
    let ran = small(&home, "shop");
    home.dwell_in(&ran, ["up", "before"]).ok();
    let project = home.project("many").compose(&twelve());
    let before = World::of(&home, project.path());
    let mut client = home.dwell_command();
    client.current_dir(&project).args(["up", NAME]).stderr(std::process::Stdio::null());
    let mut client = client.spawn().unwrap();
    let begun = || engine.docker(["ps", "--all", "--quiet"]).ok().lines().count() > 3;
    wait_until(SETTLE, "some to be made", begun);
    engine.kill();
    wait_until(Duration::from_secs(60), "the client to end", || {
        client.try_wait().unwrap().is_some()
    });
    assert_ne!(client.wait().unwrap().code(), Some(0));
    engine.restart();
    let start = Instant::now();
    before.comes_back(&home, project.path(), "killed in the middle");
    println!("settled after {:?}", start.elapsed());
    home.dwell_in(&project, ["up", NAME]).ok();
    wait_until(SETTLE, "all to run", || status(&home, NAME) == "running");
}

#[test]
fn a_frozen_engine_is_unknown_and_holds_nobody_for_ever() {
    let Some((engine, home)) = private() else { return };
    let project = small(&home, "shop");
    home.dwell_in(&project, ["up", NAME]).ok();
    engine.freeze();
    std::thread::sleep(Duration::from_secs(2));
    for arguments in [&["ls", "--json"][..], &["status", NAME, "--json"]] {
        let ran = home.dwell_in(&project, arguments);
        assert!(ran.took < Duration::from_secs(2), "{ran:?}");
        assert!(ran.stdout.contains("\"unknown\""), "{ran:?}");
    }
    let mut up = home.dwell_command();
    up.current_dir(&project).args(["up", "two", "--json"]);
    let ran = run(&mut up, Duration::from_secs(100));
    println!("an up ended after {:?}", ran.took);
    assert!(ran.stdout.contains("\"timeout\""), "{ran:?}");
    engine.thaw();
    wait_until(SETTLE, "it to be seen again", || status(&home, NAME) == "running");
    wait_until(SETTLE, "nothing to be left", || status(&home, "two").is_empty());
    home.dwell_in(&project, ["up", "two"]).ok();
}

#[test]
fn containers_that_somebody_removed_come_back() {
    let home = crate::support::home();
    let project = small(&home, "shop");
    home.dwell_in(&project, ["up", NAME]).ok();
    let before = containers(&home);
    for verb in [&["rm", "--force"][..], &["kill"]] {
        let ids: Vec<String> = containers(&home).into_iter().collect();
        let arguments = verb.iter().map(|word| (*word).to_owned()).chain(ids);
        dwell_testkit::docker(arguments).ok();
        wait_until(Duration::from_secs(5), "it to be seen", || status(&home, NAME) != "running");
        let back = || status(&home, NAME) == "running" && !containers(&home).is_empty();
        wait_until(Duration::from_secs(45), "it to come back", back);
    }
    assert_ne!(containers(&home), before);
}
