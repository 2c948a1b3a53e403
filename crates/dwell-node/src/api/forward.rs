//! Forwards that the daemon holds.

use axum::extract::State;
use dwell_api::forward::{Forward, StartForwards, StopForwards};

use super::{Answer, Json, Key, Shared, answer};
use crate::forward;

/// Lists the forwards that the daemon holds.
#[utoipa::path(get, path = "/v1/forwards", responses((status = 200, body = [Forward])))]
pub(super) async fn list(State(node): Shared) -> Answer<Vec<Forward>> {
    answer(forward::list(&node).await?)
}

/// Has the daemon hold forwards: all of them, or none where one cannot be. Those that are there
/// already stay.
#[utoipa::path(post, path = "/v1/forwards", request_body = StartForwards, responses((status = 200, body = [Forward])))]
pub(super) async fn start(
    State(node): Shared,
    _: Key,
    Json(request): Json<StartForwards>,
) -> Answer<Vec<Forward>> {
    answer(forward::start(&node, request.forwards).await?)
}

/// Stops forwards, and tells which they were.
#[utoipa::path(post, path = "/v1/forwards/stop", request_body = StopForwards, responses((status = 200, body = [Forward])))]
pub(super) async fn stop(
    State(node): Shared,
    _: Key,
    Json(request): Json<StopForwards>,
) -> Answer<Vec<Forward>> {
    answer(forward::stop(&node, &request).await?)
}
