//! A person's settings on their way into workspaces, as people see them.

use std::fmt::Write as _;

use dwell_core::settings::Fate;

use super::{Style, Table};
use crate::command::config::push::{Gathered, Place, Told};

/// What became of settings.
pub(crate) fn pushed(told: &Told, style: Style) -> String {
    let mut text = gathered(&told.gathered, style);
    if told.workspaces.is_empty() {
        text.push_str("no workspaces to bring it to: `dwell ws create <name>` makes one\n");
    }
    for place in &told.workspaces {
        text.push_str(&one(place, told.dry_run, style));
    }
    text
}

/// What there is to know of the settings themselves.
pub(crate) fn gathered(it: &Gathered, style: Style) -> String {
    let mut text = String::new();
    for report in &it.reports {
        let mut lines: Vec<String> =
            report.replaced.iter().map(|path| format!("{} -> {}", path.from, path.to)).collect();
        lines.extend(
            report
                .withheld
                .iter()
                .map(|key| format!("{key} is left out: it is a secret (--include-keys brings it)")),
        );
        lines.extend(report.troubles.clone());
        if !lines.is_empty() {
            // Writing to a String cannot fail.
            let _ = writeln!(text, "{}", style.bold(&format!("~/{}", report.path)));
            lines.iter().for_each(|line| text.push_str(&format!("  {line}\n")));
        }
    }
    for left in &it.left_out {
        let _ =
            writeln!(text, "{}\n  left out: {}", style.bold(&format!("~/{}", left.path)), left.why);
    }
    text
}

fn one(place: &Place, dry_run: bool, style: Style) -> String {
    let name = style.bold(&place.workspace);
    if let Some(problem) = &place.problem {
        return format!("{name}: {problem}\n");
    }
    if place.pushed.waiting {
        let when = if dry_run { "would get it" } else { "gets it" };
        return format!("{name} does not run and {when} when it runs again\n");
    }
    let files = &place.pushed.files;
    let changed = files.iter().filter(|file| file.fate.is_change()).count();
    let same = files.iter().filter(|file| file.fate == Fate::Same).count();
    let verb = if dry_run { "would change" } else { "changed" };
    let mut text = format!("{name}: {changed} files {verb}, {same} are there already\n");
    let mut table = Table::new(&["FILE", "WHAT"]);
    for file in files.iter().filter(|file| file.fate != Fate::Same) {
        table.row(vec![format!("~/{}", file.path), file.fate.as_str().to_owned()]);
    }
    if changed + same != files.len() || changed > 0 {
        text.push_str(&table.render(style));
    }
    for program in &place.pushed.missing {
        let (program, file) = (&program.program, &program.file);
        let _ = writeln!(text, "  {program} is not in {}: ~/{file} runs it", place.workspace);
    }
    text
}
