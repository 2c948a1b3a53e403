//! `setup`: the system's resolver, ports below 1024, and the start of dwell with the machine; shown
//! before it is done, and taken back with `--undo`.

mod ports;
mod resolver;
mod service;
mod unit;

use std::time::Duration;

use dwell_api::{Code, Problem};
use dwell_drivers::process::Program;
use serde_json::json;

use super::{Context, own_binary};
use crate::arguments::setup::Setup;
use crate::connect;
use crate::failure::{Ended, Failure};
use crate::output::show::command_line;
use ports::Ports;
use resolver::Resolver;
use service::Service;

/// How long one program of the setup may take.
const LIMIT: Duration = Duration::from_secs(30);
/// Setup changes the machine itself; tests have roots of their own.
const ROOT: &str = "/";

/// Sets the machine up, or takes that back.
pub(crate) async fn run(it: Setup, context: &Context) -> Ended {
    let output = &context.output;
    let resolver = if it.no_resolver { None } else { Some(Resolver::of_system(&context.paths)?) };
    let ports = ports(&it, resolver.as_ref())?;
    let service = service(&it, context)?;
    let of_ports = ports.as_ref().map(|p| p.changes(it.undo)).unwrap_or_default();
    let of_resolver = resolver.as_ref().map(|r| r.changes(it.undo)).unwrap_or_default();
    let of_service = service.as_ref().map(|s| s.changes(it.undo)).unwrap_or_default();
    let changes: Vec<&String> = of_ports.iter().chain(&of_resolver).chain(&of_service).collect();
    if it.dry_run || changes.is_empty() {
        output.result(&json!({ "changes": changes }), |_, _| listed(&changes))?;
        return Ok(0);
    }
    let of_machine = !(of_ports.is_empty() && of_resolver.is_empty());
    if of_machine {
        check_rights(&it)?;
    }
    if !it.yes {
        output.note(&listed(&changes));
        ports.iter().flat_map(|p| p.notes(it.undo)).for_each(|note| output.note(note));
        resolver.iter().flat_map(|r| r.notes(it.undo)).for_each(|note| output.note(note));
        if !output.confirm("Make these changes?", "--yes, or --dry-run to see them")? {
            return Err(Problem::new(Code::Cancelled, "nothing was changed").into());
        }
    }
    if let Some(ports) = &ports {
        ports.apply(it.undo).await?;
    }
    if let Some(resolver) = resolver.filter(|_| !of_resolver.is_empty()) {
        resolver.apply(it.undo).await?;
    }
    if of_machine {
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

/// Ports below 1024, on Linux; also against `--no-ports` where the resolver would not work without.
fn ports(it: &Setup, resolver: Option<&Resolver>) -> Result<Option<Ports>, Problem> {
    let wanted = !it.no_ports || resolver.is_some_and(Resolver::takes_port);
    if !wanted || cfg!(not(target_os = "linux")) {
        return Ok(None);
    }
    Ports::of_system().map(Some)
}

/// Refuses to begin without the right to finish, and says how to get it.
fn check_rights(it: &Setup) -> Result<(), Problem> {
    if rustix::process::geteuid().is_root() {
        return Ok(());
    }
    let variables = ["HOME", "DWELL_HOME", "XDG_CONFIG_HOME"]
        .iter()
        .filter_map(|name| std::env::var(name).ok().map(|value| format!("{name}={value}")));
    let mut words = vec!["sudo".to_owned(), "env".to_owned()];
    words.extend(variables);
    words.push(own_binary()?.display().to_string());
    let flags =
        [("--no-resolver", it.no_resolver), ("--no-ports", it.no_ports), ("--undo", it.undo)];
    words.extend(["setup", "--no-service"].map(str::to_owned));
    words.extend(flags.iter().filter(|(_, given)| *given).map(|(flag, _)| (*flag).to_owned()));
    let message = "only root may change the system's resolver and who may use ports below 1024";
    let rest =
        "run the command above for those; `dwell setup --no-resolver --no-ports` does the rest";
    Err(Problem::new(Code::InvalidArgument, message).details([command_line(&words)]).hint(rest))
}

async fn run_program(words: &[String]) -> Result<(), String> {
    let Some((program, arguments)) = words.split_first() else { return Ok(()) };
    let program = Program::new(program).args(arguments).limit(LIMIT);
    program.run().await.map(drop).map_err(|e| e.to_string())
}

/// The user unit, where there is a service manager and the user is the one who will use dwell.
fn service(it: &Setup, context: &Context) -> Result<Option<Service>, Problem> {
    if it.no_service {
        return Ok(None);
    }
    if std::env::var_os("SUDO_UID").is_some_and(|uid| uid != "0") {
        context.output.note(
            "start with the machine: run `dwell setup --no-resolver --no-ports` without sudo",
        );
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
