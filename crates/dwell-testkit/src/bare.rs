//! A rented server before anybody has set it up: Debian with systemd, sshd and sudo, no Docker.

use std::ffi::OsStr;
use std::fs;
use std::net::{Ipv4Addr, TcpStream};
use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

use tempfile::TempDir;

use crate::docker::{docker, remove_labelled};
use crate::engine::{name, owned_directory};
use crate::process::{Ran, run};
use crate::slot::Slot;
use crate::ssh::{self, SshTargets, Target};
use crate::wait::wait_until;

/// Installing Docker there takes its time.
const LIMIT: Duration = Duration::from_secs(300);

const IMAGE: &str = "dwell-test-server";

/// What systemd and an engine inside take of a container, which is less than `--privileged`.
const RIGHTS: [&str; 10] = [
    "--cap-add=ALL",
    "--cap-drop=SYS_RESOURCE",
    "--security-opt=seccomp=unconfined",
    "--security-opt=apparmor=unconfined",
    "--security-opt=systempaths=unconfined",
    "--tmpfs=/run",
    "--tmpfs=/run/lock",
    "--tmpfs=/tmp",
    "--volume=/var/lib/docker",
    "--volume=/var/lib/containerd",
];

/// A container that is a whole machine, with a way to the package archive. Its users are root;
/// `admin`, who may use sudo; and `plain`, who may not. It is removed when dropped.
pub struct BareHost {
    directory: TempDir,
    slot: Slot,
}

impl BareHost {
    /// Starts one and waits until it accepts connections. `None`, with a word on stderr, where its
    /// image is not there (`make test` builds it).
    pub fn start() -> Option<Self> {
        if docker(["image", "inspect", "--format", "ok", IMAGE]).code != Some(0) {
            eprintln!("skipped: a bare host takes the image {IMAGE}");
            return None;
        }
        let host = Self { directory: owned_directory("dwell-bare-"), slot: Slot::take() };
        let id = host.id();
        let label = host.label();
        let subnet = format!("{}/24", host.slot.host_address(0));
        docker(["network", "create", "--label", &label, "--subnet", &subnet, &id]).ok();
        let address = format!("--ip={}", host.address());
        let mut arguments = vec!["create", "--name", &id, "--hostname", host.name(), "--label"];
        arguments.extend([label.as_str(), "--network", &id, &address]);
        arguments.extend(RIGHTS);
        if !PathBuf::from("/sys/fs/cgroup/cgroup.controllers").exists() {
            arguments.extend(["--cgroupns=host", "--tmpfs=/sys/fs/cgroup"]);
        }
        arguments.push(IMAGE);
        docker(arguments).ok();
        host.copy_keys();
        docker(["start", &id]).ok();
        ssh::write(&host.access(), &host);
        host.wait();
        Some(host)
    }

    /// Its name, in `ssh` and as its host name.
    pub fn name(&self) -> &'static str {
        "bare"
    }

    /// Its address.
    pub fn address(&self) -> Ipv4Addr {
        self.slot.host_address(11)
    }

    /// Runs a command on it as one of its users by ssh, which knows the host's key.
    #[track_caller]
    pub fn ssh_as<I: IntoIterator<Item = S>, S: AsRef<OsStr>>(
        &self,
        user: &str,
        arguments: I,
    ) -> Ran {
        let mut command = Command::new("ssh");
        command.arg("-F").arg(self.access().join("config"));
        command.args(["-o", "BatchMode=yes", "-o", "StrictHostKeyChecking=yes"]);
        run(command.args(["-l", user, self.name()]).args(arguments), LIMIT)
    }

    /// Starts it anew, as a reboot does, and waits until it accepts connections.
    pub fn reboot(&self) {
        docker(["restart", "--time", "20", &self.id()]).ok();
        self.wait();
    }

    fn wait(&self) {
        wait_until(LIMIT, "sshd", || {
            let limit = Duration::from_millis(200);
            TcpStream::connect_timeout(&(self.address(), 22).into(), limit).is_ok()
        });
        // Others than root may log in once it has started.
        self.ssh_as("root", ["systemctl is-system-running --wait"]);
    }

    /// Copies an image of this machine's engine into its own, once it has one.
    #[track_caller]
    pub fn load(&self, image: &str) {
        let script = format!("docker save {image} | docker exec -i {} docker load", self.id());
        run(Command::new("sh").args(["-euc", &script]), LIMIT).ok();
    }

    /// The name of its container and its network.
    pub fn id(&self) -> String {
        name(self.directory.path())
    }

    /// The mark of what belongs to it, by which `make clean-test` finds it.
    fn label(&self) -> String {
        format!("dwell.test={}", self.id())
    }

    fn access(&self) -> PathBuf {
        self.directory.path().join("access")
    }

    /// Puts the host's key and the client's public key into the container.
    fn copy_keys(&self) {
        fs::create_dir(self.access()).expect("a folder can be made");
        ssh::make_key(&self.access().join("identity"));
        let key = self.directory.path().join("ssh_host_ed25519_key");
        ssh::make_key(&key);
        let folder = self.directory.path().join(".ssh");
        fs::create_dir(&folder).expect("a folder can be made");
        fs::copy(self.access().join("identity.pub"), folder.join("authorized_keys"))
            .expect("a file can be copied");
        for (file, to) in [(&key, "/etc/ssh/"), (&folder, "/etc/ssh/keys")] {
            let to = format!("{}:{to}", self.id());
            docker(["cp".as_ref(), file.as_os_str(), to.as_ref()]).ok();
        }
    }
}

impl SshTargets for BareHost {
    fn targets(&self) -> Vec<Target> {
        let key = fs::read_to_string(self.directory.path().join("ssh_host_ed25519_key.pub"));
        let key = key.expect("the host's key can be read");
        vec![Target { name: self.name().to_owned(), address: self.address(), key }]
    }

    fn identity(&self) -> PathBuf {
        self.access().join("identity")
    }
}

impl Drop for BareHost {
    fn drop(&mut self) {
        // What its own engine runs has control groups outside of its container.
        let remove = "docker ps --all --quiet | xargs --no-run-if-empty docker rm --force";
        let mut inside = Command::new("timeout");
        let _ = inside.args(["60", "docker", "exec", &self.id(), "sh", "-c", remove]).output();
        let cleaned = std::panic::catch_unwind(|| remove_labelled(None, &self.label()));
        assert!(std::thread::panicking() || cleaned.is_ok(), "the host could not be removed");
    }
}
