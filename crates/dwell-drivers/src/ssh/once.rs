//! Connections for one script each, in the background.

use std::fs::File;
use std::path::Path;
use std::process::Stdio;
use std::time::{Duration, Instant};

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWriteExt};
use tokio::process::{ChildStderr, ChildStdout};

use super::tail::Tail;
use super::{Destination, SshError, Why};
use crate::process::Running;

/// The most that a script may answer, in bytes.
const ANSWER_MAX: u64 = 4 * 1024 * 1024;

/// How often an upload is looked at.
const LOOK: Duration = Duration::from_millis(250);

/// How long an upload may stand still.
const STALL: Duration = Duration::from_secs(60);

/// How long any upload may take.
const UPLOAD_LIMIT: Duration = Duration::from_secs(3600);

/// What a script on the far side left.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answer {
    /// Its standard output.
    pub stdout: Vec<u8>,
    /// The newest 8 KiB of what it wrote to standard error.
    pub stderr: String,
}

impl Answer {
    /// Standard output as text.
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.stdout).into_owned()
    }
}

/// Runs a POSIX shell script on the far side, with `input` as its standard input.
///
/// # Errors
/// When the connection fails, the script ends with another exit code than 0, answers more than
/// 4 MiB, or does not end within `limit`.
pub async fn run(
    destination: &Destination,
    script: &str,
    input: &[u8],
    limit: Duration,
) -> Result<Answer, SshError> {
    let failed = |why| SshError { destination: destination.to_string(), why };
    let started = destination.program(&[], script).spawn_with(Stdio::piped());
    let mut running = started.map_err(|error| failed(error.into()))?;
    let pipe = running.input();
    let feed = async move {
        if let Some(mut pipe) = pipe {
            // A script may end before it has read everything; its exit code tells.
            let _ = pipe.write_all(input).await;
        }
    };
    let both = async { tokio::join!(answer(&mut running), feed).0 };
    match tokio::time::timeout(limit, both).await {
        Ok(answered) => answered.map_err(failed),
        Err(_) => Err(failed(Why::TimedOut { limit })),
    }
}

/// Runs a POSIX shell script on the far side with a local file as its standard input, compressed
/// on the way. `progress` is told how many bytes have been taken, now and then.
///
/// # Errors
/// As [`run`]; also when the file cannot be read, or nothing of it moves for a minute.
pub async fn upload(
    destination: &Destination,
    file: &Path,
    script: &str,
    mut progress: impl FnMut(u64),
) -> Result<Answer, SshError> {
    let failed = |why| SshError { destination: destination.to_string(), why };
    let file = File::open(file).map_err(|error| failed(error.into()))?;
    // ssh reads through a copy of the descriptor, and the two share their position.
    let position = file.try_clone().map_err(|error| failed(error.into()))?;
    let program = destination.program(&["Compression=yes"], script);
    let mut running = program.spawn_with(file.into()).map_err(|error| failed(error.into()))?;
    let begun = Instant::now();
    let watch = async {
        let (mut last, mut moved) = (0, Instant::now());
        loop {
            tokio::time::sleep(LOOK).await;
            let now = rustix::fs::tell(&position).unwrap_or(last);
            if now != last {
                (last, moved) = (now, Instant::now());
                progress(now);
            }
            if moved.elapsed() > STALL {
                return STALL;
            }
            if begun.elapsed() > UPLOAD_LIMIT {
                return UPLOAD_LIMIT;
            }
        }
    };
    tokio::select! {
        answered = answer(&mut running) => answered.map_err(failed),
        limit = watch => Err(failed(Why::TimedOut { limit })),
    }
}

/// Waits for the end of ssh and judges it.
async fn answer(running: &mut Running) -> Result<Answer, Why> {
    let (stdout, stderr): (Option<ChildStdout>, Option<ChildStderr>) = running.pipes();
    let mut stderr = Tail::of(stderr);
    let stdout = read(stdout).await?;
    let status = running.wait().await?;
    let stderr = stderr.rest().await;
    match status.code() {
        Some(0) => Ok(Answer { stdout, stderr }),
        code => Err(Why::read(code, &stderr)),
    }
}

async fn read(pipe: Option<impl AsyncRead + Unpin>) -> Result<Vec<u8>, Why> {
    let mut bytes = Vec::new();
    if let Some(pipe) = pipe {
        pipe.take(ANSWER_MAX + 1).read_to_end(&mut bytes).await?;
    }
    match bytes.len() as u64 > ANSWER_MAX {
        true => Err(Why::Unexpected { reason: format!("more than {ANSWER_MAX} bytes") }),
        false => Ok(bytes),
    }
}
