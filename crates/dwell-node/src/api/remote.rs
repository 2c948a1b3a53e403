//! Other nodes: registering them, how they are, streams to them; and what this node shows them.

use std::sync::Arc;

use axum::extract::{Path, Request, State};
use axum::response::Response;
use dwell_api::exec::Command;
use dwell_api::remote::{
    DIAL, Dial, Farewell, FilesFor, ImagePorts, Images, Introduced, Introduction, Machine, Pong,
    RemoteNode, Rsync, Seen, SourcesFor,
};
use dwell_api::{ClientError, Code, Problem, endpoint};
use dwell_core::NodeName;
use dwell_core::remote::Remote;
use hyper_util::rt::TokioIo;

use super::{Answer, Json, Key, Query, Refusal, Shared, answer, lines, switching, upgrade_of};
use crate::node::invalid_name;
use crate::{machine, mesh, remote, travel, watch};

fn name_of(text: &str) -> Result<NodeName, Refusal> {
    Ok(text.parse().map_err(invalid_name)?)
}

/// Lists the registered nodes as they were last heard of.
#[utoipa::path(get, path = "/v1/remotes", responses((status = 200, body = [RemoteNode])))]
pub(super) async fn list(State(node): Shared) -> Answer<Vec<RemoteNode>> {
    answer(node.remotes.show_all())
}

/// Registers a node, or changes how a registered one is reached.
#[utoipa::path(post, path = "/v1/remotes", request_body = Object, responses((status = 200, body = RemoteNode)))]
pub(super) async fn add(
    State(node): Shared,
    _: Key,
    Json(given): Json<Remote>,
) -> Answer<RemoteNode> {
    if given.name.is_local() {
        let message = "`local` always means this machine: choose another name";
        return Err(Problem::new(Code::InvalidName, message).into());
    }
    let peer = remote::add(&node, given).await?;
    answer(node.remotes.show(&peer))
}

/// One registered node.
#[utoipa::path(get, path = "/v1/remotes/{remote}", params(("remote" = String, Path)), responses((status = 200, body = RemoteNode)))]
pub(super) async fn one(State(node): Shared, Path(name): Path<String>) -> Answer<RemoteNode> {
    let peer = node.remotes.peer(&name_of(&name)?)?;
    answer(node.remotes.show(&peer))
}

/// Forgets a registered node. What runs there goes on.
#[utoipa::path(post, path = "/v1/remotes/{remote}/remove", params(("remote" = String, Path)), responses((status = 200, body = bool)))]
pub(super) async fn remove(State(node): Shared, Path(name): Path<String>, _: Key) -> Answer<bool> {
    remote::remove(&node, &name_of(&name)?).await?;
    answer(true)
}

/// Measures a round trip to a node's daemon, making the link first where it is down.
#[utoipa::path(post, path = "/v1/remotes/{remote}/ping", params(("remote" = String, Path)), responses((status = 200, body = Pong)))]
pub(super) async fn ping(State(node): Shared, Path(name): Path<String>, _: Key) -> Answer<Pong> {
    answer(node.remotes.peer(&name_of(&name)?)?.ping().await?)
}

/// What runs on a registered node and what is left of it.
#[utoipa::path(get, path = "/v1/remotes/{remote}/machine", params(("remote" = String, Path)), responses((status = 200, body = Machine)))]
pub(super) async fn machine_of(State(node): Shared, Path(name): Path<String>) -> Answer<Machine> {
    let mut client = node.remotes.client(&name_of(&name)?).await?;
    answer(client.get(endpoint::MACHINE).await.map_err(ClientError::into_problem)?)
}

/// A byte stream to something on a registered node.
#[utoipa::path(post, path = "/v1/remotes/{remote}/dial", params(("remote" = String, Path)), request_body = Dial, responses((status = 101, description = "the connection is the stream now")))]
pub(super) async fn dial(
    State(node): Shared,
    Path(name): Path<String>,
    request: Request,
) -> Result<Response, Refusal> {
    let name = name_of(&name)?;
    let (upgrade, dial): (_, Dial) = upgrade_of(request).await?;
    let mut far = node.remotes.dial(&name, &dial.target).await?;
    tokio::spawn(async move {
        if let Ok(near) = upgrade.await {
            // What goes wrong is for both ends to see.
            let _ = tokio::io::copy_bidirectional(&mut TokioIo::new(near), &mut far).await;
        }
    });
    Ok(switching(DIAL))
}

/// What runs on this machine and what is left of it.
#[utoipa::path(get, path = "/v1/machine", responses((status = 200, body = Machine)))]
pub(super) async fn machine(State(node): Shared) -> Answer<Machine> {
    answer(machine::look(&node).await?)
}

/// The ports that images say.
#[utoipa::path(post, path = "/v1/images/ports", request_body = Images, responses((status = 200, body = ImagePorts)))]
pub(super) async fn image_ports(
    State(node): Shared,
    _: Key,
    Json(images): Json<Images>,
) -> Answer<ImagePorts> {
    answer(crate::environment::image_ports(&node, &images).await?)
}

/// Lets another node in over a mesh, and tells where it is listened for.
#[utoipa::path(post, path = "/v1/mesh", request_body = Introduction, responses((status = 200, body = Introduced)))]
pub(super) async fn introduce(
    State(node): Shared,
    _: Key,
    Json(theirs): Json<Introduction>,
) -> Answer<Introduced> {
    answer(mesh::introduce(&node, theirs).await?)
}

/// Lets another node in over a mesh no more.
#[utoipa::path(post, path = "/v1/mesh/forget", request_body = Farewell, responses((status = 200, body = bool)))]
pub(super) async fn forget(
    State(node): Shared,
    _: Key,
    Json(theirs): Json<Farewell>,
) -> Answer<bool> {
    mesh::forget(&node, &theirs.node)?;
    answer(true)
}

/// Environments and sessions: all of them now, and again whenever something changes.
#[utoipa::path(get, path = "/v1/watch", responses((status = 200, body = Seen, content_type = "application/x-ndjson")))]
pub(super) async fn changes(State(node): Shared) -> Response {
    lines(watch::changes(node))
}

/// Runs a command in an environment's tree: after the upgrade, frames both ways.
#[utoipa::path(post, path = "/v1/environments/{environment}/command", params(("environment" = String, Path)), request_body = Command, responses((status = 101, description = "the connection carries frames now")))]
pub(super) async fn command(
    State(node): Shared,
    Path(name): Path<String>,
    request: Request,
) -> Result<Response, Refusal> {
    crate::command::serve(Arc::clone(&node), &name, request).await
}

/// Which objects of a project's source this node has.
#[utoipa::path(get, path = "/v1/projects/{project}/tips", params(("project" = String, Path), SourcesFor), responses((status = 200, body = Object)))]
pub(super) async fn tips(
    State(node): Shared,
    Path(project): Path<String>,
    Query(query): Query<SourcesFor>,
) -> Answer<serde_json::Value> {
    let project = project.parse().map_err(invalid_name)?;
    answer(travel::haves(&node, &project, &query).await?)
}

/// Receives objects of a project's source: after the upgrade they come, then the answer goes.
#[utoipa::path(post, path = "/v1/projects/{project}/objects", params(("project" = String, Path), SourcesFor), responses((status = 101, description = "the connection carries objects now")))]
pub(super) async fn objects(
    State(node): Shared,
    Path(project): Path<String>,
    Query(query): Query<SourcesFor>,
    request: Request,
) -> Result<Response, Refusal> {
    let project = project.parse().map_err(invalid_name)?;
    travel::receive(Arc::clone(&node), project, query, request).await
}

/// Receives files that git does not keep: after the upgrade they come, then the answer goes.
#[utoipa::path(post, path = "/v1/projects/{project}/extra", params(("project" = String, Path), FilesFor), responses((status = 101, description = "the connection carries files now")))]
pub(super) async fn extra(
    State(node): Shared,
    Path(project): Path<String>,
    Query(query): Query<FilesFor>,
    request: Request,
) -> Result<Response, Refusal> {
    let project = project.parse().map_err(invalid_name)?;
    travel::receive_extra(Arc::clone(&node), project, query, request).await
}

/// Compares a source without git: after the upgrade its description comes, and what is to be
/// brought goes back.
#[utoipa::path(post, path = "/v1/projects/{project}/plain", params(("project" = String, Path), FilesFor), responses((status = 101, description = "the connection carries descriptions now")))]
pub(super) async fn plain(
    State(node): Shared,
    Path(project): Path<String>,
    Query(query): Query<FilesFor>,
    request: Request,
) -> Result<Response, Refusal> {
    let project = project.parse().map_err(invalid_name)?;
    travel::receive_plain(Arc::clone(&node), project, query, request).await
}

/// Is rsync's other side: after the upgrade the connection is its standard streams.
#[utoipa::path(post, path = "/v1/projects/{project}/rsync", params(("project" = String, Path)), request_body = Rsync, responses((status = 101, description = "the connection is rsync's now")))]
pub(super) async fn rsync(
    State(node): Shared,
    Path(project): Path<String>,
    request: Request,
) -> Result<Response, Refusal> {
    let project = project.parse().map_err(invalid_name)?;
    travel::rsync(Arc::clone(&node), project, request).await
}
