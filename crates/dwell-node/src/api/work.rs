//! Work in an environment: its files, its logs, commands in its containers.

use std::sync::Arc;

use axum::extract::{Path, Request, State};
use axum::response::Response;
use dwell_api::environment::{
    ComposeCommand, DiffQuery, InProject, LogLine, LogsQuery, Merge, Pull, Sync, TextReport,
    Variables,
};
use dwell_api::exec::Exec;
use dwell_api::forward::ServiceDial;
use dwell_api::remote::{DIAL, Delivery};
use dwell_api::{Code, Problem};
use dwell_core::environment::Environment;
use dwell_core::tree::Tree;
use dwell_drivers::tree::{self, DiffOptions, MergeOptions, MergeReport};
use hyper_util::rt::TokioIo;

use super::{Answer, Json, Key, Query, Refusal, Shared, answer, lines, switching, upgrade_of};
use crate::environment::{receive, stack};
use crate::problem::OrProblem;
use crate::{remote, travel};

fn tree_of(environment: &Environment) -> Result<&Tree, Problem> {
    environment.tree.as_ref().ok_or_else(|| {
        Problem::new(Code::NotRunning, format!("`{}` has no tree yet", environment.label()))
    })
}

/// What an environment changed, compared with its source, uncommitted work included.
#[utoipa::path(get, path = "/v1/environments/{environment}/diff", params(("environment" = String, Path), DiffQuery), responses((status = 200, body = TextReport)))]
pub(super) async fn diff(
    State(node): Shared,
    Path(name): Path<String>,
    Query(query): Query<DiffQuery>,
) -> Answer<TextReport> {
    let environment = node.find(&name, query.project.as_ref()).await?;
    let options = DiffOptions { stat: query.stat, name_only: query.name_only, color: query.color };
    let state = node.directory(&environment.id);
    let text = tree::diff(tree_of(&environment)?, &state, options).await.or_problem()?;
    answer(TextReport { text: String::from_utf8_lossy(&text).into_owned(), notes: Vec::new() })
}

/// Brings an environment's work into its source.
#[utoipa::path(post, path = "/v1/environments/{environment}/merge", params(("environment" = String, Path), InProject), request_body = Merge, responses((status = 200, body = TextReport)))]
pub(super) async fn merge(
    State(node): Shared,
    Path(name): Path<String>,
    Query(query): Query<InProject>,
    _: Key,
    Json(request): Json<Merge>,
) -> Answer<TextReport> {
    let found = node.find(&name, query.project.as_ref()).await;
    if found.is_err() && node.remotes.find(&name, query.project.as_ref()).is_some() {
        let message = format!("`{name}` is on another node");
        return Err(Problem::new(Code::InvalidArgument, message)
            .hint(format!("`dwell pull {name}`, then `git merge dwell/{name}`"))
            .into());
    }
    let environment = found?;
    let lock = node.operations.environment_lock(&environment.project, &environment.name);
    let _held = lock.lock().await;
    let options =
        MergeOptions { squash: request.squash, commit: request.commit, ..MergeOptions::default() };
    let state = node.directory(&environment.id);
    let report = tree::merge(tree_of(&environment)?, &state, &options).await.or_problem()?;
    answer(told(&environment, "merged", &report))
}

/// Brings the source's work into an environment.
#[utoipa::path(post, path = "/v1/environments/{environment}/sync", params(("environment" = String, Path), InProject), request_body = Sync, responses((status = 200, body = TextReport)))]
pub(super) async fn sync(
    State(node): Shared,
    Path(name): Path<String>,
    Query(query): Query<InProject>,
    _: Key,
    Json(request): Json<Sync>,
) -> Answer<TextReport> {
    let found = node.find(&name, query.project.as_ref()).await;
    if let (Err(_), Some((there, id))) = (&found, node.remotes.find(&name, query.project.as_ref()))
    {
        return answer(remote::sync(&node, &there, &id, request.force).await?);
    }
    let environment = found?;
    let lock = node.operations.environment_lock(&environment.project, &environment.name);
    let _held = lock.lock().await;
    let state = node.directory(&environment.id);
    let mut report = match &request.delivery {
        Some(delivery) => receive(&node, &environment, delivery).await?,
        None => tree::sync(tree_of(&environment)?, &state).await.or_problem()?,
    };
    report.notes.extend(crate::project::bring_files(&node, &environment).await?);
    answer(told(&environment, "synced", &report))
}

/// Brings the work of an environment on another node into a branch of its source here.
#[utoipa::path(post, path = "/v1/environments/{environment}/pull", params(("environment" = String, Path), InProject), request_body = Pull, responses((status = 200, body = TextReport)))]
pub(super) async fn pull(
    State(node): Shared,
    Path(name): Path<String>,
    Query(query): Query<InProject>,
    _: Key,
    Json(request): Json<Pull>,
) -> Answer<TextReport> {
    let project = query.project.as_ref();
    let Some((there, id)) = node.remotes.find(&name, project) else {
        let environment = node.find(&name, project).await?;
        let label = environment.label();
        let message = format!("`{label}` is on this machine");
        return Err(Problem::new(Code::InvalidArgument, message)
            .hint(format!("its branch is in the source already; `dwell merge {label}` merges it"))
            .into());
    };
    // What it was made from does not change, so what was seen last tells it.
    let seen = node.remotes.seen(&there, &id);
    let seen = seen.ok_or_else(|| Problem::new(Code::NotFound, "there is no such environment"))?;
    answer(travel::pull(&node, &there, &seen, request.force).await?)
}

/// Sends an environment's work: after the upgrade it goes as objects.
#[utoipa::path(post, path = "/v1/environments/{environment}/work", params(("environment" = String, Path)), responses((status = 101, description = "the connection carries objects now")))]
pub(super) async fn work(
    State(node): Shared,
    Path(name): Path<String>,
    request: Request,
) -> Result<Response, Refusal> {
    let environment = node.find(&name, None).await?;
    travel::give(Arc::clone(&node), environment, request).await
}

/// The files that an environment without git changed or made, each with a NUL at its end.
#[utoipa::path(get, path = "/v1/environments/{environment}/changed", params(("environment" = String, Path), InProject), responses((status = 200, body = Vec<u8>, content_type = "application/octet-stream")))]
pub(super) async fn changed(
    State(node): Shared,
    Path(name): Path<String>,
    Query(query): Query<InProject>,
) -> Result<Vec<u8>, Refusal> {
    let environment = node.find(&name, query.project.as_ref()).await?;
    Ok(travel::changed(&node, &environment).await?)
}

/// Sends the files of an environment's tree that git does not keep: after the upgrade they go.
#[utoipa::path(post, path = "/v1/environments/{environment}/extra", params(("environment" = String, Path)), responses((status = 101, description = "the connection carries files now")))]
pub(super) async fn extra(
    State(node): Shared,
    Path(name): Path<String>,
    request: Request,
) -> Result<Response, Refusal> {
    let environment = node.find(&name, None).await?;
    travel::give_extra(Arc::clone(&node), environment, request).await
}

/// How an environment's tree names its objects: `sha1` or `sha256`.
#[utoipa::path(get, path = "/v1/environments/{environment}/tree", params(("environment" = String, Path), InProject), responses((status = 200, body = String)))]
pub(super) async fn tree_format(
    State(node): Shared,
    Path(name): Path<String>,
    Query(query): Query<InProject>,
) -> Answer<String> {
    let environment = node.find(&name, query.project.as_ref()).await?;
    let format = tree::travel::format_of(tree_of(&environment)?).await.or_problem()?;
    answer(format.to_string())
}

/// Sends an environment's whole tree: after the upgrade it goes as objects.
#[utoipa::path(post, path = "/v1/environments/{environment}/tree", params(("environment" = String, Path)), responses((status = 101, description = "the connection carries objects now")))]
pub(super) async fn tree(
    State(node): Shared,
    Path(name): Path<String>,
    request: Request,
) -> Result<Response, Refusal> {
    let environment = node.find(&name, None).await?;
    travel::give_tree(Arc::clone(&node), environment, request).await
}

/// How an environment is made on another node, but for its tree.
#[utoipa::path(get, path = "/v1/environments/{environment}/delivery", params(("environment" = String, Path), InProject), responses((status = 200, body = Delivery)))]
pub(super) async fn delivery(
    State(node): Shared,
    Path(name): Path<String>,
    Query(query): Query<InProject>,
) -> Answer<Delivery> {
    let environment = node.find(&name, query.project.as_ref()).await?;
    if environment.is_part() {
        let message = format!("`{}` is only a part of an environment", environment.label());
        return Err(Problem::new(Code::InvalidArgument, message).into());
    }
    let variables = node.login.variables().await.into_iter().collect();
    let (delivery, notes) = remote::delivery_of(&node, &environment, &variables).await?;
    for note in notes {
        tracing::info!(%note, environment = %environment.label(), "about to be sent on");
    }
    answer(delivery)
}

fn told(environment: &Environment, verb: &str, report: &MergeReport) -> TextReport {
    let label = environment.label();
    let text = match (report.commits, report.files.len()) {
        (0, 0) => format!("`{label}`: nothing to bring over"),
        (commits, files) => format!("{verb} `{label}`: {commits} commits, {files} files"),
    };
    TextReport { text, notes: report.notes.clone() }
}

/// The logs of an environment's containers.
#[utoipa::path(get, path = "/v1/environments/{environment}/logs", params(("environment" = String, Path), LogsQuery), responses((status = 200, body = LogLine, content_type = "application/x-ndjson")))]
pub(super) async fn logs(
    State(node): Shared,
    Path(name): Path<String>,
    Query(query): Query<LogsQuery>,
) -> Result<Response, Refusal> {
    let environment = node.find(&name, query.project.as_ref()).await?;
    Ok(lines(crate::logs::lines(&node, &environment, &query).await?))
}

/// Variables that lead a program to an environment's services.
#[utoipa::path(get, path = "/v1/environments/{environment}/variables", params(("environment" = String, Path), InProject), responses((status = 200, body = Variables)))]
pub(super) async fn variables(
    State(node): Shared,
    Path(name): Path<String>,
    Query(query): Query<InProject>,
) -> Answer<Variables> {
    let found = node.find(&name, query.project.as_ref()).await;
    if let (Err(_), Some((there, id))) = (&found, node.remotes.find(&name, query.project.as_ref()))
    {
        let shown = node.remotes.shown(&there, &id, &node.id);
        let shown = shown.ok_or_else(|| Problem::new(Code::NotFound, "it is gone"))?;
        return answer(node.variables_of(&shown).await);
    }
    answer(node.variables_answer(&found?).await)
}

/// How to run `docker compose` on an environment.
#[utoipa::path(get, path = "/v1/environments/{environment}/compose", params(("environment" = String, Path), InProject), responses((status = 200, body = ComposeCommand)))]
pub(super) async fn compose(
    State(node): Shared,
    Path(name): Path<String>,
    Query(query): Query<InProject>,
) -> Answer<ComposeCommand> {
    let environment = node.find(&name, query.project.as_ref()).await?;
    let stack = stack(&node, &environment);
    if !stack.file.is_file() {
        let label = environment.label();
        return Err(Problem::new(Code::NotRunning, format!("`{label}` was never up"))
            .hint("`dwell up` makes its compose file")
            .into());
    }
    let arguments = std::iter::once("docker".to_owned()).chain(stack.arguments()).collect();
    answer(ComposeCommand { arguments, directory: stack.directory })
}

/// A byte stream to a port of a service.
#[utoipa::path(post, path = "/v1/environments/{environment}/dial", params(("environment" = String, Path)), request_body = ServiceDial, responses((status = 101, description = "the connection is the stream now")))]
pub(super) async fn dial(
    State(node): Shared,
    Path(name): Path<String>,
    request: Request,
) -> Result<Response, Refusal> {
    let (upgrade, dial): (_, ServiceDial) = upgrade_of(request).await?;
    let environment = node.find(&name, None).await?;
    let mut far = remote::reach(&node, &environment, &dial.service, dial.port).await?;
    tokio::spawn(async move {
        if let Ok(near) = upgrade.await {
            // What goes wrong is for both ends to see.
            let _ = tokio::io::copy_bidirectional(&mut TokioIo::new(near), &mut far).await;
        }
    });
    Ok(switching(DIAL))
}

/// Runs a command in a service's container: after the upgrade, frames both ways.
#[utoipa::path(post, path = "/v1/environments/{environment}/exec", params(("environment" = String, Path)), request_body = Exec, responses((status = 101, description = "the connection carries frames now")))]
pub(super) async fn exec(
    State(node): Shared,
    Path(name): Path<String>,
    request: Request,
) -> Result<Response, Refusal> {
    crate::exec::serve(node, &name, request).await
}
