//! `claude`, `codex` and so on: from nothing to an agent at work on the project around us.

use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use dwell_api::environment::{Environment, Up};
use dwell_api::session::{SendText, Session, SessionStatus, StartSession};
use dwell_api::workspace::{EnvironmentRef, Workspace};
use dwell_api::{Client, ClientError, Code, Problem, endpoint};
use dwell_core::agent::{Agent, AgentState};
use dwell_core::workspace::Status;
use dwell_core::{EnvironmentName, WorkspaceName};
use serde_json::Value;

use super::attach::{attach, still_runs};
use super::environment::{creation_anyway, place as by_name};
use super::operation::operate;
use super::run::{made, workspace};
use super::session::{again, of_place};
use super::{Context, given_variables, idempotency_key, own_binary};
use crate::arguments::begin::Begin;
use crate::arguments::environment::Making;
use crate::arguments::placement::Placing;
use crate::failure::{Ended, Failure, usage};
use crate::target::Place;
use crate::{project, terminal};

/// How long an agent may take until it waits for a prompt.
const READY: Duration = Duration::from_secs(60);
/// How often it is looked at meanwhile.
const LOOK: Duration = Duration::from_millis(300);
/// The longest name of a workspace.
const NAME_MAX: usize = 63;

/// Has an agent work on the project around us, and attaches to it.
pub(crate) async fn run(agent: &'static Agent, it: Begin, context: &Context) -> Ended {
    let mut client = context.connect().await?;
    let name = match &it.name {
        Some(name) => name.clone(),
        None => parsed(agent.name.parse::<EnvironmentName>())?,
    };
    let environment = environment(&name, &it, &mut client, context).await?;
    let place = workspace_of(&environment, &it, &mut client).await?;
    install(agent, &place.name, context)?;
    let session = session(agent, it, &environment, &place, &mut client, context).await?;
    let (session, detach) = session;
    if detach || !terminal::is_interactive() {
        if context.output.is_json() {
            context.output.json(&session)?;
        } else {
            context.output.text(session.name.as_str())?;
            context.output.note(&still_runs(&session));
        }
        return Ok(0);
    }
    attach(&session, &Place::Workspace(Box::new(place)), false, context).await
}

fn parsed<T, E: std::fmt::Display>(name: Result<T, E>) -> Result<T, Problem> {
    name.map_err(|error| Problem::new(Code::InvalidName, error.to_string()))
}

/// The environment, made where it is missing, with its services.
async fn environment(
    name: &EnvironmentName,
    it: &Begin,
    client: &mut Client,
    context: &Context,
) -> Result<Environment, Failure> {
    let placing = Placing { remote: it.node.clone(), ..Placing::default() };
    let mut create = creation_anyway(client, name, Making::default(), &placing, None).await?;
    // One of the same name in another project is never meant.
    if create.project.is_none() {
        create.project = Some(project::required_name(&create.source)?);
    }
    let path = by_name(endpoint::UP, name.as_str(), create.project.as_ref());
    let variables = create.variables.clone();
    let body = Up { create: Some(create), placement: placing.flags(), variables, ..Up::default() };
    made(operate(context, client, &path, &body, None).await?.environment)
}

/// The workspace of an environment: there, running and with its tree.
async fn workspace_of(
    environment: &Environment,
    it: &Begin,
    client: &mut Client,
) -> Result<Workspace, Failure> {
    let label = format!("{}-{}", environment.project, environment.name);
    let label: String = label.chars().take(NAME_MAX).collect();
    let name: WorkspaceName = parsed(label.parse())?;
    let path = endpoint::fill(endpoint::WORKSPACE, &[name.as_str()]);
    let full = format!("{}/{}", environment.project, environment.name);
    let has_tree = |it: &Workspace| {
        let own = it.environments.iter().find(|joined| joined.id == environment.id);
        own.is_some_and(|joined| joined.tree.is_some())
    };
    match client.get::<Workspace>(&path).await {
        Ok(there) => {
            if matches!(there.status, Status::Stopped | Status::Missing) {
                own(&["ws", "start", name.as_str()])?;
            }
            if !has_tree(&there) {
                own(&["ws", "join", name.as_str(), &full, "--tree"])?;
            }
        }
        Err(ClientError::Problem(problem)) if problem.code == Code::NotFound => {
            let settings = if it.no_settings { "--no-settings" } else { "--settings" };
            let mut words = vec!["ws", "create", name.as_str(), "--env", &full, settings];
            if let Some(image) = &it.image {
                words.extend(["--image", image.as_str()]);
            }
            let node = environment.node.as_ref().map(ToString::to_string);
            if let Some(node) = &node {
                words.extend(["--node", node]);
            }
            own(&words)?;
        }
        Err(other) => return Err(other.into()),
    }
    Ok(client.get(&path).await?)
}

/// Runs a command of ours that says what it does; our standard output is for the result.
fn own(words: &[&str]) -> Result<(), Failure> {
    let status = ours(words)?.stdin(Stdio::null()).stdout(Stdio::null()).status()?;
    match status.code() {
        Some(0) => Ok(()),
        // It has said why.
        code => Err(Failure::Exit(code.and_then(|code| u8::try_from(code).ok()).unwrap_or(1))),
    }
}

fn ours(words: &[&str]) -> Result<Command, Problem> {
    let mut command = Command::new(own_binary()?);
    command.args(words);
    Ok(command)
}

/// Sees to it that the agent is in the workspace.
fn install(agent: &Agent, workspace: &WorkspaceName, context: &Context) -> Result<(), Failure> {
    let ask = format!("command -v {}", agent.name);
    let words = ["ws", "exec", "--no-tty", workspace.as_str(), "--", "sh", "-lc", &ask];
    let there = ours(&words)?.stdin(Stdio::null()).stdout(Stdio::null()).status()?;
    if there.success() {
        return Ok(());
    }
    let title = agent.title;
    context.output.note(&format!("{title} is not in `{workspace}`: it is installed now"));
    own(&["agent", "install", agent.name, "--in", workspace.as_str()])
}

/// The agent's session: the one that runs, which gets the prompt; else a new one, or the lost one
/// again. Gives also whether it is not to be attached to.
async fn session(
    agent: &'static Agent,
    it: Begin,
    environment: &Environment,
    place: &Workspace,
    client: &mut Client,
    context: &Context,
) -> Result<(Session, bool), Failure> {
    if it.prompt.iter().any(|word| word.is_empty()) {
        return Err(usage("an empty prompt").into());
    }
    let prompt = Some(it.prompt.join(" ")).filter(|prompt| !prompt.is_empty());
    let inside = Place::Workspace(Box::new(place.clone()));
    let mut all = of_place(client, &inside).await?;
    all.retain(|session| {
        session.agent.as_deref() == Some(agent.name)
            && session.environment.as_ref() == Some(&environment.id)
    });
    all.sort_by_key(|session| session.started);
    if let Some(running) = all.iter().rfind(|session| session.status == SessionStatus::Running) {
        if let Some(prompt) = prompt {
            tell(client, place, running, prompt).await?;
        }
        return Ok((running.clone(), it.detach));
    }
    let lost = all.pop().filter(|last| last.status == SessionStatus::Lost && prompt.is_none());
    let id = parsed(environment.id.as_str().parse())?;
    let line = agent.interactive(prompt.as_deref());
    let given = given_variables(it.env);
    let body = StartSession {
        resume: lost.is_some(),
        environment: Some(EnvironmentRef { name: id, project: None }),
        // It is to be shown on a terminal sooner or later.
        pipes: false,
        ..workspace::start(lost.map(|lost| lost.name), line, given, true)
    };
    let path = endpoint::fill(endpoint::WORKSPACE_SESSIONS, &[place.id.as_str()]);
    let session: Session = client.post(&path, &idempotency_key()?, &body).await?;
    if let Some(prompt) = prompt.filter(|_| !agent.begins_with_prompt()) {
        tell_first(client, place, &session, prompt, context).await?;
    }
    Ok((session, it.detach))
}

/// Types the first prompt of an agent that takes none on its command line, once it waits for one.
/// What it asks before that is not answered with it.
async fn tell_first(
    client: &mut Client,
    place: &Workspace,
    session: &Session,
    prompt: String,
    context: &Context,
) -> Result<(), Failure> {
    let until = Instant::now() + READY;
    loop {
        let now = again(client, session).await?;
        match now.state {
            Some(AgentState::Idle) => return tell(client, place, session, prompt).await,
            Some(AgentState::Starting | AgentState::Working) if Instant::now() < until => {
                tokio::time::sleep(LOOK).await;
            }
            _ => {
                let name = &place.name;
                context.output.note(&format!(
                    "the prompt was not given, since something else is asked first: answer that, \
                     then `dwell agent send {name} '...'`"
                ));
                return Ok(());
            }
        }
    }
}

async fn tell(
    client: &mut Client,
    place: &Workspace,
    session: &Session,
    text: String,
) -> Result<(), Failure> {
    let path = endpoint::fill(endpoint::WORKSPACE_SEND, &[place.id.as_str()]);
    let body = SendText { session: Some(session.name.clone()), text, enter: true };
    let _: Value = client.post(&path, &idempotency_key()?, &body).await?;
    Ok(())
}
