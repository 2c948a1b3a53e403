//! Forwards and ports as people see them.

use std::net::SocketAddr;

use dwell_api::forward::Forward;
use dwell_core::forward::Place;
use dwell_core::listening::Listener;

use super::show::age;
use super::{Style, Table};

/// A line for each: where it listens, and where it leads.
pub(crate) fn lines<'a>(all: impl Iterator<Item = (SocketAddr, &'a Place, u16)>) -> String {
    all.map(|(listen, place, port)| format!("{listen} -> {place}:{port}\n")).collect()
}

/// The list of forwards.
pub(crate) fn list(all: &[Forward], now: i64, style: Style) -> String {
    if all.is_empty() {
        return "the daemon holds no forwards: `dwell forward <workspace> <port> --detach`\n"
            .into();
    }
    let mut table = Table::new(&["LOCAL", "LEADS TO", "STATUS", "AGE", "LAST TROUBLE"]).states(2);
    for it in all {
        let status =
            it.failed.as_ref().map_or("running".to_owned(), |why| format!("failed: {why}"));
        table.row(vec![
            it.listen.to_string(),
            format!("{}:{}", it.place, it.port),
            status,
            age(it.created, now),
            it.trouble.clone().unwrap_or_default(),
        ]);
    }
    table.render(style)
}

/// What listens in a workspace.
pub(crate) fn ports(all: &[Listener], style: Style) -> String {
    if all.is_empty() {
        return "nothing listens\n".to_owned();
    }
    let mut table = Table::new(&["PORT", "ADDRESS", "PROCESS", "PID"]);
    for it in all {
        table.row(vec![
            it.port.to_string(),
            it.address.to_string(),
            it.process.clone().unwrap_or_default(),
            it.pid.map(|pid| pid.to_string()).unwrap_or_default(),
        ]);
    }
    table.render(style)
}
