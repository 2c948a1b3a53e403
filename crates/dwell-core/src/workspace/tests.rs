use super::*;

fn workspace() -> Workspace {
    Workspace {
        making: false,
        ..Workspace::new(
            WorkspaceId::from_random([1; 8]),
            "box".parse().unwrap(),
            ImageRef::default(),
            Limits::default(),
            1,
        )
    }
}

fn limits(text: &str) -> String {
    text.parse::<Sizing>().unwrap().over(Limits::default()).to_string()
}

#[test]
fn classes_and_single_limits_are_read() {
    for (text, want) in [
        ("small", "cpu=1,mem=2g"),
        ("medium", "cpu=2,mem=4g"),
        ("large", "cpu=4,mem=8g"),
        ("cpu=0.5", "cpu=0.5,mem=4g"),
        ("cpu=1.25,mem=1500m", "cpu=1.25,mem=1500m"),
        ("mem=2048M,disk=20g", "cpu=2,mem=2g,disk=20g"),
    ] {
        assert_eq!(limits(text), want, "{text}");
    }
}

#[test]
fn what_is_absent_stays() {
    let had = Limits { millicpus: 500, memory_mb: 256, disk_mb: Some(1024) };
    let sizing: Sizing = "mem=1g".parse().unwrap();
    assert_eq!(sizing.over(had), Limits { memory_mb: 1024, ..had });
}

#[test]
fn limits_that_cannot_be_say_what_can() {
    for (text, part) in [
        ("huge", "small, medium, large"),
        ("", "cpu=2,mem=4g"),
        ("cpu", "cpu=2,mem=4g"),
        ("ram=4g", "cpu=2,mem=4g"),
        ("cpu=2,", "cpu=2,mem=4g"),
        ("cpu=1,cpu=2", "twice"),
        ("cpu=0", "0.1 to 1024"),
        ("cpu=-1", "0.1 to 1024"),
        ("cpu=1e3", "0.1 to 1024"),
        ("cpu=1.2345", "0.1 to 1024"),
        ("cpu=99999999999", "0.1 to 1024"),
        ("mem=4", "m, g or t"),
        ("mem=63m", "64m to 16t"),
        ("mem=99999999999999999999g", "64m to 16t"),
        ("mem=+4g", "m, g or t"),
        ("disk=4k", "1g to 64t"),
    ] {
        let error = text.parse::<Sizing>().unwrap_err().to_string();
        assert!(error.contains(part), "{text}: {error}");
    }
}

#[test]
fn a_sizing_is_its_text() {
    for text in ["cpu=0.5", "mem=1500m,disk=2g", "cpu=3,mem=1g"] {
        assert_eq!(text.parse::<Sizing>().unwrap().to_string(), text.replace("1024m", "1g"));
    }
}

#[test]
fn no_workspace_has_more_processors_than_the_machine() {
    let large = Limits { millicpus: 4000, ..Limits::default() };
    assert_eq!(large.on_machine(2).millicpus, 2000);
    assert_eq!(large.on_machine(8), large);
}

#[test]
fn images_that_are_options_or_commands_are_refused() {
    for good in ["debian:bookworm", "ghcr.io/us/box:1.2", "box@sha256:abc", "localhost:5000/a"] {
        assert_eq!(good.parse::<ImageRef>().unwrap().as_str(), good);
    }
    let long = "a".repeat(256);
    for bad in ["", "--privileged", "a b", "a\nb", "a;b", "/a", long.as_str()] {
        assert!(bad.parse::<ImageRef>().is_err(), "{bad}");
    }
}

#[test]
fn names_in_docker_hold_the_identity() {
    let bridge = workspace().bridge();
    assert!(bridge.len() <= 15 && bridge.starts_with(BRIDGE), "the kernel takes no more: {bridge}");
    let it = workspace();
    let id = it.id.as_str();
    assert_eq!(it.container(), format!("dwell-ws-box-{id}-1"));
    assert_eq!(it.network(), format!("dwell-ws-{id}"));
    assert_eq!(it.home(), format!("dwell-ws-{id}-home"));
}

#[test]
fn what_differs_is_acted_on_and_nothing_else() {
    let act = |desired, seen| Workspace { desired, ..workspace() }.due(seen);
    assert_eq!(act(Desired::Running, None), Some(Act::Make));
    assert_eq!(act(Desired::Running, Some(State::Exited(137))), Some(Act::Start));
    assert_eq!(act(Desired::Running, Some(State::Paused)), Some(Act::Thaw));
    assert_eq!(act(Desired::Running, Some(State::Running)), None);
    assert_eq!(act(Desired::Frozen, Some(State::Running)), Some(Act::Freeze));
    // What was in memory is lost; nobody asked for it to run.
    assert_eq!(act(Desired::Frozen, Some(State::Exited(0))), None);
    assert_eq!(act(Desired::Stopped, Some(State::Paused)), Some(Act::Stop));
    assert_eq!(act(Desired::Stopped, None), None);
    for seen in [None, Some(State::Running), Some(State::Exited(0))] {
        assert_eq!(act(Desired::Destroyed, seen), None);
    }
}

#[test]
fn a_person_has_the_last_word_over_the_idler() {
    use crate::idle::{Phase, Tier};
    let mut it = workspace();
    it.sleep(Tier::Freeze);
    assert_eq!((it.desired, it.phase(Some(State::Paused))), (Desired::Frozen, Phase::Frozen));
    it.want(Desired::Frozen);
    assert_eq!(it.phase(Some(State::Paused)), Phase::Held);
    it.sleep(Tier::Stop);
    assert_eq!((it.desired, it.slept), (Desired::Stopped, true));
    assert_eq!(it.phase(Some(State::Running)), Phase::Running);
    assert_eq!(it.phase(Some(State::Exited(0))), Phase::Stopped);
}

#[test]
fn a_replacement_that_fails_leaves_what_was_there() {
    let mut it = workspace();
    it.desired = Desired::Frozen;
    let was = it.clone();
    it.replace("debian:trixie".parse().unwrap(), true);
    assert_eq!((it.generation, it.desired), (Generation::FIRST.next(), Desired::Running));
    assert_eq!(it.begins_as().as_str(), format!("dwell-ws-{}:root-2", it.id));
    assert_eq!(it.old_container(), Some(was.container()));
    assert_ne!(it.home(), was.home());
    // Until it is decided both are of use.
    assert!(it.uses_volume(&it.home()) && it.uses_volume(&was.home()));
    let tried = it.clone();
    assert!(it.go_back());
    assert_eq!(it, was);
    assert!(!it.uses_volume(&tried.home()) && !it.uses_image(&tried.root_image()));
    assert!(!it.go_back());

    let mut done = Workspace { before: None, ..tried };
    assert!(!done.uses_volume(&was.home()) && done.uses_image(&done.root_image()));
    // Another image: the home stays, and the file system is that image's.
    done.replace("debian:sid".parse().unwrap(), false);
    assert_eq!((done.begins_as().as_str(), done.homes), ("debian:sid", 1));
}

#[test]
fn numbers_of_snapshots_are_not_given_twice() {
    let mut it = workspace();
    assert_eq!(it.next_snapshot(), 1);
    it.snapshots_made = 4;
    assert_eq!(it.next_snapshot(), 5);
    let tag = it.snapshot_image(5);
    assert!(!it.uses_image(&tag));
    let image = it.image.clone();
    let (name, created) = ("s5".parse().unwrap(), 1);
    let (root_bytes, home_bytes) = (0, 0);
    let made = Snapshot { name, number: 5, making: true, image, root_bytes, home_bytes, created };
    it.snapshots.push(made.clone());
    assert!(!it.uses_image(&tag) && it.snapshot(&made.name).is_none(), "it is not finished");
    it.snapshots[0].making = false;
    assert!(it.uses_image(&tag) && it.uses_volume(&it.snapshot_home(5)));
}

#[test]
fn status_is_what_was_seen() {
    let it = workspace();
    assert_eq!(it.status(Some(State::Running)), Status::Running);
    assert_eq!(it.status(Some(State::Paused)), Status::Frozen);
    assert_eq!(it.status(Some(State::Exited(0))), Status::Stopped);
    assert_eq!(it.status(None), Status::Missing);
    let making = Workspace { making: true, ..workspace() };
    assert_eq!(making.status(Some(State::Running)), Status::Creating);
    let kept = |cleared| Workspace { kept: Some(Kept { until: 9, cleared }), ..workspace() };
    assert_eq!(kept(false).status(Some(State::Running)), Status::Destroying);
    assert_eq!(kept(false).status(None), Status::Destroyed, "its network may still go");
    assert_eq!(kept(true).status(None), Status::Destroyed);
}
