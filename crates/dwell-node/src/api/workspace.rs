//! Workspaces: listing, what is done with them, commands in them.

pub(super) mod session;

use std::future::Future;
use std::sync::Arc;

use axum::extract::{Path, Request, State};
use axum::response::Response;
use dwell_api::event::Outcome;
use dwell_api::pool::Pool;
use dwell_api::remote::OnNode;
use dwell_api::workspace::{
    Change, CreateWorkspace, DestroyWorkspace, ListWorkspaces, Ports, PortsQuery, RestoreWorkspace,
    Workspace as Shown, WorkspaceDial, WorkspaceExec, WorkspaceLosses,
};
use dwell_api::{Event, Problem};
use dwell_core::settings::{PushSettings, PushedSettings};
use dwell_core::workspace::Status;

use super::{Answer, Json, Key, Query, Refusal, Shared, answer, operate};
use crate::node::Node;
use crate::operation::Operation;
use crate::{workspace, world};

/// Runs what ends with an outcome as an operation.
pub(super) async fn run<F, W>(
    node: Arc<Node>,
    key: String,
    call: String,
    work: W,
) -> Result<Response, Refusal>
where
    W: FnOnce(Arc<Node>, Arc<Operation>) -> F + Send + 'static,
    F: Future<Output = Result<Outcome, Problem>> + Send + 'static,
{
    operate(node, key, call, |node, operation, _| async move {
        let outcome = work(node, operation.clone()).await?;
        operation.end(Ok(outcome));
        Ok(())
    })
    .await
}

/// Lists workspaces. Looks at nothing and wakes nothing: it tells what was last seen.
#[utoipa::path(get, path = "/v1/workspaces", params(ListWorkspaces), responses((status = 200, body = [Shown])))]
pub(super) async fn list(
    State(node): Shared,
    Query(query): Query<ListWorkspaces>,
) -> Answer<Vec<Shown>> {
    world::freshen(&node).await;
    let mut shown = workspace::list(&node, query.all).await?;
    if !node.remotes.is_empty() {
        let elsewhere = node.remotes.list(&node).await.workspaces;
        let wanted = |it: &Shown| query.all || it.status != Status::Destroyed;
        shown.extend(elsewhere.into_iter().filter(wanted));
        shown.sort_by(|a, b| (&a.name, &a.node).cmp(&(&b.name, &b.node)));
    }
    answer(shown)
}

/// One workspace.
#[utoipa::path(get, path = "/v1/workspaces/{workspace}", params(("workspace" = String, Path, description = "name or id")), responses((status = 200, body = Shown)))]
pub(super) async fn one(State(node): Shared, Path(name): Path<String>) -> Answer<Shown> {
    let found = workspace::find(&node, &name).await?;
    world::freshen(&node).await;
    answer(workspace::see(&node, &found).await?)
}

/// What waits to become a workspace.
#[utoipa::path(get, path = "/v1/pool", responses((status = 200, body = Pool)))]
pub(super) async fn pool(State(node): Shared) -> Answer<Pool> {
    answer(workspace::pool::pool(&node).await?)
}

/// Makes a workspace and starts it, here or on another node.
#[utoipa::path(post, path = "/v1/workspaces", params(OnNode), request_body = CreateWorkspace, responses((status = 200, body = Event, content_type = "application/x-ndjson")))]
pub(super) async fn create(
    State(node): Shared,
    Query(query): Query<OnNode>,
    Key(key): Key,
    Json(request): Json<CreateWorkspace>,
) -> Result<Response, Refusal> {
    if let Some(there) = query.node {
        // One that is registered has got the request.
        node.remotes.peer(&there)?;
    }
    let call = format!("workspace create {}", request.name);
    run(node, key, call, |node, operation| async move {
        workspace::create(&node, &operation, request).await
    })
    .await
}

/// Starts, stops, suspends, resumes, resizes or renames a workspace, or has it join an
/// environment or leave one.
#[utoipa::path(post, path = "/v1/workspaces/{workspace}/change", params(("workspace" = String, Path)), request_body = Change, responses((status = 200, body = Event, content_type = "application/x-ndjson")))]
pub(super) async fn change(
    State(node): Shared,
    Path(name): Path<String>,
    Key(key): Key,
    Json(request): Json<Change>,
) -> Result<Response, Refusal> {
    let call = format!("workspace {} {name}", request.verb());
    run(node, key, call, |node, operation| async move {
        workspace::change(&node, &operation, &name, request).await
    })
    .await
}

/// What destroying a workspace would lose.
#[utoipa::path(get, path = "/v1/workspaces/{workspace}/losses", params(("workspace" = String, Path)), responses((status = 200, body = WorkspaceLosses)))]
pub(super) async fn losses(
    State(node): Shared,
    Path(name): Path<String>,
) -> Answer<WorkspaceLosses> {
    let found = workspace::find(&node, &name).await?;
    answer(workspace::losses(&node, &found).await?)
}

/// Removes a workspace, unless work would be lost that is not given up. Its home is kept for a
/// while.
#[utoipa::path(post, path = "/v1/workspaces/{workspace}/destroy", params(("workspace" = String, Path)), request_body = DestroyWorkspace, responses((status = 200, body = Event, content_type = "application/x-ndjson")))]
pub(super) async fn destroy(
    State(node): Shared,
    Path(name): Path<String>,
    Key(key): Key,
    Json(request): Json<DestroyWorkspace>,
) -> Result<Response, Refusal> {
    let call = format!("workspace destroy {name}");
    run(node, key, call, |node, _| async move { workspace::destroy(&node, &name, request).await })
        .await
}

/// Makes a destroyed workspace again of the home that was kept.
#[utoipa::path(post, path = "/v1/workspaces/{workspace}/restore", params(("workspace" = String, Path)), request_body = RestoreWorkspace, responses((status = 200, body = Event, content_type = "application/x-ndjson")))]
pub(super) async fn restore(
    State(node): Shared,
    Path(name): Path<String>,
    Key(key): Key,
    Json(request): Json<RestoreWorkspace>,
) -> Result<Response, Refusal> {
    let call = format!("workspace restore {name}");
    run(node, key, call, |node, operation| async move {
        workspace::restore(&node, &operation, &name, request).await
    })
    .await
}

/// Puts a person's settings into a workspace, at once or when it runs the next time. What was
/// changed inside stays.
#[utoipa::path(post, path = "/v1/workspaces/{workspace}/settings", params(("workspace" = String, Path)), request_body = PushSettings, responses((status = 200, body = PushedSettings)))]
pub(super) async fn settings(
    State(node): Shared,
    Path(name): Path<String>,
    Json(request): Json<PushSettings>,
) -> Answer<PushedSettings> {
    answer(workspace::push(&node, &name, request).await?)
}

/// Runs a command in a workspace, waking it where it sleeps: after the upgrade, frames both
/// ways.
#[utoipa::path(post, path = "/v1/workspaces/{workspace}/exec", params(("workspace" = String, Path)), request_body = WorkspaceExec, responses((status = 101, description = "the connection carries frames now")))]
pub(super) async fn exec(
    State(node): Shared,
    Path(name): Path<String>,
    request: Request,
) -> Result<Response, Refusal> {
    workspace::exec(node, &name, request).await
}

/// What listens in a workspace. One that is frozen is looked at from outside, unless it is to be
/// woken.
#[utoipa::path(get, path = "/v1/workspaces/{workspace}/ports", params(("workspace" = String, Path), PortsQuery), responses((status = 200, body = Ports)))]
pub(super) async fn ports(
    State(node): Shared,
    Path(name): Path<String>,
    Query(query): Query<PortsQuery>,
) -> Answer<Ports> {
    answer(workspace::ports(&node, &name, query).await?)
}

/// A byte stream to a port of a workspace, waking it where it sleeps.
#[utoipa::path(post, path = "/v1/workspaces/{workspace}/dial", params(("workspace" = String, Path)), request_body = WorkspaceDial, responses((status = 101, description = "the connection is the stream now")))]
pub(super) async fn dial(
    State(node): Shared,
    Path(name): Path<String>,
    request: Request,
) -> Result<Response, Refusal> {
    workspace::dial(node, &name, request).await
}
