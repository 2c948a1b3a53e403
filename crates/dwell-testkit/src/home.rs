//! A home of its own for one daemon: directories, configuration, ports, addresses. Everything the
//! daemon made is gone when the home is dropped.

use std::collections::BTreeSet;
use std::ffi::OsStr;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;

use crate::docker::remove_labelled;
use crate::process::{Ran, run};
use crate::project::Project;
use crate::slot::Slot;
use crate::ssh::{self, SshTargets};

/// Variables that hold for the programs of a test as they do for the test.
const INHERITED: [&str; 5] = ["PATH", "TMPDIR", "RUST_BACKTRACE", "LLVM_PROFILE_FILE", "USER"];

/// A hermetic home for a daemon and its clients. Tests with homes of their own run in parallel.
pub struct TestHome {
    directory: TempDir,
    binary: PathBuf,
    engine: Option<String>,
    slot: Slot,
    limit: Duration,
}

impl TestHome {
    /// A home for the binary at this path (`env!("CARGO_BIN_EXE_dwell")` in the binary's own
    /// tests), on the default engine.
    pub fn new(binary: impl Into<PathBuf>) -> Self {
        Self::on_engine(binary, std::env::var("DOCKER_HOST").ok())
    }

    /// A home on another engine, given as `DOCKER_HOST` would be. The home has to be dropped
    /// while the engine still answers.
    pub fn on_engine(binary: impl Into<PathBuf>, engine: Option<String>) -> Self {
        // A short path: the names of unix sockets below it have at most 107 bytes.
        let directory = tempfile::Builder::new()
            .prefix("dwell-test-")
            .tempdir_in("/tmp")
            .expect("a temporary directory can be made");
        let limit = Duration::from_secs(120);
        let home = Self { directory, binary: binary.into(), engine, slot: Slot::take(), limit };
        home.write("owner", &std::process::id().to_string());
        for folder in ["state", "data", "config/dwell", "run", "projects"] {
            fs::create_dir_all(home.path().join(folder)).expect("a folder can be made");
        }
        fs::set_permissions(home.path().join("run"), private()).expect("a mode can be set");
        home.write(".gitconfig", "[user]\nname = test\nemail = test@localhost\n");
        home.configure("");
        home
    }

    /// Changes the time limit of a command, 120 s otherwise.
    #[must_use]
    pub fn limit(mut self, limit: Duration) -> Self {
        self.limit = limit;
        self
    }

    /// Writes `config.toml` anew: the home's own ports and pools, then this text. A daemon that
    /// runs reads it at its next start.
    pub fn configure(&self, more: &str) {
        let text = format!(
            "[dns]\nport = {}\n\n[proxy]\nport = {}\n\n[network]\npool = \"{}\"\n\n\
             [forward]\npool = \"{}\"\n\n{more}",
            self.slot.dns_port(),
            self.slot.proxy_port(),
            self.slot.pool(),
            self.slot.loopback_pool()
        );
        self.write("config/dwell/config.toml", &text);
    }

    /// The home's directory.
    pub fn path(&self) -> &Path {
        self.directory.path()
    }

    /// The state directory, `$XDG_STATE_HOME/dwell`.
    pub fn state(&self) -> PathBuf {
        self.path().join("state/dwell")
    }

    /// The directory of source trees, `$XDG_DATA_HOME/dwell`.
    pub fn data(&self) -> PathBuf {
        self.path().join("data/dwell")
    }

    /// The daemon's socket.
    pub fn socket(&self) -> PathBuf {
        self.path().join("run/dwell/node.sock")
    }

    /// The port of the daemon's DNS server.
    pub fn dns_port(&self) -> u16 {
        self.slot.dns_port()
    }

    /// The port of the daemon's HTTP proxy.
    pub fn proxy_port(&self) -> u16 {
        self.slot.proxy_port()
    }

    /// The pool that addresses of environments come from.
    pub fn pool(&self) -> String {
        self.slot.pool()
    }

    /// The pool that loopback addresses of services on other nodes come from.
    pub fn loopback_pool(&self) -> String {
        self.slot.loopback_pool()
    }

    /// Puts a script in the place of a program, for what runs in the home.
    pub fn tool(&self, name: &str, script: &str) {
        let _ = Project::new(self.path().join("bin")).script(name, script);
    }

    /// Makes `ssh` in the home reach these hosts by their names, with their keys pinned.
    #[must_use]
    pub fn ssh_to(self, hosts: &impl SshTargets) -> Self {
        let folder = self.ssh();
        ssh::write(&folder, hosts);
        self.tool("ssh", &ssh::wrapper(&folder));
        self
    }

    /// The files of `ssh` in the home after [`Self::ssh_to`]: `config`, `known_hosts`, `identity`.
    pub fn ssh(&self) -> PathBuf {
        self.path().join("ssh")
    }

    /// Pins the keys that the hosts have now.
    pub fn trust_hosts(&self, hosts: &impl SshTargets) {
        ssh::trust(&self.ssh(), hosts);
    }

    /// Forgets the keys of all hosts, as of hosts that the user never connected to.
    pub fn forget_hosts(&self) {
        self.write("ssh/known_hosts", "");
    }

    /// A new project directory in the home.
    pub fn project(&self, name: &str) -> Project {
        Project::new(self.path().join("projects").join(name))
    }

    /// Any program, with the home's environment and nothing else of the caller's.
    pub fn command(&self, program: impl AsRef<OsStr>) -> Command {
        let mut command = Command::new(program);
        command.env_clear().current_dir(self.path());
        for name in INHERITED {
            if let Some(value) = std::env::var_os(name) {
                command.env(name, value);
            }
        }
        if self.path().join("bin").exists() {
            let usual = std::env::var_os("PATH").unwrap_or_default();
            let folders =
                [self.path().join("bin")].into_iter().chain(std::env::split_paths(&usual));
            command.env("PATH", std::env::join_paths(folders).expect("a path of folders"));
        }
        for (name, folder) in [
            ("HOME", ""),
            ("XDG_STATE_HOME", "state"),
            ("XDG_DATA_HOME", "data"),
            ("XDG_CONFIG_HOME", "config"),
            ("XDG_CACHE_HOME", "cache"),
            ("XDG_RUNTIME_DIR", "run"),
        ] {
            command.env(name, self.path().join(folder));
        }
        command.env("GIT_CONFIG_NOSYSTEM", "1").env("LANG", "C.UTF-8").env("NO_COLOR", "1");
        if let Some(folder) = docker_configuration() {
            command.env("DOCKER_CONFIG", folder);
        }
        if let Some(engine) = &self.engine {
            command.env("DOCKER_HOST", engine);
        }
        command
    }

    /// The binary's path.
    pub fn binary(&self) -> &Path {
        &self.binary
    }

    /// The binary as a command, for callers that spawn it or add to its environment.
    pub fn dwell_command(&self) -> Command {
        self.command(&self.binary)
    }

    /// Runs the binary in the home's directory.
    #[track_caller]
    pub fn dwell<I: IntoIterator<Item = S>, S: AsRef<OsStr>>(&self, arguments: I) -> Ran {
        self.dwell_in(self.path(), arguments)
    }

    /// Runs the binary in another directory, such as a project.
    #[track_caller]
    pub fn dwell_in<I: IntoIterator<Item = S>, S: AsRef<OsStr>>(
        &self,
        directory: impl AsRef<Path>,
        arguments: I,
    ) -> Ran {
        let mut command = self.dwell_command();
        let ran = run(command.current_dir(directory).args(arguments), self.limit);
        self.node();
        ran
    }

    /// The containers of an environment by its name, also those that do not run: of one service,
    /// or of all.
    #[track_caller]
    pub fn containers(&self, environment: &str, service: Option<&str>) -> Vec<String> {
        let node = self.node().expect("the daemon was started");
        let mut list = self.command("docker");
        list.args(["ps", "--all", "--quiet", "--no-trunc"]);
        let mut labels = vec![format!("dwell.node={node}"), format!("dwell.name={environment}")];
        labels.extend(service.map(|service| format!("dwell.service={service}")));
        for label in labels {
            list.args(["--filter", &format!("label={label}")]);
        }
        run(&mut list, self.limit).ok().lines().map(str::to_owned).collect()
    }

    /// The identity in the labels of what this home's daemon makes; `None` before its first
    /// start. It is asked for once and written down, so that leftovers of a killed test are found.
    pub fn node(&self) -> Option<String> {
        let written = self.path().join("node");
        if let Ok(id) = fs::read_to_string(&written) {
            return Some(id);
        }
        if !self.socket().exists() {
            return None;
        }
        let mut ask = self.dwell_command();
        let ran = run(ask.args(["node", "status", "--json"]), self.limit);
        let status: serde_json::Value = serde_json::from_str(&ran.stdout).ok()?;
        let id = status.get("id")?.as_str()?.to_owned();
        self.write("node", &id);
        Some(id)
    }

    fn write(&self, name: &str, content: &str) {
        fs::write(self.path().join(name), content).expect("a file of the home can be written");
    }

    /// Ends the daemon, its sessions and helpers, and removes what it made outside the home.
    fn clean(&self) {
        if self.node().is_none() && self.state().exists() {
            // Killed before it could be asked: only a new start tells the identity.
            run(self.dwell_command().args(["node", "start"]), self.limit);
            self.node();
        }
        if self.socket().exists() {
            run(self.dwell_command().args(["node", "stop"]), self.limit);
        }
        end_processes(self.path());
        if let Some(node) = self.node() {
            remove_labelled(self.engine.as_deref(), &format!("dwell.node={node}"));
        }
        for id in self.environments() {
            self.remove_images(&id);
        }
    }

    /// Identities of the environments that are not destroyed.
    fn environments(&self) -> BTreeSet<String> {
        let entries = fs::read_dir(self.state().join("environments")).into_iter().flatten();
        entries.flatten().map(|e| e.file_name().to_string_lossy().into_owned()).collect()
    }

    /// Removes an environment's private tags; images that compose built carry no label of ours.
    fn remove_images(&self, environment: &str) {
        let filter = format!("reference=dwell-{environment}/*");
        let mut list = self.command("docker");
        list.args(["image", "ls", "--filter", &filter, "--format", "{{.Repository}}:{{.Tag}}"]);
        for tag in run(&mut list, self.limit).stdout.lines() {
            run(self.command("docker").args(["image", "rm", tag]), self.limit);
        }
    }

    fn print_log(&self) {
        let ran = run(self.dwell_command().args(["node", "logs"]), self.limit);
        let lines: Vec<&str> = ran.stdout.lines().collect();
        let last = lines.len().saturating_sub(60);
        eprintln!("--- the daemon's last words");
        lines.iter().skip(last).for_each(|line| eprintln!("{line}"));
    }
}

impl Drop for TestHome {
    fn drop(&mut self) {
        let failed = std::thread::panicking();
        // A second panic while the first unwinds would end the process without cleaning up.
        let cleaned = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            if failed && self.socket().exists() {
                self.print_log();
            }
            self.clean();
        }));
        if cleaned.is_err() {
            eprintln!("{} was not cleaned up: run `make clean-test`", self.path().display());
            self.directory.disable_cleanup(true);
        }
        assert!(failed || cleaned.is_ok(), "the home could not be cleaned up");
    }
}

/// Ends every process that has this home in its environment or its arguments.
fn end_processes(home: &Path) {
    let variable = format!("XDG_STATE_HOME={}/", home.display());
    let argument = home.display().to_string();
    let mut found = true;
    while std::mem::take(&mut found) {
        for entry in fs::read_dir("/proc").into_iter().flatten().flatten() {
            let pid = entry.file_name().to_str().and_then(|name| name.parse().ok());
            let Some(pid) = pid.and_then(Pid::from_raw) else { continue };
            let mentions = |file: &str, text: &str| {
                let content = fs::read(entry.path().join(file)).unwrap_or_default();
                String::from_utf8_lossy(&content).contains(text)
            };
            if mentions("environ", &variable) || mentions("cmdline", &argument) {
                found |= kill_process(pid, Signal::KILL).is_ok();
            }
        }
        if found {
            std::thread::sleep(Duration::from_millis(10));
        }
    }
}

/// The caller's Docker configuration: plugins of the command line and the chosen context.
fn docker_configuration() -> Option<PathBuf> {
    let set = std::env::var_os("DOCKER_CONFIG").map(PathBuf::from);
    let usual = || std::env::var_os("HOME").map(|home| PathBuf::from(home).join(".docker"));
    set.or_else(usual).filter(|folder| folder.is_dir())
}

fn private() -> fs::Permissions {
    use std::os::unix::fs::PermissionsExt;
    fs::Permissions::from_mode(0o700)
}
