//! tmux, which holds the terminals of sessions: a server of dwell's own on its own socket, with
//! its own configuration. It belongs to nobody's process group and outlives the daemon, the CLI
//! and every terminal.

mod config;
mod inside;
mod name;
mod words;

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

pub use config::inside as configuration_inside;
pub use inside::{Inside, Run};
pub use name::{Key, TmuxName};

use crate::docker::EngineError;
use crate::process::{Finished, ProcessError, Program};

/// The oldest tmux that has every option and format in use.
const OLDEST: (u32, u32) = (3, 2);

/// How long any tmux command may take; they are all a matter of milliseconds.
const LIMIT: Duration = Duration::from_secs(10);

/// How long a pasted text may take to be read before Enter is pressed. Agents tell a paste from
/// typing by time, and one that sees both at once takes Enter as part of the text.
const BEFORE_ENTER: Duration = Duration::from_millis(150);

/// The longest path of a unix socket that every system takes, in bytes.
const SOCKET_MAX: usize = 103;

/// Why tmux did not do what was asked for.
#[derive(Debug, thiserror::Error)]
pub enum TmuxError {
    /// tmux is not installed.
    #[error("tmux is not installed or not on PATH; sessions need tmux 3.2 or newer")]
    Missing,
    /// tmux is not installed in a container.
    #[error("there is no tmux in the container `{container}`")]
    MissingInside {
        /// The container.
        container: String,
    },
    /// The container in which it runs could not be reached.
    #[error(transparent)]
    Engine(#[from] EngineError),
    /// tmux is too old.
    #[error("tmux is version {found}; sessions need 3.2 or newer")]
    TooOld {
        /// What `tmux -V` says.
        found: String,
    },
    /// The path of the socket does not fit into a socket address.
    #[error("the path of the tmux socket `{}` is longer than {SOCKET_MAX} bytes", path.display())]
    SocketPath {
        /// The path.
        path: PathBuf,
    },
    /// No session of that name is there.
    #[error("tmux has no session `{name}`")]
    NoSession {
        /// The session.
        name: String,
    },
    /// A session of that name is there already.
    #[error("tmux has a session `{name}` already")]
    Duplicate {
        /// The session.
        name: String,
    },
    /// Text that is not a session's name.
    #[error("`{name}` is not a name for a tmux session: a-z, 0-9 and `-` are, not `-` first")]
    Name {
        /// The text.
        name: String,
    },
    /// Text that is not a key's name.
    #[error("`{key}` is not a key: `Enter`, `Escape`, `Up`, `C-c` and `q` are")]
    Key {
        /// The text.
        key: String,
    },
    /// Text for a session with a character that is a command to a terminal rather than text.
    #[error("the text contains the control character {character}, which is a key, not text")]
    Control {
        /// The first such character, escaped.
        character: String,
    },
    /// A file of tmux's could not be written.
    #[error("`{}` could not be written: {source}", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// tmux failed otherwise.
    #[error(transparent)]
    Process(ProcessError),
}

impl From<ProcessError> for TmuxError {
    fn from(error: ProcessError) -> Self {
        match error {
            ProcessError::Missing { .. } => Self::Missing,
            other => Self::Process(other),
        }
    }
}

/// A session as tmux sees it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TmuxSession {
    /// Its name; sessions that people made on the server themselves may have any.
    pub name: String,
    /// When it was made, in seconds since 1970.
    pub created: i64,
    /// How many terminals show it.
    pub attached: u32,
    /// The process in its first pane.
    pub pid: i32,
    /// Whether that process has ended.
    pub dead: bool,
    /// How many windows it has.
    pub windows: u32,
}

/// The size of a terminal in characters.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Size {
    /// Width.
    pub columns: u16,
    /// Height.
    pub rows: u16,
}

impl Default for Size {
    fn default() -> Self {
        Self { columns: 120, rows: 40 }
    }
}

/// dwell's tmux server, running or not: on this machine, or in a container.
#[derive(Debug)]
pub struct Tmux {
    socket: PathBuf,
    include: Option<PathBuf>,
    inside: Option<Inside>,
    checked: OnceLock<()>,
}

impl Tmux {
    /// The server on this socket. Its configuration is written beside the socket.
    pub fn new(socket: impl Into<PathBuf>) -> Self {
        Self { socket: socket.into(), include: None, inside: None, checked: OnceLock::new() }
    }

    /// The server in a container, where both it and its clients run: this socket is there, and so
    /// is the configuration beside it. A client of ours would do what a hostile server tells it.
    pub fn inside(inside: Inside, socket: impl Into<PathBuf>) -> Self {
        Self { inside: Some(inside), ..Self::new(socket) }
    }

    /// Has the server read this file of the user's, if it exists, when it starts.
    #[must_use]
    pub fn with_include(mut self, path: impl Into<PathBuf>) -> Self {
        self.include = Some(path.into());
        self
    }

    /// The server's socket.
    pub fn socket(&self) -> &Path {
        &self.socket
    }

    fn config(&self) -> PathBuf {
        match &self.inside {
            Some(inside) => inside.config.clone(),
            None => self.socket.with_extension("conf"),
        }
    }

    async fn finish(&self, program: &Program) -> Result<Finished, TmuxError> {
        match &self.inside {
            Some(inside) => inside.finish(program).await,
            None => Ok(program.finish().await?),
        }
    }

    fn program<S: AsRef<std::ffi::OsStr>>(
        &self,
        arguments: impl IntoIterator<Item = S>,
    ) -> Program {
        Program::new("tmux")
            .args(["-u", "-S"])
            .arg(&self.socket)
            .arg("-f")
            .arg(self.config())
            .args(arguments)
            .without_env("TMUX")
            .without_env("TMUX_PANE")
            .without_env(crate::process::owner::VARIABLE)
            .limit(LIMIT)
    }

    /// Makes sure that tmux is there and new enough; gives what `tmux -V` says.
    pub async fn check(&self) -> Result<String, TmuxError> {
        let found = Program::new("tmux").arg("-V").limit(LIMIT).run().await?.text();
        if words::version(&found).is_some_and(|version| version < OLDEST) {
            return Err(TmuxError::TooOld { found });
        }
        let _ = self.checked.set(());
        Ok(found)
    }

    async fn prepare(&self) -> Result<(), TmuxError> {
        if self.inside.is_some() {
            return Ok(());
        }
        if self.socket.as_os_str().len() > SOCKET_MAX {
            return Err(TmuxError::SocketPath { path: self.socket.clone() });
        }
        if self.checked.get().is_none() {
            self.check().await?;
        }
        let path = self.config();
        let text = config::text(self.include.as_deref());
        if std::fs::read_to_string(&path).is_ok_and(|old| old == text) {
            return Ok(());
        }
        crate::session::files::write_atomically(&path, text.as_bytes())
            .map_err(|source| TmuxError::File { path, source })
    }

    /// Makes a session that runs `argv` (a program with at least one argument) in `directory`,
    /// and the server if it is not running. The variables are those of the server, made of
    /// `variables` and nothing else when this call starts it. A server in a workspace tells the
    /// session's windows in `files`.
    pub async fn new_session(
        &self,
        name: &TmuxName,
        directory: &Path,
        argv: &[OsString],
        size: Size,
        files: Option<&Path>,
    ) -> Result<(), TmuxError> {
        self.prepare().await?;
        let mut program = self
            .program(["new-session", "-d", "-s", name.as_str()])
            .args(["-x", &size.columns.to_string(), "-y", &size.rows.to_string(), "-c"])
            .arg(words::start_directory(directory))
            .arg("--")
            .args(argv.iter().map(|a| words::argument(a)));
        if let Some(files) = files {
            let option = [";", "set-option", "-t", &name.pane(), config::FILES];
            program = program.args(option).arg(words::argument(files.as_os_str()));
        }
        self.judge(&words::with_plain_environment(program), name).await.map(drop)
    }

    /// Every session on the server; none when the server is not running.
    pub async fn list(&self) -> Result<Vec<TmuxSession>, TmuxError> {
        let format = "#{pane_id} #{session_created} #{session_attached} #{pane_pid} #{pane_dead} \
                      #{session_windows} #{session_name}";
        let program = self.program(["list-panes", "-a", "-F", format]);
        let finished = self.finish(&program).await?;
        if !finished.ok() {
            return match words::absent(&finished) {
                true => Ok(Vec::new()),
                false => Err(program.failed(&finished).into()),
            };
        }
        Ok(words::sessions(&finished.text()))
    }

    /// Whether the session is there.
    pub async fn has(&self, name: &TmuxName) -> Result<bool, TmuxError> {
        match self.on(name, ["has-session", "-t", &name.session()]).await {
            Ok(_) => Ok(true),
            Err(TmuxError::NoSession { .. }) => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// Ends the session: its terminal goes away, which its processes learn by a hang-up. No error
    /// when it is gone already.
    pub async fn kill(&self, name: &TmuxName) -> Result<(), TmuxError> {
        match self.on(name, ["kill-session", "-t", &name.session()]).await {
            Err(TmuxError::NoSession { .. }) => Ok(()),
            other => other.map(drop),
        }
    }

    /// Ends the server with every session. No error when it is not running.
    pub async fn kill_server(&self) -> Result<(), TmuxError> {
        let program = self.program(["kill-server"]);
        let finished = self.finish(&program).await?;
        match finished.ok() || words::absent(&finished) {
            true => Ok(()),
            false => Err(program.failed(&finished).into()),
        }
    }

    /// Types a text into the session as a paste (bracketed where the program asked for that), of
    /// any length, over several lines or not, whatever the pane shows; then presses Enter if
    /// `enter`. Control characters other than tab and line ends are refused: they would be
    /// commands to the program.
    pub async fn send_text(
        &self,
        name: &TmuxName,
        text: &str,
        enter: bool,
    ) -> Result<(), TmuxError> {
        let special = |c: &char| c.is_control() && !matches!(c, '\n' | '\r' | '\t');
        if let Some(control) = text.chars().find(special) {
            return Err(TmuxError::Control { character: control.escape_default().to_string() });
        }
        if !text.is_empty() {
            self.paste(name, &text.replace("\r\n", "\n"), &["-p"]).await?;
        }
        if enter {
            if !text.is_empty() {
                tokio::time::sleep(BEFORE_ENTER).await;
            }
            self.paste(name, "\r", &["-r"]).await?;
        }
        Ok(())
    }

    async fn paste(&self, name: &TmuxName, text: &str, how: &[&str]) -> Result<(), TmuxError> {
        static COUNT: AtomicU64 = AtomicU64::new(0);
        let count = COUNT.fetch_add(1, Ordering::Relaxed);
        let buffer = format!("dwell-{}-{count}", std::process::id());
        let program = self
            .program(["load-buffer", "-b", &buffer, "-", ";", "paste-buffer", "-d"])
            .args(how)
            .args(["-b", &buffer, "-t", &name.pane()])
            .input(text);
        let judged = self.judge(&program, name).await;
        if judged.is_err() {
            let _ = self.finish(&self.program(["delete-buffer", "-b", &buffer])).await;
        }
        judged.map(drop)
    }

    /// Presses a key in the session; a pane that was left scrolled back is brought back first.
    pub async fn send_key(&self, name: &TmuxName, key: &Key) -> Result<(), TmuxError> {
        let pane = name.pane();
        let leave = format!("send-keys -t {pane} -X cancel");
        let arguments = ["if-shell", "-F", "-t", &pane, "#{pane_in_mode}", &leave, ";"];
        let press = ["send-keys", "-t", &pane, "--"];
        let words = arguments.into_iter().chain(press).map(OsString::from);
        self.on(name, words.chain([key.argument()])).await.map(drop)
    }

    /// The last `lines` lines of what the session shows and showed, as plain text without blank
    /// lines at the end.
    pub async fn capture(&self, name: &TmuxName, lines: usize) -> Result<String, TmuxError> {
        let from = format!("-{}", lines.min(1_000_000));
        let finished =
            self.on(name, ["capture-pane", "-p", "-t", &name.pane(), "-S", &from]).await?;
        let text = String::from_utf8_lossy(&finished.stdout).trim_end().to_owned();
        let skip = text.lines().count().saturating_sub(lines);
        Ok(text.lines().skip(skip).collect::<Vec<_>>().join("\n"))
    }

    /// Gives the session's terminal a size. A terminal that shows it later decides again.
    pub async fn resize(&self, name: &TmuxName, size: Size) -> Result<(), TmuxError> {
        let pane = name.pane();
        let (columns, rows) = (size.columns.to_string(), size.rows.to_string());
        let resize = ["resize-window", "-t", &pane, "-x", &columns, "-y", &rows, ";"];
        let release = ["set-option", "-w", "-t", &pane, "window-size", "latest"];
        self.on(name, resize.into_iter().chain(release)).await.map(drop)
    }

    /// The command with which a terminal shows the session, for a caller that becomes it. It
    /// works inside another tmux too, but not inside the same session.
    pub fn attach_command(&self, name: &TmuxName, read_only: bool, alone: bool) -> Vec<OsString> {
        let mut command: Vec<OsString> = vec!["tmux".into(), "-u".into(), "-S".into()];
        command.push(self.socket.clone().into_os_string());
        command.extend(["-f".into(), self.config().into_os_string()]);
        command.extend(["attach-session", "-t", &name.session()].map(OsString::from));
        command.extend(read_only.then(|| OsString::from("-r")));
        command.extend(alone.then(|| OsString::from("-d")));
        command
    }

    async fn on<S: AsRef<std::ffi::OsStr>>(
        &self,
        name: &TmuxName,
        arguments: impl IntoIterator<Item = S>,
    ) -> Result<Finished, TmuxError> {
        self.judge(&self.program(arguments), name).await
    }

    async fn judge(&self, program: &Program, name: &TmuxName) -> Result<Finished, TmuxError> {
        let finished = self.finish(program).await?;
        let name = || name.to_string();
        if finished.ok() {
            Ok(finished)
        } else if words::absent(&finished) {
            Err(TmuxError::NoSession { name: name() })
        } else if finished.error_text().starts_with("duplicate session") {
            Err(TmuxError::Duplicate { name: name() })
        } else {
            Err(program.failed(&finished).into())
        }
    }
}
