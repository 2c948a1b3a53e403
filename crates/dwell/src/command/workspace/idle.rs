//! `workspace idle` and `keep`: what holds a workspace awake, and for how long.

use dwell_api::endpoint;
use dwell_api::idle::{Idle as Report, Keep as KeepRequest, SetIdle};
use dwell_core::idle::{After, Settings};

use super::{now, of};
use crate::arguments::workspace::{Idle, Keep};
use crate::command::{Context, idempotency_key};
use crate::failure::Ended;
use crate::output::idle as show;

/// Explains, or changes first.
pub(crate) async fn run(it: Idle, context: &Context) -> Ended {
    let path = of(endpoint::WORKSPACE_IDLE, &it.it.name);
    let off = it.off.then_some(After::OFF);
    let settings = Settings {
        freeze_after: it.freeze_after.or(off),
        stop_after: it.stop_after.or(off),
        needs_input: it.needs_input,
        attached: it.attached,
        lifetime: it.lifetime,
    };
    let mut client = context.connect().await?;
    let report: Report = if it.reset || settings != Settings::default() {
        client.post(&path, &idempotency_key()?, &SetIdle { settings, reset: it.reset }).await?
    } else {
        client.get(&path).await?
    };
    context.output.result(&report, |report, style| show::report(report, now(), style))?;
    Ok(0)
}

/// Keeps a workspace awake, or takes that back.
pub(crate) async fn keep(it: Keep, context: &Context) -> Ended {
    let path = of(endpoint::WORKSPACE_KEEP, &it.it.name);
    let request = KeepRequest { time: it.time, reason: it.reason };
    let report: Report =
        context.connect().await?.post(&path, &idempotency_key()?, &request).await?;
    context.output.result(&report, |report, style| show::report(report, now(), style))?;
    Ok(0)
}
