//! `create`, `up` and `down`.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use dwell_api::environment::{CreateEnvironment, Environment, InProject, Up};
use dwell_api::event::Outcome;
use dwell_api::{Client, endpoint};
use dwell_core::{EnvironmentName, ProjectName};

use super::operation::{Success, finished, operate};
use super::run::shell_variables;
use super::{Context, unless_missing};
use crate::arguments::environment as arguments;
use crate::arguments::placement::Placing;
use crate::failure::{Ended, Failure};
use crate::output::show;
use crate::{project, target};

/// Makes an environment.
pub(crate) async fn create(it: arguments::Create, context: &Context) -> Ended {
    let mut client = context.connect().await?;
    let placing = &it.placing;
    let project = it.project.project.as_ref();
    let body = creation_anyway(&mut client, &it.name, it.making, placing, project).await?;
    let limit = it.timeout.map(|t| t.duration());
    let result = operate(context, &mut client, endpoint::ENVIRONMENTS, &body, limit).await?;
    if context.output.is_quiet() {
        context.output.text(it.name.as_str())?;
        return Ok(0);
    }
    let tree = result.environment.as_ref().map(|e| e.directory.display().to_string());
    let made = format!("environment {} is in {}", it.name, tree.unwrap_or_default());
    finished(context, &result, &made)?;
    Ok(0)
}

/// Brings an environment up.
pub(crate) async fn up(it: arguments::Up, context: &Context) -> Ended {
    let mut client = context.connect().await?;
    let mut body = Up {
        build: it.build,
        recreate: it.recreate,
        shared: it.shared,
        isolate: it.isolate,
        wait: it.wait,
        create: None,
        placement: it.placing.flags(),
        ingress: if it.no_ingress { Some(false) } else { it.ingress.then_some(true) },
        strict: it.placing.strict,
        force: it.force,
        delivery: None,
        variables: shell_variables(std::env::vars_os(), Vec::new()),
    };
    let project = it.project.project.as_ref();
    let limit = it.timeout.map(|t| t.duration());
    let result = match (&it.name, it.no_create) {
        (Some(name), false) => {
            let create = creation(&mut client, name, it.making, &it.placing, project).await?;
            let path = place(endpoint::UP, name.as_str(), create.project.as_ref());
            body.create = Some(create);
            operate(context, &mut client, &path, &body, limit).await?
        }
        (name, _) => {
            let environment = target::resolve(&mut client, name.as_ref(), project).await?;
            let path = of(endpoint::UP, &environment);
            operate(context, &mut client, &path, &body, limit).await?
        }
    };
    show_up(context, &result)?;
    Ok(0)
}

fn show_up(context: &Context, result: &Outcome) -> Result<(), Failure> {
    let output = &context.output;
    match &result.environment {
        Some(environment) if output.is_quiet() => output.text(environment.name.as_str()),
        Some(environment) => output.result(&Success::new(result), |_, style| {
            show::brought_up(environment, &result.summary, style)
        }),
        None => finished(context, result, "up"),
    }
}

/// Stops an environment.
pub(crate) async fn down(it: arguments::Down, context: &Context) -> Ended {
    let mut client = context.connect().await?;
    let found = target::resolve(&mut client, it.name.as_ref(), it.project.project.as_ref()).await;
    let Some(environment) = unless_missing(found, it.ignore_not_found)? else {
        return Ok(0);
    };
    let path = of(endpoint::DOWN, &environment);
    let result = operate(context, &mut client, &path, &serde_json::json!({}), None).await?;
    finished(context, &result, &format!("{} is stopped", target::label(&environment)))?;
    Ok(0)
}

/// An endpoint of an environment that was found.
pub(crate) fn of(path: &str, environment: &Environment) -> String {
    endpoint::fill(path, &[environment.id.as_str()])
}

/// An endpoint of an environment by its name.
pub(crate) fn place(path: &str, name: &str, project: Option<&ProjectName>) -> String {
    let project = InProject { project: project.cloned() };
    endpoint::query(&endpoint::fill(path, &[name]), &project)
}

/// How to make an environment, as the user said it and as it follows from where the user is.
pub(crate) async fn creation(
    client: &mut Client,
    name: &EnvironmentName,
    making: arguments::Making,
    placing: &Placing,
    project: Option<&ProjectName>,
) -> Result<CreateEnvironment, Failure> {
    let from = making.from.as_deref();
    let (source, project) = target::origin(client, name, from, project).await?;
    created_from(source, project, name, making, placing)
}

/// The same, for what needs no services: a project without a compose file will do, and is then
/// the whole repository around us.
pub(crate) async fn creation_anyway(
    client: &mut Client,
    name: &EnvironmentName,
    making: arguments::Making,
    placing: &Placing,
    project: Option<&ProjectName>,
) -> Result<CreateEnvironment, Failure> {
    let mut from = making.from.clone();
    if from.is_none() && making.compose_files.is_empty() {
        from = target::bare_repository(client).await?;
    }
    let (source, project) = target::origin(client, name, from.as_deref(), project).await?;
    let create = created_from(source, project, name, making, placing)?;
    Ok(CreateEnvironment { bare: true, ..create })
}

fn created_from(
    source: PathBuf,
    project: Option<ProjectName>,
    name: &EnvironmentName,
    making: arguments::Making,
    placing: &Placing,
) -> Result<CreateEnvironment, Failure> {
    let from = making.from.as_deref();
    let here = project::here()?;
    let files = |files: Vec<PathBuf>| {
        files.into_iter().map(|file| in_source(&file, &source, from, &here)).collect()
    };
    Ok(CreateEnvironment {
        name: name.clone(),
        project,
        empty: making.empty,
        in_place: making.in_place,
        bare: false,
        copy: making.copy,
        compose_files: files(making.compose_files),
        env_files: files(making.env_files),
        profiles: making.profiles,
        compose_variables: compose_variables(std::env::vars()),
        variables: shell_variables(std::env::vars_os(), Vec::new()),
        placement: placing.flags(),
        strict: placing.strict,
        force: false,
        delivery: None,
        source,
    })
}

/// A file relative to the source: it was named relative to the current directory, or to the
/// directory given with `--from`.
fn in_source(file: &Path, source: &Path, from: Option<&Path>, here: &Path) -> PathBuf {
    if from.is_some() {
        return file.to_owned();
    }
    let full = here.join(file);
    full.strip_prefix(source).map_or_else(|_| file.to_owned(), Path::to_owned)
}

/// The variables that compose itself reads.
fn compose_variables(all: impl Iterator<Item = (String, String)>) -> BTreeMap<String, String> {
    all.filter(|(name, _)| name.starts_with("COMPOSE_")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_are_named_relative_to_the_source() {
        let check = |file: &str, from: Option<&str>, want: &str| {
            let from = from.map(Path::new);
            let got = in_source(Path::new(file), Path::new("/s"), from, Path::new("/s/deploy"));
            assert_eq!(got, Path::new(want));
        };
        check("compose.yaml", None, "deploy/compose.yaml");
        check("/s/x.yaml", None, "x.yaml");
        check("/other/x.yaml", None, "/other/x.yaml");
        check("x.yaml", Some("/s"), "x.yaml");
    }

    #[test]
    fn only_the_variables_of_compose_are_passed_on() {
        let all = [("COMPOSE_FILE", "a"), ("SECRET", "b")].map(|(n, v)| (n.into(), v.into()));
        let kept = compose_variables(all.into_iter());
        assert_eq!(kept.keys().collect::<Vec<_>>(), ["COMPOSE_FILE"]);
    }
}
