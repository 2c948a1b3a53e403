//! Sessions of the node: starting, listing, following and ending commands that outlive every
//! client and the daemon itself.

mod act;
mod place;
mod restore;
mod start;

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};

use dwell_api::session::{Session, SessionStatus};
use dwell_api::{Code, Problem};
use dwell_core::agent::{Agent, Seen, TAIL};
use dwell_core::environment::Environment;
use dwell_core::{EnvironmentId, SessionName};
use dwell_drivers::session::{SessionState, Sessions, agent, seen};
use dwell_drivers::tmux::Tmux;
use dwell_store::SessionRecord;
use tokio::sync::OnceCell;

use crate::node::Node;
use crate::problem::{IntoProblem, OrProblem};

pub(crate) use act::{end, end_all, send};
pub(crate) use place::Place;
pub(crate) use restore::{is_due, restore};
pub(crate) use start::start;

/// Starts that are remembered for repeated calls.
const REPLAYED: usize = 1000;

/// The node's tmux server, and the starts that may be repeated.
pub(crate) struct SessionNotes {
    pub(crate) sessions: Sessions,
    /// This binary, for agents' hooks.
    binary: PathBuf,
    by_key: Mutex<HashMap<String, Arc<OnceCell<Session>>>>,
}

impl SessionNotes {
    /// Sessions on a tmux socket, with the dwell binary as their shim.
    pub(crate) fn new(socket: PathBuf, include: PathBuf, binary: PathBuf) -> Self {
        let tmux = Tmux::new(socket).with_include(include);
        let shim = vec![binary.clone().into_os_string(), "session-shim".into()];
        let sessions = Sessions::new(Arc::new(tmux), shim);
        Self { sessions, binary, by_key: Mutex::default() }
    }

    /// Starts a session once for each idempotency key; a repeat gets the first one's answer.
    pub(crate) async fn once(
        &self,
        key: &str,
        start: impl Future<Output = Result<Session, Problem>>,
    ) -> Result<Session, Problem> {
        let cell = {
            let mut by_key = self.by_key.lock().unwrap_or_else(PoisonError::into_inner);
            if by_key.len() >= REPLAYED {
                by_key.retain(|_, cell| !cell.initialized());
            }
            by_key.entry(key.to_owned()).or_default().clone()
        };
        cell.get_or_try_init(|| start).await.cloned()
    }
}

impl Node {
    /// The sessions of the environment or the workspace with this identity, or all, oldest first.
    /// Those in workspaces that work on an environment's tree are the environment's too. Nothing in
    /// a workspace is asked.
    pub(crate) async fn sessions(&self, of: Option<&str>) -> Result<Vec<Session>, Problem> {
        let mut records = self.store.sessions().await.or_problem()?;
        let is_of = |record: &SessionRecord, id: &str| {
            record.place() == id || record.environment.as_ref().is_some_and(|e| e.as_str() == id)
        };
        records.retain(|record| of.is_none_or(|id| is_of(record, id)));
        if records.is_empty() {
            return Ok(Vec::new());
        }
        let all = self.store.environments().await.or_problem()?.into_iter();
        let environments: HashMap<EnvironmentId, Environment> =
            all.map(|environment| (environment.id.clone(), environment)).collect();
        let mut workspaces = HashMap::new();
        if records.iter().any(|record| record.workspace.is_some()) {
            let all = self.store.workspaces().await.or_problem()?.into_iter();
            workspaces.extend(all.filter(|it| it.kept.is_none()).map(|it| (it.id.clone(), it)));
        }
        let live = match records.iter().any(|record| record.workspace.is_none()) {
            true => self.sessions.sessions.tmux().list().await.unwrap_or_default(),
            false => Vec::new(),
        };
        let mut shown = Vec::new();
        for record in &records {
            let environment = record.environment.as_ref().and_then(|id| environments.get(id));
            let place = match &record.workspace {
                Some(id) => workspaces.get(id).cloned().map(Place::from),
                None => environment.cloned().map(Place::from),
            };
            let Some(place) = place else { continue };
            let state = match &place {
                Place::Workspace(_) => seen(&record.files),
                Place::Environment(_) => {
                    let name = place.tmux_name(&record.name)?;
                    self.sessions.sessions.state_among(&record.files, &name, &live)
                }
            };
            let state = state.unwrap_or(SessionState::Lost);
            shown.push(self.show_session(&place, environment, record, &state)?);
        }
        Ok(shown)
    }

    /// The sessions that are in a place itself.
    pub(crate) async fn sessions_at(&self, place: &Place) -> Result<Vec<Session>, Problem> {
        let mut all = self.sessions(Some(place.id())).await?;
        all.retain(|session| match place {
            Place::Environment(_) => session.workspace.is_none(),
            Place::Workspace(it) => session.workspace.as_ref() == Some(&it.id),
        });
        Ok(all)
    }

    fn show_session(
        &self,
        place: &Place,
        environment: Option<&Environment>,
        record: &SessionRecord,
        state: &SessionState,
    ) -> Result<Session, Problem> {
        let (status, attached, windows) = match state {
            SessionState::Running { attached, windows, .. } => {
                (SessionStatus::Running, *attached, *windows)
            }
            // Its workspace was stopped, and it with that.
            SessionState::Ended(exit) if exit.interrupted => (SessionStatus::Lost, 0, None),
            SessionState::Ended(_) => (SessionStatus::Ended, 0, None),
            SessionState::Lost => (SessionStatus::Lost, 0, None),
        };
        let exit = match state {
            SessionState::Ended(exit) => Some(exit),
            _ => None,
        };
        let agent = record.command.first().and_then(|program| Agent::of(program));
        let report = agent.and_then(|_| agent::report(&record.files));
        let doing = agent.filter(|_| status != SessionStatus::Lost).map(|agent| {
            let is_shown = status == SessionStatus::Running && agent.shows();
            let tail = is_shown.then(|| agent::last_shown(&record.files, TAIL));
            let seen = Seen {
                started: record.started,
                exit: exit.map(|exit| exit.ending.exit_code()),
                report: report.as_ref(),
                output: agent::last_output(&record.files),
                shown: tail.and_then(|tail| agent.shown(&tail)),
            };
            agent.state(&seen, self.now())
        });
        let (workspace, attach) = match place {
            Place::Environment(_) => {
                let name = place.tmux_name(&record.name)?;
                let attach = self.sessions.sessions.tmux().attach_command(&name, false, false);
                let words = attach.iter().map(|word| word.to_string_lossy().into_owned());
                (None, words.collect())
            }
            Place::Workspace(it) => {
                let words = ["dwell", "attach", it.name.as_str(), record.name.as_str()];
                (Some(it), words.map(str::to_owned).to_vec())
            }
        };
        Ok(Session {
            name: record.name.clone(),
            workspace: workspace.map(|it| it.id.clone()),
            workspace_name: workspace.map(|it| it.name.clone()),
            environment: environment.map(|environment| environment.id.clone()),
            environment_name: environment.map(|environment| environment.name.clone()),
            project: environment.map(|environment| environment.project.clone()),
            command: record.command.clone(),
            directory: record.directory.clone(),
            agent: agent.map(|agent| agent.name.to_owned()),
            state: doing,
            conversation: report.and_then(|report| report.conversation),
            status,
            exit_code: exit.map(|exit| exit.ending.exit_code()),
            attached,
            windows,
            started: record.started,
            ended: exit.map(|exit| exit.ended),
            restored: record.restored,
            node: None,
            attach,
        })
    }

    /// One session of a place.
    pub(crate) async fn session(
        &self,
        place: &Place,
        name: &SessionName,
    ) -> Result<Session, Problem> {
        let all = self.sessions_at(place).await?;
        all.into_iter().find(|session| session.name == *name).ok_or_else(|| place.has_none(name))
    }

    /// How many sessions of an environment run.
    pub(crate) async fn running_sessions(&self, id: &EnvironmentId) -> u32 {
        u32::try_from(self.running_session_names(id.as_str()).await.len()).unwrap_or(u32::MAX)
    }

    /// The names of the sessions that run of the environment or the workspace with this identity.
    pub(crate) async fn running_session_names(&self, id: &str) -> Vec<String> {
        let all = self.sessions(Some(id)).await.unwrap_or_default();
        let running = all.iter().filter(|session| session.status == SessionStatus::Running);
        running.map(|session| session.name.to_string()).collect()
    }
}

/// The agent that a command is recognised as.
pub(crate) fn agent_name(command: &[String]) -> Option<String> {
    command.first().and_then(|program| Agent::of(program)).map(|agent| agent.name.to_owned())
}

impl IntoProblem for dwell_drivers::tmux::TmuxError {
    fn into_problem(self) -> Problem {
        use dwell_drivers::tmux::TmuxError;
        match &self {
            TmuxError::Missing | TmuxError::TooOld { .. } => {
                Problem::new(Code::ToolMissing, self.to_string()).hint("install tmux 3.2 or newer")
            }
            TmuxError::MissingInside { .. } => {
                Problem::new(Code::ToolMissing, "the workspace has no tmux, and sessions need it")
                    .hint("`dwell ws exec -u root <workspace> -- apt-get install -y tmux`")
            }
            _ => Problem::new(Code::ToolFailed, self.to_string()),
        }
    }
}

impl IntoProblem for dwell_drivers::session::SessionError {
    fn into_problem(self) -> Problem {
        match self {
            dwell_drivers::session::SessionError::Tmux(error) => error.into_problem(),
            other => Problem::new(Code::ToolFailed, other.to_string()),
        }
    }
}
