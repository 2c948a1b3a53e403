//! `run`: an agent or a command in an environment, in a session that stays.

pub(super) mod workspace;

use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use dwell_api::environment::{Environment, ListEnvironments, Up, Variables};
use dwell_api::exec::CommandKind;
use dwell_api::session::{Session, SessionStatus, StartSession};
use dwell_api::{Client, ClientError, Code, Problem, endpoint};
use dwell_core::{EnvironmentName, SessionName, WorkspaceName};

use http_body_util::BodyExt;

use super::attach::{AGAIN, AWAY_LIMIT, attach, ended, still_runs};
use super::environment::{creation_anyway, of, place as by_name};
use super::operation::operate;
use super::session::{again, of_place, transcript};
use super::{Context, given_variables, idempotency_key};
use crate::arguments::EnvironmentAndRest;
use crate::arguments::session::Run;
use crate::failure::{Ended, Failure, usage};
use crate::target::{self, Place};
use crate::terminal;

/// The pause after a connection that nobody answered.
const ENDING: Duration = Duration::from_millis(200);

/// Variables of the invoking shell that say nothing about a command that runs elsewhere.
const NOT_PASSED: &[&str] = &["OLDPWD", "PWD", "SHLVL", "TMUX", "TMUX_PANE", "_"];

/// Runs a command.
pub(crate) async fn run(mut it: Run, context: &Context) -> Ended {
    if let Some(session) = it.resume.take() {
        return resume(it, session.as_ref(), context).await;
    }
    if it.workspace.is_some() {
        return workspace::run(it, context).await;
    }
    let words = EnvironmentAndRest::new(&it.words)?;
    let mut command = vec![it.command.take().unwrap_or_default()];
    let missing = check_program(&command).err().filter(|_| it.placing.remote.is_none());
    command.extend(words.rest);
    let mut client = context.connect().await?;
    if let Some(missing) = missing {
        let project = it.project.project.as_ref();
        let known = target::resolve(&mut client, Some(&words.environment), project).await;
        // On another node it may well be there.
        if !known.is_ok_and(|environment| environment.node.is_some()) {
            return Err(missing.into());
        }
    }
    let environment = prepare(&mut it, &words.environment, &mut client, context).await?;
    let given = given_variables(it.env);
    super::far::tell_of_keys(&mut client, &environment, &command, &given, context).await;
    if it.no_session {
        if environment.node.is_some() {
            let what = CommandKind::Program { arguments: command };
            return super::far::run(&environment, what, given, context).await;
        }
        return directly(&mut client, &environment, &command, given).await;
    }
    let body = start(it.name, command, given, it.detach, &environment);
    let place = Place::Environment(Box::new(environment));
    begin(&mut client, &place, &body, it.detach, context).await
}

/// Makes and starts what is missing.
async fn prepare(
    it: &mut Run,
    name: &EnvironmentName,
    client: &mut Client,
    context: &Context,
) -> Result<Environment, Failure> {
    let project = it.project.project.as_ref();
    if it.no_create {
        let environment = target::resolve(client, Some(name), project).await?;
        return if it.no_up { Ok(environment) } else { up(it, environment, client, context).await };
    }
    let making = std::mem::take(&mut it.making);
    let create = creation_anyway(client, name, making, &it.placing, project).await?;
    let result = if it.no_up {
        let query = ListEnvironments {
            project: create.project.clone(),
            name: Some(name.to_string()),
            path: None,
        };
        let mut found = target::list(client, &query).await?;
        found.retain(|environment| environment.source == create.source);
        if let Some(environment) = found.pop() {
            return Ok(environment);
        }
        operate(context, client, endpoint::ENVIRONMENTS, &create, None).await?
    } else {
        let path = by_name(endpoint::UP, name.as_str(), create.project.as_ref());
        let body = Up { create: Some(create), ..wishes(it) };
        operate(context, client, &path, &body, None).await?
    };
    made(result.environment)
}

async fn up(
    it: &Run,
    environment: Environment,
    client: &mut Client,
    context: &Context,
) -> Result<Environment, Failure> {
    let path = of(endpoint::UP, &environment);
    made(operate(context, client, &path, &wishes(it), None).await?.environment)
}

fn wishes(it: &Run) -> Up {
    Up {
        shared: it.shared.clone(),
        isolate: it.isolate.clone(),
        placement: it.placing.flags(),
        strict: it.placing.strict,
        variables: shell_variables(std::env::vars_os(), Vec::new()),
        ..Up::default()
    }
}

pub(super) fn made(environment: Option<Box<Environment>>) -> Result<Environment, Failure> {
    let missing = || Problem::new(Code::Internal, "the node did not say which environment it is");
    Ok(*environment.ok_or_else(missing)?)
}

/// Starts a lost or ended session again, with its own command.
async fn resume(mut it: Run, session: Option<&SessionName>, context: &Context) -> Ended {
    if !it.words.is_empty() {
        return Err(usage("--resume takes only the environment or the workspace").into());
    }
    let mut client = context.connect().await?;
    let place = resumed_in(&it, &mut client).await?;
    let all = of_place(&mut client, &place).await?;
    let session = resumable(all, session, &place.label())?;
    let given = given_variables(std::mem::take(&mut it.env));
    let name = Some(session.name.clone());
    if session.workspace.is_some() {
        let body = workspace::start(name, session.command, given, it.detach);
        return begin(
            &mut client,
            &place,
            &StartSession { resume: true, ..body },
            it.detach,
            context,
        )
        .await;
    }
    let Place::Environment(mut environment) = place else { return Err(usage("which?").into()) };
    if !it.no_up {
        *environment = up(&it, *environment, &mut client, context).await?;
    }
    let command = &session.command;
    super::far::tell_of_keys(&mut client, &environment, command, &given, context).await;
    let body = StartSession {
        resume: true,
        ..start(name, session.command, given, it.detach, &environment)
    };
    let place = Place::Environment(environment);
    begin(&mut client, &place, &body, it.detach, context).await
}

/// The place that `--resume` is about.
async fn resumed_in(it: &Run, client: &mut Client) -> Result<Place, Failure> {
    let named = it.workspace.as_ref().map(WorkspaceName::as_str).or(it.command.as_deref());
    let Some(named) = named else { return Err(usage("--resume takes a name").into()) };
    let name: EnvironmentName =
        named.parse().map_err(|e| Problem::new(Code::InvalidName, format!("{e}")))?;
    target::place(client, Some(&name), it.project.project.as_ref()).await
}

/// The session to start again: the one named, else the last that ended or was lost.
fn resumable(all: Vec<Session>, name: Option<&SessionName>, of: &str) -> Result<Session, Problem> {
    let fitting = |session: &Session| match name {
        Some(name) => session.name == *name,
        None => session.status != SessionStatus::Running,
    };
    let found = all.into_iter().filter(fitting).max_by_key(|session| session.started);
    let what = name.map_or("ended or lost session".to_owned(), |name| format!("session `{name}`"));
    let found = found.ok_or_else(|| {
        Problem::new(Code::NotFound, format!("there is no {what} in {of}"))
            .hint("`dwell sessions` lists them")
    })?;
    if found.status == SessionStatus::Running {
        let message = format!("session `{}` still runs", found.name);
        let hint = format!("`dwell attach {} {}`", found.place(), found.name);
        return Err(Problem::new(Code::Exists, message).hint(hint));
    }
    Ok(found)
}

fn start(
    name: Option<SessionName>,
    command: Vec<String>,
    given: Vec<(String, String)>,
    detached: bool,
    environment: &Environment,
) -> StartSession {
    let elsewhere = environment.node.is_some();
    StartSession {
        name,
        command,
        // This machine's paths and keys are none of another's.
        variables: if elsewhere {
            super::far::variables(given)
        } else {
            shell_variables(std::env::vars_os(), given)
        },
        login: elsewhere,
        environment: None,
        directory: None,
        size: terminal::size(),
        pipes: !detached && !terminal::is_interactive(),
        resume: false,
    }
}

/// The invoking shell's variables, and over them those that the user gave.
pub(crate) fn shell_variables(
    shell: impl Iterator<Item = (std::ffi::OsString, std::ffi::OsString)>,
    given: Vec<(String, String)>,
) -> Variables {
    let mut all: Vec<(String, String)> = shell
        .filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)))
        .filter(|(name, _)| !NOT_PASSED.contains(&name.as_str()))
        .filter(|(name, _)| !given.iter().any(|(other, _)| other == name))
        .collect();
    all.extend(given);
    Variables(all)
}

/// Starts the session and stays with it as the user wished.
async fn begin(
    client: &mut Client,
    place: &Place,
    body: &StartSession,
    detach: bool,
    context: &Context,
) -> Ended {
    let path = place.at(endpoint::ENVIRONMENT_SESSIONS, endpoint::WORKSPACE_SESSIONS);
    let session: Session = client.post(&path, &idempotency_key()?, body).await?;
    if detach {
        if context.output.is_json() {
            context.output.json(&session)?;
        } else {
            context.output.text(session.name.as_str())?;
            context.output.note(&still_runs(&session));
        }
        return Ok(0);
    }
    if terminal::is_interactive() {
        return attach(&session, place, false, context).await;
    }
    tokio::select! {
        ended = stream(&session, context) => ended,
        _ = tokio::signal::ctrl_c() => {
            context.output.note(&still_runs(&session));
            Err(Failure::Exit(Code::Interrupted.exit_code()))
        }
    }
}

/// Passes the command's output on until it ends; finds it again when the connection breaks, or
/// when the session's node has been away.
async fn stream(session: &Session, context: &Context) -> Ended {
    let path = transcript(session, true, false);
    let mut printed = 0_usize;
    let mut left = 3_u32;
    let mut away: Option<Instant> = None;
    loop {
        let mut client = context.connect().await?;
        let broke = match client.bytes(&path).await {
            Ok(body) => pass(body, &mut printed, context).await?,
            Err(ClientError::Connection(_)) => true,
            Err(error) if is_away(&error) => true,
            Err(error) => return Err(error.into()),
        };
        let mut client = context.connect().await?;
        let now: Session = match again(&mut client, session).await {
            // A daemon that is ending may still take a connection and not answer it.
            Err(ClientError::Connection(_)) if left > 0 => {
                left -= 1;
                tokio::time::sleep(ENDING).await;
                continue;
            }
            Err(error) if is_away(&error) => {
                wait_for_node(&mut away, error, context).await?;
                continue;
            }
            answer => answer?,
        };
        if away.take().is_some() {
            left = 3;
        }
        // What was written after the connection broke is still to be had, also when all is over.
        if let Some(code) = ended(&now).filter(|_| !broke) {
            return Ok(code);
        }
        if left == 0 {
            let why = if broke { "the connection broke" } else { "its output ended" };
            let message = format!("session `{}` goes on, but {why}", now.name);
            return Err(Problem::new(Code::NodeUnreachable, message)
                .hint(format!("`dwell logs -f {} --session {}`", now.place(), now.name))
                .into());
        }
        left -= 1;
    }
}

/// Whether the session's node cannot be reached now.
fn is_away(error: &ClientError) -> bool {
    matches!(error, ClientError::Problem(problem) if problem.code == Code::NodeUnreachable)
}

/// Waits a moment for a node that is away since then; tells it once, and gives up after an hour.
async fn wait_for_node(
    away: &mut Option<Instant>,
    error: ClientError,
    context: &Context,
) -> Result<(), Failure> {
    if away.is_none() {
        context.output.note(
            "the node is away; the session goes on there, and is followed again \
                             as soon as it is back (Ctrl-C leaves)",
        );
    }
    if away.get_or_insert_with(Instant::now).elapsed() > AWAY_LIMIT {
        return Err(error.into());
    }
    tokio::time::sleep(AGAIN).await;
    Ok(())
}

/// Prints what was not printed before; gives whether the stream broke off.
async fn pass(
    mut body: impl BodyExt<Data = bytes::Bytes> + Unpin,
    printed: &mut usize,
    context: &Context,
) -> Result<bool, Failure> {
    let mut skip = *printed;
    while let Some(frame) = body.frame().await {
        let Ok(frame) = frame else { return Ok(true) };
        let Some(bytes) = frame.data_ref() else { continue };
        let fresh = bytes.get(skip.min(bytes.len())..).unwrap_or_default();
        skip = skip.saturating_sub(bytes.len());
        context.output.bytes(fresh)?;
        *printed += fresh.len();
    }
    Ok(false)
}

/// Becomes the command, in the environment's tree with its variables.
async fn directly(
    client: &mut Client,
    environment: &Environment,
    command: &[String],
    given: Vec<(String, String)>,
) -> Ended {
    let variables: Variables = client.get(&of(endpoint::VARIABLES, environment)).await?;
    let (program, arguments) = command.split_first().ok_or_else(|| usage("no command"))?;
    let error = Command::new(program)
        .args(arguments)
        .current_dir(&environment.directory)
        .envs(variables.0)
        .envs(given)
        .exec();
    let directory = environment.directory.display();
    let message = format!("`{program}` could not be run in `{directory}`: {error}");
    Err(Problem::new(Code::ToolMissing, message).into())
}

/// Refuses a command that does not exist before anything is made for it. One relative to the
/// tree can only be looked for once the tree is there.
fn check_program(command: &[String]) -> Result<(), Problem> {
    let Some(program) = command.first().filter(|program| !program.is_empty()) else {
        return Err(usage("no command was given"));
    };
    let path = std::env::var_os("PATH").unwrap_or_default();
    let there = match (program.starts_with('/'), program.contains('/')) {
        (true, _) => is_program(Path::new(program)),
        (false, true) => true,
        (false, false) => std::env::split_paths(&path).any(|dir| is_program(&dir.join(program))),
    };
    if there {
        return Ok(());
    }
    Err(Problem::new(Code::ToolMissing, format!("command `{program}` is not on PATH"))
        .hint("install it, or name it by its path; nothing was created"))
}

fn is_program(path: &Path) -> bool {
    use std::os::unix::fs::PermissionsExt;
    path.metadata().is_ok_and(|m| m.is_file() && m.permissions().mode() & 0o111 != 0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::output::samples::session;

    #[test]
    fn a_missing_command_is_refused() {
        let check = |program: &str| check_program(&[program.to_owned()]);
        assert_eq!(check("dwell-no-such-agent").unwrap_err().code, Code::ToolMissing);
        assert_eq!(check("/no/such").unwrap_err().code, Code::ToolMissing);
        assert_eq!(check("").unwrap_err().code, Code::Usage);
        for program in ["sh", "/bin/sh", "./run.sh"] {
            assert!(check(program).is_ok(), "{program}");
        }
    }

    #[test]
    fn given_variables_win_over_the_shells() {
        let shell = [("A", "1"), ("TMUX", "x"), ("B", "2")].map(|(n, v)| (n.into(), v.into()));
        let all = shell_variables(shell.into_iter(), vec![("A".to_owned(), "3".to_owned())]);
        let pair = |name: &str, value: &str| (name.to_owned(), value.to_owned());
        assert_eq!(all.0, [pair("B", "2"), pair("A", "3")]);
    }

    #[test]
    fn the_last_session_that_does_not_run_is_resumed() {
        let lost = |name: &str, started| Session {
            status: SessionStatus::Lost,
            started,
            ..session(name, "a1")
        };
        let all = || vec![lost("npm", 2), lost("aider", 1), session("claude", "a1")];
        assert_eq!(resumable(all(), None, "a1").unwrap().name.as_str(), "npm");
        let aider = "aider".parse().unwrap();
        assert_eq!(resumable(all(), Some(&aider), "a1").unwrap().name, aider);
        let claude = "claude".parse().unwrap();
        assert_eq!(resumable(all(), Some(&claude), "a1").unwrap_err().code, Code::Exists);
        assert_eq!(resumable(Vec::new(), None, "a1").unwrap_err().code, Code::NotFound);
    }
}
