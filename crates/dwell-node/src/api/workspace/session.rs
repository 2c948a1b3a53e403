//! Sessions in workspaces.

use axum::extract::{Path, Request, State};
use axum::response::Response;
use dwell_api::session::{SendText, Session, StartSession, TranscriptQuery};

use crate::api::session::{begin, ended, name_of, told, typed};
use crate::api::{Answer, Json, Key, Query, Refusal, Shared, answer};
use crate::node::Node;
use crate::session::Place;
use crate::workspace;

async fn place(node: &Node, name: &str) -> Result<Place, Refusal> {
    Ok(workspace::find(node, name).await?.into())
}

/// Starts a session in a workspace, waking it where it is frozen.
#[utoipa::path(post, path = "/v1/workspaces/{workspace}/sessions", params(("workspace" = String, Path)), request_body = StartSession, responses((status = 200, body = Session)))]
pub(in crate::api) async fn start(
    State(node): Shared,
    Path(name): Path<String>,
    Key(key): Key,
    Json(request): Json<StartSession>,
) -> Answer<Session> {
    let place = place(&node, &name).await?;
    answer(begin(&node, place, &key, request).await?)
}

/// One session of a workspace. Wakes nothing.
#[utoipa::path(get, path = "/v1/workspaces/{workspace}/sessions/{session}", params(("workspace" = String, Path), ("session" = String, Path)), responses((status = 200, body = Session)))]
pub(in crate::api) async fn one(
    State(node): Shared,
    Path((name, session)): Path<(String, String)>,
) -> Answer<Session> {
    let place = place(&node, &name).await?;
    answer(node.session(&place, &name_of(&session)?).await?)
}

/// Ends the command of a session of a workspace.
#[utoipa::path(post, path = "/v1/workspaces/{workspace}/sessions/{session}/kill", params(("workspace" = String, Path), ("session" = String, Path)), responses((status = 200, body = Session)))]
pub(in crate::api) async fn kill(
    State(node): Shared,
    Path((name, session)): Path<(String, String)>,
    _: Key,
) -> Answer<Session> {
    let place = place(&node, &name).await?;
    answer(ended(&node, &place, &name_of(&session)?).await?)
}

/// The transcript of a session of a workspace, from its first byte that is kept. Wakes nothing.
#[utoipa::path(get, path = "/v1/workspaces/{workspace}/sessions/{session}/transcript", params(("workspace" = String, Path), ("session" = String, Path), TranscriptQuery), responses((status = 200, body = String, content_type = "application/octet-stream")))]
pub(in crate::api) async fn transcript(
    State(node): Shared,
    Path((name, session)): Path<(String, String)>,
    Query(query): Query<TranscriptQuery>,
) -> Result<Response, Refusal> {
    let place = place(&node, &name).await?;
    told(&node, &place, &name_of(&session)?, &query).await
}

/// A terminal of a session of a workspace, which is woken where it is frozen: after the upgrade,
/// frames both ways.
#[utoipa::path(post, path = "/v1/workspaces/{workspace}/sessions/{session}/attach", params(("workspace" = String, Path), ("session" = String, Path)), request_body = dwell_api::session::AttachSession, responses((status = 101, description = "the connection carries frames now")))]
pub(in crate::api) async fn attach(
    State(node): Shared,
    Path((name, session)): Path<(String, String)>,
    request: Request,
) -> Result<Response, Refusal> {
    workspace::attach(node, &name, &name_of(&session)?, request).await
}

/// Types text into a session of a workspace, waking it where it is frozen.
#[utoipa::path(post, path = "/v1/workspaces/{workspace}/send", params(("workspace" = String, Path)), request_body = SendText, responses((status = 200, body = String)))]
pub(in crate::api) async fn send(
    State(node): Shared,
    Path(name): Path<String>,
    _: Key,
    Json(request): Json<SendText>,
) -> Answer<String> {
    let place = place(&node, &name).await?;
    answer(typed(&node, &place, request).await?)
}
