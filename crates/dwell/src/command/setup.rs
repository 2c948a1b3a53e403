//! `setup`: the system's resolver and the start of dwell with the machine; shown before it is
//! done, and taken back with `--undo`.

mod resolver;
mod service;
mod unit;

use dwell_api::{Code, Problem};
use serde_json::json;

use super::Context;
use crate::arguments::setup::Setup;
use crate::connect;
use crate::failure::{Ended, Failure};
use resolver::Resolver;
use service::Service;

/// Sets the machine up, or takes that back.
pub(crate) async fn run(it: Setup, context: &Context) -> Ended {
    let output = &context.output;
    let resolver = if it.no_resolver { None } else { Some(Resolver::of_system(&context.paths)?) };
    let service = service(&it, context)?;
    let of_resolver = resolver.as_ref().map(|r| r.changes(it.undo)).unwrap_or_default();
    let of_service = service.as_ref().map(|s| s.changes(it.undo)).unwrap_or_default();
    let changes: Vec<&String> = of_resolver.iter().chain(&of_service).collect();
    if it.dry_run || changes.is_empty() {
        output.result(&json!({ "changes": changes }), |_, _| listed(&changes))?;
        return Ok(0);
    }
    if let Some(resolver) = resolver.as_ref().filter(|_| !of_resolver.is_empty()) {
        resolver.check_rights(it.undo)?;
    }
    if !it.yes {
        output.note(&listed(&changes));
        resolver.iter().flat_map(|r| r.notes(it.undo)).for_each(|note| output.note(note));
        if !output.confirm("Make these changes?", "--yes, or --dry-run to see them")? {
            return Err(Problem::new(Code::Cancelled, "nothing was changed").into());
        }
    }
    if let Some(resolver) = resolver.filter(|_| !of_resolver.is_empty()) {
        resolver.apply(it.undo).await?;
        restart(context).await?;
    }
    if let Some(service) = service.filter(|_| !of_service.is_empty()) {
        service.apply(it.undo).await?;
    }
    let done = if it.undo { "taken back" } else { "set up" };
    output.result(&json!({ "outcome": "success", "changes": changes }), |_, _| {
        format!("{done}; `dwell doctor` looks whether it works")
    })?;
    Ok(0)
}

/// The user unit, where there is a service manager and the user is the one who will use dwell.
fn service(it: &Setup, context: &Context) -> Result<Option<Service>, Problem> {
    if it.no_service {
        return Ok(None);
    }
    if std::env::var_os("SUDO_UID").is_some_and(|uid| uid != "0") {
        context.output.note("start with the machine: run `dwell setup --no-resolver` without sudo");
        return Ok(None);
    }
    let service = Service::of_system(&context.paths)?;
    if service.is_none() {
        context.output.note("no systemd or launchd runs here: commands start dwell when needed");
    }
    Ok(service)
}

/// The daemon learns at its start where the resolver looks for it.
async fn restart(context: &Context) -> Result<(), Failure> {
    if std::env::var_os("SUDO_UID").is_some_and(|uid| uid != "0") {
        context.output.note("the daemon takes it over after `dwell node stop`");
    } else if connect::running(&context.paths).await?.is_some() {
        super::node::stop_and_wait(context).await?;
        context.connect().await?;
    }
    Ok(())
}

fn listed(changes: &[&String]) -> String {
    if changes.is_empty() {
        return "nothing to change".to_owned();
    }
    changes.iter().map(|change| format!("  {}\n", change.replace('\n', "\n  "))).collect()
}
