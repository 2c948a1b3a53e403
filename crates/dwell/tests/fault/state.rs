//! The state lost or damaged: it is made again from what lies beside it, and what runs goes on.

use std::path::PathBuf;

use dwell_testkit::{TestHome, wait_until};

use crate::support::{Dice, SETTLE, containers, full, home, pid, project, status, stop};

const NAME: &str = "one";

fn database(home: &TestHome) -> PathBuf {
    let entries = std::fs::read_dir(home.state()).unwrap().flatten().map(|entry| entry.path());
    let mut found =
        entries.filter(|path| path.extension().is_some_and(|e| e == "db" || e == "sqlite"));
    found.next().unwrap_or_else(|| home.state().join("db"))
}

/// What is listed, without what is about time.
fn listed(home: &TestHome) -> String {
    let mut listed = home.dwell(["ls", "--all", "--json"]).json();
    for one in listed.as_array_mut().unwrap() {
        one.as_object_mut().unwrap().remove("created");
        one.as_object_mut().unwrap().remove("url");
    }
    serde_json::to_string_pretty(&listed).unwrap()
}

#[test]
fn a_lost_or_damaged_database_is_made_again() {
    let home = home();
    let project = project(&home);
    home.dwell_in(&project, ["up", NAME]).ok();
    home.dwell_in(&project, ["create", "two"]).ok();
    let run = |what: &str, aside: bool, damage: &dyn Fn(&TestHome)| {
        wait_until(SETTLE, "it to run", || status(&home, NAME) == "running");
        let (running, before) = (containers(&home), listed(&home));
        stop(&home);
        damage(&home);
        home.dwell(["node", "start"]).ok();
        wait_until(SETTLE, what, || status(&home, NAME) == "running");
        let now = listed(&home);
        assert_eq!(now, before, "{what}");
        assert_eq!(containers(&home), running, "{what}");
        let entries = std::fs::read_dir(home.state()).unwrap().flatten().map(|e| e.path());
        let kept: Vec<_> = entries.filter(|p| p.to_string_lossy().contains("damaged")).collect();
        assert_eq!(!kept.is_empty(), aside, "{what}: {kept:?}");
        for path in kept {
            std::fs::remove_file(path).unwrap();
        }
    };
    run("deleted", false, &|home| std::fs::remove_file(database(home)).unwrap());
    run("emptied", false, &|home| std::fs::write(database(home), "").unwrap());
    run("no database", true, &|home| std::fs::write(database(home), "hello ".repeat(999)).unwrap());
    run("truncated", true, &|home| {
        let content = std::fs::read(database(home)).unwrap();
        std::fs::write(database(home), &content[..content.len() / 2]).unwrap();
    });
    // Trust is given by people, and not made again.
    home.dwell_in(&project, ["trust", "--yes"]).ok();
    home.dwell_in(&project, ["up", NAME]).ok();
    home.dwell_in(&project, ["up", "two"]).ok();
    home.dwell_in(&project, ["destroy", "--force", "two"]).ok();
}

#[test]
fn a_flipped_bit_never_costs_an_environment() {
    let mut dice = Dice::new();
    let home = home();
    let project = project(&home);
    home.dwell_in(&project, ["up", NAME]).ok();
    let running = containers(&home);
    stop(&home);
    let good = std::fs::read(database(&home)).unwrap();
    let blocks = dice.some((0..good.len() / 4096).collect(), if full() { usize::MAX } else { 6 });
    for block in blocks {
        let mut bad = good.clone();
        let at = block * 4096 + usize::try_from(dice.below(4096)).unwrap();
        bad[at] ^= 1 << dice.below(8);
        std::fs::write(database(&home), bad).unwrap();
        for side in ["-wal", "-shm"] {
            let mut path = database(&home).into_os_string();
            path.push(side);
            let _ = std::fs::remove_file(path);
        }
        let what = format!("byte {at}");
        wait_until(SETTLE, &what, || status(&home, NAME) == "running");
        assert_eq!(containers(&home), running, "{what}");
        stop(&home);
    }
    std::fs::write(database(&home), good).unwrap();
}

#[test]
fn a_newer_version_is_refused_and_left_alone() {
    let home = home();
    let project = project(&home);
    home.dwell_in(&project, ["create", NAME]).ok();
    stop(&home);
    let script = "import sqlite3,sys\nc=sqlite3.connect(sys.argv[1])\nc.execute(\"insert into \
                  _sqlx_migrations (version, description, success, checksum, execution_time) \
                  values (99999999999999, 'newer', 1, x'00', 0)\")\nc.commit()\n";
    let mut python = std::process::Command::new("python3");
    if python.args(["-c", script]).arg(database(&home)).status().map_or(true, |s| !s.success()) {
        eprintln!("skipped: it takes python3");
        return;
    }
    let ran = home.dwell(["ls", "--all"]);
    assert!(ran.fails_with(8).contains("newer version of dwell"), "{ran:?}");
    let undo =
        script.replace("insert into", "delete from").split(" (version").next().unwrap().to_owned();
    let undo = format!("{undo} where version = 99999999999999\")\nc.commit()\n");
    let mut python = std::process::Command::new("python3");
    assert!(python.args(["-c", &undo]).arg(database(&home)).status().unwrap().success());
    assert_eq!(status(&home, NAME), "created");
}

#[test]
fn damaged_files_beside_the_database_are_tolerated() {
    let home = home();
    let project = project(&home);
    home.dwell_in(&project, ["up", NAME]).ok();
    let running = containers(&home);
    let environments = home.state().join("environments");
    let directory = std::fs::read_dir(environments).unwrap().next().unwrap().unwrap().path();
    for file in ["facts.json", "environment.json", "model.json", "compose.json"] {
        for content in ["", "{", "\u{0}\u{1}", "[]"] {
            let pid = pid(&home);
            stop(&home);
            let kept = std::fs::read(directory.join(file)).unwrap();
            std::fs::write(directory.join(file), content).unwrap();
            let what = format!("{file} is {content:?}, after {pid}");
            wait_until(SETTLE, &what, || status(&home, NAME) == "running");
            assert_eq!(containers(&home), running, "{what}");
            std::fs::write(directory.join(file), kept).unwrap();
        }
    }
    home.dwell_in(&project, ["up", NAME]).ok();
}
