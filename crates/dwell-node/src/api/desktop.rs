//! Desktops of workspaces.

use std::collections::BTreeMap;

use axum::extract::{Path, State};
use dwell_api::desktop::{ChangeAndroid, ChangeDesktop, Desktop, OpenViewer, Viewer};
use dwell_core::workspace::Android;

use super::{Answer, Json, Key, Shared, answer};
use crate::{viewer, workspace};

/// Starts the desktop of a workspace, or ends it.
#[utoipa::path(post, path = "/v1/workspaces/{workspace}/desktop", params(("workspace" = String, Path)), request_body = ChangeDesktop, responses((status = 200, body = Desktop)))]
pub(super) async fn change(
    State(node): Shared,
    Path(name): Path<String>,
    _: Key,
    Json(request): Json<ChangeDesktop>,
) -> Answer<Desktop> {
    answer(workspace::desktop(&node, &name, request).await?)
}

/// What a browser needs in order to show the desktop of a workspace: files by their paths.
#[utoipa::path(get, path = "/v1/workspaces/{workspace}/viewer", params(("workspace" = String, Path)), responses((status = 200, body = BTreeMap<String, String>)))]
pub(super) async fn files(
    State(node): Shared,
    Path(name): Path<String>,
) -> Answer<BTreeMap<String, String>> {
    answer(workspace::viewer(&node, &name).await?)
}

/// A way to see the desktop of a workspace, on whatever node, in a browser of this machine.
#[utoipa::path(post, path = "/v1/viewers", request_body = OpenViewer, responses((status = 200, body = Viewer)))]
pub(super) async fn open(
    State(node): Shared,
    _: Key,
    Json(request): Json<OpenViewer>,
) -> Answer<Viewer> {
    answer(viewer::open(&node, request).await?)
}

/// What the Android emulator of a workspace does. Wakes nothing.
#[utoipa::path(get, path = "/v1/workspaces/{workspace}/android", params(("workspace" = String, Path)), responses((status = 200, body = Android)))]
pub(super) async fn android(State(node): Shared, Path(name): Path<String>) -> Answer<Android> {
    answer(workspace::android(&node, &name).await?)
}

/// Starts the Android emulator of a workspace on its desktop, or ends it.
#[utoipa::path(post, path = "/v1/workspaces/{workspace}/android", params(("workspace" = String, Path)), request_body = ChangeAndroid, responses((status = 200, body = Android)))]
pub(super) async fn change_android(
    State(node): Shared,
    Path(name): Path<String>,
    _: Key,
    Json(request): Json<ChangeAndroid>,
) -> Answer<Android> {
    answer(workspace::change_android(&node, &name, request.run).await?)
}
