//! Starting sessions, and starting those again that ended or were lost.

use std::collections::BTreeMap;
use std::path::{Component, Path, PathBuf};
use std::sync::Arc;

use dwell_api::session::{Session, SessionStatus, StartSession};
use dwell_api::{Code, Problem};
use dwell_core::SessionName;
use dwell_core::agent::{Agent, resume_command};
use dwell_core::environment::Environment;
use dwell_core::idle::Source;
use dwell_core::workspace::{HOME, SESSIONS, Workspace};
use dwell_drivers::session::DEFAULT_LIMIT;
use dwell_drivers::tmux::Size;
use dwell_store::SessionRecord;

use super::{Place, agent_name};
use crate::facts::make_directory;
use crate::node::Node;
use crate::problem::OrProblem;
use crate::workspace;

/// Ended sessions that a place keeps before the oldest are forgotten.
const KEPT: usize = 50;
/// The terminal of a session that nobody has shown yet.
const SIZE: (u16, u16) = (120, 36);

/// What a session runs.
pub(super) struct What {
    pub(super) name: SessionName,
    pub(super) command: Vec<String>,
    pub(super) directory: PathBuf,
    /// The environment that it is in, or on whose tree it works in a workspace.
    pub(super) environment: Option<Environment>,
}

/// How it runs.
pub(super) struct How {
    pub(super) variables: Vec<(String, String)>,
    pub(super) login: bool,
    pub(super) size: Option<(u16, u16)>,
    pub(super) pipes: bool,
    pub(super) restored: bool,
}

/// Starts a session. A workspace that is frozen is woken first.
pub(crate) async fn start(
    node: &Arc<Node>,
    place: Place,
    request: StartSession,
) -> Result<Session, Problem> {
    let place = match place {
        Place::Workspace(it) => Place::from(workspace::awake(node, *it, Source::Task).await?),
        environment @ Place::Environment(_) => environment,
    };
    let known = node.sessions_at(&place).await?;
    let what = what_to_start(node, &place, &request, &known).await?;
    let how = How {
        variables: request.variables.0,
        login: request.login,
        size: request.size,
        pipes: request.pipes,
        restored: false,
    };
    let session = begin(node, &place, what, how).await?;
    forget_oldest(node, &place, &known).await;
    Ok(session)
}

/// Starts a session of a place where commands can run.
pub(super) async fn begin(
    node: &Node,
    place: &Place,
    what: What,
    how: How,
) -> Result<Session, Problem> {
    let started = node.now();
    let home = place.folder(node);
    make_directory(&home)?;
    let files = home.join(format!("{}-{started}", what.name));
    let inside = matches!(place, Place::Workspace(_));
    let variables = variables(node, place, &what, &how).await;
    let (columns, rows) = how.size.unwrap_or(SIZE);
    let tmux = place.tmux_name(&what.name)?;
    let start = dwell_drivers::session::StartSession {
        directory: files.clone(),
        name: tmux,
        argv: observed(node, place, &what.command, &files),
        cwd: what.directory.clone(),
        environment: variables.into_iter().map(|(n, v)| (n.into(), v.into())).collect(),
        size: Size { columns, rows },
        pty: !how.pipes,
        transcript_limit: DEFAULT_LIMIT,
        login: inside,
    };
    let state = place.sessions(node).start(&start).await.or_problem()?;
    let record = SessionRecord {
        environment: what.environment.as_ref().map(|environment| environment.id.clone()),
        workspace: match place {
            Place::Workspace(it) => Some(it.id.clone()),
            Place::Environment(_) => None,
        },
        name: what.name,
        command: what.command,
        directory: what.directory,
        files,
        started,
        restored: how.restored,
    };
    node.store.put_session(&record).await.or_problem()?;
    node.show_session(place, what.environment.as_ref(), &record, &state)
}

/// The command with the hooks by which an agent tells what it is doing.
fn observed(node: &Node, place: &Place, command: &[String], files: &Path) -> Vec<String> {
    let Some(agent) = command.first().and_then(|program| Agent::of(program)) else {
        return command.to_vec();
    };
    let (binary, directory) = match place {
        Place::Environment(_) => (node.sessions.binary.clone(), files.to_owned()),
        Place::Workspace(_) => {
            let own = files.file_name().unwrap_or_default();
            (workspace::own_binary().into(), Path::new(SESSIONS).join(own))
        }
    };
    let words = [binary.display().to_string(), "agent-hook".to_owned()];
    let hook: Vec<String> = words.into_iter().chain([directory.display().to_string()]).collect();
    agent.observed(command, &hook)
}

/// The variables of a session: in an environment all of them, in a workspace those that lie over
/// what a login there gives.
async fn variables(node: &Node, place: &Place, what: &What, how: &How) -> BTreeMap<String, String> {
    let mut all = BTreeMap::new();
    if how.login && matches!(place, Place::Environment(_)) {
        all.extend(node.login.variables().await);
    }
    all.extend(how.variables.iter().cloned());
    if let Some(environment) = &what.environment {
        let session = Some((&what.name, what.command.as_slice()));
        all.extend(node.variables(environment, session).await);
    }
    if let Place::Workspace(it) = place {
        all.extend(of_workspace(it, what));
    }
    all
}

fn of_workspace(it: &Workspace, what: &What) -> Vec<(String, String)> {
    let mut own = it.variables();
    own.push(("DWELL_SESSION".to_owned(), what.name.to_string()));
    own.extend(agent_name(&what.command).map(|agent| ("DWELL_AGENT".to_owned(), agent)));
    own
}

async fn what_to_start(
    node: &Node,
    place: &Place,
    request: &StartSession,
    known: &[Session],
) -> Result<What, Problem> {
    if request.resume {
        return resumed(node, place, request, known).await;
    }
    let Some(program) = request.command.first().filter(|program| !program.is_empty()) else {
        return Err(Problem::new(Code::InvalidArgument, "a session needs a command"));
    };
    let name = match &request.name {
        Some(name) => free(name, known)?,
        None => free_name(program, known)?,
    };
    let (environment, directory) = match place {
        Place::Environment(environment) => {
            let directory = in_environment(environment, request.directory.as_deref())?;
            (Some(environment.as_ref().clone()), directory)
        }
        Place::Workspace(it) => {
            let environment = match &request.environment {
                Some(meant) => Some(workspace::with_tree(node, it, meant).await?),
                None => None,
            };
            let base = environment.as_ref().map_or(Path::new(HOME), Environment::directory);
            let directory = base.join(request.directory.as_deref().unwrap_or(Path::new("")));
            // Without the separator that joining nothing leaves.
            (environment.clone(), directory.components().collect())
        }
    };
    Ok(What { name, command: request.command.clone(), directory, environment })
}

fn free(name: &SessionName, known: &[Session]) -> Result<SessionName, Problem> {
    if known.iter().any(|s| s.name == *name && s.status == SessionStatus::Running) {
        let message = format!("session `{name}` runs already");
        return Err(Problem::new(Code::Exists, message)
            .hint("attach to it with `dwell attach`, or choose another name"));
    }
    Ok(name.clone())
}

fn in_environment(environment: &Environment, asked: Option<&Path>) -> Result<PathBuf, Problem> {
    let directory = match asked {
        None => environment.directory().to_owned(),
        Some(relative) => inside(environment, relative)?,
    };
    if !directory.is_dir() {
        let place = directory.display();
        return Err(Problem::new(Code::NotFound, format!("there is no directory {place}")));
    }
    Ok(directory)
}

fn inside(environment: &Environment, relative: &Path) -> Result<PathBuf, Problem> {
    let escapes =
        relative.is_absolute() || relative.components().any(|part| part == Component::ParentDir);
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

/// The session to start again: the one named, or the last that was lost, or ended.
async fn resumed(
    node: &Node,
    place: &Place,
    request: &StartSession,
    known: &[Session],
) -> Result<What, Problem> {
    let label = place.label();
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
    let (record, _) = place.record(node, &session.name).await?;
    Ok(What {
        command: resume_command(&record.command, session.conversation.as_deref()),
        environment: environment_of(node, &record).await?,
        name: record.name,
        directory: record.directory,
    })
}

/// The environment of a recorded session, while it is there.
pub(super) async fn environment_of(
    node: &Node,
    record: &SessionRecord,
) -> Result<Option<Environment>, Problem> {
    match &record.environment {
        Some(id) => node.store.environment(id).await.or_problem(),
        None => Ok(None),
    }
}

/// Ended sessions beyond the number kept are forgotten, oldest first.
async fn forget_oldest(node: &Node, place: &Place, known: &[Session]) {
    let ended: Vec<&Session> =
        known.iter().filter(|s| s.status != SessionStatus::Running).collect();
    for session in ended.iter().take(ended.len().saturating_sub(KEPT)) {
        if let Ok((record, _)) = place.record(node, &session.name).await {
            let _ = tokio::fs::remove_dir_all(record.files).await;
        }
        let _ = node.store.forget_session(place.id(), &session.name).await;
    }
}
