//! Operations with several side effects: their steps in order, and what a crash means for them.

mod steps;

use serde::{Deserialize, Serialize};

use crate::{EnvironmentId, OperationId};

/// What an operation does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// Makes an environment: record, tree, files.
    Create,
    /// Makes an environment and brings it up.
    CreateUp,
    /// Brings an environment up.
    Up,
    /// Removes an environment's containers and networks.
    Down,
    /// Removes everything of an environment.
    Destroy,
    /// Moves services of an environment between nodes.
    MoveServices,
    /// Moves an environment from here to another node.
    MoveOut,
    /// Moves an environment from another node to here.
    MoveIn,
    /// Moves an environment from one other node to another.
    MoveOn,
}

/// One side effect. Acting twice equals acting once, and so does undoing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Step {
    /// Writes the environment's record. Undone by forgetting it.
    Record,
    /// Makes the source tree. Undone by removing it.
    Tree,
    /// Brings ignored files and renders templates. Goes away with the tree.
    Files,
    /// Runs the trusted setup hook. Goes away with the tree.
    SetupHook,
    /// Reads the compose project.
    Model,
    /// Allots subnets. Undone by releasing them, unless containers hold them.
    Subnets,
    /// Makes the parts of the environment that run on other nodes. Undone by destroying those
    /// that are new.
    Parts,
    /// Starts shared instances and counts this environment as their user. Undone by releasing.
    Shared,
    /// Writes the environment's compose file and starts its containers. Undone by removing
    /// them, unless the environment ran before.
    Containers,
    /// Runs the trusted run hook, before the services start.
    RunHook,
    /// Records that the environment is wanted running.
    WantRunning,
    /// Records that the environment is wanted stopped.
    WantStopped,
    /// Records that the environment is wanted gone.
    WantGone,
    /// Runs the trusted archive hook.
    ArchiveHook,
    /// Ends its sessions.
    EndSessions,
    /// Stops its parts on other nodes.
    StopParts,
    /// Destroys its parts on other nodes.
    RemoveParts,
    /// Removes its containers and networks.
    RemoveContainers,
    /// Removes its volumes and private images.
    RemoveVolumes,
    /// Stops using shared instances.
    ReleaseShared,
    /// Releases its subnets.
    ReleaseSubnets,
    /// Removes its tree, unless it is to be kept.
    RemoveTree,
    /// Forgets its record.
    Forget,
    /// Makes a moving environment on another node, with its tree. Undone by destroying it.
    Send,
    /// Stops what is about to move. Undone by starting it again.
    Halt,
    /// Carries the data in volumes that moves along. Undone by removing it where it went.
    Carry,
    /// Brings a moving environment up on another node.
    Arrive,
    /// The new place is the environment from now on.
    Switch,
    /// Destroys what a moving environment leaves on another node.
    Leave,
    /// Tells the nodes that moved services left, and removes the volumes that went along.
    Settle,
    /// Destroys parts on nodes that run nothing of the environment any more.
    DropParts,
}

impl Kind {
    /// The steps, in order.
    pub fn steps(self) -> &'static [Step] {
        match self {
            Self::Create => &steps::CREATE,
            Self::CreateUp => &steps::CREATE_UP,
            Self::Up => &steps::UP,
            Self::Down => &steps::DOWN,
            Self::Destroy => &steps::DESTROY,
            Self::MoveServices => &steps::MOVE_SERVICES,
            Self::MoveOut => &steps::MOVE_OUT,
            Self::MoveIn => &steps::MOVE_IN,
            Self::MoveOn => &steps::MOVE_ON,
        }
    }

    /// Whether a crash or failure leads forward from the very first step. What makes things is
    /// undone, what removes things is finished.
    pub fn finishes(self) -> bool {
        self.finishes_at(0)
    }

    /// Whether a crash or failure in a step leads forward: what moves or changes things is undone
    /// until the new is there, and finished once it has begun to remove the old.
    pub fn finishes_at(self, step: u32) -> bool {
        let first = match self {
            Self::Create | Self::CreateUp => return false,
            Self::Down | Self::Destroy => return true,
            Self::Up => Step::DropParts,
            Self::MoveServices => Step::Settle,
            Self::MoveOut => Step::WantGone,
            Self::MoveIn | Self::MoveOn => Step::Switch,
        };
        let place = self.steps().iter().position(|other| *other == first);
        place.is_some_and(|place| usize::try_from(step).is_ok_and(|step| step >= place))
    }
}

impl Step {
    /// What people are told while it runs.
    pub fn title(self) -> &'static str {
        match self {
            Self::Record => "recording the environment",
            Self::Tree => "creating the source tree",
            Self::Files => "bringing files along",
            Self::SetupHook => "running the setup hook",
            Self::Model => "reading the compose project",
            Self::Subnets => "allotting subnets",
            Self::Parts => "sending parts to other nodes",
            Self::StopParts => "stopping parts on other nodes",
            Self::RemoveParts => "removing parts on other nodes",
            Self::Shared => "starting shared services",
            Self::Containers => "starting containers",
            Self::RunHook => "running the run hook",
            Self::WantRunning | Self::WantStopped | Self::WantGone => "recording what is wanted",
            Self::ArchiveHook => "running the archive hook",
            Self::EndSessions => "ending sessions",
            Self::RemoveContainers => "removing containers",
            Self::RemoveVolumes => "removing volumes and images",
            Self::ReleaseShared => "releasing shared services",
            Self::ReleaseSubnets => "releasing subnets",
            Self::RemoveTree => "removing the source tree",
            Self::Forget => "forgetting the environment",
            Self::Send => "sending the source tree",
            Self::Halt => "stopping what moves",
            Self::Carry => "carrying volumes",
            Self::Arrive => "bringing it up on the other node",
            Self::Switch => "switching over",
            Self::Leave => "removing it from the node that it left",
            Self::Settle => "telling the nodes that services left",
            Self::DropParts => "removing parts that run nothing",
        }
    }

    /// Whether it always does something that people wait for. The others speak up themselves
    /// when they have something to do.
    pub fn shown(self) -> bool {
        matches!(
            self,
            Self::Tree
                | Self::Model
                | Self::Containers
                | Self::RemoveContainers
                | Self::RemoveTree
                | Self::Send
                | Self::Arrive
                | Self::Leave
        )
    }
}

/// Which way an operation goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Phase {
    /// Acting, step by step.
    Forward,
    /// Undoing what was done.
    Backward,
    /// Ended well.
    Done,
    /// Ended badly, and undone.
    Failed,
}

/// The journal entry of an operation.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Journal {
    /// Its identity.
    pub id: OperationId,
    /// What it does.
    pub kind: Kind,
    /// The environment it acts on.
    pub environment: EnvironmentId,
    /// The caller's idempotency key.
    pub key: String,
    /// The request, for acting again after a crash.
    pub request: serde_json::Value,
    /// The step that was begun last, or is being undone.
    pub step: u32,
    /// Which way it goes.
    pub phase: Phase,
    /// The outcome or problem, once it ended.
    pub result: Option<serde_json::Value>,
    /// When it was accepted, in microseconds since the Unix epoch.
    pub created: i64,
}

/// What is to be done next for an operation that was found unfinished.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Next {
    /// Act from this step on.
    Act(u32),
    /// Undo from this step back to the first.
    Undo(u32),
    /// Nothing.
    Nothing,
}

impl Journal {
    /// What a daemon that starts does with it.
    pub fn after_crash(&self) -> Next {
        match self.phase {
            Phase::Done | Phase::Failed => Next::Nothing,
            Phase::Backward => Next::Undo(self.step),
            Phase::Forward if self.kind.finishes_at(self.step) => Next::Act(self.step),
            Phase::Forward => Next::Undo(self.step),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_makes_things_is_undone_and_what_removes_things_is_finished() {
        for kind in [Kind::Create, Kind::CreateUp, Kind::Up, Kind::MoveServices, Kind::MoveIn] {
            assert!(!kind.finishes());
            assert!(!kind.steps().contains(&Step::Forget));
        }
        for kind in [Kind::Down, Kind::Destroy] {
            assert!(kind.finishes());
        }
    }

    #[test]
    fn intent_is_recorded_first_when_removing_and_last_when_making() {
        assert_eq!(Kind::Destroy.steps().first(), Some(&Step::WantGone));
        assert_eq!(Kind::Down.steps().first(), Some(&Step::WantStopped));
        assert_eq!(Kind::CreateUp.steps().last(), Some(&Step::WantRunning));
        assert_eq!(Kind::Destroy.steps().last(), Some(&Step::Forget));
    }

    #[test]
    fn what_moves_is_undone_until_the_new_is_there_and_finished_from_then_on() {
        let cases = [
            (Kind::Up, Step::WantRunning, Step::DropParts),
            (Kind::MoveServices, Step::WantRunning, Step::Settle),
            (Kind::MoveOut, Step::Arrive, Step::WantGone),
            (Kind::MoveIn, Step::WantRunning, Step::Switch),
            (Kind::MoveOn, Step::Arrive, Step::Switch),
        ];
        for (kind, last, first) in cases {
            let place = |step| kind.steps().iter().position(|other| *other == step).unwrap();
            let (last, first) = (place(last), place(first));
            assert_eq!(last + 1, first, "{kind:?}");
            assert!(!kind.finishes_at(u32::try_from(last).unwrap()), "{kind:?}");
            assert!(kind.finishes_at(u32::try_from(first).unwrap()), "{kind:?}");
        }
        // Nothing of the old is removed before.
        for kind in [Kind::MoveServices, Kind::MoveOut, Kind::MoveIn, Kind::MoveOn] {
            let undone = (0..).zip(kind.steps()).filter(|(number, _)| !kind.finishes_at(*number));
            for (_, step) in undone {
                use Step::{DropParts, Forget, Leave, RemoveTree, RemoveVolumes};
                assert!(![DropParts, Forget, Leave, RemoveTree, RemoveVolumes].contains(step));
            }
        }
    }
}
