//! A Caddy of the user's own. It outlives the daemon, as what it shows does, and is found again by
//! its admin socket.

use std::fs::{DirBuilder, File, OpenOptions};
use std::io;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use dwell_core::prepare::Version;
use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;
use tokio::sync::Mutex;

use super::{IngressError, admin};
use crate::process::{ProcessError, Program, owner};

/// How long it may take to start or to stop.
const LIMIT: Duration = Duration::from_secs(15);
/// Between two looks at it.
const PAUSE: Duration = Duration::from_millis(20);
/// How much of its log is told.
const TOLD: usize = 400;

/// A Caddy that is administered through a socket in a directory of its own, running or not.
#[derive(Debug)]
pub struct Caddy {
    program: PathBuf,
    directory: PathBuf,
    /// Held while it is changed.
    changing: Mutex<()>,
}

impl Caddy {
    /// The Caddy with this directory, which is made with mode 0700 when it is needed.
    pub fn new(directory: impl Into<PathBuf>) -> Self {
        let changing = Mutex::default();
        Self { program: "caddy".into(), directory: directory.into(), changing }
    }

    /// The socket that its configuration has to name as the one of its admin API.
    pub fn admin(&self) -> PathBuf {
        self.directory.join("admin.sock")
    }

    /// The version of the program; `None` where it is not installed.
    ///
    /// # Errors
    /// When it does not tell.
    pub async fn version(&self) -> Result<Option<Version>, IngressError> {
        let told = match Program::new(&self.program).arg("version").limit(LIMIT).run().await {
            Err(ProcessError::Missing { .. }) => return Ok(None),
            told => told?.text(),
        };
        let reason = || format!("it says it is version `{told}`");
        Version::find(told.trim_start_matches('v')).map(Some).ok_or_else(|| self.ended(reason()))
    }

    /// Sees to it that it runs with this configuration; says whether anything had to be done for
    /// that.
    ///
    /// # Errors
    /// When it is not installed, cannot start, or refuses the configuration. One that ran before
    /// goes on as it was then.
    pub async fn ensure(&self, configuration: &Value) -> Result<bool, IngressError> {
        let _changing = self.changing.lock().await;
        match admin::ask(&self.admin(), "GET", "/config/", b"").await {
            Ok(now) if is_same(&now.body, configuration) => Ok(false),
            Ok(_) => self.load(configuration).await.map(|()| true),
            Err(error) if is_absent(&error) => self.start(configuration).await.map(|()| true),
            Err(source) => Err(IngressError::Path { path: self.admin(), source }),
        }
    }

    /// Ends it and removes its directory; nothing happens where neither is there.
    ///
    /// # Errors
    /// When it cannot be ended or the directory cannot be removed.
    pub async fn stop(&self) -> Result<(), IngressError> {
        let _changing = self.changing.lock().await;
        let asked = admin::ask(&self.admin(), "POST", "/stop", b"").await;
        if asked.as_ref().is_ok_and(|answer| answer.status == 200) {
            let begun = Instant::now();
            while self.pid().is_some() && begun.elapsed() < LIMIT {
                tokio::time::sleep(PAUSE).await;
            }
        }
        if let Some(pid) = self.pid() {
            // It did not listen to its socket; gone by now is as good.
            let _ = kill_process(pid, Signal::KILL);
        }
        match std::fs::remove_dir_all(&self.directory) {
            Err(source) if source.kind() != io::ErrorKind::NotFound => {
                Err(IngressError::Path { path: self.directory.clone(), source })
            }
            _ => Ok(()),
        }
    }

    async fn load(&self, configuration: &Value) -> Result<(), IngressError> {
        let body = configuration.to_string();
        let answer = admin::ask(&self.admin(), "POST", "/load", body.as_bytes())
            .await
            .map_err(|source| IngressError::Path { path: self.admin(), source })?;
        match answer.status {
            200 => self.write(configuration),
            _ => Err(IngressError::Refused { program: self.name(), reason: said(&answer.body) }),
        }
    }

    async fn start(&self, configuration: &Value) -> Result<(), IngressError> {
        self.write(configuration)?;
        let program = Program::new(&self.program)
            .args(["run", "--config"])
            .arg(self.file("config.json"))
            .arg("--pidfile")
            .arg(self.file("pid"))
            .directory(&self.directory)
            .env("XDG_CONFIG_HOME", &self.directory)
            .env("XDG_DATA_HOME", &self.directory)
            .without_env(owner::VARIABLE);
        let mut child = program.detach(self.log()?)?;
        let begun = Instant::now();
        while begun.elapsed() < LIMIT {
            if admin::ask(&self.admin(), "GET", "/config/", b"").await.is_ok() {
                return Ok(());
            }
            if child.try_wait().is_ok_and(|ended| ended.is_some()) {
                return Err(self.ended(self.last_words()));
            }
            tokio::time::sleep(PAUSE).await;
        }
        let _ = child.start_kill();
        Err(self.ended(format!("it did not answer within {} s", LIMIT.as_secs())))
    }

    fn write(&self, configuration: &Value) -> Result<(), IngressError> {
        let made = DirBuilder::new().recursive(true).mode(0o700).create(&self.directory);
        let path = self.file("config.json");
        let text = configuration.to_string();
        made.and_then(|()| crate::session::files::write_atomically(&path, text.as_bytes()))
            .map_err(|source| IngressError::Path { path, source })
    }

    /// A log that begins anew.
    fn log(&self) -> Result<File, IngressError> {
        let path = self.file("log");
        let mut options = OpenOptions::new();
        let opened = options.create(true).write(true).truncate(true).mode(0o600).open(&path);
        opened.map_err(|source| IngressError::Path { path, source })
    }

    fn last_words(&self) -> String {
        let log = std::fs::read_to_string(self.file("log")).unwrap_or_default();
        let line = log.lines().rev().find(|line| !line.trim().is_empty());
        line.unwrap_or("it said nothing").chars().take(TOLD).collect()
    }

    /// The process that runs with this directory.
    fn pid(&self) -> Option<Pid> {
        let text = std::fs::read_to_string(self.file("pid")).ok()?;
        let pid: i32 = text.trim().parse().ok()?;
        // The number may be another program's by now.
        let line = std::fs::read(format!("/proc/{pid}/cmdline")).ok()?;
        let own = self.file("config.json");
        let own = own.to_str()?;
        String::from_utf8_lossy(&line).split('\0').any(|word| word == own).then_some(())?;
        Pid::from_raw(pid)
    }

    fn file(&self, name: &str) -> PathBuf {
        self.directory.join(name)
    }

    fn name(&self) -> String {
        Path::new(&self.program).display().to_string()
    }

    fn ended(&self, reason: String) -> IngressError {
        IngressError::Ended { program: self.name(), reason }
    }
}

/// Whether nobody listens at a socket.
fn is_absent(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::ConnectionRefused)
}

fn is_same(now: &[u8], configuration: &Value) -> bool {
    serde_json::from_slice::<Value>(now).is_ok_and(|now| now == *configuration)
}

/// The message in an answer of Caddy's.
fn said(body: &[u8]) -> String {
    let value = serde_json::from_slice::<Value>(body).unwrap_or_default();
    let message = value.get("error").and_then(Value::as_str).map(str::to_owned);
    let text = message.unwrap_or_else(|| String::from_utf8_lossy(body).trim().to_owned());
    text.chars().take(TOLD).collect()
}
