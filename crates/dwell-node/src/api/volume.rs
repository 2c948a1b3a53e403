//! Volumes of environments and their content, and services that are stopped for it.

use axum::extract::{Path, Request, State};
use axum::response::Response;
use dwell_api::Problem;
use dwell_api::environment::InProject;
use dwell_api::moving::{CONTENT, Volume};
use dwell_api::remote::Arrived;
use dwell_core::{ServiceName, VolumeName};
use hyper_util::rt::TokioIo;
use tokio::io::AsyncWriteExt;

use super::{Answer, Key, Query, Refusal, Shared, answer, switching, upgrade_of};
use crate::node::invalid_name;
use crate::volumes;

fn volume_of(text: &str) -> Result<VolumeName, Problem> {
    text.parse().map_err(invalid_name)
}

fn service_of(text: &str) -> Result<ServiceName, Problem> {
    text.parse().map_err(invalid_name)
}

/// The named volumes of an environment.
#[utoipa::path(get, path = "/v1/environments/{environment}/volumes", params(("environment" = String, Path), InProject), responses((status = 200, body = [Volume])))]
pub(super) async fn list(
    State(node): Shared,
    Path(name): Path<String>,
    Query(query): Query<InProject>,
) -> Answer<Vec<Volume>> {
    let environment = node.find(&name, query.project.as_ref()).await?;
    answer(volumes::list(&node, &environment).await?)
}

/// Makes a volume of the content that it receives.
#[utoipa::path(post, path = "/v1/environments/{environment}/volumes/{volume}", params(("environment" = String, Path), ("volume" = String, Path)), responses((status = 101, description = "the connection carries content now, and then what became of it")))]
pub(super) async fn receive(
    State(node): Shared,
    Path((name, volume)): Path<(String, String)>,
    request: Request,
) -> Result<Response, Refusal> {
    let environment = node.find(&name, None).await?;
    let volume = volume_of(&volume)?;
    let (upgrade, ()) = upgrade_of(request).await?;
    tokio::spawn(async move {
        let Ok(upgraded) = upgrade.await else { return };
        let (read, mut write) = tokio::io::split(TokioIo::new(upgraded));
        let arrived = match volumes::take(&node, &environment, &volume, read).await {
            Ok(()) => Arrived::Whole(Vec::new()),
            Err(problem) => Arrived::Failed(problem),
        };
        // A sender that has gone asks again.
        let _ = write.write_all(&serde_json::to_vec(&arrived).unwrap_or_default()).await;
        let _ = write.shutdown().await;
    });
    Ok(switching(CONTENT))
}

/// Sends a volume's content.
#[utoipa::path(post, path = "/v1/environments/{environment}/volumes/{volume}/content", params(("environment" = String, Path), ("volume" = String, Path)), responses((status = 101, description = "the connection carries content now")))]
pub(super) async fn send(
    State(node): Shared,
    Path((name, volume)): Path<(String, String)>,
    request: Request,
) -> Result<Response, Refusal> {
    let environment = node.find(&name, None).await?;
    let volume = volume_of(&volume)?;
    let (upgrade, ()) = upgrade_of(request).await?;
    tokio::spawn(async move {
        let Ok(upgraded) = upgrade.await else { return };
        let mut stream = TokioIo::new(upgraded);
        // Without its end the other side takes nothing for whole.
        if let Err(problem) = volumes::give(&node, &environment, &volume, &mut stream).await {
            tracing::warn!(%problem, "a volume was not sent");
        }
        let _ = stream.shutdown().await;
    });
    Ok(switching(CONTENT))
}

/// Removes a volume; one that is not there is removed already.
#[utoipa::path(post, path = "/v1/environments/{environment}/volumes/{volume}/remove", params(("environment" = String, Path), ("volume" = String, Path), InProject), responses((status = 200)))]
pub(super) async fn remove(
    State(node): Shared,
    Path((name, volume)): Path<(String, String)>,
    Query(query): Query<InProject>,
    _: Key,
) -> Answer<()> {
    let environment = node.find(&name, query.project.as_ref()).await?;
    answer(volumes::remove(&node, &environment, &volume_of(&volume)?).await?)
}

/// Stops a service's containers.
#[utoipa::path(post, path = "/v1/environments/{environment}/services/{service}/stop", params(("environment" = String, Path), ("service" = String, Path), InProject), responses((status = 200)))]
pub(super) async fn stop_service(
    State(node): Shared,
    Path((name, service)): Path<(String, String)>,
    Query(query): Query<InProject>,
    _: Key,
) -> Answer<()> {
    let environment = node.find(&name, query.project.as_ref()).await?;
    answer(volumes::stop_service(&node, &environment, &service_of(&service)?).await?)
}

/// Starts a service's containers that were stopped.
#[utoipa::path(post, path = "/v1/environments/{environment}/services/{service}/start", params(("environment" = String, Path), ("service" = String, Path), InProject), responses((status = 200)))]
pub(super) async fn start_service(
    State(node): Shared,
    Path((name, service)): Path<(String, String)>,
    Query(query): Query<InProject>,
    _: Key,
) -> Answer<()> {
    let environment = node.find(&name, query.project.as_ref()).await?;
    answer(volumes::start_service(&node, &environment, &service_of(&service)?).await?)
}
