//! What the fault tests share: a project that uses everything, and a picture of the world to
//! compare with.

use std::collections::BTreeSet;
use std::path::Path;
use std::time::{Duration, Instant};

pub use dwell_testkit::{Dice, every_case as full};
use dwell_testkit::{Project, Ran, TestHome, git, run};
use serde_json::Value;

/// How long a daemon may take to settle what an earlier one left.
pub const SETTLE: Duration = Duration::from_secs(30);

const COMPOSE: &str = r#"
services:
  web:
    image: busybox
    command: sleep 1d
    init: true
    stop_grace_period: 1s
    depends_on: [cache]
    volumes: [data:/data]
  cache:
    image: busybox
    command: sleep 1d
    init: true
    stop_grace_period: 1s
    expose: ["6379"]
    labels: {dwell.share: "true"}
volumes:
  data: {}
"#;

/// A change of the project that makes compose start other containers.
pub const CHANGE: &str = r#"
  extra:
    image: busybox
    command: sleep 1d
    init: true
    stop_grace_period: 1s
    networks: [more]
    volumes: [more:/more]
networks:
  more: {}
"#;

const CONFIG: &str = r#"
copy = [".env"]
[hooks]
setup = "touch made-by-$DWELL_ENV"
run = "touch made-by-$DWELL_ENV"
archive = "true"
"#;

/// A home whose shared services end as soon as nobody uses them.
pub fn home() -> TestHome {
    let home = TestHome::new(env!("CARGO_BIN_EXE_dwell"));
    home.configure("[shared]\ngrace_seconds = 0\n");
    home
}

/// A git project with a shared service, a volume, hooks that are trusted, and an ignored file
/// that comes along.
pub fn project(home: &TestHome) -> Project {
    let project = home
        .project("shop")
        .compose(COMPOSE)
        .file("dwell.toml", CONFIG)
        .file(".gitignore", ".env\nmade-by-*\n")
        .git()
        .file(".env", "A=1\n");
    home.dwell_in(&project, ["trust", "--yes"]).ok();
    project
}

/// A project of one small service.
pub fn small(home: &TestHome, name: &str) -> Project {
    home.project(name).compose(
        "services:\n  web:\n    image: busybox\n    command: sleep 1d\n    init: true\n    \
         stop_grace_period: 1s\n",
    )
}

/// Adds [`CHANGE`] to an environment's tree.
pub fn change(home: &TestHome, name: &str) {
    let tree = home.data().join("shop").join(name);
    let compose = COMPOSE.replace("volumes:\n  data: {}\n", "");
    let text = format!("{compose}{CHANGE}volumes:\n  data: {{}}\n  more: {{}}\n");
    std::fs::write(tree.join("compose.yaml"), text).unwrap();
}

/// Everything that operations make, as lines.
#[derive(PartialEq, Eq, Clone)]
pub struct World(BTreeSet<String>);

impl World {
    /// What is there now.
    pub fn of(home: &TestHome, source: &Path) -> Self {
        let mut lines = BTreeSet::new();
        let node = home.node().expect("the daemon ran before");
        let filter = format!("label=dwell.node={node}");
        for (kind, arguments) in [
            ("container", vec!["ps", "--all", "--format", "{{.Names}} {{.State}}"]),
            ("network", vec!["network", "ls", "--format", "{{.Name}}"]),
            ("volume", vec!["volume", "ls", "--format", "{{.Name}}"]),
        ] {
            let mut command = home.command("docker");
            let ran = run(command.args(arguments).args(["--filter", &filter]), SETTLE);
            lines.extend(ran.ok().lines().map(|line| format!("{kind} {line}")));
        }
        for (kind, arguments) in [
            ("branch", ["for-each-ref", "--format=%(refname)"]),
            ("worktree", ["worktree", "list"]),
        ] {
            if source.join(".git").exists() {
                let ran = git(source, arguments);
                let text = ran.ok().to_owned();
                lines.extend(text.lines().map(|line| format!("{kind} {}", first_word(line))));
            }
        }
        files(&home.data(), 2, &mut lines);
        files(&home.state().join("environments"), 2, &mut lines);
        for shown in home.dwell(["ls", "--all", "--json"]).json().as_array().unwrap() {
            lines.insert(format!("environment {}", telling(shown)));
        }
        Self(lines)
    }

    /// Waits until the world is this again; gives how long it took.
    #[track_caller]
    pub fn comes_back(&self, home: &TestHome, source: &Path, what: &str) -> Duration {
        let start = Instant::now();
        loop {
            let now = Self::of(home, source);
            if now == *self {
                return start.elapsed();
            }
            if start.elapsed() > SETTLE {
                let lacks: Vec<_> = self.0.difference(&now.0).collect();
                let more: Vec<_> = now.0.difference(&self.0).collect();
                panic!("{what}: the world is not as before; lacks {lacks:#?}, has {more:#?}");
            }
            std::thread::sleep(Duration::from_millis(200));
        }
    }

    /// The lines about one kind of thing.
    pub fn count(&self, kind: &str) -> usize {
        self.0.iter().filter(|line| line.starts_with(kind)).count()
    }
}

fn first_word(line: &str) -> &str {
    line.split_whitespace().next().unwrap_or_default()
}

fn files(directory: &Path, depth: usize, lines: &mut BTreeSet<String>) {
    for entry in std::fs::read_dir(directory).into_iter().flatten().flatten() {
        let path = entry.path();
        // The model is a reading kept for speed, and the project's directory stays.
        if path.ends_with("model.json")
            || (depth == 2 && path.parent().unwrap().ends_with("data/dwell"))
        {
            files(&path, depth - 1, lines);
            continue;
        }
        lines.insert(format!("file {}", path.display()));
        if path.is_dir() && depth > 1 {
            files(&path, depth - 1, lines);
        }
    }
}

/// What of a listed environment tells whether it is as before.
fn telling(shown: &Value) -> String {
    let keys = ["name", "desired", "status", "generation", "subnets", "branch"];
    keys.map(|key| format!("{key}={}", shown[key])).join(" ")
}

/// Runs the binary with a fault in the daemon that it starts.
#[track_caller]
pub fn with_fault(home: &TestHome, fault: &str, directory: &Path, arguments: &[&str]) -> Ran {
    stop(home);
    let mut command = home.dwell_command();
    command.env("DWELL_TEST_FAULT", fault).current_dir(directory).args(arguments);
    run(&mut command, Duration::from_secs(120))
}

/// Stops the daemon, so that the next command starts one without a fault.
pub fn stop(home: &TestHome) {
    home.dwell(["node", "stop"]);
}

/// The daemon's process id.
pub fn pid(home: &TestHome) -> u32 {
    let status = home.dwell(["node", "status", "--json"]).json();
    u32::try_from(status["pid"].as_u64().expect("a pid")).unwrap()
}

/// The status of an environment as listed; empty when it is not.
pub fn status(home: &TestHome, name: &str) -> String {
    let list = || home.dwell(["ls", "--all", "--json"]);
    // A daemon that is just dying may close the connection; the next one answers.
    let listed = Some(list()).filter(|ran| ran.code == Some(0)).unwrap_or_else(list).json();
    let one = listed.as_array().unwrap().iter().find(|shown| shown["name"] == name);
    one.map(|shown| shown["status"].as_str().unwrap().to_owned()).unwrap_or_default()
}

/// The ids of the containers of a node's environments, with their services.
pub fn containers(home: &TestHome) -> BTreeSet<String> {
    let filter = format!("label=dwell.node={}", home.node().unwrap());
    let mut command = home.command("docker");
    command.args(["ps", "--quiet", "--no-trunc", "--filter", &filter]);
    run(&mut command, SETTLE).ok().lines().map(str::to_owned).collect()
}
