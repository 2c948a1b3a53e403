//! What holds a workspace awake, as people see it.

use dwell_api::idle::{HeldBy, Idle};

use super::show::age;
use super::{Style, Table};

/// Why a workspace is awake, and when it is put to sleep.
pub(crate) fn report(it: &Idle, now: i64, style: Style) -> String {
    let slept = if it.slept { ", put to sleep by dwell" } else { "" };
    let mut text = format!(
        "{}: {}{slept}\n  {}\n",
        style.bold(it.workspace.as_str()),
        style.state(it.status.as_str()),
        it.words
    );
    let policy = &it.policy;
    text.push_str(&format!(
        "  freeze after {}, stop after {}, needs input {}, attached {}, lifetime {}\n",
        policy.freeze_after,
        policy.stop_after,
        policy.needs_input,
        policy.attached,
        policy.lifetime
    ));
    if it.held.is_empty() {
        return text;
    }
    let mut table = Table::new(&["USE", "WHAT", "SINCE", "LAST", "HOLDS"]);
    for held in &it.held {
        table.row(row(held, now));
    }
    text.push('\n');
    text.push_str(&table.render(style));
    text
}

fn row(held: &HeldBy, now: i64) -> Vec<String> {
    let holds = if held.until > now {
        format!("{} more", age(now, held.until))
    } else {
        "no more".to_owned()
    };
    vec![
        held.kind.clone(),
        held.words.clone(),
        format!("{} ago", age(held.since, now)),
        format!("{} ago", age(held.last, now)),
        holds,
    ]
}
