//! One machine of the network of [`Hosts`](crate::Hosts).

mod caddy;
mod engine;
mod fault;
mod plan;

use std::ffi::OsStr;
use std::fs;
use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

pub use fault::Cut;
pub use plan::HostPlan;

use crate::dockerd::{Dockerd, last_lines};
use crate::hosts::Network;
use crate::machine::Machine;
use crate::process::{Ran, run};
use crate::project::Project;
use crate::ssh::{self, Target};

/// For all that is run on a host.
const LIMIT: Duration = Duration::from_secs(120);

const BOOT: &str = include_str!("host/boot.sh");

/// Namespaces that make it a machine: of the network, mounts, processes, the host name.
const SPACES: [&str; 5] = ["net", "mount", "pid", "uts", "ipc"];

/// A machine with its own sshd, users, homes, processes and address, and perhaps its own engine.
/// `/etc`, `/var`, `/usr/local`, `/root`, `/home`, `/run` and `/tmp` are its own, the rest of its
/// files is this machine's, read-only. It has no way to other networks. Its clock is this
/// machine's, as no namespace changes the time of day.
pub struct Host {
    plan: HostPlan,
    number: u8,
    network: Arc<Network>,
    machine: Mutex<Option<Machine>>,
    hooks: Mutex<Vec<(String, String)>>,
}

impl Host {
    pub(crate) fn new(plan: HostPlan, number: u8, network: Arc<Network>) -> Self {
        let (machine, hooks) = (Mutex::new(None), Mutex::new(Vec::new()));
        let host = Self { plan, number, network, machine, hooks };
        host.make_disk();
        host
    }

    /// Its name, in `ssh` and as its host name.
    pub fn name(&self) -> &str {
        &self.plan.name
    }

    /// Its address.
    pub fn address(&self) -> Ipv4Addr {
        self.network.address(self.number)
    }

    /// The last part of its addresses.
    pub(crate) fn number(&self) -> u8 {
        self.number
    }

    /// One of its files as the test reaches it, while the host runs.
    #[track_caller]
    pub fn path(&self, inside: impl AsRef<Path>) -> PathBuf {
        self.on(|machine| machine.path(inside))
    }

    /// A program on it, as root and without ssh, also while it is cut off. Its environment is that
    /// of a plain login.
    #[track_caller]
    pub fn command(&self, program: impl AsRef<OsStr>) -> Command {
        let mut command = self.on(|machine| machine.command(program));
        command.env("LANG", "C.UTF-8").env("USER", "root").env("LOGNAME", "root");
        if self.plan.runtime_directory {
            command.env("XDG_RUNTIME_DIR", "/run/user/0");
        }
        command
    }

    /// Runs a script of `sh` on it, as [`Self::command`] does.
    #[track_caller]
    pub fn shell(&self, script: &str) -> Ran {
        run(self.command("sh").args(["-euc", script]), LIMIT)
    }

    /// Runs a command on it as root by ssh, which knows the host's key. As everywhere with ssh,
    /// the shell there reads the words.
    #[track_caller]
    pub fn ssh<I: IntoIterator<Item = S>, S: AsRef<OsStr>>(&self, arguments: I) -> Ran {
        self.ssh_as("root", arguments)
    }

    /// Runs a command on it as one of its users by ssh.
    #[track_caller]
    pub fn ssh_as<I: IntoIterator<Item = S>, S: AsRef<OsStr>>(
        &self,
        user: &str,
        arguments: I,
    ) -> Ran {
        run(self.ssh_command(user).args(arguments), LIMIT)
    }

    /// That `ssh` as a command, for callers that spawn it.
    pub fn ssh_command(&self, user: &str) -> Command {
        let mut command = Command::new("ssh");
        command.arg("-F").arg(self.network.access().join("config"));
        command.args(["-o", "BatchMode=yes", "-o", "StrictHostKeyChecking=yes"]);
        command.args(["-l", user, self.name()]);
        command
    }

    /// Copies a file of this machine to it, such as the binary, and makes it executable.
    pub fn install(&self, file: &Path, inside: &str) {
        let to = self.path(inside);
        if let Some(folder) = to.parent() {
            fs::create_dir_all(folder).expect("a folder can be made");
        }
        fs::copy(file, &to).expect("a file can be copied");
        use std::os::unix::fs::PermissionsExt;
        fs::set_permissions(&to, fs::Permissions::from_mode(0o755)).expect("a mode can be set");
    }

    /// Puts a script in the place of a program, for all users.
    pub fn tool(&self, name: &str, script: &str) {
        let _ = Project::new(self.path("/usr/local/bin")).script(name, script);
    }

    /// Runs a command as a user at each start of the host from now on, as a service manager would.
    pub fn on_boot(&self, user: &str, command: &str) {
        lock(&self.hooks).push((user.to_owned(), command.to_owned()));
    }

    /// Starts it for the first time.
    pub(crate) fn start(&self) {
        self.boot();
        if !self.plan.images.is_empty() {
            self.load_all(&self.plan.images);
        }
    }

    /// Starts it: sshd, the engine if it has one, what [`Self::on_boot`] was told.
    pub fn boot(&self) {
        let disk = self.directory().join("disk");
        let log = self.directory().join("boot.log");
        let runtime = if self.plan.runtime_directory { "yes" } else { "no" };
        let users = self.plan.users.join(" ");
        let variables = [
            ("NAME", self.plan.name.as_ref()),
            ("DISK", disk.as_os_str()),
            ("USERS", users.as_ref()),
            ("RUNTIME", runtime.as_ref()),
        ];
        let ground = self.network.ground();
        let mut machine = Machine::start(Some(ground), &SPACES, BOOT, &variables, &log);
        self.plug_in(&machine);
        machine.ready();
        *lock(&self.machine) = Some(machine);
        if self.plan.engine {
            self.start_engine();
        }
        for (user, command) in lock(&self.hooks).iter() {
            self.ssh_as(user, [command]).ok();
        }
    }

    /// Ends everything on it at once, as a power cut does. Nobody is told.
    pub fn power_off(&self) {
        *lock(&self.machine) = None;
        // Gone with the host's namespace, but only a moment later.
        self.network.ground().shell(&format!("ip link del {} 2>&1 || true", self.port()));
    }

    /// A power cut, and the start after it. What was on the disk is there again, `/run` and `/tmp`
    /// are empty, and the way to it is free.
    pub fn reboot(&self) {
        self.power_off();
        self.boot();
    }

    /// What clients have to know of it.
    pub(crate) fn target(&self) -> Target {
        let key = fs::read_to_string(self.path("/etc/ssh/host_key.pub"));
        let key = key.expect("the host's key can be read");
        Target { name: self.plan.name.clone(), address: self.address(), key }
    }

    pub(crate) fn print_last_words(&self) {
        let Some(machine) = &*lock(&self.machine) else { return };
        let name = self.name();
        eprintln!("--- {name}: sshd\n{}", last_lines(&machine.path("/run/sshd.log")));
        if self.plan.engine {
            eprintln!("--- {name}: the engine\n{}", self.dockerd().last_words(machine));
        }
        let homes = self.plan.users.iter().map(|user| format!("/home/{user}"));
        for home in homes.chain(["/root".to_owned()]) {
            let log = machine.path(format!("{home}/.local/state/dwell/node.log"));
            if log.exists() {
                eprintln!("--- {name}: the daemon of {home}\n{}", last_lines(&log));
            }
        }
    }

    fn dockerd(&self) -> Dockerd {
        Dockerd {
            run: "/run/engine".into(),
            data: "/var/lib/docker".into(),
            socket: "/run/docker.sock".into(),
            control_group: format!("{}/{}", self.network.control_group(), self.name()),
        }
    }

    /// Does something with the machine, which has to run.
    #[track_caller]
    fn on<T>(&self, action: impl FnOnce(&Machine) -> T) -> T {
        match &*lock(&self.machine) {
            Some(machine) => action(machine),
            None => panic!("{} does not run", self.plan.name),
        }
    }

    fn directory(&self) -> PathBuf {
        self.network.path().join(&self.plan.name)
    }

    /// The bridge's end of the way to the host.
    fn port(&self) -> String {
        format!("port{}", self.number)
    }

    fn make_disk(&self) {
        let disk = self.directory().join("disk");
        fs::create_dir_all(&disk).expect("a folder can be made");
        let ground = self.network.ground();
        let (mebibytes, at) = (self.plan.disk, disk.display());
        ground.shell(&format!("mount -t tmpfs -o size={mebibytes}m,mode=755 disk {at}")).ok();
        let boot = ground.path(disk.join("boot"));
        fs::create_dir(&boot).expect("a folder can be made");
        fs::write(boot.join("sshd_config"), self.plan.sshd_configuration())
            .expect("a file can be written");
        fs::copy(self.network.access().join("identity.pub"), boot.join("authorized_keys"))
            .expect("a file can be copied");
        ssh::make_key(&boot.join("host_key"));
    }

    /// Lays the cable between the host and the bridge.
    fn plug_in(&self, machine: &Machine) {
        let (port, pid) = (self.port(), machine.first());
        // The same hardware address after a reboot, as neighbours remember it for a while.
        let number = self.number;
        let script = format!(
            "ip link add {port} type veth peer name eth0 address 02:00:00:00:00:{number:02x} \
             netns {pid}\nip link set {port} master bridge up"
        );
        self.network.ground().shell(&script).ok();
        let (address, gateway) = (self.address(), self.network.address(1));
        let script = format!(
            "ip addr add {address}/24 dev eth0\nip link set eth0 up\n\
             ip route add default via {gateway}"
        );
        machine.shell(&script).ok();
    }
}

/// A lock that a panic elsewhere does not spoil: the cleaning up needs it.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
