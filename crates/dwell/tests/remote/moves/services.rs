//! Services of an environment whose home is here.

use super::*;

#[test]
fn a_service_goes_and_comes_back_with_its_data() {
    let Some(bench) = bench(2) else { return };
    let project = project(&bench);
    let project = project.path();
    let dwell = |arguments: &[&str]| bench.home.dwell_in(project, arguments);
    dwell(&["up", "red", "--wait"]).ok();
    fill(&bench, project);
    assert_eq!(page(&bench, "/count"), "1");

    for (to, from) in [("one", "local"), ("two", "one"), ("local", "two")] {
        let ran = dwell(&["move", "red", "store", "--to", to, "--with-volumes"]);
        assert!(ran.ok().contains("moved store"), "{ran:?}");
        assert!(ran.stderr.contains("volume `data`: 2"), "{ran:?}");
        assert_eq!(node_of(&bench, project, "store"), to);
        assert_eq!(bench.status(project, "red")["status"], "running");
        is_filled(&bench, project);
        assert_eq!(page(&bench, "/again"), "1", "on {to}");
        assert_eq!(page_from_web(&bench, project, "/count"), "1", "on {to}");
        // It is in one place only.
        assert_eq!(volumes_here(&bench).len(), usize::from(to == "local"), "{to}");
        if from != "local" {
            is_bare(&bench, from);
        }
        if to != "local" {
            let volumes = bench.hosts.host(to).docker(["volume", "ls", "-q"]);
            assert_eq!(volumes.ok().lines().count(), 1, "{volumes:?}");
        }
    }
    // The choice is kept, and it is there already.
    dwell(&["move", "red", "store", "--to", "one", "--with-volumes"]).ok();
    dwell(&["up", "red"]).ok();
    assert_eq!(node_of(&bench, project, "store"), "one");
    let ran = dwell(&["move", "red", "store", "--to", "one", "--json"]);
    assert_eq!(ran.json()["changed"], false, "{ran:?}");
    dwell(&["destroy", "red", "--force"]).ok();
    is_bare(&bench, "one");
    assert!(volumes_here(&bench).is_empty());
}

#[test]
fn data_that_stays_behind_is_named_asked_for_and_found_again() {
    let Some(bench) = bench(1) else { return };
    let project = project(&bench);
    let project = project.path();
    let dwell = |arguments: &[&str]| bench.home.dwell_in(project, arguments);
    dwell(&["up", "red", "--place", "store=one", "--wait"]).ok();
    fill(&bench, project);

    let plan = dwell(&["move", "red", "store", "--to", "local", "--dry-run"]);
    let line = "volume data: its data stays on one (--with-volumes carries it)";
    assert!(plan.ok().contains(line), "{plan:?}");
    let ran = dwell(&["move", "red", "store", "--to", "local"]);
    assert!(ran.fails_with(2).contains("--yes") && ran.stderr.contains(line), "{ran:?}");
    assert_eq!(node_of(&bench, project, "store"), "one");

    let ran = dwell(&["move", "red", "store", "--to", "local", "--yes"]);
    assert!(ran.ok().contains("moved store") && ran.stderr.contains("stays on `one`"), "{ran:?}");
    assert_eq!(node_of(&bench, project, "store"), "local");
    assert_eq!(dwell(&["exec", "red", "store", "ls", "/data"]).ok(), "");
    assert_eq!(bench.hosts.host("one").docker(["ps", "-q"]).ok(), "");

    // Data on both sides is never replaced without a word.
    let ran = dwell(&["move", "red", "store", "--to", "one", "--with-volumes", "--yes"]);
    assert!(ran.fails_with(5).contains("volume on `one` already: data"), "{ran:?}");
    dwell(&["move", "red", "store", "--to", "one", "--yes"]).ok();
    is_filled(&bench, project);
    dwell(&["exec", "red", "store", "sh", "-c", "echo 2 > /data/count"]).ok();
    dwell(&["move", "red", "store", "--to", "local", "--with-volumes", "--force"]).ok();
    assert_eq!(page(&bench, "/count"), "2");
    is_bare(&bench, "one");
}

#[test]
fn a_move_that_makes_no_sense_says_why() {
    let Some(bench) = bench(1) else { return };
    let project = project(&bench);
    let project = project.path();
    let dwell = |arguments: &[&str]| bench.home.dwell_in(project, arguments);
    dwell(&["create", "red"]).ok();
    let ran = dwell(&["move", "red", "store", "--to", "one"]);
    assert!(ran.fails_with(1).contains("does not run"), "{ran:?}");
    dwell(&["up", "red"]).ok();
    let ran = dwell(&["move", "red", "shop", "--to", "one"]);
    assert!(ran.fails_with(3).contains("has no service `shop`"), "{ran:?}");
    let ran = dwell(&["move", "red", "store", "--to", "nowhere"]);
    assert!(ran.fails_with(3).contains("no node `nowhere`"), "{ran:?}");
    let ran = dwell(&["move", "red", "--to", "local"]);
    assert!(ran.ok().contains("is here already"), "{ran:?}");
    dwell(&["move", "red", "store", "--to", "one", "--yes"]).ok();
    let ran = dwell(&["move", "red", "--to", "one", "--yes"]);
    assert!(ran.fails_with(5).contains("services of `shop/red` run on `one`"), "{ran:?}");
    let ran = dwell(&["move", "red", "--to", "local", "--yes"]);
    assert!(ran.fails_with(2).contains("run on one"), "{ran:?}");
}
