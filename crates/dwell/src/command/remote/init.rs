//! `remote init`: preparing a bare machine.

use dwell_api::{Code, Problem};
use dwell_drivers::deploy::{self, Rights, Step};
use serde_json::json;

use super::bring::Far;
use super::{registered, try_new_link};
use crate::arguments::remote::Init;
use crate::command::Context;
use crate::failure::Ended;

/// Shows what is missing on a node, asks, and does it.
pub(super) async fn run(it: Init, context: &Context) -> Ended {
    let node = registered(&it.name, context).await?;
    let far = Far::new(&node.remote, context);
    let facts = far.facts().await?;
    let steps = deploy::prepare(&facts, it.ingress).map_err(|e| far.problem(e))?;
    let whats: Vec<&str> = steps.iter().map(|step| step.what.as_str()).collect();
    if it.dry_run {
        context.output.result(&json!({ "steps": whats }), |_, _| listed(&steps))?;
        return Ok(0);
    }
    if !steps.is_empty() && !it.yes {
        context.output.note(&listed(&steps));
        let question = format!("Do this as root on {}?", far.destination);
        if !context.output.confirm(&question, "--yes, or --dry-run to see the steps")? {
            return Err(Problem::new(Code::Cancelled, "nothing was changed").into());
        }
    }
    if facts.rights == Rights::Asks && context.output.can_ask() {
        let done = deploy::apply_in_terminal(&far.destination, &facts, &steps).await;
        done.map_err(|e| far.problem(e))?;
    } else {
        for step in &steps {
            let applied = deploy::apply(&far.destination, &facts, step);
            far.step(&step.what, applied).await.map_err(|e| far.problem(e))?;
        }
    }
    // Looked at anew: the user's groups count from the next login on.
    let facts = far.facts().await?;
    far.bring(&facts).await?;
    if !steps.is_empty() {
        far.end_daemon().await?;
    }
    if facts.user_units {
        far.start_with_machine().await.map_err(|e| far.problem(e))?;
    }
    try_new_link(&it.name, context).await?;
    let done = json!({ "outcome": "success", "steps": whats });
    context.output.result(&done, |_, _| format!("{} is prepared", it.name))?;
    Ok(0)
}

fn listed(steps: &[Step]) -> String {
    match steps.is_empty() {
        true => "nothing is missing\n".to_owned(),
        false => steps.iter().map(|step| format!("- {}\n", step.what)).collect(),
    }
}
