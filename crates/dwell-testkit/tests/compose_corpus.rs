//! Every project of the corpus, run by plain compose and as two environments at once on the real
//! engine, and compared: what is not about isolation has to be the same.
//!
//! A project's `expect.json` lists its `notes`, the `differences` from plain compose, and the
//! external `networks` and `volumes` that it needs. With `CORPUS_ACCEPT=1` in the environment
//! notes and differences are written there instead of compared; with `CORPUS_ONLY=<text>` only
//! projects with that text in their names run.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    missing_docs,
    reason = "a test fails by panicking"
)]

#[path = "compose_corpus/compare.rs"]
mod compare;
#[path = "compose_corpus/docker.rs"]
mod docker;
#[path = "compose_corpus/project.rs"]
mod project;

use std::collections::BTreeMap;
use std::net::Ipv4Addr;
use std::path::Path;
use std::sync::Mutex;
use std::time::{Duration, Instant, SystemTime};

use dwell_core::compose::{Isolated, Note, Service};
use dwell_core::published::{Place, address_holder};
use dwell_core::{NodeId, ServiceName, Suffix};
use serde_json::{Value, json};

use compare::{differences, see};
use docker::{docker, inspect, lines, with_label};
use project::{Copy, Project, Run, environment, plain, project_label};

/// How many projects run at once; each runs three copies of itself.
const WORKERS: usize = 3;

#[test]
fn every_project_runs_twice_as_it_runs_plainly() {
    let run = start();
    let mut projects = corpus();
    assert!(projects.len() >= 45 || std::env::var_os("CORPUS_ONLY").is_some());
    projects.reverse();
    let (queue, failures) = (Mutex::new(projects), Mutex::new(Vec::new()));
    std::thread::scope(|scope| {
        for _ in 0..WORKERS {
            scope.spawn(|| {
                loop {
                    let Some(project) = queue.lock().unwrap().pop() else { break };
                    let found = check(&run, &project);
                    let named = found.into_iter().map(|text| format!("{}: {text}", project.name));
                    failures.lock().unwrap().extend(named);
                }
            });
        }
    });
    let mut failures = failures.into_inner().unwrap();
    for kind in ["container", "network", "volume"] {
        let left = with_label(kind, &format!("dwell.node={}", run.node)).unwrap();
        failures.extend(left.iter().map(|name| format!("{kind} left behind: {name}")));
    }
    assert!(failures.is_empty(), "{} failures:\n{}", failures.len(), failures.join("\n"));
}

fn start() -> Run {
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap();
    let seed = u64::try_from(now.as_nanos() & 0xffff_ffff_ffff).unwrap();
    let networks = inspect("network", &lines(&["network", "ls", "-q"]).unwrap()).unwrap();
    let configs =
        networks.iter().flat_map(|n| n["IPAM"]["Config"].as_array().into_iter().flatten());
    let taken = configs.filter_map(|config| config["Subnet"].as_str()?.parse().ok()).collect();
    Run { node: NodeId::from_random(seed.to_le_bytes()), seed, taken: Mutex::new(taken) }
}

fn corpus() -> Vec<Project> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("corpus");
    let only = std::env::var("CORPUS_ONLY").unwrap_or_default();
    let entries = std::fs::read_dir(root).unwrap().map(|entry| entry.unwrap().path());
    let mut all: Vec<_> = entries.map(Project::read).filter(|p| p.name.contains(&only)).collect();
    all.sort_by(|a, b| a.name.cmp(&b.name));
    all
}

/// Runs one project; what is wrong, if anything.
fn check(run: &Run, project: &Project) -> Vec<String> {
    let started = Instant::now();
    let work = tempfile::tempdir().unwrap();
    let mut failures = Vec::new();
    let mut externals = Vec::new();
    for (kind, key) in [("network", "networks"), ("volume", "volumes")] {
        for name in project.expected(key) {
            failures.extend(docker(&[kind, "create", &name]).err());
            externals.push([kind.to_owned(), name]);
        }
    }
    let copies = [
        plain(run, project, work.path()),
        environment(run, project, work.path(), "one"),
        environment(run, project, work.path(), "two"),
    ];
    let mut ready = Vec::new();
    for copy in copies {
        match copy {
            Ok(copy) => ready.push(copy),
            Err(error) => failures.push(error),
        }
    }
    if let [plain, one, two] = ready.as_slice()
        && failures.is_empty()
    {
        failures.extend(at_once(&ready, Copy::up).into_iter().filter_map(Result::err));
        if failures.is_empty() {
            let compared = compare_all(project, plain, &[one, two]);
            failures.extend(compared.unwrap_or_else(|error| vec![error]));
        }
    }
    failures.extend(at_once(&ready, Copy::remove).into_iter().flatten());
    for [kind, name] in externals {
        failures.extend(docker(&[&kind, "rm", &name]).err());
    }
    println!("{:>6} ms {}", started.elapsed().as_millis(), project.name);
    failures
}

fn at_once<T: Send>(copies: &[Copy], act: impl Fn(&Copy) -> T + Sync) -> Vec<T> {
    std::thread::scope(|scope| {
        let act = &act;
        let threads: Vec<_> = copies.iter().map(|copy| scope.spawn(move || act(copy))).collect();
        threads.into_iter().map(|thread| thread.join().unwrap()).collect()
    })
}

/// Compares the running copies; environments must differ as expected, and only so.
fn compare_all(
    project: &Project,
    plain: &Copy,
    environments: &[&Copy],
) -> Result<Vec<String>, String> {
    let mut failures = Vec::new();
    let reference = see(plain, &settled(plain)?)?;
    let mut seen_notes = Vec::new();
    let mut seen_differences = Vec::new();
    for copy in environments {
        let containers = settled(copy)?;
        let found = differences(&reference, &see(copy, &containers)?);
        failures.extend(published_ports(&containers));
        let isolated = copy.isolated.as_ref().unwrap();
        failures.extend(unresolved(project, copy, isolated, &containers)?);
        seen_notes
            .push(isolated.notes.iter().map(|note| placeless(copy, note)).collect::<Vec<_>>());
        seen_differences.push(found);
    }
    let [notes, differences] = [&seen_notes, &seen_differences].map(|seen| seen[0].clone());
    if std::env::var_os("CORPUS_ACCEPT").is_some() {
        accept(project, &notes, &differences);
        return Ok(failures);
    }
    for (key, seen) in [("notes", &seen_notes), ("differences", &seen_differences)] {
        let expected = project.expected(key);
        for found in seen.iter().filter(|found| **found != expected) {
            failures.push(format!("{key} are {found:#?}, expected {expected:#?}"));
        }
    }
    Ok(failures)
}

/// A note without what differs from run to run: the tree's path, and the subnet's addresses.
fn placeless(copy: &Copy, note: &Note) -> String {
    let text = note.to_string().replace(copy.tree.to_str().unwrap(), "TREE");
    let words = text.split(' ').map(|word| {
        let address = word.parse::<Ipv4Addr>().ok();
        let block = address.and_then(|a| copy.blocks.iter().find(|block| block.contains(&a)));
        match (address, block) {
            (Some(address), Some(block)) => {
                format!("SUBNET+{}", u32::from(address) - u32::from(block.network()))
            }
            _ if copy.blocks.iter().any(|block| block.to_string() == word) => "SUBNET".to_owned(),
            _ => word.to_owned(),
        }
    });
    words.collect::<Vec<_>>().join(" ")
}

fn accept(project: &Project, notes: &[String], differences: &[String]) {
    let mut expect = project.expect.clone();
    for (key, list) in [("notes", notes), ("differences", differences)] {
        let map = expect.as_object_mut().unwrap();
        map.remove(key);
        if !list.is_empty() {
            map.insert(key.to_owned(), json!(list));
        }
    }
    if expect != json!({}) {
        let text = serde_json::to_string_pretty(&expect).unwrap() + "\n";
        std::fs::write(project.directory.join("expect.json"), text).unwrap();
    }
}

/// The containers once jobs have ended: those whose command is not a long sleep are waited for.
fn settled(copy: &Copy) -> Result<Vec<Value>, String> {
    let deadline = Instant::now() + Duration::from_secs(20);
    loop {
        let containers = copy.containers()?;
        let stays = |c: &Value| {
            ["sleep", "sh", "httpd"].iter().any(|word| c["Config"].to_string().contains(word))
        };
        let busy = containers.iter().any(|c| c["State"]["Status"] == "running" && !stays(c));
        if !busy || Instant::now() > deadline {
            return Ok(containers);
        }
        std::thread::sleep(Duration::from_millis(50));
    }
}

/// No container of an environment may have a port of the host's.
fn published_ports(containers: &[Value]) -> Vec<String> {
    let bound = containers.iter().filter(|container| {
        let ports = container["NetworkSettings"]["Ports"].as_object();
        let bound = ports.is_some_and(|ports| ports.values().any(|port| !port.is_null()));
        bound || container["HostConfig"]["PortBindings"].as_object().is_some_and(|b| !b.is_empty())
    });
    bound.map(|container| format!("{} has a host port", container["Name"])).collect()
}

/// Looks all names of the services up in one of the environment's containers: each must be
/// there, and lead to an address of this environment and no other.
fn unresolved(
    project: &Project,
    copy: &Copy,
    isolated: &Isolated,
    containers: &[Value],
) -> Result<Vec<String>, String> {
    let running: BTreeMap<&str, &str> = containers
        .iter()
        .filter(|c| c["State"]["Status"] == "running")
        .map(|c| {
            (c["Config"]["Labels"]["dwell.service"].as_str().unwrap(), c["Id"].as_str().unwrap())
        })
        .collect();
    let there = |service: &&Service| running.contains_key(service.name.as_str());
    let tools = |service: &&Service| {
        copy.model["services"][service.name.as_str()]["image"] != "debian:bookworm"
    };
    let from =
        isolated.services.values().filter(there).filter(tools).find(|s| !s.networks.is_empty());
    let Some(from) = from else { return Ok(Vec::new()) };
    let environment = if copy.tree.ends_with("one") { "one" } else { "two" };
    let external = |key: &String| copy.model["networks"][key].get("external").is_some();
    let names = names(project, environment, from, &isolated.services, |s| there(&s), external);
    let script = r#"for n; do echo "$n $(nslookup "$n." 2>/dev/null | sed -n 's/^Address: //p' | head -n 1)"; done"#;
    let mut args = vec!["exec", running[from.name.as_str()], "sh", "-c", script, "sh"];
    args.extend(names.iter().map(String::as_str));
    let answers = docker(&args)?;
    let wrong = answers.lines().filter(|line| {
        let address =
            line.split_once(' ').and_then(|(_, address)| address.parse::<Ipv4Addr>().ok());
        !address.is_some_and(|address| copy.blocks.iter().any(|block| block.contains(&address)))
    });
    let mut failures: Vec<_> =
        wrong.map(|line| format!("in {environment}, from {}: {line}", from.name)).collect();
    if answers.lines().count() != names.len() {
        failures.push(format!(
            "in {environment}: {} of {} names asked",
            answers.lines().count(),
            names.len()
        ));
    }
    Ok(failures)
}

/// The names that a service must be able to look up: its own and its neighbours'. Short ones may
/// lead elsewhere where an external network is joined.
fn names(
    project: &Project,
    environment: &str,
    from: &Service,
    services: &BTreeMap<ServiceName, Service>,
    there: impl Fn(&Service) -> bool,
    external: impl Fn(&String) -> bool,
) -> Vec<String> {
    let environment = environment.parse().unwrap();
    let place = Place {
        environment: &environment,
        project: &project_label(project),
        suffix: &Suffix::default(),
    };
    let mut names = Vec::new();
    for service in services.values().filter(|service| there(service)) {
        let holder = &services[address_holder(service, services)];
        if !holder.networks.iter().any(|key| from.networks.contains(key)) {
            continue;
        }
        if holder.name == service.name && !holder.networks.iter().any(&external) {
            names.push(service.name.to_string());
        }
        let own = place.names(service, services).into_iter().filter(|name| !name.wildcard);
        names.extend(own.map(|name| name.name));
    }
    names
}
