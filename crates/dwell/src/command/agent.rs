//! `agent`: which coding agents are there, and what they are doing.

use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use dwell_api::session::{Session, SessionStatus};
use dwell_api::{Client, Code, Problem};
use dwell_core::agent::{Agent, AgentState, Found, survey, surveyed};
use serde_json::json;

use super::session::{self, again};
use super::{Context, own_binary};
use crate::arguments::agent::{
    AgentAction as Action, Agents, Doctor, Install, OfAgent, There, Wait,
};
use crate::failure::{Ended, Failure};
use crate::output::{Style, Table};
use crate::target;

/// How often an agent that is waited for is looked at.
const LOOK: Duration = Duration::from_millis(300);

/// Runs `agent`.
pub(crate) async fn run(it: Agents, context: &Context) -> Ended {
    match it.action {
        Action::Ls(there) => ls(&there, context),
        Action::Install(it) => install(&it, context),
        Action::Doctor(it) => doctor(&it, context),
        Action::Mcp(it) => super::mcp::run(it, context).await,
        Action::State(it) => {
            let mut client = context.connect().await?;
            let (session, state) = of(&mut client, &it.of).await?;
            told(&session, state, context)
        }
        Action::Wait(it) => wait(it, context).await,
        Action::Send(it) => session::send(it, context).await,
    }
}

fn ls(there: &There, context: &Context) -> Ended {
    let all = found(there, None)?;
    context.output.result(&all, |all, style| table(all, style))?;
    Ok(0)
}

fn table(all: &[Found], style: Style) -> String {
    let mut table = Table::new(&["AGENT", "VERSION", "SIGNED IN", "PROGRAM"]);
    for found in all {
        let text = |field: &Option<String>| field.clone().unwrap_or_default();
        let program = found.program.clone().unwrap_or_else(|| "not installed".to_owned());
        table.row(vec![
            found.agent.to_owned(),
            text(&found.version),
            text(&found.signed_in),
            program,
        ]);
    }
    table.render(style)
}

/// A script of the plain shell, as whoever works there.
fn shell(there: &There, script: &str) -> Result<Command, Problem> {
    let Some(workspace) = &there.workspace else {
        let mut command = Command::new("sh");
        command.args(["-c", script]);
        return Ok(command);
    };
    let own = own_binary()?;
    let mut command = Command::new(own);
    command.args(["ws", "exec", "--no-tty", workspace.as_str(), "--", "sh", "-lc", script]);
    Ok(command)
}

fn found(there: &There, only: Option<&Agent>) -> Result<Vec<Found>, Failure> {
    let mut ask = shell(there, &survey(only))?;
    let said = ask.stdin(Stdio::null()).stderr(Stdio::inherit()).output()?;
    match said.status.code() {
        Some(0) => Ok(surveyed(&String::from_utf8_lossy(&said.stdout))),
        // It has said why.
        code => Err(Failure::Exit(code.and_then(|code| u8::try_from(code).ok()).unwrap_or(1))),
    }
}

fn install(it: &Install, context: &Context) -> Ended {
    let script = it.agent.install();
    let status = shell(&it.there, &script)?.stdin(Stdio::null()).status()?;
    if !status.success() {
        let message = format!("{} was not installed", it.agent.title);
        return Err(Problem::new(Code::ToolFailed, message).into());
    }
    let found = one(it.agent, &it.there)?;
    match (&found.program, &found.version) {
        (Some(_), Some(version)) => {
            context.output.note(&format!("{} is installed: {version}", it.agent.title));
            Ok(0)
        }
        (None, _) => {
            let message = format!("{} is installed, but not in the PATH", it.agent.title);
            Err(Problem::new(Code::ToolMissing, message)
                .hint("add ~/.local/bin to the PATH of your shell")
                .into())
        }
        (Some(program), None) => {
            let message = format!("{} is installed, but does not start", it.agent.title);
            Err(Problem::new(Code::ToolFailed, message)
                .hint(format!("`{program} --version` tells why"))
                .into())
        }
    }
}

fn one(agent: &'static Agent, there: &There) -> Result<Found, Failure> {
    let none = Found { agent: agent.name, program: None, version: None, signed_in: None };
    Ok(found(there, Some(agent))?.pop().unwrap_or(none))
}

/// What keeps an agent from working.
fn troubles(found: &Found, there: &There) -> Vec<String> {
    let place = there.workspace.as_ref().map(|name| format!(" --in {name}")).unwrap_or_default();
    let mut all = Vec::new();
    match (&found.program, &found.version) {
        (None, _) => {
            let name = found.agent;
            all.push(format!("not installed: `dwell agent install {name}{place}`"));
        }
        (Some(program), None) => {
            all.push(format!("does not start: `{program} --version` tells why"));
        }
        _ => {}
    }
    if found.program.is_some() && found.signed_in.is_none() {
        all.push("no key and no sign-in is seen: start it and sign in, or set its key".to_owned());
    }
    all
}

fn doctor(it: &Doctor, context: &Context) -> Ended {
    let mut all = found(&it.there, it.agent)?;
    if it.agent.is_none() {
        all.retain(|found| found.program.is_some());
    }
    if all.is_empty() && it.agent.is_none() {
        let problem = Problem::new(Code::NotFound, "no agent is installed there");
        return Err(problem.hint("`dwell agent install <agent>` installs one").into());
    }
    let checked: Vec<_> = all
        .iter()
        .map(|found| json!({ "agent": found.agent, "troubles": troubles(found, &it.there) }))
        .collect();
    let is_well = all.iter().all(|found| troubles(found, &it.there).is_empty());
    context.output.result(&checked, |_, style| {
        let line = |found: &Found| {
            let troubles = troubles(found, &it.there);
            let name = style.bold(found.agent);
            match troubles.is_empty() {
                true => format!("{name}: works, {}\n", found.version.as_deref().unwrap_or("?")),
                false => troubles.iter().map(|trouble| format!("{name}: {trouble}\n")).collect(),
            }
        };
        all.iter().map(line).collect()
    })?;
    Ok(u8::from(!is_well))
}

/// The session of an agent and what that is doing: the one that was named, or the only one that
/// runs, or the last that did.
async fn of(client: &mut Client, it: &OfAgent) -> Result<(Session, AgentState), Failure> {
    let place = target::place(client, Some(&it.place), it.project.project.as_ref()).await?;
    let all = session::of_place(client, &place).await?;
    let agents: Vec<Session> = all.into_iter().filter(|session| session.agent.is_some()).collect();
    let running = agents.iter().filter(|s| s.status == SessionStatus::Running).count();
    let session = match (&it.session, running) {
        (None, 0) => agents.into_iter().max_by_key(|session| session.started),
        _ => Some(session::choose(agents, it.session.as_ref(), &place.label())?),
    };
    let Some(session) = session else {
        let message = format!("no agent has a session in {}", place.label());
        return Err(Problem::new(Code::NotFound, message)
            .hint("`dwell run <agent> <env>` or `dwell run --in <workspace> <agent>` starts one")
            .into());
    };
    let state = state(&session)?;
    Ok((session, state))
}

fn state(session: &Session) -> Result<AgentState, Problem> {
    session.state.ok_or_else(|| {
        let message = format!("session `{}` was lost", session.name);
        Problem::new(Code::NotRunning, message).hint("`dwell run --resume` starts it again")
    })
}

fn told(session: &Session, state: AgentState, context: &Context) -> Ended {
    let value = json!({ "session": session.name, "agent": session.agent, "state": state,
                        "conversation": session.conversation });
    context.output.result(&value, |_, _| format!("{}\n", state.as_str()))?;
    Ok(0)
}

async fn wait(it: Wait, context: &Context) -> Ended {
    let states = if it.states.is_empty() {
        vec![AgentState::NeedsInput, AgentState::Idle, AgentState::Done, AgentState::Error]
    } else {
        it.states
    };
    let deadline = it.timeout.map(|time| Instant::now() + time.duration());
    let mut client = context.connect().await?;
    let (mut session, mut now) = of(&mut client, &it.of).await?;
    loop {
        let ended = matches!(now, AgentState::Done | AgentState::Error);
        if states.contains(&now) {
            told(&session, now, context)?;
            return Ok(u8::from(now == AgentState::Error));
        }
        if ended {
            let message = format!("the agent ended: {}", now.as_str());
            return Err(Problem::new(Code::NotRunning, message).into());
        }
        if deadline.is_some_and(|deadline| Instant::now() > deadline) {
            let message = format!("the agent is still {}", now.as_str());
            return Err(Problem::new(Code::Timeout, message).into());
        }
        tokio::time::sleep(LOOK).await;
        session = again(&mut client, &session).await?;
        now = state(&session)?;
    }
}
