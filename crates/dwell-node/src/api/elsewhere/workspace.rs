//! Requests about workspaces that are on another node, and the making of one there.

use std::sync::Arc;

use axum::body::Body;
use axum::extract::Request;
use axum::http::Method;
use axum::response::{IntoResponse, Response};
use dwell_api::image::ListImages;
use dwell_api::remote::OnNode;
use dwell_api::workspace::{CreateWorkspace, Workspace as Shown};
use dwell_api::{ClientError, Code, Problem, endpoint};
use dwell_core::NodeName;

use super::super::{BODY_MAX, Refusal};
use super::{ANSWER_LIMIT, pass, passed};
use crate::node::Node;
use crate::remote::mirror;
use crate::workspace;

/// Passes a request about a workspace on, where that is on another node; gives it back where it
/// is to be answered here.
pub(super) async fn elsewhere(
    node: &Arc<Node>,
    request: Request,
    rest: &[&str],
) -> Result<Response, Request> {
    let [name, rest @ ..] = rest else { return create(node, request).await };
    let is_kept = *rest == ["restore"];
    match workspace::is_here(node, name, is_kept).await {
        Ok(false) => {}
        Ok(true) => return Err(request),
        Err(problem) => return Ok(Refusal::from(problem).into_response()),
    }
    let there = match node_of(node, name, is_kept).await {
        Ok(Some(there)) => there,
        Ok(None) => return Err(request),
        Err(problem) => return Ok(Refusal::from(problem).into_response()),
    };
    // By the name that was given: what it means now is that node's to say.
    let path = request.uri().path().to_owned();
    if rest.is_empty() && request.method() == Method::GET {
        return Ok(one(node, &there, name, &path).await);
    }
    Ok(passed(node, &there, request, &path).await)
}

/// The node of a workspace; all are asked anew where none was seen to have it.
async fn node_of(node: &Arc<Node>, name: &str, is_kept: bool) -> Result<Option<NodeName>, Problem> {
    if let Some(there) = node.remotes.workspace(name, is_kept)? {
        return Ok(Some(there));
    }
    node.remotes.list(node).await;
    node.remotes.workspace(name, is_kept)
}

/// A new workspace, where it is asked for on another node.
async fn create(node: &Arc<Node>, request: Request) -> Result<Response, Request> {
    let there = named(node, &request).filter(|_| request.method() == Method::POST);
    let Some(there) = there else { return Err(request) };
    Ok(create_there(node, &there, request).await.unwrap_or_else(IntoResponse::into_response))
}

/// Images, where those of another node are asked for, and a new one there.
pub(super) async fn images(node: &Arc<Node>, mut request: Request) -> Result<Response, Request> {
    let Some(there) = named(node, &request) else { return Err(request) };
    let query = axum::extract::Query::<ListImages>::try_from_uri(request.uri());
    let asked = query.map(|query| ListImages { node: None, ..query.0 }).unwrap_or_default();
    let path = endpoint::query(endpoint::IMAGES, &asked);
    if let Ok(uri) = path.parse() {
        *request.uri_mut() = uri;
    }
    Ok(passed(node, &there, request, endpoint::IMAGES).await)
}

/// The node that a request names, where it is one that is known.
fn named(node: &Node, request: &Request) -> Option<NodeName> {
    let query = axum::extract::Query::<OnNode>::try_from_uri(request.uri()).ok()?;
    query.0.node.filter(|there| node.remotes.peer(there).is_ok())
}

/// There it is not to be passed on again.
fn without_query(mut request: Request) -> Request {
    if let Ok(path) = request.uri().path().parse() {
        *request.uri_mut() = path;
    }
    request
}

async fn create_there(
    node: &Arc<Node>,
    there: &NodeName,
    request: Request,
) -> Result<Response, Refusal> {
    let (parts, body) = without_query(request).into_parts();
    let body = axum::body::to_bytes(body, BODY_MAX).await;
    let body = body.map_err(|e| Problem::new(Code::Usage, e.to_string()))?;
    // What is not understood is said by the node that it is for.
    if let Ok(asked) = serde_json::from_slice::<CreateWorkspace>(&body) {
        workspace::refuse_taken(node, &asked.name).await?;
    }
    let request = Request::from_parts(parts, Body::from(body));
    Ok(pass(node, there, request, endpoint::WORKSPACES).await?)
}

/// One workspace: as its node shows it now, else as it was last seen.
async fn one(node: &Arc<Node>, there: &NodeName, name: &str, path: &str) -> Response {
    let fresh = async {
        let mut client = node.remotes.client(there).await?;
        client.get::<Shown>(path).await.map_err(ClientError::into_problem)
    };
    match tokio::time::timeout(ANSWER_LIMIT, fresh).await {
        Ok(Ok(it)) => {
            return axum::Json(mirror::shown_workspace(it, there, None)).into_response();
        }
        Ok(Err(problem)) if problem.code == Code::NotFound => {
            return Refusal::from(problem).into_response();
        }
        _ => {}
    }
    let last = node.remotes.workspaces_seen();
    let is_meant = |it: &Shown| it.name.as_str() == name || it.id.as_str() == name;
    match last.into_iter().find(|it| it.node.as_ref() == Some(there) && is_meant(it)) {
        Some(it) => axum::Json(it).into_response(),
        None => {
            let problem = Problem::new(Code::NotFound, format!("there is no workspace `{name}`"));
            Refusal::from(problem).into_response()
        }
    }
}
