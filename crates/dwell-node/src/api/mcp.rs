//! Servers of the Model Context Protocol in workspaces.

use axum::extract::{Path, State};
use dwell_core::agent::mcp::{Answer as Servers, Request};

use super::{Answer, Json, Shared, answer};
use crate::workspace;

/// Lists the servers of a workspace and asks each for its tools, adds one, or removes one. A
/// workspace that sleeps is woken.
#[utoipa::path(post, path = "/v1/workspaces/{workspace}/mcp", params(("workspace" = String, Path)), request_body = Request, responses((status = 200, body = Servers)))]
pub(super) async fn serve(
    State(node): Shared,
    Path(name): Path<String>,
    Json(request): Json<Request>,
) -> Answer<Servers> {
    answer(workspace::mcp(&node, &name, request).await?)
}
