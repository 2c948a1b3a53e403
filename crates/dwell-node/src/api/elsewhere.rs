//! Requests about what is on another node: they are passed on to that node's API as they are, and
//! its answer back, upgrades and streams included. Clients need not know where anything is.

mod workspace;

use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use axum::extract::{Request, State};
use axum::http::{Method, StatusCode, Uri, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use dwell_api::environment::{Destroy, InProject};
use dwell_api::event::Outcome;
use dwell_api::remote::Target;
use dwell_api::{ClientError, Code, Problem, endpoint};
use dwell_core::{EnvironmentId, NodeName, ProjectName};
use hyper_util::rt::TokioIo;

use super::{BODY_MAX, Refusal, key};
use crate::node::Node;

/// How long a node may take to begin its answer to a plain question.
const ANSWER_LIMIT: Duration = Duration::from_secs(2);
/// What this node decides itself, wherever the environment is.
const DECIDED_HERE: [&str; 6] = ["up", "sync", "pull", "move", "merge", "variables"];

/// Passes a request on when what it is about is on another node.
pub(super) async fn elsewhere(
    State(node): State<Arc<Node>>,
    request: Request,
    next: Next,
) -> Response {
    if node.remotes.is_empty() {
        return next.run(request).await;
    }
    let path = request.uri().path().to_owned();
    let segments: Vec<&str> = path.split('/').skip(1).collect();
    match segments.as_slice() {
        ["v1", "environments", name, rest @ ..]
            if !rest.first().is_some_and(|word| DECIDED_HERE.contains(word)) =>
        {
            let query = axum::extract::Query::<InProject>::try_from_uri(request.uri()).ok();
            let project = query.and_then(|query| query.0.project);
            match place_of(&node, name, project.as_ref()).await {
                Some((there, id)) => {
                    let place = endpoint::fill(endpoint::ENVIRONMENT, &[id.as_str()]);
                    let full = rest.iter().fold(place, |path, word| format!("{path}/{word}"));
                    if rest.is_empty() {
                        return one(&node, &there, &id, request.method() == Method::GET, &full)
                            .await;
                    }
                    if rest == ["destroy"] {
                        let gone = destroy(node, &there, &id, request, &full).await;
                        return gone.unwrap_or_else(IntoResponse::into_response);
                    }
                    passed(&node, &there, request, &full).await
                }
                None => next.run(request).await,
            }
        }
        ["v1", "images"] => match workspace::images(&node, request).await {
            Ok(response) => response,
            Err(request) => next.run(request).await,
        },
        ["v1", "workspaces", rest @ ..] => match workspace::elsewhere(&node, request, rest).await {
            Ok(response) => response,
            Err(request) => next.run(request).await,
        },
        ["v1", "operations", id, ..] if node.operations.find(id).is_none() => {
            match operation_of(&node, id).await {
                Ok(Some(there)) => passed(&node, &there, request, &path).await,
                Ok(None) => next.run(request).await,
                Err(problem) => Refusal::from(problem).into_response(),
            }
        }
        _ => next.run(request).await,
    }
}

/// The node and identity of the environment that a path's segment means, where it is another's.
async fn place_of(
    node: &Node,
    name: &str,
    project: Option<&ProjectName>,
) -> Option<(NodeName, EnvironmentId)> {
    let (there, id) = node.remotes.find(name, project)?;
    // What is here comes first.
    match node.find(name, project).await {
        Err(problem) if problem.code == Code::NotFound => Some((there, id)),
        _ => None,
    }
}

/// One environment: as its node shows it now, else as it was last seen.
async fn one(
    node: &Arc<Node>,
    there: &NodeName,
    id: &EnvironmentId,
    reads: bool,
    path: &str,
) -> Response {
    let fresh = async {
        let mut client = node.remotes.client(there).await?;
        client.get(path).await.map_err(dwell_api::ClientError::into_problem)
    };
    if reads && let Ok(Ok(environment)) = tokio::time::timeout(ANSWER_LIMIT, fresh).await {
        return axum::Json(node.remotes.shown_now(there, &node.id, environment)).into_response();
    }
    match node.remotes.shown(there, id, &node.id) {
        Some(last) => axum::Json(last).into_response(),
        None => {
            let problem = Problem::new(Code::NotFound, format!("there is no environment `{id}`"));
            Refusal::from(problem).into_response()
        }
    }
}

/// Destroys an environment on its node; where that is away and nothing of it is to be kept, as
/// soon as it is back.
async fn destroy(
    node: Arc<Node>,
    there: &NodeName,
    id: &EnvironmentId,
    request: Request,
    path: &str,
) -> Result<Response, Refusal> {
    let (parts, body) = request.into_parts();
    let body = axum::body::to_bytes(body, BODY_MAX).await;
    let body = body.map_err(|e| Problem::new(Code::Usage, e.to_string()))?;
    let key = key(&parts.headers)?;
    let asked = serde_json::from_slice::<Destroy>(&body).unwrap_or_default();
    let passed = pass(&node, there, Request::from_parts(parts, Body::from(body)), path).await;
    let problem = match passed {
        Err(problem) if problem.code == Code::NodeUnreachable => problem,
        Err(problem) => return Err(problem.into()),
        Ok(response) => return Ok(response),
    };
    if asked.keep_workspace || !asked.force {
        let hint = "`--force` gives up what is there and removes it as soon as its node is back";
        return Err(problem.hint(hint).into());
    }
    node.remotes.give_up(&node, there, id).await?;
    super::operate(node, key, path.to_owned(), |_, operation, _| async move {
        operation.note(format!("{problem}; what is there is removed as soon as it is back"));
        operation.end(Ok(Outcome { changed: true, ..Outcome::default() }));
        Ok(())
    })
    .await
}

/// The node that knows an operation which this one does not.
///
/// # Errors
/// When none that answers does, and one that may is away.
async fn operation_of(node: &Node, id: &str) -> Result<Option<NodeName>, Problem> {
    let path = endpoint::fill(endpoint::OPERATION, &[id]);
    let mut away = Vec::new();
    for there in node.remotes.names() {
        let known = async {
            let mut client = node.remotes.client(&there).await.map_err(drop)?;
            match client.lines(&path).await {
                Ok(_) => Ok(true),
                Err(ClientError::Problem(_)) => Ok(false),
                Err(_) => Err(()),
            }
        };
        match tokio::time::timeout(ANSWER_LIMIT, known).await {
            Ok(Ok(true)) => return Ok(Some(there)),
            Ok(Ok(false)) => {}
            _ => away.push(there.to_string()),
        }
    }
    if away.is_empty() {
        return Ok(None);
    }
    let message = format!("no node that answers knows the operation `{id}`");
    Err(Problem::new(Code::NodeUnreachable, message)
        .hint(format!("it may be of one that is away: {}", away.join(", "))))
}

async fn passed(node: &Arc<Node>, there: &NodeName, request: Request, path: &str) -> Response {
    match pass(node, there, request, path).await {
        Ok(response) => response,
        Err(problem) => Refusal::from(problem).into_response(),
    }
}

async fn pass(
    node: &Node,
    there: &NodeName,
    mut request: Request,
    path: &str,
) -> Result<Response, Problem> {
    let broke = |why: String| {
        Problem::new(Code::NodeUnreachable, format!("node `{there}` gave no answer: {why}"))
            .hint(format!("`dwell remote ping {there}` tells how it is"))
    };
    let stream = node.remotes.dial(there, &Target::Api).await?;
    let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream))
        .await
        .map_err(|e| broke(e.to_string()))?;
    tokio::spawn(connection.with_upgrades());
    let query = request.uri().query().map(|query| format!("?{query}")).unwrap_or_default();
    let uri: Uri = format!("{path}{query}").parse().map_err(|e| broke(format!("{e}")))?;
    *request.uri_mut() = uri;
    let wants_upgrade = request.headers().contains_key(header::UPGRADE);
    let near = wants_upgrade.then(|| hyper::upgrade::on(&mut request));
    let mut response = sender.send_request(request).await.map_err(|e| broke(e.to_string()))?;
    if response.status() == StatusCode::SWITCHING_PROTOCOLS
        && let Some(near) = near
    {
        let far = hyper::upgrade::on(&mut response);
        tokio::spawn(async move {
            if let (Ok(near), Ok(far)) = tokio::join!(near, far) {
                let (mut near, mut far) = (TokioIo::new(near), TokioIo::new(far));
                // What goes wrong is for both ends to see.
                let _ = tokio::io::copy_bidirectional(&mut near, &mut far).await;
            }
        });
    }
    Ok(response.map(Body::new))
}
