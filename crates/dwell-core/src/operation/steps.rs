//! The steps of each kind of operation, in order.

use super::Step::{
    self, ArchiveHook, Arrive, Carry, Containers, DropParts, EndSessions, Files, Forget, Halt,
    Leave, Model, Parts, Record, ReleaseShared, ReleaseSubnets, RemoveContainers, RemoveParts,
    RemoveTree, RemoveVolumes, RunHook, Send, Settle, SetupHook, Shared, StopParts, Subnets,
    Switch, Tree, WantGone, WantRunning, WantStopped,
};

pub(super) const CREATE: [Step; 4] = [Record, Tree, Files, SetupHook];

pub(super) const CREATE_UP: [Step; 10] =
    [Record, Tree, Files, SetupHook, Model, Parts, Subnets, Shared, Containers, WantRunning];

pub(super) const UP: [Step; 9] =
    [Files, RunHook, Model, Parts, Subnets, Shared, Containers, WantRunning, DropParts];

pub(super) const DOWN: [Step; 4] = [WantStopped, RemoveContainers, StopParts, ReleaseShared];

pub(super) const DESTROY: [Step; 10] = [
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
];

pub(super) const MOVE_SERVICES: [Step; 12] = [
    Files,
    RunHook,
    Model,
    Parts,
    Halt,
    Carry,
    Subnets,
    Shared,
    Containers,
    WantRunning,
    Settle,
    DropParts,
];

pub(super) const MOVE_OUT: [Step; 14] = [
    EndSessions,
    Send,
    Halt,
    Carry,
    Arrive,
    WantGone,
    Switch,
    RemoveContainers,
    RemoveParts,
    RemoveVolumes,
    ReleaseShared,
    ReleaseSubnets,
    RemoveTree,
    Forget,
];

pub(super) const MOVE_IN: [Step; 15] = [
    EndSessions,
    Record,
    Tree,
    Files,
    SetupHook,
    Model,
    Parts,
    Halt,
    Carry,
    Subnets,
    Shared,
    Containers,
    WantRunning,
    Switch,
    Leave,
];

pub(super) const MOVE_ON: [Step; 7] = [EndSessions, Send, Halt, Carry, Arrive, Switch, Leave];
