//! Small projects to make environments of.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, SystemTime};

use crate::process::{Ran, run};

/// A compose project with one service that does nothing.
pub const IDLE: &str = "services:
  web:
    image: busybox
    init: true
    stop_grace_period: 1s
    command: sleep infinity
";

/// A directory with a compose project, made file by file.
pub struct Project {
    path: PathBuf,
}

impl Project {
    /// An empty project in a new directory.
    pub fn new(path: impl Into<PathBuf>) -> Self {
        let path = path.into();
        fs::create_dir_all(&path).expect("the project's directory can be made");
        Self { path }
    }

    /// Writes `compose.yaml`.
    #[must_use]
    pub fn compose(self, text: &str) -> Self {
        self.file("compose.yaml", text)
    }

    /// Writes a file, with the folders on its way.
    #[must_use]
    pub fn file(self, name: &str, content: impl AsRef<[u8]>) -> Self {
        let path = self.path.join(name);
        if let Some(folder) = path.parent() {
            fs::create_dir_all(folder).expect("a folder can be made");
        }
        fs::write(&path, content).expect("a file can be written");
        self
    }

    /// Writes a file that can be run.
    #[must_use]
    pub fn script(self, name: &str, content: &str) -> Self {
        let project = self.file(name, content);
        fs::set_permissions(project.path.join(name), fs::Permissions::from_mode(0o755))
            .expect("a mode can be set");
        project
    }

    /// Makes it a git repository on branch `main` with everything so far in one commit.
    #[must_use]
    pub fn git(self) -> Self {
        git(&self.path, ["init", "--quiet", "--initial-branch", "main"]).ok();
        git(&self.path, ["add", "--all"]).ok();
        git(&self.path, ["commit", "--quiet", "--allow-empty", "--message", "first"]).ok();
        self
    }

    /// Everything in it: mode, time of the last change and content of each file by its path.
    pub fn content(&self) -> BTreeMap<PathBuf, (u32, SystemTime, Vec<u8>)> {
        let mut all = BTreeMap::new();
        let mut folders = vec![self.path.clone()];
        while let Some(folder) = folders.pop() {
            let entries = fs::read_dir(&folder).expect("a folder can be read");
            for entry in entries {
                let path = entry.expect("a folder can be read").path();
                let metadata = fs::symlink_metadata(&path).expect("a file can be asked about");
                if metadata.is_dir() {
                    folders.push(path);
                } else {
                    let content = fs::read(&path).unwrap_or_default();
                    let changed = metadata.modified().expect("a file has a time");
                    all.insert(path, (metadata.permissions().mode(), changed, content));
                }
            }
        }
        all
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }
}

impl AsRef<Path> for Project {
    fn as_ref(&self) -> &Path {
        &self.path
    }
}

/// Runs git in a directory, without the user's or the system's configuration.
#[track_caller]
pub fn git<I: IntoIterator<Item = S>, S: AsRef<std::ffi::OsStr>>(
    directory: impl AsRef<Path>,
    arguments: I,
) -> Ran {
    let mut command = Command::new("git");
    command
        .arg("-C")
        .arg(directory.as_ref())
        .args(["-c", "user.name=test", "-c", "user.email=test@localhost"])
        .args(["-c", "commit.gpgsign=false", "-c", "protocol.file.allow=always"])
        .args(arguments)
        .env("GIT_CONFIG_GLOBAL", "/dev/null")
        .env("GIT_CONFIG_NOSYSTEM", "1")
        .env("GIT_TERMINAL_PROMPT", "0");
    run(&mut command, Duration::from_secs(60))
}
