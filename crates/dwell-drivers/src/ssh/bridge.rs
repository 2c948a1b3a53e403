//! A connection that stays: a command on the far side whose standard streams are a byte stream.

use std::process::Stdio;
use std::time::Duration;

use tokio::io::AsyncReadExt;
use tokio::process::{ChildStdin, ChildStdout};

use super::tail::Tail;
use super::{Destination, SshError, Why};
use crate::process::Running;

/// Settings of a bridge's own. A connection that the user's own ssh holds open (`ControlPath`) is
/// not used: whether it still works is decided there, by nobody for hours.
const SETTINGS: [&str; 1] = ["ControlPath=none"];

/// The most that a noisy login shell may write before the far side's mark, in bytes.
const NOISE_MAX: usize = 64 * 1024;

/// How long ssh may take to end when its output has ended.
const END_LIMIT: Duration = Duration::from_secs(5);

/// A byte stream to a command on the far side. Dropping `link` ends it.
#[derive(Debug)]
pub struct Bridge {
    /// What the far side writes.
    pub reader: ChildStdout,
    /// What goes to the far side. Dropping it is the end of its input.
    pub writer: ChildStdin,
    /// The ssh process.
    pub link: Link,
}

/// The ssh process of a bridge; it is killed with its children when this is dropped.
#[derive(Debug)]
pub struct Link {
    destination: String,
    running: Running,
    stderr: Tail,
}

/// Starts ssh with a POSIX shell script as the command on the far side. That it was started says
/// nothing about the connection; [`Bridge::ready`] does.
///
/// # Errors
/// When ssh cannot be started here.
pub fn bridge(destination: &Destination, script: &str) -> Result<Bridge, SshError> {
    let failed = |why| SshError { destination: destination.to_string(), why };
    let mut running = destination
        .program(&SETTINGS, script)
        .spawn_with(Stdio::piped())
        .map_err(|error| failed(error.into()))?;
    let (stdout, stderr) = running.pipes();
    let stderr = Tail::of(stderr);
    let (Some(reader), Some(writer)) = (stdout, running.input()) else {
        return Err(failed(std::io::Error::from(std::io::ErrorKind::BrokenPipe).into()));
    };
    let link = Link { destination: destination.to_string(), running, stderr };
    Ok(Bridge { reader, writer, link })
}

impl Bridge {
    /// Waits until the far side has written `mark`, its first bytes. What a login shell wrote
    /// before is dropped; what comes after is left to be read.
    ///
    /// # Errors
    /// When the connection fails, the mark does not come within `limit`, or too much else does.
    pub async fn ready(&mut self, mark: &[u8], limit: Duration) -> Result<(), SshError> {
        match tokio::time::timeout(limit, self.skip_to(mark)).await {
            Ok(Ok(true)) => Ok(()),
            Ok(Ok(false)) => Err(self.link.ended().await),
            Ok(Err(why)) => Err(self.link.error(why)),
            Err(_) => Err(self.link.error(Why::TimedOut { limit })),
        }
    }

    /// Reads up to the mark, byte by byte so that nothing after it is taken; `false` when the
    /// stream ends before.
    async fn skip_to(&mut self, mark: &[u8]) -> Result<bool, Why> {
        let mut seen = Vec::new();
        let mut byte = [0];
        while !seen.ends_with(mark) {
            if seen.len() > NOISE_MAX {
                let start = String::from_utf8_lossy(&seen).chars().take(200).collect();
                return Err(Why::Unexpected { reason: start });
            }
            if self.reader.read(&mut byte).await? == 0 {
                return Ok(false);
            }
            seen.extend(byte);
        }
        Ok(true)
    }
}

impl Link {
    /// Waits until ssh has ended, and explains why. An ssh that goes on although its output has
    /// ended is not waited for longer than a few seconds.
    pub async fn ended(&mut self) -> SshError {
        let code = match tokio::time::timeout(END_LIMIT, self.running.wait()).await {
            Ok(Ok(status)) => status.code(),
            Ok(Err(error)) => return self.error(error.into()),
            Err(_) => return self.error(Why::Ended { reason: "its output ended".into() }),
        };
        let stderr = self.stderr.rest().await;
        let why = match code {
            Some(0) => Why::Ended { reason: "the far side's part ended".into() },
            code => Why::read(code, &stderr),
        };
        self.error(why)
    }

    /// What ssh and the far side wrote to standard error so far, the newest 8 KiB.
    pub fn stderr(&self) -> String {
        self.stderr.text()
    }

    fn error(&self, why: Why) -> SshError {
        SshError { destination: self.destination.clone(), why }
    }
}
