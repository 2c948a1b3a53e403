//! A private Docker engine that a test may kill, freeze and start again. It has namespaces, a
//! containerd and data of its own, so that the machine's engine never notices.

use std::fs;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use rustix::process::Signal;
use tempfile::TempDir;

use crate::dockerd::Dockerd;
use crate::machine::{Machine, remove_control_groups};
use crate::process::{Ran, run};

const LIMIT: Duration = Duration::from_secs(60);

/// The rest of the file system is shared, so that trees can be mounted into containers.
const BOOT: &str = "mount -t proc proc /proc\nip link set lo up";

/// An engine of the test's own, gone without a trace when dropped.
pub struct Engine {
    directory: TempDir,
    dockerd: Dockerd,
    machine: Option<Machine>,
}

impl Engine {
    /// Starts one and waits until it answers. `None`, with a word on stderr, where it cannot be
    /// had: it takes Linux, root and `dockerd`.
    pub fn private() -> Option<Self> {
        if !possible("a private engine", &["/usr/sbin/dockerd"]) {
            return None;
        }
        let directory = owned_directory("dwell-engine-");
        let at = directory.path();
        let dockerd = Dockerd {
            run: at.join("run"),
            data: at.join("data"),
            socket: at.join("docker.sock"),
            control_group: name(at),
        };
        let log = at.join("machine.log");
        let mut machine = Machine::start(None, &["net", "mount", "pid"], BOOT, &[], &log);
        machine.ready();
        let engine = Self { directory, dockerd, machine: Some(machine) };
        engine.dockerd.start(engine.machine());
        Some(engine)
    }

    /// Its address, as `DOCKER_HOST` takes it.
    pub fn host(&self) -> String {
        format!("unix://{}", self.dockerd.socket.display())
    }

    /// Runs `docker` against it, for at most two minutes.
    #[track_caller]
    pub fn docker<I: IntoIterator<Item = S>, S: AsRef<std::ffi::OsStr>>(
        &self,
        arguments: I,
    ) -> Ran {
        let mut command = Command::new("docker");
        run(command.args(arguments).env("DOCKER_HOST", self.host()), Duration::from_secs(120))
    }

    /// Copies an image from the machine's engine into it.
    pub fn load(&self, image: &str) {
        let file = self.directory.path().join("image.tar");
        let mut save = Command::new("docker");
        run(save.args(["save", "--output"]).arg(&file).arg(image), LIMIT).ok();
        self.docker(["load".as_ref(), "--quiet".as_ref(), "--input".as_ref(), file.as_os_str()])
            .ok();
        fs::remove_file(file).expect("the image's file can be removed");
    }

    /// Whether it answers.
    pub fn answers(&self) -> bool {
        self.dockerd.answers(self.machine())
    }

    /// Kills dockerd with SIGKILL; containers go on running until the next start ends them.
    pub fn kill(&mut self) {
        self.dockerd.kill(self.machine());
    }

    /// Starts dockerd again after [`Self::kill`] and waits until it answers.
    pub fn restart(&mut self) {
        self.dockerd.start_dockerd(self.machine());
    }

    /// Stops dockerd from answering without ending it.
    pub fn freeze(&self) {
        self.machine().signal("dockerd", Signal::STOP);
    }

    /// Lets it go on after [`Self::freeze`].
    pub fn thaw(&self) {
        self.machine().signal("dockerd", Signal::CONT);
    }

    fn machine(&self) -> &Machine {
        self.machine.as_ref().expect("the engine's machine runs until the drop")
    }
}

impl Drop for Engine {
    fn drop(&mut self) {
        self.machine = None;
        remove_control_groups(&self.dockerd.control_group);
    }
}

/// A new directory whose file `owner` names this process, so that leftovers are known as such.
pub(crate) fn owned_directory(prefix: &str) -> TempDir {
    let directory = tempfile::Builder::new().prefix(prefix).tempdir_in("/tmp");
    let directory = directory.expect("a temporary directory can be made");
    fs::write(directory.path().join("owner"), std::process::id().to_string())
        .expect("a file can be written");
    directory
}

/// The last part of a path.
pub(crate) fn name(path: &Path) -> String {
    let name = path.file_name().expect("a temporary directory has a name");
    name.to_string_lossy().into_owned()
}

/// Whether what takes Linux, root and these programs can be had; says so where it cannot.
pub(crate) fn possible(what: &str, programs: &[&str]) -> bool {
    let possible = cfg!(target_os = "linux")
        && rustix::process::geteuid().is_root()
        && programs.iter().all(|program| Path::new(program).exists());
    if !possible {
        eprintln!("skipped: {what} takes Linux, root and {}", programs.join(", "));
    }
    possible
}
