//! The health of other nodes: one finding each, from what the link and the node itself tell.

use std::time::Duration;

use dwell_api::node::{Finding, Node as Shown};
use dwell_api::remote::{LinkState, Machine, RemoteNode};
use dwell_api::{ClientError, Problem, endpoint};
use dwell_core::NodeName;
use dwell_core::admission::{Demand, Severity, concerns, size};
use dwell_core::remote::Transport;
use futures_util::future::join_all;
use tokio::time::{Instant, timeout_at};

use super::names;
use crate::node::Node;

/// How long everything about one node may take.
const LIMIT: Duration = Duration::from_secs(2);
/// A clock that is off by more makes files and certificates look wrong, in microseconds.
const SKEW: i64 = 60_000_000;

/// What a node tells of itself.
struct Told {
    node: Shown,
    machine: Machine,
    /// This node's clock when it answered, in microseconds since the Unix epoch.
    at: i64,
}

/// Looks at all registered nodes at once, and at the names of what runs there.
pub(super) async fn examine(node: &Node) -> Vec<Finding> {
    let looks = node.remotes.names().into_iter().map(|name| async move {
        let limit = Instant::now() + LIMIT;
        // A link that is just being made says nothing yet.
        let Ok(peer) = node.remotes.peer(&name) else { return Vec::new() };
        let _ = timeout_at(limit, peer.tried()).await;
        let shown = node.remotes.show(&peer);
        if !matches!(shown.link, LinkState::Up { .. }) {
            return vec![judge(&shown, None, env!("CARGO_PKG_VERSION"))];
        }
        let (told, names) =
            tokio::join!(timeout_at(limit, ask(node, &name)), names::examine(node, &name, limit));
        let late = || format!("no answer within {} s", LIMIT.as_secs());
        let told = told.unwrap_or_else(|_| Err(late()));
        let mut findings = vec![judge(&shown, Some(told), env!("CARGO_PKG_VERSION"))];
        findings.extend(names);
        findings
    });
    join_all(looks).await.into_iter().flatten().collect()
}

async fn ask(node: &Node, name: &NodeName) -> Result<Told, String> {
    let of_node = async {
        let mut client = node.remotes.client(name).await?;
        client.get::<Shown>(endpoint::NODE).await.map_err(ClientError::into_problem)
    };
    let of_machine = async {
        let mut client = node.remotes.client(name).await?;
        let machine = client.get::<Machine>(endpoint::MACHINE).await;
        Ok::<_, Problem>((machine.map_err(ClientError::into_problem)?, node.now()))
    };
    let both = tokio::try_join!(of_node, of_machine);
    let (node, (machine, at)) = both.map_err(|problem| problem.message)?;
    Ok(Told { node, machine, at })
}

/// What was found out about a node, put together.
#[derive(Default)]
struct Report {
    /// What is wrong, before what is well.
    bad: Vec<String>,
    well: Vec<String>,
    fixes: Vec<String>,
}

impl Report {
    fn well(&mut self, text: impl Into<String>) {
        self.well.push(text.into());
    }

    fn bad(&mut self, text: impl Into<String>, fix: impl Into<String>) {
        self.bad.push(text.into());
        self.fixes.push(fix.into());
    }

    fn finding(self, name: &NodeName) -> Finding {
        let fix = self.fixes.into_iter().filter(|fix| !fix.is_empty()).collect::<Vec<_>>();
        Finding {
            what: format!("node {name}"),
            ok: self.bad.is_empty(),
            detail: self.bad.into_iter().chain(self.well).collect::<Vec<_>>().join("; "),
            fix: (!fix.is_empty()).then(|| fix.join("; ")),
        }
    }
}

/// Judges a node by its link and what it told, where that is up. `own` is this node's version.
fn judge(shown: &RemoteNode, told: Option<Result<Told, String>>, own: &str) -> Finding {
    let name = &shown.remote.name;
    let mut report = Report::default();
    link(&mut report, shown);
    match told {
        Some(Ok(told)) => {
            version(&mut report, name, &told.machine.version, own);
            clock(&mut report, told.machine.clock.saturating_sub(told.at));
            engine(&mut report, name, &told.node);
            room(&mut report, &told.machine);
            let count = told.node.environments;
            report.well(format!("{count} environment{}", if count == 1 { "" } else { "s" }));
        }
        Some(Err(why)) => {
            let fix = "run `dwell node stop` there: the next link starts it anew";
            report.bad(format!("its daemon does not answer: {why}"), fix);
        }
        None => {
            if let Some(hello) = &shown.hello {
                version(&mut report, name, &hello.version, own);
            }
        }
    }
    report.finding(name)
}

fn link(report: &mut Report, shown: &RemoteNode) {
    let name = &shown.remote.name;
    match &shown.link {
        LinkState::Up { via, latency, better, .. } => {
            let trip = format!("{via}, {}.{} ms", latency / 1000, latency % 1000 / 100);
            let why = better.as_ref().map(|why| format!(" (not better: {why})"));
            let trip = trip + &why.unwrap_or_default();
            let wanted = shown.remote.transport == Transport::Mesh;
            if wanted && via != "mesh" {
                let fix = format!(
                    "bring the mesh up, or `dwell remote add {name} --transport auto` if ssh is as good"
                );
                report.bad(trip, fix);
            } else {
                report.well(trip);
            }
        }
        LinkState::Connecting => {
            report.bad("the link is still being made", format!("`dwell remote ping {name}`"));
        }
        LinkState::Down { why, fix } => {
            let usual = || format!("`dwell doctor --fix` or `dwell remote ping {name}` tries it");
            report.bad(format!("unreachable: {why}"), fix.clone().unwrap_or_else(usual));
        }
    }
}

fn version(report: &mut Report, name: &NodeName, theirs: &str, own: &str) {
    if theirs == own {
        return report.well(format!("dwell {theirs}"));
    }
    let fix = format!(
        "`dwell remote upgrade {name}` puts {own} there; where {theirs} is the newer one, install that here"
    );
    report.bad(format!("dwell {theirs} there and {own} here"), fix);
}

/// `skew` is by how much its clock is ahead, in microseconds.
fn clock(report: &mut Report, skew: i64) {
    if skew.abs() > SKEW {
        let way = if skew > 0 { "ahead" } else { "behind" };
        let text = format!("its clock is {} s {way}", skew.abs() / 1_000_000);
        report.bad(text, "set the clock of one of the two (`timedatectl set-ntp true`)");
    }
}

fn engine(report: &mut Report, name: &NodeName, node: &Shown) {
    let Some(part) = node.parts.iter().find(|part| part.name == "engine") else { return };
    if part.ok {
        return report.well("its engine answers");
    }
    let fix = format!("start Docker there; `dwell remote init {name}` installs it");
    report.bad(format!("its engine does not answer: {}", part.detail), fix);
}

fn room(report: &mut Report, machine: &Machine) {
    for concern in concerns(&machine.capacity, &Demand::default()) {
        match concern.severity {
            Severity::Short => report.bad(concern.text, "free some there"),
            Severity::Tight => report.well(concern.text),
        }
    }
    if let Some(disk) = machine.capacity.disk
        && !report.bad.iter().chain(&report.well).any(|text| text.starts_with("disk"))
    {
        report.well(format!("disk: {} free", size(disk.free)));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use dwell_api::node::Part;
    use dwell_core::admission::{Amount, Capacity};
    use dwell_core::remote::Remote;

    const NOW: i64 = 1_700_000_000_000_000;
    const GIB: u64 = 1 << 30;

    fn shown(link: LinkState) -> RemoteNode {
        RemoteNode {
            remote: Remote::new("box".parse().unwrap(), "h".parse().unwrap()).unwrap(),
            link,
            hello: None,
            environments: 2,
            seen: None,
            notes: Vec::new(),
        }
    }

    fn up(via: &str, better: Option<&str>) -> LinkState {
        let better = better.map(str::to_owned);
        LinkState::Up { via: via.to_owned(), since: 0, latency: 1234, better }
    }

    fn told(engine: bool, free: u64, ahead: i64) -> Told {
        let detail = if engine { "unix:///run/docker.sock" } else { "connection refused" };
        let part = Part { name: "engine".into(), ok: engine, detail: detail.into(), fix: None };
        let capacity =
            Capacity { disk: Some(Amount { total: 100 * GIB, free }), ..Capacity::default() };
        Told {
            node: Shown {
                id: "abcdefghij".parse().unwrap(),
                version: "0.1.0".into(),
                pid: 1,
                started: 0,
                environments: 2,
                parts: vec![part],
                dns: None,
                proxy: None,
                suffixes: Vec::new(),
            },
            machine: Machine {
                host: "box".into(),
                version: "0.1.0".into(),
                capacity,
                environments: Vec::new(),
                clock: NOW + ahead,
                boot: None,
            },
            at: NOW,
        }
    }

    fn text(finding: &Finding) -> String {
        let fix = finding.fix.as_ref().map(|fix| format!("\n  fix: {fix}")).unwrap_or_default();
        format!("{} {}: {}{fix}", finding.ok, finding.what, finding.detail)
    }

    #[test]
    fn a_node_that_is_well() {
        let found =
            judge(&shown(up("ssh", None)), Some(Ok(told(true, 40 * GIB, -59_000_000))), "0.1.0");
        assert_eq!(
            text(&found),
            "true node box: ssh, 1.2 ms; dwell 0.1.0; its engine answers; disk: 40 GiB free; \
             2 environments"
        );
    }

    #[test]
    fn everything_that_can_be_wrong_is_said_with_what_to_do() {
        let mut wanted = shown(up("ssh", Some("mesh: no address")));
        let found = judge(&wanted, Some(Ok(told(true, 40 * GIB, 0))), "0.1.0");
        assert!(found.ok && found.detail.contains("(not better: mesh: no address)"), "{found:?}");
        wanted.remote.transport = Transport::Mesh;
        let found = judge(&wanted, Some(Ok(told(false, GIB / 2, 61_000_000))), "0.2.0");
        assert_eq!(
            text(&found),
            "false node box: ssh, 1.2 ms (not better: mesh: no address); \
             dwell 0.1.0 there and 0.2.0 here; its clock is 61 s ahead; \
             its engine does not answer: connection refused; disk: 512 MiB of 100 GiB free; \
             2 environments\n  \
             fix: bring the mesh up, or `dwell remote add box --transport auto` if ssh is as good; \
             `dwell remote upgrade box` puts 0.2.0 there; where 0.1.0 is the newer one, install \
             that here; set the clock of one of the two (`timedatectl set-ntp true`); \
             start Docker there; `dwell remote init box` installs it; free some there"
        );
        let found =
            judge(&shown(up("mesh", None)), Some(Err("no answer within 2 s".into())), "0.1.0");
        assert_eq!(
            text(&found),
            "false node box: its daemon does not answer: no answer within 2 s; mesh, 1.2 ms\n  \
             fix: run `dwell node stop` there: the next link starts it anew"
        );
    }

    #[test]
    fn a_node_that_cannot_be_reached() {
        let down = LinkState::Down { why: "ssh: refused".into(), fix: None };
        assert_eq!(
            text(&judge(&shown(down), None, "0.1.0")),
            "false node box: unreachable: ssh: refused
  \
             fix: `dwell doctor --fix` or `dwell remote ping box` tries it"
        );
        assert!(!judge(&shown(LinkState::Connecting), None, "0.1.0").ok);
    }
}
