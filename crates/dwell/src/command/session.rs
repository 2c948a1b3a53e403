//! `sessions` and `send`.

use dwell_api::session::{ListSessions, SendText, Session, SessionStatus, TranscriptQuery};
use dwell_api::{Client, ClientError, Code, Problem, endpoint};
use dwell_core::SessionName;
use serde_json::{Value, json};

use super::{Context, idempotency_key, now};
use crate::arguments::session::{Send, Sessions, SessionsAction};
use crate::failure::{Ended, Failure};
use crate::output::show;
use crate::target::{self, Place};

/// Lists sessions, or ends one.
pub(crate) async fn run(it: Sessions, context: &Context) -> Ended {
    let mut client = context.connect().await?;
    if let Some(SessionsAction::Kill { environment, session, project }) = it.action {
        let project = project.project.as_ref();
        let place = target::place(&mut client, Some(&environment), project).await?;
        let session = pick(&mut client, &place, session.as_ref()).await?;
        let path = session.at(endpoint::SESSION_KILL, endpoint::WORKSPACE_SESSION_KILL);
        let _: Value = client.post(&path, &idempotency_key()?, &json!({})).await?;
        context.output.note(&format!("session {} is ended", session.name));
        return Ok(0);
    }
    let project = it.project.project;
    let query = match &it.environment {
        Some(name) => target::place(&mut client, Some(name), project.as_ref()).await?.only(),
        None => ListSessions { project, ..ListSessions::default() },
    };
    let all = list(&mut client, &query).await?;
    if context.output.is_quiet() {
        let names: String = all.iter().map(|s| format!("{}\n", s.name)).collect();
        context.output.text(&names)?;
    } else {
        context.output.result(&all, |all, style| show::sessions(all, now(), style))?;
    }
    Ok(0)
}

/// Types text into a session.
pub(crate) async fn send(it: Send, context: &Context) -> Ended {
    let mut client = context.connect().await?;
    let project = it.project.project.as_ref();
    let place = target::place(&mut client, Some(&it.environment), project).await?;
    let body = SendText { session: it.session, text: it.text.join(" "), enter: !it.no_enter };
    let path = place.at(endpoint::SEND, endpoint::WORKSPACE_SEND);
    let _: Value = client.post(&path, &idempotency_key()?, &body).await?;
    Ok(0)
}

/// The session as it is now.
pub(crate) async fn again(client: &mut Client, session: &Session) -> Result<Session, ClientError> {
    client.get(&session.at(endpoint::SESSION, endpoint::WORKSPACE_SESSION)).await
}

/// Where a session's transcript is read.
pub(crate) fn transcript(session: &Session, follow: bool, plain: bool) -> String {
    let query = TranscriptQuery { project: None, follow, plain };
    endpoint::query(&session.at(endpoint::TRANSCRIPT, endpoint::WORKSPACE_TRANSCRIPT), &query)
}

async fn list(client: &mut Client, query: &ListSessions) -> Result<Vec<Session>, Failure> {
    Ok(client.get(&endpoint::query(endpoint::SESSIONS, query)).await?)
}

/// The sessions of one place.
pub(crate) async fn of_place(client: &mut Client, place: &Place) -> Result<Vec<Session>, Failure> {
    list(client, &place.only()).await
}

/// The session that was named, else the only one that runs.
pub(crate) async fn pick(
    client: &mut Client,
    place: &Place,
    name: Option<&SessionName>,
) -> Result<Session, Failure> {
    let all = of_place(client, place).await?;
    Ok(choose(all, name, &place.label())?)
}

pub(crate) fn choose(
    all: Vec<Session>,
    name: Option<&SessionName>,
    of: &str,
) -> Result<Session, Problem> {
    let mut fitting: Vec<Session> = all
        .into_iter()
        .filter(|session| match name {
            Some(name) => session.name == *name,
            None => session.status == SessionStatus::Running,
        })
        .collect();
    let unclear = match (fitting.len(), name) {
        (0, Some(name)) => {
            Problem::new(Code::NotFound, format!("there is no session `{name}` in {of}"))
                .hint("`dwell sessions` lists them")
        }
        (0, None) => Problem::new(Code::NotFound, format!("no session runs in {of}"))
            .hint("`dwell run <agent> <env>` starts one"),
        _ => Problem::new(Code::Ambiguous, format!("several sessions run in {of}"))
            .details(
                fitting.iter().map(|session| format!("{} in {}", session.name, session.place())),
            )
            .hint("name one"),
    };
    if fitting.len() == 1 { fitting.pop().ok_or(unclear) } else { Err(unclear) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::output::samples::session;

    #[test]
    fn the_only_running_session_needs_no_name() {
        let ended = Session { status: SessionStatus::Ended, ..session("npm", "a1") };
        let one = vec![session("claude", "a1"), ended.clone()];
        assert_eq!(choose(one.clone(), None, "a1").unwrap().name.as_str(), "claude");
        let npm = "npm".parse().unwrap();
        assert_eq!(choose(one, Some(&npm), "a1").unwrap().name.as_str(), "npm");
        assert_eq!(choose(vec![ended], None, "a1").unwrap_err().code, Code::NotFound);
        let two = vec![session("claude", "a1"), session("aider", "a1")];
        assert_eq!(choose(two, None, "a1").unwrap_err().code, Code::Ambiguous);
    }
}
