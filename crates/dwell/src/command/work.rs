//! `diff`, `merge` and `sync`: work on its way between an environment and its source.

use std::io::{IsTerminal, Write};
use std::process::{Command, Stdio};

use dwell_api::endpoint;
use dwell_api::environment::{
    DiffQuery, Merge as Body, Pull as PullBody, Sync as SyncBody, TextReport,
};

use super::environment::of;
use super::{Context, idempotency_key};
use crate::arguments::work::{Diff, Merge, Pull, Sync};
use crate::failure::{Ended, Failure};
use crate::target;

/// Shows an environment's work.
pub(crate) async fn diff(it: Diff, context: &Context) -> Ended {
    let mut client = context.connect().await?;
    let project = it.project.project.as_ref();
    let environment = target::resolve(&mut client, it.environment.as_ref(), project).await?;
    let query = DiffQuery {
        project: None,
        stat: it.stat,
        name_only: it.name_only,
        color: context.output.style().colours() && !context.output.is_json(),
    };
    let path = endpoint::query(&of(endpoint::DIFF, &environment), &query);
    let report: TextReport = client.get(&path).await?;
    let paged = !context.output.is_json()
        && std::io::stdout().is_terminal()
        && !report.text.is_empty()
        && page(&report.text);
    if !paged {
        context.output.result(&report, |report, _| report.text.clone())?;
    }
    notes(&report, context);
    Ok(0)
}

/// Shows a text in the user's pager; false where there is none.
fn page(text: &str) -> bool {
    let set = ["DWELL_PAGER", "PAGER"].iter().find_map(|name| std::env::var(name).ok());
    let line = set.unwrap_or_else(|| "less -FRX".to_owned());
    let mut words = line.split_whitespace();
    let Some(program) = words.next().filter(|program| *program != "cat") else {
        return false;
    };
    let mut command = Command::new(program);
    if std::env::var_os("LESS").is_none() {
        command.env("LESS", "FRX");
    }
    let Ok(mut child) = command.args(words).stdin(Stdio::piped()).spawn() else {
        return false;
    };
    if let Some(mut input) = child.stdin.take() {
        // A pager may be left before it has read everything.
        let _ = input.write_all(text.as_bytes());
    }
    child.wait().is_ok()
}

/// Brings an environment's work into its source.
pub(crate) async fn merge(it: Merge, context: &Context) -> Ended {
    let mut client = context.connect().await?;
    let project = it.project.project.as_ref();
    let environment = target::resolve(&mut client, it.environment.as_ref(), project).await?;
    let body = Body { squash: it.squash, commit: it.commit };
    let path = of(endpoint::MERGE, &environment);
    let report: TextReport = client.post(&path, &idempotency_key()?, &body).await?;
    show(&report, context)
}

/// Brings the source's work into an environment.
pub(crate) async fn sync(it: Sync, context: &Context) -> Ended {
    let mut client = context.connect().await?;
    let project = it.project.project.as_ref();
    let environment = target::resolve(&mut client, it.environment.as_ref(), project).await?;
    let path = of(endpoint::SYNC, &environment);
    let body = SyncBody { force: it.force, delivery: None };
    let report: TextReport = client.post(&path, &idempotency_key()?, &body).await?;
    show(&report, context)
}

/// Brings an environment's work from its node into a branch of its source.
pub(crate) async fn pull(it: Pull, context: &Context) -> Ended {
    let mut client = context.connect().await?;
    let project = it.project.project.as_ref();
    let environment = target::resolve(&mut client, it.environment.as_ref(), project).await?;
    let path = of(endpoint::PULL, &environment);
    let body = PullBody { force: it.force };
    let report: TextReport = client.post(&path, &idempotency_key()?, &body).await?;
    show(&report, context)
}

fn show(report: &TextReport, context: &Context) -> Result<u8, Failure> {
    context.output.result(report, |report, _| report.text.clone())?;
    notes(report, context);
    Ok(0)
}

fn notes(report: &TextReport, context: &Context) {
    if !context.output.is_json() {
        report.notes.iter().for_each(|note| context.output.note(&format!("note: {note}")));
    }
}
