//! Where sessions are: an environment or a workspace, by one name.

use dwell_api::environment::Environment;
use dwell_api::session::{ListSessions, Session};
use dwell_api::workspace::Workspace;
use dwell_api::{Client, ClientError, Code, Problem, endpoint};
use dwell_core::{EnvironmentName, ProjectName};

use super::{label, resolve};
use crate::failure::Failure;

/// A place that has sessions.
#[derive(Debug)]
pub(crate) enum Place {
    /// An environment.
    Environment(Box<Environment>),
    /// A workspace.
    Workspace(Box<Workspace>),
}

impl Place {
    /// What people call it.
    pub(crate) fn label(&self) -> String {
        match self {
            Self::Environment(environment) => label(environment),
            Self::Workspace(it) => format!("workspace {}", it.name),
        }
    }

    /// Its name.
    pub(crate) fn name(&self) -> &str {
        match self {
            Self::Environment(environment) => environment.name.as_str(),
            Self::Workspace(it) => it.name.as_str(),
        }
    }

    /// The path of a call about it: the one for environments or the one for workspaces.
    pub(crate) fn at(&self, environment: &str, workspace: &str) -> String {
        match self {
            Self::Environment(it) => endpoint::fill(environment, &[it.id.as_str()]),
            Self::Workspace(it) => endpoint::fill(workspace, &[it.id.as_str()]),
        }
    }

    /// Asks for its sessions alone.
    pub(crate) fn only(&self) -> ListSessions {
        match self {
            Self::Environment(it) => {
                ListSessions { environment: Some(it.id.to_string()), ..ListSessions::default() }
            }
            Self::Workspace(it) => {
                ListSessions { workspace: Some(it.id.to_string()), ..ListSessions::default() }
            }
        }
    }

    /// The environment of a session that runs on another node than this one, in no workspace.
    pub(crate) fn far(&self, session: &Session) -> Option<&Environment> {
        match self {
            Self::Environment(it) if session.workspace.is_none() && it.node.is_some() => Some(it),
            _ => None,
        }
    }
}

/// The environment or the workspace that a name means; without a name, the environment around us.
/// A name that both have is refused, unless a project or an identity says which is meant.
pub(crate) async fn place(
    client: &mut Client,
    name: Option<&EnvironmentName>,
    project: Option<&ProjectName>,
) -> Result<Place, Failure> {
    let found = resolve(client, name, project).await;
    let Some(name) = name.filter(|_| project.is_none()) else {
        return Ok(Place::Environment(Box::new(found?)));
    };
    let path = endpoint::fill(endpoint::WORKSPACE, &[name.as_str()]);
    let workspace = match client.get::<Workspace>(&path).await {
        Ok(it) => Some(it),
        Err(ClientError::Problem(problem)) if problem.code == Code::NotFound => None,
        Err(other) => return Err(other.into()),
    };
    either(found, workspace, name)
}

fn either(
    environment: Result<Environment, Failure>,
    workspace: Option<Workspace>,
    name: &EnvironmentName,
) -> Result<Place, Failure> {
    match (environment, workspace) {
        (Ok(environment), Some(it)) if environment.id.as_str() != name.as_str() => {
            if it.id.as_str() == name.as_str() {
                return Ok(Place::Workspace(Box::new(it)));
            }
            let message = format!("`{name}` is an environment and a workspace");
            let hint = format!(
                "`--project {}` means the environment, `{}` in place of the name the workspace",
                environment.project, it.id
            );
            Err(Problem::new(Code::Ambiguous, message).hint(hint).into())
        }
        (Ok(environment), _) => Ok(Place::Environment(Box::new(environment))),
        (Err(_), Some(it)) => Ok(Place::Workspace(Box::new(it))),
        (Err(Failure::Problem(problem)), None) if problem.code == Code::NotFound => {
            let hint = problem.hint.unwrap_or_default();
            let message = format!("{}, nor a workspace", problem.message);
            Err(Problem::new(Code::NotFound, message)
                .hint(format!("{hint}; `dwell ws ls` lists workspaces"))
                .into())
        }
        (Err(other), None) => Err(other),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::output::samples::{environment, workspace};

    fn missing() -> Result<Environment, Failure> {
        Err(Problem::new(Code::NotFound, "there is no environment `x`").into())
    }

    #[test]
    fn a_name_that_both_have_is_refused_and_told_apart_by_identity() {
        let red: EnvironmentName = "red".parse().unwrap();
        let both = || (Ok(environment("red", "shop")), Some(workspace("red")));
        let (there, it) = both();
        let Err(Failure::Problem(problem)) = either(there, it, &red) else { panic!("refused") };
        assert_eq!(problem.code, Code::Ambiguous);
        assert!(problem.hint.unwrap().contains("--project shop"));
        let id: EnvironmentName = workspace("red").id.as_str().parse().unwrap();
        let (there, it) = both();
        assert!(matches!(either(there, it, &id), Ok(Place::Workspace(_))));
        let only = either(missing(), Some(workspace("red")), &red);
        assert!(matches!(only, Ok(Place::Workspace(_))));
        let only = either(Ok(environment("red", "shop")), None, &red);
        assert!(matches!(only, Ok(Place::Environment(_))));
        let Err(Failure::Problem(problem)) = either(missing(), None, &red) else { panic!("none") };
        assert!(problem.message.ends_with("nor a workspace"), "{}", problem.message);
    }
}
