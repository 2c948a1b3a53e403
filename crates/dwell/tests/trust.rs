//! Commands that a repository brings, and paths that it would like to leave by.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    missing_docs,
    reason = "a test ends where it meets what it does not expect"
)]

use std::fs;

use dwell_testkit::{IDLE, TestHome};

fn home() -> TestHome {
    TestHome::new(env!("CARGO_BIN_EXE_dwell"))
}

#[test]
fn hooks_run_only_as_they_were_trusted() {
    let home = home();
    let config = "[hooks]\nsetup = './prepare'\n";
    let shop = home.project("shop").compose(IDLE).file("dwell.toml", config).script(
        "prepare",
        "#!/bin/sh\necho $DWELL_ENV $CILO_ENV $OF_CALLER > prepared; pwd >> prepared\n",
    );
    let refused = home.dwell_in(&shop, ["up", "a"]);
    assert!(refused.fails_with(6).contains("./prepare"), "the commands are named: {refused:?}");
    assert!(refused.stderr.contains("dwell trust"), "{refused:?}");
    assert_eq!(home.dwell(["ls", "-q"]).ok(), "", "nothing was made");
    assert!(!home.data().join("shop/a").exists());

    home.dwell_in(&shop, ["trust", "--yes"]).ok();
    let mut up = home.dwell_command();
    up.current_dir(&shop).args(["up", "a"]).env("OF_CALLER", "mine");
    dwell_testkit::run(&mut up, std::time::Duration::from_secs(60)).ok();
    let tree = home.dwell_in(&shop, ["path", "a"]).ok().to_owned();
    let prepared = fs::read_to_string(format!("{tree}/prepared")).unwrap();
    assert_eq!(prepared, format!("a a mine\n{tree}\n"));
    assert!(!shop.path().join("prepared").exists());

    // The script that the command names counts, not only the command.
    let shop = shop.script("prepare", "#!/bin/sh\ntouch $HOME/changed\n");
    home.dwell_in(&shop, ["up", "b"]).fails_with(6);
    assert!(!home.path().join("changed").exists());
    home.dwell_in(&shop, ["up", "a"]).ok();

    home.dwell_in(&shop, ["trust", "--yes"]).ok();
    home.dwell_in(&shop, ["create", "c"]).ok();
    assert!(home.path().join("changed").exists());
    home.dwell_in(&shop, ["trust", "--revoke"]).ok();
    home.dwell_in(&shop, ["up", "b"]).fails_with(6);
}

#[test]
fn what_a_trusted_hook_writes_asks_nobody_and_what_others_write_does() {
    let home = home();
    let shop = home
        .project("shop")
        .compose(IDLE)
        .file("template", "v=1\n")
        .file("dwell.toml", "[hooks]\nrun = 'sh ./prepare && cp template values'\n")
        .script("prepare", "#!/bin/sh\ntrue\n");
    home.dwell_in(&shop, ["trust", "--yes"]).ok();
    home.dwell_in(&shop, ["up", "a"]).ok();
    home.dwell_in(&shop, ["up", "a", "--recreate"]).ok();
    let tree = home.dwell_in(&shop, ["path", "a"]).ok().to_owned();
    fs::write(format!("{tree}/prepare"), "#!/bin/sh\necho other > other\n").unwrap();
    let refused = home.dwell_in(&shop, ["up", "a", "--recreate"]);
    assert!(refused.fails_with(6).contains(&tree), "the place to trust is named: {refused:?}");
    home.dwell(["trust", &tree, "--yes"]).ok();
    home.dwell_in(&shop, ["up", "a", "--recreate"]).ok();
    assert!(std::path::Path::new(&tree).join("other").exists());
}

#[test]
fn a_hook_that_fails_undoes_the_creation() {
    let home = home();
    let shop = home
        .project("shop")
        .compose(IDLE)
        .file("dwell.toml", "[hooks]\nsetup = 'echo the reason; exit 4'\n");
    home.dwell_in(&shop, ["trust", "--yes"]).ok();
    let up = home.dwell_in(&shop, ["up", "a"]);
    assert!(up.fails_with(1).contains("the reason"), "{up:?}");
    assert_eq!(home.dwell(["ls", "-q"]).ok(), "");
    assert!(!home.data().join("shop/a").exists());
}

#[test]
fn no_configuration_leads_out_of_its_project() {
    let home = home();
    let victim = home.path().join("victim");
    fs::create_dir(&victim).unwrap();
    fs::write(victim.join("file"), "dear").unwrap();
    let cases = [
        (".cilo/config.yml", "project: '../../../victim'\n"),
        ("dwell.toml", "project = '../../../victim'\n"),
        (".cilo/config.yml", "compose_files: ['../victim/compose.yaml']\n"),
        (".cilo/config.yml", "env: {render: [{file: /etc/passwd, tokens: true}]}\n"),
        ("dwell.toml", "[[render]]\nfile = '../../victim/file'\n"),
        ("dwell.toml", "env_files = ['/etc/environment']\n"),
    ];
    for (number, (file, text)) in cases.iter().enumerate() {
        let project = home.project(&format!("p{number}")).compose(IDLE).file(file, text);
        let ran = home.dwell_in(&project, ["create", "a"]);
        assert!(ran.code.is_some_and(|code| code == 1 || code == 2), "{text}: {ran:?}");
        assert!(!ran.stderr.contains("panicked"), "{ran:?}");
    }
    assert_eq!(home.dwell(["ls", "-q"]).ok(), "");
    assert_eq!(fs::read_to_string(victim.join("file")).unwrap(), "dear");
}

#[test]
fn a_project_of_cilo_works_as_it_is() {
    let home = home();
    let config = "project: My_App
build_tool: docker
compose_files: [docker/app.yml]
env_files: [docker/values.env]
dns_suffix: .local-test
default_ingress_service: ''
env:
  copy_mode: all
  init_hook: 'echo $CILO_ENV > hooked'
  render:
    - file: .env
      tokens: true
      replace: [{from: localhost, to: api.localhost}]
";
    let compose = "services:
  web:
    image: busybox
    init: true
    stop_grace_period: 1s
    command: sleep infinity
    environment: {VALUE: '${VALUE}'}
    labels: {cilo.ingress: 'true', cilo.hostnames: 'pc'}
";
    let shop = home
        .project("somewhere")
        .file(".cilo/config.yml", config)
        .file("docker/app.yml", compose)
        .file("docker/values.env", "VALUE=set\n")
        .file(".env", "URL=http://localhost/${CILO_ENV}\n");
    home.dwell_in(&shop, ["create", "a"]).fails_with(6);
    home.dwell_in(&shop, ["trust", "--yes"]).ok();
    home.dwell_in(&shop, ["create", "a"]).ok();
    home.dwell_in(&shop, ["up", "a"]).ok();
    home.dwell_in(&shop, ["up", "a", "--recreate"]).ok();
    let status = home.dwell_in(&shop, ["status", "a", "--json"]).json();
    assert_eq!(status["project"], "my-app");
    let tree = home.dwell_in(&shop, ["path", "a"]).ok().to_owned();
    let read = |name: &str| fs::read_to_string(format!("{tree}/{name}")).unwrap();
    assert_eq!(read(".env"), "URL=http://api.localhost/a\n", "rendered once");
    assert_eq!(read("hooked"), "a\n");
    assert_eq!(home.dwell_in(&shop, ["exec", "a", "web", "sh", "-c", "echo $VALUE"]).ok(), "set");
    let port = home.dns_port();
    for name in ["web.a.local-test", "pc.a.local-test", "my-app.a.local-test"] {
        assert_eq!(dwell_testkit::resolve(port, name).len(), 1, "{name}");
    }
}
