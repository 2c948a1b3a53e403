use super::*;

fn error(text: &str) -> String {
    ProjectConfig::from_dwell(text).unwrap_err().to_string()
}

#[test]
fn a_full_file_is_read() {
    let config = ProjectConfig::from_dwell(
        r#"
project = "Shop_Front"
compose_files = ["compose.yaml", "deploy/compose.dev.yaml"]
env_files = [".env.dev"]
profiles = ["debug"]
dns_suffix = "test"
ingress = "web"
share = ["db"]
copy = [".env", "!.env.production"]
reverse = ["web"]

[place]
db = "staging"

[sync]
include = ["data/seed.sql"]
exclude = ["*.iso"]
secrets = [".env"]
host = ["/dev/kvm"]

[hostnames]
web = ["Login", "a.b"]

[hooks]
setup = "npm ci"
archive = ["./dump.sh", "true"]

[[render]]
file = ".env"
replace = [{ from = "localhost", to = "api.${DWELL_ENV}.test" }]
"#,
    )
    .unwrap();
    assert_eq!(config.origin, Origin::Dwell);
    assert_eq!(config.project.unwrap().as_str(), "shop-front");
    assert_eq!(config.compose_files[1].as_str(), "deploy/compose.dev.yaml");
    assert_eq!(config.hostnames.values().next().unwrap(), &["login", "a.b"]);
    assert_eq!(config.place.values().next().unwrap().as_str(), "staging");
    assert_eq!(config.reverse[0].as_str(), "web");
    assert_eq!(config.sync.include[0].as_str(), "data/seed.sql");
    assert_eq!(config.sync.host[0].as_path(), std::path::Path::new("/dev/kvm"));
    assert_eq!(config.hooks.setup, ["npm ci"]);
    assert_eq!(config.hooks.archive, ["./dump.sh", "true"]);
    assert!(config.hooks.run.is_empty() && config.render[0].tokens);
}

#[test]
fn an_unknown_key_is_refused_with_its_place_and_the_likely_name() {
    assert_eq!(
        error("project = 'x'\ncompose_file = []\n"),
        "dwell.toml:2:1: unknown key `compose_file`; did you mean `compose_files`?"
    );
    assert_eq!(
        error("[hooks]\n  setpu = 'x'\n"),
        "dwell.toml:2:3: unknown key `setpu`; did you mean `setup`?"
    );
    let strange = error("zzzzzzzzzzzz = 1");
    assert!(strange.ends_with("unknown key `zzzzzzzzzzzz`"), "{strange}");
    assert!(
        error("[[render]]\nfile = 'a'\nreplace = [{ from = 'a', too = 'b' }]").contains("`to`")
    );
}

#[test]
fn nothing_leads_out_of_the_project() {
    for text in [
        "project = '../../../victim'",
        "project = '/etc'",
        "compose_files = ['/etc/passwd']",
        "env_files = ['../.env']",
        "copy = ['../../*']",
        "copy = ['.git/config']",
        "[[render]]\nfile = '/root/.bashrc'",
        "[[render]]\nfile = 'a/../../b'",
        "ingress = 'a/b'",
        "dns_suffix = 'local'",
        "[hostnames]\nweb = ['a b']",
        "[hostnames]\nweb = ['-x']",
        "[hostnames]\n'../x' = ['a']",
        "compose_files = [\"a\\u0000b\"]",
        "[hooks]\nrun = \"a\\u0000b\"",
        "[hooks]\nrun = 3",
        "[place]\ndb = 'a;b'",
        "[place]\n'../x' = 'a'",
        "reverse = ['a/b']",
        "[sync]\ninclude = ['/etc/*']",
        "[sync]\nsecrets = ['../.env']",
        "[sync]\nhost = ['data']",
        "[sync]\nhost = ['/a/../b']",
    ] {
        let message = error(text);
        assert!(message.starts_with("dwell.toml:"), "{text}: {message}");
    }
}

#[test]
fn a_huge_file_is_refused() {
    let text = format!("project = '{}'", "x".repeat(SIZE_MAX));
    assert_eq!(error(&text), "dwell.toml: it is larger than 256 KiB");
    assert!(ProjectConfig::from_cilo(&text).is_err());
    assert!(NodeConfig::from_toml(&text).is_err());
}

#[test]
fn cilos_file_is_read_as_it_is() {
    let text = r#"
project: shop
build_tool: docker
compose_files: [docker-compose.yml]
env_files: [.env]
dns_suffix: .test
default_environment: dev
default_ingress_service: web
hostnames: [login]
environments: []
copy_dot_dirs: [.claude]
env:
  copy_mode: allowlist
  copy: [".env", ".env.local"]
  ignore: [".env.production"]
  init_hook: ./pull-secrets.sh
  render:
    - file: .env
      tokens: true
      replace: [{from: localhost, to: api.localhost}]
"#;
    let config = ProjectConfig::from_cilo(text).unwrap();
    assert_eq!(config.origin, Origin::Cilo);
    assert_eq!(config.dns_suffix.unwrap().as_str(), "test");
    assert_eq!(config.ingress.unwrap().as_str(), "web");
    assert_eq!(config.ingress_hostnames, ["login"]);
    let copy: Vec<&str> = config.copy.iter().map(CopyPattern::as_str).collect();
    assert_eq!(copy, [".env", ".env.local", "!.env.production", ".claude"]);
    assert_eq!(config.hooks.run, ["./pull-secrets.sh"]);
    assert!(config.render[0].tokens);
    assert_eq!(config.render[0].replace[0].to, "api.localhost");
    let ignored = ["build_tool", "default_environment", "environments"];
    let notes = ignored.map(|key| format!(".cilo/config.yml: `{key}` is ignored"));
    assert_eq!(config.notes, notes);
}

#[test]
fn cilos_paths_and_names_are_confined() {
    for text in [
        "project: ../../../victim",
        "compose_files: [/etc/passwd]",
        "env: {render: [{file: /root/.bashrc}]}",
        "env: {copy_mode: allowlist, copy: ['../x']}",
        "env: {copy_mode: some}",
        "hostnames: ['a b']",
        "project: [",
    ] {
        let error = ProjectConfig::from_cilo(text).unwrap_err().to_string();
        assert!(error.starts_with(".cilo/config.yml"), "{text}: {error}");
    }
}

#[test]
fn an_empty_cilo_file_means_cilos_defaults() {
    assert!(ProjectConfig::from_cilo("\n").is_ok());
    let config = ProjectConfig::from_cilo("project: a\nenv:\n").unwrap();
    assert_eq!(config.copy[0].as_str(), "**/.env*");
}

#[test]
fn the_projects_own_file_wins() {
    let both = ProjectConfig::from_files(Some("project = 'a'"), Some("project: b")).unwrap();
    assert_eq!(both.project.unwrap().as_str(), "a");
    assert_eq!(both.notes, [".cilo/config.yml is ignored: dwell.toml exists"]);
    assert_eq!(ProjectConfig::from_files(None, None).unwrap(), ProjectConfig::default());
}

#[test]
fn rendering_again_from_the_same_text_changes_nothing() {
    let rule = RenderRule {
        file: ".env".parse().unwrap(),
        tokens: true,
        replace: vec![Replace { from: "localhost".into(), to: "api.localhost".into() }],
    };
    let names = ("shop".parse().unwrap(), "a1".parse().unwrap(), Suffix::default());
    let mut values = variables(&names.0, &names.1, &names.2);
    values.insert("DWELL_SNEAKY".into(), "${DWELL_ENV}".into());
    let text = "H=localhost\nE=${DWELL_ENV}${CILO_DNS_SUFFIX} ${OTHER} ${\nS=${DWELL_SNEAKY}\n";
    let rendered = render(text, &rule, &values);
    assert_eq!(rendered, "H=api.localhost\nE=a1.test ${OTHER} ${\nS=${DWELL_ENV}\n");
    assert_eq!(render(text, &rule, &values), rendered);
    assert_eq!(values["CILO_BASE_URL"], "http://shop.a1.test");
}

#[test]
fn the_node_has_defaults_and_refuses_what_cannot_work() {
    let config = NodeConfig::from_toml("").unwrap();
    assert_eq!(config, NodeConfig::default());
    assert_eq!((config.dns.port.get(), config.proxy.port.get()), (5354, 7080));
    assert_eq!(config.network.pool.to_string(), "10.224.0.0/16");
    assert_eq!(config.shared.grace_seconds, 60);
    assert_eq!(config.forward.pool.to_string(), "127.224.0.0/16");
    let config = NodeConfig::from_toml("[shared]\ngrace_seconds = 5").unwrap();
    assert_eq!((config.shared.grace_seconds, config.dns.port.get()), (5, 5354));
    let config = NodeConfig::from_toml("[pool]\n'debian:bookworm' = 3\nbox = 0").unwrap();
    let waits: Vec<_> = config.pool.images().map(|(image, n)| (image.as_str(), n)).collect();
    assert_eq!(waits, [("box", 0), ("debian:bookworm", 3)]);
    let error = NodeConfig::from_toml("[dns]\nprot = 1").unwrap_err().to_string();
    assert_eq!(error, "config.toml:2:1: unknown key `prot`; did you mean `port`?");
    for bad in [
        "[dns]\nport = 0",
        "[dns]\nport = 7080",
        "[dns]\nsuffixes = []",
        "[dns]\nsuffixes = ['local']",
        "[network]\npool = '8.8.0.0/16'",
        "[network]\npool = '10.0.0.0/30'",
        "[network]\npool = '10.0.0.1/16'",
        "[network]\npool = 'x'",
        "[forward]\npool = '10.0.0.0/16'",
        "[forward]\npool = '127.0.0.0/16'",
        "[remote]\nconnect_seconds = 0",
        "[remote]\nsilence_seconds = 15",
        "[pool]\n\"a image\" = 1",
        "[pool]\ndebian = 21",
        "[pool]\ndebian = -1",
    ] {
        assert!(NodeConfig::from_toml(bad).is_err(), "{bad}");
    }
}

#[test]
fn the_published_schema_is_up_to_date() {
    let file = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/dwell.schema.json");
    let now = format!("{}\n", serde_json::to_string_pretty(&schema()).unwrap());
    if std::env::var_os("DWELL_UPDATE").is_some() {
        std::fs::write(file, &now).unwrap();
    }
    let published = std::fs::read_to_string(file).unwrap_or_default();
    assert!(published == now, "run the test with DWELL_UPDATE=1 to renew {file}");
}
