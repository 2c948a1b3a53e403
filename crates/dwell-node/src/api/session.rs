//! Sessions: commands that outlive whoever started them.

use std::sync::Arc;

use axum::body::Body;
use axum::extract::{Path, State};
use axum::http::header;
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use dwell_api::Problem;
use dwell_api::environment::InProject;
use dwell_api::session::{ListSessions, SendText, Session, StartSession, TranscriptQuery};
use dwell_core::{EnvironmentId, ProjectName, SessionName, WorkspaceId};
use dwell_drivers::session::{Event, Follow, Plain};
use futures_util::stream;

use super::{Answer, Json, Key, Query, Refusal, Shared, answer};
use crate::node::{Node, invalid_name};
use crate::problem::OrProblem;
use crate::session::Place;
use crate::{session, workspace};

/// A session's name in a path.
pub(super) fn name_of(text: &str) -> Result<SessionName, Refusal> {
    Ok(text.parse().map_err(invalid_name)?)
}

/// Lists sessions, running, ended and lost.
#[utoipa::path(get, path = "/v1/sessions", params(ListSessions), responses((status = 200, body = [Session])))]
pub(super) async fn list(
    State(node): Shared,
    Query(query): Query<ListSessions>,
) -> Answer<Vec<Session>> {
    let of = whose(&node, &query).await?;
    let mut shown = node.sessions(of.as_deref()).await?;
    if !node.remotes.is_empty() {
        let sessions = node.remotes.list(&node).await.sessions;
        let wanted = |session: &Session| {
            let is = |id: Option<&str>| id.is_some() && id == of.as_deref();
            of.is_none()
                || is(session.environment.as_ref().map(EnvironmentId::as_str))
                || is(session.workspace.as_ref().map(WorkspaceId::as_str))
        };
        shown.extend(sessions.into_iter().filter(wanted));
    }
    answer(shown)
}

/// The identity of the environment or the workspace whose sessions are asked for.
async fn whose(node: &Node, query: &ListSessions) -> Result<Option<String>, Problem> {
    if let Some(name) = &query.environment {
        let project = query.project.as_ref();
        let id = match node.remotes.find(name, project) {
            None => node.find(name, project).await?.id,
            Some((_, id)) => id,
        };
        return Ok(Some(id.to_string()));
    }
    let Some(name) = &query.workspace else { return Ok(None) };
    let missing = match workspace::find(node, name).await {
        Ok(it) => return Ok(Some(it.id.to_string())),
        Err(problem) => problem,
    };
    let mut elsewhere = node.remotes.workspaces_seen().into_iter();
    let found = elsewhere.find(|it| it.name.as_str() == name || it.id.as_str() == name);
    Ok(Some(found.ok_or(missing)?.id.to_string()))
}

async fn environment(
    node: &Node,
    name: &str,
    project: Option<&ProjectName>,
) -> Result<Place, Refusal> {
    Ok(node.find(name, project).await?.into())
}

/// Starts a session.
#[utoipa::path(post, path = "/v1/environments/{environment}/sessions", params(("environment" = String, Path), InProject), request_body = StartSession, responses((status = 200, body = Session)))]
pub(super) async fn start(
    State(node): Shared,
    Path(name): Path<String>,
    Query(query): Query<InProject>,
    Key(key): Key,
    Json(request): Json<StartSession>,
) -> Answer<Session> {
    let place = environment(&node, &name, query.project.as_ref()).await?;
    answer(begin(&node, place, &key, request).await?)
}

/// Starts a session once for each key.
pub(super) async fn begin(
    node: &Arc<Node>,
    place: Place,
    key: &str,
    request: StartSession,
) -> Result<Session, Problem> {
    node.sessions.once(key, session::start(node, place, request)).await
}

/// One session.
#[utoipa::path(get, path = "/v1/environments/{environment}/sessions/{session}", params(("environment" = String, Path), ("session" = String, Path), InProject), responses((status = 200, body = Session)))]
pub(super) async fn one(
    State(node): Shared,
    Path((name, session)): Path<(String, String)>,
    Query(query): Query<InProject>,
) -> Answer<Session> {
    let place = environment(&node, &name, query.project.as_ref()).await?;
    answer(node.session(&place, &name_of(&session)?).await?)
}

/// Ends a session's command.
#[utoipa::path(post, path = "/v1/environments/{environment}/sessions/{session}/kill", params(("environment" = String, Path), ("session" = String, Path), InProject), responses((status = 200, body = Session)))]
pub(super) async fn kill(
    State(node): Shared,
    Path((name, session)): Path<(String, String)>,
    Query(query): Query<InProject>,
    _: Key,
) -> Answer<Session> {
    let place = environment(&node, &name, query.project.as_ref()).await?;
    answer(ended(&node, &place, &name_of(&session)?).await?)
}

/// Ends a session and gives what is left of it.
pub(super) async fn ended(
    node: &Arc<Node>,
    place: &Place,
    name: &SessionName,
) -> Result<Session, Problem> {
    session::end(node, place, name).await?;
    node.session(place, name).await
}

/// A session's transcript, from its first byte that is kept.
#[utoipa::path(get, path = "/v1/environments/{environment}/sessions/{session}/transcript", params(("environment" = String, Path), ("session" = String, Path), TranscriptQuery), responses((status = 200, body = String, content_type = "application/octet-stream")))]
pub(super) async fn transcript(
    State(node): Shared,
    Path((name, session)): Path<(String, String)>,
    Query(query): Query<TranscriptQuery>,
) -> Result<Response, Refusal> {
    let place = environment(&node, &name, query.project.as_ref()).await?;
    told(&node, &place, &name_of(&session)?, &query).await
}

/// Answers a transcript.
pub(super) async fn told(
    node: &Node,
    place: &Place,
    name: &SessionName,
    query: &TranscriptQuery,
) -> Result<Response, Refusal> {
    let (record, tmux) = place.record(node, name).await?;
    let sessions = place.sessions(node);
    let kind = [(header::CONTENT_TYPE, "application/octet-stream")];
    let plain = query.plain.then(Plain::default);
    if query.follow {
        let follow = sessions.follow(&record.files, &tmux, 0).or_problem()?;
        return Ok((kind, Body::from_stream(followed(follow, plain))).into_response());
    }
    let part = sessions.transcript(&record.files, 0).or_problem()?;
    let bytes = match plain {
        Some(mut plain) => {
            let mut text = plain.push(&part.bytes);
            text.push_str(&plain.finish());
            text.into_bytes()
        }
        None => part.bytes,
    };
    Ok((kind, bytes).into_response())
}

fn followed(
    follow: Follow,
    plain: Option<Plain>,
) -> impl stream::Stream<Item = Result<Bytes, std::io::Error>> {
    stream::unfold((follow, plain, false), |(mut follow, mut plain, over)| async move {
        if over {
            return None;
        }
        match follow.next().await {
            Ok(Some(Event::Output(part))) => {
                let bytes = match &mut plain {
                    Some(plain) => plain.push(&part.bytes).into_bytes(),
                    None => part.bytes,
                };
                Some((Ok(Bytes::from(bytes)), (follow, plain, false)))
            }
            Ok(Some(_) | None) => {
                let rest = plain.take().map(Plain::finish).unwrap_or_default();
                Some((Ok(Bytes::from(rest)), (follow, None, true)))
            }
            Err(error) => Some((Err(std::io::Error::other(error)), (follow, None, true))),
        }
    })
}

/// The names of the variables that commands get which are started from elsewhere; their values
/// are nobody's business.
#[utoipa::path(get, path = "/v1/environments/{environment}/login", params(("environment" = String, Path), InProject), responses((status = 200, body = [String])))]
pub(super) async fn login(
    State(node): Shared,
    Path(name): Path<String>,
    Query(query): Query<InProject>,
) -> Answer<Vec<String>> {
    node.find(&name, query.project.as_ref()).await?;
    answer(node.login.variables().await.into_iter().map(|(name, _)| name).collect())
}

/// Types text into a session.
#[utoipa::path(post, path = "/v1/environments/{environment}/send", params(("environment" = String, Path), InProject), request_body = SendText, responses((status = 200, body = String)))]
pub(super) async fn send(
    State(node): Shared,
    Path(name): Path<String>,
    Query(query): Query<InProject>,
    _: Key,
    Json(request): Json<SendText>,
) -> Answer<String> {
    let place = environment(&node, &name, query.project.as_ref()).await?;
    answer(typed(&node, &place, request).await?)
}

/// Types a text into a session of a place; gives which.
pub(super) async fn typed(
    node: &Arc<Node>,
    place: &Place,
    request: SendText,
) -> Result<String, Problem> {
    let SendText { session, text, enter } = request;
    let typed = session::send(node, place, session.as_ref(), &text, enter).await?;
    Ok(typed.to_string())
}
