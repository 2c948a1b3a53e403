//! A command of the user's on this machine whose terminal, or whose pipes, are somewhere else.

use std::io;
use std::path::PathBuf;
use std::pin::Pin;
use std::process::Stdio;
use std::time::Duration;

use bytes::Bytes;
use rustix::process::{Pid, Signal};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite};
use tokio::process::Child;
use tokio::sync::mpsc;

use crate::process::ProcessError;

const CHUNK: usize = 32 * 1024;
/// How many pieces of output wait for whoever reads them.
const WAITING: usize = 16;
/// How long a command may take to end once its terminal is gone.
const FAREWELL: Duration = Duration::from_secs(2);

/// The command.
#[derive(Debug, Clone)]
pub struct Spec {
    /// The program and its arguments.
    pub argv: Vec<String>,
    /// Where it runs.
    pub directory: PathBuf,
    /// All of its environment.
    pub variables: Vec<(String, String)>,
    /// Columns and rows of its terminal; pipes instead of one when absent.
    pub terminal: Option<(u16, u16)>,
}

/// A piece of what it wrote.
#[derive(Debug, Clone)]
pub struct Piece {
    /// Whether to standard error; a terminal has one stream for both.
    pub stderr: bool,
    /// The bytes.
    pub bytes: Bytes,
}

/// The command while it runs. Dropping it hangs it up, and kills what does not care.
pub struct Running {
    /// Its output; ends when all of it has closed.
    pub output: mpsc::Receiver<Piece>,
    /// Its standard input.
    pub input: Pin<Box<dyn AsyncWrite + Send>>,
    end: End,
    resize: Option<mpsc::UnboundedSender<(u16, u16)>>,
}

struct End {
    child: Child,
    group: Option<Pid>,
}

impl Drop for End {
    fn drop(&mut self) {
        let (Some(group), Ok(None)) = (self.group, self.child.try_wait()) else { return };
        // It may have ended in this moment.
        let _ = rustix::process::kill_process_group(group, Signal::HUP);
        if let Ok(runtime) = tokio::runtime::Handle::try_current() {
            runtime.spawn(async move {
                tokio::time::sleep(FAREWELL).await;
                let _ = rustix::process::kill_process_group(group, Signal::KILL);
            });
        }
    }
}

impl Running {
    /// Takes new sizes of its terminal, columns and rows; `None` where it has none.
    pub fn sizes(&self) -> Option<mpsc::UnboundedSender<(u16, u16)>> {
        self.resize.clone()
    }

    /// Waits for its end: the exit code, or 128 and the signal that ended it.
    pub async fn ended(&mut self) -> io::Result<i32> {
        use std::os::unix::process::ExitStatusExt;
        let status = self.end.child.wait().await?;
        Ok(status.code().unwrap_or_else(|| 128 + status.signal().unwrap_or_default()))
    }
}

/// Starts a command.
///
/// # Errors
/// When the program is missing or the system refuses.
pub fn start(spec: &Spec) -> Result<Running, ProcessError> {
    let Some((program, arguments)) = spec.argv.split_first() else {
        let source = io::Error::new(io::ErrorKind::InvalidInput, "there is no command");
        return Err(ProcessError::Io { program: String::new(), source });
    };
    let mut command = tokio::process::Command::new(program);
    command.args(arguments).current_dir(&spec.directory).env_clear();
    command.envs(spec.variables.iter().map(|(name, value)| (name, value)));
    let failed = |error: io::Error| match error.kind() {
        io::ErrorKind::NotFound if spec.directory.is_dir() => {
            ProcessError::Missing { program: program.clone() }
        }
        _ => ProcessError::Io { program: program.clone(), source: error },
    };
    match spec.terminal {
        Some(size) => on_terminal(command, size).map_err(failed),
        None => on_pipes(command).map_err(failed),
    }
}

fn on_terminal(
    command: tokio::process::Command,
    (columns, rows): (u16, u16),
) -> io::Result<Running> {
    let other = |error: pty_process::Error| match error {
        pty_process::Error::Io(error) => error,
        other => io::Error::other(other),
    };
    let (pty, pts) = pty_process::open().map_err(other)?;
    pty.resize(pty_process::Size::new(rows, columns)).map_err(other)?;
    let child = pty_process::Command::from(command).spawn(pts).map_err(other)?;
    let (read, write) = pty.into_split();
    let (input, mut typed) = tokio::io::duplex(CHUNK);
    let (resize, mut sizes) = mpsc::unbounded_channel::<(u16, u16)>();
    tokio::spawn(async move {
        let mut write = write;
        let mut buffer = vec![0; CHUNK];
        loop {
            tokio::select! {
                count = typed.read(&mut buffer) => {
                    let count = count.unwrap_or(0);
                    let piece = buffer.get(..count).unwrap_or_default();
                    let written = tokio::io::AsyncWriteExt::write_all(&mut write, piece).await;
                    if count == 0 || written.is_err() {
                        return;
                    }
                }
                Some((columns, rows)) = sizes.recv() => {
                    // A terminal that is gone has no size.
                    let _ = write.resize(pty_process::Size::new(rows, columns));
                }
            }
        }
    });
    let (told, output) = mpsc::channel(WAITING);
    pass(read, false, told);
    Ok(Running { output, input: Box::pin(input), end: end(child), resize: Some(resize) })
}

fn on_pipes(mut command: tokio::process::Command) -> io::Result<Running> {
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).process_group(0);
    let mut child = command.spawn()?;
    let (told, output) = mpsc::channel(WAITING);
    if let Some(stdout) = child.stdout.take() {
        pass(stdout, false, told.clone());
    }
    if let Some(stderr) = child.stderr.take() {
        pass(stderr, true, told);
    }
    let input: Pin<Box<dyn AsyncWrite + Send>> = match child.stdin.take() {
        Some(stdin) => Box::pin(stdin),
        None => Box::pin(tokio::io::sink()),
    };
    Ok(Running { output, input, end: end(child), resize: None })
}

fn end(child: Child) -> End {
    let pid = child.id().and_then(|id| i32::try_from(id).ok()).and_then(Pid::from_raw);
    End { child, group: pid }
}

/// Passes what is read on until it ends. A terminal's end is an error (EIO) on Linux.
fn pass(
    mut read: impl AsyncRead + Unpin + Send + 'static,
    stderr: bool,
    told: mpsc::Sender<Piece>,
) {
    tokio::spawn(async move {
        let mut buffer = vec![0; CHUNK];
        while let Ok(count @ 1..) = read.read(&mut buffer).await {
            let bytes = Bytes::copy_from_slice(buffer.get(..count).unwrap_or_default());
            if told.send(Piece { stderr, bytes }).await.is_err() {
                return;
            }
        }
    });
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::io::AsyncWriteExt;

    fn spec(script: &str, terminal: Option<(u16, u16)>) -> Spec {
        Spec {
            argv: ["sh", "-c", script].map(str::to_owned).to_vec(),
            directory: std::env::temp_dir(),
            variables: vec![("PATH".to_owned(), "/usr/bin:/bin".to_owned())],
            terminal,
        }
    }

    async fn all(running: &mut Running) -> (String, String) {
        let (mut out, mut err) = (Vec::new(), Vec::new());
        while let Some(piece) = running.output.recv().await {
            if piece.stderr { &mut err } else { &mut out }.extend_from_slice(&piece.bytes);
        }
        (String::from_utf8(out).unwrap(), String::from_utf8(err).unwrap())
    }

    #[tokio::test]
    async fn pipes_keep_output_and_errors_apart() {
        let mut running =
            start(&spec("read line; echo got $line; echo bad >&2; exit 3", None)).unwrap();
        running.input.write_all(b"it\n").await.unwrap();
        assert_eq!(all(&mut running).await, ("got it\n".to_owned(), "bad\n".to_owned()));
        assert_eq!(running.ended().await.unwrap(), 3);
    }

    #[tokio::test]
    async fn a_terminal_has_a_size_and_is_one() {
        let mut running = start(&spec("test -t 0 && stty size", Some((91, 17)))).unwrap();
        assert_eq!(all(&mut running).await.0, "17 91\r\n");
        assert_eq!(running.ended().await.unwrap(), 0);
    }

    #[tokio::test]
    async fn what_is_dropped_is_hung_up() {
        let mut running = start(&spec("echo $$; exec sleep 1000", Some((80, 24)))).unwrap();
        let piece = running.output.recv().await.unwrap();
        let pid: i32 = String::from_utf8_lossy(&piece.bytes).trim().parse().unwrap();
        drop(running);
        let gone = async {
            while rustix::process::test_kill_process(Pid::from_raw(pid).unwrap()).is_ok() {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        };
        tokio::time::timeout(Duration::from_secs(5), gone).await.unwrap();
    }

    #[tokio::test]
    async fn a_missing_program_is_named() {
        let missing = Spec { argv: vec!["dwell-no-such".to_owned()], ..spec("", None) };
        assert!(
            matches!(start(&missing), Err(ProcessError::Missing { program }) if program == "dwell-no-such")
        );
    }
}
