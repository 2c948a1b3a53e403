//! Many at once on few workspaces, while both also fall asleep for being idle.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use dwell_testkit::{Engine, Ran, TestHome, wait_until};
use serde_json::Value;

use crate::support::{Dice, SETTLE, full};

const NAMES: [&str; 2] = ["red", "blue"];

/// What may be done with one of them, `{}`, and `{other}`.
const VERBS: [&str; 16] = [
    "create {} --image debian:bookworm --class cpu=1,mem=256m",
    "destroy {} --force",
    "destroy {} --force --purge",
    "restore {}",
    "restore {} --name {other}",
    "rename {} {other}",
    "resize {} mem=300m",
    "resize {} mem=256m",
    "upgrade {} --image dwell-test-workspace --yes",
    "upgrade {} --image debian:bookworm --yes",
    "stop {}",
    "start {}",
    "suspend {}",
    "exec {} -- true",
    "fork {} {other} --alone",
    "idle {} --freeze-after 1s --stop-after 1s",
];

fn verb(dice: &mut Dice) -> String {
    let mut pick = |end: usize| usize::try_from(dice.below(end as u64)).unwrap();
    let (verb, name) = (VERBS[pick(VERBS.len())], pick(NAMES.len()));
    verb.replace("{other}", NAMES[1 - name]).replace("{}", NAMES[name])
}

fn at_once(home: &TestHome, verbs: &[String]) -> Vec<Ran> {
    std::thread::scope(|scope| {
        let running: Vec<_> =
            verbs.iter().map(|verb| scope.spawn(move || run(home, verb))).collect();
        running.into_iter().map(|thread| thread.join().unwrap()).collect()
    })
}

fn run(home: &TestHome, verb: &str) -> Ran {
    home.dwell(["ws"].into_iter().chain(verb.split(' ')))
}

/// All workspaces that there are, and the homes that are kept.
fn listed(home: &TestHome) -> Vec<Value> {
    home.dwell(["ws", "ls", "--all", "--json"]).json().as_array().unwrap().clone()
}

/// The workspaces that things of a kind belong to, by their labels.
fn owners(home: &TestHome, engine: &Engine, kind: &str) -> Vec<String> {
    let filter = format!("label=dwell.node={}", home.node().unwrap());
    let all = if kind == "container" { &["--all"][..] } else { &[] };
    let format = match kind {
        // The engine tells labels of images only one by one.
        "image" => "{{.Repository}}",
        _ => "{{.Label \"dwell.workspace\"}}",
    };
    let list = [kind, "ls", "--filter", &filter, "--format", format];
    let listed = engine.docker(list.iter().chain(all));
    let told = listed.ok().lines().filter(|line| *line != "<none>");
    told.map(|line| line.trim_start_matches("dwell-ws-").to_owned()).collect()
}

/// What is not as it has to be once everything has settled; empty when all is.
fn wrong(home: &TestHome, engine: &Engine) -> String {
    let all = listed(home);
    let id = |it: &Value| it["id"].as_str().unwrap().to_owned();
    let is_kept = |it: &&Value| it["status"] == "destroyed";
    let live: Vec<&Value> = all.iter().filter(|it| !is_kept(it)).collect();
    let mut names = BTreeMap::<&str, u32>::new();
    for it in &live {
        *names.entry(it["name"].as_str().unwrap()).or_default() += 1;
        let settled = ["running", "frozen", "stopped"];
        if !settled.contains(&it["status"].as_str().unwrap()) || it["desired"] == "destroyed" {
            return format!("it is between states: {it}");
        }
    }
    if names.values().any(|count| *count > 1) {
        return format!("a name means two workspaces: {names:?}");
    }
    let known: BTreeSet<String> = all.iter().map(id).collect();
    let lives: BTreeSet<String> = live.iter().map(|it| id(it)).collect();
    for (kind, may) in
        [("container", &lives), ("network", &lives), ("volume", &known), ("image", &known)]
    {
        let found = owners(home, engine, kind);
        if let Some(owner) = found.iter().find(|owner| !may.contains(*owner)) {
            return format!("a {kind} of `{owner}` is left, known are {known:?}");
        }
        let each = lives.iter().map(|id| found.iter().filter(|owner| *owner == id).count());
        if ["container", "network"].contains(&kind) && each.clone().any(|count| count != 1) {
            return format!("each has one {kind}, not {:?}", each.collect::<Vec<_>>());
        }
    }
    String::new()
}

#[track_caller]
fn settles(home: &TestHome, engine: &Engine, told: &str) {
    let mut last = String::new();
    let all_is_well = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
        wait_until(SETTLE, "everything to settle", || {
            last = wrong(home, engine);
            last.is_empty()
        });
    }));
    assert!(all_is_well.is_ok(), "{told}: {last}");
}

#[test]
fn whatever_races_on_workspaces_ends_in_a_clean_state() {
    // Its own: what wedges an engine is nobody else's.
    let Some(engine) = Engine::private() else { return };
    engine.load("debian:bookworm");
    engine.load("dwell-test-workspace");
    let home = TestHome::on_engine(env!("CARGO_BIN_EXE_dwell"), Some(engine.host()));
    let home = home.limit(Duration::from_secs(180));
    let mut dice = Dice::new();
    let rounds = if full() { 40 } else { 8 };
    for round in 0..rounds {
        if listed(&home).iter().all(|it| it["status"] == "destroyed") {
            run(&home, &VERBS[0].replace("{}", NAMES[0])).ok();
        }
        let verbs: Vec<String> = (0..5).map(|_| verb(&mut dice)).collect();
        let ran = at_once(&home, &verbs);
        let told = format!("round {round}: {verbs:?}");
        for (verb, ran) in verbs.iter().zip(&ran) {
            // Somebody else was faster; nothing else may fail. A command goes with what it runs in.
            let expected = [Some(0), Some(3), Some(5)].contains(&ran.code)
                || ran.stderr.contains("does not run")
                || verb.contains("exec");
            assert!(expected, "{told}: {ran:?}");
        }
        settles(&home, &engine, &told);
    }
    for it in listed(&home) {
        let id = it["id"].as_str().unwrap();
        if it["status"] == "destroyed" {
            run(&home, &format!("restore {id}")).ok();
        }
        run(&home, &format!("destroy {id} --force --purge")).ok();
    }
    settles(&home, &engine, "after all");
    for kind in ["container", "network", "volume", "image"] {
        let left = owners(&home, &engine, kind);
        assert!(left.is_empty(), "{kind}: {left:?}");
    }
}
