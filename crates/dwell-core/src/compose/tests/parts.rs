//! A project divided among nodes.

use super::*;
use crate::name::NodeName;
use crate::placement::Placement;
use proptest::prelude::*;

fn node(name: &str) -> NodeName {
    name.parse().unwrap()
}

/// `web api: local; db: staging` and the services that are opened.
fn placement(text: &str, reverse: &[&str]) -> Placement {
    let services = text.split(';').flat_map(|group| {
        let (names, place) = group.split_once(':').unwrap();
        names.split_whitespace().map(|name| (service(name), node(place.trim()))).collect::<Vec<_>>()
    });
    let reverse = reverse.iter().map(|name| service(name)).collect();
    Placement { home: NodeName::local(), services: services.collect(), reverse }
}

fn cut(model: &Value, placement: &Placement, at: &str) -> Result<Part, PartError> {
    part(&Division {
        model,
        project: &"shop".parse().unwrap(),
        placement,
        node: &node(at),
        exposed: &BTreeMap::from([(
            service("shown"),
            vec![Port { number: 9, protocol: Protocol::Tcp }],
        )]),
        ingress: None,
        hostnames: &["pc".parse().unwrap()],
    })
}

/// The part isolated as its node's daemon does it.
fn isolated(part: &Part) -> Isolated {
    let relays = part.away.iter().map(|(name, away)| {
        let sockets = Path::new("/run/dwell/dial/x").join(name.as_str());
        (name.clone(), away.relay("relay:1", &sockets, "1000:1000"))
    });
    Lab { relays: relays.collect(), ..Lab::default() }.isolate(&part.model).unwrap()
}

fn project() -> Value {
    json!({
        "services": {
            "web": {
                "image": "web", "networks": {"default": null, "out": null}, "environment": {"KEY": "s3cret"},
                "labels": {"dwell.hostnames": "login"}, "depends_on": {"api": {"condition": "service_started"}},
                "ports": [{"target": 80, "published": "80"}],
            },
            "api": {
                "image": "shop/api", "build": {"context": "/tree/api"}, "networks": {"default": null},
                "depends_on": {
                    "db": {"condition": "service_healthy", "required": true},
                    "migrate": {"condition": "service_completed_successfully", "required": true},
                },
                "expose": ["3000"], "volumes": [{"type": "bind", "source": "/tree/api", "target": "/app"}],
            },
            "db": {
                "image": "postgres:16", "networks": {"default": {"aliases": ["database"]}},
                "healthcheck": {"test": ["CMD", "pg_isready"]}, "labels": {"cilo.remote": "staging", "cilo.share": "true"},
                "volumes": [{"type": "volume", "source": "data", "target": "/d"}], "secrets": [{"source": "pw"}],
            },
            "migrate": {
                "image": "shop/api", "networks": {"default": null},
                "depends_on": {"db": {"condition": "service_healthy", "required": true}},
            },
            "worker": {
                "image": "worker", "networks": {"default": null}, "links": ["web:front", "db"],
                "depends_on": {"web": {"condition": "service_started", "required": true}},
            },
        },
        "networks": {"default": {"name": "shop_default"}, "out": {"external": true, "name": "lan"}},
        "volumes": {"data": {"name": "shop_data"}},
        "secrets": {"pw": {"name": "shop_pw", "file": "/tree/pw"}},
    })
}

fn names<'a>(all: impl IntoIterator<Item = &'a ServiceName>) -> String {
    all.into_iter().map(ServiceName::as_str).collect::<Vec<_>>().join(" ")
}

fn tcp(number: u16) -> Port {
    Port { number, protocol: Protocol::Tcp }
}

fn note_texts(part: &Part) -> String {
    part.notes.iter().map(Note::to_string).collect::<Vec<_>>().join("\n")
}

#[test]
fn at_home_every_service_elsewhere_has_a_relay() {
    let placement = placement("web api: local; db migrate worker: staging", &[]);
    let part = cut(&project(), &placement, "local").unwrap();
    assert_eq!(names(&part.runs), "api web");
    assert!(part.dropped.is_empty());
    let db = Away { node: node("staging"), ports: vec![tcp(5432)], completes: false };
    assert_eq!(part.away[&service("db")], db);
    assert!(part.away[&service("migrate")].completes);
    assert_eq!(
        note_texts(&part),
        "service `worker`: nothing tells its ports, so it cannot be reached from other nodes; `expose` in the compose file does"
    );
    assert!(part.model["services"]["db"]["labels"].get("cilo.share").is_none());
    assert_eq!(part.model.get("secrets"), None);
    let compose = isolated(&part).compose;
    insta::assert_snapshot!(outline(&compose["services"]["db"]), @r#"
    image: "relay:1"
    command: ["relay","--forward=tcp:5432=unix:/dial/5432-tcp.sock"]
    cap_drop: ["ALL"]
    read_only: true
    security_opt: ["no-new-privileges:true"]
    stop_grace_period: "1s"
    restart: "unless-stopped"
    user: "1000:1000"
    volumes: [{"type":"bind","source":"/run/dwell/dial/x/db","target":"/dial","read_only":true,"bind":{"create_host_path":false}}]
    healthcheck.test: ["CMD","/dwell","relay","--probe=unix:/dial/health.sock"]
    healthcheck.interval: "2s"
    healthcheck.timeout: "5s"
    healthcheck.retries: 30
    networks.default.aliases: ["database","db.agent-1.test","db.agent-1.shop.test"]
    labels.dwell.node: "jicsqeebji"
    labels.dwell.env: "aaaaaaaaaa"
    labels.dwell.project: "shop"
    labels.dwell.name: "agent-1"
    labels.dwell.generation: "1"
    labels.dwell.service: "db"
    labels.dwell.role: "relay"
    "#);
    insta::assert_snapshot!(outline(&compose["services"]["migrate"]), @r#"
    image: "relay:1"
    command: ["relay","--await=unix:/dial/done.sock"]
    cap_drop: ["ALL"]
    read_only: true
    security_opt: ["no-new-privileges:true"]
    stop_grace_period: "1s"
    restart: "no"
    user: "1000:1000"
    volumes: [{"type":"bind","source":"/run/dwell/dial/x/migrate","target":"/dial","read_only":true,"bind":{"create_host_path":false}}]
    networks.default.aliases: ["migrate.agent-1.test","migrate.agent-1.shop.test"]
    labels.dwell.node: "jicsqeebji"
    labels.dwell.env: "aaaaaaaaaa"
    labels.dwell.project: "shop"
    labels.dwell.name: "agent-1"
    labels.dwell.generation: "1"
    labels.dwell.service: "migrate"
    labels.dwell.role: "relay"
    "#);
    assert_eq!(
        compose["services"]["api"]["depends_on"],
        project()["services"]["api"]["depends_on"]
    );
    assert_eq!(compose["services"]["api"]["build"]["context"], "/tree/api");
}

#[test]
fn elsewhere_only_what_is_opened_can_be_reached() {
    let closed = placement("web api: local; db migrate worker: staging", &[]);
    let part = cut(&project(), &closed, "staging").unwrap();
    assert_eq!(names(&part.runs), "db migrate worker");
    assert_eq!(names(part.dropped.keys()), "api web");
    assert!(part.away.is_empty());
    insta::assert_snapshot!(note_texts(&part), @r"
    service `worker`: it depends on `web`, which runs on `local` and cannot be reached from `staging`; `--reverse web` lets it
    service `worker`: it is linked to `web`, which runs on `local` and cannot be reached from `staging`; `--reverse web` lets it
    ");
    assert!(!part.model.to_string().contains("s3cret"), "variables stay where they are used");
    insta::assert_snapshot!(outline(&part.model), @r#"
    services.db.image: "postgres:16"
    services.db.networks: {"default":{"aliases":["database"]}}
    services.db.healthcheck: {"test":["CMD","pg_isready"]}
    services.db.labels: {"cilo.remote":"staging","cilo.share":"true","dwell.ingress":"false"}
    services.db.volumes: [{"type":"volume","source":"data","target":"/d"}]
    services.db.secrets: [{"source":"pw"}]
    services.migrate.image: "shop/api"
    services.migrate.networks: {"default":null}
    services.migrate.depends_on: {"db":{"condition":"service_healthy","required":true}}
    services.migrate.build: {"context":"/tree/api"}
    services.migrate.labels: {"dwell.ingress":"false","dwell.job":"true"}
    services.worker.image: "worker"
    services.worker.networks: {"default":null}
    services.worker.links: ["db"]
    services.worker.labels: {"dwell.ingress":"false"}
    networks.default.name: "shop_default"
    volumes.data.name: "shop_data"
    secrets.pw.name: "shop_pw"
    secrets.pw.file: "/tree/pw"
    "#);
    let facts = isolated(&part).services;
    assert!(facts[&service("migrate")].completes, "it is a job here too");
    assert!(facts.values().all(|service| !service.ingress));

    let open = placement("web api: local; db migrate worker: staging", &["web"]);
    let part = cut(&project(), &open, "staging").unwrap();
    assert_eq!(names(part.away.keys()), "web");
    assert_eq!(names(part.dropped.keys()), "api");
    assert_eq!(note_texts(&part), "");
    let web = &part.model["services"]["web"];
    assert!(web.get("environment").is_none() && web["networks"].get("out").is_none());
    let compose = isolated(&part).compose;
    let aliases = compose["services"]["web"]["networks"]["default"]["aliases"].to_string();
    for name in ["web.agent-1.test", "login.agent-1.test", "pc.agent-1.test", "shop.agent-1.test"] {
        assert!(aliases.contains(&format!("\"{name}\"")), "{name}: {aliases}");
    }
    assert_eq!(compose["services"]["worker"]["links"], json!(["web:front", "db"]));
}

#[test]
fn services_on_several_other_nodes_reach_each_other() {
    let placement = placement("web: local; api migrate: big; db worker: staging", &[]);
    let part = cut(&project(), &placement, "big").unwrap();
    assert_eq!(names(part.away.keys()), "db worker");
    assert_eq!(names(part.dropped.keys()), "web");
    let compose = isolated(&part).compose;
    assert_eq!(compose["services"]["db"]["healthcheck"]["interval"], "2s");
    assert_eq!(compose["services"]["db"]["user"], "1000:1000");
}

#[test]
fn a_service_that_uses_an_image_built_elsewhere_builds_it_itself() {
    let placement = placement("web api: local; db migrate worker: staging", &[]);
    let part = cut(&project(), &placement, "staging").unwrap();
    let travel = travel(&Journey {
        model: &part.model,
        services: &part.runs,
        root: Path::new("/tree"),
        host: &[],
    })
    .unwrap();
    let needs: Vec<_> = travel.needs.iter().map(|n| format!("{} {}", n.service, n.path)).collect();
    assert_eq!(needs, ["db pw", "migrate api"]);
    let compose = isolated(&part).compose;
    assert_eq!(compose["services"]["migrate"]["build"]["context"], "/tree/api");
}

#[test]
fn what_cannot_work_is_refused() {
    let apart = placement("web worker: local; api db migrate: staging", &[]);
    for (setting, value) in [
        ("network_mode", json!("service:web")),
        ("pid", json!("service:web")),
        ("ipc", json!("service:web")),
        ("volumes_from", json!(["web"])),
        ("build", json!({"context": "/tree", "additional_contexts": {"w": "service:web"}})),
    ] {
        for (name, other, at) in [("db", "web", "staging"), ("worker", "db", "local")] {
            let mut model = project();
            let text = value.to_string().replace("web", other);
            model["services"][name][setting] = serde_json::from_str(&text).unwrap();
            let error = cut(&model, &apart, at).unwrap_err();
            assert!(matches!(error, PartError::Tied { .. }), "{setting}: {error}");
        }
    }
    let error =
        cut(&project(), &placement("web worker migrate db: local; api: staging", &[]), "staging");
    let error = error.unwrap_err();
    assert_eq!(
        (error.to_string(), error.hint().unwrap()),
        (
            "service `api` waits for `migrate` to complete, which runs on `local` and cannot be reached from there".to_owned(),
            "`--reverse migrate` makes it reachable, or place both on one node".to_owned(),
        )
    );
    let mut model = project();
    model["services"]["db"]["image"] = json!("mine");
    let at_home = placement("web api migrate worker: local; db: staging", &[]);
    let error = cut(&model, &at_home, "local").unwrap_err();
    assert_eq!(
        error.to_string(),
        "service `db` on `staging` cannot be reached by `api`: nothing tells its ports"
    );
    let unknown = cut(&project(), &placement("web: local", &[]), "local").unwrap_err();
    assert!(matches!(unknown, PartError::Model(IsolationError::UnknownService { .. })));
    let model = json!({"services": {"a-b": {}, "a_b": {}}});
    let error = cut(&model, &placement("a-b: local; a_b: staging", &[]), "staging").unwrap_err();
    assert_eq!(error, PartError::Names { service: service("a_b") });
}

#[test]
fn ports_come_from_images_where_that_is_known_and_may_be_udp() {
    let model = json!({"services": {
        "web": {"depends_on": ["shown"]}, "shown": {"image": "mine"},
        "dns": {"image": "x", "ports": ["53:53/udp", "53:53"]},
    }});
    let part = cut(&model, &placement("web: local; shown dns: staging", &[]), "local").unwrap();
    assert_eq!(part.away[&service("shown")].ports, [tcp(9)]);
    let udp = Port { number: 53, protocol: Protocol::Udp };
    assert_eq!(part.away[&service("dns")].ports, [udp, tcp(53)]);
    assert_eq!(note_texts(&part), "");
}

#[test]
fn a_project_that_is_whole_is_not_touched() {
    let mut everywhere = placement("web api db migrate worker: local", &[]);
    let part = cut(&project(), &everywhere, "local").unwrap();
    assert_eq!(part.model, project());
    everywhere.home = node("staging");
    everywhere.services.values_mut().for_each(|place| *place = node("staging"));
    assert_eq!(cut(&project(), &everywhere, "staging").unwrap().model, project());
}

#[test]
fn the_projects_own_name_belongs_to_one_service_on_every_node() {
    let model = json!({"services": {"shop": {"expose": [1]}, "app": {"expose": [2]}, "db": {"image": "redis"}}});
    let part = cut(&model, &placement("shop: local; app db: staging", &[]), "staging").unwrap();
    let compose = isolated(&part).compose;
    assert!(!compose.to_string().contains("shop.agent-1.test"), "{compose}");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn every_service_runs_on_one_node_and_parts_can_be_isolated(
        places in prop::collection::vec(0_usize..3, 5),
        open in prop::collection::btree_set(0_usize..5, 0..5),
    ) {
        let (all, nodes) = (["api", "db", "migrate", "web", "worker"], ["local", "big", "staging"]);
        let placement = Placement {
            home: NodeName::local(),
            services: all.iter().zip(&places).map(|(name, at)| (service(name), node(nodes[*at]))).collect(),
            reverse: open.iter().map(|at| service(all[*at])).collect(),
        };
        let mut seen = Vec::new();
        for at in nodes {
            let part = match cut(&project(), &placement, at) {
                Ok(part) => part,
                Err(error) => {
                    prop_assert!(matches!(error, PartError::Waits { .. }), "{}", error);
                    return Ok(());
                }
            };
            prop_assert_eq!(part.runs.len() + part.away.len() + part.dropped.len(), 5);
            prop_assert!(at != "local" || part.dropped.is_empty());
            let isolated = isolated(&part);
            for name in part.runs.iter() {
                let depends_on = &isolated.compose["services"][name.as_str()]["depends_on"];
                for other in depends_on.as_object().into_iter().flatten().map(|(key, _)| key) {
                    prop_assert!(isolated.compose["services"].get(other).is_some());
                }
            }
            if part.runs.len() < 5 {
                for gone in part.dropped.keys() {
                    prop_assert!(isolated.compose["services"].get(gone.as_str()).is_none());
                }
            }
            seen.extend(part.runs);
        }
        seen.sort();
        prop_assert_eq!(names(&seen), "api db migrate web worker");
    }
}
