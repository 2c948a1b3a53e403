//! What holds workspaces awake.

use axum::extract::{Path, State};
use dwell_api::idle::{Idle, Keep, SetIdle};

use super::{Answer, Json, Shared, answer};
use crate::{idle, workspace, world};

/// What holds a workspace awake, and when it is put to sleep. Wakes nothing.
#[utoipa::path(get, path = "/v1/workspaces/{workspace}/idle", params(("workspace" = String, Path)), responses((status = 200, body = Idle)))]
pub(super) async fn one(State(node): Shared, Path(name): Path<String>) -> Answer<Idle> {
    let found = workspace::find(&node, &name).await?;
    world::freshen(&node).await;
    answer(idle::report(&node, &found).await?)
}

/// Changes when a workspace is put to sleep.
#[utoipa::path(post, path = "/v1/workspaces/{workspace}/idle", params(("workspace" = String, Path)), request_body = SetIdle, responses((status = 200, body = Idle)))]
pub(super) async fn set(
    State(node): Shared,
    Path(name): Path<String>,
    Json(change): Json<SetIdle>,
) -> Answer<Idle> {
    answer(idle::set(&node, &name, change).await?)
}

/// Keeps a workspace awake for a time, or takes that back.
#[utoipa::path(post, path = "/v1/workspaces/{workspace}/keep", params(("workspace" = String, Path)), request_body = Keep, responses((status = 200, body = Idle)))]
pub(super) async fn keep(
    State(node): Shared,
    Path(name): Path<String>,
    Json(request): Json<Keep>,
) -> Answer<Idle> {
    answer(idle::keep(&node, &name, request).await?)
}
