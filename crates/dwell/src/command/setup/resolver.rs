//! The system's resolver: which of its files and settings lead dwell's suffixes to dwell.

use dwell_api::{Code, Problem};

use crate::command::Context;
use crate::failure::Failure;

/// The plan for this system's resolver.
#[derive(Debug)]
pub(super) struct Resolver {}

impl Resolver {
    /// Looks at the system and plans.
    pub(super) async fn of_system(context: &Context) -> Result<Self, Failure> {
        let _ = context;
        Err(Problem::new(Code::Internal, "the resolver's setup is not part of this build")
            .hint("`dwell setup --no-resolver` does the rest")
            .into())
    }

    /// What doing or undoing it would change, a line each.
    pub(super) fn changes(&self, _undo: bool) -> Vec<String> {
        Vec::new()
    }

    /// Does or undoes it.
    pub(super) async fn apply(&self, _undo: bool) -> Result<(), Problem> {
        Ok(())
    }
}
