//! The user unit of this system: where it belongs, writing and removing it, telling the system.

use std::path::{Path, PathBuf};
use std::time::Duration;

use dwell_api::paths::Paths;
use dwell_api::{Code, Problem};
use dwell_drivers::process::Program;

use super::unit;
use crate::command::own_binary;

/// How long the service manager may take for one command.
const LIMIT: Duration = Duration::from_secs(20);

/// The service manager of the user's session.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Manager {
    Systemd,
    Launchd,
}

/// The user unit that starts dwell with the machine.
#[derive(Debug)]
pub(super) struct Service {
    manager: Manager,
    file: PathBuf,
    text: String,
}

impl Service {
    /// The unit for this system; `None` where no known service manager runs.
    pub(super) fn of_system(paths: &Paths) -> Result<Option<Self>, Problem> {
        let program = own_binary()?;
        let Some(home) = std::env::home_dir() else { return Ok(None) };
        if cfg!(target_os = "macos") {
            let file = home.join("Library/LaunchAgents/dev.dwell.node.plist");
            let text = unit::launchd(&program, &paths.log());
            return Ok(Some(Self { manager: Manager::Launchd, file, text }));
        }
        // The sign that systemd manages this machine, from sd_booted(3).
        if !Path::new("/run/systemd/system").is_dir() {
            return Ok(None);
        }
        let config = std::env::var_os("XDG_CONFIG_HOME").map(PathBuf::from);
        let config = config.filter(|path| path.is_absolute());
        let config = config.unwrap_or_else(|| home.join(".config"));
        let file = config.join("systemd/user/dwell.service");
        Ok(Some(Self { manager: Manager::Systemd, file, text: unit::systemd(&program) }))
    }

    /// What doing or undoing it would change, a line each; empty when nothing.
    pub(super) fn changes(&self, undo: bool) -> Vec<String> {
        let current = std::fs::read_to_string(&self.file).ok();
        let file = self.file.display();
        let commands = self.commands(undo);
        let commands = commands.iter().map(|program| format!("run `{}`", program.line()));
        let edit = match (undo, current) {
            (true, None) => return Vec::new(),
            (false, Some(text)) if text == self.text => return Vec::new(),
            (true, Some(_)) => format!("remove {file}"),
            (false, None) => format!("write {file}"),
            (false, Some(_)) => format!("replace {file}"),
        };
        if undo {
            commands.chain([edit]).collect()
        } else {
            [edit].into_iter().chain(commands).collect()
        }
    }

    /// Writes the unit and starts it, or stops and removes it.
    pub(super) async fn apply(&self, undo: bool) -> Result<(), Problem> {
        if !undo {
            self.write()?;
        }
        for program in self.commands(undo) {
            if let Err(error) = program.run().await
                && !undo
            {
                return Err(Problem::new(Code::ToolFailed, error.to_string())
                    .hint("dwell works without it; `dwell setup --no-service` leaves it out"));
            }
        }
        if undo {
            std::fs::remove_file(&self.file).map_err(|e| self.problem("removed", &e))?;
        }
        Ok(())
    }

    fn write(&self) -> Result<(), Problem> {
        if let Some(directory) = self.file.parent() {
            std::fs::create_dir_all(directory).map_err(|e| self.problem("written", &e))?;
        }
        std::fs::write(&self.file, &self.text).map_err(|e| self.problem("written", &e))
    }

    fn problem(&self, what: &str, error: &std::io::Error) -> Problem {
        let message = format!("`{}` could not be {what}: {error}", self.file.display());
        Problem::new(Code::Internal, message)
    }

    fn commands(&self, undo: bool) -> Vec<Program> {
        let program = |name: &str, words: &[&str]| Program::new(name).args(words).limit(LIMIT);
        match (self.manager, undo) {
            (Manager::Systemd, false) => vec![
                program("systemctl", &["--user", "daemon-reload"]),
                program("systemctl", &["--user", "enable", "dwell.service"]),
            ],
            (Manager::Systemd, true) => {
                vec![program("systemctl", &["--user", "disable", "dwell.service"])]
            }
            (Manager::Launchd, undo) => {
                let verb = if undo { "unload" } else { "load" };
                vec![program("launchctl", &[verb, "-w"]).arg(&self.file)]
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn what_is_done_already_changes_nothing() {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("user/dwell.service");
        let text = unit::systemd(Path::new("/bin/dwell"));
        let service = Service { manager: Manager::Systemd, file: file.clone(), text };
        assert_eq!(service.changes(true), Vec::<String>::new());
        let changes = service.changes(false);
        assert_eq!(changes.first().unwrap(), &format!("write {}", file.display()));
        assert_eq!(changes.last().unwrap(), "run `systemctl --user enable dwell.service`");
        service.write().unwrap();
        assert_eq!(service.changes(false), Vec::<String>::new());
        assert_eq!(service.changes(true).last().unwrap(), &format!("remove {}", file.display()));
        std::fs::write(&file, "other").unwrap();
        assert!(service.changes(false).first().unwrap().starts_with("replace "));
    }
}
