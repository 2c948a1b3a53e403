//! Which environment is meant: the one named, or the one that the user is in.

mod place;

use std::path::{Path, PathBuf};

use dwell_api::environment::{Environment, ListEnvironments};
use dwell_api::{Client, Code, Problem, endpoint};
use dwell_core::{EnvironmentName, ProjectName, ServiceName};

use crate::failure::Failure;
use crate::project;

pub(crate) use place::{Place, place};

/// Lists environments.
pub(crate) async fn list(
    client: &mut Client,
    query: &ListEnvironments,
) -> Result<Vec<Environment>, Failure> {
    Ok(client.get(&endpoint::query(endpoint::ENVIRONMENTS, query)).await?)
}

/// The environment that a name and a project mean here; without a name, the one around the
/// current directory or the session.
pub(crate) async fn resolve(
    client: &mut Client,
    name: Option<&EnvironmentName>,
    project: Option<&ProjectName>,
) -> Result<Environment, Failure> {
    let here = project::here()?;
    match name {
        Some(name) => {
            let query = ListEnvironments {
                project: project.cloned(),
                name: Some(name.to_string()),
                path: None,
            };
            let found = named(list(client, &query).await?, name, project, &here)?;
            let named_fully = project.is_some() || found.id.as_str() == name.as_str();
            if named_fully || is_around(&found, &here) {
                return Ok(found);
            }
            let near = near(client, &here).await?;
            if near.iter().any(|environment| environment.project == found.project) {
                return Ok(found);
            }
            let in_project = project::around(&here).is_some() || !near.is_empty();
            Ok(of_this_project(found, in_project)?)
        }
        None => implied(client, project, &here).await,
    }
}

/// As [`resolve`], for commands that take an environment and a service, both optional: a single
/// word that names no environment but a service of the one around us is that service.
pub(crate) async fn resolve_with_service(
    client: &mut Client,
    name: Option<&EnvironmentName>,
    service: Option<&ServiceName>,
    project: Option<&ProjectName>,
) -> Result<(Environment, Option<ServiceName>), Failure> {
    let found = resolve(client, name, project).await;
    let (Err(Failure::Problem(problem)), Some(word), None) = (&found, name, service) else {
        return Ok((found?, service.cloned()));
    };
    if problem.code == Code::NotFound
        && let Ok(environment) = resolve(client, None, project).await
        && let Some(known) = environment.services.iter().find(|s| s.name.label() == word.as_str())
    {
        let service = known.name.clone();
        return Ok((environment, Some(service)));
    }
    Ok((found?, None))
}

/// Picks the environment of a name: the only one, else the one whose source or tree is around us.
fn named(
    mut candidates: Vec<Environment>,
    name: &EnvironmentName,
    project: Option<&ProjectName>,
    here: &Path,
) -> Result<Environment, Problem> {
    if candidates.len() > 1 && candidates.iter().any(|c| is_around(c, here)) {
        candidates.retain(|candidate| is_around(candidate, here));
    }
    match candidates.len() {
        1 => candidates.pop().ok_or_else(|| missing(name, project)),
        0 => Err(missing(name, project)),
        _ => {
            let message = format!("environment `{name}` exists in several projects");
            Err(Problem::new(Code::Ambiguous, message)
                .details(candidates.iter().map(label))
                .hint("name one with --project"))
        }
    }
}

/// Whether a directory belongs to a project: by its files, or as the source or the tree of some
/// environment.
pub(crate) async fn in_project(client: &mut Client, here: &Path) -> Result<bool, Failure> {
    if project::around(here).is_some() {
        return Ok(true);
    }
    Ok(!near(client, here).await?.is_empty())
}

/// The environments whose source or tree a directory is in.
async fn near(client: &mut Client, here: &Path) -> Result<Vec<Environment>, Failure> {
    let query = ListEnvironments { project: None, name: None, path: Some(here.to_owned()) };
    list(client, &query).await
}

/// Inside one project, the name of another's environment does not mean that one; outside of
/// any, the name alone is enough.
fn of_this_project(elsewhere: Environment, in_project: bool) -> Result<Environment, Problem> {
    if !in_project {
        return Ok(elsewhere);
    }
    let message = format!("this project has no environment `{}`", elsewhere.name);
    Err(Problem::new(Code::NotFound, message).hint(format!(
        "project `{}` has one: name it with --project {}",
        elsewhere.project, elsewhere.project
    )))
}

fn missing(name: &EnvironmentName, project: Option<&ProjectName>) -> Problem {
    let of = project.map(|project| format!(" of project `{project}`")).unwrap_or_default();
    Problem::new(Code::NotFound, format!("there is no environment `{name}`{of}"))
        .hint("`dwell ls` lists them; `dwell up` makes one")
}

async fn implied(
    client: &mut Client,
    project: Option<&ProjectName>,
    here: &Path,
) -> Result<Environment, Failure> {
    if let Some(name) = session_environment() {
        let project = project.cloned().or_else(session_project);
        let query = ListEnvironments { project, name: Some(name), path: None };
        let mut found = list(client, &query).await?;
        if found.len() == 1
            && let Some(environment) = found.pop()
        {
            return Ok(environment);
        }
    }
    let path = Some(here.to_owned());
    let query = ListEnvironments { project: project.cloned(), name: None, path };
    around(list(client, &query).await?, here).map_err(Failure::from)
}

/// Picks the environment around a directory: the one whose tree it is in, else the only one of
/// the project it is in.
fn around(candidates: Vec<Environment>, here: &Path) -> Result<Environment, Problem> {
    let (mut inside, mut of_source): (Vec<_>, Vec<_>) =
        candidates.into_iter().partition(|environment| here.starts_with(&environment.tree));
    // A tree inside another tree: the innermost is meant.
    let depth = inside.iter().map(|e| e.tree.components().count()).max();
    inside.retain(|e| Some(e.tree.components().count()) == depth);
    let found = if inside.is_empty() { &mut of_source } else { &mut inside };
    let unclear = match found.len() {
        0 => Problem::new(Code::Usage, "which environment? This directory has none")
            .hint("name one: `dwell ls` lists them"),
        _ => Problem::new(Code::Ambiguous, "which environment? This project has several")
            .details(found.iter().map(label))
            .hint("name one"),
    };
    if found.len() == 1 { found.pop().ok_or(unclear) } else { Err(unclear) }
}

/// Whether a directory is in an environment's source or tree.
pub(crate) fn is_around(environment: &Environment, here: &Path) -> bool {
    here.starts_with(&environment.tree) || here.starts_with(&environment.source)
}

/// An environment in a list of candidates.
pub(crate) fn label(environment: &Environment) -> String {
    format!("{} of project {}", environment.name, environment.project)
}

fn session_environment() -> Option<String> {
    std::env::var("DWELL_ENV").ok().filter(|name| !name.is_empty())
}

fn session_project() -> Option<ProjectName> {
    std::env::var("DWELL_PROJECT").ok().and_then(|name| name.parse().ok())
}

/// The repository around us, where nothing of it is a project's file and it is no environment's
/// tree.
pub(crate) async fn bare_repository(client: &mut Client) -> Result<Option<PathBuf>, Failure> {
    let here = project::here()?;
    if project::around(&here).is_some() || std::env::var_os("COMPOSE_FILE").is_some() {
        return Ok(None);
    }
    let is_tree = near(client, &here).await?.iter().any(|known| here.starts_with(&known.tree));
    Ok(project::repository(&here).filter(|_| !is_tree))
}

/// The source and the project that an environment of this name has here: those of the
/// environment whose tree we are in, else those of the project around us. No project where
/// nothing tells it: then the name alone counts.
pub(crate) async fn origin(
    client: &mut Client,
    name: &EnvironmentName,
    from: Option<&Path>,
    project: Option<&ProjectName>,
) -> Result<(PathBuf, Option<ProjectName>), Failure> {
    let here = project::here()?;
    let query = ListEnvironments { project: None, name: None, path: Some(here.clone()) };
    let mut known = list(client, &query).await?;
    let inside = known.iter().find(|environment| here.starts_with(&environment.tree));
    let project = project.cloned().or_else(|| inside.map(|e| e.project.clone()));
    let source = match (from, inside) {
        (None, Some(environment)) => environment.source.clone(),
        (from, _) => project::source(from)?,
    };
    if project.is_some() {
        return Ok((source, project));
    }
    if from.is_some() {
        let path = Some(source.clone());
        known = list(client, &ListEnvironments { path, ..query }).await?;
    }
    let project = project_of(&known, name, &source);
    Ok((source, project))
}

/// The project of a source: that of its environment of this name, else the one that its files
/// tell.
fn project_of(known: &[Environment], name: &EnvironmentName, source: &Path) -> Option<ProjectName> {
    let mut same = known.iter().filter(|e| e.name == *name && e.source == source);
    match (same.next(), same.next()) {
        (Some(environment), None) => Some(environment.project.clone()),
        (Some(_), Some(_)) => None,
        (None, _) if known.is_empty() && project::around(source).is_none() => None,
        (None, _) => project::name_of(source),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::output::samples::environment;

    fn at(name: &str, project: &str) -> Environment {
        environment(name, project)
    }

    #[test]
    fn the_tree_around_us_wins_over_its_source() {
        let candidates = vec![at("a1", "shop"), at("a2", "shop")];
        let here = candidates[1].tree.join("src");
        assert_eq!(around(candidates, &here).unwrap().name.as_str(), "a2");
    }

    #[test]
    fn a_project_with_one_environment_needs_no_name() {
        let source = at("a1", "shop").source;
        assert_eq!(around(vec![at("a1", "shop")], &source).unwrap().name.as_str(), "a1");
        let problem = around(vec![at("a1", "shop"), at("a2", "shop")], &source).unwrap_err();
        assert_eq!(problem.code, Code::Ambiguous);
        assert_eq!(problem.details, ["a1 of project shop", "a2 of project shop"]);
        assert_eq!(around(Vec::new(), &source).unwrap_err().code, Code::Usage);
    }

    #[test]
    fn inside_a_project_the_environment_of_another_is_not_meant() {
        let refused = of_this_project(at("blue", "shop"), true).unwrap_err();
        assert_eq!(refused.code, Code::NotFound);
        assert_eq!(refused.message, "this project has no environment `blue`");
        assert!(refused.hint.unwrap().contains("--project shop"));
        assert!(of_this_project(at("blue", "shop"), false).is_ok());
    }

    #[test]
    fn a_new_environment_belongs_to_the_project_around_us() {
        let root = tempfile::tempdir().unwrap();
        let blog = root.path().join("blog");
        std::fs::create_dir(&blog).unwrap();
        let a1 = "a1".parse().unwrap();
        assert_eq!(project_of(&[], &a1, &blog), None);
        std::fs::write(blog.join("compose.yaml"), "").unwrap();
        assert_eq!(project_of(&[], &a1, &blog).unwrap().as_str(), "blog");
        let named = Environment { source: blog.clone(), ..at("a1", "other") };
        assert_eq!(project_of(&[named], &a1, &blog).unwrap().as_str(), "other");
        std::fs::write(blog.join("dwell.toml"), "project = \"said\"").unwrap();
        assert_eq!(project_of(&[], &a1, &blog).unwrap().as_str(), "said");
    }

    #[test]
    fn equal_names_are_told_apart_by_where_we_are() {
        let name = "a1".parse().unwrap();
        let both = || vec![at("a1", "shop"), at("a1", "blog")];
        let blog = at("a1", "blog").source;
        assert_eq!(named(both(), &name, None, &blog).unwrap().project.as_str(), "blog");
        let problem = named(both(), &name, None, Path::new("/")).unwrap_err();
        assert_eq!(problem.code, Code::Ambiguous);
        assert_eq!(named(Vec::new(), &name, None, &blog).unwrap_err().code, Code::NotFound);
    }
}
