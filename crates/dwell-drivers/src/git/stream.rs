//! Git at one end of a byte stream: what it prints goes out, or what comes in is fed to it. No
//! part of either is held in memory. A stream that stands still ends the run.

use std::ffi::OsStr;
use std::io;
use std::process::Stdio;
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWriteExt};
use tokio::process::ChildStdin;
use tokio::task::JoinHandle;
use tokio::time::timeout;

use super::Git;
use crate::process::{Finished, ProcessError, Program, Running};

/// How long a stream may stand still.
const STILL: Duration = Duration::from_secs(120);
/// How long git may go on after its input ended: it resolves and checks what it got.
const LAST: Duration = Duration::from_secs(600);
const STEP: usize = 128 * 1024;
const MOST_ERRORS: u64 = 64 * 1024;

/// Why git and a stream did not come to an end together.
#[derive(Debug, thiserror::Error)]
pub(crate) enum StreamError {
    /// Git failed.
    #[error(transparent)]
    Git(#[from] ProcessError),
    /// The stream failed, ended early or stood still.
    #[error("the stream ended early: {0}")]
    Stream(io::Error),
}

/// Where bytes come from, in pieces.
pub(crate) trait Give: Send {
    /// Reads some bytes; 0 at the end.
    fn give(&mut self, buffer: &mut [u8]) -> impl Future<Output = io::Result<usize>> + Send;
}

/// Where bytes go to, in pieces.
pub(crate) trait Take: Send {
    /// Writes all of these bytes.
    fn take(&mut self, bytes: &[u8]) -> impl Future<Output = io::Result<()>> + Send;
}

impl Git {
    /// Runs git with `input` as its input and passes on what it prints; gives the number of bytes.
    pub(crate) async fn pour<I: IntoIterator<Item = S>, S: AsRef<OsStr>>(
        &self,
        arguments: I,
        input: Vec<u8>,
        to: &mut impl Take,
    ) -> Result<u64, StreamError> {
        let program = self.program(arguments);
        let mut running = program.spawn_with(Stdio::piped())?;
        let pipe = running.input();
        let (out, errors) = running.pipes();
        let errors = tokio::spawn(collect(errors));
        let feed = async {
            if let Some(mut pipe) = pipe {
                // Git may end before it has read everything; its exit code tells.
                let _ = pipe.write_all(&input).await;
            }
            Ok(())
        };
        let pass = async {
            let Some(mut out) = out else { return Ok(0) };
            let mut buffer = vec![0; STEP];
            let mut total = 0_u64;
            loop {
                let length = still(out.read(&mut buffer)).await?;
                if length == 0 {
                    return Ok(total);
                }
                still(to.take(buffer.get(..length).unwrap_or_default())).await?;
                total += length as u64;
            }
        };
        let ((), total) = tokio::try_join!(feed, pass).map_err(StreamError::Stream)?;
        end(&program, &mut running, errors).await?;
        Ok(total)
    }

    /// Runs git on the bytes of a stream, up to the stream's end.
    pub(crate) async fn feed<I: IntoIterator<Item = S>, S: AsRef<OsStr>>(
        &self,
        arguments: I,
        from: &mut impl Give,
    ) -> Result<Finished, StreamError> {
        let program = self.program(arguments);
        let mut running = program.spawn_with(Stdio::piped())?;
        let pipe = running.input();
        let (out, errors) = running.pipes();
        let (out, errors) = (tokio::spawn(collect(out)), tokio::spawn(collect(errors)));
        pass_in(pipe, from).await.map_err(StreamError::Stream)?;
        let mut finished = end(&program, &mut running, errors).await?;
        finished.stdout = out.await.unwrap_or_default();
        Ok(finished)
    }
}

/// Feeds a program until the stream ends or the program wants no more.
async fn pass_in(pipe: Option<ChildStdin>, from: &mut impl Give) -> io::Result<()> {
    let Some(mut pipe) = pipe else { return Ok(()) };
    let mut buffer = vec![0; STEP];
    loop {
        let length = still(from.give(&mut buffer)).await?;
        let Some(part) = buffer.get(..length).filter(|part| !part.is_empty()) else {
            return Ok(());
        };
        match still(pipe.write_all(part)).await {
            Ok(()) => {}
            Err(error) if error.kind() == io::ErrorKind::BrokenPipe => return Ok(()),
            Err(error) => return Err(error),
        }
    }
}

async fn still<T>(step: impl Future<Output = io::Result<T>>) -> io::Result<T> {
    match timeout(STILL, step).await {
        Ok(result) => result,
        Err(_) => Err(io::Error::new(
            io::ErrorKind::TimedOut,
            format!("nothing moved for {} s", STILL.as_secs()),
        )),
    }
}

/// All that a pipe gives, of which the first part is kept.
async fn collect(pipe: Option<impl AsyncRead + Unpin>) -> Vec<u8> {
    let mut kept = Vec::new();
    if let Some(mut pipe) = pipe {
        let _ = (&mut pipe).take(MOST_ERRORS).read_to_end(&mut kept).await;
        let _ = tokio::io::copy(&mut pipe, &mut tokio::io::sink()).await;
    }
    kept
}

/// Waits for git's end; an exit code other than 0 is an error.
async fn end(
    program: &Program,
    running: &mut Running,
    errors: JoinHandle<Vec<u8>>,
) -> Result<Finished, StreamError> {
    let status = match timeout(LAST, running.wait()).await {
        Ok(status) => status.map_err(|source| ProcessError::Io { program: program.name(), source }),
        Err(_) => Err(ProcessError::TimedOut { command: program.line(), limit: LAST }),
    }?;
    let stderr = errors.await.unwrap_or_default();
    let finished = Finished { code: status.code(), stdout: Vec::new(), stderr };
    if finished.ok() { Ok(finished) } else { Err(program.failed(&finished).into()) }
}
