//! `setup`: the system's resolver and the start of dwell with the machine; shown before it is
//! done, and taken back with `--undo`.

mod resolver;
mod service;
mod unit;

use dwell_api::{Code, Problem};
use serde_json::json;

use super::Context;
use crate::arguments::setup::Setup;
use crate::failure::Ended;
use resolver::Resolver;
use service::Service;

/// Sets the machine up, or takes that back.
pub(crate) async fn run(it: Setup, context: &Context) -> Ended {
    let output = &context.output;
    let resolver = if it.no_resolver { None } else { Some(Resolver::of_system(context).await?) };
    let service = if it.no_service { None } else { Service::of_system(&context.paths)? };
    if service.is_none() && !it.no_service {
        output.note("no systemd or launchd runs here: commands start dwell when they need it");
    }
    let mut changes = resolver.as_ref().map(|r| r.changes(it.undo)).unwrap_or_default();
    changes.extend(service.as_ref().map(|s| s.changes(it.undo)).unwrap_or_default());
    if it.dry_run || changes.is_empty() {
        output.result(&json!({ "changes": changes }), |_, _| listed(&changes))?;
        return Ok(0);
    }
    if !it.yes {
        output.note(&listed(&changes));
        if !output.confirm("Make these changes?", "--yes, or --dry-run to see them")? {
            return Err(Problem::new(Code::Cancelled, "nothing was changed").into());
        }
    }
    if let Some(resolver) = resolver {
        resolver.apply(it.undo).await?;
    }
    if let Some(service) = service.filter(|service| !service.changes(it.undo).is_empty()) {
        service.apply(it.undo).await?;
    }
    let done = if it.undo { "taken back" } else { "set up" };
    output.result(&json!({ "outcome": "success", "changes": changes }), |_, _| {
        format!("{done}; `dwell doctor` looks whether it works")
    })?;
    Ok(0)
}

fn listed(changes: &[String]) -> String {
    if changes.is_empty() {
        return "nothing to change".to_owned();
    }
    changes.iter().map(|change| format!("  {change}\n")).collect()
}
