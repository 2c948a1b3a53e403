//! A command's streams as frames on a connection, both ways, until the command ends.

use std::future::Future;
use std::pin::{Pin, pin};
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use dwell_api::Problem;
use dwell_api::exec::{FRAME_MAX, Frame};
use futures_util::future::BoxFuture;
use futures_util::stream::{Stream, StreamExt};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};

/// A piece of what a command wrote: whether to standard error, and the bytes.
pub(crate) type Written = Result<(bool, Bytes), Problem>;

/// How long a client may take to hang up after the last frame.
const HANG_UP: Duration = Duration::from_secs(5);

/// The command's ends.
pub(crate) struct Far<'a> {
    /// What it writes.
    pub(crate) output: Pin<Box<dyn Stream<Item = Written> + Send + 'a>>,
    /// Its standard input.
    pub(crate) input: Pin<Box<dyn AsyncWrite + Send>>,
    /// Whether it ends when the client does.
    pub(crate) hangs_up: bool,
}

/// Carries bytes until the command ends, then its exit code.
pub(crate) async fn carry<S: AsyncRead + AsyncWrite + Unpin>(
    stream: S,
    far: Far<'_>,
    resize: impl Fn(u16, u16) -> BoxFuture<'static, ()>,
    code: impl Future<Output = Result<i32, Problem>>,
) {
    let Far { mut output, mut input, hangs_up } = far;
    let (mut reader, mut writer) = tokio::io::split(stream);
    let forward = async {
        let mut buffer = BytesMut::with_capacity(16 * 1024);
        'frames: loop {
            while let Ok(Some(frame)) = Frame::decode(&mut buffer) {
                match frame {
                    Frame::Stdin(bytes) if bytes.is_empty() => end(&mut input).await,
                    Frame::Stdin(bytes) => drop(input.write_all(&bytes).await),
                    Frame::Resize(columns, rows) => resize(columns, rows).await,
                    _ => break 'frames,
                }
            }
            match reader.read_buf(&mut buffer).await {
                Ok(0) | Err(_) => break 'frames,
                Ok(_) => {}
            }
        }
        // A client that goes away takes its end of the pipes with it; the command sees end of
        // input.
        end(&mut input).await;
    };
    let back = async {
        let mut failure = None;
        while let Some(piece) = output.next().await {
            match piece {
                Ok((stderr, bytes)) => {
                    if write(&mut writer, stderr, bytes).await.is_err() {
                        return;
                    }
                }
                Err(problem) => {
                    failure = Some(problem);
                    break;
                }
            }
        }
        let code = match failure {
            Some(problem) => Err(problem),
            None => code.await,
        };
        let last = match code {
            Ok(code) => Frame::Exit(code),
            Err(problem) => Frame::Failed(serde_json::to_vec(&problem).unwrap_or_default().into()),
        };
        let mut wire = BytesMut::new();
        last.encode(&mut wire);
        let _ = writer.write_all(&wire).await;
        let _ = writer.shutdown().await;
    };
    let (mut forward, mut back) = (pin!(forward), pin!(back));
    tokio::select! {
        () = &mut back => {
            // Whoever hangs up first takes what is still on its way from the other.
            let _ = tokio::time::timeout(HANG_UP, forward).await;
        }
        () = &mut forward => {
            if !hangs_up {
                back.await;
            }
        }
    }
}

/// Ends a command's input. A pipe ends only when it is closed.
async fn end(input: &mut Pin<Box<dyn AsyncWrite + Send>>) {
    // A command that is gone reads no more anyway.
    let _ = input.shutdown().await;
    *input = Box::pin(tokio::io::sink());
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
    // A standard stream keeps what follows the last line end.
    writer.flush().await
}
