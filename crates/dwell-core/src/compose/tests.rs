//! Every rule of isolation, on small models.

mod facts;
mod networks;
mod parts;
mod properties;
mod relays;
mod services;
mod shared;
mod travel;

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use serde_json::{Value, json};

use super::*;
use crate::address::{Pool, allocate};

/// What an isolation in these tests is made with besides the model.
#[derive(Default)]
struct Lab {
    relays: BTreeMap<ServiceName, RelaySpec>,
    ingress: Option<ServiceName>,
    hostnames: Vec<Hostname>,
    environment: u8,
}

fn service(name: &str) -> ServiceName {
    name.parse().unwrap()
}

fn relay() -> RelaySpec {
    RelaySpec {
        image: "relay:1".to_owned(),
        command: vec!["relay".to_owned(), "$x".to_owned()],
        healthcheck: Some(vec!["relay".to_owned(), "probe".to_owned()]),
        completes: false,
        networks: vec!["dwell-shared-x-default".to_owned()],
        mounts: Vec::new(),
        user: None,
    }
}

impl Lab {
    fn relaying(names: &[&str]) -> Self {
        let relays = names.iter().map(|name| (service(name), relay())).collect();
        Self { relays, ..Self::default() }
    }

    fn isolate(&self, model: &Value) -> Result<Isolated, IsolationError> {
        let relayed = self.relays.keys().cloned().collect();
        let needs = needs(model, &relayed)?;
        let wanted: Vec<_> = needs.iter().map(|need| need.need).collect();
        let blocks = allocate(Pool::default(), &[], &wanted).unwrap();
        let keys = needs.into_iter().map(|need| need.key);
        let id = EnvironmentId::from_random([self.environment; 8]);
        isolate(&Isolation {
            user: None,
            model,
            node: &NodeId::from_random([9; 8]),
            id: &id,
            name: &"agent-1".parse().unwrap(),
            project: &"shop".parse().unwrap(),
            suffix: &Suffix::default(),
            generation: Generation::FIRST,
            directory: Path::new("/tree"),
            subnets: &keys.zip(blocks).collect(),
            relays: &self.relays,
            ingress: self.ingress.as_ref(),
            hostnames: &self.hostnames,
        })
    }
}

/// Isolates services alone, and gives what became of one of them.
fn one(body: Value) -> (Value, Vec<String>) {
    let model = json!({"name": "shop", "services": {"web": body, "db": {"image": "db", "networks": {"default": null}}}});
    let isolated = Lab::default().isolate(&model).unwrap();
    let notes = isolated.notes.iter().map(Note::to_string).collect();
    (isolated.compose["services"]["web"].clone(), notes)
}

/// The same without what every service is given.
fn body(given: Value) -> Value {
    let (mut body, _) = one(given);
    let map = body.as_object_mut().unwrap();
    map.shift_remove("labels");
    map.shift_remove("networks");
    body
}

fn notes(isolated: &Isolated) -> Vec<String> {
    isolated.notes.iter().map(Note::to_string).collect()
}

/// A model with a line for each setting, for reading.
fn outline(value: &Value) -> String {
    fn walk(path: &str, depth: usize, value: &Value, lines: &mut Vec<String>) {
        match value {
            Value::Object(map) if depth > 0 => {
                for (key, value) in map {
                    let path = if path.is_empty() { key.clone() } else { format!("{path}.{key}") };
                    walk(&path, depth - 1, value, lines);
                }
            }
            other => lines.push(format!("{path}: {other}")),
        }
    }
    let mut lines = Vec::new();
    walk("", 3, value, &mut lines);
    lines.join("\n")
}

#[test]
fn a_small_project_becomes_an_environment() {
    let model = json!({
        "name": "shop",
        "services": {
            "web": {
                "image": "web", "container_name": "shop-web", "command": ["sh", "-c", "echo $$HOME"],
                "depends_on": {"db_1": {"condition": "service_healthy", "required": true}},
                "networks": {"default": null},
                "ports": [{"mode": "ingress", "target": 80, "published": "8080", "protocol": "tcp"}],
            },
            "db_1": {
                "image": "db", "networks": {"default": {"aliases": ["database"]}},
                "volumes": [{"type": "volume", "source": "data", "target": "/data"}],
            },
        },
        "networks": {"default": {"name": "shop_default", "ipam": {}}},
        "volumes": {"data": {"name": "shop_data"}},
        "x-note": {"kept": true},
    });
    let isolated = Lab::default().isolate(&model).unwrap();
    insta::assert_snapshot!(outline(&isolated.compose), @r#"
    name: "dwell-agent-1-aaaaaaaaaa-1"
    services.web.image: "web"
    services.web.command: ["sh","-c","echo $$HOME"]
    services.web.depends_on: {"db_1":{"condition":"service_healthy","required":true}}
    services.web.networks: {"default":{"aliases":["shop-web","web.agent-1.test","web.agent-1.shop.test","shop.agent-1.test"]}}
    services.web.expose: ["80/tcp"]
    services.web.labels: {"dwell.node":"jicsqeebji","dwell.env":"aaaaaaaaaa","dwell.project":"shop","dwell.name":"agent-1","dwell.generation":"1","dwell.service":"web","dwell.role":"service"}
    services.db_1.image: "db"
    services.db_1.networks: {"default":{"aliases":["database","db-1","db-1.agent-1.test","db-1.agent-1.shop.test"]}}
    services.db_1.volumes: [{"type":"volume","source":"data","target":"/data"}]
    services.db_1.labels: {"dwell.node":"jicsqeebji","dwell.env":"aaaaaaaaaa","dwell.project":"shop","dwell.name":"agent-1","dwell.generation":"1","dwell.service":"db_1","dwell.role":"service"}
    networks.default.name: "dwell-aaaaaaaaaa-default"
    networks.default.ipam: {"config":[{"subnet":"10.224.0.0/28"}]}
    networks.default.labels: {"dwell.node":"jicsqeebji","dwell.env":"aaaaaaaaaa","dwell.project":"shop","dwell.name":"agent-1"}
    volumes.data.name: "dwell-aaaaaaaaaa-data"
    volumes.data.labels: {"dwell.node":"jicsqeebji","dwell.env":"aaaaaaaaaa","dwell.project":"shop","dwell.name":"agent-1"}
    x-note.kept: true
    "#);
    assert_eq!(isolated.notes, []);
}

#[test]
fn what_is_not_a_model_is_an_error() {
    for model in [json!([]), json!({}), json!({"services": []}), json!({"services": {"a": 1}})] {
        assert!(matches!(Lab::default().isolate(&model), Err(IsolationError::Model { .. })));
    }
    let hostile = json!({"services": {"../x": {}}});
    assert!(matches!(Lab::default().isolate(&hostile), Err(IsolationError::Name(_))));
}

#[test]
fn names_do_not_depend_on_the_generation() {
    let model = json!({
        "services": {"web": {"build": {"context": "/tree"}, "networks": {"default": null}}},
        "networks": {"default": {"name": "x_default"}}, "volumes": {"v": {"name": "fixed"}},
    });
    let first = Lab::default().isolate(&model).unwrap().compose;
    let id = EnvironmentId::from_random([0; 8]);
    assert_eq!(first["name"], format!("dwell-agent-1-{id}-1"));
    assert_eq!(first["networks"]["default"]["name"], format!("dwell-{id}-default"));
    assert_eq!(first["volumes"]["v"]["name"], format!("dwell-{id}-v"));
    assert_eq!(first["services"]["web"]["image"], format!("dwell-{id}/web:latest"));
    assert_eq!(first["services"]["web"]["labels"]["dwell.generation"], "1");
    assert!(first["volumes"]["v"]["labels"].get("dwell.generation").is_none());
}
