//! Sign-ins of agents that workspaces share.

use axum::extract::{Path, State};
use dwell_api::credentials::{Credentials, ImportCredentials};
use dwell_api::{Code, Problem};
use dwell_core::credentials::SignIn;

use super::{Answer, Json, Shared, answer};
use crate::workspace::credentials;

fn agent(name: &str) -> Result<SignIn, Problem> {
    name.parse().map_err(|error: dwell_core::credentials::SignInError| {
        Problem::new(Code::InvalidName, error.to_string())
    })
}

/// Lists them, without what is in them.
#[utoipa::path(get, path = "/v1/credentials", responses((status = 200, body = [Credentials])))]
pub(super) async fn list(State(node): Shared) -> Answer<Vec<Credentials>> {
    answer(credentials::list(&node).await?)
}

/// Takes over a sign-in.
#[utoipa::path(post, path = "/v1/credentials/{agent}/import", params(("agent" = String, Path)), request_body = ImportCredentials, responses((status = 200, body = Credentials)))]
pub(super) async fn import(
    State(node): Shared,
    Path(name): Path<String>,
    Json(request): Json<ImportCredentials>,
) -> Answer<Credentials> {
    let agent = agent(&name)?;
    credentials::import(&node, agent, &request)?;
    answer(credentials::one(&node, agent).await?)
}

/// Forgets a sign-in; workspaces have none then.
#[utoipa::path(post, path = "/v1/credentials/{agent}/forget", params(("agent" = String, Path)), responses((status = 200, body = Credentials)))]
pub(super) async fn forget(State(node): Shared, Path(name): Path<String>) -> Answer<Credentials> {
    let agent = agent(&name)?;
    credentials::forget(&node, agent)?;
    answer(credentials::one(&node, agent).await?)
}
