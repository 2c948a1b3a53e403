//! Snapshots, copies, setup steps and upgrades of workspaces.

use axum::extract::{Path, State};
use axum::response::Response;
use dwell_api::snapshot::{
    ChangeSetup, CreateSnapshot, ForkWorkspace, Snapshot, Upgrade, UpgradePlan,
};
use dwell_api::{Event, Problem};
use dwell_core::SnapshotName;
use dwell_core::workspace::SetupStep;

use super::workspace::run;
use super::{Answer, Json, Key, Query, Refusal, Shared, answer};
use crate::node::invalid_name;
use crate::workspace::{setup, snapshot, upgrade};

fn parse(name: &str) -> Result<SnapshotName, Problem> {
    name.parse().map_err(invalid_name)
}

/// The snapshots of a workspace, the oldest first.
#[utoipa::path(get, path = "/v1/workspaces/{workspace}/snapshots", params(("workspace" = String, Path)), responses((status = 200, body = [Snapshot])))]
pub(super) async fn list(State(node): Shared, Path(name): Path<String>) -> Answer<Vec<Snapshot>> {
    answer(snapshot::list(&node, &name).await?)
}

/// Makes a snapshot of a workspace. Nothing moves in it meanwhile.
#[utoipa::path(post, path = "/v1/workspaces/{workspace}/snapshots", params(("workspace" = String, Path)), request_body = CreateSnapshot, responses((status = 200, body = Event, content_type = "application/x-ndjson")))]
pub(super) async fn create(
    State(node): Shared,
    Path(name): Path<String>,
    Key(key): Key,
    Json(request): Json<CreateSnapshot>,
) -> Result<Response, Refusal> {
    run(node, key, format!("snapshot create {name}"), |node, operation| async move {
        snapshot::create(&node, &operation, &name, request).await
    })
    .await
}

/// Has a workspace be what it was at a snapshot. What it is now is lost.
#[utoipa::path(post, path = "/v1/workspaces/{workspace}/snapshots/{snapshot}/restore", params(("workspace" = String, Path), ("snapshot" = String, Path)), responses((status = 200, body = Event, content_type = "application/x-ndjson")))]
pub(super) async fn restore(
    State(node): Shared,
    Path((name, wanted)): Path<(String, String)>,
    Key(key): Key,
) -> Result<Response, Refusal> {
    let wanted = parse(&wanted)?;
    run(node, key, format!("snapshot restore {name} {wanted}"), |node, operation| async move {
        snapshot::restore(&node, &operation, &name, &wanted).await
    })
    .await
}

/// Removes a snapshot.
#[utoipa::path(post, path = "/v1/workspaces/{workspace}/snapshots/{snapshot}/remove", params(("workspace" = String, Path), ("snapshot" = String, Path)), responses((status = 200, body = Event, content_type = "application/x-ndjson")))]
pub(super) async fn remove(
    State(node): Shared,
    Path((name, wanted)): Path<(String, String)>,
    Key(key): Key,
) -> Result<Response, Refusal> {
    let wanted = parse(&wanted)?;
    run(node, key, format!("snapshot rm {name} {wanted}"), |node, _| async move {
        snapshot::remove(&node, &name, &wanted).await
    })
    .await
}

/// Makes a workspace that begins as a copy of another one, or of a snapshot of it.
#[utoipa::path(post, path = "/v1/workspaces/{workspace}/fork", params(("workspace" = String, Path)), request_body = ForkWorkspace, responses((status = 200, body = Event, content_type = "application/x-ndjson")))]
pub(super) async fn fork(
    State(node): Shared,
    Path(name): Path<String>,
    Key(key): Key,
    Json(request): Json<ForkWorkspace>,
) -> Result<Response, Refusal> {
    let call = format!("workspace fork {name} {}", request.name);
    run(node, key, call, |node, operation| async move {
        snapshot::fork(&node, &operation, &name, request).await
    })
    .await
}

/// What is run again where a workspace's file system begins anew.
#[utoipa::path(get, path = "/v1/workspaces/{workspace}/setup", params(("workspace" = String, Path)), responses((status = 200, body = [SetupStep])))]
pub(super) async fn steps(State(node): Shared, Path(name): Path<String>) -> Answer<Vec<SetupStep>> {
    answer(setup::list(&node, &name).await?)
}

/// Changes it.
#[utoipa::path(post, path = "/v1/workspaces/{workspace}/setup", params(("workspace" = String, Path)), request_body = ChangeSetup, responses((status = 200, body = Event, content_type = "application/x-ndjson")))]
pub(super) async fn change_steps(
    State(node): Shared,
    Path(name): Path<String>,
    Key(key): Key,
    Json(change): Json<ChangeSetup>,
) -> Result<Response, Refusal> {
    run(node, key, format!("workspace setup {name}"), |node, operation| async move {
        setup::change(&node, &operation, &name, change).await
    })
    .await
}

/// What an upgrade would do. Wakes nothing.
#[utoipa::path(get, path = "/v1/workspaces/{workspace}/upgrade", params(("workspace" = String, Path), Upgrade), responses((status = 200, body = UpgradePlan)))]
pub(super) async fn plan(
    State(node): Shared,
    Path(name): Path<String>,
    Query(wanted): Query<Upgrade>,
) -> Answer<UpgradePlan> {
    answer(upgrade::plan(&node, &name, wanted).await?)
}

/// Has a workspace begin anew as an image, with its home.
#[utoipa::path(post, path = "/v1/workspaces/{workspace}/upgrade", params(("workspace" = String, Path)), request_body = Upgrade, responses((status = 200, body = Event, content_type = "application/x-ndjson")))]
pub(super) async fn upgrade(
    State(node): Shared,
    Path(name): Path<String>,
    Key(key): Key,
    Json(wanted): Json<Upgrade>,
) -> Result<Response, Refusal> {
    run(node, key, format!("workspace upgrade {name}"), |node, operation| async move {
        upgrade::upgrade(&node, &operation, &name, wanted).await
    })
    .await
}
