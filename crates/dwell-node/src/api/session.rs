//! Sessions: commands that outlive whoever started them.

use axum::body::Body;
use axum::extract::{Path, State};
use axum::http::header;
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use dwell_api::environment::InProject;
use dwell_api::session::{ListSessions, SendText, Session, StartSession, TranscriptQuery};
use dwell_core::SessionName;
use dwell_drivers::session::{Event, Follow, Plain};
use futures_util::stream;

use super::{Answer, Json, Key, Query, Refusal, Shared, answer};
use crate::node::invalid_name;
use crate::problem::OrProblem;

fn name_of(text: &str) -> Result<SessionName, Refusal> {
    Ok(text.parse().map_err(invalid_name)?)
}

/// Lists sessions, running, ended and lost.
#[utoipa::path(get, path = "/v1/sessions", params(ListSessions), responses((status = 200, body = [Session])))]
pub(super) async fn list(
    State(node): Shared,
    Query(query): Query<ListSessions>,
) -> Answer<Vec<Session>> {
    let project = query.project.as_ref();
    let elsewhere = query.environment.as_ref().and_then(|name| node.remotes.find(name, project));
    let only = match (&query.environment, &elsewhere) {
        (Some(name), None) => Some(node.find(name, project).await?.id),
        (_, Some((_, id))) => Some(id.clone()),
        (None, None) => None,
    };
    let mut shown = node.sessions(only.as_ref()).await?;
    if !node.remotes.is_empty() {
        let sessions = node.remotes.list(&node).await.sessions;
        let wanted = |session: &Session| only.as_ref().is_none_or(|id| session.environment == *id);
        shown.extend(sessions.into_iter().filter(wanted));
    }
    answer(shown)
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
    let environment = node.find(&name, query.project.as_ref()).await?;
    let session =
        node.sessions.once(&key, async { node.start_session(&environment, request).await });
    answer(session.await?)
}

/// One session.
#[utoipa::path(get, path = "/v1/environments/{environment}/sessions/{session}", params(("environment" = String, Path), ("session" = String, Path), InProject), responses((status = 200, body = Session)))]
pub(super) async fn one(
    State(node): Shared,
    Path((name, session)): Path<(String, String)>,
    Query(query): Query<InProject>,
) -> Answer<Session> {
    let environment = node.find(&name, query.project.as_ref()).await?;
    answer(node.session(&environment, &name_of(&session)?).await?)
}

/// Ends a session's command.
#[utoipa::path(post, path = "/v1/environments/{environment}/sessions/{session}/kill", params(("environment" = String, Path), ("session" = String, Path), InProject), responses((status = 200, body = Session)))]
pub(super) async fn kill(
    State(node): Shared,
    Path((name, session)): Path<(String, String)>,
    Query(query): Query<InProject>,
    _: Key,
) -> Answer<Session> {
    let environment = node.find(&name, query.project.as_ref()).await?;
    let session = name_of(&session)?;
    node.end_session(&environment, &session).await?;
    answer(node.session(&environment, &session).await?)
}

/// A session's transcript, from its first byte that is kept.
#[utoipa::path(get, path = "/v1/environments/{environment}/sessions/{session}/transcript", params(("environment" = String, Path), ("session" = String, Path), TranscriptQuery), responses((status = 200, body = String, content_type = "application/octet-stream")))]
pub(super) async fn transcript(
    State(node): Shared,
    Path((name, session)): Path<(String, String)>,
    Query(query): Query<TranscriptQuery>,
) -> Result<Response, Refusal> {
    let environment = node.find(&name, query.project.as_ref()).await?;
    let (record, tmux) = node.session_record(&environment, &name_of(&session)?).await?;
    let sessions = &node.sessions.sessions;
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
    let environment = node.find(&name, query.project.as_ref()).await?;
    let session =
        node.send(&environment, request.session.as_ref(), &request.text, request.enter).await?;
    answer(session.to_string())
}
