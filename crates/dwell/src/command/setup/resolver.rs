//! The system's resolver: which of its files and settings lead dwell's suffixes to dwell.

use std::path::Path;

use dwell_api::paths::Paths;
use dwell_api::{Code, Problem};
use dwell_core::resolver::{Facts, Method, Plan, plan, undo};
use dwell_net::setup;

use super::{ROOT, run_program};
use crate::command::node_config;

/// The plan for this system's resolver, and the way back.
#[derive(Debug)]
pub(super) struct Resolver {
    facts: Facts,
    plan: Plan,
}

impl Resolver {
    /// Looks at the system and plans; nothing is changed.
    pub(super) fn of_system(paths: &Paths) -> Result<Self, Problem> {
        let config = node_config(paths)?;
        let port = config.dns.port.get();
        let facts = setup::facts(Path::new(ROOT), config.dns.suffixes, port);
        let plan = plan(&facts).map_err(|e| {
            Problem::new(Code::InvalidConfig, format!("the resolver cannot be set up: {e}")).hint(
                "names also work without it: `dwell url`, the variables of `dwell run` and \
                 `*.localhost`",
            )
        })?;
        Ok(Self { facts, plan })
    }

    /// What doing or undoing it would change, one text each.
    pub(super) fn changes(&self, back: bool) -> Vec<String> {
        if back {
            return undo(&self.facts).iter().map(ToString::to_string).collect();
        }
        let method = format!("by way of {}:", self.plan.method);
        let changes = self.plan.changes.iter().map(ToString::to_string);
        [method].into_iter().chain(changes).collect()
    }

    /// Whether it takes a port below 1024.
    pub(super) fn takes_port(&self) -> bool {
        self.plan.method == Method::ResolvConf
    }

    /// What a person should know about it.
    pub(super) fn notes(&self, back: bool) -> &[String] {
        if back { &[] } else { &self.plan.explain }
    }

    /// Does or undoes it.
    pub(super) async fn apply(&self, back: bool) -> Result<(), Problem> {
        let root = Path::new(ROOT);
        let done = if back {
            setup::apply(root, &undo(&self.facts), run_program).await
        } else {
            setup::carry_out(root, &self.plan, run_program).await
        };
        done.map_err(|e| Problem::new(Code::ToolFailed, e.to_string()))
    }
}
