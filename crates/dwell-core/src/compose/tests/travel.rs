//! What is taken to another node, what cannot be, and paths made independent of the tree's place.

use super::*;
use proptest::prelude::*;

/// As `docker compose config` prints it.
fn project() -> Value {
    json!({
        "services": {
            "web": {
                "build": {
                    "context": "/t/web", "dockerfile": "../docker/web", "secrets": [{"source": "token"}],
                    "additional_contexts": {"res": "/t/res", "img": "docker-image://busybox", "app": "service:db"},
                },
                "env_file": ["/t/a.env", {"path": "/t/b.env", "required": false}], "label_file": "/t/l",
                "develop": {"watch": [{"path": "/t/web", "action": "sync"}]},
                "volumes": [
                    {"type": "bind", "source": "/t/$$odd", "target": "/o", "read_only": true},
                    {"type": "bind", "source": "/etc/localtime", "target": "/etc/localtime"},
                    {"type": "volume", "source": "disk", "target": "/d"},
                    {"type": "volume", "source": "lake", "target": "/l"},
                    {"type": "tmpfs", "target": "/tmp"},
                    "/t/short:/s:ro",
                ],
                "secrets": [{"source": "file"}], "configs": ["conf", "inline"],
                "environment": {"HERE": "/t", "X": "/etc"},
                "extra_hosts": ["host.docker.internal=host-gateway"],
                "networks": {"lan": null},
            },
            "db": {"labels": ["cilo.remote=big", "mine=$$1"], "image": "db", "build": {"context": "https://example.com/a.git", "dockerfile": "../x"}},
        },
        "networks": {"lan": {"external": true, "name": "lan"}},
        "volumes": {
            "disk": {"driver_opts": {"type": "none", "o": "bind", "device": "/t/disk"}},
            "lake": {"external": true}, "nfs": {"driver_opts": {"type": "nfs", "device": ":/x"}},
        },
        "secrets": {"token": {"environment": "TOKEN"}, "file": {"file": "/t/s.txt"}, "other": {"file": "/t/o"}},
        "configs": {"conf": {"file": "/t/c"}, "inline": {"content": "hi"}},
    })
}

fn go(model: &Value, services: &[&str], host: &[&str]) -> Result<Travel, TravelError> {
    travel(&Journey {
        model,
        services: &services.iter().map(|name| service(name)).collect(),
        root: Path::new("/t"),
        host: &host.iter().map(|path| path.parse().unwrap()).collect::<Vec<_>>(),
    })
}

#[test]
fn what_services_need_is_found_with_its_reason() {
    let found = go(&project(), &["web", "db"], &[]).unwrap();
    let needs: Vec<_> = found
        .needs
        .iter()
        .map(|need| format!("{} {}: {}", need.service, need.path, need.reason))
        .collect();
    insta::assert_snapshot!(needs.join("\n"), @r"
    web $odd: bind mount
    web a.env: env file
    web b.env: env file
    web c: config
    web disk: data of a volume
    web docker/web: Dockerfile
    web l: label file
    web res: build context
    web s.txt: secret
    web short: bind mount
    web web: build context
    ");
    assert!(file_variables(&project()).contains("TOKEN"));
    let notes: Vec<_> = found.notes.iter().map(Note::to_string).collect();
    insta::assert_snapshot!(notes.join("\n"), @r"
    service `web`: volumes: `/etc/localtime` is the other node's
    volume `lake`: it is external: the other node has to have it, with data of its own
    service `web`: `host-gateway` is the other node, not this machine
    network `lan`: it is external: the other node has to have it
    service `web`: its variable `HERE` holds a path of this machine
    ");
    assert_eq!(go(&project(), &["db"], &[]).unwrap(), Travel::default());
    let unknown = go(&project(), &["nope"], &[]).unwrap_err();
    assert!(matches!(unknown, TravelError::Model(IsolationError::UnknownService { .. })));
}

#[test]
fn everything_that_cannot_be_taken_is_listed_at_once() {
    let model = json!({
        "services": {
            "a": {
                "build": {"context": "/other", "ssh": ["default"], "additional_contexts": ["o=oci-layout:///x"]},
                "volumes": [
                    {"type": "bind", "source": "/var/run/docker.sock", "target": "/s"},
                    {"type": "bind", "source": "/home/me/.ssh", "target": "/k"},
                    {"type": "bind", "source": "/dev/shm", "target": "/m"},
                    {"type": "bind", "source": "/t/../u", "target": "/u"},
                    {"type": "bind", "source": "/t/app.sock", "target": "/app"},
                    {"type": "npipe", "source": r"\\.\pipe\docker", "target": "/p"},
                    {"type": "volume", "source": "disk", "target": "/d"},
                ],
                "devices": [{"source": "/dev/kvm", "target": "/dev/kvm"}, "/dev/fuse:/dev/fuse"],
                "network_mode": "container:vpn", "volumes_from": ["container:data:ro"],
                "external_links": ["old:db"], "pid": "container:b1", "secrets": ["s"],
            },
            "b": {
                "container_name": "b1", "external_links": ["b1:x"], "env_file": "/etc/b.env",
                "build": {"context": "/t/b", "dockerfile": "/t2/Dockerfile"},
            },
        },
        "volumes": {"disk": {"driver_opts": {"o": "rbind", "device": "/srv"}}},
        "secrets": {"s": {"file": "/root/s\n"}},
    });
    let error = go(&model, &["a", "b"], &[]).unwrap_err();
    let TravelError::Stuck { obstacles } = &error else { panic!("{error}") };
    let lines: Vec<_> = obstacles.iter().map(ToString::to_string).collect();
    insta::assert_snapshot!(lines.join("\n"), @r"
    service `a`: build.additional_contexts.o: `oci-layout:///x` is an image directory of this machine
    service `a`: build.context: `/other` is outside the project
    service `a`: build.ssh: `default` is an ssh agent or key of this machine
    service `a`: devices: `/dev/fuse` is a device of this machine
    service `a`: devices: `/dev/kvm` is a device of this machine
    service `a`: external_links: `old` is a container of this machine
    service `a`: network_mode: `vpn` is a container of this machine
    service `a`: secrets.s.file: `/root/s\n` is outside the project
    service `a`: volumes: `/dev/shm` is a device of this machine
    service `a`: volumes: `/home/me/.ssh` is outside the project
    service `a`: volumes: `/t/../u` is outside the project
    service `a`: volumes: `/t/app.sock` is a socket of this machine
    service `a`: volumes: `/var/run/docker.sock` is a socket of this machine
    service `a`: volumes: `\\\\.\\pipe\\docker` is a pipe of this machine
    service `a`: volumes.disk.driver_opts.device: `/srv` is outside the project
    service `a`: volumes_from: `data` is a container of this machine
    service `b`: build.dockerfile: `/t2/Dockerfile` is outside the project
    service `b`: env_file: `/etc/b.env` is outside the project
    ");
    assert!(!error.to_string().contains('\n'));
}

#[test]
fn what_the_other_node_has_itself_is_no_obstacle() {
    let model = json!({"services": {"a": {
        "volumes": [{"type": "bind", "source": "/data/models/x", "target": "/m"}],
        "devices": [{"source": "/dev/kvm", "target": "/dev/kvm"}],
    }}});
    let found = go(&model, &["a"], &["/data", "/dev/kvm"]).unwrap();
    assert_eq!(found.needs, []);
    let notes: Vec<_> = found.notes.iter().map(Note::to_string).collect();
    assert_eq!(
        notes,
        [
            "service `a`: volumes: `/data/models/x` is the other node's",
            "service `a`: devices: `/dev/kvm` is the other node's",
        ]
    );
    assert!(go(&model, &["a"], &["/dat", "/dev/kvm"]).is_err());
}

#[test]
fn an_anchored_model_knows_nothing_of_the_tree_it_came_from() {
    let model = project();
    let anchored = anchor(&model, Path::new("/t")).unwrap();
    let services = &anchored["services"];
    let web = &services["web"];
    assert_eq!(web["build"]["context"], "dwell-tree:web");
    assert_eq!(web["build"]["dockerfile"], "../docker/web");
    assert_eq!(web["build"]["additional_contexts"]["res"], "dwell-tree:res");
    assert_eq!(web["build"]["additional_contexts"]["img"], "docker-image://busybox");
    assert_eq!(
        web["env_file"],
        json!(["dwell-tree:a.env", {"path": "dwell-tree:b.env", "required": false}])
    );
    assert_eq!(web["label_file"], "dwell-tree:l");
    assert_eq!(web["develop"]["watch"][0]["path"], "dwell-tree:web");
    assert_eq!(web["volumes"][0]["source"], "dwell-tree:$$odd");
    assert_eq!(web["volumes"][1]["source"], "/etc/localtime");
    assert_eq!(web["volumes"][5], "dwell-tree:short:/s:ro");
    assert_eq!(web["environment"]["HERE"], "/t", "a variable is the project's own text");
    assert_eq!(services["db"], model["services"]["db"]);
    assert_eq!(anchored["secrets"]["file"]["file"], "dwell-tree:s.txt");
    assert_eq!(anchored["configs"]["conf"]["file"], "dwell-tree:c");
    assert_eq!(anchored["volumes"]["disk"]["driver_opts"]["device"], "dwell-tree:disk");
    assert_eq!(unanchor(&anchored, Path::new("/t")).unwrap(), model);
    let there = unanchor(&anchored, Path::new("/srv/a $b")).unwrap();
    assert_eq!(there["services"]["web"]["build"]["context"], "/srv/a $$b/web");
    assert_eq!(there["services"]["web"]["volumes"][5], "/srv/a $$b/short:/s:ro");
    assert_eq!(anchor(&there, Path::new("/srv/a $b")).unwrap(), anchored);
}

#[test]
fn a_hostile_model_does_not_lead_out_of_the_tree() {
    for path in ["../x", "a/../../x", "/etc", "..", "a/..", "a\nb"] {
        let path = format!("dwell-tree:{path}");
        for model in [
            json!({"services": {"a": {"volumes": [{"type": "bind", "source": path}]}}}),
            json!({"services": {"a": {"build": path}}}),
            json!({"services": {"a": {"build": {"context": path}}}}),
            json!({"services": {"a": {"env_file": [path]}}}),
            json!({"secrets": {"a": {"file": path}}}),
        ] {
            let error = unanchor(&model, Path::new("/t")).unwrap_err();
            assert!(matches!(error, AnchorError::Escapes { .. }), "{path:?}: {error}");
            let error = anchor(&model, Path::new("/t")).unwrap_err();
            assert!(matches!(error, AnchorError::Reserved { .. }), "{path:?}: {error}");
        }
    }
    let build = |context: &str, file: &str| json!({"services": {"a": {"build": {"context": context, "dockerfile": file}}}});
    for file in ["../../x", "../../t/x", "b/../../../x"] {
        let escapes = |result: Result<Value, _>| matches!(result, Err(AnchorError::Escapes { .. }));
        assert!(escapes(unanchor(&build("dwell-tree:a", file), Path::new("/t"))), "{file}");
        assert!(escapes(anchor(&build("/t/a", file), Path::new("/t"))), "{file}");
    }
    assert!(anchor(&build("/t/a", "../x"), Path::new("/t")).is_ok());
    assert!(anchor(&build("/u/a", "../../x"), Path::new("/t")).is_ok());
    assert_eq!(anchor(&json!({}), Path::new("t")), Err(AnchorError::Root));
}

#[test]
fn a_specification_is_the_same_wherever_it_was_made() {
    let at = |root: &str| {
        let model = project().to_string().replace("\"/t/", &format!("\"{root}/"));
        let model: Value = serde_json::from_str(&model).unwrap();
        let (project, root) = ("shop".parse().unwrap(), Path::new(root));
        Specification::new(project, Suffix::default(), &model, root, &root.join("sub"))
    };
    let mut one = at("/t").unwrap();
    one.model["services"]["web"]["environment"] = json!({});
    let mut other = at("/home/me/t").unwrap();
    other.model["services"]["web"]["environment"] = json!({});
    assert_eq!(one, other);
    assert_eq!(one.directory.as_str(), "sub");
    assert_eq!(one.model["services"]["db"]["labels"], json!({"mine": "$$1"}));
    let text = serde_json::to_string(&one).unwrap();
    assert_eq!(serde_json::from_str::<Specification>(&text).unwrap(), one);
    assert!(serde_json::from_str::<Specification>(&text.replace("\"sub\"", "\"../sub\"")).is_err());
    assert!(one.model_in(Path::new("/else")).unwrap().to_string().contains("/else/web"));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn anchoring_and_back_gives_the_same_model(
        paths in prop::collection::vec("(/t|/u|https:/)(/[a-z$]{1,4}){0,3}", 4),
        root in "(/[A-Z $]{1,4}){1,3}",
    ) {
        let [a, b, c, d] = [0, 1, 2, 3].map(|at| paths[at].replace('$', "$$"));
        let model = json!({"services": {"s": {
            "build": {"context": a}, "env_file": b,
            "volumes": [{"type": "bind", "source": c, "target": "/x"}, format!("{d}:/y")],
        }}});
        let anchored = anchor(&model, Path::new("/t")).unwrap();
        prop_assert!(!anchored.to_string().contains("\"/t/") && !anchored.to_string().contains("\"/t\""));
        prop_assert_eq!(&unanchor(&anchored, Path::new("/t")).unwrap(), &model);
        let there = unanchor(&anchored, Path::new(&root)).unwrap();
        let context = there["services"]["s"]["build"]["context"].as_str().unwrap().replace("$$", "$");
        let inside = Path::new(&paths[0]).starts_with("/t");
        prop_assert_eq!(inside, Path::new(&context).starts_with(&root));
    }

    #[test]
    fn no_model_makes_it_panic(key in "[a-z_]{1,12}", value in any::<i8>()) {
        for wrong in [json!(value), json!([value, null, {}, ":", "a"]), json!({"a": value}), Value::Null, json!(":")] {
            for known in [key.as_str(), "volumes", "build", "env_file", "secrets", "devices", "develop", "extra_hosts"] {
                let mut model = project();
                model["services"]["web"][known] = wrong.clone();
                let _ = go(&model, &["web"], &[]);
                let _ = anchor(&model, Path::new("/t")).map(|model| unanchor(&model, Path::new("/u")));
            }
        }
    }
}
