//! Environments: listing, and the operations on them.

use std::time::Duration;

use axum::extract::{Path, State};
use axum::response::Response;
use dwell_api::environment::{
    CreateEnvironment, Destroy, Environment as Shown, InProject, ListEnvironments, Losses, Up,
    WaitFor, WaitQuery,
};
use dwell_api::moving::{Move, MovePlan};
use dwell_api::{Code, Event, Problem};
use dwell_core::environment::Environment;

use super::{Answer, Json, Key, Query, Refusal, Shared, answer, operate};
use crate::environment::{self as operations, begin_create, begin_destroy, begin_down, begin_up};
use crate::node::Node;
use crate::problem::OrProblem;
use crate::{view, world};

/// Lists environments. Looks at nothing and wakes nothing: it tells what was last seen.
#[utoipa::path(get, path = "/v1/environments", params(ListEnvironments), responses((status = 200, body = [Shown])))]
pub(super) async fn list(
    State(node): Shared,
    Query(query): Query<ListEnvironments>,
) -> Answer<Vec<Shown>> {
    world::freshen(&node).await;
    let mut sessions = std::collections::HashMap::new();
    for session in node.sessions(None).await? {
        if session.status == dwell_api::session::SessionStatus::Running
            && let Some(environment) = session.environment
        {
            *sessions.entry(environment).or_insert(0) += 1;
        }
    }
    let mut containers = node.world.by_environment();
    let mut shown = Vec::new();
    for environment in node.store.environments().await.or_problem()? {
        if selects(&query, &environment) {
            let own = containers.remove(&environment.id).unwrap_or_default();
            let count = sessions.get(&environment.id).copied().unwrap_or_default();
            shown.push(view::environment(&node, &environment, &own, count));
        }
    }
    if !node.remotes.is_empty() {
        let elsewhere = node.remotes.list(&node).await.environments;
        shown
            .extend(elsewhere.into_iter().filter(|environment| selects_shown(&query, environment)));
        shown.sort_by(|a, b| (&a.project, &a.name).cmp(&(&b.project, &b.name)));
    }
    answer(shown)
}

fn selects_shown(query: &ListEnvironments, environment: &Shown) -> bool {
    let project = query.project.as_ref().is_none_or(|p| *p == environment.project);
    let name = query
        .name
        .as_ref()
        .is_none_or(|name| *name == environment.name.as_str() || *name == environment.id.as_str());
    // A tree on another node is no place on this one.
    let path = query.path.as_ref().is_none_or(|path| path.starts_with(&environment.source));
    project && name && path
}

fn selects(query: &ListEnvironments, environment: &Environment) -> bool {
    let project = query.project.as_ref().is_none_or(|p| *p == environment.project);
    let name = query
        .name
        .as_ref()
        .is_none_or(|name| *name == environment.name.as_str() || *name == environment.id.as_str());
    let path = query.path.as_ref().is_none_or(|path| {
        path.starts_with(&environment.root) || path.starts_with(&environment.source)
    });
    project && name && path
}

/// One environment.
#[utoipa::path(get, path = "/v1/environments/{environment}", params(("environment" = String, Path, description = "name or id"), InProject), responses((status = 200, body = Shown)))]
pub(super) async fn one(
    State(node): Shared,
    Path(name): Path<String>,
    Query(query): Query<InProject>,
) -> Answer<Shown> {
    let environment = node.find(&name, query.project.as_ref()).await?;
    world::freshen(&node).await;
    answer(node.see(&environment).await)
}

/// Makes an environment: a source tree of its own, ready to come up.
#[utoipa::path(post, path = "/v1/environments", request_body = CreateEnvironment, responses((status = 200, body = Event, content_type = "application/x-ndjson")))]
pub(super) async fn create(
    State(node): Shared,
    Key(key): Key,
    Json(request): Json<CreateEnvironment>,
) -> Result<Response, Refusal> {
    let call = format!("create {}", request.name);
    operate(node, key, call, |node, operation, key| async move {
        begin_create(node, operation, &key, request).await
    })
    .await
}

/// Brings an environment up, making it first if the request says how. Nothing is done when
/// everything is as it should be.
#[utoipa::path(post, path = "/v1/environments/{environment}/up", params(("environment" = String, Path), InProject), request_body = Up, responses((status = 200, body = Event, content_type = "application/x-ndjson")))]
pub(super) async fn up(
    State(node): Shared,
    Path(name): Path<String>,
    Query(query): Query<InProject>,
    Key(key): Key,
    Json(request): Json<Up>,
) -> Result<Response, Refusal> {
    let call = format!("up {name}");
    operate(node, key, call, |node, operation, key| async move {
        begin_up(node, operation, &key, &name, query.project.as_ref(), request).await
    })
    .await
}

/// Removes an environment's containers and networks. Tree, volumes and names' ownership stay.
#[utoipa::path(post, path = "/v1/environments/{environment}/down", params(("environment" = String, Path), InProject), responses((status = 200, body = Event, content_type = "application/x-ndjson")))]
pub(super) async fn down(
    State(node): Shared,
    Path(name): Path<String>,
    Query(query): Query<InProject>,
    Key(key): Key,
) -> Result<Response, Refusal> {
    let call = format!("down {name}");
    operate(node, key, call, |node, operation, key| async move {
        begin_down(node, operation, &key, &name, query.project.as_ref()).await
    })
    .await
}

/// Removes everything of an environment, unless work would be lost that is not given up.
#[utoipa::path(post, path = "/v1/environments/{environment}/destroy", params(("environment" = String, Path), InProject), request_body = Destroy, responses((status = 200, body = Event, content_type = "application/x-ndjson")))]
pub(super) async fn destroy(
    State(node): Shared,
    Path(name): Path<String>,
    Query(query): Query<InProject>,
    Key(key): Key,
    Json(request): Json<Destroy>,
) -> Result<Response, Refusal> {
    let call = format!("destroy {name}");
    operate(node, key, call, |node, operation, key| async move {
        begin_destroy(node, operation, &key, &name, query.project.as_ref(), request).await
    })
    .await
}

/// Moves an environment, or some of its services, to another node. Until it is well there, a
/// failure leaves it where it was.
#[utoipa::path(post, path = "/v1/environments/{environment}/move", params(("environment" = String, Path), InProject), request_body = Move, responses((status = 200, body = Event, content_type = "application/x-ndjson")))]
pub(super) async fn moving(
    State(node): Shared,
    Path(name): Path<String>,
    Query(query): Query<InProject>,
    Key(key): Key,
    Json(request): Json<Move>,
) -> Result<Response, Refusal> {
    let call = format!("move {name}");
    operate(node, key, call, |node, operation, key| async move {
        operations::moving::begin(node, operation, &key, &name, query.project.as_ref(), request)
            .await
    })
    .await
}

/// What moving an environment, or some of its services, would do.
#[utoipa::path(post, path = "/v1/environments/{environment}/move/plan", params(("environment" = String, Path), InProject), request_body = Move, responses((status = 200, body = MovePlan)))]
pub(super) async fn move_plan(
    State(node): Shared,
    Path(name): Path<String>,
    Query(query): Query<InProject>,
    Json(request): Json<Move>,
) -> Answer<MovePlan> {
    let project = query.project.as_ref();
    answer(operations::moving::planned(&node, &name, project, &request).await?)
}

/// What destroying an environment would lose.
#[utoipa::path(get, path = "/v1/environments/{environment}/losses", params(("environment" = String, Path), InProject), responses((status = 200, body = Losses)))]
pub(super) async fn losses(
    State(node): Shared,
    Path(name): Path<String>,
    Query(query): Query<InProject>,
) -> Answer<Losses> {
    let environment = node.find(&name, query.project.as_ref()).await?;
    answer(operations::losses(&node, &environment).await?)
}

/// Waits until an environment is in a state.
#[utoipa::path(get, path = "/v1/environments/{environment}/wait", params(("environment" = String, Path), WaitQuery), responses((status = 200, body = Shown)))]
pub(super) async fn wait(
    State(node): Shared,
    Path(name): Path<String>,
    Query(query): Query<WaitQuery>,
) -> Answer<Shown> {
    let environment = node.find(&name, query.project.as_ref()).await?;
    let limit = Duration::from_secs(query.timeout.min(24 * 3600));
    match tokio::time::timeout(limit, reached(&node, &environment, query.wanted)).await {
        Ok(()) => answer(node.see(&environment).await),
        Err(_) => {
            let (label, seconds) = (environment.label(), query.timeout);
            let wanted = serde_json::to_value(query.wanted).unwrap_or_default();
            let wanted = wanted.as_str().unwrap_or_default();
            Err(Problem::new(
                Code::Timeout,
                format!("`{label}` was not {wanted} within {seconds} s"),
            )
            .hint("`dwell status` shows what it is")
            .into())
        }
    }
}

async fn reached(node: &Node, environment: &Environment, wanted: WaitFor) {
    let mut changes = node.world.subscribe();
    while !is(node, environment, wanted).await {
        // Sessions end without the engine knowing, so a look now and then besides.
        let _ = tokio::time::timeout(Duration::from_millis(250), changes.changed()).await;
    }
}

async fn is(node: &Node, environment: &Environment, wanted: WaitFor) -> bool {
    let containers = node.world.containers(&environment.id);
    let facts = node.facts.get(&environment.id);
    let well = |healthy| facts.as_ref().is_some_and(|f| view::is_well(f, &containers, healthy));
    match wanted {
        WaitFor::Running => well(false),
        WaitFor::Ready => well(true),
        WaitFor::Stopped => !containers.iter().any(dwell_core::observed::Container::runs),
        WaitFor::Idle => node.running_sessions(&environment.id).await == 0,
    }
}
