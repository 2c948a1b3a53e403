//! Sessions: a command in a tmux session that outlives everything that started it, with its whole
//! output and its end on record. The record is a directory of files ([`files`]) written by the
//! shim ([`shim`]) that runs in the tmux pane; whoever reads them needs no connection to it.

pub mod agent;
pub(crate) mod files;
mod follow;
mod plain;
pub mod shim;
mod transcript;

use std::ffi::OsString;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use tokio::time::{Instant, sleep};

use crate::tmux::{Size, Tmux, TmuxError, TmuxName, TmuxSession};
pub use files::{Ending, Exit, Spec, Started};
pub use follow::{Event, Follow};
pub use plain::{Plain, plain_text};
pub use transcript::{DEFAULT_LIMIT, Part};

/// How long a session may take to start.
const START_LIMIT: Duration = Duration::from_secs(10);

/// How long a session may take to end when told to; the shim kills the command before that.
const END_LIMIT: Duration = Duration::from_secs(15);

/// How long tmux may take to forget a session that has ended.
const GOING: Duration = Duration::from_millis(500);

/// How often the files of a session that is about to change are looked at.
const STEP: Duration = Duration::from_millis(5);

/// How often it is asked in a workspace whether a session that starts is there.
const LOOK_INSIDE: Duration = Duration::from_secs(1);

/// Why a session could not be started or read.
#[derive(Debug, thiserror::Error)]
pub enum SessionError {
    /// tmux did not do its part.
    #[error(transparent)]
    Tmux(#[from] TmuxError),
    /// A file of the session could not be written or read.
    #[error("the session in `{}`: {what}: {source}", directory.display())]
    File {
        /// The session's directory.
        directory: PathBuf,
        /// What was being done.
        what: &'static str,
        /// What the system said.
        source: io::Error,
    },
    /// The session did not come up.
    #[error("session `{name}` did not start: {why}")]
    NotStarted {
        /// Its name.
        name: String,
        /// The reason.
        why: String,
    },
    /// The session did not end.
    #[error("session `{name}` did not end within {} s", END_LIMIT.as_secs())]
    NotEnded {
        /// Its name.
        name: String,
    },
}

/// A session to start.
#[derive(Debug, Clone)]
pub struct StartSession {
    /// The directory for its files, which must not exist yet.
    pub directory: PathBuf,
    /// Its name on the tmux server.
    pub name: TmuxName,
    /// The program and its arguments.
    pub argv: Vec<String>,
    /// Where the command runs.
    pub cwd: PathBuf,
    /// All the variables of the command. Those that describe its terminal are set besides.
    pub environment: Vec<(OsString, OsString)>,
    /// The size of its terminal until one is attached.
    pub size: Size,
    /// Whether the command gets a terminal, see [`Spec::pty`].
    pub pty: bool,
    /// The most bytes that its transcript may take on disk, [`DEFAULT_LIMIT`] as a rule.
    pub transcript_limit: u64,
    /// Whether a login shell starts the command, see [`Spec::login`].
    pub login: bool,
}

/// How a session is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SessionState {
    /// Its command runs.
    Running {
        /// The command's process; the shim's while the command is being started.
        pid: i32,
        /// How many terminals show it.
        attached: u32,
        /// How many windows it has, where that is known.
        windows: Option<u32>,
    },
    /// Its command ended.
    Ended(Exit),
    /// Neither is known: the machine was restarted, or the tmux server or the shim was killed.
    Lost,
}

/// The sessions of a node, or of a workspace.
#[derive(Debug, Clone)]
pub struct Sessions {
    tmux: Arc<Tmux>,
    shim: Vec<OsString>,
    /// Where the shim, which runs in a workspace, has what is in the directory above a session's.
    there: Option<PathBuf>,
}

impl Sessions {
    /// Sessions on this tmux server. `shim` is the command that runs [`shim::main`] on the
    /// directory that is added as its last argument.
    pub fn new(tmux: Arc<Tmux>, shim: Vec<OsString>) -> Self {
        Self { tmux, shim, there: None }
    }

    /// Sessions in a workspace, on its tmux server. The directory above those of the sessions is
    /// mounted there at this place.
    pub fn inside(tmux: Arc<Tmux>, shim: Vec<OsString>, there: impl Into<PathBuf>) -> Self {
        Self { tmux, shim, there: Some(there.into()) }
    }

    /// The session's directory where the shim runs.
    fn place(&self, directory: &Path) -> PathBuf {
        match (&self.there, directory.file_name()) {
            (Some(there), Some(name)) => there.join(name),
            _ => directory.to_owned(),
        }
    }

    /// The tmux server.
    pub fn tmux(&self) -> &Tmux {
        &self.tmux
    }

    /// Starts a session and waits until its command runs, or has ended, which includes a command
    /// that does not exist (exit code 127, with a line in the transcript). When it fails, nothing
    /// of the session is left.
    pub async fn start(&self, start: &StartSession) -> Result<SessionState, SessionError> {
        let directory = &start.directory;
        let failed = |what| move |source| file_error(directory, what, source);
        files::new_directory(directory, self.there.is_some())
            .map_err(failed("making its directory"))?;
        let started = self.start_in(start).await;
        if started.is_err() {
            let _ = self.kill_own(start).await;
            let _ = std::fs::remove_dir_all(directory);
        }
        started
    }

    async fn start_in(&self, start: &StartSession) -> Result<SessionState, SessionError> {
        let directory = &start.directory;
        let failed = |what| move |source| file_error(directory, what, source);
        let spec = Spec {
            argv: start.argv.clone(),
            directory: start.cwd.clone(),
            pty: start.pty,
            transcript_limit: start.transcript_limit,
            login: start.login,
        };
        let text = serde_json::to_vec(&spec).map_err(io::Error::from);
        text.and_then(|text| files::write_new(&directory.join(files::SPEC), &text))
            .map_err(failed("writing its specification"))?;
        let variables = files::encode_environment(&start.environment);
        files::write_new(&directory.join(files::ENVIRONMENT), &variables)
            .map_err(failed("writing its variables"))?;
        let mut argv = self.shim.clone();
        argv.push(self.place(directory).into_os_string());
        self.open(start, &argv).await?;
        let started = self.started(start).await;
        if started.is_err() && self.there.is_some() {
            let _ = self.tmux.kill(&start.name).await;
        }
        started
    }

    /// Makes the tmux session. One of the same name whose end is just on record is given the
    /// moment that it needs to go away.
    async fn open(&self, start: &StartSession, argv: &[OsString]) -> Result<(), TmuxError> {
        let deadline = Instant::now() + GOING;
        let place = self.there.is_some().then(|| self.place(&start.directory));
        let files = place.as_deref();
        loop {
            match self.tmux.new_session(&start.name, &start.cwd, argv, start.size, files).await {
                Err(TmuxError::Duplicate { .. }) if Instant::now() < deadline => sleep(STEP).await,
                result => return result,
            }
        }
    }

    /// Waits for the shim's word.
    async fn started(&self, start: &StartSession) -> Result<SessionState, SessionError> {
        let not_started = |why| SessionError::NotStarted { name: start.name.to_string(), why };
        let deadline = Instant::now() + START_LIMIT;
        let look = if self.there.is_some() { LOOK_INSIDE } else { 20 * STEP };
        let mut next_look = Instant::now() + look;
        let there = |name| start.directory.join(name).exists();
        while !there(files::STARTED) && !there(files::EXIT) {
            if let Ok(why) = std::fs::read_to_string(start.directory.join(files::ERROR)) {
                return Err(not_started(why));
            }
            let now = Instant::now();
            if now > deadline {
                let limit = START_LIMIT.as_secs();
                return Err(not_started(format!("its command did not run within {limit} s")));
            }
            if now > next_look {
                let gone = !self.tmux.has(&start.name).await?;
                if gone && !there(files::STARTED) && !there(files::EXIT) && !there(files::ERROR) {
                    return Err(not_started("its terminal is gone".to_owned()));
                }
                next_look = Instant::now() + look;
            }
            sleep(STEP).await;
        }
        self.state(&start.directory, &start.name).await
    }

    /// Ends the tmux session of a start that failed, unless it is somebody else's of that name.
    async fn kill_own(&self, start: &StartSession) -> Result<(), TmuxError> {
        if self.there.is_some() {
            return Ok(());
        }
        let found = self.tmux.list().await?;
        let ours = found
            .iter()
            .find(|session| session.name == start.name.as_str())
            .is_some_and(|session| is_shim(session.pid, &start.directory));
        if ours { self.tmux.kill(&start.name).await } else { Ok(()) }
    }

    /// How the session is.
    pub async fn state(
        &self,
        directory: &Path,
        name: &TmuxName,
    ) -> Result<SessionState, SessionError> {
        match exit(directory)? {
            Some(exit) => Ok(SessionState::Ended(exit)),
            None if self.there.is_some() => seen(directory),
            None => self.state_among(directory, name, &self.tmux.list().await?),
        }
    }

    /// How the session is, by a list of tmux sessions made just before: one list serves many.
    pub fn state_among(
        &self,
        directory: &Path,
        name: &TmuxName,
        tmux: &[TmuxSession],
    ) -> Result<SessionState, SessionError> {
        if let Some(exit) = exit(directory)? {
            return Ok(SessionState::Ended(exit));
        }
        let started: Option<Started> = read_json(directory, files::STARTED)?;
        let pane = tmux.iter().find(|session| session.name == name.as_str() && !session.dead);
        let pane = pane.filter(|pane| started.as_ref().is_none_or(|s| s.shim == pane.pid));
        let pid = started.as_ref().map(|started| started.pid);
        if let Some(pane) = pane {
            let pid = pid.unwrap_or(pane.pid);
            return Ok(SessionState::Running {
                pid,
                attached: pane.attached,
                windows: Some(pane.windows),
            });
        }
        // After its terminal is gone, the shim needs a moment to end the command.
        let ending = started.filter(|s| s.boot == files::boot() && is_shim(s.shim, directory));
        match (ending, exit(directory)?) {
            (_, Some(exit)) => Ok(SessionState::Ended(exit)),
            (Some(started), None) => {
                Ok(SessionState::Running { pid: started.pid, attached: 0, windows: None })
            }
            (None, None) => Ok(SessionState::Lost),
        }
    }

    /// Ends the session as closing its terminal would: a hang-up, then termination, then the
    /// kill, seconds apart. Gives the state that it is left in, [`SessionState::Ended`] or
    /// [`SessionState::Lost`]; no error when it ended before.
    pub async fn end(
        &self,
        directory: &Path,
        name: &TmuxName,
    ) -> Result<SessionState, SessionError> {
        let deadline = Instant::now() + END_LIMIT;
        if let SessionState::Running { .. } = self.state(directory, name).await? {
            self.tmux.kill(name).await?;
        }
        loop {
            match self.state(directory, name).await? {
                SessionState::Running { .. } if Instant::now() > deadline => {
                    return Err(SessionError::NotEnded { name: name.to_string() });
                }
                SessionState::Running { .. } => sleep(4 * STEP).await,
                ended => return Ok(ended),
            }
        }
    }

    /// The transcript from an offset (in bytes since the start of the session) on, up to 1 MiB;
    /// read on at [`Part::next`].
    pub fn transcript(&self, directory: &Path, from: u64) -> Result<Part, SessionError> {
        let failed = |source| file_error(directory, "reading its transcript", source);
        transcript::read(directory, limit(directory)?, from).map_err(failed)
    }

    /// The offset at which the last `bytes` bytes of the transcript begin.
    pub fn tail(&self, directory: &Path, bytes: u64) -> Result<u64, SessionError> {
        let failed = |source| file_error(directory, "reading its transcript", source);
        transcript::tail(directory, limit(directory)?, bytes).map_err(failed)
    }

    /// Follows the session's output from an offset on until it ends.
    pub fn follow(
        &self,
        directory: &Path,
        name: &TmuxName,
        from: u64,
    ) -> Result<Follow, SessionError> {
        let limit = limit(directory)?;
        Ok(Follow::new(self.clone(), directory.to_owned(), name.clone(), limit, from))
    }
}

/// What a session was started with; `None` when there is no such session.
pub fn spec(directory: &Path) -> Result<Option<Spec>, SessionError> {
    read_json(directory, files::SPEC)
}

/// How a session is whose shim cannot be seen, by its files alone: it lives while it holds its
/// lock. Nothing in the workspace is asked, or woken.
pub fn seen(directory: &Path) -> Result<SessionState, SessionError> {
    if let Some(exit) = exit(directory)? {
        return Ok(SessionState::Ended(exit));
    }
    let failed = |source| file_error(directory, "looking at its lock", source);
    if files::is_held(&directory.join(files::LOCK)).map_err(failed)? == Some(true) {
        let started: Option<Started> = read_json(directory, files::STARTED)?;
        let pid = started.map(|started| started.pid).unwrap_or_default();
        let (attached, windows) = (files::attached(directory), files::windows(directory));
        return Ok(SessionState::Running { pid, attached, windows });
    }
    // It may have ended in between.
    Ok(exit(directory)?.map_or(SessionState::Lost, SessionState::Ended))
}

/// Shows that a terminal is on a session in this workspace, until the result is dropped.
pub fn hold_attached(directory: &Path) -> io::Result<std::fs::File> {
    files::hold(&directory.join(format!("{}{}", files::ATTACHED, std::process::id())))
}

fn file_error(directory: &Path, what: &'static str, source: io::Error) -> SessionError {
    SessionError::File { directory: directory.to_owned(), what, source }
}

fn read_json<T: serde::de::DeserializeOwned>(
    directory: &Path,
    name: &'static str,
) -> Result<Option<T>, SessionError> {
    files::read_json(&directory.join(name)).map_err(|source| file_error(directory, name, source))
}

fn exit(directory: &Path) -> Result<Option<Exit>, SessionError> {
    read_json(directory, files::EXIT)
}

fn limit(directory: &Path) -> Result<u64, SessionError> {
    let spec: Option<Spec> = read_json(directory, files::SPEC)?;
    Ok(spec.map_or(DEFAULT_LIMIT, |spec| spec.transcript_limit))
}

/// Whether the process is alive and the shim of this session.
fn is_shim(pid: i32, directory: &Path) -> bool {
    use std::os::unix::ffi::OsStrExt;
    let alive = rustix::process::Pid::from_raw(pid)
        .is_some_and(|pid| rustix::process::test_kill_process(pid).is_ok());
    let wanted = directory.as_os_str().as_bytes();
    match std::fs::read(format!("/proc/{pid}/cmdline")) {
        Ok(line) => alive && line.split(|byte| *byte == 0).any(|argument| argument == wanted),
        Err(_) => alive && !Path::new("/proc/self").exists(),
    }
}
