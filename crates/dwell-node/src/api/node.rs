//! The node itself: what it is, its health, trust, and its operations.

use axum::extract::{Path, State};
use axum::response::Response;
use dwell_api::environment::{TrustRequest, TrustState};
use dwell_api::node::{Findings, Node as Shown, Part, Repairs};
use dwell_api::{Code, Problem};

use super::{Answer, Json, Key, Refusal, Shared, answer, events};
use crate::problem::OrProblem;
use crate::world::EngineState;
use crate::{doctor as health, project};

/// The node and its parts.
#[utoipa::path(get, path = "/v1/node", responses((status = 200, body = Shown)))]
pub(super) async fn node(State(node): Shared) -> Answer<Shown> {
    let mut parts = vec![match node.world.engine() {
        EngineState::Up => part("engine", true, node.engine.address()),
        EngineState::Unknown => part("engine", false, "not asked yet"),
        EngineState::Down(why) => part("engine", false, &why),
    }];
    parts.extend(node.listeners.parts());
    parts.extend(node.ingress.part());
    parts.extend(node.mesh.parts());
    let environments = node.store.environments().await.or_problem()?.len();
    answer(Shown {
        id: node.id.clone(),
        version: env!("CARGO_PKG_VERSION").to_owned(),
        pid: std::process::id(),
        started: node.started,
        environments: u32::try_from(environments).unwrap_or(u32::MAX),
        parts,
        dns: node.listeners.dns().map(|address| address.to_string()),
        proxy: node.listeners.proxy().map(|address| address.to_string()),
        suffixes: node.listeners.suffixes().iter().map(ToString::to_string).collect(),
    })
}

fn part(name: &str, ok: bool, detail: &str) -> Part {
    let fix = (!ok).then(|| "start Docker, or set DOCKER_HOST".to_owned());
    Part { name: name.to_owned(), ok, detail: detail.to_owned(), fix }
}

/// Ends the daemon. Environments and sessions go on.
#[utoipa::path(post, path = "/v1/node/stop", responses((status = 200, body = bool)))]
pub(super) async fn stop(State(node): Shared, _: Key) -> Answer<bool> {
    node.stop.notify_one();
    answer(true)
}

/// What works and what does not, and what to do about it.
#[utoipa::path(get, path = "/v1/doctor", responses((status = 200, body = Findings)))]
pub(super) async fn doctor(State(node): Shared) -> Answer<Findings> {
    answer(Findings { findings: health::examine(&node).await })
}

/// Repairs what can be repaired without asking: links, names, addresses.
#[utoipa::path(post, path = "/v1/doctor/repair", responses((status = 200, body = Repairs)))]
pub(super) async fn repair(State(node): Shared, _: Key) -> Answer<Repairs> {
    answer(Repairs { done: health::repair(&node).await })
}

/// This document.
#[utoipa::path(get, path = "/v1/openapi.json", responses((status = 200, body = serde_json::Value)))]
pub(super) async fn document() -> Answer<serde_json::Value> {
    answer(super::openapi())
}

/// Asks what a project would run, trusts exactly that content, or takes the trust back.
#[utoipa::path(post, path = "/v1/trust", request_body = TrustRequest, responses((status = 200, body = TrustState)))]
pub(super) async fn trust(
    State(node): Shared,
    _: Key,
    Json(request): Json<TrustRequest>,
) -> Answer<TrustState> {
    let source = tokio::fs::canonicalize(&request.source).await.map_err(|e| {
        let place = request.source.display();
        Problem::new(Code::NotFound, format!("{place} cannot be used: {e}"))
    })?;
    let config = project::load(&source).await?;
    let subject = project::trust_subject(&source, &config).await;
    let name = source.to_string_lossy().into_owned();
    if request.revoke {
        node.store.distrust(&name).await.or_problem()?;
    }
    if let Some(hash) = &request.hash {
        let now = subject.as_ref().map(|subject| subject.hash.as_str());
        if now != Some(hash.as_str()) {
            return Err(Problem::new(Code::Conflict, "the commands changed since you saw them")
                .hint("look at them again with `dwell trust`")
                .into());
        }
        node.store.trust(&name, hash, node.now()).await.or_problem()?;
    }
    let trusted = node.store.trusted(&name).await.or_problem()?;
    answer(TrustState {
        source,
        trusted: subject.as_ref().is_some_and(|subject| trusted.contains(&subject.hash)),
        hash: subject.as_ref().map(|subject| subject.hash.clone()),
        commands: subject.map(|subject| subject.commands).unwrap_or_default(),
    })
}

/// An operation's events from its beginning.
#[utoipa::path(get, path = "/v1/operations/{operation}", params(("operation" = String, Path)), responses((status = 200, body = dwell_api::Event, content_type = "application/x-ndjson")))]
pub(super) async fn operation(
    State(node): Shared,
    Path(id): Path<String>,
) -> Result<Response, Refusal> {
    if node.operations.find(&id).is_none() {
        // A daemon that has just started may not have read yet what it left unfinished.
        node.operations.ready().await;
    }
    Ok(events(node.operations.find(&id).ok_or_else(|| unknown(&id))?))
}

/// Cancels an operation. What it did is undone; what removes things goes on.
#[utoipa::path(post, path = "/v1/operations/{operation}/cancel", params(("operation" = String, Path)), responses((status = 200, body = bool)))]
pub(super) async fn cancel(State(node): Shared, Path(id): Path<String>, _: Key) -> Answer<bool> {
    node.operations.find(&id).ok_or_else(|| unknown(&id))?.cancel();
    answer(true)
}

fn unknown(id: &str) -> Refusal {
    Problem::new(Code::NotFound, format!("there is no operation `{id}`")).into()
}
