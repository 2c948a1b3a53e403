//! Connections in the user's terminal, where ssh and the far side may ask.

use std::process::Stdio;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::process::{Child, Command};

use super::{Destination, SshError, Why, script};

/// Settings where somebody sees what ssh asks. An unknown host key is asked about, whatever the
/// user's configuration says.
const SETTINGS: [&str; 8] = [
    "StrictHostKeyChecking=ask",
    "ConnectTimeout=10",
    "ClearAllForwardings=yes",
    "ForwardAgent=no",
    "PermitLocalCommand=no",
    "RemoteCommand=none",
    "ControlMaster=no",
    "LogLevel=INFO",
];

/// Logs in once, so that ssh itself asks about an unknown host key, a passphrase or a password.
/// What ssh writes is shown as it comes.
///
/// # Errors
/// When the login fails. There is no time limit while ssh waits for an answer.
pub async fn interactive_check(destination: &Destination) -> Result<(), SshError> {
    let mut command = command(destination, "-T", "exit 0");
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped());
    let mut child = start(destination, &mut command)?;
    let mut said = Vec::new();
    if let Some(mut stderr) = child.stderr.take() {
        let mut buffer = [0; 1024];
        while let Ok(count @ 1..) = stderr.read(&mut buffer).await {
            let part = buffer.get(..count).unwrap_or_default();
            said.extend_from_slice(part);
            // Where nobody sees it, the error still tells.
            let _ = tokio::io::stderr().write_all(part).await;
        }
    }
    finish(destination, child, &String::from_utf8_lossy(&said)).await
}

/// Runs a POSIX shell script on the far side with this process's terminal as its own.
///
/// # Errors
/// When the login or the script fails. There is no time limit.
pub async fn in_terminal(destination: &Destination, text: &str) -> Result<(), SshError> {
    let child = start(destination, &mut command(destination, "-t", &script::command(text)))?;
    finish(destination, child, "").await
}

/// ssh in the terminal's foreground group, or it could not ask.
fn command(destination: &Destination, terminal: &str, remote: &str) -> Command {
    let mut command = Command::new(&destination.program);
    command.args([terminal, "-a", "-x"]);
    command.args(SETTINGS.iter().flat_map(|setting| ["-o", setting]));
    command.args(destination.address()).arg(remote).kill_on_drop(true);
    command
}

fn start(destination: &Destination, command: &mut Command) -> Result<Child, SshError> {
    command.spawn().map_err(|error| {
        let missing = error.kind() == std::io::ErrorKind::NotFound;
        failed(destination, if missing { Why::Missing } else { error.into() })
    })
}

async fn finish(destination: &Destination, mut child: Child, stderr: &str) -> Result<(), SshError> {
    match child.wait().await {
        Err(error) => Err(failed(destination, error.into())),
        Ok(status) if status.success() => Ok(()),
        Ok(status) => Err(failed(destination, Why::read(status.code(), stderr))),
    }
}

fn failed(destination: &Destination, why: Why) -> SshError {
    SshError { destination: destination.to_string(), why }
}
