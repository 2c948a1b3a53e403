//! Sources without git: the system's rsync moves their files. The side with the user's directory
//! runs it as a client, through a remote shell of the caller's that reaches the other node; there
//! the same program runs as a server, in exactly one directory and with nothing but the options
//! that this module asks for.

use std::ffi::{OsStr, OsString};
use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::time::timeout;

use super::error::TravelError;
use crate::process::{Finished, ProcessError, Program};

/// How long a transfer may take in all; one that stands still ends much earlier.
const LIMIT: Duration = Duration::from_secs(6 * 3600);
/// How long nothing may move, s.
const STILL: &str = "--timeout=120";
/// How long the server may go on after its stream ended.
const LAST: Duration = Duration::from_secs(120);

/// Variables that would change what rsync does.
const STEERING: [&str; 8] = [
    "RSYNC_CHECKSUM_LIST",
    "RSYNC_COMPRESS_LIST",
    "RSYNC_ICONV",
    "RSYNC_OLD_ARGS",
    "RSYNC_PARTIAL_DIR",
    "RSYNC_PROTECT_ARGS",
    "RSYNC_RSH",
    "RSYNC_SHELL",
];

/// What is kept of a file: links as links, permissions and times.
const KEEP: [&str; 3] = ["--links", "--perms", "--times"];
const LISTED: [&str; 3] = ["--files-from=-", "--from0", "--relative"];

/// Which way files go.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Direction {
    /// Into the served directory.
    In,
    /// Out of it.
    Out,
}

/// The command that reaches the other node. It is run with a host's name, `rsync` and the
/// server's arguments after its own, and has to end when the server's output does.
#[derive(Debug, Clone)]
pub struct RemoteShell(Vec<OsString>);

impl RemoteShell {
    /// A program and its arguments.
    pub fn new<S: AsRef<OsStr>>(words: impl IntoIterator<Item = S>) -> Self {
        Self(words.into_iter().map(|word| word.as_ref().to_owned()).collect())
    }

    /// The command as rsync takes it, which splits it at blanks outside quotes.
    fn text(&self) -> OsString {
        let mut text = OsString::new();
        for word in &self.0 {
            if !text.is_empty() {
                text.push(" ");
            }
            text.push(quoted(word));
        }
        text
    }
}

fn quoted(word: &OsStr) -> OsString {
    use std::os::unix::ffi::{OsStrExt, OsStringExt};
    let mut bytes = vec![b'\''];
    for byte in word.as_bytes() {
        bytes.push(*byte);
        if *byte == b'\'' {
            bytes.push(b'\'');
        }
    }
    bytes.push(b'\'');
    OsString::from_vec(bytes)
}

/// Sends the listed files of a directory (relative paths, each with a NUL at its end) to the
/// directory that the other node serves.
///
/// # Errors
/// When rsync is missing, or fails on one of the sides.
pub async fn push(source: &Path, list: &[u8], shell: &RemoteShell) -> Result<(), TravelError> {
    run(source, list, shell, [".", "node:."]).await
}

/// Gets the listed files of the directory that the other node serves.
///
/// # Errors
/// When rsync is missing, or fails on one of the sides.
pub async fn fetch(target: &Path, list: &[u8], shell: &RemoteShell) -> Result<(), TravelError> {
    run(target, list, shell, ["node:.", "."]).await
}

async fn run(
    directory: &Path,
    list: &[u8],
    shell: &RemoteShell,
    ends: [&str; 2],
) -> Result<(), TravelError> {
    if list.is_empty() {
        return Ok(());
    }
    let program = rsync()
        .directory(directory)
        .args(KEEP)
        .args(LISTED)
        .args([STILL, "--no-motd", "--rsync-path=rsync", "-e"])
        .arg(shell.text())
        .arg("--")
        .args(ends)
        .input(list);
    let finished = program.finish().await?;
    if finished.ok() { Ok(()) } else { Err(explain(&program, &finished, directory)) }
}

fn rsync() -> Program {
    let mut program = Program::new("rsync").limit(LIMIT).env("LC_ALL", "C");
    for name in STEERING {
        program = program.without_env(name);
    }
    program
}

/// What an exit code of rsync means.
fn explain(program: &Program, finished: &Finished, directory: &Path) -> TravelError {
    let text = finished.error_text();
    let cut = || TravelError::Cut(std::io::Error::other(text.clone()));
    match finished.code {
        _ if text.contains("No space left on device") || text.contains("Disk quota exceeded") => {
            TravelError::Full { path: directory.to_owned() }
        }
        Some(10 | 12 | 30 | 35 | 255) => cut(),
        Some(24) => TravelError::Changed { path: directory.to_owned() },
        _ => program.failed(finished).into(),
    }
}

/// Runs the server's end in `root`, with its input and output on a stream.
///
/// # Errors
/// [`TravelError::Wire`] when the arguments ask for anything but a transfer of this module's in
/// this direction; otherwise when rsync or the stream fails.
pub async fn serve<R, W>(
    arguments: &[String],
    direction: Direction,
    root: &Path,
    from: &mut R,
    to: &mut W,
) -> Result<(), TravelError>
where
    R: AsyncRead + Unpin + Send,
    W: AsyncWrite + Unpin + Send,
{
    check(arguments, direction)?;
    let program = rsync().directory(root).args(arguments);
    let mut running = program.spawn_with(Stdio::piped())?;
    let input = running.input();
    let (output, errors) = running.pipes();
    let errors = tokio::spawn(async move {
        let mut text = Vec::new();
        if let Some(errors) = errors {
            let _ = errors.take(64 * 1024).read_to_end(&mut text).await;
        }
        text
    });
    let pass_in = async {
        if let Some(mut input) = input {
            let _ = tokio::io::copy(from, &mut input).await;
            let _ = input.shutdown().await;
        }
    };
    let pass_out = async {
        if let Some(mut output) = output {
            tokio::io::copy(&mut output, to).await?;
        }
        to.flush().await
    };
    // The server says by the end of its output that it is done, whatever still comes in.
    tokio::select! {
        done = pass_out => done.map_err(TravelError::Cut)?,
        () = async { pass_in.await; std::future::pending().await } => {}
    }
    let failed = |source| ProcessError::Io { program: "rsync".into(), source };
    let status = match timeout(LAST, running.wait()).await {
        Ok(status) => status.map_err(failed)?,
        Err(_) => {
            let command = program.line();
            return Err(ProcessError::TimedOut { command, limit: LAST }.into());
        }
    };
    let stderr = errors.await.unwrap_or_default();
    let finished = Finished { code: status.code(), stdout: Vec::new(), stderr };
    if finished.ok() { Ok(()) } else { Err(explain(&program, &finished, root)) }
}

/// Allows only what [`push`] and [`fetch`] make a client ask for: a single transfer of listed
/// files, without deletion, in the directory where the server runs. Pure.
fn check(arguments: &[String], direction: Direction) -> Result<(), TravelError> {
    let refuse = |what: &str| {
        let shown: String = what.chars().take(80).flat_map(char::escape_debug).collect();
        Err(TravelError::Wire { why: format!("`{shown}` is no part of a transfer of files") })
    };
    let mut arguments = arguments.iter().map(String::as_str);
    if arguments.next() != Some("--server") {
        return refuse("a call that is not of a server");
    }
    let mut rest: Vec<&str> = arguments.collect();
    if rest.pop() != Some(".") || rest.pop() != Some(".") {
        return refuse("another directory");
    }
    let mut sender = false;
    for argument in rest {
        match argument {
            "--sender" => sender = true,
            "--dirs" | "--relative" | "--from0" | "--files-from=-" | STILL => {}
            "--no-r" | "--no-implied-dirs" => {}
            flags if is_plain_flags(flags) => {}
            other => return refuse(other),
        }
    }
    if sender == (direction == Direction::Out) {
        Ok(())
    } else {
        refuse("a transfer in the other direction")
    }
}

/// Single letters for what is kept, then what the client's program can do.
fn is_plain_flags(argument: &str) -> bool {
    let Some(flags) = argument.strip_prefix('-') else { return false };
    let (flags, abilities) = flags.split_once("e.").unwrap_or((flags, ""));
    flags.chars().all(|flag| "lptRd".contains(flag))
        && abilities.chars().all(|ability| ability.is_ascii_alphanumeric())
        && !argument.starts_with("--")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn checked(text: &str, direction: Direction) -> bool {
        let arguments: Vec<String> = text.split(' ').map(str::to_owned).collect();
        check(&arguments, direction).is_ok()
    }

    #[test]
    fn only_the_transfer_that_is_meant_is_served() {
        let push = "--server -lptRe.iLsfxCIvu --timeout=120 . .";
        let fetch = "--server --sender -lptRe.iLsfxCIvu --timeout=120 --files-from=- --from0 . .";
        assert!(checked(push, Direction::In) && !checked(push, Direction::Out));
        assert!(checked(fetch, Direction::Out) && !checked(fetch, Direction::In));
        for bad in [
            "",
            "--daemon",
            "--server . /etc",
            "--server -lpt . ..",
            "--server -lpt . . .x",
            "--server -s . .",
            "--server -lptr . .",
            "--server -lptD . .",
            "--server -lptK . .",
            "--server -logDtpre.iLsfxCIvu . .",
            "--server --delete -lpt . .",
            "--server -lpt --delete-before . .",
            "--server -lpt --files-from=/etc/passwd . .",
            "--server -lpt --log-file=/tmp/x . .",
            "--server -lpt --temp-dir=/tmp . .",
            "--server -lpt --remove-source-files . .",
            "--server -lpt --config=/x . .",
            "--server -lpt -e.x;id . .",
            "--server -lpt / . .",
        ] {
            for direction in [Direction::In, Direction::Out] {
                assert!(!checked(bad, direction), "{bad}");
            }
        }
    }

    #[test]
    fn a_remote_shell_is_quoted() {
        let shell = RemoteShell::new(["/a b/dwell", "it's", "-x"]);
        assert_eq!(shell.text(), "'/a b/dwell' 'it''s' '-x'");
    }
}
