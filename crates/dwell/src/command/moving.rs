//! `move`: tells what becomes of data and sessions, asks, and moves.

use dwell_api::environment::Environment;
use dwell_api::moving::{Move as Body, MovePlan};
use dwell_api::{Code, Problem, endpoint};

use super::Context;
use super::environment::of;
use super::operation::{Success, finished, operate};
use super::run::shell_variables;
use crate::arguments::environment::Move;
use crate::failure::{Ended, Failure};
use crate::output::show;
use crate::target;

/// Moves an environment, or services of it.
pub(crate) async fn run(it: Move, context: &Context) -> Ended {
    let mut client = context.connect().await?;
    let project = it.project.project.as_ref();
    let environment = target::resolve(&mut client, Some(&it.name), project).await?;
    let mut body = Body {
        to: it.to,
        services: it.services,
        with_volumes: it.with_volumes,
        force: it.force,
        strict: it.strict,
        variables: shell_variables(std::env::vars_os(), Vec::new()),
    };
    let asked = !it.yes && !it.force;
    if asked || it.dry_run {
        let path = of(endpoint::MOVE_PLAN, &environment);
        let plan: MovePlan = client.post(&path, &super::idempotency_key()?, &body).await?;
        if it.dry_run {
            let whole = body.services.is_empty();
            let text = |plan: &MovePlan, _| show::move_plan(&environment, plan, whole);
            context.output.result(&plan, text)?;
            return Ok(0);
        }
        if plan.costs() {
            if !ask(&environment, &plan, body.services.is_empty(), context)? {
                return Err(Problem::new(Code::Cancelled, "nothing was moved").into());
            }
            // Whoever was asked has seen what it costs.
            body.force = true;
        }
    }
    let limit = it.timeout.map(|t| t.duration());
    let path = of(endpoint::MOVE, &environment);
    let result = operate(context, &mut client, &path, &body, limit).await?;
    match &result.environment {
        Some(_) if context.output.is_quiet() => context.output.text(environment.name.as_str())?,
        Some(now) => context.output.result(&Success::new(&result), |_, style| {
            show::brought_up(now, &result.summary, style)
        })?,
        None => finished(context, &result, &format!("{} moved", target::label(&environment)))?,
    }
    Ok(0)
}

fn ask(
    environment: &Environment,
    plan: &MovePlan,
    whole: bool,
    context: &Context,
) -> Result<bool, Failure> {
    for line in show::move_plan(environment, plan, whole).lines() {
        context.output.note(line);
    }
    context.output.confirm("Move it?", "--yes, or --force to end sessions and lose what is named")
}
