//! What objects look like to people. Pure: values in, text out.

use dwell_api::Problem;
use dwell_api::environment::{Environment, Losses, Service, ServiceRole, TrustState};
use dwell_api::moving::{MovePlan, MovedVolume, VolumeFate};
use dwell_api::node::{Finding, Node};
use dwell_api::session::{Session, SessionStatus};
use dwell_core::NodeName;

use super::{Style, Table};

/// A problem with its details, what to do, and its code.
pub(crate) fn problem(problem: &Problem, style: Style) -> String {
    let mut text = format!("{} {}\n", style.red("error:"), problem.message);
    for detail in problem.details.iter().flat_map(|detail| detail.lines()) {
        text += &format!("  {detail}\n");
    }
    if let Some(hint) = &problem.hint {
        text += &format!("{} {hint}\n", style.yellow("hint:"));
    }
    text += &format!("{}\n", style.dim(&format!("({})", problem.code.as_str())));
    text
}

/// The list of environments.
pub(crate) fn environments(all: &[Environment], now: i64, style: Style) -> String {
    if all.is_empty() {
        return "no environments yet: `dwell up <name>` in a project makes one\n".to_owned();
    }
    let heading =
        ["NAME", "PROJECT", "NODE", "STATUS", "SERVICES", "SESSIONS", "URL", "BRANCH", "AGE"];
    let mut table = Table::new(&heading).states(3);
    let elsewhere = all.iter().any(|environment| nodes(environment) != LOCAL);
    for environment in all {
        table.row(vec![
            environment.name.to_string(),
            environment.project.to_string(),
            if elsewhere { nodes(environment) } else { String::new() },
            environment.status.as_str().to_owned(),
            running(&environment.services),
            if environment.sessions == 0 {
                String::new()
            } else {
                environment.sessions.to_string()
            },
            environment.url.clone().unwrap_or_default(),
            environment.branch.clone().unwrap_or_default(),
            age(environment.created, now),
        ]);
    }
    table.render(style)
}

const LOCAL: &str = "local";

/// The nodes of an environment, its home first: `local`, `staging`, `local, staging`.
fn nodes(environment: &Environment) -> String {
    let home = environment.node.as_ref().map_or(LOCAL, NodeName::as_str);
    let mut all = vec![home];
    for node in environment.services.iter().filter_map(|service| service.node.as_ref()) {
        if !all.contains(&node.as_str()) {
            all.push(node.as_str());
        }
    }
    all.join(", ")
}

fn running(services: &[Service]) -> String {
    let up = services.iter().filter(|s| s.replicas.1 > 0 && s.replicas.0 >= s.replicas.1).count();
    if services.is_empty() { String::new() } else { format!("{up}/{}", services.len()) }
}

/// One environment with its services.
pub(crate) fn environment(it: &Environment, now: i64, style: Style) -> String {
    let mut lines = vec![
        ("environment", format!("{} of project {}", style.bold(it.name.as_str()), it.project)),
        ("node", it.node.as_ref().map(ToString::to_string).unwrap_or_default()),
        ("status", style.state(it.status.as_str())),
        ("last seen", it.seen.map(|at| format!("{} ago", age(at, now))).unwrap_or_default()),
        ("url", it.url.clone().unwrap_or_default()),
        ("tree", it.tree.display().to_string()),
        ("source", it.source.display().to_string()),
        ("branch", it.branch.clone().unwrap_or_default()),
        ("subnets", it.subnets.join(", ")),
        ("sessions", it.sessions.to_string()),
        ("created", format!("{} ago", age(it.created, now))),
        ("id", format!("{}, generation {}", it.id, it.generation)),
    ];
    lines.retain(|(_, value)| !value.is_empty());
    let mut text: String =
        lines.iter().map(|(name, value)| format!("{:<13}{value}\n", format!("{name}:"))).collect();
    if !it.services.is_empty() {
        text.push('\n');
        text += &services(&it.services, style);
    }
    for note in &it.notes {
        text += &format!("\n{} {note}", style.yellow("note:"));
    }
    text
}

/// The services of an environment.
pub(crate) fn services(all: &[Service], style: Style) -> String {
    let heading = ["SERVICE", "NODE", "STATE", "HEALTH", "NAME", "ADDRESS", "PORTS", "URL"];
    let mut table = Table::new(&heading).states(2);
    let elsewhere = all.iter().any(|service| service.node.is_some());
    for service in all {
        let shared = if service.role == ServiceRole::Shared { " (shared)" } else { "" };
        let replicas = match service.replicas {
            (up, wanted) if wanted > 1 => format!(" {up}/{wanted}"),
            _ => String::new(),
        };
        table.row(vec![
            format!("{}{shared}", service.name),
            match &service.node {
                Some(node) => node.to_string(),
                None if elsewhere => LOCAL.to_owned(),
                None => String::new(),
            },
            format!("{}{replicas}", service.state),
            service.health.clone().unwrap_or_default(),
            service.names.first().cloned().unwrap_or_default(),
            service.addresses.join(","),
            service.ports.join(","),
            service.url.clone().unwrap_or_default(),
        ]);
    }
    table.render(style)
}

/// What an `up` left: its services and where to look.
pub(crate) fn brought_up(it: &Environment, summary: &str, style: Style) -> String {
    let mut text = String::new();
    if !it.services.is_empty() {
        text += &services(&it.services, style);
        text.push('\n');
    }
    let summary = if summary.is_empty() {
        format!("{} of {} is {}", it.name, it.project, it.status.as_str())
    } else {
        summary.to_owned()
    };
    text += &summary;
    if let Some(url) = &it.url {
        text += &format!(": {}", style.bold(url));
    }
    text.push('\n');
    text
}

/// The list of sessions.
pub(crate) fn sessions(all: &[Session], now: i64, style: Style) -> String {
    if all.is_empty() {
        return "no sessions: `dwell run <agent> <env>` starts one\n".to_owned();
    }
    let heading =
        ["SESSION", "WORKSPACE", "ENV", "PROJECT", "NODE", "STATUS", "ATTACHED", "AGE", "COMMAND"];
    let mut table = Table::new(&heading).states(5);
    for session in all {
        table.row(vec![
            session.name.to_string(),
            session.workspace_name.as_ref().map(ToString::to_string).unwrap_or_default(),
            session.environment_name.as_ref().map(ToString::to_string).unwrap_or_default(),
            session.project.as_ref().map(ToString::to_string).unwrap_or_default(),
            session.node.as_ref().map(ToString::to_string).unwrap_or_default(),
            session_state(session),
            if session.attached == 0 { String::new() } else { session.attached.to_string() },
            age(session.started, now),
            shorten(&command_line(&session.command), 60),
        ]);
    }
    table.render(style)
}

fn session_state(session: &Session) -> String {
    match (session.status, session.exit_code) {
        (SessionStatus::Running, _) => match (session.state, session.restored) {
            (Some(state), true) => format!("{} (restored)", state.as_str()),
            (Some(state), false) => state.as_str().to_owned(),
            (None, true) => "running (restored)".to_owned(),
            (None, false) => "running".to_owned(),
        },
        (SessionStatus::Ended, Some(code)) => format!("ended ({code})"),
        (SessionStatus::Ended, None) => "ended".to_owned(),
        (SessionStatus::Lost, _) => "lost".to_owned(),
    }
}

/// A command line as one would type it.
pub(crate) fn command_line(words: &[String]) -> String {
    words.iter().map(|word| quote(word)).collect::<Vec<_>>().join(" ")
}

/// A word quoted for a shell where it needs to be.
pub(crate) fn quote(word: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_./:=@%+,".contains(c);
    if !word.is_empty() && word.chars().all(plain) {
        word.to_owned()
    } else {
        format!("'{}'", word.replace('\'', r"'\''"))
    }
}

fn shorten(text: &str, limit: usize) -> String {
    let text = text.replace(char::is_control, " ");
    if text.chars().count() <= limit {
        return text;
    }
    text.chars().take(limit.saturating_sub(1)).chain(['…']).collect()
}

/// What destroying would lose, a line each; empty when nothing.
pub(crate) fn losses(losses: &Losses) -> Vec<String> {
    let mut lines = Vec::new();
    if !losses.uncommitted.is_empty() {
        lines.push(format!("uncommitted work: {}", some_of(&losses.uncommitted)));
    }
    match losses.unmerged_commits {
        0 => {}
        1 => lines.push("1 commit that is nowhere else".to_owned()),
        count => lines.push(format!("{count} commits that are nowhere else")),
    }
    if !losses.submodules.is_empty() {
        lines.push(format!("work in submodules: {}", some_of(&losses.submodules)));
    }
    if !losses.sessions.is_empty() {
        lines.push(format!("running sessions: {}", some_of(&losses.sessions)));
    }
    if !losses.volumes.is_empty() {
        lines.push(format!("volumes: {}", some_of(&losses.volumes)));
    }
    lines
}

/// What a move would do, a line for each thing.
pub(crate) fn move_plan(environment: &Environment, plan: &MovePlan, whole: bool) -> String {
    let label = format!("{} of project {}", environment.name, environment.project);
    let to = &plan.to;
    if plan.nothing_to_do {
        return format!("{label}: all of it is on {to} already\n");
    }
    let home = environment.node.as_ref().map_or(LOCAL, NodeName::as_str);
    let mut text = if whole {
        format!("{label} moves from {home} to {to}\n")
    } else {
        let names: Vec<String> =
            plan.services.iter().map(|(s, from)| format!("{s} ({from})")).collect();
        format!("{label}: {} to {to}\n", names.join(", "))
    };
    for volume in &plan.volumes {
        let MovedVolume { name, node, fate } = volume;
        text += &match fate {
            VolumeFate::Moves => format!("  volume {name}: its data goes along\n"),
            VolumeFate::Replaces => {
                format!("  volume {name}: its data goes along and replaces that on {to}\n")
            }
            VolumeFate::Stays => {
                format!("  volume {name}: its data stays on {node} (--with-volumes carries it)\n")
            }
            VolumeFate::Lost => {
                format!("  volume {name}: its data is lost (--with-volumes carries it)\n")
            }
            VolumeFate::Elsewhere => {
                format!("  volume {name}: its data is kept outside the engine and stays there\n")
            }
        };
    }
    if !plan.sessions.is_empty() {
        text += &format!("  running sessions end: {}\n", some_of(&plan.sessions));
    }
    for loss in &plan.losses {
        text += &format!("  lost: {loss}\n");
    }
    text
}

fn some_of(all: &[String]) -> String {
    let mut text = all.iter().take(5).cloned().collect::<Vec<_>>().join(", ");
    if all.len() > 5 {
        text += &format!(" and {} more", all.len() - 5);
    }
    text
}

/// The daemon and its parts.
pub(crate) fn node(node: &Node, now: i64, style: Style) -> String {
    let mut text = format!(
        "node {} runs dwell {} (process {}) for {}, {}\n\n",
        node.id,
        node.version,
        node.pid,
        age(node.started, now),
        counted(node.environments, "environment")
    );
    for part in &node.parts {
        text += &check(&part.name, part.ok, &part.detail, part.fix.as_deref(), style);
    }
    text
}

/// A number of things: `1 environment`, `2 environments`.
pub(crate) fn counted(count: impl Into<u64>, what: &str) -> String {
    let count = count.into();
    let plural = if count == 1 { "" } else { "s" };
    format!("{count} {what}{plural}")
}

/// What `doctor` found.
pub(crate) fn findings(findings: &[Finding], style: Style) -> String {
    let line = |f: &Finding| check(&f.what, f.ok, &f.detail, f.fix.as_deref(), style);
    findings.iter().map(line).collect()
}

fn check(what: &str, ok: bool, detail: &str, fix: Option<&str>, style: Style) -> String {
    let sign = if ok { style.green("✓") } else { style.red("✗") };
    let mut text = format!("{sign} {}: {detail}\n", style.bold(what));
    if let Some(fix) = fix.filter(|_| !ok) {
        text += &format!("  {} {fix}\n", style.yellow("fix:"));
    }
    text
}

/// What a project wants to run.
pub(crate) fn trust(state: &TrustState, style: Style) -> String {
    if state.commands.is_empty() {
        return format!("{} has no commands that need trust\n", state.source.display());
    }
    let mut text = format!("{} wants to run:\n", state.source.display());
    for command in &state.commands {
        text += &format!("  {command}\n");
    }
    let word = if state.trusted { style.green("trusted") } else { style.yellow("not trusted") };
    text + &word + "\n"
}

/// The time since an instant, both in microseconds since the Unix epoch: `5s`, `3m`, `2h`, `9d`.
pub(crate) fn age(from: i64, now: i64) -> String {
    let seconds = now.saturating_sub(from).max(0) / 1_000_000;
    match seconds {
        0..60 => format!("{seconds}s"),
        60..3600 => format!("{}m", seconds / 60),
        3600..172_800 => format!("{}h", seconds / 3600),
        _ => format!("{}d", seconds / 86_400),
    }
}
