//! Environments that do not meet: equal names, equal ports, many at once, many in a row.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    missing_docs,
    reason = "a test ends where it meets what it does not expect"
)]

use std::collections::BTreeSet;
use std::time::Duration;

use dwell_testkit::{TestHome, docker, lookup, resolve, wait_until};

fn home() -> TestHome {
    TestHome::new(env!("CARGO_BIN_EXE_dwell"))
}

/// A service that only waits.
fn idle(more: &str) -> String {
    format!(
        "services:\n  web:\n    image: busybox\n    init: true\n    stop_grace_period: 0s\n    \
         command: sleep infinity\n{more}"
    )
}

#[test]
fn equal_names_in_two_projects_never_meet() {
    let home = home();
    let volumes = "    volumes: ['data:/data']\nvolumes: {data: {name: fixed-name}}\n";
    let (one, two) =
        (home.project("one").compose(&idle(volumes)), home.project("two").compose(&idle(volumes)));
    home.dwell_in(&one, ["up", "a"]).ok();
    home.dwell_in(&two, ["up", "a"]).ok();
    home.dwell_in(&one, ["exec", "a", "web", "touch", "/data/of-one"]).ok();
    assert_eq!(home.dwell_in(&two, ["exec", "a", "web", "ls", "/data"]).ok(), "");

    let port = home.dns_port();
    let (code, addresses) = lookup(port, "web.a.test");
    assert!(addresses.is_empty(), "an ambiguous name is never answered at random");
    assert_ne!(code, 0);
    assert_ne!(resolve(port, "web.a.one.test"), resolve(port, "web.a.two.test"));
    let ambiguous = home.dwell(["status", "a"]);
    assert!(ambiguous.code != Some(0), "{ambiguous:?}");
    for project in ["one", "two"] {
        assert!(ambiguous.stderr.contains(project), "both are named: {ambiguous:?}");
    }

    home.dwell_in(&two, ["destroy", "a", "--force"]).ok();
    home.dwell_in(&one, ["exec", "a", "web", "ls", "/data/of-one"]).ok();
    wait_until(Duration::from_secs(5), "the short name", || {
        lookup(port, "web.a.test").1.len() == 1
    });
}

#[test]
fn two_environments_of_a_project_share_nothing_that_it_fixes() {
    let home = home();
    let fixed = "    container_name: dwell-test-fixed
    ports: ['127.0.0.1:18081:80', '18082:81/udp']
    networks: [inner]
    volumes: ['data:/data']
  side:
    image: busybox
    init: true
    stop_grace_period: 0s
    command: sleep infinity
    network_mode: service:web
networks:
  inner: {name: dwell-test-fixed-net, ipam: {config: [{subnet: 10.77.0.0/24}]}}
volumes: {data: {name: dwell-test-fixed-data}}
";
    let shop = home.project("shop").compose(&idle(fixed));
    let before = shop.content();
    std::thread::scope(|scope| {
        for name in ["a", "b"] {
            let (home, shop) = (&home, &shop);
            scope.spawn(move || home.dwell_in(shop, ["up", name]).ok().len());
        }
    });
    let port = home.dns_port();
    assert_ne!(resolve(port, "web.a.test"), resolve(port, "web.b.test"));
    home.dwell_in(&shop, ["exec", "a", "web", "touch", "/data/of-a"]).ok();
    assert_eq!(home.dwell_in(&shop, ["exec", "b", "web", "ls", "/data"]).ok(), "");
    for kind in ["network", "volume"] {
        let listed = docker([kind, "ls", "--filter", "name=dwell-test-fixed", "--quiet"]);
        assert_eq!(listed.ok(), "", "a fixed {kind} name was used");
    }
    let container = home.containers("a", Some("web"));
    let ports = docker(["inspect", "--format", "{{len .HostConfig.PortBindings}}", &container[0]]);
    assert_eq!(ports.ok(), "0", "a port of the host was taken");
    // Neither reaches the other by address names of its project.
    let inside = home.dwell_in(&shop, ["exec", "a", "web", "nslookup", "web.b.test"]);
    assert_ne!(inside.code, Some(0), "{inside:?}");
    home.dwell_in(&shop, ["down", "a"]).ok();
    home.dwell_in(&shop, ["exec", "b", "web", "true"]).ok();
    assert_eq!(shop.content(), before, "the user's files were changed");
}

#[test]
fn thirty_lives_in_a_row_use_one_subnet_and_leave_nothing() {
    let home = home();
    let shop = home.project("shop").compose(&idle(""));
    let mut subnets = BTreeSet::new();
    for life in 0..30 {
        let up = home.dwell_in(&shop, ["up", &format!("e{life}"), "--json"]).json();
        subnets.insert(up["environment"]["subnets"].to_string());
        home.dwell_in(&shop, ["destroy", &format!("e{life}"), "--force"]).ok();
    }
    assert_eq!(subnets.len(), 1, "subnets were not released: {subnets:?}");
    let filter = format!("label=dwell.node={}", home.node().unwrap());
    for kind in ["container", "network", "volume"] {
        assert_eq!(docker([kind, "ls", "--quiet", "--filter", &filter]).ok(), "", "{kind}");
    }
    let left = std::fs::read_dir(home.state().join("environments")).unwrap().count();
    assert_eq!(left, 0, "an environment's directory stayed");
}

#[test]
fn twenty_at_once_all_have_names() {
    let home = home();
    let shop = home.project("shop").compose(&idle(""));
    let names: Vec<String> = (0..20).map(|number| format!("e{number}")).collect();
    std::thread::scope(|scope| {
        for name in &names {
            let (home, shop) = (&home, &shop);
            scope.spawn(move || home.dwell_in(shop, ["up", name]).ok().len());
        }
    });
    let mut addresses = BTreeSet::new();
    for name in &names {
        for form in [format!("web.{name}.test"), format!("web.{name}.shop.test")] {
            let found = resolve(home.dns_port(), &form);
            assert_eq!(found.len(), 1, "{form}");
            addresses.extend(found);
        }
    }
    assert_eq!(addresses.len(), 20);
    let list = home.dwell(["ls", "--json"]).json();
    assert!(list.as_array().unwrap().iter().all(|e| e["status"] == "running"), "{list}");
    home.dwell_in(&shop, ["destroy", "--all", "--force"]).ok();
    for name in &names {
        assert!(resolve(home.dns_port(), &format!("web.{name}.test")).is_empty());
    }
}

#[test]
fn ten_cold_runs_at_once_all_succeed() {
    let home = home();
    let shop = home.project("shop").compose(&idle("")).git();
    std::thread::scope(|scope| {
        for number in 0..10 {
            let (home, shop) = (&home, &shop);
            // The first of them also starts the daemon.
            scope.spawn(move || {
                home.dwell_in(shop, ["run", "true", &format!("e{number}")]).ok().len()
            });
        }
    });
    assert_eq!(home.dwell(["ls", "-q"]).ok().lines().count(), 10);
}
