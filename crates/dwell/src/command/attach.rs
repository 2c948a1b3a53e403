//! `attach`: gives the terminal to a session until the user detaches or its command ends.

use std::process::Command;

use dwell_api::session::{Session, SessionStatus};
use dwell_api::{Code, Problem, endpoint};

use super::session::{pick, place};
use super::{Context, child_code};
use crate::arguments::session::Attach;
use crate::failure::{Ended, Failure, usage};
use crate::{target, terminal};

/// Attaches to a session.
pub(crate) async fn run(it: Attach, context: &Context) -> Ended {
    let mut client = context.connect().await?;
    let project = it.project.project.as_ref();
    let environment = target::resolve(&mut client, it.environment.as_ref(), project).await?;
    let session = pick(&mut client, &environment, it.session.as_ref()).await?;
    if context.output.is_json() {
        context.output.json(&session)?;
        return Ok(0);
    }
    if session.status != SessionStatus::Running {
        let message = format!("session `{}` does not run any more", session.name);
        return Err(Problem::new(Code::NotRunning, message)
            .hint(format!("`dwell run --resume={} {}`", session.name, session.environment_name))
            .into());
    }
    if !terminal::is_interactive() {
        let hint = format!("`dwell logs {} --session {}`", environment.name, session.name);
        return Err(usage("attaching needs a terminal").hint(hint).into());
    }
    attach(&session, it.read_only, context).await
}

/// Hands the terminal over, and afterwards says how the session is.
pub(crate) async fn attach(session: &Session, read_only: bool, context: &Context) -> Ended {
    let Some((program, arguments)) = session.attach.split_first() else {
        let message = format!("session `{}` cannot be attached to", session.name);
        return Err(Problem::new(Code::NotRunning, message).into());
    };
    let mut command = Command::new(program);
    // Ours is another tmux server than the one that the user may sit in.
    command.args(arguments).env_remove("TMUX").env_remove("TMUX_PANE");
    if read_only {
        command.arg("-r");
    }
    let status = command.status().map_err(|e| {
        Problem::new(Code::ToolMissing, format!("`{program}` could not be run: {e}"))
            .hint("`dwell doctor` says what is missing")
    })?;
    let mut client = context.connect().await?;
    let now: Session = client.get(&place(endpoint::SESSION, session)).await?;
    match ended(&now) {
        Some(code) => Ok(code),
        None if status.success() => {
            context.output.note(&still_runs(&now));
            Ok(0)
        }
        None => Err(Failure::Exit(child_code(status.code().unwrap_or(1)))),
    }
}

/// The exit code of a session's command, once it has ended.
pub(crate) fn ended(session: &Session) -> Option<u8> {
    match session.status {
        SessionStatus::Running => None,
        SessionStatus::Ended => Some(child_code(session.exit_code.unwrap_or(1))),
        SessionStatus::Lost => Some(1),
    }
}

/// How to get back to a session.
pub(crate) fn still_runs(session: &Session) -> String {
    format!(
        "session {} goes on: dwell attach {} {}",
        session.name, session.environment_name, session.name
    )
}
