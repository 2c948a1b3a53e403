//! A Docker engine in a machine: containerd and dockerd with their files.

use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::time::Duration;

use rustix::process::Signal;

use crate::machine::Machine;
use crate::wait::wait_until;

const LIMIT: Duration = Duration::from_secs(60);

/// Where an engine keeps its files, as its machine sees them.
pub(crate) struct Dockerd {
    /// Sockets, logs, the state of what runs.
    pub(crate) run: PathBuf,
    /// Images, containers, volumes.
    pub(crate) data: PathBuf,
    /// The engine's socket.
    pub(crate) socket: PathBuf,
    /// The control group of its containers.
    pub(crate) control_group: String,
}

impl Dockerd {
    /// Starts both and waits until the engine answers.
    pub(crate) fn start(&self, machine: &Machine) {
        let (run, data) = (self.run.display(), self.data.display());
        let configuration = format!(
            "version = 2\nroot = \"{data}/containerd\"\nstate = \"{run}/containerd\"\n\
             disabled_plugins = [\"io.containerd.grpc.v1.cri\"]\n\
             [grpc]\naddress = \"{run}/containerd.sock\"\n"
        );
        machine
            .shell(&format!(
                "mkdir -p {run} {data}\nrm -f {run}/containerd.sock\n\
                 printf '%s' '{configuration}' >{run}/containerd.toml\n\
                 containerd --config {run}/containerd.toml >>{run}/containerd.log 2>&1 &"
            ))
            .ok();
        let socket = machine.path(self.run.join("containerd.sock"));
        wait_until(LIMIT, "containerd's socket", || UnixStream::connect(&socket).is_ok());
        self.start_dockerd(machine);
    }

    /// Starts dockerd only, as after a kill, and waits until it answers.
    pub(crate) fn start_dockerd(&self, machine: &Machine) {
        let (run, data, socket) = (self.run.display(), self.data.display(), self.socket.display());
        let group = &self.control_group;
        // The next dockerd takes the file of a killed one for a running one's.
        machine
            .shell(&format!(
                "rm -f {run}/docker.pid\n\
                 dockerd --host unix://{socket} --data-root {data}/docker --exec-root {run}/docker \
                 --pidfile {run}/docker.pid --containerd {run}/containerd.sock \
                 --exec-opt native.cgroupdriver=cgroupfs --cgroup-parent /{group} \
                 >>{run}/dockerd.log 2>&1 &"
            ))
            .ok();
        wait_until(LIMIT, &format!("an engine at {socket}"), || self.answers(machine));
    }

    /// Whether the engine answers.
    pub(crate) fn answers(&self, machine: &Machine) -> bool {
        let Ok(stream) = UnixStream::connect(machine.path(&self.socket)) else { return false };
        let limit = Some(Duration::from_secs(2));
        let limited = stream.set_read_timeout(limit).and(stream.set_write_timeout(limit));
        limited.is_ok() && ping(stream)
    }

    /// Kills dockerd with SIGKILL; containers go on running.
    pub(crate) fn kill(&self, machine: &Machine) {
        machine.signal("dockerd", Signal::KILL);
        wait_until(LIMIT, "the end of dockerd", || !self.runs(machine));
    }

    fn runs(&self, machine: &Machine) -> bool {
        UnixStream::connect(machine.path(&self.socket)).is_ok()
    }

    /// The last lines of its logs.
    pub(crate) fn last_words(&self, machine: &Machine) -> String {
        let files = ["containerd.log", "dockerd.log"].map(|name| machine.path(self.run.join(name)));
        files.map(|file| last_lines(&file)).join("\n")
    }
}

/// The last lines of a file.
pub(crate) fn last_lines(file: &Path) -> String {
    let text = std::fs::read_to_string(file).unwrap_or_default();
    let lines: Vec<&str> = text.lines().collect();
    lines.get(lines.len().saturating_sub(20)..).unwrap_or_default().join("\n")
}

fn ping(mut stream: UnixStream) -> bool {
    use std::io::{Read, Write};
    let request = b"GET /_ping HTTP/1.1\r\nhost: engine\r\nconnection: close\r\n\r\n";
    let mut answer = Vec::new();
    let asked = stream.write_all(request).and_then(|()| stream.read_to_end(&mut answer));
    asked.is_ok() && answer.starts_with(b"HTTP/1.1 200")
}
