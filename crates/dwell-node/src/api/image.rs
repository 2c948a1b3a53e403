//! Workspace images: those that are there, and building them.

use axum::extract::State;
use axum::response::Response;
use dwell_api::Event;
use dwell_api::image::{BuildImage, ListImages, SeenImage};
use dwell_api::remote::OnNode;

use super::workspace::run;
use super::{Answer, Json, Key, Query, Refusal, Shared, answer};
use crate::image;

/// The workspace images that are here, or on another node, and whether each is fresh.
#[utoipa::path(get, path = "/v1/images", params(ListImages), responses((status = 200, body = [SeenImage])))]
pub(super) async fn list(
    State(node): Shared,
    Query(query): Query<ListImages>,
) -> Answer<Vec<SeenImage>> {
    if let Some(there) = query.node {
        node.remotes.peer(&there)?;
    }
    answer(image::look(&node, query.repository).await?)
}

/// Builds a workspace image, here or on another node, unless the one that is there is fresh.
#[utoipa::path(post, path = "/v1/images", params(OnNode), request_body = BuildImage, responses((status = 200, body = Event, content_type = "application/x-ndjson")))]
pub(super) async fn build(
    State(node): Shared,
    Query(query): Query<OnNode>,
    Key(key): Key,
    Json(request): Json<BuildImage>,
) -> Result<Response, Refusal> {
    if let Some(there) = query.node {
        node.remotes.peer(&there)?;
    }
    let call = format!("image build {}:{}", request.repository, request.variant);
    run(
        node,
        key,
        call,
        |node, operation| async move { image::build(&node, &operation, request).await },
    )
    .await
}
