//! Rules about networks, and what is needed of the address pool.

use super::*;
use crate::address::Need;

fn pinned() -> Value {
    json!({
        "services": {
            "web": {"image": "a", "networks": {
                "front": {"ipv4_address": "172.30.5.9", "ipv6_address": "fd00:1::9", "aliases": ["w"]},
                "out": {"ipv4_address": "192.168.3.3"}}},
            "db": {"image": "a", "deploy": {"replicas": 5}, "networks": {"front": null}},
        },
        "networks": {
            "front": {
                "name": "x_front", "enable_ipv6": true, "internal": true,
                "driver_opts": {"com.docker.network.bridge.name": "br-x", "other": "1"},
                "ipam": {"driver": "default", "config": [
                    {"subnet": "fd00:1::/64"},
                    {"subnet": "172.30.5.0/24", "gateway": "172.30.5.200", "ip_range": "172.30.5.64/26",
                     "aux_addresses": {"printer": "172.30.5.7"}},
                ]},
            },
            "out": {"external": true, "name": "lan"},
        },
    })
}

#[test]
fn pinned_addresses_keep_their_host_part() {
    let isolated = Lab::default().isolate(&pinned()).unwrap();
    let compose = &isolated.compose;
    let front = &compose["networks"]["front"];
    assert_eq!(
        front["ipam"],
        json!({"driver": "default", "config": [{
            "subnet": "10.224.0.0/24", "gateway": "10.224.0.200", "ip_range": "10.224.0.64/26",
            "aux_addresses": {"printer": "10.224.0.7"}}]})
    );
    assert_eq!(front["internal"], true);
    assert_eq!(front["driver_opts"], json!({"other": "1"}));
    assert!(front.get("enable_ipv6").is_none());
    let web = &compose["services"]["web"]["networks"];
    assert_eq!(web["front"]["ipv4_address"], "10.224.0.9");
    assert!(web["front"].get("ipv6_address").is_none());
    assert_eq!(web["front"]["aliases"][0], "w");
    assert_eq!(web["out"], json!({"ipv4_address": "192.168.3.3"}));
    assert_eq!(
        notes(&isolated),
        [
            "network `out`: it is the external network `lan`: services of other environments on it answer to the same short names, but not to full ones",
            "network `front`: the fixed name of its bridge is dropped",
            "network `front`: its pinned IPv6 subnet is dropped, and IPv6 addresses in it with it",
        ]
    );
}

#[test]
fn needs_count_containers_and_pinned_addresses() {
    let got = needs(&pinned(), &BTreeSet::new()).unwrap();
    let want = NetworkNeed {
        key: "front".to_owned(),
        need: Need { addresses: 6, span: 202 },
        wanted: Some("172.30.5.0/24".parse().unwrap()),
    };
    assert_eq!(got, [want]);
    let relayed = needs(&pinned(), &BTreeSet::from([service("db")])).unwrap();
    assert_eq!(relayed[0].need.addresses, 2);
}

#[test]
fn the_implicit_network_is_needed_where_a_service_joins_it() {
    let model = json!({"services": {
        "a": {"network_mode": "host"}, "b": {"network_mode": "none"}, "c": {"network_mode": "service:a"},
    }});
    let needs_of = |relayed: BTreeSet<_>| needs(&model, &relayed).unwrap();
    let got = needs_of(BTreeSet::new());
    assert_eq!((got[0].key.as_str(), got[0].need), ("default", Need::of(1)));
    assert_eq!(needs_of(BTreeSet::from([service("b"), service("c")]))[0].need, Need::of(3));
    let compose = Lab::default().isolate(&model).unwrap().compose;
    assert!(compose["networks"]["default"]["ipam"]["config"][0]["subnet"].is_string());
    let none = json!({"services": {"b": {"network_mode": "none"}}});
    assert!(Lab::default().isolate(&none).unwrap().compose.get("networks").is_none());
}

#[test]
fn addresses_that_do_not_fit_are_renumbered() {
    let model = json!({
        "services": {
            "a": {"networks": {"n": {"ipv4_address": "172.16.200.5"}}},
            "b": {"networks": {"n": {"ipv4_address": "172.16.0.9"}}},
        },
        "networks": {"n": {"ipam": {"config": [{"subnet": "172.16.0.0/16", "ip_range": "172.16.128.0/17"}]}}},
    });
    let isolated = Lab::default().isolate(&model).unwrap();
    let address =
        |name: &str| isolated.compose["services"][name]["networks"]["n"]["ipv4_address"].clone();
    assert_eq!(address("b"), "10.224.0.9");
    assert_eq!(address("a"), "10.224.15.254");
    let config = &isolated.compose["networks"]["n"]["ipam"]["config"][0];
    assert_eq!(*config, json!({"subnet": "10.224.0.0/20"}));
    assert_eq!(
        notes(&isolated),
        [
            "network `n`: the pinned address 172.16.200.5 is 10.224.15.254 here; its host part does not fit into 10.224.0.0/20"
        ]
    );
}

#[test]
fn drivers_other_than_bridge_keep_their_addresses() {
    let network = json!({"name": "x_lan", "driver": "macvlan", "ipam": {"config": [{"subnet": "192.168.1.0/24"}]}});
    let model = json!({
        "services": {"a": {"networks": {"lan": {"ipv4_address": "192.168.1.9"}}}},
        "networks": {"lan": network},
    });
    assert_eq!(needs(&model, &BTreeSet::new()).unwrap(), []);
    let isolated = Lab::default().isolate(&model).unwrap();
    assert_eq!(isolated.compose["networks"]["lan"]["ipam"], network["ipam"]);
    assert_eq!(isolated.compose["services"]["a"]["networks"]["lan"]["ipv4_address"], "192.168.1.9");
    assert_eq!(
        notes(&isolated),
        ["network `lan`: its driver is `macvlan`, so its addresses are kept as they are"]
    );
}

#[test]
fn a_missing_or_small_subnet_is_an_error() {
    let model = pinned();
    let node = NodeId::from_random([9; 8]);
    let id = EnvironmentId::from_random([0; 8]);
    let (name, project, suffix) = ("e".parse().unwrap(), "p".parse().unwrap(), Suffix::default());
    let (none, relays) = (BTreeMap::new(), BTreeMap::new());
    let isolation = Isolation {
        user: None,
        model: &model,
        node: &node,
        id: &id,
        name: &name,
        project: &project,
        suffix: &suffix,
        generation: Generation::FIRST,
        directory: Path::new("/tree"),
        subnets: &none,
        relays: &relays,
        ingress: None,
        hostnames: &[],
    };
    let error = isolate(&isolation).unwrap_err();
    assert_eq!(error, IsolationError::NoSubnet { network: "front".to_owned() });
    let small = BTreeMap::from([("front".to_owned(), "10.0.0.0/31".parse().unwrap())]);
    let error = isolate(&Isolation { subnets: &small, ..isolation }).unwrap_err();
    assert!(matches!(error, IsolationError::SubnetTooSmall { .. }));
}

#[test]
fn full_names_are_aliases_on_private_networks_only() {
    let model = json!({
        "services": {
            "web": {"networks": {"default": null, "out": {"aliases": ["mine"]}}},
            "my_api": {"networks": {"default": {"aliases": ["a", "a"]}}, "labels": {"cilo.hostnames": "pc"}},
            "side": {"network_mode": "service:web"},
        },
        "networks": {"default": {}, "out": {"external": true}},
    });
    let compose = Lab::default().isolate(&model).unwrap().compose;
    assert_eq!(
        compose["services"]["my_api"]["networks"]["default"]["aliases"],
        json!([
            "a",
            "my-api",
            "my-api.agent-1.test",
            "my-api.agent-1.shop.test",
            "pc.agent-1.test",
            "pc.agent-1.shop.test"
        ])
    );
    let web = &compose["services"]["web"]["networks"];
    assert_eq!(
        web["default"]["aliases"],
        json!([
            "side.agent-1.test",
            "side.agent-1.shop.test",
            "web.agent-1.test",
            "web.agent-1.shop.test",
            "shop.agent-1.test",
        ])
    );
    assert_eq!(web["out"], json!({"aliases": ["mine"]}));
}
