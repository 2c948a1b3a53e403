//! Workspaces as people see them.

use dwell_api::pool::Pool;
use dwell_api::workspace::Workspace;
use dwell_core::workspace::{Limits, Size};

use super::remote::size as bytes;
use super::show::age;
use super::{Style, Table};

/// The list of workspaces.
pub(crate) fn list(all: &[Workspace], now: i64, style: Style) -> String {
    if all.is_empty() {
        return "no workspaces yet: `dwell ws create <name>` makes one\n".to_owned();
    }
    let heading = [
        "WORKSPACE",
        "STATUS",
        "NODE",
        "LIMITS",
        "SIZE",
        "ENVIRONMENTS",
        "IMAGE",
        "AGE",
        "HOME KEPT",
    ];
    let mut table = Table::new(&heading).states(1);
    for it in all {
        table.row(vec![
            it.name.to_string(),
            it.status.as_str().to_owned(),
            it.node.as_ref().map(ToString::to_string).unwrap_or_default(),
            it.limits.to_string(),
            it.size.map(|size| bytes(size.total())).unwrap_or_default(),
            environments(it),
            it.image.to_string(),
            age(it.created, now),
            it.kept_until.map(|until| age(now, until)).unwrap_or_default(),
        ]);
    }
    table.render(style)
}

fn environments(it: &Workspace) -> String {
    let names: Vec<String> = it
        .environments
        .iter()
        .map(|joined| format!("{}/{}", joined.project, joined.name))
        .collect();
    names.join(", ")
}

fn size(it: &Size, limits: &Limits, now: i64) -> String {
    let (home, changed) = (bytes(it.home), bytes(it.changed));
    let of = match limits.disk_mb.map(|most| bytes(most << 20)) {
        Some(most) if it.exceeds(limits) => format!(", more than its limit of {most}"),
        Some(most) => format!(", of {most}"),
        None => String::new(),
    };
    format!("home {home}, changed files {changed}{of}, {} ago", age(it.measured, now))
}

/// What waits to become one.
pub(crate) fn pool(pool: &Pool, style: Style) -> String {
    let trouble = pool.trouble.as_ref().map(|why| format!("nothing is made: {why}\n"));
    let trouble = trouble.unwrap_or_default();
    if pool.images.is_empty() {
        return format!("nothing waits: `[pool]` in config.toml says what should\n{trouble}");
    }
    let mut table = Table::new(&["IMAGE", "WANTED", "READY", "MEMORY", "NOTE"]);
    for it in &pool.images {
        let filling = it.filling.then(|| "one is being made".to_owned());
        table.row(vec![
            it.image.to_string(),
            it.wanted.to_string(),
            it.ready.to_string(),
            dwell_core::admission::size(it.memory),
            it.problem.clone().or(filling).unwrap_or_default(),
        ]);
    }
    format!("{}{trouble}", table.render(style))
}

/// One workspace.
pub(crate) fn one(it: &Workspace, now: i64, style: Style) -> String {
    let mut lines = vec![
        ("workspace", style.bold(it.name.as_str())),
        ("status", style.state(it.status.as_str())),
        ("node", it.node.as_ref().map(ToString::to_string).unwrap_or_default()),
        ("last seen", it.seen.map(|at| format!("{} ago", age(at, now))).unwrap_or_default()),
        ("limits", it.limits.to_string()),
        ("size", it.size.map(|taken| size(&taken, &it.limits, now)).unwrap_or_default()),
        ("environments", environments(it)),
        ("address", it.address.clone().unwrap_or_default()),
        ("image", it.image.to_string()),
        ("docker", if it.docker.is_none() { String::new() } else { it.docker.to_string() }),
        ("credentials", it.credentials.iter().map(|it| it.as_str()).collect::<Vec<_>>().join(", ")),
        ("container", it.container.clone()),
        ("home", it.home.clone()),
        ("host key", it.host_key.clone()),
        ("created", format!("{} ago", age(it.created, now))),
        ("id", format!("{}, generation {}", it.id, it.generation)),
    ];
    if let Some(until) = it.kept_until {
        lines.push(("home kept", format!("{} more", age(now, until))));
    }
    lines.retain(|(_, value)| !value.is_empty());
    lines.iter().map(|(name, value)| format!("{:<14}{value}\n", format!("{name}:"))).collect()
}
