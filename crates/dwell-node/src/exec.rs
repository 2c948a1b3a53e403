//! Commands in containers: from the upgraded connection's frames to the engine's streams.

use std::sync::Arc;

use axum::extract::Request;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use bytes::{Bytes, BytesMut};
use dwell_api::exec::{Exec, FRAME_MAX, Frame, PROTOCOL};
use dwell_api::{Code, Problem};
use dwell_drivers::docker::{Exec as Running, ExecSpec};
use futures_util::StreamExt;
use http_body_util::BodyExt;
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};

use crate::api::Refusal;
use crate::node::Node;
use crate::problem::OrProblem;

/// Starts the command and answers the upgrade.
pub(crate) async fn serve(
    node: Arc<Node>,
    environment: &str,
    mut request: Request,
) -> Result<Response, Refusal> {
    let upgrade = hyper::upgrade::on(&mut request);
    let understood =
        |e: String| Problem::new(Code::Usage, format!("the request is not understood: {e}"));
    let body = request.into_body().collect().await.map_err(|e| understood(e.to_string()))?;
    let exec: Exec =
        serde_json::from_slice(&body.to_bytes()).map_err(|e| understood(e.to_string()))?;
    let container = find(&node, environment, &exec).await?;
    let size = exec.size;
    let running = node.engine.exec(&container, spec(exec)).await.or_problem()?;
    if let Some((columns, rows)) = size {
        // A command that ended at once has no terminal any more.
        let _ = node.engine.resize_exec(&running.id, columns, rows).await;
    }
    tokio::spawn(async move {
        match upgrade.await {
            Ok(upgraded) => carry(&node, TokioIo::new(upgraded), running).await,
            Err(error) => tracing::debug!(%error, "an exec connection was not upgraded"),
        }
    });
    let headers = [(header::CONNECTION, "upgrade"), (header::UPGRADE, PROTOCOL)];
    Ok((StatusCode::SWITCHING_PROTOCOLS, headers).into_response())
}

fn spec(exec: Exec) -> ExecSpec {
    ExecSpec {
        command: exec.command,
        tty: exec.tty,
        stdin: exec.stdin,
        variables: exec
            .variables
            .into_iter()
            .map(|(name, value)| format!("{name}={value}"))
            .collect(),
        user: exec.user,
        directory: exec.directory,
    }
}

async fn find(node: &Node, name: &str, exec: &Exec) -> Result<String, Problem> {
    let environment = node.find(name, exec.project.as_ref()).await?;
    let label = environment.label();
    let service = &exec.service;
    let containers = node.world.containers(&environment.id);
    let mut own = containers.iter().filter(|c| c.service.as_ref() == Some(service)).peekable();
    if own.peek().is_none() {
        let known: Vec<String> = node
            .facts
            .get(&environment.id)
            .map(|facts| facts.services.keys().map(ToString::to_string).collect())
            .unwrap_or_default();
        if known.iter().any(|known| known == service.as_str()) {
            return Err(Problem::new(
                Code::NotRunning,
                format!("service `{service}` of `{label}` does not run"),
            )
            .hint("`dwell up` starts it"));
        }
        return Err(Problem::new(Code::NotFound, format!("`{label}` has no service `{service}`"))
            .details(known));
    }
    let found = own.find(|container| container.runs() && container.index == exec.index);
    found.map(|container| container.id.clone()).ok_or_else(|| {
        let index = exec.index;
        Problem::new(
            Code::NotRunning,
            format!("container {index} of service `{service}` of `{label}` does not run"),
        )
        .hint("`dwell status` shows what runs")
    })
}

/// Carries bytes both ways until the command ends, then its exit code.
async fn carry<S: AsyncRead + AsyncWrite + Unpin>(node: &Node, stream: S, running: Running) {
    let Running { id, mut output, mut input } = running;
    let (mut reader, mut writer) = tokio::io::split(stream);
    let forward = async {
        let mut buffer = BytesMut::with_capacity(16 * 1024);
        loop {
            while let Ok(Some(frame)) = Frame::decode(&mut buffer) {
                match frame {
                    Frame::Stdin(bytes) if bytes.is_empty() => drop(input.shutdown().await),
                    Frame::Stdin(bytes) => drop(input.write_all(&bytes).await),
                    Frame::Resize(columns, rows) => {
                        drop(node.engine.resize_exec(&id, columns, rows).await);
                    }
                    _ => return,
                }
            }
            match reader.read_buf(&mut buffer).await {
                Ok(0) | Err(_) => return,
                Ok(_) => {}
            }
        }
    };
    let back = async {
        let mut failure = None;
        while let Some(piece) = output.next().await {
            match piece {
                Ok(piece) => {
                    if write(&mut writer, piece.stderr, piece.bytes).await.is_err() {
                        return;
                    }
                }
                Err(error) => {
                    failure = Some(error);
                    break;
                }
            }
        }
        let code = match failure {
            Some(error) => Err(error),
            None => node.engine.exec_exit_code(&id).await,
        };
        let last = match code.or_problem() {
            Ok(code) => Frame::Exit(code),
            Err(problem) => Frame::Failed(serde_json::to_vec(&problem).unwrap_or_default().into()),
        };
        let mut wire = BytesMut::new();
        last.encode(&mut wire);
        let _ = writer.write_all(&wire).await;
        let _ = writer.shutdown().await;
    };
    // A client that goes away takes its end of the pipes with it; the command sees end of input.
    let forward = async {
        forward.await;
        std::future::pending::<()>().await;
    };
    tokio::select! {
        () = back => {}
        () = forward => {}
    }
}

async fn write<W: AsyncWrite + Unpin>(
    writer: &mut W,
    stderr: bool,
    mut bytes: Bytes,
) -> std::io::Result<()> {
    while !bytes.is_empty() {
        let piece = bytes.split_to(bytes.len().min(FRAME_MAX));
        let mut wire = BytesMut::with_capacity(piece.len() + 5);
        if stderr { Frame::Stderr(piece) } else { Frame::Stdout(piece) }.encode(&mut wire);
        writer.write_all(&wire).await?;
    }
    Ok(())
}
