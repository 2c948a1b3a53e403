//! Shared instances.

use super::*;

fn project() -> Value {
    json!({
        "services": {
            "db": {
                "build": {"context": "/tree/db"}, "image": "me/db", "container_name": "the-db",
                "user": "postgres", "init": true, "shm_size": "64", "entrypoint": ["x"],
                "environment": {"A": "$$1"}, "healthcheck": {"test": ["CMD", "true"]}, "restart": "always",
                "ports": [{"target": 5432, "published": "5432", "protocol": "tcp"}], "profiles": ["p"],
                "secrets": [{"source": "s"}], "configs": [{"source": "c"}],
                "networks": {"default": {"aliases": ["pg"]}, "out": null},
                "labels": {"cilo.share": "true", "mine": "1"},
                "volumes": [
                    {"type": "volume", "source": "data", "target": "/d"},
                    {"type": "bind", "source": "/tree/init", "target": "/i"},
                ],
                "depends_on": {
                    "cache": {"condition": "service_healthy", "required": true},
                    "docs": {"condition": "service_started", "required": false},
                },
            },
            "cache": {"image": "cache"}, "docs": {"image": "docs"},
        },
        "networks": {"default": {"name": "x_default"}, "out": {"external": true, "name": "lan"}},
        "volumes": {"data": {"name": "x_data"}, "other": {"name": "x_other"}},
        "secrets": {"s": {"name": "x_s", "file": "/tree/s"}, "t": {"name": "x_t", "file": "/tree/t"}},
        "configs": {"c": {"name": "x_c", "content": "hi"}},
    })
}

fn share(model: &Value, name: &str, tree: &str) -> Result<SharedDefinition, IsolationError> {
    shared_definition(&Sharing {
        model,
        service: &service(name),
        node: &NodeId::from_random([9; 8]),
        id: &crate::id::SharedId::from_random([1; 8]),
        project: &"shop".parse().unwrap(),
        directory: Path::new(tree),
        subnet: "10.224.9.0/28".parse().unwrap(),
        peers: &BTreeMap::from([(service("cache"), crate::id::SharedId::from_random([2; 8]))]),
    })
}

#[test]
fn the_whole_definition_is_kept() {
    let got = share(&project(), "db", "/tree").unwrap();
    insta::assert_snapshot!(outline(&got.compose), @r#"
    name: "dwell-shared-db-biacqaeabi"
    services.db.build: {"context":"/tree/db"}
    services.db.image: "dwell-shared-biacqaeabi/db:latest"
    services.db.user: "postgres"
    services.db.init: true
    services.db.shm_size: "64"
    services.db.entrypoint: ["x"]
    services.db.environment: {"A":"$$1"}
    services.db.healthcheck: {"test":["CMD","true"]}
    services.db.restart: "always"
    services.db.secrets: [{"source":"s"}]
    services.db.configs: [{"source":"c"}]
    services.db.networks: {"out":null,"default":{"aliases":["dwell-shared-biacqaeabi","pg","the-db"]},"dwell-outer-dwell-shared-cqaeabiacq-default":null}
    services.db.labels: {"cilo.share":"true","mine":"1","dwell.node":"jicsqeebji","dwell.shared":"biacqaeabi","dwell.project":"shop","dwell.service":"db","dwell.role":"shared"}
    services.db.volumes: [{"type":"volume","source":"data","target":"/d"},{"type":"bind","source":"/tree/init","target":"/i"}]
    services.db.expose: ["5432/tcp"]
    services.db.pull_policy: "never"
    services.db.external_links: ["dwell-shared-cache-cqaeabiacq-cache-1:cache"]
    networks.out.external: true
    networks.out.name: "lan"
    networks.default.name: "dwell-shared-biacqaeabi-default"
    networks.default.ipam: {"config":[{"subnet":"10.224.9.0/28"}]}
    networks.default.labels: {"dwell.node":"jicsqeebji","dwell.shared":"biacqaeabi","dwell.project":"shop"}
    networks.dwell-outer-dwell-shared-cqaeabiacq-default.name: "dwell-shared-cqaeabiacq-default"
    networks.dwell-outer-dwell-shared-cqaeabiacq-default.external: true
    volumes.data.name: "dwell-shared-biacqaeabi-data"
    volumes.data.labels: {"dwell.node":"jicsqeebji","dwell.shared":"biacqaeabi","dwell.project":"shop"}
    secrets.s.name: "dwell-shared-biacqaeabi-s"
    secrets.s.file: "/tree/s"
    configs.c.name: "dwell-shared-biacqaeabi-c"
    configs.c.content: "hi"
    "#);
    assert_eq!(got.requires.keys().collect::<Vec<_>>(), [&service("cache")]);
    let notes: Vec<_> = got.notes.iter().map(Note::to_string).collect();
    assert_eq!(
        notes,
        [
            "service `db`: its optional dependency on `docs` is dropped; that is not shared",
            "network `out`: it is external; the shared instance joins it as it is",
        ]
    );
    assert_eq!(got.network, got.compose["networks"]["default"]["name"]);
}

#[test]
fn drift_is_seen_and_the_tree_is_none() {
    let first = share(&project(), "db", "/tree").unwrap();
    let text = project().to_string();
    let moved: Value = serde_json::from_str(&text.replace("/tree/", "/other/tree/")).unwrap();
    let second = share(&moved, "db", "/other/tree").unwrap();
    assert_eq!(first.canonical, second.canonical);
    assert_eq!(first.hash, second.hash);
    for change in [
        text.replace("\"64\"", "\"65\""),
        text.replace("/tree/init", "/tree/init2"),
        text.replace("/tree/s\"", "/else/s\""),
        text.replace("\"hi\"", "\"ho\""),
        text.replace("5432,", "5433,"),
    ] {
        let changed: Value = serde_json::from_str(&change).unwrap();
        assert_ne!(changed, project());
        assert_ne!(share(&changed, "db", "/tree").unwrap().hash, first.hash);
    }
    let renamed: Value = serde_json::from_str(&text.replace("x_data", "y_data")).unwrap();
    assert_eq!(share(&renamed, "db", "/tree").unwrap().hash, first.hash);
}

#[test]
fn an_image_that_another_service_builds_is_built_for_the_instance_too() {
    let mut model = project();
    model["services"]["docs"]["image"] = json!("me/db:latest");
    let got = share(&model, "docs", "/tree").unwrap();
    let docs = &got.compose["services"]["docs"];
    assert_eq!(docs["build"]["context"], "/tree/db");
    assert!(docs["image"].as_str().unwrap().starts_with("dwell-shared-"));
}

#[test]
fn a_shared_service_depends_on_shared_ones_only() {
    let mut model = project();
    model["services"]["db"]["depends_on"]["docs"]["required"] = json!(true);
    let error = share(&model, "db", "/tree").unwrap_err();
    assert_eq!(
        error.to_string(),
        "shared service `db` depends on `docs`, which is not shared; share both or neither"
    );
}

#[test]
fn what_ties_a_service_to_its_environment_is_refused() {
    for (key, value) in [
        ("network_mode", json!("service:cache")),
        ("network_mode", json!("none")),
        ("pid", json!("service:cache")),
        ("volumes_from", json!(["cache"])),
        ("links", json!(["cache:c"])),
        ("external_links", json!(["the-db:d"])),
    ] {
        let mut model = project();
        model["services"]["db"][key] = value;
        let error = share(&model, "db", "/tree").unwrap_err();
        assert!(matches!(error, IsolationError::NotShareable { .. }), "{key}: {error}");
    }
    let error = share(&project(), "nope", "/tree").unwrap_err();
    assert!(matches!(error, IsolationError::UnknownService { .. }));
}
