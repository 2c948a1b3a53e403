//! `workspace exec`: a command in a workspace, over one upgraded connection.

use std::io::IsTerminal;

use dwell_api::exec::PROTOCOL;
use dwell_api::workspace::WorkspaceExec;
use dwell_api::{Code, Problem, endpoint};
use dwell_core::WorkspaceName;

use super::of;
use crate::arguments::workspace::Exec;
use crate::command::exec::converse;
use crate::command::{Context, given_variables};
use crate::failure::Ended;
use crate::terminal;

/// Runs a command in a workspace.
pub(super) async fn run(it: Exec, context: &Context) -> Ended {
    let name = it.name.clone();
    converse_in(&name, &body(it)?, context).await
}

/// Runs a command in a workspace, on this terminal where it has one.
pub(crate) async fn converse_in(
    name: &WorkspaceName,
    body: &WorkspaceExec,
    context: &Context,
) -> Ended {
    let path = of(endpoint::WORKSPACE_EXEC, name);
    let stream = context.connect().await?.upgrade(&path, PROTOCOL, body).await?;
    let raw = if body.tty { terminal::Raw::enter() } else { None };
    let (read, write) = tokio::io::split(stream);
    let ended = converse(read, write, body.stdin, body.tty, context).await;
    drop(raw);
    ended
}

fn body(it: Exec) -> Result<WorkspaceExec, Problem> {
    let words = it.words.into_iter().map(|word| {
        word.into_string().map_err(|word| {
            let message = format!("argument `{}` is not UTF-8", word.to_string_lossy());
            Problem::new(Code::InvalidArgument, message)
        })
    });
    let mut command: Vec<String> = words.collect::<Result<_, _>>()?;
    if command.first().is_some_and(|word| word == "--") {
        command.remove(0);
    }
    let terminals = std::io::stdin().is_terminal() && std::io::stdout().is_terminal();
    let tty = terminals && !it.no_tty;
    let mut variables = given_variables(it.env);
    if tty && let Ok(kind) = std::env::var("TERM") {
        variables.insert(0, ("TERM".to_owned(), kind));
    }
    Ok(WorkspaceExec {
        command,
        tty,
        stdin: !terminal::has_no_input(),
        size: if tty { terminal::size() } else { None },
        variables,
        user: it.user,
        directory: it.workdir,
    })
}
