//! Workspaces and their sessions as people see them without a screen.

use super::remote::size;
use super::show::age;
use super::{Style, Table};
use crate::command::connect::Found;

/// A row for each session, and one for each workspace without any.
pub(crate) fn list(all: &[Found], now: i64, style: Style) -> String {
    if all.is_empty() {
        return "no workspaces yet: `dwell ws create <name>` makes one\n".to_owned();
    }
    let heading = [
        "WORKSPACE",
        "STATUS",
        "NODE",
        "SIZE",
        "SESSION",
        "STATE",
        "WINDOWS",
        "AGENT",
        "AGE",
        "COMMAND",
    ];
    let mut table = Table::new(&heading).states(1);
    for it in all {
        let node = it.workspace.node.as_ref().map(ToString::to_string).unwrap_or_default();
        let taken = it.workspace.size.map(|it| size(it.total())).unwrap_or_default();
        let status = it.workspace.status.as_str().to_owned();
        let of = [it.workspace.name.to_string(), status, node, taken];
        if it.sessions.is_empty() {
            table.row([&of[..], &[const { String::new() }; 6]].concat());
        }
        for seen in &it.sessions {
            let state = match (seen.status(), seen.attached) {
                ("running", 0) => "detached".to_owned(),
                ("running", _) => "attached".to_owned(),
                (other, _) => other.to_owned(),
            };
            let session = [
                seen.name.clone(),
                state,
                seen.windows.map(|windows| windows.to_string()).unwrap_or_default(),
                seen.agent().unwrap_or_default(),
                age(seen.started, now),
                seen.command.join(" "),
            ];
            table.row([&of[..], &session].concat());
        }
    }
    table.render(style)
}
