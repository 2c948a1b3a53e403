//! Rules about one service.

use super::*;

#[test]
fn host_ports_become_exposed_ports() {
    let got = body(
        json!({"image": "a", "ports": ["8080:80", {"target": 53, "protocol": "udp"}], "expose": ["80", "99"]}),
    );
    assert_eq!(got, json!({"image": "a", "expose": ["80", "99", "80/tcp", "53/udp"]}));
}

#[test]
fn a_container_name_stays_resolvable_and_is_no_longer_fixed() {
    let (got, _) =
        one(json!({"image": "a", "container_name": "the-web", "networks": {"default": null}}));
    assert!(got.get("container_name").is_none());
    let aliases = got["networks"]["default"]["aliases"].as_array().unwrap();
    assert!(aliases.contains(&json!("the-web")));
}

#[test]
fn active_services_lose_their_profiles() {
    assert_eq!(body(json!({"image": "a", "profiles": ["x"]})), json!({"image": "a"}));
}

#[test]
fn what_is_not_about_isolation_is_not_touched() {
    let given = json!({
        "image": "a", "command": null, "entrypoint": ["x"], "environment": {"A": "$$1", "B": null},
        "deploy": {"replicas": 3, "resources": {"limits": {"memory": "1"}}}, "scale": 3,
        "healthcheck": {"test": ["CMD", "true"]}, "init": true, "hostname": "h", "domainname": "d",
        "extra_hosts": ["a=1.2.3.4"], "mac_address": "02:42:ac:11:65:43", "dns": ["1.1.1.1"],
        "depends_on": {"db": {"condition": "service_started", "required": true}},
        "develop": {"watch": []}, "env_file": [{"path": "/tree/.env", "required": true}],
        "logging": {"driver": "local"}, "ulimits": {"nofile": 10}, "x-mine": 1,
        "secrets": [{"source": "s"}], "configs": [{"source": "c"}], "tmpfs": ["/run"],
        "ipc": "shareable", "links": ["db:database"], "volumes_from": ["db:ro"], "pid": "service:db",
    });
    assert_eq!(body(given.clone()), given);
}

#[test]
fn labels_of_both_forms_are_kept() {
    let (map, _) = one(json!({"image": "a", "labels": {"a": "$$b"}}));
    let (list, _) = one(json!({"image": "a", "labels": ["a=$$b"]}));
    assert_eq!(map["labels"], list["labels"]);
    assert_eq!(map["labels"]["a"], "$$b");
    let ours: Vec<_> = map["labels"].as_object().unwrap().keys().map(String::as_str).collect();
    assert_eq!(
        ours,
        [
            "a",
            "dwell.node",
            "dwell.env",
            "dwell.project",
            "dwell.name",
            "dwell.generation",
            "dwell.service",
            "dwell.role",
        ]
    );
}

#[test]
fn host_and_bridge_mode_become_the_default_network() {
    for mode in ["host", "bridge"] {
        let (got, notes) = one(json!({"image": "a", "network_mode": mode, "ports": ["80"]}));
        assert!(got.get("network_mode").is_none());
        assert!(got["networks"].get("default").is_some());
        assert_eq!(got["expose"], json!(["80/tcp"]));
        assert!(notes[0].starts_with(&format!("service `web`: `network_mode: {mode}` ")));
        assert_eq!(notes[0].contains("dwell.network=host"), mode == "host");
    }
}

#[test]
fn a_label_keeps_the_hosts_network() {
    let given = json!({"image": "a", "network_mode": "host", "labels": {"dwell.network": "host"}});
    let (got, notes) = one(given);
    assert_eq!(got["network_mode"], "host");
    assert!(got.get("networks").is_none());
    assert_eq!(notes, ["service `web`: it uses the host's network, as its label asks"]);
}

#[test]
fn other_network_modes_are_kept() {
    for (mode, noted) in [("none", 0), ("service:db", 0), ("container:other", 1), ("lan", 1)] {
        let (got, notes) = one(json!({"image": "a", "network_mode": mode}));
        assert_eq!(got["network_mode"], mode);
        assert!(got.get("networks").is_none());
        assert_eq!(notes.len(), noted, "{mode}: {notes:?}");
    }
}

#[test]
fn container_names_of_the_project_become_services() {
    let model = json!({"services": {
        "db": {"image": "db", "container_name": "the-db"},
        "web": {
            "image": "a", "network_mode": "container:the-db", "pid": "container:the-db",
            "volumes_from": ["container:the-db:ro"], "external_links": ["the-db:d", "other"],
        },
    }});
    let isolated = Lab::default().isolate(&model).unwrap();
    let web = &isolated.compose["services"]["web"];
    assert_eq!(web["network_mode"], "service:db");
    assert_eq!(web["pid"], "service:db");
    assert_eq!(web["volumes_from"], json!(["db:ro"]));
    assert_eq!(web["links"], json!(["db:d"]));
    assert_eq!(web["external_links"], json!(["other"]));
    assert_eq!(
        notes(&isolated),
        ["service `web`: it is linked to `other`, outside the environment"]
    );
}

#[test]
fn what_belongs_to_the_machine_is_reported() {
    let (got, notes) = one(json!({
        "image": "a", "privileged": true, "pid": "host", "uts": "host", "ipc": "container:x",
        "volumes_from": ["container:y:ro"],
        "devices": [{"source": "/dev/kvm", "target": "/dev/kvm"}],
        "volumes": [
            {"type": "bind", "source": "/tree/src", "target": "/src"},
            {"type": "bind", "source": "/treetop", "target": "/t"},
            {"type": "bind", "source": "/var/run/docker.sock", "target": "/s"},
            {"type": "tmpfs", "target": "/x"}, {"type": "volume", "target": "/anonymous"},
        ],
    }));
    assert_eq!(got["pid"], "host");
    assert_eq!(got["volumes"].as_array().unwrap().len(), 5);
    assert_eq!(
        notes,
        [
            "service `web`: `pid: host` is the machine's",
            "service `web`: `ipc: container:x` is a container outside the environment",
            "service `web`: `uts: host` is the machine's",
            "service `web`: it uses the volumes of `y`, outside the environment",
            "service `web`: it mounts `/treetop`, which is outside the project and the same for all",
            "service `web`: it is given `/var/run/docker.sock`, and with it the whole Docker engine",
            "service `web`: it uses the machine's device `/dev/kvm`",
            "service `web`: it is privileged: it can reach all of the machine",
        ]
    );
}

#[test]
fn tags_of_built_images_are_private_also_for_those_that_use_them() {
    let model = json!({"services": {
        "web": {"build": {"context": "/tree", "tags": ["me/web:2"]}, "image": "me/web:dev", "pull_policy": "always"},
        "worker_1": {"image": "me/web:dev", "pull_policy": "missing"},
        "Job": {"build": {"context": "/tree"}},
        "other": {"image": "me/web"},
    }});
    let services = Lab::default().isolate(&model).unwrap().compose["services"].clone();
    let tag = format!("dwell-{}/web:latest", EnvironmentId::from_random([0; 8]));
    assert_eq!(services["web"]["image"], tag);
    assert_eq!(services["web"]["build"], json!({"context": "/tree"}));
    assert_eq!(services["web"]["pull_policy"], "never");
    assert_eq!(services["worker_1"]["image"], tag);
    assert_eq!(services["worker_1"]["pull_policy"], "never");
    assert_eq!(services["Job"]["image"], tag.replace("web", "job"));
    assert_eq!(services["other"]["image"], "me/web");
}

#[test]
fn an_untagged_image_is_the_latest() {
    let model = json!({"services": {
        "web": {"build": {"context": "/tree"}, "image": "host:5000/web"},
        "worker": {"image": "host:5000/web:latest"},
    }});
    let services = Lab::default().isolate(&model).unwrap().compose["services"].clone();
    assert_eq!(services["worker"]["image"], services["web"]["image"]);
}

#[test]
fn volumes_secrets_and_configs_get_private_names_unless_external() {
    let model = json!({
        "services": {"web": {"image": "a"}},
        "volumes": {
            "data": {"name": "fixed", "labels": ["a=b"]}, "out": {"external": true, "name": "lake"},
            "disk": {"name": "x_disk", "driver_opts": {"type": "none", "o": "bind", "device": "/srv/d"}},
            "empty": null,
        },
        "secrets": {"s": {"name": "x_s", "file": "/tree/s"}, "e": {"name": "e", "external": true}},
        "configs": {"c": {"name": "x_c", "content": "hi"}},
    });
    let isolated = Lab::default().isolate(&model).unwrap();
    let id = EnvironmentId::from_random([0; 8]);
    let compose = &isolated.compose;
    assert_eq!(compose["volumes"]["data"]["name"], format!("dwell-{id}-data"));
    assert_eq!(compose["volumes"]["data"]["labels"]["a"], "b");
    assert_eq!(compose["volumes"]["data"]["labels"]["dwell.env"], id.as_str());
    assert_eq!(compose["volumes"]["empty"]["name"], format!("dwell-{id}-empty"));
    assert_eq!(compose["volumes"]["out"], model["volumes"]["out"]);
    assert_eq!(
        compose["secrets"]["s"],
        json!({"name": format!("dwell-{id}-s"), "file": "/tree/s"})
    );
    assert_eq!(compose["secrets"]["e"], model["secrets"]["e"]);
    assert_eq!(compose["configs"]["c"]["name"], format!("dwell-{id}-c"));
    assert_eq!(
        notes(&isolated),
        [
            "volume `out`: it is the external volume `lake`, which other environments also use",
            "volume `disk`: its data is at `/srv/d`, which is the same for all environments",
            "secret `e`: it is made outside the project, and is the same for all environments",
        ]
    );
}

#[test]
fn a_project_cannot_claim_an_identity() {
    let labels = json!({"dwell.shared": "x", "dwell.env": "y", "dwell.role": "shared", "dwell.ingress": "true"});
    let (got, _) = one(json!({"image": "a", "labels": labels}));
    let labels = &got["labels"];
    assert!(labels.get("dwell.shared").is_none());
    assert_eq!(labels["dwell.env"], EnvironmentId::from_random([0; 8]).as_str());
    assert_eq!(
        (&labels["dwell.role"], &labels["dwell.ingress"]),
        (&json!("service"), &json!("true"))
    );
}
