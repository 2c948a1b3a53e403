//! Nodes as people see them.

use dwell_api::remote::{LinkState, Machine, Pong, RemoteNode};
use dwell_core::NodeName;
use dwell_core::prepare::Program;
use dwell_drivers::deploy::Facts;

use super::show::{age, counted};
use super::{Style, Table};
use crate::command::remote::{Brought, Status};

/// A clock that is off by less is not worth a word, in microseconds.
const SKEW: i64 = 2_000_000;

/// The list of nodes.
pub(crate) fn nodes(all: &[RemoteNode], now: i64, style: Style) -> String {
    if all.is_empty() {
        return "no nodes yet: `dwell remote add <name> --host <host>` registers one\n".to_owned();
    }
    let heading = ["NODE", "HOST", "LINK", "VIA", "ROUND TRIP", "VERSION", "ENVIRONMENTS", "SEEN"];
    let mut table = Table::new(&heading).states(2);
    let mut text = String::new();
    for node in all {
        let (state, via, trip) = match &node.link {
            LinkState::Up { via, latency, .. } => ("up", via.clone(), millis(*latency)),
            LinkState::Connecting => ("connecting", String::new(), String::new()),
            LinkState::Down { .. } => ("down", String::new(), String::new()),
        };
        table.row(vec![
            node.remote.name.to_string(),
            node.remote.place(),
            state.to_owned(),
            via,
            trip,
            node.hello.as_ref().map(|hello| hello.version.clone()).unwrap_or_default(),
            node.environments.to_string(),
            node.seen.map(|seen| age(seen, now)).unwrap_or_default(),
        ]);
        text += &trouble(node, style);
    }
    table.render(style) + &text
}

/// Why a node's link is down, what to do, and what else there is to know.
fn trouble(node: &RemoteNode, style: Style) -> String {
    let name = &node.remote.name;
    let mut text = String::new();
    if let LinkState::Down { why, fix } = &node.link {
        text += &format!("{} {name}: {why}\n", style.red("down:"));
        if let Some(fix) = fix {
            text += &format!("  {} {fix}\n", style.yellow("fix:"));
        }
    }
    if let LinkState::Up { better: Some(why), .. } = &node.link {
        text += &format!("{} {name}: {why}\n", style.yellow("note:"));
    }
    for note in &node.notes {
        text += &format!("{} {name}: {note}\n", style.yellow("note:"));
    }
    text
}

/// A measured round trip.
pub(crate) fn pong(name: &NodeName, pong: &Pong) -> String {
    format!("{name}: {} over {}\n", millis(pong.round_trip), pong.via)
}

/// A node that was just added.
pub(crate) fn added(node: &RemoteNode, facts: &Facts, style: Style) -> String {
    let name = style.bold(node.remote.name.as_str());
    let link = match &node.link {
        LinkState::Up { via, latency, .. } => format!("over {via}, {}", millis(*latency)),
        _ => "not linked yet".to_owned(),
    };
    let version = node.hello.as_ref().map(|hello| hello.version.as_str()).unwrap_or_default();
    let docker = facts.machine.programs.get(&Program::Docker).filter(|_| facts.machine.engine);
    let engine = docker.map(|version| format!(", Docker {version}")).unwrap_or_default();
    format!("{name} is ready: dwell {version} on {}, {link}{engine}\n", facts.host)
}

/// What a node lacks, a line each.
pub(crate) fn missing(facts: &Facts, name: &NodeName) -> Vec<String> {
    let machine = &facts.machine;
    let needed = Program::ALL.into_iter().filter(|program| *program != Program::Caddy);
    let mut lacks: Vec<String> = needed
        .filter(|program| !machine.has(*program))
        .map(|program| format!("{program} {} or newer", program.oldest()))
        .collect();
    if machine.has(Program::Docker) && !machine.engine {
        lacks.push("a Docker engine that answers its user".to_owned());
    }
    let line =
        |what: String| format!("{name} lacks {what}: `dwell remote init {name}` prepares it");
    lacks.into_iter().map(line).collect()
}

/// What became of dwell on a node.
pub(crate) fn brought(it: &Brought) -> String {
    match (&it.from, it.changed) {
        (_, false) => format!("{} has dwell {} already", it.node, it.to),
        (Some(from), true) if *from != it.to => {
            format!("{} has dwell {} now, and had {from}", it.node, it.to)
        }
        (_, true) => format!("{} has this dwell {} now", it.node, it.to),
    }
}

/// What goes on where a node is forgotten.
pub(crate) fn left_behind(node: &RemoteNode) -> String {
    let count = counted(node.environments, "environment");
    format!("{count} of {} will go on there, and be out of reach from here", node.remote.name)
}

/// What nodes have left.
pub(crate) fn machines(all: &[Status], now: i64, style: Style) -> String {
    let parts: Vec<String> = all.iter().map(|status| machine(status, now, style)).collect();
    parts.join("\n")
}

fn machine(status: &Status, now: i64, style: Style) -> String {
    let name = style.bold(status.node.as_str());
    match (&status.machine, &status.error) {
        (Some(machine), _) => {
            let lines = facts_of(machine, now).into_iter();
            let line =
                |(what, value): (&str, String)| format!("  {:<14}{value}\n", format!("{what}:"));
            format!("{name}: {}, dwell {}\n", machine.host, machine.version)
                + &lines.map(line).collect::<String>()
        }
        (None, Some(problem)) => {
            let fix =
                problem.hint.as_ref().map(|hint| format!("  {} {hint}\n", style.yellow("fix:")));
            format!("{name}: {} {}\n", style.red("unknown:"), problem.message)
                + &fix.unwrap_or_default()
        }
        (None, None) => String::new(),
    }
}

/// What is known of a machine, by name.
fn facts_of(machine: &Machine, now: i64) -> Vec<(&'static str, String)> {
    let capacity = &machine.capacity;
    let mut facts = Vec::new();
    if let Some(cpus) = capacity.cpus {
        let load = capacity.load.map(|load| format!(", load {load:.2}")).unwrap_or_default();
        facts.push(("processors", format!("{cpus}{load}")));
    }
    for (what, amount) in [("memory", capacity.memory), ("disk", capacity.disk)] {
        if let Some(amount) = amount {
            facts.push((what, format!("{} of {} free", size(amount.free), size(amount.total))));
        }
    }
    let users = machine.environments.iter().map(|(user, count)| format!("{user} {count}"));
    let users: Vec<String> = users.collect();
    facts.push(("environments", if users.is_empty() { "none".into() } else { users.join(", ") }));
    if let Some(free) = capacity.free_subnets {
        facts.push(("free subnets", free.to_string()));
    }
    let skew = machine.clock.saturating_sub(now);
    if skew.abs() > SKEW {
        let way = if skew > 0 { "ahead of" } else { "behind" };
        facts.push(("clock", format!("{} {way} this machine's", age(0, skew.abs()))));
    }
    facts
}

/// A time in microseconds.
fn millis(micros: u64) -> String {
    format!("{}.{} ms", micros / 1000, micros % 1000 / 100)
}

/// A number of bytes for people: `831 MiB`, `12.5 GiB`.
pub(crate) fn size(bytes: u64) -> String {
    const GIB: u64 = 1 << 30;
    match bytes {
        0..GIB => format!("{} MiB", bytes.div_ceil(1 << 20)),
        _ => format!("{}.{} GiB", bytes / GIB, bytes % GIB * 10 / GIB),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use dwell_api::remote::Hello;
    use dwell_api::{Code, Problem};
    use dwell_core::admission::{Amount, Capacity};
    use dwell_core::remote::Remote;

    const NOW: i64 = 1_700_000_000_000_000;

    fn node(name: &str, link: LinkState) -> RemoteNode {
        let remote = Remote::new(name.parse().unwrap(), "me@h:22".parse().unwrap()).unwrap();
        RemoteNode {
            remote,
            link,
            hello: None,
            environments: 2,
            seen: Some(NOW - 5_000_000),
            notes: vec!["port 80 takes `dwell setup`".into()],
        }
    }

    #[test]
    fn nodes_are_listed_with_what_is_wrong() {
        let link = LinkState::Up { via: "ssh".into(), since: 0, latency: 12_345, better: None };
        let mut up = node("a", link);
        let version = "0.1.0".to_owned();
        let id = "abcdefghij".parse().unwrap();
        up.hello = Some(Hello { node: id, version, user: "me".into(), clock: 0 });
        up.notes.clear();
        let down =
            LinkState::Down { why: "connection refused".into(), fix: Some("start it".into()) };
        insta::assert_snapshot!(nodes(&[up, node("b", down)], NOW, Style::PLAIN), @r"
        NODE  HOST     LINK  VIA  ROUND TRIP  VERSION  ENVIRONMENTS  SEEN
        a     me@h:22  up    ssh  12.3 ms     0.1.0    2             5s
        b     me@h:22  down  -    -           -        2             5s
        down: b: connection refused
          fix: start it
        note: b: port 80 takes `dwell setup`
        ");
        assert!(nodes(&[], NOW, Style::PLAIN).contains("remote add"));
    }

    #[test]
    fn machines_are_told_with_those_that_do_not_answer() {
        let gib = 1_u64 << 30;
        let capacity = Capacity {
            cpus: Some(8),
            load: Some(0.5),
            memory: Some(Amount { total: 32 * gib, free: 12 * gib + gib / 2 }),
            disk: Some(Amount { total: 100 * gib, free: 831 << 20 }),
            free_subnets: Some(61),
            environments: Some(3),
        };
        let machine = Machine {
            host: "box".into(),
            version: "0.1.0".into(),
            capacity,
            environments: vec![("alice".into(), 2), ("bob".into(), 1)],
            clock: NOW + 90_000_000,
            boot: None,
        };
        let well = Status { node: "a".parse().unwrap(), machine: Some(machine), error: None };
        let problem =
            Problem::new(Code::NodeUnreachable, "node `b` cannot be reached").hint("wait");
        let ill = Status { node: "b".parse().unwrap(), machine: None, error: Some(problem) };
        insta::assert_snapshot!(machines(&[well, ill], NOW, Style::PLAIN), @r"
        a: box, dwell 0.1.0
          processors:   8, load 0.50
          memory:       12.5 GiB of 32.0 GiB free
          disk:         831 MiB of 100.0 GiB free
          environments: alice 2, bob 1
          free subnets: 61
          clock:        1m ahead of this machine's

        b: unknown: node `b` cannot be reached
          fix: wait
        ");
    }
}
