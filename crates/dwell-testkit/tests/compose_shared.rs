//! Two environments that use one shared instance through relays, on the real engine.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    missing_docs,
    reason = "a test fails by panicking"
)]

#[path = "compose_corpus/docker.rs"]
mod docker;

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use dwell_core::address::{Need, Pool, allocate};
use dwell_core::compose::{
    Isolation, RelaySpec, SHARED_NEED, SharedDefinition, Sharing, isolate, needs,
    shared_definition, shared_project_name,
};
use dwell_core::{EnvironmentId, Generation, NodeId, ServiceName, SharedId, Suffix};
use ipnet::Ipv4Net;
use serde_json::Value;

use docker::{docker, inspect, lines, run, with_label};

const PROJECT: &str = "
services:
  web:
    image: busybox:latest
    command: [sh, -c, 'wget -q -O /got http://db/who && sleep 600']
    depends_on:
      db: {condition: service_healthy}
  db:
    image: busybox:latest
    command: [sh, -c, 'mkdir -p /data/www; hostname > /data/www/who; exec httpd -f -p 80 -h /data/www']
    ports: ['8080:80']
    volumes: ['data:/data']
    depends_on: [cache]
    labels: {dwell.share: 'true'}
  cache:
    image: busybox:latest
    command: sleep 600
volumes:
  data:
";

/// Everything of one test run; dropping it removes what was made.
struct Bench {
    node: NodeId,
    seed: u64,
    work: tempfile::TempDir,
    model: Value,
    taken: Vec<Ipv4Net>,
    started: Vec<(String, PathBuf)>,
}

impl Bench {
    fn new() -> Self {
        let now = std::time::SystemTime::now().duration_since(std::time::SystemTime::UNIX_EPOCH);
        let seed = u64::try_from(now.unwrap().as_nanos() & 0xffff_ffff_ffff).unwrap();
        let work = tempfile::tempdir().unwrap();
        std::fs::write(work.path().join("compose.yaml"), PROJECT).unwrap();
        let args = ["compose", "-p", "x", "config", "--format", "json"];
        let model = serde_json::from_str(&run(work.path(), "docker", &args).unwrap()).unwrap();
        let networks = inspect("network", &lines(&["network", "ls", "-q"]).unwrap()).unwrap();
        let configs =
            networks.iter().flat_map(|n| n["IPAM"]["Config"].as_array().into_iter().flatten());
        let taken = configs.filter_map(|config| config["Subnet"].as_str()?.parse().ok()).collect();
        let node = NodeId::from_random(seed.to_le_bytes());
        Self { node, seed, work, model, taken, started: Vec::new() }
    }

    fn allocate(&mut self, needs: &[Need]) -> Vec<Ipv4Net> {
        let pool: Pool = "10.228.0.0/16".parse().unwrap();
        let blocks = allocate(pool, &self.taken, needs).unwrap();
        self.taken.extend(&blocks);
        blocks
    }

    fn random(&self, which: u64) -> [u8; 8] {
        (self.seed.wrapping_mul(16) + which).to_le_bytes()
    }

    fn up(&mut self, project: &str, model: &Value) {
        let file = self.work.path().join(format!("{project}.json"));
        std::fs::write(&file, model.to_string()).unwrap();
        self.started.push((project.to_owned(), file.clone()));
        let file = file.to_str().unwrap();
        run(Path::new("/"), "docker", &["compose", "-p", project, "-f", file, "up", "-d"]).unwrap();
    }

    fn share(
        &mut self,
        name: &str,
        id: &SharedId,
        peers: &BTreeMap<ServiceName, SharedId>,
    ) -> SharedDefinition {
        let subnet = self.allocate(&[SHARED_NEED])[0];
        let service: ServiceName = name.parse().unwrap();
        let definition = shared_definition(&Sharing {
            model: &self.model,
            service: &service,
            node: &self.node,
            id,
            project: &"shop".parse().unwrap(),
            directory: self.work.path(),
            subnet,
            peers,
        })
        .unwrap();
        self.up(&shared_project_name(&service, id), &definition.compose);
        definition
    }

    fn environment(
        &mut self,
        name: &str,
        which: u64,
        relays: &BTreeMap<ServiceName, RelaySpec>,
    ) -> String {
        let relayed: BTreeSet<_> = relays.keys().cloned().collect();
        let needs = needs(&self.model, &relayed).unwrap();
        let blocks = self.allocate(&needs.iter().map(|need| need.need).collect::<Vec<_>>());
        let id = EnvironmentId::from_random(self.random(which));
        let isolated = isolate(&Isolation {
            user: None,
            model: &self.model,
            node: &self.node,
            id: &id,
            name: &name.parse().unwrap(),
            project: &"shop".parse().unwrap(),
            suffix: &Suffix::default(),
            generation: Generation::FIRST,
            directory: self.work.path(),
            subnets: &needs.into_iter().map(|need| need.key).zip(blocks).collect(),
            relays,
            ingress: None,
            hostnames: &[],
        })
        .unwrap();
        let project = isolated.compose["name"].as_str().unwrap().to_owned();
        self.up(&project, &isolated.compose);
        project
    }
}

impl Drop for Bench {
    fn drop(&mut self) {
        for (project, file) in self.started.iter().rev() {
            let args =
                ["compose", "-p", project, "-f", file.to_str().unwrap(), "down", "-v", "-t", "0"];
            if let Err(error) = run(Path::new("/"), "docker", &args) {
                eprintln!("{error}");
            }
        }
    }
}

/// What a relay does, in the words of busybox.
fn relay(definition: &SharedDefinition) -> RelaySpec {
    let host = &definition.host;
    let words = |words: &[&str]| words.iter().map(|word| (*word).to_owned()).collect::<Vec<_>>();
    RelaySpec {
        image: "busybox:latest".to_owned(),
        command: words(&["sh", "-c", &format!("while :; do nc -l -p 80 -e nc {host} 80; done")]),
        healthcheck: Some(words(&["wget", "-q", "-O", "/dev/null", &format!("http://{host}/who")])),
        completes: false,
        networks: vec![definition.network.clone()],
        mounts: Vec::new(),
        user: None,
    }
}

fn exec(container: &str, command: &[&str]) -> String {
    let mut args = vec!["exec", container];
    args.extend(command);
    docker(&args).unwrap().trim().to_owned()
}

#[test]
fn two_environments_use_one_instance_through_relays() {
    let mut bench = Bench::new();
    let [cache, db] = [1, 2].map(|which| SharedId::from_random(bench.random(which)));
    let cache_definition = bench.share("cache", &cache, &BTreeMap::new());
    let peers = BTreeMap::from([("cache".parse().unwrap(), cache.clone())]);
    let db_definition = bench.share("db", &db, &peers);
    assert_eq!(db_definition.requires.len(), 1);

    let idle = RelaySpec {
        command: vec!["sleep".into(), "600".into()],
        healthcheck: None,
        ..relay(&cache_definition)
    };
    let relays = BTreeMap::from([
        ("db".parse().unwrap(), relay(&db_definition)),
        ("cache".parse().unwrap(), idle),
    ]);
    let environments = [("one", 3), ("two", 4)]
        .map(|(name, which)| (name, bench.environment(name, which, &relays)));

    let shared = format!("{}-db-1", shared_project_name(&"db".parse().unwrap(), &db));
    let who = exec(&shared, &["hostname"]);
    for (name, project) in environments {
        let web = format!("{project}-web-1");
        assert_eq!(exec(&web, &["cat", "/got"]), who, "the shared instance answers in {name}");
        for host in ["db".to_owned(), format!("db.{name}.test"), format!("db.{name}.shop.test")] {
            assert_eq!(exec(&web, &["wget", "-q", "-O", "-", &format!("http://{host}/who")]), who);
        }
        let volumes = with_label("volume", &format!("com.docker.compose.project={project}"));
        assert_eq!(volumes.unwrap(), [] as [String; 0], "the data is the shared instance's");
    }

    let container = format!("{}-cache-1", shared_project_name(&"cache".parse().unwrap(), &cache));
    let networks = &inspect("container", &[container]).unwrap()[0]["NetworkSettings"]["Networks"];
    let address = networks[&cache_definition.network]["IPAddress"].as_str().unwrap().to_owned();
    for _ in 0..10 {
        let answer = exec(&shared, &["nslookup", "cache"]);
        let addresses: Vec<_> =
            answer.lines().filter_map(|line| line.strip_prefix("Address: ")).collect();
        assert_eq!(addresses, [address.as_str()], "a peer is found, and no relay of the same name");
    }

    let node = format!("dwell.node={}", bench.node);
    drop(bench);
    for kind in ["container", "network", "volume"] {
        assert_eq!(with_label(kind, &node).unwrap(), [] as [String; 0], "{kind} left behind");
    }
}
