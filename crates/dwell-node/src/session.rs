//! Sessions of the node: starting, listing, following and ending commands that outlive every
//! client and the daemon itself.

use std::collections::{BTreeMap, HashMap};
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};

use dwell_api::session::{Session, SessionStatus, StartSession};
use dwell_api::{Code, Problem};
use dwell_core::agent::{Agent, resume_command};
use dwell_core::environment::Environment;
use dwell_core::{EnvironmentId, SessionName};
use dwell_drivers::session::{DEFAULT_LIMIT, SessionState, Sessions};
use dwell_drivers::tmux::{Size, Tmux, TmuxName};
use dwell_store::SessionRecord;
use tokio::sync::OnceCell;

use crate::facts::make_directory;
use crate::node::Node;
use crate::problem::{IntoProblem, OrProblem};

/// Ended sessions that an environment keeps before the oldest are forgotten.
const KEPT: usize = 50;
/// Starts that are remembered for repeated calls.
const REPLAYED: usize = 1000;

/// The node's tmux server, and the starts that may be repeated.
pub(crate) struct SessionNotes {
    pub(crate) sessions: Sessions,
    by_key: Mutex<HashMap<String, Arc<OnceCell<Session>>>>,
}

impl SessionNotes {
    /// Sessions on a tmux socket, with the dwell binary as their shim.
    pub(crate) fn new(socket: PathBuf, include: PathBuf, binary: PathBuf) -> Self {
        let tmux = Tmux::new(socket).with_include(include);
        let shim = vec![binary.into_os_string(), "session-shim".into()];
        let sessions = Sessions::new(Arc::new(tmux), shim);
        Self { sessions, by_key: Mutex::default() }
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

fn tmux_name(environment: &Environment, name: &SessionName) -> Result<TmuxName, Problem> {
    TmuxName::parse(&format!("{}-{name}-{}", environment.name, environment.id)).or_problem()
}

impl Node {
    /// The sessions of an environment, or all, oldest first.
    pub(crate) async fn sessions(
        &self,
        only: Option<&EnvironmentId>,
    ) -> Result<Vec<Session>, Problem> {
        let mut shown = Vec::new();
        let records = self.store.sessions().await.or_problem()?;
        if records.is_empty() {
            return Ok(shown);
        }
        let environments: HashMap<EnvironmentId, Environment> = self
            .store
            .environments()
            .await
            .or_problem()?
            .into_iter()
            .map(|environment| (environment.id.clone(), environment))
            .collect();
        let live = self.sessions.sessions.tmux().list().await.unwrap_or_default();
        for record in records.iter().filter(|r| only.is_none_or(|id| *id == r.environment)) {
            let Some(environment) = environments.get(&record.environment) else { continue };
            let name = tmux_name(environment, &record.name)?;
            let state = self.sessions.sessions.state_among(&record.files, &name, &live);
            let state = state.unwrap_or(SessionState::Lost);
            shown.push(self.show(environment, record, &name, &state));
        }
        Ok(shown)
    }

    fn show(
        &self,
        environment: &Environment,
        record: &SessionRecord,
        name: &TmuxName,
        state: &SessionState,
    ) -> Session {
        let attach = self.sessions.sessions.tmux().attach_command(name, false, false);
        let (status, attached) = match state {
            SessionState::Running { attached, .. } => (SessionStatus::Running, *attached),
            SessionState::Ended(_) => (SessionStatus::Ended, 0),
            SessionState::Lost => (SessionStatus::Lost, 0),
        };
        let exit = match state {
            SessionState::Ended(exit) => Some(exit),
            _ => None,
        };
        Session {
            name: record.name.clone(),
            environment: environment.id.clone(),
            environment_name: environment.name.clone(),
            project: environment.project.clone(),
            command: record.command.clone(),
            directory: record.directory.clone(),
            agent: agent_name(&record.command),
            status,
            exit_code: exit.map(|exit| exit.ending.exit_code()),
            attached,
            started: record.started,
            ended: exit.map(|exit| exit.ended),
            node: None,
            attach: attach.iter().map(|word| word.to_string_lossy().into_owned()).collect(),
        }
    }

    /// One session of an environment.
    pub(crate) async fn session(
        &self,
        environment: &Environment,
        name: &SessionName,
    ) -> Result<Session, Problem> {
        let all = self.sessions(Some(&environment.id)).await?;
        all.into_iter().find(|session| session.name == *name).ok_or_else(|| {
            let label = environment.label();
            Problem::new(Code::NotFound, format!("`{label}` has no session `{name}`"))
                .hint("`dwell sessions` lists them")
        })
    }

    /// How many sessions of an environment run.
    pub(crate) async fn running_sessions(&self, id: &EnvironmentId) -> u32 {
        u32::try_from(self.running_session_names(id).await.len()).unwrap_or(u32::MAX)
    }

    /// The names of the sessions of an environment that run.
    pub(crate) async fn running_session_names(&self, id: &EnvironmentId) -> Vec<String> {
        let all = self.sessions(Some(id)).await.unwrap_or_default();
        let running = all.iter().filter(|session| session.status == SessionStatus::Running);
        running.map(|session| session.name.to_string()).collect()
    }

    /// Starts a session in an environment.
    pub(crate) async fn start_session(
        &self,
        environment: &Environment,
        request: StartSession,
    ) -> Result<Session, Problem> {
        let known = self.sessions(Some(&environment.id)).await?;
        let (name, command, directory) = self.what_to_start(environment, &request, &known)?;
        let started = self.now();
        let home = self.directory(&environment.id).join("sessions");
        make_directory(&home)?;
        let files = home.join(format!("{name}-{started}"));
        let facts = self.variables(environment, Some((&name, &command))).await;
        let mut all: BTreeMap<String, String> = if request.login {
            self.login.variables().await.into_iter().collect()
        } else {
            BTreeMap::new()
        };
        all.extend(request.variables.0);
        all.extend(facts);
        let (columns, rows) = request.size.unwrap_or((120, 36));
        let tmux = tmux_name(environment, &name)?;
        let state = self
            .sessions
            .sessions
            .start(&dwell_drivers::session::StartSession {
                directory: files.clone(),
                name: tmux.clone(),
                argv: command.clone(),
                cwd: directory.clone(),
                environment: all.into_iter().map(|(n, v)| (n.into(), v.into())).collect(),
                size: Size { columns, rows },
                pty: !request.pipes,
                transcript_limit: DEFAULT_LIMIT,
                login: false,
            })
            .await
            .or_problem()?;
        let record = SessionRecord {
            environment: environment.id.clone(),
            name,
            command,
            directory,
            files,
            started,
        };
        self.store.put_session(&record).await.or_problem()?;
        self.forget_oldest(&known).await;
        Ok(self.show(environment, &record, &tmux, &state))
    }

    fn what_to_start(
        &self,
        environment: &Environment,
        request: &StartSession,
        known: &[Session],
    ) -> Result<(SessionName, Vec<String>, PathBuf), Problem> {
        if request.resume {
            return resumed(environment, request, known);
        }
        let Some(program) = request.command.first().filter(|program| !program.is_empty()) else {
            return Err(Problem::new(Code::InvalidArgument, "a session needs a command"));
        };
        let name = match &request.name {
            Some(name) => {
                let taken =
                    known.iter().any(|s| s.name == *name && s.status == SessionStatus::Running);
                if taken {
                    return Err(Problem::new(
                        Code::Exists,
                        format!("session `{name}` runs already"),
                    )
                    .hint("attach to it with `dwell attach`, or choose another name"));
                }
                name.clone()
            }
            None => free_name(program, known)?,
        };
        let directory = match &request.directory {
            None => environment.directory().to_owned(),
            Some(relative) => inside(environment, relative)?,
        };
        if !directory.is_dir() {
            let place = directory.display();
            return Err(Problem::new(Code::NotFound, format!("there is no directory {place}")));
        }
        Ok((name, request.command.clone(), directory))
    }

    /// Ended sessions beyond the number kept are forgotten, oldest first.
    async fn forget_oldest(&self, known: &[Session]) {
        let ended: Vec<&Session> =
            known.iter().filter(|s| s.status != SessionStatus::Running).collect();
        let records = self.store.sessions().await.unwrap_or_default();
        for session in ended.iter().take(ended.len().saturating_sub(KEPT)) {
            let files = records
                .iter()
                .find(|r| r.environment == session.environment && r.name == session.name)
                .map(|record| record.files.clone());
            if let Some(files) = files {
                let _ = tokio::fs::remove_dir_all(files).await;
            }
            let _ = self.store.forget_session(&session.environment, &session.name).await;
        }
    }

    /// The record of a session of an environment.
    pub(crate) async fn session_record(
        &self,
        environment: &Environment,
        name: &SessionName,
    ) -> Result<(SessionRecord, TmuxName), Problem> {
        let all = self.store.sessions().await.or_problem()?;
        let found = all.into_iter().find(|r| r.environment == environment.id && r.name == *name);
        let record = found.ok_or_else(|| {
            let label = environment.label();
            Problem::new(Code::NotFound, format!("`{label}` has no session `{name}`"))
                .hint("`dwell sessions` lists them")
        })?;
        Ok((record, tmux_name(environment, name)?))
    }

    /// Ends one session's command.
    pub(crate) async fn end_session(
        &self,
        environment: &Environment,
        name: &SessionName,
    ) -> Result<(), Problem> {
        let (record, tmux) = self.session_record(environment, name).await?;
        self.sessions.sessions.end(&record.files, &tmux).await.or_problem()?;
        Ok(())
    }

    /// Ends all sessions of an environment.
    pub(crate) async fn end_sessions(&self, id: &EnvironmentId) -> Result<(), Problem> {
        let Some(environment) = self.store.environment(id).await.or_problem()? else {
            return Ok(());
        };
        for session in self.sessions(Some(id)).await? {
            if session.status == SessionStatus::Running {
                self.end_session(&environment, &session.name).await?;
            }
        }
        Ok(())
    }

    /// Types text into a session: the one named, or the only one that runs.
    pub(crate) async fn send(
        &self,
        environment: &Environment,
        session: Option<&SessionName>,
        text: &str,
        enter: bool,
    ) -> Result<SessionName, Problem> {
        let running: Vec<SessionName> = self
            .sessions(Some(&environment.id))
            .await?
            .into_iter()
            .filter(|s| s.status == SessionStatus::Running)
            .map(|s| s.name)
            .collect();
        let label = environment.label();
        let name = match (session, running.as_slice()) {
            (Some(name), all) if all.contains(name) => name.clone(),
            (Some(name), _) => {
                return Err(Problem::new(
                    Code::NotRunning,
                    format!("session `{name}` of `{label}` does not run"),
                ));
            }
            (None, [only]) => only.clone(),
            (None, []) => {
                return Err(Problem::new(
                    Code::NotRunning,
                    format!("no session of `{label}` runs"),
                ));
            }
            (None, all) => {
                return Err(Problem::new(
                    Code::Ambiguous,
                    format!("`{label}` has {} running sessions", all.len()),
                )
                .hint("name one with `--session`")
                .details(all.iter().map(ToString::to_string)));
            }
        };
        let tmux = tmux_name(environment, &name)?;
        self.sessions.sessions.tmux().send_text(&tmux, text, enter).await.or_problem()?;
        Ok(name)
    }
}

/// The agent that a command is recognised as.
pub(crate) fn agent_name(command: &[String]) -> Option<String> {
    command.first().and_then(|program| Agent::of(program)).map(|agent| agent.name.to_owned())
}

fn inside(environment: &Environment, relative: &std::path::Path) -> Result<PathBuf, Problem> {
    let escapes = relative.is_absolute()
        || relative.components().any(|part| part == std::path::Component::ParentDir);
    if escapes {
        let place = relative.display();
        return Err(Problem::new(
            Code::InvalidArgument,
            format!("the directory {place} leaves the environment's tree"),
        ));
    }
    Ok(environment.directory().join(relative))
}

/// The command's own name, with a number when it is taken.
fn free_name(program: &str, known: &[Session]) -> Result<SessionName, Problem> {
    let base = program.rsplit('/').next().unwrap_or(program);
    let clean: String = base
        .chars()
        .map(|c| if c.is_ascii_alphanumeric() { c.to_ascii_lowercase() } else { '-' })
        .take(40)
        .collect();
    let clean = clean.trim_matches('-');
    let clean = if clean.is_empty() { "session" } else { clean };
    for number in 1..10_000 {
        let text = if number == 1 { clean.to_owned() } else { format!("{clean}-{number}") };
        if !known.iter().any(|session| session.name.as_str() == text) {
            return text.parse().map_err(crate::node::invalid_name);
        }
    }
    Err(Problem::new(Code::Exists, format!("no name is left for a session of `{clean}`")))
}

/// The session to start again: the one named, or the only one that does not run.
fn resumed(
    environment: &Environment,
    request: &StartSession,
    known: &[Session],
) -> Result<(SessionName, Vec<String>, PathBuf), Problem> {
    let label = environment.label();
    let stopped: Vec<&Session> =
        known.iter().filter(|s| s.status != SessionStatus::Running).collect();
    let lost = stopped.iter().filter(|s| s.status == SessionStatus::Lost);
    let session = match &request.name {
        Some(name) => stopped.iter().find(|session| session.name == *name).copied(),
        None => {
            lost.max_by_key(|s| s.started).or(stopped.iter().max_by_key(|s| s.started)).copied()
        }
    };
    let Some(session) = session else {
        return Err(Problem::new(
            Code::NotFound,
            format!("`{label}` has no ended or lost session to resume"),
        )
        .hint("`dwell sessions` lists them; `dwell attach` goes to a running one"));
    };
    let command = resume_command(&session.command);
    Ok((session.name.clone(), command, session.directory.clone()))
}

impl IntoProblem for dwell_drivers::tmux::TmuxError {
    fn into_problem(self) -> Problem {
        use dwell_drivers::tmux::TmuxError;
        match &self {
            TmuxError::Missing | TmuxError::TooOld { .. } => {
                Problem::new(Code::ToolMissing, self.to_string()).hint("install tmux 3.2 or newer")
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
