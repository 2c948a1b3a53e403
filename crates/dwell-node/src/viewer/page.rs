//! What the browser is given.

use std::sync::Arc;

use axum::Router;
use axum::extract::ws::{Message, WebSocket, WebSocketUpgrade};
use axum::extract::{Path, Request, State};
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::middleware::{Next, from_fn_with_state};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use dwell_core::WorkspaceId;
use futures_util::{SinkExt, StreamExt};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;

use super::dial;
use crate::node::Node;

const HTML: &str = include_str!("view.html");
const CSS: &str = include_str!("view.css");
const SCRIPT: &str = include_str!("view.js");
/// Nothing from elsewhere, and in nobody's frame. Pictures of pointers are data.
const POLICY: &str = "default-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data: blob:; \
                      frame-ancestors 'none'; base-uri 'none'; form-action 'none'";
/// What the key follows in the protocols of a WebSocket.
const KEY: &str = "dwell.";

#[derive(Clone)]
struct Page {
    node: Arc<Node>,
    /// The one name that it is called by, with its port: others lead here by somebody's trick.
    host: Arc<str>,
}

/// Serves until the daemon ends.
pub(super) async fn serve(node: Arc<Node>, listener: TcpListener, port: u16) {
    let page = Page { node, host: format!("127.0.0.1:{port}").into() };
    let router = Router::new()
        .route("/{workspace}/", get(|| async { typed("text/html; charset=utf-8", HTML) }))
        .route("/{workspace}/view.css", get(|| async { typed("text/css", CSS) }))
        .route("/{workspace}/view.js", get(|| async { typed("text/javascript", SCRIPT) }))
        .route("/{workspace}/novnc/{*path}", get(file))
        .route("/{workspace}/ticket", post(ticket))
        .route("/{workspace}/socket", get(socket))
        .layer(from_fn_with_state(page.clone(), guarded))
        .with_state(page);
    if let Err(error) = axum::serve(listener, router).await {
        tracing::warn!(%error, "desktops are not shown any more");
    }
}

fn typed(kind: &'static str, text: impl Into<String>) -> Response {
    ([(header::CONTENT_TYPE, kind)], text.into()).into_response()
}

/// Only pages of ours ask, by our own name.
async fn guarded(State(page): State<Page>, request: Request, next: Next) -> Response {
    if !is_ours(request.headers(), &page.host) {
        return StatusCode::FORBIDDEN.into_response();
    }
    let mut response = next.run(request).await;
    let headers = response.headers_mut();
    for (name, value) in [
        (header::CONTENT_SECURITY_POLICY, POLICY),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (header::REFERRER_POLICY, "no-referrer"),
        (header::CACHE_CONTROL, "no-store"),
    ] {
        headers.insert(name, HeaderValue::from_static(value));
    }
    response
}

fn is_ours(headers: &HeaderMap, host: &str) -> bool {
    let origin = format!("http://{host}");
    let named = headers.get(header::HOST).is_some_and(|given| given.as_bytes() == host.as_bytes());
    named && headers.get(header::ORIGIN).is_none_or(|it| it.as_bytes() == origin.as_bytes())
}

async fn file(State(page): State<Page>, Path((id, path)): Path<(WorkspaceId, String)>) -> Response {
    let files = page.node.viewers.files(&id);
    match files.and_then(|files| files.get(&path).cloned()) {
        Some(text) => typed("text/javascript", text),
        None => StatusCode::NOT_FOUND.into_response(),
    }
}

async fn ticket(State(page): State<Page>, Path(id): Path<WorkspaceId>, ticket: String) -> Response {
    match page.node.viewers.exchange(&id, ticket.trim()) {
        Some(key) => typed("text/plain", key),
        None => StatusCode::FORBIDDEN.into_response(),
    }
}

async fn socket(
    State(page): State<Page>,
    Path(id): Path<WorkspaceId>,
    headers: HeaderMap,
    upgrade: WebSocketUpgrade,
) -> Response {
    let given = headers.get(header::SEC_WEBSOCKET_PROTOCOL).and_then(|it| it.to_str().ok());
    let key = given.unwrap_or_default().split(',').find_map(|it| it.trim().strip_prefix(KEY));
    let from_page = headers.contains_key(header::ORIGIN);
    if !from_page || !key.is_some_and(|key| page.node.viewers.may_see(&id, key)) {
        return StatusCode::FORBIDDEN.into_response();
    }
    upgrade.protocols(["binary"]).on_upgrade(move |socket| join(page, id, socket))
}

/// Passes bytes both ways until either side ends.
async fn join(page: Page, id: WorkspaceId, socket: WebSocket) {
    let far = match dial(&page.node, &id).await {
        Ok(far) => far,
        Err(problem) => return tracing::info!(%problem, "a desktop is not there"),
    };
    let (mut read, mut write) = tokio::io::split(far);
    let (mut out, mut incoming) = socket.split();
    let up = async {
        while let Some(Ok(message)) = incoming.next().await {
            if let Message::Binary(bytes) = message
                && write.write_all(&bytes).await.is_err()
            {
                return;
            }
        }
    };
    let down = async {
        let mut buffer = vec![0; 64 * 1024];
        while let Ok(length) = read.read(&mut buffer).await {
            let Some(bytes) = buffer.get(..length).filter(|bytes| !bytes.is_empty()) else {
                return;
            };
            if out.send(Message::Binary(bytes.to_vec().into())).await.is_err() {
                return;
            }
        }
    };
    tokio::select! {
        () = up => {}
        () = down => {}
    }
}
