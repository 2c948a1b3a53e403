//! The steps of operations on environments: what each does, and how it is undone.

mod admission;
mod bare;
mod containers;
mod create;
mod delivery;
mod former;
mod hook;
mod images;
pub(crate) mod moving;
mod parts;
mod readings;
mod remove;
mod request;
mod shared;
mod stamp;
mod subnet;
mod up;

use std::collections::BTreeMap;

use dwell_api::Problem;
use dwell_core::ServiceName;
use dwell_core::compose::{Away, Service};
use dwell_core::config::ProjectConfig;
use dwell_core::operation::Step;
use serde_json::Value;

pub(crate) use admission::{Manner, admit};
pub(crate) use bare::{explained as explained_bare, is_bare};
pub(crate) use containers::{networks_gone, remove_containers};
pub(crate) use create::RECORD_FILE;
pub(crate) use delivery::{creation, delivered, receive};
pub(crate) use former::forget as forget_former;
pub(crate) use images::ports as image_ports;
pub(crate) use parts::{say_farewell, stop_one as stop_part};
pub(crate) use readings::Readings;
pub(crate) use request::{begin_create, begin_destroy, begin_down, begin_up, losses, planned};
pub(crate) use shared::{end_idle, start_again};
pub(crate) use subnet::{free as free_subnets, subnets};
pub(crate) use up::{COMPOSE_FILE, bring_back, for_files, last_model, stack};

use crate::operation::Context;

/// A compose project as it was read for an operation.
pub(crate) struct Reading {
    /// Compose's canonical model of the whole project.
    pub(crate) project: Value,
    /// The canonical model of what is here of it.
    pub(crate) model: Value,
    /// The project's own configuration.
    pub(crate) config: ProjectConfig,
    /// The services, before isolation.
    pub(crate) services: BTreeMap<ServiceName, Service>,
    /// The services that relays stand in for, and what the relays are.
    pub(crate) relays: BTreeMap<ServiceName, dwell_core::compose::RelaySpec>,
    /// The services that run on other nodes, at the environment's home.
    pub(crate) away: BTreeMap<ServiceName, Away>,
    /// A subnet for each private network.
    pub(crate) subnets: BTreeMap<String, ipnet::Ipv4Net>,
    /// What the project was read from.
    pub(crate) stamp: crate::facts::Stamp,
}

/// Does a step.
pub(crate) async fn act(context: &mut Context, step: Step) -> Result<(), Problem> {
    if moving::rests(context, step) {
        return Ok(());
    }
    match step {
        Step::Record => create::record(context).await,
        Step::Tree => create::tree(context).await,
        Step::Files => create::files(context).await,
        Step::SetupHook => hook::setup(context).await,
        Step::Model => up::model(context).await,
        Step::Subnets => subnet::allot(context).await,
        Step::Parts => parts::make(context).await,
        Step::StopParts => parts::stop(context).await,
        Step::RemoveParts => parts::remove(context).await,
        Step::Shared => shared::start(context).await,
        Step::Containers => up::containers(context).await,
        Step::RunHook => hook::run_before_start(context).await,
        Step::WantRunning => up::want(context, dwell_core::environment::Desired::Running).await,
        Step::WantStopped => up::want(context, dwell_core::environment::Desired::Stopped).await,
        Step::WantGone => up::want(context, dwell_core::environment::Desired::Destroyed).await,
        Step::ArchiveHook => hook::archive(context).await,
        Step::EndSessions if context.request.moving.is_some() => moving::sessions(context).await,
        Step::EndSessions => remove::sessions(context).await,
        Step::RemoveContainers => remove::containers(context).await,
        Step::RemoveVolumes => remove::volumes(context).await,
        Step::ReleaseShared => shared::release(context, &[]).await,
        Step::ReleaseSubnets => subnet::release(context).await,
        Step::RemoveTree => remove::tree(context).await,
        Step::Forget => create::forget(context).await,
        Step::Send => moving::send(context).await,
        Step::Halt => moving::halt(context).await,
        Step::Carry => moving::carry(context).await,
        Step::Arrive => moving::arrive(context).await,
        Step::Switch => moving::switch(context).await,
        Step::Leave => moving::leave(context).await,
        Step::Settle => moving::settle(context).await,
        Step::DropParts => moving::drop_parts(context).await,
    }
}

/// Records that the environment is wanted gone.
pub(crate) async fn want_gone(context: &mut Context) -> Result<(), Problem> {
    up::want(context, dwell_core::environment::Desired::Destroyed).await
}

/// Undoes a step, as far as this operation did it.
pub(crate) async fn undo(context: &mut Context, step: Step) -> Result<(), Problem> {
    match step {
        Step::Record => create::forget(context).await,
        Step::Tree => remove::made_tree(context).await,
        Step::Subnets => subnet::undo(context).await,
        Step::Parts => parts::undo(context).await,
        Step::Shared => shared::undo(context).await,
        Step::Containers => up::undo_containers(context).await,
        Step::WantRunning => up::want(context, context.request.before.desired).await,
        Step::Send => moving::unsend(context).await,
        Step::Halt => moving::revive(context).await,
        Step::Carry => moving::uncarry(context).await,
        // These go away with the tree, change nothing outside, or are never undone.
        Step::Files
        | Step::SetupHook
        | Step::Model
        | Step::RunHook
        | Step::WantStopped
        | Step::WantGone
        | Step::ArchiveHook
        | Step::EndSessions
        | Step::StopParts
        | Step::RemoveParts
        | Step::RemoveContainers
        | Step::RemoveVolumes
        | Step::ReleaseShared
        | Step::ReleaseSubnets
        | Step::RemoveTree
        | Step::Forget
        | Step::Arrive
        | Step::Switch
        | Step::Leave
        | Step::Settle
        | Step::DropParts => Ok(()),
    }
}
