//! `exec`: a command in a service's container, over one upgraded connection.

use std::io::IsTerminal;

use bytes::{Bytes, BytesMut};
use dwell_api::exec::{Exec as Body, FRAME_MAX, Frame, PROTOCOL};
use dwell_api::{ClientError, Code, Problem, endpoint};
use dwell_core::{EnvironmentName, ServiceName};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::signal::unix::{Signal, SignalKind, signal};

use super::environment::of;
use super::{Context, child_code, given_variables};
use crate::arguments::work::Exec;
use crate::failure::{Ended, Failure};
use crate::{project, target, terminal};

/// How much of standard input goes into one frame.
const CHUNK: usize = 32 * 1024;
/// What callers take for a lost connection rather than the command's own failure.
pub(super) const LOST: u8 = 255;

/// Runs a command in a container.
pub(crate) async fn run(it: Exec, context: &Context) -> Ended {
    let environment = it.environment.clone();
    let mut body = body(it)?;
    let stream = connect(&environment, &mut body, context).await?;
    let raw = if body.tty { terminal::Raw::enter() } else { None };
    let (read, write) = tokio::io::split(stream);
    let ended = converse(read, write, body.stdin, body.tty, context).await;
    drop(raw);
    ended
}

/// Starts the command: in one round trip where the project was named or our directory tells it,
/// else after asking which environment is meant.
async fn connect(
    name: &EnvironmentName,
    body: &mut Body,
    context: &Context,
) -> Result<impl AsyncRead + AsyncWrite + use<>, Failure> {
    let named = body.project.is_some();
    body.project = body.project.take().or(project::told(&project::here()?, &context.paths.data));
    if body.project.is_some() {
        let path = endpoint::fill(endpoint::EXEC, &[name.as_str()]);
        match context.connect().await?.upgrade(&path, PROTOCOL, &body).await {
            // An environment may have been made for another project than its files tell.
            Err(ClientError::Problem(problem)) if !named && problem.code == Code::NotFound => {}
            other => return Ok(other?),
        }
    }
    let mut client = context.connect().await?;
    let found = target::resolve(&mut client, Some(name), None).await?;
    body.project = None;
    Ok(client.upgrade(&of(endpoint::EXEC, &found), PROTOCOL, &body).await?)
}

fn body(it: Exec) -> Result<Body, Problem> {
    let mut words = it.words.into_iter().map(|word| {
        word.into_string().map_err(|word| {
            let message = format!("argument `{}` is not UTF-8", word.to_string_lossy());
            Problem::new(Code::InvalidArgument, message)
        })
    });
    let service = words.next().unwrap_or_else(|| Ok(String::new()))?;
    let service: ServiceName =
        service.parse().map_err(|e| Problem::new(Code::InvalidName, format!("{e}")))?;
    let mut command: Vec<String> = words.collect::<Result<_, _>>()?;
    if command.first().is_some_and(|word| word == "--") {
        command.remove(0);
    }
    if command.is_empty() {
        command.push("sh".to_owned());
    }
    let terminals = std::io::stdin().is_terminal() && std::io::stdout().is_terminal();
    let tty = !it.no_tty && it.tty.unwrap_or(terminals && it.interactive);
    Ok(Body {
        project: it.project.project,
        service,
        index: it.index,
        command,
        tty,
        stdin: it.interactive && !terminal::has_no_input(),
        size: if tty { terminal::size() } else { None },
        variables: given_variables(it.env),
        user: it.user,
        directory: it.workdir,
    })
}

/// Passes input, output and window sizes until the command ends.
pub(super) async fn converse<R, W>(
    mut read: R,
    mut write: W,
    stdin: bool,
    tty: bool,
    context: &Context,
) -> Ended
where
    R: AsyncRead + Unpin,
    W: AsyncWrite + Unpin,
{
    let mut ends = Ends::new()?;
    let mut stdin = stdin.then(tokio::io::stdin);
    let mut input = vec![0_u8; CHUNK];
    let mut incoming = BytesMut::with_capacity(CHUNK);
    let mut outgoing = BytesMut::new();
    loop {
        while let Some(frame) = Frame::decode(&mut incoming).map_err(broken)? {
            if let Some(code) = shown(frame, context)? {
                return Ok(code);
            }
        }
        // Reading goes on while writing waits: the command may wait for its output to be read.
        let waiting = !outgoing.is_empty();
        tokio::select! {
            count = read.read_buf(&mut incoming) => match count {
                Ok(0) | Err(_) => return Err(lost(context)),
                Ok(_) => {}
            },
            sent = write.write_buf(&mut outgoing), if waiting => {
                if !matches!(sent, Ok(1..)) {
                    // A far end that is gone says so through what we read.
                    outgoing.clear();
                    stdin = None;
                }
            }
            count = next(stdin.as_mut(), &mut input), if !waiting => {
                let count = count.unwrap_or(0);
                if count == 0 {
                    stdin = None;
                }
                let bytes = Bytes::copy_from_slice(input.get(..count).unwrap_or_default());
                Frame::Stdin(bytes).encode(&mut outgoing);
            }
            _ = ends.resize.recv() => {
                if let Some((columns, rows)) = terminal::size().filter(|_| tty) {
                    Frame::Resize(columns, rows).encode(&mut outgoing);
                }
            }
            _ = ends.terminate.recv() => return Err(Failure::Exit(143)),
            _ = ends.hangup.recv() => return Err(Failure::Exit(129)),
        }
    }
}

/// Reads from standard input, or never returns where there is none.
async fn next(stdin: Option<&mut tokio::io::Stdin>, into: &mut [u8]) -> std::io::Result<usize> {
    const _: () = assert!(CHUNK <= FRAME_MAX);
    match stdin {
        Some(stdin) => stdin.read(into).await,
        None => std::future::pending().await,
    }
}

/// Acts on a frame; gives the exit code when the command has ended.
fn shown(frame: Frame, context: &Context) -> Result<Option<u8>, Failure> {
    match frame {
        Frame::Stdout(bytes) => context.output.bytes(&bytes)?,
        Frame::Stderr(bytes) => context.output.error_bytes(&bytes)?,
        Frame::Exit(code) => return Ok(Some(child_code(code))),
        Frame::Failed(bytes) => {
            let problem = serde_json::from_slice::<Problem>(&bytes);
            let problem = problem.unwrap_or_else(|_| {
                Problem::new(Code::Internal, String::from_utf8_lossy(&bytes).into_owned())
            });
            return Err(problem.into());
        }
        Frame::Stdin(_) | Frame::Resize(..) => {}
    }
    Ok(None)
}

fn broken(error: dwell_api::exec::FrameError) -> Failure {
    Problem::new(Code::Internal, error.to_string()).into()
}

fn lost(context: &Context) -> Failure {
    let message = "the connection to the node broke; the command may still run";
    context.output.problem(&Problem::new(Code::NodeUnreachable, message));
    Failure::Exit(LOST)
}

/// Signals that matter while the terminal is raw.
struct Ends {
    resize: Signal,
    terminate: Signal,
    hangup: Signal,
}

impl Ends {
    fn new() -> Result<Self, Problem> {
        let listen = |kind| {
            signal(kind).map_err(|e| {
                Problem::new(Code::Internal, format!("signals cannot be listened to: {e}"))
            })
        };
        Ok(Self {
            resize: listen(SignalKind::window_change())?,
            terminate: listen(SignalKind::terminate())?,
            hangup: listen(SignalKind::hangup())?,
        })
    }
}
