//! The life of environments through the real binary, a real daemon and a real engine.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    missing_docs,
    reason = "a test ends where it meets what it does not expect"
)]

use std::fs;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use dwell_testkit::{Project, TestHome, docker, git, resolve, run, wait_until};
use serde_json::Value;

const WEB: &str = "services:
  web:
    image: busybox
    init: true
    stop_grace_period: 1s
    command: [httpd, -f, -p, '80', -h, /etc]
    expose: ['80']
";

/// A service that only waits.
fn idle(name: &str, more: &str) -> String {
    format!(
        "  {name}:\n    image: busybox\n    init: true\n    stop_grace_period: 1s\n    \
         command: sleep infinity\n{more}"
    )
}

fn home() -> TestHome {
    TestHome::new(env!("CARGO_BIN_EXE_dwell"))
}

fn services(status: &Value) -> Vec<&str> {
    status["services"].as_array().unwrap().iter().map(|s| s["name"].as_str().unwrap()).collect()
}

fn edit(file: impl AsRef<Path>, from: &str, to: &str) {
    let text = fs::read_to_string(&file).unwrap();
    assert!(text.contains(from), "{from} is not in {}", file.as_ref().display());
    fs::write(&file, text.replace(from, to)).unwrap();
}

#[test]
fn a_life_from_create_to_destroy() {
    let home = home();
    let shop = home.project("shop").compose(WEB).git();
    let before = shop.content();
    let created = home.dwell_in(&shop, ["create", "a", "--json"]).json();
    assert_eq!(created["outcome"], "success");
    assert_eq!(created["environment"]["status"], "created");
    assert_eq!(created["environment"]["branch"], "dwell/a");
    assert_eq!(home.containers("a", None), Vec::<String>::new());

    let up = home.dwell_in(&shop, ["up", "a", "--json"]).json();
    assert_eq!((&up["outcome"], &up["changed"]), (&"success".into(), &true.into()));
    assert_eq!(up["environment"]["status"], "running", "{up}");
    let again = home.dwell_in(&shop, ["up", "a", "--json"]).json();
    assert_eq!(again["changed"], false);

    let list = home.dwell(["ls", "--json"]).json();
    assert_eq!(list, home.dwell(["list", "--format", "json"]).json());
    assert_eq!(list.as_array().unwrap().len(), 1);
    assert_eq!(home.dwell(["ls", "-q"]).ok(), "a");
    let status = home.dwell_in(&shop, ["status", "a", "--json"]).json();
    assert_eq!((&status["name"], &status["project"]), (&"a".into(), &"shop".into()));
    let web = &status["services"][0];
    assert_eq!((&web["state"], &web["role"]), (&"running".into(), &"isolated".into()));
    let address = web["addresses"][0].as_str().unwrap();
    for name in ["web.a.test", "web.a.shop.test", "shop.a.test", "x.shop.a.test"] {
        assert_eq!(
            resolve(home.dns_port(), name),
            [address.parse::<std::net::Ipv4Addr>().unwrap()]
        );
    }

    let url = home.dwell_in(&shop, ["url", "a"]);
    assert_eq!(url.ok(), "http://shop.a.test");
    assert_eq!(home.dwell_in(&shop, ["url", "a", "web"]).ok(), "http://shop.a.test");
    let env = home.dwell_in(&shop, ["env", "a", "--format", "json"]).json();
    assert_eq!((&env["DWELL_ENV"], &env["CILO_ENV"]), (&"a".into(), &"a".into()));
    assert!(env["WEB_HOST"].is_string(), "{env}");
    let exports = home.dwell_in(&shop, ["env", "a"]);
    assert!(exports.ok().lines().all(|line| line.starts_with("export ")), "{exports:?}");

    let tree = home.dwell_in(&shop, ["path", "a"]).ok().to_owned();
    assert!(Path::new(&tree).starts_with(home.data()), "{tree}");
    home.dwell_in(&shop, ["exec", "a", "web", "sh", "-c", "echo seen > /proc/1/fd/1"]).ok();
    wait_until(Duration::from_secs(5), "the log line", || {
        home.dwell_in(&shop, ["logs", "a", "web", "-n", "5"]).ok().contains("seen")
    });
    assert_eq!(home.dwell_in(&shop, ["compose", "a", "ps", "--services"]).ok(), "web");
    assert!(home.dwell_in(&shop, ["compose", "a"]).ok().contains("web"));
    home.dwell_in(&shop, ["wait", "a", "--for", "ready", "--timeout", "10s"]).ok();

    home.dwell_in(&shop, ["down", "a"]).ok();
    assert_eq!(home.dwell_in(&shop, ["status", "a", "--json"]).json()["status"], "stopped");
    assert!(resolve(home.dns_port(), "web.a.test").is_empty(), "a stopped service has no name");
    home.dwell_in(&shop, ["down", "a"]).ok();
    home.dwell_in(&shop, ["wait", "a", "--for", "stopped", "--timeout", "10s"]).ok();
    home.dwell_in(&shop, ["up", "a"]).ok();
    assert_eq!(home.dwell_in(&shop, ["exec", "a", "web", "echo", "-n", "-x"]).ok(), "-x");

    home.dwell_in(&shop, ["rm", "a", "--yes"]).ok();
    assert_eq!(home.dwell(["ls", "--json"]).json(), Value::Array(Vec::new()));
    assert_eq!(home.containers("a", None), Vec::<String>::new());
    assert!(!Path::new(&tree).exists());
    assert_eq!(git(&shop, ["branch", "--list", "dwell/*"]).ok(), "");
    let files = |all: std::collections::BTreeMap<std::path::PathBuf, _>| {
        all.into_iter()
            .filter(|(path, _)| !path.components().any(|c| c.as_os_str() == ".git"))
            .collect::<Vec<_>>()
    };
    assert_eq!(files(shop.content()), files(before), "the user's files were changed");
}

#[test]
fn problems_have_stable_codes() {
    let home = home();
    let shop = home.project("shop").compose(WEB);
    home.dwell_in(&shop, ["create", "a"]).ok();
    let table: [(&str, i32, &str); 19] = [
        ("up none --no-create", 3, "not_found"),
        ("down none", 3, "not_found"),
        ("status none", 3, "not_found"),
        ("logs none", 3, "not_found"),
        ("path none", 3, "not_found"),
        ("url none", 3, "not_found"),
        ("env none", 3, "not_found"),
        ("wait none", 3, "not_found"),
        ("destroy none --yes", 3, "not_found"),
        ("diff none", 3, "not_found"),
        ("run --no-create true none", 3, "not_found"),
        ("create a", 5, "exists"),
        ("up x --from /does/not/exist", 2, "invalid_argument"),
        ("up a --shared nobody", 2, "invalid_argument"),
        ("url a nobody", 3, "not_found"),
        ("wait a --for running --timeout 1s", 124, "timeout"),
        ("destroy a", 2, "usage"),
        ("status a --project ../../victim", 2, "usage"),
        ("create ../../victim", 2, "usage"),
    ];
    for (line, code, name) in table {
        let ran = home.dwell_in(&shop, line.split(' ').chain(["--json"]));
        ran.fails_with(code);
        let answer: Value = serde_json::from_str(&ran.stdout).unwrap_or_else(|_| panic!("{ran:?}"));
        assert_eq!(answer["error"]["code"], name, "{line}: {answer}");
        assert!(answer["error"]["message"].is_string(), "{line}: {answer}");
        // For people it is on stderr and nothing else is.
        let ran = home.dwell_in(&shop, line.split(' '));
        assert_eq!(ran.stdout, "", "{line}");
        assert!(ran.fails_with(code).contains("error: "), "{ran:?}");
    }
    // What follows the environment belongs to the command, `--json` too.
    home.dwell_in(&shop, ["exec", "none", "web", "true"]).fails_with(3);
    home.dwell_in(&shop, ["compose", "none", "ps"]).fails_with(3);
    for command in ["down", "destroy"] {
        home.dwell_in(&shop, [command, "none", "--ignore-not-found"]).ok();
    }
}

#[test]
fn the_environment_may_be_left_out_where_it_is_clear() {
    let home = home();
    let shop = home.project("shop").compose(WEB);
    home.dwell_in(&shop, ["up", "a"]).ok();
    let name = |place: &Path| {
        home.dwell_in(place, ["status", "--json"]).json()["name"].as_str().unwrap().to_owned()
    };
    assert_eq!(name(shop.path()), "a", "the project's only one");
    home.dwell_in(&shop, ["create", "b"]).ok();
    home.dwell_in(&shop, ["status"]).fails_with(2);
    let tree = home.dwell_in(&shop, ["path", "b"]).ok().to_owned();
    fs::create_dir(Path::new(&tree).join("below")).unwrap();
    assert_eq!(name(Path::new(&tree)), "b");
    assert_eq!(name(&Path::new(&tree).join("below")), "b");
    assert_eq!(home.dwell_in(&tree, ["path"]).ok(), tree);
    assert_eq!(home.dwell_in(&tree, ["url", "a"]).ok(), "http://shop.a.test");
    home.dwell_in(&tree, ["up"]).ok();
    home.dwell_in(&tree, ["logs"]).ok();
    home.dwell_in(&tree, ["down"]).ok();
    home.dwell_in(home.path(), ["status"]).fails_with(2);
    home.dwell_in(&shop, ["destroy", "--all", "--force"]).ok();
    assert_eq!(home.dwell(["ls", "-q"]).ok(), "");
}

#[test]
fn up_from_elsewhere_run_with_variables_and_lists_by_project() {
    let home = home();
    let (shop, notes) = (home.project("shop").compose(WEB), home.project("notes").compose(WEB));
    let from = shop.path().to_str().unwrap();
    home.dwell(["up", "a", "--from", from]).ok();
    home.dwell_in(&notes, ["create", "n"]).ok();
    home.dwell_in(&notes, ["create", "m", "--project", "other"]).ok();
    let list = |place: &Path, more: &[&str]| {
        let ran = home.dwell_in(place, ["ls", "-q"].iter().chain(more));
        let mut names: Vec<String> = ran.ok().split_whitespace().map(str::to_owned).collect();
        names.sort();
        names
    };
    assert_eq!(list(home.path(), &[]), ["a", "m", "n"]);
    assert_eq!(list(home.path(), &["--project", "other"]), ["m"]);
    assert_eq!(list(home.path(), &["--project", "other", "--all"]), ["a", "m", "n"]);
    assert_eq!(list(home.path(), &["--project", "nothing"]), Vec::<String>::new());

    let line = "echo $GREETING $DWELL_ENV $CILO_PROJECT $WEB_HOST; pwd; exit 5";
    let ran = home.dwell_in(&shop, ["run", "--env", "GREETING=hello", "sh", "a", "-c", line]);
    ran.fails_with(5);
    assert!(ran.stdout.contains("hello a shop web.a."), "{ran:?}");
    assert!(ran.stdout.contains(home.data().to_str().unwrap()), "{ran:?}");

    home.dwell(["destroy", "--all", "--project", "other", "--yes"]).ok();
    assert_eq!(list(home.path(), &[]), ["a", "n"]);
    home.dwell(["destroy", "--all", "--dry-run"]).ok();
    assert_eq!(list(home.path(), &[]), ["a", "n"]);
    home.dwell(["delete", "--all", "--force"]).ok();
    assert_eq!(list(home.path(), &[]), Vec::<String>::new());
}

#[test]
fn up_applies_what_changed_and_nothing_else() {
    let home = home();
    let base = "services:\n".to_owned() + &idle("base", "    environment: {FROM: base}\n");
    let included = "services:\n".to_owned() + &idle("inc", "    environment: {FROM: included}\n");
    let main = "include: [part/included.yaml]\nservices:\n".to_owned()
        + &idle("web", "    environment: {WHO: '${WHO:-nobody}', FILE: '${FILE:-none}'}\n")
        + "  ext:\n    extends: {file: base.yaml, service: base}\n";
    let tag = format!("dwell-test-{}:moving", std::process::id());
    docker(["tag", "busybox", &tag]).ok();
    let main = main + &idle("moving", "").replace("image: busybox", &format!("image: {tag}"));
    let shop = home
        .project("shop")
        .compose(&main)
        .file("base.yaml", base)
        .file("part/included.yaml", included);
    let up = |variables: &[(&str, &str)]| {
        let mut command = home.dwell_command();
        command.current_dir(&shop).args(["up", "a", "--json"]);
        let ran = run(command.envs(variables.iter().copied()), Duration::from_secs(60));
        ran.json()["changed"].as_bool().unwrap()
    };
    let value = |service: &str, name: &str| {
        home.dwell_in(&shop, ["exec", "a", service, "printenv", name]).ok().to_owned()
    };
    let ids = |service: &str| home.containers("a", Some(service));
    assert!(up(&[("WHO", "me")]));
    assert_eq!(value("web", "WHO"), "me", "the caller's variables fill the compose file");
    assert!(!up(&[("WHO", "me")]), "nothing changed");
    let (web, inc, ext) = (ids("web"), ids("inc"), ids("ext"));
    let tree = home.dwell_in(&shop, ["path", "a"]).ok().to_owned();
    let tree = Path::new(&tree);

    assert!(up(&[("WHO", "you")]));
    assert_eq!(value("web", "WHO"), "you");
    assert_ne!(ids("web"), web);
    assert_eq!(ids("inc"), inc, "what did not change stays");

    fs::write(tree.join(".env"), "FILE=dotenv\nWHO=you\n").unwrap();
    assert!(up(&[]));
    assert_eq!((value("web", "FILE").as_str(), value("web", "WHO").as_str()), ("dotenv", "you"));

    edit(tree.join("part/included.yaml"), "FROM: included", "FROM: edited");
    assert!(up(&[]));
    assert_eq!(value("inc", "FROM"), "edited");
    edit(tree.join("base.yaml"), "FROM: base", "FROM: edited");
    assert!(up(&[]));
    assert_eq!(value("ext", "FROM"), "edited");
    assert_ne!(ids("ext"), ext);
    assert!(!up(&[]));

    let moving = ids("moving");
    docker(["tag", "debian:bookworm", &tag]).ok();
    assert!(up(&[]), "the tag means another image now");
    assert_ne!(ids("moving"), moving);
    docker(["image", "rm", &tag]);

    edit(tree.join("compose.yaml"), "include: [part/included.yaml]\n", "");
    assert!(up(&[]));
    assert_eq!(ids("inc"), Vec::<String>::new(), "a service that was dropped is gone");
    let status = home.dwell_in(&shop, ["status", "a", "--json"]).json();
    assert_eq!(services(&status), ["ext", "moving", "web"]);

    let web = ids("web");
    home.dwell_in(&shop, ["up", "a", "--recreate"]).ok();
    assert_ne!(ids("web"), web);
}

#[test]
fn up_repairs_what_was_killed_or_removed() {
    let home = home();
    let shop = home.project("shop").compose(&("services:\n".to_owned() + &idle("web", "")));
    home.dwell_in(&shop, ["up", "a"]).ok();
    for broken in [["kill", "--signal=KILL"], ["rm", "--force"], ["stop", "--time=0"]] {
        let ids = home.containers("a", Some("web"));
        docker(broken.iter().map(|word| word.to_string()).chain(ids)).ok();
        home.dwell_in(&shop, ["up", "a"]).ok();
        assert_eq!(home.dwell_in(&shop, ["exec", "a", "web", "echo", "here"]).ok(), "here");
        let status = home.dwell_in(&shop, ["status", "a", "--json"]).json();
        assert_eq!(status["status"], "running", "after {broken:?}");
    }
}

#[test]
fn every_way_to_name_compose_files_works() {
    let home = home();
    let text = |name: &str| "services:\n".to_owned() + &idle(name, "");
    let defaults = ["compose.yaml", "compose.yml", "docker-compose.yml", "docker-compose.yaml"];
    for (number, file) in defaults.iter().enumerate() {
        let project = home.project(&format!("p{number}")).file(file, text("web"));
        let up = home.dwell_in(&project, ["up", "a", "--json"]).json();
        assert_eq!(services(&up["environment"]), ["web"], "{file}");
    }
    let more = home
        .project("more")
        .file("compose.yaml", text("web") + &idle("tool", "    profiles: [tools]\n"))
        .file("compose.override.yaml", text("over"))
        .file("one.yaml", text("one"))
        .file("two.yaml", "services:\n".to_owned() + &idle("two", "    environment: {V: '${V}'}\n"))
        .file("values.env", "V=from-file\n");
    let up = |name: &str, arguments: &[&str], variables: &[(&str, &str)]| {
        let mut command = home.dwell_command();
        command.current_dir(&more).args(["up", name, "--json"]).args(arguments);
        let ran = run(command.envs(variables.iter().copied()), Duration::from_secs(60)).json();
        services(&ran["environment"]).join(" ")
    };
    assert_eq!(up("plain", &[], &[]), "over web");
    assert_eq!(up("profile", &["--profile", "tools"], &[]), "over tool web");
    assert_eq!(up("variable", &[], &[("COMPOSE_PROFILES", "tools")]), "over tool web");
    assert_eq!(up("flag", &["--compose", "one.yaml"], &[]), "one");
    let files = [("COMPOSE_FILE", "one.yaml:two.yaml"), ("V", "shell")];
    assert_eq!(up("files", &[], &files), "one two");
    let arguments = ["--compose", "two.yaml", "--env-file", "values.env"];
    assert_eq!(up("values", &arguments, &[]), "two");
    let value = home.dwell_in(&more, ["exec", "values", "two", "printenv", "V"]);
    assert_eq!(value.ok(), "from-file");
    let configured = home
        .project("configured")
        .file("deploy/app.yaml", text("app"))
        .file("dwell.toml", "project = 'renamed'\ncompose_files = ['deploy/app.yaml']\n");
    let up = home.dwell_in(&configured, ["up", "a", "--json"]).json();
    assert_eq!(up["environment"]["project"], "renamed");
    assert_eq!(services(&up["environment"]), ["app"]);
}

#[test]
fn waiting_for_health_and_building() {
    let home = home();
    let web = idle(
        "web",
        "    healthcheck: {test: 'test -e /tmp/ready || { touch /tmp/ready; false; }', \
         interval: 200ms, retries: 50}\n",
    );
    let built = "  app:\n    build: .\n    image: dwell-test-fixed-tag\n    init: true\n    \
                 stop_grace_period: 1s\n    command: sleep infinity\n";
    let shop = home
        .project("shop")
        .compose(&format!("services:\n{web}{built}"))
        .file("Dockerfile", "FROM busybox\nCOPY version /version\n")
        .file("version", "1\n");
    home.dwell_in(&shop, ["up", "a", "--wait"]).ok();
    let status = home.dwell_in(&shop, ["status", "a", "--json"]).json();
    assert_eq!(status["services"][1]["health"], "healthy", "{status}");
    home.dwell_in(&shop, ["up", "b"]).ok();
    let tree = home.dwell_in(&shop, ["path", "a"]).ok().to_owned();
    fs::write(Path::new(&tree).join("version"), "2\n").unwrap();
    home.dwell_in(&shop, ["up", "a", "--build"]).ok();
    let version =
        |name| home.dwell_in(&shop, ["exec", name, "app", "cat", "/version"]).ok().to_owned();
    assert_eq!((version("a").as_str(), version("b").as_str()), ("2", "1"));
    let tag = docker(["image", "ls", "--quiet", "dwell-test-fixed-tag"]);
    assert_eq!(tag.ok(), "", "the fixed tag is private to each environment");
}

#[test]
fn what_fails_leaves_nothing_half_made() {
    let home = home();
    let bad = home.project("bad").compose("services:\n  web:\n    imag: busybox\n");
    home.dwell_in(&bad, ["up", "a"]).fails_with(1);
    let missing = home.project("missing").file("README", "nothing here\n");
    home.dwell_in(&missing, ["up", "a"]).fails_with(1);
    let absent = home
        .project("absent")
        .compose("services:\n  web:\n    image: localhost:1/dwell-test-nowhere\n");
    home.dwell_in(&absent, ["up", "a"]).fails_with(1);
    assert_eq!(home.dwell(["ls", "-q"]).ok(), "");
    assert_eq!(home.containers("a", None), Vec::<String>::new());
    for project in ["bad", "missing", "absent"] {
        assert!(!home.data().join(project).join("a").exists(), "{project}");
    }
    let good = bad.compose(WEB);
    home.dwell_in(&good, ["up", "a"]).ok();
}

#[test]
fn a_project_may_be_used_in_place() {
    let home = home();
    let shop: Project = home.project("shop").compose(WEB);
    let before = shop.content();
    let up = home.dwell_in(&shop, ["up", "a", "--in-place", "--json"]).json();
    assert_eq!(up["environment"]["directory"].as_str(), shop.path().to_str());
    home.dwell_in(&shop, ["destroy", "a", "--force"]).ok();
    assert_eq!(shop.content(), before);
    let mut listed = Command::new("ls");
    assert!(run(listed.arg(shop.path()), Duration::from_secs(5)).ok().contains("compose.yaml"));
}
