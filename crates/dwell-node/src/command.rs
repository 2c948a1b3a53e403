//! Commands in an environment's tree for somebody whose terminal is elsewhere: programs, compose,
//! terminals of sessions.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use axum::extract::Request;
use axum::response::Response;
use dwell_api::exec::{Command, CommandKind, PROTOCOL};
use dwell_api::{Code, Problem};
use dwell_core::environment::Environment;
use dwell_core::workspace::TMUX_SOCKET;
use dwell_drivers::command::{self, Running, Spec};
use dwell_drivers::session::hold_attached;
use futures_util::{FutureExt, stream};
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite};

use crate::api::{Refusal, switching, upgrade_of};
use crate::carry::{Far, carry};
use crate::environment::stack;
use crate::node::Node;
use crate::problem::{OrProblem, file};
use crate::session::Place;

/// What a terminal is taken for where nobody says.
const TERM: &str = "xterm-256color";

/// Starts the command and answers the upgrade.
pub(crate) async fn serve(
    node: Arc<Node>,
    name: &str,
    request: Request,
) -> Result<Response, Refusal> {
    let (upgrade, command): (_, Command) = upgrade_of(request).await?;
    let environment = node.find(name, command.project.as_ref()).await?;
    let spec = spec(&node, &environment, command).await?;
    let running = command::start(&spec).or_problem()?;
    tokio::spawn(async move {
        let hangs_up = spec.terminal.is_some();
        match upgrade.await {
            Ok(upgraded) => {
                talk(TokioIo::new(upgraded), running, hangs_up, &spec.directory).await;
            }
            Err(error) => tracing::debug!(%error, "a command was not upgraded"),
        }
    });
    Ok(switching(PROTOCOL))
}

/// Talks about a command on a stream until it ends, or until the stream does where that hangs it up.
pub(crate) async fn talk(
    stream: impl AsyncRead + AsyncWrite + Unpin,
    mut running: Running,
    hangs_up: bool,
    directory: &Path,
) {
    let input = std::mem::replace(&mut running.input, Box::pin(tokio::io::sink()));
    let (silent, output) = tokio::sync::mpsc::channel(1);
    drop(silent);
    let output = std::mem::replace(&mut running.output, output);
    let output = stream::unfold(output, |mut output| async move {
        let piece = output.recv().await?;
        Some((Ok((piece.stderr, piece.bytes)), output))
    });
    let sizes = running.sizes();
    let resize = |columns, rows| {
        if let Some(sizes) = &sizes {
            // A command that has ended has no terminal any more.
            let _ = sizes.send((columns, rows));
        }
        std::future::ready(()).boxed()
    };
    let code = async {
        let ended = running.ended().await;
        ended.map_err(|error| file("waiting for a command in", directory, &error))
    };
    let far = Far { output: Box::pin(output), input, hangs_up };
    carry(stream, far, resize, code).await;
}

/// Shows a session of the workspace that this process is in on a terminal at the far end of the
/// standard streams, which carry frames, until either ends.
///
/// # Errors
/// When tmux cannot be started, or the session's files are not there.
pub async fn show_session(
    files: &Path,
    session: &str,
    read_only: bool,
    size: (u16, u16),
) -> Result<(), Problem> {
    let shows = hold_attached(files).map_err(|error| file("opening", files, &error))?;
    let mut argv: Vec<String> = ["tmux", "-u", "-S", TMUX_SOCKET].map(str::to_owned).into();
    argv.extend(["attach-session".to_owned(), "-t".to_owned(), format!("={session}")]);
    argv.extend(read_only.then(|| "-r".to_owned()));
    let own = std::env::vars_os();
    let text = |(name, value): (OsString, OsString)| {
        Some((name.into_string().ok()?, value.into_string().ok()?))
    };
    let variables = own.filter_map(text).collect();
    let spec = Spec {
        argv,
        directory: PathBuf::from("/"),
        variables,
        terminal: Some(size),
        identity: None,
    };
    let running = command::start(&spec).or_problem()?;
    let streams = tokio::io::join(tokio::io::stdin(), tokio::io::stdout());
    talk(streams, running, true, &spec.directory).await;
    drop(shows);
    Ok(())
}

async fn spec(node: &Node, environment: &Environment, command: Command) -> Result<Spec, Problem> {
    let mut variables: BTreeMap<String, String> =
        node.login.variables().await.into_iter().collect();
    if command.terminal.is_some() {
        variables.insert("TERM".to_owned(), TERM.to_owned());
    }
    variables.extend(command.variables.0);
    let mut directory = environment.directory().to_owned();
    let argv = match command.what {
        CommandKind::Program { arguments } => {
            variables.extend(node.variables(environment, None).await);
            arguments
        }
        CommandKind::Compose { arguments } => {
            let stack = stack(node, environment);
            if !stack.file.is_file() {
                let message = format!("`{}` was never up", environment.label());
                return Err(Problem::new(Code::NotRunning, message)
                    .hint("`dwell up` makes its compose file"));
            }
            directory.clone_from(&stack.directory);
            let leading = std::iter::once("docker".to_owned()).chain(stack.arguments());
            leading.chain(arguments).collect()
        }
        CommandKind::Attach { session, read_only } => {
            let place = Place::from(environment.clone());
            let session = node.session(&place, &session).await?;
            variables.remove("TMUX");
            let read_only = read_only.then(|| "-r".to_owned());
            session.attach.into_iter().chain(read_only).collect()
        }
    };
    Ok(Spec {
        argv,
        directory,
        variables: variables.into_iter().collect(),
        terminal: command.terminal,
        identity: None,
    })
}
