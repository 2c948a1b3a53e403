//! Every defect known of Cilo, the tool whose users dwell wants to serve better, and the test that
//! shows that dwell does not have it. Names without a place are in this file.
//!
//! | Defect | Test |
//! |---|---|
//! | DNS empty after the first `up`, then one state behind | `names_follow_what_runs` |
//! | the DNS server never sees changes | `names_follow_what_runs`; dwell-net `tests/dns.rs` |
//! | reload loop of a DNS server that another user started | the server is a part of the daemon; a taken port is told: dwell-net `tests/dns.rs` |
//! | host ports collide | isolation.rs `two_environments_of_a_project_share_nothing_that_it_fixes` |
//! | destruction across projects | isolation.rs `equal_names_in_two_projects_never_meet` |
//! | path traversal by the project's name or `render` | trust.rs `no_configuration_leads_out_of_its_project` |
//! | commits in a copy of a worktree move the source | dwell-drivers `tests/tree/worktrees.rs`; `a_merge_that_conflicts_fails_and_leaves_no_refs` |
//! | `up` on a running environment fails | environment.rs `a_life_from_create_to_destroy` |
//! | modes, times, links and dot directories lost | dwell-drivers `tests/tree/copies.rs` |
//! | `compose.yaml`, `COMPOSE_FILE`, profiles, override files | environment.rs `every_way_to_name_compose_files_works` |
//! | shared services with list labels or long forms not found | shared.rs, which uses both |
//! | shared data lost | shared.rs `one_instance_serves_all_and_ends_after_the_last` |
//! | parts of a shared service's definition lost | shared.rs `the_whole_definition_is_kept_and_drift_is_told` |
//! | two first users of a shared service race | shared.rs `two_first_users_at_once_get_one_instance` |
//! | shared services never end, `destroy` leaks references | shared.rs `one_instance_serves_all_and_ends_after_the_last` |
//! | 256 creations in a lifetime | isolation.rs `many_lives_in_a_row_use_one_subnet_and_leave_nothing`; dwell-core `address` |
//! | doctor breaks the DNS server, addresses run together | `several_networks_and_doctor_leave_names_right` |
//! | stored status trusted | `status_is_what_is_there` |
//! | names stay after `down` and `destroy` | `names_follow_what_runs` |
//! | a half-created environment blocks its name | environment.rs `what_fails_leaves_nothing_half_made` |
//! | custom hostnames global and bare | `custom_hostnames_belong_to_their_environment` |
//! | agents' flags need `--` | `flags_after_the_environment_belong_to_the_command` |
//! | `merge` fails with 0, `diff` leaves refs and hides work | `a_merge_that_conflicts_fails_and_leaves_no_refs`; dwell-drivers `tests/tree/exchange.rs` |
//! | concurrent writers lose DNS records | isolation.rs `twenty_at_once_all_have_names` |
//! | a recorded process id is killed although reused | the daemon is asked through its socket: `tests/cli/node.rs` |
//! | no daemon after a reboot | `dwell setup` writes a unit: `src/command/setup/unit.rs` |
//! | special files block the copy | `special_files_are_left_out`; dwell-drivers `tests/tree/copies.rs` |
//! | files of containers that the user cannot remove | dwell-drivers `tests/tree/removal.rs` |
//! | host network, service network, fixed names, replicas, profiles, `_` in names, fixed tags | `compose_features_that_broke_work`; dwell-testkit `tests/compose_corpus.rs`; environment.rs `waiting_for_health_and_building` |
//! | an init hook runs without asking | trust.rs `hooks_run_only_as_they_were_trusted` |
//! | private files become readable for others | `private_files_stay_private` |
//! | the machine's resolver is changed for all names | dwell-net `tests/setup.rs` |
//! | JSON preceded by text, stopped environments hidden | `lists_are_json_and_whole` |
//! | replacements of `render` applied again at each `up` | trust.rs `a_project_of_cilo_works_as_it_is` |
//! | `run` starts an agent without its services | `status_is_what_is_there` |
//! | commands do not work inside an environment's tree | environment.rs `the_environment_may_be_left_out_where_it_is_clear` |
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    missing_docs,
    reason = "a test ends where it meets what it does not expect"
)]

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use dwell_testkit::{TestHome, docker, git, lookup, resolve, run, wait_until};

const SOON: Duration = Duration::from_secs(10);

fn home() -> TestHome {
    TestHome::new(env!("CARGO_BIN_EXE_dwell"))
}

/// A service that only waits.
fn idle(name: &str, more: &str) -> String {
    format!(
        "  {name}:\n    image: busybox\n    init: true\n    stop_grace_period: 1s\n    \
         command: sleep infinity\n{more}"
    )
}

fn services(all: &[String]) -> String {
    format!("services:\n{}", all.concat())
}

#[test]
fn names_follow_what_runs() {
    let home = home();
    let shop = home.project("shop").compose(&services(&[idle("web", ""), idle("db", "")]));
    let port = home.dns_port();
    home.dwell_in(&shop, ["create", "a"]).ok();
    assert!(resolve(port, "web.a.test").is_empty(), "it does not run yet");
    home.dwell_in(&shop, ["up", "a"]).ok();
    let first = resolve(port, "web.a.test");
    assert_eq!(first.len(), 1, "right after the first up");
    let inspected = || {
        let container = home.containers("a", Some("web"));
        let format = "{{range .NetworkSettings.Networks}}{{.IPAddress}}{{end}}";
        docker(["inspect", "--format", format, &container[0]])
            .ok()
            .parse::<std::net::Ipv4Addr>()
            .unwrap()
    };
    assert_eq!(first, [inspected()]);
    home.dwell_in(&shop, ["up", "a", "--recreate"]).ok();
    assert_eq!(resolve(port, "web.a.test"), [inspected()], "right after it changed");
    // What happens behind dwell's back counts as well.
    docker(["stop", "--time=0", &home.containers("a", Some("db"))[0]]).ok();
    wait_until(SOON, "db's name gone", || resolve(port, "db.a.test").is_empty());
    docker(["start", &home.containers("a", Some("db"))[0]]).ok();
    wait_until(SOON, "db's name back", || resolve(port, "db.a.test").len() == 1);
    home.dwell_in(&shop, ["down", "a"]).ok();
    assert!(resolve(port, "web.a.test").is_empty(), "right after down");
    home.dwell_in(&shop, ["up", "a"]).ok();
    home.dwell_in(&shop, ["destroy", "a", "--force"]).ok();
    assert!(resolve(port, "web.a.test").is_empty(), "right after destroy");
    assert_eq!(lookup(port, "web.a.example.org").1.len(), 0, "nothing leaks upstream");
}

#[test]
fn status_is_what_is_there() {
    let home = home();
    let shop = home.project("shop").compose(&services(&[idle("web", ""), idle("db", "")]));
    home.dwell_in(&shop, ["up", "a"]).ok();
    let ids = home.containers("a", None);
    docker(["stop", "--time=0"].iter().copied().chain(ids.iter().map(String::as_str))).ok();
    let status = || home.dwell_in(&shop, ["status", "a", "--json"]).json();
    let state = |service: usize| status()["services"][service]["state"].to_string();
    wait_until(SOON, "a status that is not memory", || {
        let seen = status();
        seen["status"] != "running"
            || home.containers("a", None) != ids
            || state(0).contains("running")
    });
    let ran = home.dwell_in(&shop, ["run", "sh", "a", "-c", "echo started"]);
    assert!(ran.ok().contains("started"), "{ran:?}");
    assert_eq!(status()["status"], "running", "a run starts what is missing");
}

#[test]
fn several_networks_and_doctor_leave_names_right() {
    let home = home();
    let web = idle("my_web", "    networks: [one, two, three]\n");
    let text = services(&[web]) + "networks: {one: {}, two: {}, three: {}}\n";
    let shop = home.project("shop").compose(&text);
    home.dwell_in(&shop, ["up", "a"]).ok();
    let name = "my-web.a.test";
    let before = resolve(home.dns_port(), name);
    assert!(!before.is_empty());
    for arguments in [&["doctor"][..], &["doctor", "--fix"]] {
        home.dwell_in(&shop, arguments);
        assert_eq!(resolve(home.dns_port(), name), before);
    }
    let status = home.dwell_in(&shop, ["status", "a", "--json"]).json();
    let addresses = status["services"][0]["addresses"].as_array().unwrap();
    for address in addresses {
        address.as_str().unwrap().parse::<std::net::Ipv4Addr>().unwrap();
    }
}

#[test]
fn custom_hostnames_belong_to_their_environment() {
    let home = home();
    let labels = "    labels: {cilo.ingress: 'true', cilo.hostnames: 'pc,login.shop'}\n";
    let shop = home.project("shop").compose(&services(&[idle("web", labels)]));
    home.dwell_in(&shop, ["up", "a"]).ok();
    home.dwell_in(&shop, ["up", "b"]).ok();
    let port = home.dns_port();
    for host in ["pc", "login.shop"] {
        let of = |name: &str| resolve(port, &format!("{host}.{name}.test"));
        assert_eq!((of("a").len(), of("b").len()), (1, 1), "{host}");
        assert_ne!(of("a"), of("b"));
    }
    assert!(lookup(port, "pc").1.is_empty(), "a bare name is nobody's");
    home.dwell_in(&shop, ["up", "a", "--recreate"]).ok();
    assert_eq!(resolve(port, "pc.a.test").len(), 1, "kept at the next up");
}

#[test]
fn flags_after_the_environment_belong_to_the_command() {
    let home = home();
    let shop = home.project("shop").compose(&services(&[idle("web", "")]));
    home.dwell_in(&shop, ["up", "a"]).ok();
    let ran = home.dwell_in(&shop, ["exec", "a", "web", "ls", "-la", "--help"]);
    assert!(ran.code.is_some() && !ran.stderr.contains("unexpected argument"), "{ran:?}");
    assert_eq!(
        home.dwell_in(&shop, ["exec", "a", "web", "echo", "--json", "-q"]).ok(),
        "--json -q"
    );
    assert_eq!(home.dwell_in(&shop, ["compose", "a", "ps", "-a", "--services"]).ok(), "web");
    let ran = home.dwell_in(&shop, ["run", "echo", "a", "-p", "x", "--json"]);
    assert!(ran.ok().contains("-p x --json"), "{ran:?}");
    let ran = home.dwell_in(&shop, ["run", "--no-session", "echo", "a", "-p", "x"]);
    assert!(ran.ok().contains("-p x"), "{ran:?}");
}

#[test]
fn a_merge_that_conflicts_fails_and_leaves_no_refs() {
    let home = home();
    let shop =
        home.project("shop").compose(&services(&[idle("web", "")])).file("file", "one\n").git();
    home.dwell_in(&shop, ["create", "a"]).ok();
    let tree = home.dwell_in(&shop, ["path", "a"]).ok().to_owned();
    let refs = || git(&shop, ["for-each-ref", "--format", "%(refname)"]).ok().to_owned();
    let (head, known) = (git(&shop, ["rev-parse", "HEAD"]).ok().to_owned(), refs());
    fs::write(Path::new(&tree).join("file"), "theirs\n").unwrap();
    assert!(
        home.dwell_in(&shop, ["diff", "a"]).ok().contains("theirs"),
        "uncommitted work is seen"
    );
    git(&tree, ["commit", "--quiet", "--all", "--message", "theirs"]).ok();
    assert_eq!(git(&shop, ["rev-parse", "HEAD"]).ok(), head, "the source does not move");
    fs::write(shop.path().join("file"), "ours\n").unwrap();
    git(&shop, ["commit", "--quiet", "--all", "--message", "ours"]).ok();
    let merged = home.dwell_in(&shop, ["merge", "a"]);
    assert!(merged.code != Some(0) && merged.stderr.contains("file"), "{merged:?}");
    assert_eq!(refs(), known, "no temporary refs");
    assert_eq!(fs::read_to_string(shop.path().join("file")).unwrap(), "ours\n");
    git(&shop, ["reset", "--quiet", "--hard", "HEAD~1"]).ok();
    home.dwell_in(&shop, ["merge", "a"]).ok();
    assert_eq!(fs::read_to_string(shop.path().join("file")).unwrap(), "theirs\n");
    home.dwell_in(&shop, ["diff", "nobody"]).fails_with(3);
}

#[test]
fn special_files_are_left_out() {
    let home = home();
    let shop = home.project(".hidden").compose(&services(&[idle("web", "")]));
    let mut fifo = Command::new("mkfifo");
    run(fifo.arg(shop.path().join("pipe")), SOON).ok();
    std::os::unix::fs::symlink("nowhere", shop.path().join("dangling")).unwrap();
    let shop = shop.file(".github/workflow.yml", "x").script("tool", "#!/bin/sh\n");
    let created = home.dwell_in(&shop, ["create", "a"]);
    created.ok();
    assert!(created.stderr.contains("pipe"), "the left-out file is told: {created:?}");
    let tree = home.dwell_in(&shop, ["path", "a"]).ok().to_owned();
    let tree = Path::new(&tree);
    assert!(!tree.join("pipe").exists());
    assert_eq!(fs::read_link(tree.join("dangling")).unwrap(), Path::new("nowhere"));
    assert!(tree.join(".github/workflow.yml").exists());
    let mode = fs::metadata(tree.join("tool")).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o755);
}

#[test]
fn private_files_stay_private() {
    let home = home();
    let shop =
        home.project("shop").compose(&services(&[idle("web", "")])).file(".env", "KEY=secret\n");
    fs::set_permissions(shop.path().join(".env"), fs::Permissions::from_mode(0o600)).unwrap();
    home.dwell_in(&shop, ["create", "a"]).ok();
    let tree = home.dwell_in(&shop, ["path", "a"]).ok().to_owned();
    let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode(&Path::new(&tree).join(".env")), 0o600);
    assert_eq!(mode(&home.data()) & 0o077, 0, "the place of all trees is the user's alone");
    assert_eq!(mode(&home.state()) & 0o077, 0);
    assert_eq!(mode(&home.socket()), 0o600);
}

#[test]
fn compose_features_that_broke_work() {
    let home = home();
    let all = [
        idle("web", "    deploy: {replicas: 2}\n"),
        idle("my_db", "    networks: {default: {aliases: [store]}}\n"),
        idle("side", "    network_mode: service:my_db\n"),
        idle("tool", "    profiles: [tools]\n"),
        idle("host", "    network_mode: host\n"),
    ];
    let shop = home.project("shop").compose(&services(&all));
    for name in ["a", "b"] {
        home.dwell_in(&shop, ["up", name]).ok();
    }
    let port = home.dns_port();
    assert_eq!(resolve(port, "web.a.test").len(), 2, "one address a replica");
    assert_eq!(resolve(port, "my-db.a.test"), resolve(port, "side.a.test"));
    assert!(resolve(port, "tool.a.test").is_empty(), "an inactive profile has no name");
    let status = home.dwell_in(&shop, ["status", "b", "--json"]).json();
    assert_eq!(status["status"], "running", "{status}");
    let names: Vec<&str> = status["services"]
        .as_array()
        .unwrap()
        .iter()
        .map(|s| s["name"].as_str().unwrap())
        .collect();
    assert_eq!(names, ["host", "my_db", "side", "web"]);
    home.dwell_in(&shop, ["exec", "a", "web", "ping", "-c", "1", "-W", "2", "store"]).ok();
    home.dwell_in(&shop, ["exec", "a", "web", "ping", "-c", "1", "-W", "2", "my-db.a.test"]).ok();
}

#[test]
fn lists_are_json_and_whole() {
    let home = home();
    let shop = home.project("shop").compose(&services(&[idle("web", "")]));
    assert_eq!(home.dwell(["ls", "--json"]).json(), serde_json::json!([]));
    home.dwell_in(&shop, ["create", "a"]).ok();
    let list = home.dwell(["ls", "--json"]).json();
    assert_eq!((&list[0]["name"], &list[0]["project"]), (&"a".into(), &"shop".into()));
    assert_eq!(home.dwell(["ls", "--format", "quiet"]).ok(), "a");
    assert_eq!(home.dwell(["ls", "--output", "json"]).json(), list);
}
