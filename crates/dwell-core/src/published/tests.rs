//! Names of environments, running and not.

use super::*;
use serde_json::json;

fn services(model: serde_json::Value) -> BTreeMap<ServiceName, Service> {
    crate::compose::services(&json!({"services": model})).unwrap()
}

fn names(
    project: &str,
    services: &BTreeMap<ServiceName, Service>,
    observed: &[(&str, &[[u8; 4]])],
) -> Vec<String> {
    let (environment, project, suffix) =
        ("a1".parse().unwrap(), project.parse().unwrap(), Suffix::default());
    let place = Place { environment: &environment, project: &project, suffix: &suffix };
    let observed = observed
        .iter()
        .map(|(name, all)| {
            (name.parse().unwrap(), all.iter().map(|a| Ipv4Addr::from(*a)).collect())
        })
        .collect();
    published(&place, services, &observed)
        .iter()
        .map(|name| {
            let addresses: Vec<_> = name.addresses.iter().map(IpAddr::to_string).collect();
            let wildcard = if name.wildcard { "*." } else { "" };
            let short = if name.short { " short" } else { "" };
            format!("{wildcard}{} {}{short}", name.name, addresses.join(" "))
        })
        .collect()
}

#[test]
fn names_of_running_services() {
    let services = services(json!({
        "web": {}, "my_db": {"labels": {"cilo.hostnames": "pg"}}, "side": {"network_mode": "service:my_db"},
        "host": {"network_mode": "host", "labels": {"dwell.network": "host"}}, "stopped": {},
    }));
    let got = names(
        "shop",
        &services,
        &[
            ("web", &[[10, 0, 0, 3], [10, 0, 0, 2], [10, 0, 0, 3]]),
            ("my_db", &[[10, 0, 0, 4]]),
            ("side", &[]),
            ("host", &[]),
        ],
    );
    assert_eq!(
        got,
        [
            "host.a1.shop.test 127.0.0.1",
            "host.a1.test 127.0.0.1 short",
            "my-db.a1.shop.test 10.0.0.4",
            "my-db.a1.test 10.0.0.4 short",
            "pg.a1.shop.test 10.0.0.4",
            "pg.a1.test 10.0.0.4 short",
            "shop.a1.test 10.0.0.2 10.0.0.3",
            "*.shop.a1.test 10.0.0.2 10.0.0.3",
            "side.a1.shop.test 10.0.0.4",
            "side.a1.test 10.0.0.4 short",
            "web.a1.shop.test 10.0.0.2 10.0.0.3",
            "web.a1.test 10.0.0.2 10.0.0.3 short",
        ]
    );
    assert_eq!(names("shop", &services, &[("web", &[])]), [] as [&str; 0]);
    assert_eq!(names("shop", &services, &[("side", &[])]), [] as [&str; 0]);
}

#[test]
fn a_service_called_like_the_project_keeps_its_name() {
    let two = services(json!({"web": {"labels": {"dwell.ingress": "true"}}, "shop": {}}));
    let got = names("shop", &two, &[("web", &[[10, 0, 0, 2]]), ("shop", &[[10, 0, 0, 3]])]);
    assert!(got.contains(&"shop.a1.test 10.0.0.3 short".to_owned()));
    assert!(!got.contains(&"shop.a1.test 10.0.0.2".to_owned()));
    assert!(got.contains(&"*.shop.a1.test 10.0.0.2".to_owned()));
    let one = services(json!({"web": {}}));
    let got = names("web", &one, &[("web", &[[10, 0, 0, 2]])]);
    assert_eq!(got, ["web.a1.test 10.0.0.2", "*.web.a1.test 10.0.0.2", "web.a1.web.test 10.0.0.2"]);
}
