//! A command on this machine whose terminal, or whose pipes, are somewhere else.

use std::io;
use std::os::unix::process::ExitStatusExt;
use std::path::PathBuf;
use std::pin::Pin;
use std::process::Stdio;
use std::time::Duration;

use bytes::Bytes;
use rustix::process::{Pid, Signal, kill_process_group, test_kill_process_group};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite};
use tokio::process::Child;
use tokio::runtime::Handle;
use tokio::sync::{mpsc, oneshot, watch};
use tokio::time::{sleep, timeout};

use crate::identity::Identity;
use crate::process::ProcessError;

/// What is said of a program that is missing, before its name, where it would have run.
pub const MISSING: &str = "dwell: there is no program `";

const CHUNK: usize = 32 * 1024;
/// How many pieces of output wait for whoever reads them.
const WAITING: usize = 16;
/// How long a command may take to end once nobody is at its other end.
const FAREWELL: Duration = Duration::from_secs(2);
/// How often it is looked whether all of it has ended then.
const LOOK: Duration = Duration::from_millis(20);
/// How long others that hold its pipes may be silent once it has ended, and how much is still read
/// then: what a pipe may hold.
const AFTERGLOW: Duration = Duration::from_secs(2);
const HELD_MAX: usize = 1 << 20;

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
    /// Who it runs as, where that is somebody else; this takes root.
    pub identity: Option<Identity>,
}

/// A piece of what it wrote.
#[derive(Debug, Clone)]
pub struct Piece {
    /// Whether to standard error; a terminal has one stream for both.
    pub stderr: bool,
    /// The bytes.
    pub bytes: Bytes,
}

/// The command while it runs. Dropping it hangs up its terminal, or tells it to end where it has
/// none, and kills what does not care.
pub struct Running {
    /// Its output; ends when all of it has closed, or soon after the command's end.
    pub output: mpsc::Receiver<Piece>,
    /// Its standard input.
    pub input: Pin<Box<dyn AsyncWrite + Send>>,
    ended: watch::Receiver<Option<i32>>,
    resize: Option<mpsc::UnboundedSender<(u16, u16)>>,
    /// Dropped with this.
    _wanted: oneshot::Sender<()>,
}

impl Running {
    /// Takes new sizes of its terminal, columns and rows; `None` where it has none.
    pub fn sizes(&self) -> Option<mpsc::UnboundedSender<(u16, u16)>> {
        self.resize.clone()
    }

    /// Waits for its end: the exit code, or 128 and the signal that ended it.
    pub async fn ended(&mut self) -> io::Result<i32> {
        let ended = self.ended.wait_for(Option::is_some).await;
        let code = ended.ok().and_then(|code| *code);
        code.ok_or_else(|| io::Error::other("its end is not known"))
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
    let started = match &spec.identity {
        None => begin(command, spec.terminal),
        Some(identity) => begin_as(identity, command, spec.terminal),
    };
    started.map_err(|error| match error.kind() {
        io::ErrorKind::NotFound if spec.directory.is_dir() => {
            ProcessError::Missing { program: program.clone() }
        }
        _ => ProcessError::Io { program: program.clone(), source: error },
    })
}

fn begin(command: tokio::process::Command, terminal: Option<(u16, u16)>) -> io::Result<Running> {
    match terminal {
        Some(size) => on_terminal(command, size),
        None => on_pipes(command),
    }
}

/// Starts it from a thread that is somebody else, to whom its pipes or terminal belong then.
fn begin_as(
    identity: &Identity,
    command: tokio::process::Command,
    terminal: Option<(u16, u16)>,
) -> io::Result<Running> {
    let runtime = Handle::current();
    let begin = || {
        identity.take()?;
        let _entered = runtime.enter();
        begin(command, terminal)
    };
    let panicked = |_| io::Error::other("a thread panicked");
    std::thread::scope(|scope| scope.spawn(begin).join().map_err(panicked))?
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
    let (ended, wanted) = watch_over(child, Signal::HUP);
    let (told, output) = mpsc::channel(WAITING);
    pass(read, false, told, ended.clone());
    let input = Box::pin(input);
    Ok(Running { output, input, ended, resize: Some(resize), _wanted: wanted })
}

fn on_pipes(mut command: tokio::process::Command) -> io::Result<Running> {
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).process_group(0);
    let mut child = command.spawn()?;
    let (stdin, stdout, stderr) = (child.stdin.take(), child.stdout.take(), child.stderr.take());
    let (ended, wanted) = watch_over(child, Signal::TERM);
    let (told, output) = mpsc::channel(WAITING);
    if let Some(stdout) = stdout {
        pass(stdout, false, told.clone(), ended.clone());
    }
    if let Some(stderr) = stderr {
        pass(stderr, true, told, ended.clone());
    }
    let input: Pin<Box<dyn AsyncWrite + Send>> = match stdin {
        Some(stdin) => Box::pin(stdin),
        None => Box::pin(tokio::io::sink()),
    };
    Ok(Running { output, input, ended, resize: None, _wanted: wanted })
}

/// Tells the code that a command ends with; ends its group by this signal, else by force, where
/// that is not awaited any more.
fn watch_over(
    mut child: Child,
    last: Signal,
) -> (watch::Receiver<Option<i32>>, oneshot::Sender<()>) {
    let group = child.id().and_then(|id| i32::try_from(id).ok()).and_then(Pid::from_raw);
    let (told, ended) = watch::channel(None);
    let (wanted, mut unwanted) = oneshot::channel::<()>();
    tokio::spawn(async move {
        tokio::select! {
            status = child.wait() => {
                let code = status.ok().map(|status| {
                    status.code().unwrap_or_else(|| 128 + status.signal().unwrap_or_default())
                });
                told.send_replace(code);
            }
            _ = &mut unwanted => {
                let tell = |signal| group.map(|group| kill_process_group(group, signal));
                // It may have ended in this moment; what is stopped cannot end by itself.
                let _ = (tell(last), tell(Signal::CONT));
                let gone = async {
                    let _ = child.wait().await;
                    while group.is_some_and(|group| test_kill_process_group(group).is_ok()) {
                        sleep(LOOK).await;
                    }
                };
                let _ = timeout(FAREWELL, gone).await;
                let _ = tell(Signal::KILL);
            }
        }
    });
    (ended, wanted)
}

/// Passes what is read on until it ends, or nobody wants it. A terminal's end is an error (EIO) on
/// Linux; pipes may be held open by others than the command.
fn pass(
    mut read: impl AsyncRead + Unpin + Send + 'static,
    stderr: bool,
    told: mpsc::Sender<Piece>,
    mut ended: watch::Receiver<Option<i32>>,
) {
    tokio::spawn(async move {
        let mut buffer = vec![0; CHUNK];
        let mut left = HELD_MAX;
        loop {
            let count = tokio::select! {
                biased;
                () = told.closed() => return,
                count = read.read(&mut buffer) => count.unwrap_or(0),
                () = silence(&mut ended) => return,
            };
            if ended.borrow().is_some() {
                left = left.saturating_sub(count);
            }
            let bytes = Bytes::copy_from_slice(buffer.get(..count).unwrap_or_default());
            let over = count == 0 || left == 0;
            if over || told.send(Piece { stderr, bytes }).await.is_err() {
                return;
            }
        }
    });
}

/// Returns when a command has ended and nothing more has come for a while.
async fn silence(ended: &mut watch::Receiver<Option<i32>>) {
    let _ = ended.wait_for(Option::is_some).await;
    sleep(AFTERGLOW).await;
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
            identity: None,
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
