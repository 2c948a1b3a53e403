//! What holds for every project.

use super::*;
use proptest::prelude::*;

fn any_service() -> impl Strategy<Value = Value> {
    let networking = prop_oneof![
        Just(json!({"networks": {"default": null}})),
        Just(json!({"networks": {"back": {"aliases": ["x"]}, "default": null}})),
        (2_u8..250).prop_map(
            |host| json!({"networks": {"back": {"ipv4_address": format!("172.20.0.{host}")}}})
        ),
        Just(json!({"network_mode": "host"})),
        Just(json!({"network_mode": "none"})),
        Just(json!({"network_mode": "service:s0"})),
    ];
    let ports = prop::collection::vec(1_u16..65535, 0..3);
    (networking, ports, 0_u32..4, any::<bool>(), any::<bool>()).prop_map(
        |(mut body, ports, scale, built, named)| {
            let map = body.as_object_mut().unwrap();
            map.insert("image".into(), json!("fixed:1"));
            map.insert("scale".into(), json!(scale));
            map.insert(
                "ports".into(),
                json!(ports.iter().map(|p| format!("{p}:{p}")).collect::<Vec<_>>()),
            );
            if built {
                map.insert("build".into(), json!({"context": "/tree"}));
            }
            if named {
                map.insert("container_name".into(), json!("fixed"));
            }
            map.insert(
                "volumes".into(),
                json!([{"type": "volume", "source": "data", "target": "/d"}]),
            );
            body
        },
    )
}

fn any_project() -> impl Strategy<Value = Value> {
    prop::collection::vec(any_service(), 1..6).prop_map(|bodies| {
        let services: serde_json::Map<_, _> =
            bodies.into_iter().enumerate().map(|(n, body)| (format!("s{n}"), body)).collect();
        json!({
            "name": "p", "services": services,
            "networks": {
                "default": {"name": "p_default"},
                "back": {"name": "fixed", "ipam": {"config": [{"subnet": "172.20.0.0/24"}]}},
            },
            "volumes": {"data": {"name": "fixed"}},
        })
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn equal_input_gives_equal_bytes(model in any_project()) {
        let first = Lab::default().isolate(&model).unwrap();
        let second = Lab::default().isolate(&model).unwrap();
        prop_assert_eq!(first.compose.to_string(), second.compose.to_string());
        prop_assert_eq!(first.notes, second.notes);
    }

    #[test]
    fn two_environments_have_no_name_in_common(model in any_project()) {
        let one = Lab { environment: 1, ..Lab::default() }.isolate(&model).unwrap().compose;
        let two = Lab { environment: 2, ..Lab::default() }.isolate(&model).unwrap().compose;
        prop_assert_ne!(&one["name"], &two["name"]);
        for section in ["networks", "volumes"] {
            for (key, value) in one[section].as_object().unwrap() {
                prop_assert_ne!(&value["name"], &two[section][key]["name"]);
            }
        }
        for (name, body) in one["services"].as_object().unwrap() {
            for gone in ["ports", "container_name", "profiles"] {
                prop_assert!(body.get(gone).is_none());
            }
            prop_assert_ne!(body.get("network_mode").and_then(Value::as_str), Some("host"));
            prop_assert!(!body.to_string().contains("\"fixed\"") || body.to_string().contains("aliases"));
            if body.get("build").is_some() {
                prop_assert_ne!(&body["image"], &two["services"][name]["image"]);
            }
        }
    }

    #[test]
    fn pinned_addresses_are_in_the_new_subnet_and_each_once(model in any_project()) {
        let isolated = Lab::default().isolate(&model).unwrap().compose;
        let subnet = isolated["networks"]["back"]["ipam"]["config"][0]["subnet"].as_str().unwrap();
        let subnet: Ipv4Net = subnet.parse().unwrap();
        for (name, body) in isolated["services"].as_object().unwrap() {
            let Some(new) = body["networks"]["back"].get("ipv4_address") else { continue };
            let new: std::net::Ipv4Addr = new.as_str().unwrap().parse().unwrap();
            let old = model["services"][name]["networks"]["back"]["ipv4_address"].as_str().unwrap();
            let old: std::net::Ipv4Addr = old.parse().unwrap();
            prop_assert!(subnet.contains(&new));
            prop_assert_eq!(new.octets()[3], old.octets()[3]);
        }
    }

    #[test]
    fn no_model_makes_it_panic(model in any_project(), key in "[a-z_]{1,12}", value in any::<i8>()) {
        let mut model = model;
        for wrong in [json!(value), json!([value, null, {}]), json!({"a": value}), Value::Null] {
            for known in [key.as_str(), "networks", "labels", "ports", "volumes", "depends_on", "links", "deploy", "build"] {
                model["services"]["s0"][known] = wrong.clone();
                let _ = Lab::default().isolate(&model);
            }
            model["networks"]["back"]["ipam"] = wrong.clone();
            let _ = Lab::default().isolate(&model);
        }
    }
}
