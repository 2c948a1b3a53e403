//! A home with hosts that it knows as nodes.

use std::path::Path;
use std::time::{Duration, Instant};

use dwell_testkit::{HostPlan, Hosts, TestHome};
use serde_json::Value;

/// A laptop's home and the hosts around it.
pub(crate) struct Bench {
    // The home goes first: its daemon holds links to the hosts.
    pub(crate) home: TestHome,
    pub(crate) hosts: Hosts,
}

/// The binary under test.
pub(crate) fn binary() -> &'static Path {
    Path::new(env!("CARGO_BIN_EXE_dwell"))
}

impl Bench {
    /// Hosts by these plans, with the binary and registered by their names; `None` where hosts
    /// cannot be had.
    pub(crate) fn start(plans: impl IntoIterator<Item = HostPlan>) -> Option<Self> {
        let hosts = Hosts::start(plans)?;
        let home = TestHome::new(binary()).ssh_to(&hosts);
        for host in hosts.all() {
            host.install(binary(), "/root/.local/share/dwell/bin/dwell");
            let name = host.name();
            let body = format!(r#"{{"name": "{name}", "host": "{name}"}}"#);
            home.dwell(["node", "start"]).ok();
            post(&home, "/v1/remotes", &body);
        }
        Some(Self { home, hosts })
    }

    /// Brings an image of this machine to a host's engine.
    pub(crate) fn load(&self, host: &str, image: &str) {
        self.hosts.host(host).load(image);
    }

    /// An environment as `dwell status` shows it in a project.
    pub(crate) fn status(&self, project: impl AsRef<Path>, name: &str) -> Value {
        let ran = self.home.dwell_in(project, ["status", name, "--json"]);
        serde_json::from_str(ran.ok()).unwrap()
    }

    /// Asks the daemon.
    pub(crate) fn get(&self, path: &str) -> Value {
        call(&self.home, &["-X", "GET"], path)
    }

    /// Tells the daemon.
    pub(crate) fn post(&self, path: &str, body: &str) -> Value {
        post(&self.home, path, body)
    }
}

fn post(home: &TestHome, path: &str, body: &str) -> Value {
    let key = format!("idempotency-key: {path}-{:?}", Instant::now());
    call(
        home,
        &["-X", "POST", "-H", &key, "-H", "content-type: application/json", "-d", body],
        path,
    )
}

fn call(home: &TestHome, arguments: &[&str], path: &str) -> Value {
    let mut curl = home.command("curl");
    curl.args(["-sS", "--max-time", "60", "--unix-socket"]).arg(home.socket()).args(arguments);
    curl.arg(format!("http://node{path}"));
    let ran = dwell_testkit::run(&mut curl, Duration::from_secs(70));
    serde_json::from_str(ran.ok()).unwrap_or(Value::Null)
}
