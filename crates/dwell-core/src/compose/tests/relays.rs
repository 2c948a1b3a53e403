//! Services replaced by stand-ins.

use super::*;

fn project() -> Value {
    json!({
        "services": {
            "web": {"image": "a", "networks": {"default": null},
                "depends_on": {"db": {"condition": "service_healthy"}},
                "volumes": [{"type": "volume", "source": "both", "target": "/b"}]},
            "db": {"image": "db", "build": {"context": "/tree"}, "environment": {"A": "1"}, "scale": 3,
                "networks": {"default": {"aliases": ["database"]}}, "container_name": "the-db",
                "depends_on": {"setup": {"condition": "service_completed_successfully"}},
                "ports": ["5432:5432"], "labels": {"mine": "1"},
                "volumes": [{"type": "volume", "source": "data", "target": "/d"},
                    {"type": "volume", "source": "both", "target": "/b"}]},
            "setup": {"image": "a", "networks": {"default": null}},
        },
        "networks": {"default": {"name": "x_default"}},
        "volumes": {"data": {"name": "x_data"}, "both": {"name": "x_both"}},
    })
}

#[test]
fn a_relay_keeps_name_networks_and_aliases_only() {
    let isolated = Lab::relaying(&["db"]).isolate(&project()).unwrap();
    insta::assert_snapshot!(outline(&isolated.compose["services"]["db"]), @r#"
    image: "relay:1"
    command: ["relay","$$x"]
    cap_drop: ["ALL"]
    read_only: true
    security_opt: ["no-new-privileges:true"]
    stop_grace_period: "1s"
    restart: "unless-stopped"
    expose: ["5432/tcp"]
    healthcheck.test: ["CMD","relay","probe"]
    healthcheck.interval: "2s"
    healthcheck.timeout: "5s"
    healthcheck.retries: 30
    networks.default.aliases: ["database","the-db","db.agent-1.test","db.agent-1.shop.test"]
    networks.dwell-outer-dwell-shared-x-default: null
    labels.dwell.node: "jicsqeebji"
    labels.dwell.env: "aaaaaaaaaa"
    labels.dwell.project: "shop"
    labels.dwell.name: "agent-1"
    labels.dwell.generation: "1"
    labels.dwell.service: "db"
    labels.dwell.role: "relay"
    "#);
    let outer = &isolated.compose["networks"]["dwell-outer-dwell-shared-x-default"];
    assert_eq!(*outer, json!({"name": "dwell-shared-x-default", "external": true}));
    let volumes: Vec<_> = isolated.compose["volumes"].as_object().unwrap().keys().collect();
    assert_eq!(volumes, ["both"]);
    assert_eq!(
        notes(&isolated),
        ["volume `both`: a service that runs elsewhere mounts it too, and has other data in it"]
    );
    let fact = &isolated.services[&service("db")];
    assert_eq!((fact.role, fact.replicas, fact.has_healthcheck), (Role::Relay, 1, true));
    assert!(fact.depends_on.is_empty());
}

#[test]
fn a_relay_is_probed_seldom_when_nothing_waits_for_it() {
    let mut model = project();
    model["services"]["web"]["depends_on"]["db"]["condition"] = json!("service_started");
    let compose = Lab::relaying(&["db"]).isolate(&model).unwrap().compose;
    assert_eq!(compose["services"]["db"]["healthcheck"]["interval"], "30s");
}

#[test]
fn what_a_relay_cannot_give_is_refused() {
    for (setting, value, message) in [
        ("volumes_from", json!(["db:ro"]), "volumes_from: db"),
        ("network_mode", json!("service:db"), "network_mode: service:db"),
        ("pid", json!("service:db"), "pid: service:db"),
        ("ipc", json!("container:the-db"), "ipc: service:db"),
        ("volumes_from", json!(["container:the-db"]), "volumes_from: db"),
    ] {
        let mut model = project();
        model["services"]["web"][setting] = value;
        let error = Lab::relaying(&["db"]).isolate(&model).unwrap_err();
        let want = IsolationError::NeedsBody {
            service: service("web"),
            relay: service("db"),
            what: message.to_owned(),
        };
        assert_eq!(error, want);
        assert!(Lab::relaying(&["db", "web"]).isolate(&model).is_ok(), "both away is fine");
    }
}

#[test]
fn a_state_that_a_relay_never_reaches_is_refused() {
    let mut lab = Lab::relaying(&["setup"]);
    let error = lab.isolate(&project()).unwrap_err();
    assert_eq!(
        error.to_string(),
        "service `db` waits for `setup` to be `service_completed_successfully`, which its relay never is"
    );
    lab.relays.get_mut(&service("setup")).unwrap().completes = true;
    let compose = lab.isolate(&project()).unwrap().compose;
    assert_eq!(compose["services"]["setup"]["restart"], "no");
    let mut lab = Lab::relaying(&["db"]);
    lab.relays.get_mut(&service("db")).unwrap().healthcheck = None;
    assert!(matches!(lab.isolate(&project()), Err(IsolationError::NeverReached { .. })));
}

#[test]
fn a_relay_for_a_service_without_networks_joins_the_default_one() {
    for mode in ["none", "service:web", "container:x", "host"] {
        let model = json!({"services": {"db": {"network_mode": mode, "labels": {"dwell.network": "host"}}, "web": {}}});
        let isolated = Lab::relaying(&["db"]).isolate(&model).unwrap();
        let db = &isolated.compose["services"]["db"];
        assert!(db.get("network_mode").is_none());
        let aliases = db["networks"]["default"]["aliases"].as_array().unwrap();
        assert!(aliases.contains(&json!("db.agent-1.test")), "{mode}");
    }
}

#[test]
fn an_unknown_relay_is_an_error() {
    let error = Lab::relaying(&["nope"]).isolate(&project()).unwrap_err();
    assert_eq!(error, IsolationError::UnknownService { service: service("nope") });
}
