//! Who wins, and what is refused.

use super::*;
use crate::compose;
use proptest::prelude::*;
use serde_json::{Value, json};

fn names(text: &str) -> Vec<ServiceName> {
    text.split_whitespace().map(|name| name.parse().unwrap()).collect()
}

fn node(text: &str) -> NodeName {
    text.parse().unwrap()
}

/// Flags as one writes them, without dashes: `remote=N services=a,b host=N local=a place=a=N`.
fn flags(text: &str) -> Flags {
    let mut flags = Flags::default();
    for word in text.split_whitespace() {
        let (key, value) = word.split_once('=').unwrap();
        let list = || value.split(',').map(|name| name.parse().unwrap());
        match key {
            "remote" => flags.remote = Some(node(value)),
            "host" => flags.remote_host = Some(node(value)),
            "services" => flags.remote_services.extend(list()),
            "local" => flags.local_services.extend(list()),
            "reverse" => flags.reverse.extend(list()),
            "place" => flags.place.push(value.parse().unwrap()),
            "agent" => flags.agent = Some(value.parse().unwrap()),
            other => panic!("{other}"),
        }
    }
    flags
}

#[derive(Default)]
struct Lab {
    model: Value,
    project: BTreeMap<ServiceName, NodeName>,
    reverse: Vec<ServiceName>,
    recorded: Choices,
}

impl Lab {
    fn shop() -> Self {
        let model = json!({"services": {
            "web": {"depends_on": ["api"]}, "api": {}, "db": {},
            "search": {"labels": {"cilo.remote": "staging"}},
        }});
        Self { model, ..Self::default() }
    }

    fn place(&self, text: &str) -> Result<Placed, PlacementError> {
        place(&Wishes {
            services: &compose::services(&self.model).unwrap(),
            bonds: &compose::bonds(&self.model).unwrap(),
            project: &self.project,
            reverse: &self.reverse,
            recorded: &self.recorded,
            flags: &flags(text),
            nodes: &["staging", "big"].map(node).into(),
        })
    }

    fn shown(&self, text: &str) -> String {
        match self.place(text) {
            Ok(placed) => format!("{} @{}", placed.placement, placed.placement.home),
            Err(error) => format!("{error} | {}", error.hint()),
        }
    }
}

#[test]
fn flags_win_over_the_projects_file_and_that_over_labels() {
    let mut lab = Lab::shop();
    lab.model["services"]["db"]["labels"] = json!({"cilo.remote": "gone", "dwell.place": "big"});
    let table = [
        ("", "api, web: local; db: big; search: staging @local"),
        ("local=search,db", "api, db, search, web: local @local"),
        ("remote=big", "api, db, search, web: big @big"),
        ("remote=big agent=local", "api, db, search, web: big @local"),
        ("remote=big local=web", "web: local; api, db, search: big @local"),
        ("remote=big place=web=staging", "api, db, search: big; web: staging @local"),
        ("remote=local", "api, db, search, web: local @local"),
        ("remote=big services=db,api", "web: local; api, db: big; search: staging @local"),
        ("services=db,api host=staging", "web: local; api, db, search: staging @local"),
        ("services=db,search", "api, web: local; db: big; search: staging @local"),
        (
            "place=web=big place=web=big local=db,db",
            "api, db: local; web: big; search: staging @local",
        ),
    ];
    for (given, want) in table {
        assert_eq!(lab.shown(given), want, "{given}");
    }
    lab.project = BTreeMap::from([("search".parse().unwrap(), node("big"))]);
    assert_eq!(lab.shown(""), "api, web: local; db, search: big @local");
    assert_eq!(
        lab.shown("place=search=staging"),
        "api, web: local; db: big; search: staging @local"
    );
}

#[test]
fn contradictions_are_named() {
    let lab = Lab::shop();
    let mut all = Vec::new();
    for given in [
        "services=db host=staging local=db",
        "place=db=big services=db host=staging",
        "place=db=big place=db=staging",
        "local=db place=db=big",
        "services=api,db",
        "host=big",
        "remote=big host=staging services=db",
        "local=serach",
        "reverse=nothing-like-it",
        "place=api=stagin",
        "remote=elsewhere",
    ] {
        all.push(lab.shown(given));
    }
    insta::assert_snapshot!(all.join("\n"), @r"
    service `db` is placed on `staging` by --remote-services and on `local` by --local-services | name `db` once
    service `db` is placed on `staging` by --remote-services and on `big` by --place | name `db` once
    service `db` is placed on `big` by --place and on `staging` by --place | name `db` once
    service `db` is placed on `local` by --local-services and on `big` by --place | name `db` once
    nothing says on which node `api`, `db` should run | name the node with `--remote-host NODE`
    --remote-host names `big`, but no --remote-services say what should run there | name them with `--remote-services`, or use `--remote big` for all services
    --remote names `big` and --remote-host `staging` | give one of them, and `--place SERVICE=NODE` for what runs elsewhere
    --local-services names `serach`, which is not in the project or its profile is not active; did you mean `search`? | `dwell status` lists the services
    --reverse names `nothing-like-it`, which is not in the project or its profile is not active | `dwell status` lists the services
    service `api` is placed on `stagin` by a flag, but no such node is known; did you mean `staging`? | add it with `dwell remote add stagin --host HOST`, or keep the service here with `--place api=local`
    service `api` is placed on `elsewhere` by a flag, but no such node is known | add it with `dwell remote add elsewhere --host HOST`, or keep the service here with `--place api=local`
    ");
}

#[test]
fn what_has_to_be_together_is_not_parted() {
    let mut lab = Lab::shop();
    for (key, value) in [
        ("network_mode", json!("service:db")),
        ("pid", json!("service:db")),
        ("ipc", json!("container:the-db")),
        ("volumes_from", json!(["db:ro"])),
        ("build", json!({"context": "/x", "additional_contexts": {"base": "service:db"}})),
        ("volumes", json!([{"type": "volume", "source": "data", "target": "/d"}])),
    ] {
        lab.model["services"]["api"] = json!({key: value});
        lab.model["services"]["db"] = json!({
            "container_name": "the-db",
            "volumes": [{"type": "volume", "source": "data", "target": "/d"}],
        });
        let error = lab.place("place=db=big").unwrap_err();
        assert!(matches!(error, PlacementError::Apart { .. }), "{key}: {error}");
        assert!(lab.place("place=db=big place=api=big").is_ok(), "{key}");
        assert!(lab.place("").is_ok(), "{key}");
    }
    assert_eq!(
        lab.shown("place=db=big"),
        "services `api` (on `local`) and `db` (on `big`) have to run on one node: volume `data` | use `--place db=local` or `--place api=big`"
    );
    lab.model["volumes"] = json!({"data": {"driver_opts": {"type": "nfs", "device": ":/x"}}});
    assert!(lab.place("place=db=big").is_ok(), "a network file system is everywhere the same");
}

#[test]
fn choices_last_until_flags_change_them() {
    let mut lab = Lab::shop();
    lab.recorded = lab.place("place=db=big reverse=api").unwrap().choices;
    assert_eq!(lab.shown(""), "api, web: local; db: big; search: staging @local");
    lab.recorded = lab.place("local=search").unwrap().choices;
    assert_eq!(lab.shown(""), "api, search, web: local; db: big @local");
    assert_eq!(lab.place("").unwrap().placement.reverse, names("api").into_iter().collect());
    lab.recorded = lab.place("remote=staging").unwrap().choices;
    assert_eq!(lab.shown(""), "api, db, search, web: staging @staging");
    assert_eq!(lab.shown("agent=local"), "api, db, search, web: staging @local");
    lab.model["services"]["new"] = json!({});
    assert_eq!(lab.shown(""), "api, db, new, search, web: staging @staging");
    let text = serde_json::to_string(&lab.recorded).unwrap();
    assert_eq!(text, r#"{"every":"staging","services":{},"reverse":["api"],"agent":null}"#);
    assert_eq!(serde_json::from_str::<Choices>(&text).unwrap(), lab.recorded);
    assert!(serde_json::from_str::<Choices>("{}").unwrap().is_empty());
}

#[test]
fn what_is_gone_from_the_project_is_no_error_unless_a_flag_names_it() {
    let mut lab = Lab::shop();
    lab.project = BTreeMap::from([("old".parse().unwrap(), node("nowhere"))]);
    lab.recorded.services.insert("older".parse().unwrap(), node("nowhere"));
    let placed = lab.place("").unwrap();
    let notes: Vec<_> = placed.notes.iter().map(ToString::to_string).collect();
    assert_eq!(
        notes,
        ["service `old`: dwell.toml names it, but it is not among the active services"]
    );
}

#[test]
fn who_reaches_whom() {
    let mut lab = Lab::shop();
    lab.reverse = names("api search");
    lab.model["services"]["web"]["labels"] = json!(["dwell.reverse=true"]);
    let placement = lab.place("place=db=big reverse=search").unwrap();
    assert_eq!(
        placement.notes.iter().map(ToString::to_string).collect::<Vec<_>>(),
        ["service `search`: it runs on another node, which all nodes reach without --reverse"]
    );
    let placement = placement.placement;
    assert_eq!(placement.reverse, names("api web").into_iter().collect());
    let reached = |from: &str| {
        let from = node(from);
        let all = placement.services.keys().filter(|name| placement.reaches(&from, name));
        all.map(ServiceName::as_str).collect::<Vec<_>>().join(" ")
    };
    assert_eq!(reached("local"), "db search");
    assert_eq!(reached("big"), "api search web");
    lab.reverse.clear();
    lab.model["services"]["web"] = json!({});
    let placement = lab.place("place=db=big").unwrap().placement;
    assert!(!placement.reaches(&node("big"), &"web".parse().unwrap()));
    assert_eq!(placement.others(), [&node("big"), &node("staging")].into());
    assert!(!placement.is_whole());
    assert!(Placement::local(names("a b")).is_whole());
}

#[test]
fn a_label_that_is_no_node_is_an_error() {
    for value in ["a b;c", "../x", "--x;"] {
        let model = json!({"services": {"a": {"labels": {"cilo.remote": value}}}});
        let error = compose::services(&model).unwrap_err().to_string();
        assert!(error.contains("cilo.remote"), "{error}");
    }
    let model = json!({"services": {"a": {"labels": {"dwell.place": " "}}}});
    assert_eq!(compose::services(&model).unwrap().values().next().unwrap().place, None);
    for bad in ["a", "=", "a=", "=b", "a=b=c", "a b=c", "a=$x"] {
        assert!(bad.parse::<Assignment>().is_err(), "{bad}");
    }
}

proptest! {
    #[test]
    fn every_service_has_one_known_node_and_bonds_hold(
        places in prop::collection::vec((0_usize..5, 0_usize..3), 0..6),
        labels in prop::collection::vec(prop::option::of(0_usize..3), 5),
        every in prop::option::of(0_usize..3),
        bonded in any::<bool>(),
    ) {
        let nodes = ["local", "staging", "big"];
        let mut services = serde_json::Map::new();
        for (index, label) in labels.iter().enumerate() {
            let labels = label.map_or(json!({}), |n| json!({"dwell.place": nodes[n]}));
            services.insert(format!("s{index}"), json!({"labels": labels}));
        }
        if bonded {
            services["s1"]["network_mode"] = json!("service:s0");
        }
        let lab = Lab { model: json!({"services": services}), ..Lab::default() };
        let mut text: Vec<_> = places.iter().map(|(s, n)| format!("place=s{s}={}", nodes[*n])).collect();
        text.extend(every.map(|n| format!("remote={}", nodes[n])));
        if let Ok(placed) = lab.place(&text.join(" ")) {
            let placement = placed.placement;
            prop_assert_eq!(placement.services.len(), 5);
            for (service, wanted) in &places {
                let name = format!("s{service}").parse().unwrap();
                prop_assert_eq!(placement.node_of(&name), Some(&node(nodes[*wanted])));
            }
            let of = |name: &str| placement.node_of(&name.parse().unwrap()).cloned();
            prop_assert!(!bonded || of("s0") == of("s1"));
            prop_assert!(placement.home.is_local() || placement.is_whole());
            let again = Lab { recorded: placed.choices, model: lab.model, ..Lab::default() };
            prop_assert_eq!(again.place("").unwrap().placement, placement);
        }
    }
}
