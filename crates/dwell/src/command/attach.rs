//! `attach`: gives the terminal to a session until the user detaches or its command ends.

use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

use dwell_api::environment::Environment;
use dwell_api::exec::{CommandKind, PROTOCOL};
use dwell_api::session::{AttachSession, Session, SessionStatus};
use dwell_api::{Client, ClientError, Code, Problem, endpoint};
use http_body_util::BodyExt;

use super::session::{again, pick, transcript};
use super::{Context, child_code};
use crate::arguments::session::Attach;
use crate::failure::{Ended, Failure, usage};
use crate::target::{self, Place};
use crate::terminal;

/// What was on the screen for no longer than this was not seen.
const GLIMPSE: Duration = Duration::from_secs(2);

/// How often a session is looked for again whose node is away.
pub(crate) const AGAIN: Duration = Duration::from_secs(1);
/// How long a node may be away until its sessions are followed no more.
pub(crate) const AWAY_LIMIT: Duration = Duration::from_secs(3600);

/// Attaches to a session.
pub(crate) async fn run(it: Attach, context: &Context) -> Ended {
    let mut client = context.connect().await?;
    let project = it.project.project.as_ref();
    let place = target::place(&mut client, it.environment.as_ref(), project).await?;
    let session = pick(&mut client, &place, it.session.as_ref()).await?;
    if context.output.is_json() {
        context.output.json(&session)?;
        return Ok(0);
    }
    if session.status != SessionStatus::Running {
        let message = format!("session `{}` does not run any more", session.name);
        return Err(Problem::new(Code::NotRunning, message)
            .hint(format!("`dwell run --resume={} {}`", session.name, session.place()))
            .into());
    }
    if !terminal::is_interactive() {
        let hint = format!("`dwell logs {} --session {}`", place.name(), session.name);
        return Err(usage("attaching needs a terminal").hint(hint).into());
    }
    attach(&session, &place, it.read_only, context).await
}

/// Hands the terminal over, and afterwards says how the session is. Of a session that ended
/// before anybody could see it, its last screenful is printed.
pub(crate) async fn attach(
    session: &Session,
    place: &Place,
    read_only: bool,
    context: &Context,
) -> Ended {
    let begun = Instant::now();
    let attached = match place.far(session) {
        None if session.workspace.is_none() => hand_over(session, read_only)?.into(),
        environment => streamed(session, environment, read_only, context).await?,
    };
    let seen = attached.code == 0 && begun.elapsed() > GLIMPSE;
    let mut client = context.connect().await?;
    let now = again(&mut client, session).await?;
    match ended(&now) {
        Some(code) => {
            if !seen {
                last_screen(&mut client, &now, context).await?;
            }
            let how = match now.status {
                SessionStatus::Lost => "was lost".to_owned(),
                _ => format!("ended ({code})"),
            };
            context.output.note(&format!("session `{}` {how}", now.name));
            if seen && code != 0 {
                let (place, name) = (now.place(), &now.name);
                context.output.note(&format!("what it said: dwell logs {place} --session {name}"));
            }
            Ok(code)
        }
        None if attached.code == 0 => {
            context.output.note(&still_runs(&now));
            Ok(0)
        }
        None => {
            context.output.error_bytes(&attached.stderr)?;
            Err(Failure::Exit(attached.code))
        }
    }
}

/// How an attached terminal ended.
struct Attached {
    code: u8,
    stderr: Vec<u8>,
}

impl From<Output> for Attached {
    fn from(output: Output) -> Self {
        Self { code: child_code(output.status.code().unwrap_or(1)), stderr: output.stderr }
    }
}

/// Runs the multiplexer's client where the session is: in its workspace, or on the other node of its
/// environment. A connection that broke leaves the session as it is, so the terminal is attached
/// again as soon as that can be.
async fn streamed(
    session: &Session,
    environment: Option<&Environment>,
    read_only: bool,
    context: &Context,
) -> Result<Attached, Failure> {
    let mut broken: Option<Instant> = None;
    loop {
        let begun = Instant::now();
        let ended = match environment {
            Some(environment) => {
                let what = CommandKind::Attach { session: session.name.clone(), read_only };
                super::far::run(environment, what, Vec::new(), context).await
            }
            None => in_workspace(session, read_only, context).await,
        };
        let lost = match ended {
            Ok(code) => return Ok(Attached { code, stderr: Vec::new() }),
            Err(Failure::Exit(super::exec::LOST)) => true,
            Err(Failure::Problem(problem)) if problem.code == Code::NodeUnreachable => true,
            Err(other) => return Err(other),
        };
        if begun.elapsed() > GLIMPSE {
            broken = None;
        }
        let since = *broken.get_or_insert_with(Instant::now);
        if lost && since.elapsed() > AWAY_LIMIT {
            return Err(Failure::Exit(super::exec::LOST));
        }
        context
            .output
            .note("the node is away: attaching again as soon as it is back (Ctrl-C leaves)");
        tokio::select! {
            () = tokio::time::sleep(AGAIN) => {}
            _ = tokio::signal::ctrl_c() => return Err(Failure::Exit(Code::Interrupted.exit_code())),
        }
    }
}

async fn in_workspace(session: &Session, read_only: bool, context: &Context) -> Ended {
    let body = AttachSession {
        size: terminal::size().unwrap_or((80, 24)),
        terminal: std::env::var("TERM").unwrap_or_else(|_| "xterm-256color".to_owned()),
        read_only,
    };
    let path = session.at(endpoint::SESSION, endpoint::WORKSPACE_ATTACH);
    let stream = context.connect().await?.upgrade(&path, PROTOCOL, &body).await?;
    let raw = terminal::Raw::enter();
    let (read, write) = tokio::io::split(stream);
    let ended = super::exec::converse(read, write, true, true, context).await;
    drop(raw);
    ended
}

/// Runs the multiplexer's client on our terminal; only its complaints are kept back.
fn hand_over(session: &Session, read_only: bool) -> Result<Output, Failure> {
    let Some((program, arguments)) = session.attach.split_first() else {
        let message = format!("session `{}` cannot be attached to", session.name);
        return Err(Problem::new(Code::NotRunning, message).into());
    };
    let mut command = Command::new(program);
    // Ours is another tmux server than the one that the user may sit in.
    command.args(arguments).env_remove("TMUX").env_remove("TMUX_PANE").stderr(Stdio::piped());
    if read_only {
        command.arg("-r");
    }
    let attached = command.spawn().and_then(Child::wait_with_output);
    Ok(attached.map_err(|e| {
        Problem::new(Code::ToolMissing, format!("`{program}` could not be run: {e}"))
            .hint("`dwell doctor` says what is missing")
    })?)
}

/// Prints the end of a session's transcript, at most a screenful.
async fn last_screen(
    client: &mut Client,
    session: &Session,
    context: &Context,
) -> Result<(), Failure> {
    let body = client.bytes(&transcript(session, false, false)).await?;
    let transcript = body.collect().await.map_err(ClientError::from)?.to_bytes();
    let rows = terminal::size().map_or(24, |(_, rows)| usize::from(rows));
    let end = last_lines(&transcript, rows.saturating_sub(1));
    context.output.bytes(end)?;
    if !end.is_empty() && !end.ends_with(b"\n") {
        context.output.bytes(b"\r\n")?;
    }
    Ok(())
}

fn last_lines(text: &[u8], count: usize) -> &[u8] {
    let body = text.strip_suffix(b"\n").unwrap_or(text);
    let ends = body.iter().enumerate().rev().filter(|(_, byte)| **byte == b'\n');
    match count.checked_sub(1).and_then(|before| ends.map(|(at, _)| at + 1).nth(before)) {
        Some(from) => text.get(from..).unwrap_or_default(),
        None => text,
    }
}

/// The exit code of a session's command, once it has ended.
pub(crate) fn ended(session: &Session) -> Option<u8> {
    match session.status {
        SessionStatus::Running => None,
        SessionStatus::Ended => Some(child_code(session.exit_code.unwrap_or(1))),
        SessionStatus::Lost => Some(1),
    }
}

/// How to get back to a session.
pub(crate) fn still_runs(session: &Session) -> String {
    let (name, place) = (&session.name, session.place());
    format!("session {name} goes on: dwell attach {place} {name}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_screenful_is_the_end_of_a_transcript() {
        assert_eq!(last_lines(b"a\r\nb\r\nc\r\n", 2), b"b\r\nc\r\n");
        assert_eq!(last_lines(b"a\nb\nc", 1), b"c");
        assert_eq!(last_lines(b"a\nb\n", 9), b"a\nb\n");
        assert_eq!(last_lines(b"", 9), b"");
    }
}
