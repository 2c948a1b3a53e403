//! Terminals of sessions in workspaces. The client of the tmux server runs in the workspace, under a
//! process of ours that speaks the frames of the connection on its standard streams: when the
//! connection or this daemon ends, its input does, and so does the client.

use std::path::Path;
use std::sync::Arc;

use axum::extract::Request;
use axum::response::Response;
use dwell_api::exec::PROTOCOL;
use dwell_api::session::{AttachSession, SessionStatus};
use dwell_api::{Code, Problem};
use dwell_core::SessionName;
use dwell_core::idle::Source;
use dwell_core::workspace::{SESSIONS, USER, Workspace};
use dwell_drivers::docker::ExecSpec;
use futures_util::StreamExt;
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt};

use super::commands::Commands;
use super::exec::awake;
use super::{find, own_binary};
use crate::api::{Refusal, switching, upgrade_of};
use crate::idle::{Busy, Meter, Metered};
use crate::node::Node;
use crate::problem::OrProblem;
use crate::running::Running;
use crate::session::Place;

/// Opens a terminal and answers the upgrade. A frozen workspace is woken.
pub(crate) async fn attach(
    node: Arc<Node>,
    name: &str,
    session: &SessionName,
    request: Request,
) -> Result<Response, Refusal> {
    let (upgrade, wanted): (_, AttachSession) = upgrade_of(request).await?;
    let place = Place::from(find(&node, name).await?);
    let (record, tmux) = place.record(&node, session).await?;
    if node.session(&place, session).await?.status != SessionStatus::Running {
        let message = format!("session `{session}` does not run");
        return Err(Problem::new(Code::NotRunning, message)
            .hint("`dwell run --resume` starts it again")
            .into());
    }
    let Place::Workspace(it) = place else {
        return Err(Problem::new(Code::Internal, "a workspace is none").into());
    };
    let it = awake(&node, *it, Source::Typing).await?;
    let files = Path::new(SESSIONS).join(record.files.file_name().unwrap_or_default());
    let spec = spec(&it, &files, tmux.as_str(), &wanted);
    let running = Commands::of(&node, &it).start(spec, None).await.or_problem()?;
    let busy = Busy::new(node.clone(), it.id.clone(), true);
    let meter = Meter::terminal(node.clone(), it.id.clone());
    tokio::spawn(async move {
        let _busy = busy;
        if let Ok(near) = upgrade.await {
            join(Metered { stream: TokioIo::new(near), meter }, running).await;
        }
    });
    Ok(switching(PROTOCOL))
}

fn spec(it: &Workspace, files: &Path, session: &str, wanted: &AttachSession) -> ExecSpec {
    let (columns, rows) = wanted.size;
    let mut command = vec![own_binary(), "session-terminal".to_owned()];
    command.extend(["--size".to_owned(), format!("{columns}x{rows}")]);
    command.extend(wanted.read_only.then(|| "--read-only".to_owned()));
    command.extend([files.display().to_string(), session.to_owned()]);
    let variables = it.variables().into_iter().map(|(name, value)| format!("{name}={value}"));
    let own = [format!("TERM={}", wanted.terminal), "LANG=C.UTF-8".to_owned()];
    ExecSpec {
        command,
        tty: false,
        stdin: true,
        variables: variables.chain(own).collect(),
        user: Some(USER.to_owned()),
        directory: None,
    }
}

/// Passes bytes both ways until either side ends; what ends a client is the end of its input.
async fn join(near: impl AsyncRead + AsyncWrite, running: Running) {
    // Kept to the end, which is the command's.
    let Running { mut output, mut input, control: _control } = running;
    let (mut read, mut write) = tokio::io::split(near);
    let down = async {
        while let Some(Ok((is_error, bytes))) = output.next().await {
            // What it writes to standard error is none of the frames.
            if !is_error && write.write_all(&bytes).await.is_err() {
                return;
            }
        }
        let _ = write.shutdown().await;
    };
    tokio::select! {
        () = down => {}
        _ = tokio::io::copy(&mut read, &mut input) => {}
    }
    let _ = input.shutdown().await;
}
