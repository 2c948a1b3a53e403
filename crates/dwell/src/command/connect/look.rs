//! What there is to choose from: workspaces and their sessions, looked at again and again.

use std::time::Duration;

use dwell_api::session::SessionStatus;
use dwell_api::workspace::{ListWorkspaces, Workspace};
use dwell_api::{Client, ClientError, endpoint};
use dwell_core::WorkspaceName;
use serde::{Deserialize, Serialize};
use tokio::sync::{mpsc, watch};

use crate::command::workspace::of;
use crate::command::{Context, now};
use crate::connect;
use crate::output::show::age;
use crate::picker::{Input, SessionRow, WorkspaceRow};

/// How often it is looked.
const AGAIN: Duration = Duration::from_secs(1);

/// A workspace with its sessions.
#[derive(Debug, Serialize)]
pub(crate) struct Found {
    #[serde(flatten)]
    pub(crate) workspace: Workspace,
    pub(crate) sessions: Vec<Seen>,
}

/// What is shown of a session; nodes of other versions may tell less.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Seen {
    pub(crate) name: String,
    #[serde(default)]
    pub(crate) workspace: Option<String>,
    pub(crate) status: SessionStatus,
    #[serde(default)]
    pub(crate) attached: u32,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) windows: Option<u32>,
    pub(crate) started: i64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) agent: Option<String>,
    #[serde(default, alias = "agent_state", skip_serializing_if = "Option::is_none")]
    pub(crate) state: Option<String>,
    #[serde(default)]
    pub(crate) command: Vec<String>,
}

impl Seen {
    pub(crate) fn status(&self) -> &'static str {
        match self.status {
            SessionStatus::Running => "running",
            SessionStatus::Ended => "ended",
            SessionStatus::Lost => "lost",
        }
    }

    /// The agent and what it is doing.
    pub(crate) fn agent(&self) -> Option<String> {
        let state = self.state.as_ref().map(|state| state.replace('_', " "));
        match (&self.agent, state) {
            (Some(agent), Some(state)) => Some(format!("{agent}: {state}")),
            (agent, state) => agent.clone().or(state),
        }
    }

    fn row(&self, now: i64) -> SessionRow {
        SessionRow {
            name: self.name.clone(),
            status: self.status().to_owned(),
            attached: self.attached,
            windows: self.windows,
            created: age(self.started, now),
            agent: self.agent(),
            command: self.command.join(" "),
        }
    }
}

/// All workspaces with their sessions, those that run first.
pub(crate) async fn everything(client: &mut Client) -> Result<Vec<Found>, ClientError> {
    let path = endpoint::query(endpoint::WORKSPACES, &ListWorkspaces::default());
    let workspaces: Vec<Workspace> = client.get(&path).await?;
    let sessions: Vec<Seen> = client.get(endpoint::SESSIONS).await?;
    let all = workspaces.into_iter().map(|workspace| {
        let is_its = |seen: &&Seen| seen.workspace.as_deref() == Some(workspace.id.as_str());
        let mut sessions: Vec<Seen> = sessions.iter().filter(is_its).cloned().collect();
        sessions.sort_by_key(|seen| (seen.status != SessionStatus::Running, seen.name.clone()));
        Found { workspace, sessions }
    });
    Ok(all.collect())
}

/// One workspace as a row.
pub(crate) async fn one(
    client: &mut Client,
    name: &WorkspaceName,
) -> Result<WorkspaceRow, ClientError> {
    let workspace: Workspace = client.get(&of(endpoint::WORKSPACE, name)).await?;
    Ok(row(&workspace, 0))
}

fn row(it: &Workspace, sessions: usize) -> WorkspaceRow {
    WorkspaceRow {
        id: it.id.to_string(),
        name: it.name.to_string(),
        status: it.status,
        node: it.node.as_ref().map(ToString::to_string),
        away: it.seen.is_some(),
        size: it.size.map(|size| size.total()),
        sessions,
    }
}

/// Tells what there is, at once and whenever that may have changed.
pub(crate) async fn follow(
    context: Context,
    sender: mpsc::UnboundedSender<Input>,
    mut watching: watch::Receiver<Option<String>>,
) {
    let mut client = None;
    loop {
        let told = match look(&context, &mut client).await {
            Ok(all) => tell(&all, watching.borrow_and_update().as_deref()),
            Err(why) => {
                client = None;
                vec![Input::Failed(why)]
            }
        };
        for input in told {
            if sender.send(input).is_err() {
                return;
            }
        }
        tokio::select! {
            () = tokio::time::sleep(AGAIN) => {}
            changed = watching.changed() => if changed.is_err() { return },
        }
    }
}

async fn look(context: &Context, client: &mut Option<Client>) -> Result<Vec<Found>, String> {
    let mut own = match client.take() {
        Some(client) => client,
        None => connect::connect(&context.paths).await.map_err(|problem| problem.message)?,
    };
    let all = everything(&mut own).await.map_err(|error| error.into_problem().message)?;
    *client = Some(own);
    Ok(all)
}

fn tell(all: &[Found], watched: Option<&str>) -> Vec<Input> {
    let runs = |it: &&Seen| it.status == SessionStatus::Running;
    let rows = all.iter().map(|it| row(&it.workspace, it.sessions.iter().filter(runs).count()));
    let mut told = vec![Input::Workspaces(rows.collect())];
    let of = watched.and_then(|id| all.iter().find(|it| it.workspace.id.as_str() == id));
    if let Some(found) = of {
        let now = now();
        let sessions = found.sessions.iter().map(|seen| seen.row(now)).collect();
        told.push(Input::Sessions { of: found.workspace.id.to_string(), sessions });
    }
    told
}
