//! `url` and `env`: how to reach the services of an environment.

use std::process::{Command, Stdio};

use dwell_api::environment::{Environment, Variables};
use dwell_api::{Code, Problem, endpoint};
use dwell_core::ServiceName;
use serde_json::{Map, Value, json};

use super::Context;
use super::environment::of;
use crate::arguments::work::{Env, Url, VariablesFormat};
use crate::failure::Ended;
use crate::output::show::quote;
use crate::target;

/// Prints where an environment or a service is reached.
pub(crate) async fn run(it: Url, context: &Context) -> Ended {
    let mut client = context.connect().await?;
    let (environment, service) = target::resolve_with_service(
        &mut client,
        it.environment.as_ref(),
        it.service.as_ref(),
        it.project.project.as_ref(),
    )
    .await?;
    let url = match &service {
        Some(service) => of_service(&environment, service)?,
        None => of_environment(&environment)?,
    };
    context.output.result(&json!({ "url": url }), |_, _| url.clone())?;
    if it.open {
        open(&url)?;
    }
    Ok(0)
}

fn of_environment(environment: &Environment) -> Result<String, Problem> {
    if let Some(url) = &environment.url {
        return Ok(url.clone());
    }
    let with_url = environment.services.iter().filter(|service| service.url.is_some());
    let names: Vec<String> = with_url.map(|service| service.name.to_string()).collect();
    let of = target::label(environment);
    if names.is_empty() && environment.services.iter().all(|s| s.names.is_empty()) {
        let hint = format!("`dwell up {}`", environment.name);
        return Err(Problem::new(Code::NotRunning, format!("{of} does not run")).hint(hint));
    }
    Err(Problem::new(Code::NotFound, format!("{of} has no ingress service"))
        .details(names)
        .hint("name a service, or set `ingress` in dwell.toml"))
}

/// A service's URL; for one that does not speak HTTP its name and port.
fn of_service(environment: &Environment, name: &ServiceName) -> Result<String, Problem> {
    let of = target::label(environment);
    let service = environment.services.iter().find(|service| service.name == *name);
    let Some(service) = service else {
        let known = environment.services.iter().map(|service| service.name.to_string());
        return Err(Problem::new(Code::NotFound, format!("{of} has no service `{name}`"))
            .details(known.collect::<Vec<_>>()));
    };
    if let Some(url) = &service.url {
        return Ok(url.clone());
    }
    let Some(host) = service.names.first() else {
        let message = format!("service `{name}` of {of} does not run");
        return Err(Problem::new(Code::NotRunning, message));
    };
    let port = service.ports.first().and_then(|port| port.split('/').next());
    Ok(port.map_or_else(|| host.clone(), |port| format!("{host}:{port}")))
}

/// Has the system open a link.
pub(super) fn open(url: &str) -> Result<(), Problem> {
    let program = if cfg!(target_os = "macos") { "open" } else { "xdg-open" };
    let mut command = Command::new(program);
    command.arg(url).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    command.spawn().map(drop).map_err(|e| {
        Problem::new(Code::ToolMissing, format!("`{program}` could not be run: {e}"))
            .hint("open the URL by hand")
    })
}

/// Prints variables that lead to an environment's services.
pub(crate) async fn env(it: Env, context: &Context) -> Ended {
    let mut client = context.connect().await?;
    let project = it.project.project.as_ref();
    let environment = target::resolve(&mut client, it.environment.as_ref(), project).await?;
    let answer: Variables = client.get(&of(endpoint::VARIABLES, &environment)).await?;
    let json = context.output.is_json() || it.format == VariablesFormat::Json;
    if json {
        let object: Map<String, Value> =
            answer.0.into_iter().map(|(name, value)| (name, value.into())).collect();
        context.output.json(&object)?;
        return Ok(0);
    }
    let prefix = if it.format == VariablesFormat::Export { "export " } else { "" };
    let line = |(name, value): &(String, String)| format!("{prefix}{name}={}\n", quote(value));
    context.output.text(&answer.0.iter().map(line).collect::<String>())?;
    Ok(0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::output::samples::environment;

    #[test]
    fn a_service_without_http_has_a_name_and_a_port() {
        let a1 = environment("a1", "shop");
        assert_eq!(of_environment(&a1).unwrap(), "http://shop.a1.test");
        assert_eq!(of_service(&a1, &"web".parse().unwrap()).unwrap(), "http://web.a1.test");
        assert_eq!(of_service(&a1, &"db".parse().unwrap()).unwrap(), "db.a1.test:5432");
        let problem = of_service(&a1, &"cache".parse().unwrap()).unwrap_err();
        assert_eq!((problem.code, problem.details.len()), (Code::NotFound, 2));
    }

    #[test]
    fn an_environment_that_does_not_run_has_no_url() {
        let stopped = Environment { url: None, services: Vec::new(), ..environment("a1", "shop") };
        assert_eq!(of_environment(&stopped).unwrap_err().code, Code::NotRunning);
        let headless = Environment { url: None, ..environment("a1", "shop") };
        let problem = of_environment(&headless).unwrap_err();
        assert_eq!((problem.code, problem.details), (Code::NotFound, vec!["web".to_owned()]));
    }
}
