//! Ports below 1024: the right of the daemon to listen there.

use std::path::Path;

use dwell_api::{Code, Problem};
use dwell_core::ports::{Facts, Plan, plan, undo};
use dwell_core::resolver::Change;
use dwell_net::setup;

use super::{ROOT, own_binary, run_program};

/// The plan for this machine, and the way back.
#[derive(Debug)]
pub(super) struct Ports {
    facts: Facts,
    plan: Plan,
}

impl Ports {
    /// Looks at the machine and plans; nothing is changed.
    pub(super) fn of_system() -> Result<Self, Problem> {
        let facts = setup::port_facts(Path::new(ROOT), &own_binary()?);
        let plan = plan(&facts);
        Ok(Self { facts, plan })
    }

    fn list(&self, back: bool) -> Vec<Change> {
        if back { undo(&self.facts) } else { self.plan.changes.clone() }
    }

    /// What doing or undoing it would change, one text each.
    pub(super) fn changes(&self, back: bool) -> Vec<String> {
        self.list(back).iter().map(ToString::to_string).collect()
    }

    /// What a person should know about it.
    pub(super) fn notes(&self, back: bool) -> &[String] {
        if back { &[] } else { &self.plan.explain }
    }

    /// Does or undoes it.
    pub(super) async fn apply(&self, back: bool) -> Result<(), Problem> {
        let done = setup::apply(Path::new(ROOT), &self.list(back), run_program).await;
        done.map_err(|e| {
            Problem::new(Code::ToolFailed, e.to_string())
                .hint("`dwell setup --no-ports` leaves it out; such ports are 10000 higher then")
        })
    }
}
