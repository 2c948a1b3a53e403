//! Ending sessions, and typing into them.

use std::sync::Arc;

use dwell_api::session::SessionStatus;
use dwell_api::{Code, Problem};
use dwell_core::idle::Source;
use dwell_core::{EnvironmentId, SessionName};

use super::Place;
use crate::node::Node;
use crate::problem::OrProblem;
use crate::workspace;

/// Ends one session's command.
pub(crate) async fn end(
    node: &Arc<Node>,
    place: &Place,
    name: &SessionName,
) -> Result<(), Problem> {
    let (record, tmux) = place.record(node, name).await?;
    let sessions = place.sessions(node);
    if let (Place::Workspace(it), SessionStatus::Running) =
        (place, node.session(place, name).await?.status)
    {
        workspace::awake(node, it.as_ref().clone(), Source::Task).await?;
    }
    sessions.end(&record.files, &tmux).await.or_problem()?;
    Ok(())
}

/// Ends all sessions of an environment, also those in workspaces that work on its tree.
pub(crate) async fn end_all(node: &Arc<Node>, id: &EnvironmentId) -> Result<(), Problem> {
    for session in node.sessions(Some(id.as_str())).await? {
        if session.status != SessionStatus::Running {
            continue;
        }
        let place = match &session.workspace {
            Some(workspace) => node.store.workspace(workspace).await.or_problem()?.map(Place::from),
            None => node.store.environment(id).await.or_problem()?.map(Place::from),
        };
        if let Some(place) = place {
            end(node, &place, &session.name).await?;
        }
    }
    Ok(())
}

/// Types text into a session: the one named, or the only one that runs.
pub(crate) async fn send(
    node: &Arc<Node>,
    place: &Place,
    session: Option<&SessionName>,
    text: &str,
    enter: bool,
) -> Result<SessionName, Problem> {
    let running: Vec<SessionName> = node
        .sessions_at(place)
        .await?
        .into_iter()
        .filter(|s| s.status == SessionStatus::Running)
        .map(|s| s.name)
        .collect();
    let name = meant(&place.label(), session, &running)?;
    if let Place::Workspace(it) = place {
        workspace::awake(node, it.as_ref().clone(), Source::Typing).await?;
    }
    let tmux = place.tmux_name(&name)?;
    place.sessions(node).tmux().send_text(&tmux, text, enter).await.or_problem()?;
    Ok(name)
}

fn meant(
    label: &str,
    session: Option<&SessionName>,
    running: &[SessionName],
) -> Result<SessionName, Problem> {
    let not_running = |message: String| Err(Problem::new(Code::NotRunning, message));
    match (session, running) {
        (Some(name), all) if all.contains(name) => Ok(name.clone()),
        (Some(name), _) => not_running(format!("session `{name}` of `{label}` does not run")),
        (None, [only]) => Ok(only.clone()),
        (None, []) => not_running(format!("no session of `{label}` runs")),
        (None, all) => {
            let message = format!("`{label}` has {} running sessions", all.len());
            Err(Problem::new(Code::Ambiguous, message)
                .hint("name one with `--session`")
                .details(all.iter().map(ToString::to_string)))
        }
    }
}
