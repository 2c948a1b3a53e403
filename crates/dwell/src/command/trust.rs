//! `trust`: shows what a project wants to run and records that the user agrees, or no longer.

use std::path::PathBuf;

use dwell_api::environment::{TrustRequest, TrustState};
use dwell_api::{Client, Code, Problem, endpoint};

use super::{Context, idempotency_key};
use crate::arguments::setup::Trust;
use crate::failure::{Ended, Failure};
use crate::output::show;
use crate::project;

/// Trusts or distrusts a project's commands.
pub(crate) async fn run(it: Trust, context: &Context) -> Ended {
    let source = project::source(it.directory.as_deref())?;
    let mut client = context.connect().await?;
    if it.revoke {
        let state = ask(&mut client, source, None, true).await?;
        context.output.result(&state, |state, _| {
            format!("{} is not trusted any more", state.source.display())
        })?;
        return Ok(0);
    }
    let state = ask(&mut client, source, None, false).await?;
    if it.show || state.trusted || state.hash.is_none() {
        context.output.result(&state, show::trust)?;
        return Ok(0);
    }
    if !it.yes {
        context.output.note(&show::trust(&state, crate::output::Style::PLAIN));
        if !context.output.confirm("Trust exactly these commands?", "--yes")? {
            return Err(Problem::new(Code::Cancelled, "nothing was trusted").into());
        }
    }
    // The hash that was shown: a change since then is not trusted.
    let state = ask(&mut client, state.source.clone(), state.hash, false).await?;
    context.output.result(&state, show::trust)?;
    Ok(0)
}

async fn ask(
    client: &mut Client,
    source: PathBuf,
    hash: Option<String>,
    revoke: bool,
) -> Result<TrustState, Failure> {
    let body = TrustRequest { source, hash, revoke };
    Ok(client.post(endpoint::TRUST, &idempotency_key()?, &body).await?)
}
