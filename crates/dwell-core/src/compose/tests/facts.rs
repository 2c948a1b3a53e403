//! Facts of services, the choice of the ingress, and the order of stopping.

use super::*;

fn facts_of(services_json: Value) -> BTreeMap<ServiceName, Service> {
    super::services(&json!({"services": services_json})).unwrap()
}

fn ingress_of(services_json: Value, configured: Option<&str>) -> (Option<String>, Vec<String>) {
    let lab = Lab { ingress: configured.map(service), ..Lab::default() };
    let isolated = lab.isolate(&json!({"services": services_json})).unwrap();
    let chosen = isolated.services.values().find(|s| s.ingress).map(|s| s.name.to_string());
    (chosen, notes(&isolated))
}

#[test]
fn the_facts_are_read() {
    let facts = facts_of(json!({
        "web": {
            "ports": ["8080:80/udp", "443"], "deploy": {"replicas": 2}, "healthcheck": {"test": ["CMD", "x"]},
            "labels": ["dwell.hostnames= PC, admin.api ,", "cilo.hostnames=lost", "cilo.share=TRUE"],
            "depends_on": {"db": {"condition": "service_healthy", "required": false}, "job": {"condition": "service_completed_successfully"}},
        },
        "db": {"network_mode": "service:web", "healthcheck": {"disable": true}, "expose": [80], "labels": {"dwell.port": "81"}},
        "job": {"scale": 0, "healthcheck": {"test": ["NONE"]}, "depends_on": ["db"]},
    }));
    let web = &facts[&service("web")];
    assert_eq!(web.ports.iter().map(Port::to_string).collect::<Vec<_>>(), ["80/udp", "443/tcp"]);
    assert_eq!(
        (web.http_port, web.replicas, web.has_healthcheck, web.share),
        (Some(443), 2, true, true)
    );
    assert_eq!(web.hostnames.iter().map(Hostname::as_str).collect::<Vec<_>>(), ["pc", "admin.api"]);
    let db = web.depends_on[&service("db")];
    assert_eq!((db.condition, db.required), (Condition::Healthy, false));
    let db = &facts[&service("db")];
    assert_eq!(
        (db.netns_of.clone(), db.has_healthcheck, db.http_port),
        (Some(service("web")), false, Some(81))
    );
    assert!(db.networks.is_empty());
    let job = &facts[&service("job")];
    assert_eq!((job.completes, job.replicas, job.has_healthcheck), (true, 0, false));
    assert_eq!(job.depends_on[&service("db")].condition, Condition::Started);
}

#[test]
fn labels_with_impossible_values_are_errors() {
    for labels in [
        json!({"dwell.hostnames": "ok,a b"}),
        json!({"cilo.hostnames": "x\naddress=/evil/1.2.3.4"}),
        json!({"dwell.port": "0"}),
        json!({"dwell.port": "http"}),
    ] {
        let error = services(&json!({"services": {"web": {"labels": labels}}})).unwrap_err();
        assert!(matches!(error, IsolationError::Label { .. }), "{error}");
        assert!(!error.to_string().contains('\n'));
    }
}

#[test]
fn the_ingress_is_the_labelled_one_first() {
    let both = json!({"web": {}, "z": {"labels": {"cilo.ingress": "true"}}, "y": {"labels": ["dwell.ingress=true"]}});
    let (chosen, notes) = ingress_of(both, Some("web"));
    assert_eq!(chosen.as_deref(), Some("y"));
    assert_eq!(
        notes,
        ["service `y`: several services are labelled as ingress; the first by name is taken"]
    );
}

#[test]
fn then_the_configured_one_then_by_convention_then_by_names() {
    let names = |text: &str| json!({"labels": {"dwell.hostnames": text}});
    assert_eq!(ingress_of(json!({"web": {}, "x": {}}), Some("x")).0.as_deref(), Some("x"));
    let (chosen, notes) = ingress_of(json!({"app": {}, "web": {}, "b": names("q")}), Some("gone"));
    assert_eq!(chosen.as_deref(), Some("web"));
    assert_eq!(
        notes,
        ["service `gone`: it is configured as ingress, but is not among the active services"]
    );
    assert_eq!(ingress_of(json!({"frontend": {}, "nginx": {}}), None).0.as_deref(), Some("nginx"));
    assert_eq!(ingress_of(json!({"a": {}, "b": names("q")}), None).0.as_deref(), Some("b"));
    assert_eq!(ingress_of(json!({"a": names("r"), "b": names("q")}), None).0, None);
    let refused = json!({"web": {"labels": {"dwell.ingress": "false"}}, "app": {}});
    assert_eq!(ingress_of(refused, None).0.as_deref(), Some("app"));
    assert_eq!(ingress_of(json!({"a": {}}), None).0, None);
}

#[test]
fn configured_names_are_the_ingress_ones_and_no_name_has_two_owners() {
    let lab =
        Lab { hostnames: vec!["pc".parse().unwrap(), "db".parse().unwrap()], ..Lab::default() };
    let model = json!({"services": {"web": {}, "db": {}, "x": {"labels": {"dwell.hostnames": "pc,x,web"}}}});
    let isolated = lab.isolate(&model).unwrap();
    let hostnames = |name: &str| isolated.services[&service(name)].hostnames.clone();
    assert_eq!(hostnames("web"), ["pc".parse().unwrap()]);
    assert_eq!(hostnames("x"), []);
    assert_eq!(
        notes(&isolated),
        [
            "service `web`: its custom name `db` is dropped; it belongs to `db`",
            "service `x`: its custom name `pc` is dropped; it belongs to `web`",
            "service `x`: its custom name `web` is dropped; it belongs to `web`",
        ]
    );
}

#[test]
fn labels_of_services_are_unique() {
    let facts = facts_of(json!({"a_b": {}, "a-b": {}, "A.b": {}, "c": {}}));
    let label = |name: &str| facts[&service(name)].label.as_str();
    assert_eq!(
        [label("a-b"), label("A.b"), label("a_b"), label("c")],
        ["a-b", "a-b-2", "a-b-3", "c"]
    );
}

#[test]
fn dependents_stop_first() {
    let facts = facts_of(json!({
        "web": {"depends_on": ["api", "db"]}, "api": {"depends_on": ["db", "gone"]}, "db": {},
        "other": {}, "side": {"network_mode": "service:web"},
    }));
    let names: Vec<String> = levels(&facts)
        .iter()
        .map(|level| level.iter().map(ServiceName::as_str).collect::<Vec<_>>().join(" "))
        .collect();
    assert_eq!(names, ["other side", "web", "api", "db"]);
    let circle = facts_of(json!({"a": {"depends_on": ["b"]}, "b": {"depends_on": ["a"]}}));
    assert_eq!(levels(&circle).len(), 1);
    assert_eq!(levels(&BTreeMap::new()).len(), 0);
}
