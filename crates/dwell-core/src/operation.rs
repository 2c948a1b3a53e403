//! Operations with several side effects: their steps in order, and what a crash means for them.

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
}

impl Kind {
    /// The steps, in order.
    pub fn steps(self) -> &'static [Step] {
        use Step::{
            ArchiveHook, Containers, EndSessions, Files, Forget, Model, Parts, Record,
            ReleaseShared, ReleaseSubnets, RemoveContainers, RemoveParts, RemoveTree,
            RemoveVolumes, RunHook, SetupHook, Shared, StopParts, Subnets, Tree, WantGone,
            WantRunning, WantStopped,
        };
        match self {
            Self::Create => &[Record, Tree, Files, SetupHook],
            Self::CreateUp => &[
                Record,
                Tree,
                Files,
                SetupHook,
                Model,
                Parts,
                Subnets,
                Shared,
                Containers,
                WantRunning,
            ],
            Self::Up => &[Files, RunHook, Model, Parts, Subnets, Shared, Containers, WantRunning],
            Self::Down => &[WantStopped, RemoveContainers, StopParts, ReleaseShared],
            Self::Destroy => &[
                WantGone,
                EndSessions,
                ArchiveHook,
                RemoveContainers,
                RemoveParts,
                RemoveVolumes,
                ReleaseShared,
                ReleaseSubnets,
                RemoveTree,
                Forget,
            ],
        }
    }

    /// Whether a crash or failure leads forward. What makes things is undone, what removes
    /// things is finished.
    pub fn finishes(self) -> bool {
        matches!(self, Self::Down | Self::Destroy)
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
        }
    }

    /// Whether it always does something that people wait for. The others speak up themselves
    /// when they have something to do.
    pub fn shown(self) -> bool {
        matches!(
            self,
            Self::Tree | Self::Model | Self::Containers | Self::RemoveContainers | Self::RemoveTree
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
            Phase::Forward if self.kind.finishes() => Next::Act(self.step),
            Phase::Forward => Next::Undo(self.step),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_makes_things_is_undone_and_what_removes_things_is_finished() {
        for kind in [Kind::Create, Kind::CreateUp, Kind::Up] {
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
        assert_eq!(Kind::Up.steps().last(), Some(&Step::WantRunning));
        assert_eq!(Kind::Destroy.steps().last(), Some(&Step::Forget));
    }
}
