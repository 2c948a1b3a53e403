//! Where a node keeps its things: the XDG directories, as a pure function of the environment.

use std::ffi::OsString;
use std::path::{Path, PathBuf};

/// The directories of one user's node.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Paths {
    /// The database, the log and every environment's own files.
    pub state: PathBuf,
    /// The source trees.
    pub data: PathBuf,
    /// The user's configuration.
    pub config: PathBuf,
    /// Sockets and locks; gone after a reboot.
    pub runtime: PathBuf,
}

impl Paths {
    /// The directories that the environment asks for: `DWELL_HOME` holds all four, else each
    /// follows its `XDG_*` variable, else its place under `HOME`. Relative values are ignored,
    /// as the XDG specification says. Without a runtime directory the state directory has it.
    pub fn from_env(variable: impl Fn(&str) -> Option<OsString>) -> Self {
        let absolute =
            |name: &str| variable(name).map(PathBuf::from).filter(|path| path.is_absolute());
        if let Some(home) = absolute("DWELL_HOME") {
            return Self {
                state: home.join("state"),
                data: home.join("data"),
                config: home.join("config"),
                runtime: home.join("run"),
            };
        }
        let home = absolute("HOME").unwrap_or_else(|| PathBuf::from("/"));
        let place = |name: &str, default: &str| {
            absolute(name).unwrap_or_else(|| home.join(default)).join("dwell")
        };
        let state = place("XDG_STATE_HOME", ".local/state");
        let runtime = absolute("XDG_RUNTIME_DIR")
            .map_or_else(|| state.join("run"), |runtime| runtime.join("dwell"));
        Self {
            data: place("XDG_DATA_HOME", ".local/share"),
            config: place("XDG_CONFIG_HOME", ".config"),
            state,
            runtime,
        }
    }

    /// The node API's socket.
    pub fn socket(&self) -> PathBuf {
        self.runtime.join("node.sock")
    }

    /// The socket on which the daemon takes over links that other nodes make to it.
    pub fn link_socket(&self) -> PathBuf {
        self.runtime.join("link.sock")
    }

    /// The socket of dwell's own tmux server.
    pub fn tmux_socket(&self) -> PathBuf {
        self.runtime.join("tmux.sock")
    }

    /// The daemon's log.
    pub fn log(&self) -> PathBuf {
        self.state.join("node.log")
    }

    /// The daemon's database.
    pub fn database(&self) -> PathBuf {
        self.state.join("node.db")
    }

    /// The binary that the daemon runs.
    pub fn binary(&self) -> PathBuf {
        self.state.join("dwell")
    }

    /// The user's configuration file.
    pub fn config_file(&self) -> PathBuf {
        self.config.join("config.toml")
    }

    /// One environment's own directory in the state.
    pub fn environment(&self, id: &dwell_core::EnvironmentId) -> PathBuf {
        self.state.join("environments").join(id.as_str())
    }

    /// One workspace's own directory in the state.
    pub fn workspace(&self, id: &dwell_core::WorkspaceId) -> PathBuf {
        self.state.join("workspaces").join(id.as_str())
    }

    /// Where sign-ins are that workspaces share, a directory for each agent.
    pub fn credentials(&self) -> PathBuf {
        self.state.join("credentials")
    }

    /// Where the source tree of an environment belongs.
    pub fn tree(
        &self,
        project: &dwell_core::ProjectName,
        name: &dwell_core::EnvironmentName,
    ) -> PathBuf {
        self.data.join(Path::new(project.as_str())).join(name.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn paths(variables: &[(&str, &str)]) -> Paths {
        Paths::from_env(|name| {
            variables.iter().find(|(n, _)| *n == name).map(|(_, value)| value.into())
        })
    }

    #[test]
    fn each_directory_follows_its_variable() {
        let plain = paths(&[("HOME", "/home/a")]);
        assert_eq!(plain.state, Path::new("/home/a/.local/state/dwell"));
        assert_eq!(plain.data, Path::new("/home/a/.local/share/dwell"));
        assert_eq!(plain.config_file(), Path::new("/home/a/.config/dwell/config.toml"));
        assert_eq!(plain.socket(), Path::new("/home/a/.local/state/dwell/run/node.sock"));
        let set = paths(&[
            ("HOME", "/h"),
            ("XDG_STATE_HOME", "/s"),
            ("XDG_DATA_HOME", "relative"),
            ("XDG_RUNTIME_DIR", "/run/user/7"),
        ]);
        assert_eq!(set.database(), Path::new("/s/dwell/node.db"));
        assert_eq!(set.data, Path::new("/h/.local/share/dwell"));
        assert_eq!(set.tmux_socket(), Path::new("/run/user/7/dwell/tmux.sock"));
    }

    #[test]
    fn dwell_home_holds_all_four() {
        let all = paths(&[("HOME", "/h"), ("XDG_STATE_HOME", "/s"), ("DWELL_HOME", "/d")]);
        assert_eq!(all.log(), Path::new("/d/state/node.log"));
        assert_eq!(all.data, Path::new("/d/data"));
        assert_eq!(all.config, Path::new("/d/config"));
        assert_eq!(all.runtime, Path::new("/d/run"));
    }
}
