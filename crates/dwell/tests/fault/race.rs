//! Many at once on one name.

use dwell_testkit::{Ran, TestHome};

use crate::support::{Dice, World, home, project, small, status};

const NAME: &str = "one";

fn at_once(home: &TestHome, directory: &std::path::Path, commands: &[Vec<&str>]) -> Vec<Ran> {
    std::thread::scope(|scope| {
        let running: Vec<_> = commands
            .iter()
            .map(|arguments| scope.spawn(move || home.dwell_in(directory, arguments)))
            .collect();
        running.into_iter().map(|thread| thread.join().unwrap()).collect()
    })
}

fn environments(home: &TestHome) -> usize {
    home.dwell(["ls", "--all", "--json"]).json().as_array().unwrap().len()
}

#[test]
fn ten_identical_ups_make_one_environment() {
    let home = home();
    let project = project(&home);
    for ran in at_once(&home, project.path(), &vec![vec!["up", NAME]; 10]) {
        ran.ok();
    }
    assert_eq!(environments(&home), 1);
    assert_eq!(World::of(&home, project.path()).count("container"), 3);
}

#[test]
fn of_ten_identical_creates_one_succeeds() {
    let home = home();
    let project = small(&home, "shop");
    let ran = at_once(&home, project.path(), &vec![vec!["create", NAME]; 10]);
    assert_eq!(ran.iter().filter(|ran| ran.code == Some(0)).count(), 1);
    for ran in ran.iter().filter(|ran| ran.code != Some(0)) {
        assert!(ran.fails_with(5).contains("exists"), "{ran:?}");
    }
    assert_eq!(environments(&home), 1);
}

#[test]
fn whatever_races_on_a_name_ends_in_a_clean_state() {
    let home = home();
    let project = small(&home, "shop").git();
    home.dwell_in(&project, ["create", NAME]).ok();
    home.dwell_in(&project, ["destroy", "--force", NAME]).ok();
    let empty = World::of(&home, project.path());
    let mut dice = Dice::new();
    let verbs = [
        vec!["create", NAME],
        vec!["up", NAME],
        vec!["down", NAME],
        vec!["destroy", "--force", NAME],
    ];
    for round in 0..20 {
        let pick = |_| verbs[usize::try_from(dice.below(4)).unwrap()].clone();
        let commands: Vec<Vec<&str>> = (0..4).map(pick).collect();
        for ran in at_once(&home, project.path(), &commands) {
            let expected = [Some(0), Some(3), Some(5)];
            assert!(expected.contains(&ran.code), "round {round}, {commands:?}: {ran:?}");
        }
        let status = status(&home, NAME);
        let allowed = ["", "created", "stopped", "running"];
        assert!(allowed.contains(&status.as_str()), "round {round}, {commands:?}: `{status}`");
    }
    home.dwell_in(&project, ["up", NAME]).ok();
    home.dwell_in(&project, ["destroy", "--force", NAME]).ok();
    empty.comes_back(&home, project.path(), "after the races");
}
