//! What the keys of the screen have done.

use std::process::Stdio;

use dwell_api::event::Outcome;
use dwell_api::workspace::{Change, DestroyWorkspace, Workspace, WorkspaceLosses};
use dwell_api::{ClientError, Problem, endpoint};
use serde::Serialize;
use tokio::process::Command;

use crate::command::workspace::usual;
use crate::command::{Context, idempotency_key, own_binary};
use crate::connect;
use crate::picker::{Effect, Input};

/// Does it, and tells how that ended.
pub(super) async fn act(effect: Effect, context: &Context) -> Input {
    match tried(effect, context).await {
        Ok(input) => input,
        Err(problem) => Input::Failed(match problem.hint {
            Some(hint) => format!("{}: {hint}", problem.message),
            None => problem.message,
        }),
    }
}

async fn tried(effect: Effect, context: &Context) -> Result<Input, Problem> {
    let change = |id: &str| endpoint::fill(endpoint::WORKSPACE_CHANGE, &[id]);
    let summary = |outcome: Outcome| Input::Done(outcome.summary);
    match effect {
        Effect::Create { name } => {
            let body = usual(name.clone(), context)?;
            operate(endpoint::WORKSPACES, &body, context).await?;
            let mut client = connect::connect(&context.paths).await?;
            let path = endpoint::fill(endpoint::WORKSPACE, &[name.as_str()]);
            let made: Workspace = client.get(&path).await.map_err(ClientError::into_problem)?;
            Ok(Input::Ready { id: made.id.to_string() })
        }
        Effect::Open { id } => {
            operate(&change(&id), &Change::Start, context).await?;
            Ok(Input::Ready { id })
        }
        Effect::Start { id } => Ok(summary(operate(&change(&id), &Change::Resume, context).await?)),
        Effect::Stop { id } => Ok(summary(operate(&change(&id), &Change::Stop, context).await?)),
        Effect::AskLosses { id } => {
            let mut client = connect::connect(&context.paths).await?;
            let path = endpoint::fill(endpoint::WORKSPACE_LOSSES, &[&id]);
            let losses: WorkspaceLosses =
                client.get(&path).await.map_err(ClientError::into_problem)?;
            Ok(Input::Losses { id, losses: losses.lines() })
        }
        Effect::Destroy { id } => {
            let path = endpoint::fill(endpoint::WORKSPACE_DESTROY, &[&id]);
            // What would be lost was shown.
            let body = DestroyWorkspace { force: true, purge: false };
            Ok(summary(operate(&path, &body, context).await?))
        }
        Effect::EndSession { workspace, session } => {
            let words = ["sessions", "kill", &workspace, &session].map(str::to_owned);
            Ok(run(&words, Stdio::null).await)
        }
        _ => Ok(Input::Done(String::new())),
    }
}

async fn operate<B: Serialize>(
    path: &str,
    body: &B,
    context: &Context,
) -> Result<Outcome, Problem> {
    let mut client = connect::connect(&context.paths).await?;
    let operation = async {
        let mut lines = client.operate(path, &idempotency_key()?, body).await?;
        lines.outcome(|_| {}).await
    };
    operation.await.map_err(ClientError::into_problem)
}

/// Runs a command of ours on the terminal.
pub(super) async fn in_terminal(words: &[String]) -> Input {
    run(words, Stdio::inherit).await
}

async fn run(words: &[String], stdio: fn() -> Stdio) -> Input {
    let mut command = match own_binary() {
        Ok(own) => Command::new(own),
        Err(problem) => return Input::Failed(problem.message),
    };
    command.args(words).stdin(stdio()).stdout(stdio()).stderr(Stdio::piped());
    let ended = match command.spawn() {
        Ok(child) => child.wait_with_output().await,
        Err(error) => Err(error),
    };
    match ended {
        Ok(output) => {
            let said = String::from_utf8_lossy(&output.stderr);
            told(&said, output.status.success())
        }
        Err(error) => Input::Failed(format!("it could not be run: {error}")),
    }
}

/// What a command said last, or which error it told of.
fn told(said: &str, is_well: bool) -> Input {
    let clean = |line: &str| -> String {
        strip(line)
            .trim()
            .trim_start_matches("error: ")
            .chars()
            .filter(|c| !c.is_control())
            .collect()
    };
    let mut lines = said.lines().filter(|line| !line.trim().is_empty());
    let error = said.lines().find(|line| strip(line).starts_with("error: "));
    let line = error.or_else(|| lines.next_back()).map(clean).unwrap_or_default();
    if is_well { Input::Done(line) } else { Input::Failed(line) }
}

/// A line without the colours of a terminal.
fn strip(line: &str) -> String {
    let mut parts = line.split('\u{1b}');
    let first = parts.next().unwrap_or_default().to_owned();
    parts.fold(first, |text, part| {
        let rest = part.split_once(|c: char| c.is_ascii_alphabetic()).map_or("", |(_, rest)| rest);
        text + rest
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_is_told_before_anything_else() {
        let said = "making\n\u{1b}[31merror:\u{1b}[0m no such thing\nhint: look\n(not_found)\n";
        assert_eq!(told(said, false), Input::Failed("no such thing".to_owned()));
        assert_eq!(told("one\nsession a goes on\n", true), Input::Done("session a goes on".into()));
        assert_eq!(told("", true), Input::Done(String::new()));
    }
}
