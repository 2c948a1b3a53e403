//! The node API: the router, how operations are answered, how problems become answers. Every
//! route is documented where it is handled; the OpenAPI document comes from there.

mod credentials;
mod desktop;
mod elsewhere;
mod environment;
mod forward;
mod idle;
mod image;
mod mcp;
mod node;
mod remote;
mod session;
mod snapshot;
mod volume;
mod work;
mod workspace;

use std::future::Future;
use std::sync::Arc;

use axum::Router;
use axum::body::Body;
use axum::extract::{FromRequest, FromRequestParts, Request};
use axum::http::request::Parts;
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use bytes::Bytes;
use dwell_api::problem::ErrorBody;
use dwell_api::{Code, IDEMPOTENCY_KEY, Problem, endpoint};
use dwell_core::OperationId;
use futures_util::stream;
use serde::Serialize;
use serde::de::DeserializeOwned;
use utoipa::OpenApi;

use crate::doors::Doors;
use crate::node::{Node, random};
use crate::operation::Operation;
use crate::problem::OrProblem;

type Shared = axum::extract::State<Arc<Node>>;

/// The largest request body: a shell's environment and a long text fit.
const BODY_MAX: usize = 8 << 20;

/// A problem as an answer.
pub(crate) struct Refusal(Problem);

impl From<Problem> for Refusal {
    fn from(problem: Problem) -> Self {
        Self(problem)
    }
}

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        let status = StatusCode::from_u16(self.0.code.status());
        let status = status.unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        (status, axum::Json(ErrorBody { error: self.0 })).into_response()
    }
}

type Answer<T> = Result<axum::Json<T>, Refusal>;

fn answer<T>(value: T) -> Answer<T> {
    Ok(axum::Json(value))
}

/// A JSON body; one that is not understood is a problem, not a plain text.
pub(crate) struct Json<T>(pub(crate) T);

impl<S: Send + Sync, T: DeserializeOwned> FromRequest<S> for Json<T> {
    type Rejection = Refusal;

    async fn from_request(request: Request, state: &S) -> Result<Self, Refusal> {
        let bytes = Bytes::from_request(request, state).await.map_err(|e| usage(e.to_string()))?;
        serde_json::from_slice(&bytes).map(Self).map_err(|e| usage(e.to_string()))
    }
}

/// A query; one that is not understood is a problem.
pub(crate) struct Query<T>(pub(crate) T);

impl<S: Send + Sync, T: DeserializeOwned> FromRequestParts<S> for Query<T> {
    type Rejection = Refusal;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Refusal> {
        axum::extract::Query::<T>::from_request_parts(parts, state)
            .await
            .map(|query| Self(query.0))
            .map_err(|e| usage(e.body_text()))
    }
}

fn usage(why: String) -> Refusal {
    Problem::new(Code::Usage, format!("the request is not understood: {why}")).into()
}

/// The idempotency key that every mutating call carries.
pub(crate) struct Key(pub(crate) String);

impl<S: Send + Sync> FromRequestParts<S> for Key {
    type Rejection = Refusal;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Refusal> {
        key(&parts.headers).map(Self)
    }
}

fn key(headers: &HeaderMap) -> Result<String, Refusal> {
    let given = headers.get(IDEMPOTENCY_KEY).and_then(|value| value.to_str().ok());
    match given {
        Some(key) if (1..=128).contains(&key.len()) => Ok(key.to_owned()),
        _ => Err(usage(format!("the header `{IDEMPOTENCY_KEY}` is missing or too long"))),
    }
}

/// The upgrade that a request asks for, and its body.
pub(crate) async fn upgrade_of<T: DeserializeOwned>(
    mut request: Request,
) -> Result<(hyper::upgrade::OnUpgrade, T), Refusal> {
    let upgrade = hyper::upgrade::on(&mut request);
    let Json(body) = Json::from_request(request, &()).await?;
    Ok((upgrade, body))
}

/// The answer that turns the connection into a stream of another protocol.
pub(crate) fn switching(protocol: &'static str) -> Response {
    let headers = [(header::CONNECTION, "upgrade"), (header::UPGRADE, protocol)];
    (StatusCode::SWITCHING_PROTOCOLS, headers).into_response()
}

/// A stream of JSON lines.
fn lines<T: Serialize>(items: impl stream::Stream<Item = T> + Send + 'static) -> Response {
    use futures_util::StreamExt;
    let body = items.map(|item| {
        let mut line = serde_json::to_vec(&item).map_err(std::io::Error::other)?;
        line.push(b'\n');
        Ok::<_, std::io::Error>(Bytes::from(line))
    });
    let kind = [(header::CONTENT_TYPE, "application/x-ndjson")];
    (kind, Body::from_stream(body)).into_response()
}

/// All events of an operation, from its first to its last.
fn events(operation: Arc<Operation>) -> Response {
    lines(stream::unfold((operation, 0), |(operation, number)| async move {
        let event = operation.event(number).await?;
        Some((event, (operation, number + 1)))
    }))
}

/// Runs an operation on its own, whatever becomes of the client, and answers its events. A
/// repeated key joins the first call, or replays how it ended.
async fn operate<F, B>(
    node: Arc<Node>,
    key: String,
    call: String,
    begin: B,
) -> Result<Response, Refusal>
where
    B: FnOnce(Arc<Node>, Arc<Operation>, String) -> F,
    F: Future<Output = Result<(), Problem>> + Send + 'static,
{
    node.operations.ready().await;
    let id = OperationId::from_random(random()?);
    let (operation, is_new) = node.operations.join_or_begin(&key, id, &call);
    if !is_new {
        // What an earlier life left unfinished does not know its call any more.
        if !operation.call.is_empty() && operation.call != call {
            let first = &operation.call;
            return Err(usage(format!("its idempotency key was used for `{first}` before")));
        }
        return Ok(events(operation));
    }
    if let Some(journal) = node.store.operation_by_key(&key).await.or_problem()?
        && let Some(result) = journal.result
    {
        let result = match serde_json::from_value(result.clone()) {
            Ok(outcome) => Ok(outcome),
            Err(_) => Err(serde_json::from_value(result).unwrap_or_else(|_| {
                Problem::new(Code::Internal, "the outcome of that call is not known any more")
            })),
        };
        return Ok(events(node.operations.remember(&key, journal.id, &call, result)));
    }
    let work = begin(node, operation.clone(), key);
    let told = operation.clone();
    tokio::spawn(async move {
        if let Err(problem) = work.await {
            told.end(Err(problem));
        }
    });
    Ok(events(operation))
}

fn router(node: Arc<Node>) -> Router {
    Router::new()
        .route(endpoint::NODE, get(node::node))
        .route(endpoint::NODE_STOP, post(node::stop))
        .route(endpoint::DOCTOR, get(node::doctor))
        .route(endpoint::DOCTOR_REPAIR, post(node::repair))
        .route(endpoint::OPENAPI, get(node::document))
        .route(endpoint::TRUST, post(node::trust))
        .route(endpoint::OPERATION, get(node::operation))
        .route(endpoint::OPERATION_CANCEL, post(node::cancel))
        .route(endpoint::ENVIRONMENTS, get(environment::list).post(environment::create))
        .route(endpoint::ENVIRONMENT, get(environment::one))
        .route(endpoint::UP, post(environment::up))
        .route(endpoint::DOWN, post(environment::down))
        .route(endpoint::DESTROY, post(environment::destroy))
        .route(endpoint::LOSSES, get(environment::losses))
        .route(endpoint::WAIT, get(environment::wait))
        .route(endpoint::DIFF, get(work::diff))
        .route(endpoint::MERGE, post(work::merge))
        .route(endpoint::SYNC, post(work::sync))
        .route(endpoint::LOGS, get(work::logs))
        .route(endpoint::VARIABLES, get(work::variables))
        .route(endpoint::COMPOSE, get(work::compose))
        .route(endpoint::EXEC, post(work::exec))
        .route(endpoint::SESSIONS, get(session::list))
        .route(endpoint::ENVIRONMENT_SESSIONS, post(session::start))
        .route(endpoint::SESSION, get(session::one))
        .route(endpoint::SESSION_KILL, post(session::kill))
        .route(endpoint::TRANSCRIPT, get(session::transcript))
        .route(endpoint::SEND, post(session::send))
        .route(endpoint::LOGIN, get(session::login))
        .route(endpoint::REMOTES, get(remote::list).post(remote::add))
        .route(endpoint::REMOTE, get(remote::one))
        .route(endpoint::REMOTE_REMOVE, post(remote::remove))
        .route(endpoint::REMOTE_PING, post(remote::ping))
        .route(endpoint::REMOTE_MACHINE, get(remote::machine_of))
        .route(endpoint::DIAL, post(remote::dial))
        .route(endpoint::MACHINE, get(remote::machine))
        .route(endpoint::IMAGES, get(image::list).post(image::build))
        .route(endpoint::IMAGE_PORTS, post(remote::image_ports))
        .route(endpoint::MESH, post(remote::introduce))
        .route(endpoint::MESH_FORGET, post(remote::forget))
        .route(endpoint::WATCH, get(remote::changes))
        .route(endpoint::COMMAND, post(remote::command))
        .route(endpoint::TIPS, get(remote::tips))
        .route(endpoint::PULL, post(work::pull))
        .route(endpoint::WORK, post(work::work))
        .route(endpoint::OBJECTS, post(remote::objects))
        .route(endpoint::EXTRA, post(remote::extra))
        .route(endpoint::PLAIN, post(remote::plain))
        .route(endpoint::RSYNC, post(remote::rsync))
        .route(endpoint::CHANGED, get(work::changed))
        .route(endpoint::OWN_EXTRA, post(work::extra))
        .route(endpoint::TREE, get(work::tree_format).post(work::tree))
        .route(endpoint::DELIVERY, get(work::delivery))
        .route(endpoint::MOVE, post(environment::moving))
        .route(endpoint::MOVE_PLAN, post(environment::move_plan))
        .route(endpoint::VOLUMES, get(volume::list))
        .route(endpoint::VOLUME, post(volume::receive))
        .route(endpoint::VOLUME_CONTENT, post(volume::send))
        .route(endpoint::VOLUME_REMOVE, post(volume::remove))
        .route(endpoint::SERVICE_STOP, post(volume::stop_service))
        .route(endpoint::SERVICE_START, post(volume::start_service))
        .route(endpoint::WORKSPACES, get(workspace::list).post(workspace::create))
        .route(endpoint::POOL, get(workspace::pool))
        .route(endpoint::WORKSPACE, get(workspace::one))
        .route(endpoint::WORKSPACE_CHANGE, post(workspace::change))
        .route(endpoint::WORKSPACE_LOSSES, get(workspace::losses))
        .route(endpoint::WORKSPACE_DESTROY, post(workspace::destroy))
        .route(endpoint::WORKSPACE_RESTORE, post(workspace::restore))
        .route(endpoint::CREDENTIALS, get(credentials::list))
        .route(endpoint::CREDENTIALS_IMPORT, post(credentials::import))
        .route(endpoint::CREDENTIALS_FORGET, post(credentials::forget))
        .route(endpoint::WORKSPACE_SETTINGS, post(workspace::settings))
        .route(endpoint::WORKSPACE_ANDROID, get(desktop::android).post(desktop::change_android))
        .route(endpoint::WORKSPACE_MCP, post(mcp::serve))
        .route(endpoint::WORKSPACE_EXEC, post(workspace::exec))
        .route(endpoint::WORKSPACE_DIAL, post(workspace::dial))
        .route(endpoint::WORKSPACE_PORTS, get(workspace::ports))
        .route(endpoint::SERVICE_DIAL, post(work::dial))
        .route(endpoint::WORKSPACE_DESKTOP, post(desktop::change))
        .route(endpoint::WORKSPACE_VIEWER, get(desktop::files))
        .route(endpoint::VIEWERS, post(desktop::open))
        .route(endpoint::FORWARDS, get(forward::list).post(forward::start))
        .route(endpoint::FORWARDS_STOP, post(forward::stop))
        .route(endpoint::SNAPSHOTS, get(snapshot::list).post(snapshot::create))
        .route(endpoint::SNAPSHOT_RESTORE, post(snapshot::restore))
        .route(endpoint::SNAPSHOT_REMOVE, post(snapshot::remove))
        .route(endpoint::WORKSPACE_FORK, post(snapshot::fork))
        .route(endpoint::WORKSPACE_SETUP, get(snapshot::steps).post(snapshot::change_steps))
        .route(endpoint::WORKSPACE_UPGRADE, get(snapshot::plan).post(snapshot::upgrade))
        .route(endpoint::WORKSPACE_IDLE, get(idle::one).post(idle::set))
        .route(endpoint::WORKSPACE_KEEP, post(idle::keep))
        .route(endpoint::WORKSPACE_SESSIONS, post(workspace::session::start))
        .route(endpoint::WORKSPACE_SESSION, get(workspace::session::one))
        .route(endpoint::WORKSPACE_SESSION_KILL, post(workspace::session::kill))
        .route(endpoint::WORKSPACE_TRANSCRIPT, get(workspace::session::transcript))
        .route(endpoint::WORKSPACE_ATTACH, post(workspace::session::attach))
        .route(endpoint::WORKSPACE_SEND, post(workspace::session::send))
        .fallback(|| async {
            Refusal(Problem::new(Code::NotFound, "the node API has no such path"))
        })
        .layer(axum::middleware::from_fn_with_state(node.clone(), elsewhere::elsewhere))
        .layer(axum::extract::DefaultBodyLimit::max(BODY_MAX))
        .with_state(node)
}

/// Serves the API until `stop` is done. Streams that are open then are cut; operations are
/// settled at the next start.
pub(crate) async fn serve(
    node: Arc<Node>,
    doors: Doors,
    stop: impl Future<Output = ()> + Send + 'static,
) -> Result<(), Problem> {
    let (told, telling) = tokio::sync::watch::channel(false);
    let mut cut = telling.clone();
    let graceful = async move {
        stop.await;
        told.send_replace(true);
    };
    let serving = axum::serve(doors, router(node)).with_graceful_shutdown(graceful);
    let cut = async move {
        let _ = cut.wait_for(|stopping| *stopping).await;
        tokio::time::sleep(std::time::Duration::from_millis(500)).await;
    };
    tokio::select! {
        result = async { serving.await } => {
            result.map_err(|e| Problem::new(Code::Internal, format!("serving failed: {e}")))
        }
        () = cut => Ok(()),
    }
}

/// The document that describes the API.
#[derive(OpenApi)]
#[openapi(
    info(
        title = "dwell node API",
        description = "What a dwell node does for its user, over a unix socket. Mutating calls carry an `idempotency-key` header; long ones answer a stream of JSON lines."
    ),
    paths(
        node::node,
        node::stop,
        node::doctor,
        node::repair,
        node::document,
        node::trust,
        node::operation,
        node::cancel,
        environment::list,
        environment::create,
        environment::one,
        environment::up,
        environment::down,
        environment::destroy,
        environment::losses,
        environment::wait,
        work::diff,
        work::merge,
        work::sync,
        work::pull,
        work::work,
        work::changed,
        work::extra,
        work::tree_format,
        work::tree,
        work::delivery,
        environment::moving,
        environment::move_plan,
        volume::list,
        volume::receive,
        volume::send,
        volume::remove,
        volume::stop_service,
        volume::start_service,
        work::logs,
        work::variables,
        work::compose,
        work::exec,
        session::list,
        session::start,
        session::one,
        session::kill,
        session::transcript,
        session::send,
        session::login,
        remote::list,
        remote::add,
        remote::one,
        remote::remove,
        remote::ping,
        remote::machine_of,
        remote::dial,
        remote::machine,
        remote::image_ports,
        remote::introduce,
        remote::forget,
        remote::changes,
        remote::command,
        remote::tips,
        remote::objects,
        remote::extra,
        remote::plain,
        remote::rsync,
        workspace::list,
        workspace::create,
        image::list,
        image::build,
        workspace::pool,
        workspace::one,
        workspace::change,
        workspace::losses,
        workspace::destroy,
        workspace::restore,
        workspace::settings,
        mcp::serve,
        credentials::list,
        credentials::import,
        credentials::forget,
        workspace::exec,
        workspace::dial,
        workspace::ports,
        work::dial,
        desktop::change,
        desktop::android,
        desktop::change_android,
        desktop::files,
        desktop::open,
        forward::list,
        forward::start,
        forward::stop,
        snapshot::list,
        snapshot::create,
        snapshot::restore,
        snapshot::remove,
        snapshot::fork,
        snapshot::steps,
        snapshot::change_steps,
        snapshot::plan,
        snapshot::upgrade,
        idle::one,
        idle::set,
        idle::keep,
        workspace::session::start,
        workspace::session::one,
        workspace::session::kill,
        workspace::session::transcript,
        workspace::session::attach,
        workspace::session::send,
    ),
    components(schemas(dwell_api::Event, ErrorBody))
)]
struct Document;

/// The OpenAPI document as JSON.
pub fn openapi() -> serde_json::Value {
    serde_json::to_value(Document::openapi()).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_endpoint_is_documented() {
        let document = openapi();
        let paths = document["paths"].as_object().unwrap();
        let mut documented: Vec<&str> = paths.keys().map(String::as_str).collect();
        let mut all = endpoint::ALL.to_vec();
        documented.sort_unstable();
        all.sort_unstable();
        assert_eq!(documented, all);
    }
}
