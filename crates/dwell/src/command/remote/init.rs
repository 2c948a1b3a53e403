//! `remote init`: preparing a bare machine.

use std::path::Path;

use dwell_api::{Code, Problem};
use dwell_core::NodeName;
use dwell_core::prepare::{self, Plan, PrepareError, Wanted};
use dwell_drivers::deploy::{self, Facts};
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
    let wanted = Wanted { ingress: it.ingress, dwell: Path::new(&facts.binary) };
    let plan = prepare::plan(&facts.machine, &wanted).map_err(|e| refused(&it.name, &e))?;
    let titles: Vec<&str> = plan.steps.iter().map(|step| step.title.as_str()).collect();
    let shown = json!({ "outcome": "success", "steps": titles, "notes": plan.notes });
    if it.dry_run {
        context.output.result(&shown, |_, _| listed(&plan))?;
        return Ok(0);
    }
    let rights = prepare::check(&facts.machine, &plan);
    let in_terminal = rights.is_err() && facts.sudo_asks && context.output.can_ask();
    if !in_terminal {
        rights.map_err(|e| refused(&it.name, &e))?;
    }
    if !plan.steps.is_empty() && !it.yes {
        context.output.note(&listed(&plan));
        let question = format!("Do this on {}?", far.destination);
        if !context.output.confirm(&question, "--yes, or --dry-run to see the steps")? {
            return Err(Problem::new(Code::Cancelled, "nothing was changed").into());
        }
    }
    far.bring(&facts).await?;
    apply(&far, &facts, &plan, in_terminal).await?;
    if !plan.steps.is_empty() {
        // Programs and groups that are new count for a daemon that starts after them.
        far.end_daemon().await?;
    }
    try_new_link(&it.name, context).await?;
    context.output.result(&shown, |_, _| format!("{} is prepared", it.name))?;
    plan.notes.iter().for_each(|note| context.output.note(note));
    Ok(0)
}

async fn apply(
    far: &Far<'_>,
    facts: &Facts,
    plan: &Plan,
    in_terminal: bool,
) -> Result<(), Problem> {
    let (to, machine) = (&far.destination, &facts.machine);
    if in_terminal {
        let done = deploy::apply_in_terminal(to, machine, &plan.steps).await;
        return done.map_err(|e| far.problem(e));
    }
    for step in &plan.steps {
        let applied = async { Ok(deploy::apply(to, machine, step).await?) };
        far.step(&step.title, applied).await.map_err(|e| far.problem(e))?;
    }
    Ok(())
}

/// The steps, and what there is to know.
fn listed(plan: &Plan) -> String {
    let steps = plan.steps.iter().map(|step| format!("- {}\n", step.title));
    let notes = plan.notes.iter().map(|note| format!("{note}\n"));
    let none = plan.steps.is_empty().then(|| "nothing is missing\n".to_owned());
    none.into_iter().chain(steps).chain(notes).collect()
}

fn refused(name: &NodeName, error: &PrepareError) -> Problem {
    let (code, hint) = match error {
        PrepareError::Unclear { .. } => (Code::ToolFailed, "log in with ssh and look there"),
        PrepareError::Distribution { .. } => {
            (Code::InvalidArgument, "install what is missing by hand, then run this again")
        }
        PrepareError::NoPackage { .. } => (Code::ToolMissing, "install it by hand"),
        PrepareError::NoRoot { .. } => (
            Code::ToolFailed,
            "run this in a terminal, where sudo can ask, or add the node with `--user root`",
        ),
    };
    Problem::new(code, format!("node `{name}`: {error}")).hint(hint)
}
