//! Snapshots, setup steps and upgrade plans as people see them.

use dwell_api::snapshot::{Snapshot, UpgradePlan};
use dwell_core::workspace::SetupStep;

use super::remote::size;
use super::show::age;
use super::{Style, Table};

/// How many packages of a kind are named.
const NAMED: usize = 20;

/// The list of snapshots.
pub(crate) fn list(all: &[Snapshot], now: i64, style: Style) -> String {
    if all.is_empty() {
        return "no snapshots yet: `dwell ws snapshot create <workspace>` makes one\n".to_owned();
    }
    let mut table = Table::new(&["SNAPSHOT", "FILES", "HOME", "IMAGE", "AGE"]);
    for it in all {
        table.row(vec![
            it.name.to_string(),
            size(it.root_bytes),
            size(it.home_bytes),
            it.image.to_string(),
            age(it.created, now),
        ]);
    }
    table.render(style)
}

/// The list of setup steps.
pub(crate) fn steps(all: &[SetupStep], style: Style) -> String {
    if all.is_empty() {
        return "nothing is run again: `dwell ws setup add <workspace> -- <command>` records a \
                command\n"
            .to_owned();
    }
    let mut table = Table::new(&["NUMBER", "USER", "COMMAND"]);
    for (number, it) in all.iter().enumerate() {
        table.row(vec![(number + 1).to_string(), it.user.clone(), it.to_string()]);
    }
    table.render(style)
}

/// What an upgrade would do.
pub(crate) fn plan(plan: &UpgradePlan, _: Style) -> String {
    lines(plan).into_iter().map(|line| line + "\n").collect()
}

/// The same, a line each.
pub(crate) fn lines(plan: &UpgradePlan) -> Vec<String> {
    if !plan.changes {
        return vec![format!("it is made of {} as it is now already", plan.new_image)];
    }
    let short = |id: &str| id.trim_start_matches("sha256:").chars().take(12).collect::<String>();
    let mut lines = vec![
        format!("from: {} ({})", plan.old_image, short(&plan.old_id)),
        format!("to:   {} ({})", plan.new_image, short(&plan.new_id)),
        "stays: the home, the ssh host key, snapshots, limits, environments".to_owned(),
        "goes: processes, and what was changed outside the home".to_owned(),
    ];
    lines.extend(plan.steps.iter().map(|step| format!("runs again: {step}")));
    if let Some(why) = &plan.unknown {
        lines.push(format!("packages could not be compared: {why}"));
        return lines;
    }
    let packages = &plan.packages;
    let named = |list: &[(String, String)]| {
        list.iter().map(|(name, version)| format!("{name} {version}")).collect()
    };
    let changed = packages.changed.iter().map(|(name, old, new)| format!("{name} {old} -> {new}"));
    told(&mut lines, "gone, unless run again", named(&packages.lost));
    told(&mut lines, "new", named(&packages.gained));
    told(&mut lines, "other version", changed.collect());
    lines
}

fn told(lines: &mut Vec<String>, what: &str, all: Vec<String>) {
    let more = all.len().saturating_sub(NAMED);
    lines.extend(all.into_iter().take(NAMED).map(|package| format!("{what}: {package}")));
    if more > 0 {
        lines.push(format!("{what}: {more} more"));
    }
}
