//! The health of a node: what works, what does not, and what to do about it.

mod names;
mod nodes;
mod repair;

use std::path::Path;
use std::time::Duration;

use dwell_api::node::Finding;
use dwell_core::observed::label;
use dwell_core::ports;
use dwell_drivers::process::Program;
use dwell_drivers::{compose, own};
use dwell_net::doctor::{Inquiry, explain};

use crate::node::Node;
use crate::remote::RAISED;
use crate::workspace;

pub(crate) use repair::repair;

/// Looks at everything.
pub(crate) async fn examine(node: &Node) -> Vec<Finding> {
    let mut findings = vec![engine(node).await, compose_plugin().await];
    findings.extend(live_restore(node).await);
    findings.push(tool("git", &["--version"], "source trees of git projects need it").await);
    findings.push(tmux(node).await);
    findings.push(android());
    let parts =
        node.listeners.parts().into_iter().chain(node.ingress.part()).chain(node.mesh.parts());
    findings.extend(parts.map(|part| Finding {
        what: part.name,
        ok: part.ok,
        detail: part.detail,
        fix: part.fix,
    }));
    findings.extend(low_ports(node));
    let (names, nodes) = tokio::join!(own_names(node), nodes::examine(node));
    findings.extend(names);
    findings.extend(nodes);
    findings.extend(leftovers(node).await);
    findings.extend(disks(node).await);
    findings.extend(node.incidents.iter().map(|incident| Finding {
        what: "state".to_owned(),
        ok: false,
        detail: incident.clone(),
        fix: Some("nothing; compare `dwell ls --all` with what you expect".to_owned()),
    }));
    findings
}

fn finding(what: &str, ok: bool, detail: impl Into<String>, fix: &str) -> Finding {
    let fix = (!ok && !fix.is_empty()).then(|| fix.to_owned());
    Finding { what: what.to_owned(), ok, detail: detail.into(), fix }
}

async fn engine(node: &Node) -> Finding {
    let fix = "start Docker (`systemctl start docker`), or set DOCKER_HOST";
    match node.engine.info().await {
        Ok(info) => {
            let detail = format!("Docker {} at {}", info.version, node.engine.address());
            finding("engine", true, detail, fix)
        }
        Err(error) => finding("engine", false, error.to_string(), fix),
    }
}

async fn live_restore(node: &Node) -> Option<Finding> {
    let info = node.engine.info().await.ok()?;
    Some(if info.live_restore {
        finding("live restore", true, "containers survive a restart of Docker", "")
    } else {
        finding(
            "live restore",
            true,
            "off: a restart of Docker stops all containers; dwell brings environments back up (set \"live-restore\": true in /etc/docker/daemon.json to keep them running)",
            "",
        )
    })
}

async fn compose_plugin() -> Finding {
    let fix = "install the Docker Compose plugin, 2.26 or newer";
    match compose::version().await {
        Ok(version) => finding("compose", true, format!("Docker Compose {version}"), fix),
        Err(error) => finding("compose", false, error.to_string(), fix),
    }
}

async fn tool(name: &str, arguments: &[&str], why: &str) -> Finding {
    let run = Program::new(name).args(arguments).limit(Duration::from_secs(5)).run().await;
    match run {
        Ok(finished) => finding(name, true, finished.text(), ""),
        Err(error) => finding(name, false, format!("{error}; {why}"), &format!("install {name}")),
    }
}

async fn tmux(node: &Node) -> Finding {
    match node.sessions.sessions.tmux().check().await {
        Ok(version) => finding("tmux", true, version, ""),
        Err(error) => finding("tmux", false, error.to_string(), "install tmux 3.2 or newer"),
    }
}

/// Workspaces that take more of the disk than they may, as far as they were measured.
async fn disks(node: &Node) -> Vec<Finding> {
    let all = workspace::list(node, false).await.unwrap_or_default();
    let measured = all.iter().filter_map(|it| Some((it, it.size?)));
    let over = measured.filter(|(it, size)| size.exceeds(&it.limits));
    over.map(|(it, size)| {
        let (name, takes) = (&it.name, size.total() >> 20);
        let detail = format!("`{name}` takes {takes} MiB; its limits are {}", it.limits);
        let fix = format!(
            "remove something in it, or let it have more: `dwell ws resize {name} disk=<size>`"
        );
        finding("disk of a workspace", false, detail, &fix)
    })
    .collect()
}

/// Whether the Android emulator could work, which few need: not a fault where it cannot.
fn android() -> Finding {
    let detail = match workspace::kvm() {
        None => "workspaces may have it: /dev/kvm is here".to_owned(),
        Some((why, hint)) => format!("workspaces cannot have it: {why}; {hint}"),
    };
    finding("Android emulator", true, detail, "")
}

/// Whether services on other nodes are found at their ports below 1024.
fn low_ports(node: &Node) -> Option<Finding> {
    let what = "ports below 1024";
    let wanted = node.remotes.privileged_ports();
    if wanted.is_empty() || cfg!(not(target_os = "linux")) {
        return None;
    }
    let binary = own::path().unwrap_or_default();
    let facts = dwell_net::setup::port_facts(Path::new("/"), &binary);
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let lowest = wanted.first().copied().unwrap_or_default();
    if ports::process_may_bind(&status) || facts.first <= lowest {
        return Some(finding(what, true, "services on other nodes have them", ""));
    }
    let wanted: Vec<String> = wanted.iter().map(ToString::to_string).collect();
    let detail =
        format!("the daemon may not listen on {}: they are {RAISED} higher", wanted.join(", "));
    let fix = if facts.given {
        "`dwell node stop`: the next command starts a daemon that may"
    } else {
        "run `dwell setup`, also after each upgrade of dwell"
    };
    Some(finding(what, false, detail, fix))
}

/// The way of a name that is published now, from the resolver to the answer.
async fn own_names(node: &Node) -> Vec<Finding> {
    let Some(server) = node.listeners.dns() else { return Vec::new() };
    let mut name = None;
    for environment in node.store.environments().await.unwrap_or_default() {
        let seen = node.see(&environment).await;
        name = seen.services.iter().find_map(|service| service.names.last().cloned());
        if name.is_some() {
            break;
        }
    }
    let Some(name) = name else {
        let detail = "no environment runs, so there is no name to try";
        return vec![finding("names", true, detail, "")];
    };
    let inquiry =
        Inquiry { name: &name, suffixes: &node.listeners.suffixes(), server, root: Path::new("/") };
    let run = async |argv: &[&str]| -> Result<String, String> {
        let Some((program, arguments)) = argv.split_first() else { return Err(String::new()) };
        let program = Program::new(program).args(arguments).limit(Duration::from_secs(5));
        program.run().await.map(|finished| finished.text()).map_err(|e| e.to_string())
    };
    let found = explain(&inquiry, run).await;
    found
        .into_iter()
        .map(|f| Finding { what: f.what, ok: f.ok, detail: f.detail, fix: f.fix })
        .collect()
}

/// Containers that carry this node's label and belong to no environment that it knows.
async fn leftovers(node: &Node) -> Option<Finding> {
    let known = node.store.environments().await.ok()?;
    let labelled = format!("{}={}", label::NODE, node.id);
    let containers = node.engine.containers(&labelled).await.ok()?;
    let strays: Vec<String> = containers
        .iter()
        .filter(|c| c.environment.as_ref().is_some_and(|id| !known.iter().any(|e| e.id == *id)))
        .map(|c| c.name.clone())
        .collect();
    let fix = format!("look at them, then remove them with `docker rm -f {}`", strays.join(" "));
    Some(if strays.is_empty() {
        finding("leftovers", true, "none", "")
    } else {
        finding(
            "leftovers",
            false,
            match strays.len() {
                1 => "1 container of an unknown environment".to_owned(),
                count => format!("{count} containers of unknown environments"),
            },
            &fix,
        )
    })
}
