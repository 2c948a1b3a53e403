//! A private Docker engine that a test may kill, freeze and start again. It has a network
//! namespace, a containerd and data of its own, so that the machine's engine never notices.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;

use crate::process::{Ran, run};
use crate::wait::wait_until;

const LIMIT: Duration = Duration::from_secs(60);

/// An engine of the test's own, gone without a trace when dropped.
pub struct Engine {
    directory: TempDir,
    namespace: String,
    containerd: Child,
    dockerd: Child,
}

impl Engine {
    /// Starts one and waits until it answers. `None`, with a word on stderr, where it cannot be
    /// had: it takes Linux, root and `dockerd`.
    pub fn private() -> Option<Self> {
        let possible = cfg!(target_os = "linux")
            && rustix::process::geteuid().is_root()
            && Path::new("/usr/sbin/dockerd").exists();
        if !possible {
            eprintln!("skipped: a private engine takes Linux, root and /usr/sbin/dockerd");
            return None;
        }
        let directory = tempfile::Builder::new()
            .prefix("dwell-engine-")
            .tempdir_in("/tmp")
            .expect("a temporary directory can be made");
        let at = directory.path();
        fs::write(at.join("owner"), std::process::id().to_string()).expect("a file can be written");
        let namespace = at.file_name().map(|name| name.to_string_lossy().into_owned());
        let namespace = namespace.expect("a temporary directory has a name");
        ip(&["netns", "add", &namespace]);
        ip(&["-n", &namespace, "link", "set", "lo", "up"]);
        fs::write(at.join("containerd.toml"), containerd_configuration(at))
            .expect("a file can be written");
        let containerd = spawn(at, &namespace, "containerd", |command| {
            command.arg("--config").arg(at.join("containerd.toml"));
        });
        wait_until(LIMIT, "containerd's socket", || at.join("containerd.sock").exists());
        let dockerd = spawn_dockerd(at, &namespace);
        let engine = Self { directory, namespace, containerd, dockerd };
        engine.wait();
        Some(engine)
    }

    /// Its address, as `DOCKER_HOST` takes it.
    pub fn host(&self) -> String {
        format!("unix://{}", self.path().join("docker.sock").display())
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
        let file = self.path().join("image.tar");
        let mut save = Command::new("docker");
        run(save.args(["save", "--output"]).arg(&file).arg(image), LIMIT).ok();
        self.docker(["load".as_ref(), "--quiet".as_ref(), "--input".as_ref(), file.as_os_str()])
            .ok();
        fs::remove_file(file).expect("the image's file can be removed");
    }

    /// Whether it answers.
    pub fn answers(&self) -> bool {
        let mut command = Command::new("docker");
        command.env("DOCKER_HOST", self.host()).stdout(Stdio::null()).stderr(Stdio::null());
        command.args(["version", "--format", "{{.Server.Version}}"]).stdin(Stdio::null());
        command.status().is_ok_and(|status| status.success())
    }

    /// Kills dockerd with SIGKILL; containers go on running until the next start ends them.
    pub fn kill(&mut self) {
        self.dockerd.kill().expect("dockerd can be killed");
        self.dockerd.wait().expect("dockerd can be waited for");
    }

    /// Starts dockerd again after [`Self::kill`] and waits until it answers.
    pub fn restart(&mut self) {
        // The next dockerd takes the file of a killed one for a running one's.
        let _ = fs::remove_file(self.path().join("docker.pid"));
        self.dockerd = spawn_dockerd(self.path(), &self.namespace);
        self.wait();
    }

    /// Stops dockerd from answering without ending it.
    pub fn freeze(&self) {
        signal(&self.dockerd, Signal::STOP);
    }

    /// Lets it go on after [`Self::freeze`].
    pub fn thaw(&self) {
        signal(&self.dockerd, Signal::CONT);
    }

    fn path(&self) -> &Path {
        self.directory.path()
    }

    fn wait(&self) {
        wait_until(LIMIT, &format!("an engine at {}", self.host()), || self.answers());
    }

    fn clean(&mut self) {
        if matches!(self.dockerd.try_wait(), Ok(None)) {
            self.thaw();
        }
        if self.answers() {
            let all = self.docker(["ps", "--all", "--quiet"]);
            let remove = ["rm", "--force", "--volumes"].into_iter().chain(all.stdout.lines());
            if !all.stdout.is_empty() {
                self.docker(remove).ok();
            }
        }
        end(&mut self.dockerd);
        end_containers(self.path());
        end(&mut self.containerd);
        unmount_below(self.path());
        ip(&["netns", "del", &self.namespace]);
    }
}

impl Drop for Engine {
    fn drop(&mut self) {
        let failed = std::thread::panicking();
        // A second panic while the first unwinds would end the process without cleaning up.
        let cleaned =
            std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| self.clean())).is_ok();
        if !cleaned {
            eprintln!("{} was not cleaned up: run `make clean-test`", self.path().display());
            self.directory.disable_cleanup(true);
        }
        assert!(failed || cleaned, "the private engine could not be cleaned up");
    }
}

fn containerd_configuration(at: &Path) -> String {
    let at = at.display();
    format!(
        "version = 2\nroot = \"{at}/containerd\"\nstate = \"{at}/containerd-state\"\n\
         disabled_plugins = [\"io.containerd.grpc.v1.cri\"]\n\
         [grpc]\naddress = \"{at}/containerd.sock\"\n"
    )
}

fn spawn_dockerd(at: &Path, namespace: &str) -> Child {
    spawn(at, namespace, "dockerd", |command| {
        command.arg("--host").arg(format!("unix://{}", at.join("docker.sock").display()));
        command.arg("--data-root").arg(at.join("data")).arg("--exec-root").arg(at.join("exec"));
        command.arg("--pidfile").arg(at.join("docker.pid"));
        command.arg("--containerd").arg(at.join("containerd.sock"));
    })
}

/// Starts a program in the namespace. `nsenter` becomes it, so the child's id is the program's;
/// `ip netns exec` would hide the control groups.
fn spawn(at: &Path, namespace: &str, program: &str, more: impl FnOnce(&mut Command)) -> Child {
    let log = File::options().create(true).append(true).open(at.join(format!("{program}.log")));
    let log = log.expect("a log file can be opened");
    let mut command = Command::new("nsenter");
    command.arg(format!("--net=/run/netns/{namespace}")).arg(program);
    more(&mut command);
    command
        .stdin(Stdio::null())
        .stdout(log.try_clone().expect("a file handle can be copied"))
        .stderr(log)
        .spawn()
        .expect("the program can be started")
}

fn signal(child: &Child, signal: Signal) {
    kill_process(Pid::from_child(child), signal).expect("the child can be signalled");
}

/// Asks a child to end, and kills it when it has not within 20 s.
fn end(child: &mut Child) {
    let ended = |child: &mut Child| matches!(child.try_wait(), Ok(Some(_)));
    if ended(child) {
        return;
    }
    signal(child, Signal::TERM);
    for _ in 0..1000 {
        if ended(child) {
            return;
        }
        std::thread::sleep(Duration::from_millis(20));
    }
    child.kill().expect("the child can be killed");
    child.wait().expect("the child can be waited for");
}

/// Ends what runs in containers that dockerd could no longer remove, and their shims.
fn end_containers(at: &Path) {
    let containers = fs::read_dir(at.join("data/containers")).into_iter().flatten().flatten();
    let ids: Vec<String> =
        containers.map(|entry| entry.file_name().to_string_lossy().into_owned()).collect();
    let socket = at.join("containerd.sock").display().to_string();
    for entry in fs::read_dir("/proc").into_iter().flatten().flatten() {
        let pid = entry.file_name().to_str().and_then(|name| name.parse().ok());
        let Some(pid) = pid.and_then(Pid::from_raw) else { continue };
        let read = |name: &str| fs::read(entry.path().join(name)).unwrap_or_default();
        let groups = String::from_utf8_lossy(&read("cgroup")).into_owned();
        let line = String::from_utf8_lossy(&read("cmdline")).into_owned();
        let shim = line.contains("containerd-shim") && line.contains(&socket);
        if shim || ids.iter().any(|id| groups.contains(id.as_str())) {
            // It may have ended by itself.
            let _ = kill_process(pid, Signal::KILL);
        }
    }
}

fn unmount_below(at: &Path) {
    let mounts = fs::read_to_string("/proc/self/mountinfo").unwrap_or_default();
    let points = mounts.lines().filter_map(|line| line.split(' ').nth(4)).map(PathBuf::from);
    let mut points: Vec<PathBuf> = points.filter(|point| point.starts_with(at)).collect();
    points.reverse();
    for point in points {
        run(Command::new("umount").arg("--lazy").arg(point), LIMIT).ok();
    }
}

fn ip(arguments: &[&str]) {
    run(Command::new("ip").args(arguments), LIMIT).ok();
}
