//! Machines to ssh to, in a network of the test's own. Each is a set of Linux namespaces with a
//! layer over this machine's files: it can be cut off, filled up and rebooted, and all of it is
//! gone when the test is.

use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tempfile::TempDir;

use crate::engine::{name, owned_directory, possible};
use crate::host::{Host, HostPlan};
use crate::machine::{Machine, remove_control_groups};
use crate::process::run;
use crate::slot::Slot;
use crate::ssh::{self, SshTargets, Target};

const LIMIT: Duration = Duration::from_secs(60);

/// What hosts take beside the engine.
const PROGRAMS: [&str; 4] =
    ["/usr/sbin/sshd", "/usr/bin/nsenter", "/usr/sbin/iptables", "/usr/sbin/dockerd"];

/// A network with its hosts, gone without a trace when dropped.
pub struct Hosts {
    hosts: Vec<Host>,
    network: Arc<Network>,
}

/// The bridge that hosts are attached to, and what they share.
pub(crate) struct Network {
    ground: Option<Machine>,
    slot: Slot,
    directory: TempDir,
    /// Held while an image is saved to a file for all hosts.
    pub(crate) saving: Mutex<()>,
}

impl Hosts {
    /// Starts hosts side by side and waits until all accept connections, and their engines too.
    /// `None`, with a word on stderr, where they cannot be had: they take Linux, root, `sshd`,
    /// `dockerd` and `iptables`.
    pub fn start(plans: impl IntoIterator<Item = HostPlan>) -> Option<Self> {
        if !possible("a host to ssh to", &PROGRAMS) {
            return None;
        }
        let network = Arc::new(Network::start());
        let numbers = 11..;
        let hosts: Vec<Host> = numbers
            .zip(plans)
            .map(|(number, plan)| Host::new(plan, number, Arc::clone(&network)))
            .collect();
        std::thread::scope(|scope| {
            let started: Vec<_> = hosts.iter().map(|host| scope.spawn(|| host.start())).collect();
            for host in started {
                host.join().expect("a host starts");
            }
        });
        let hosts = Self { hosts, network };
        ssh::write(&hosts.network.access(), &hosts);
        Some(hosts)
    }

    /// The host of this name.
    #[track_caller]
    pub fn host(&self, name: &str) -> &Host {
        let host = self.hosts.iter().find(|host| host.name() == name);
        host.unwrap_or_else(|| panic!("there is no host {name}"))
    }

    /// All hosts, as they were given.
    pub fn all(&self) -> &[Host] {
        &self.hosts
    }

    /// This machine's address in their network.
    pub fn address(&self) -> Ipv4Addr {
        self.network.slot.host_address(1)
    }

    /// Where they keep their files.
    pub fn directory(&self) -> &Path {
        self.network.path()
    }

    /// Lets root of one host ssh to all of them by name, as `~/.ssh` there says.
    pub fn let_reach_each_other(&self, from: &str) {
        let host = self.host(from);
        ssh::write_inside(host, self);
    }

    /// The share of the machine's addresses that they have.
    pub(crate) fn slot(&self) -> &Slot {
        &self.network.slot
    }
}

impl SshTargets for Hosts {
    fn targets(&self) -> Vec<Target> {
        self.hosts.iter().map(Host::target).collect()
    }

    fn identity(&self) -> PathBuf {
        self.network.access().join("identity")
    }
}

impl Network {
    fn start() -> Self {
        let directory = owned_directory("dwell-hosts-");
        let slot = Slot::take();
        let script = "ip link add bridge type bridge\nip link set bridge up\nip link set lo up";
        let log = directory.path().join("ground.log");
        let mut ground = Machine::start(None, &["net", "mount"], script, &[], &log);
        ground.ready();
        let network = Self { ground: Some(ground), slot, directory, saving: Mutex::new(()) };
        let link = network.link();
        let address = network.slot.host_address(1);
        // Of a test that was killed a moment ago, whose namespace is not gone yet.
        let _ = run(Command::new("ip").args(["link", "del", &link]), LIMIT);
        let pid = network.ground().first();
        let script = format!(
            "ip link add {link} type veth peer name main netns {pid}\n\
             ip addr add {address}/24 dev {link}\nip link set {link} up"
        );
        run(Command::new("sh").args(["-euc", &script]), LIMIT).ok();
        network.ground().shell("ip link set main master bridge up").ok();
        std::fs::create_dir(network.access()).expect("a folder can be made");
        ssh::make_key(&network.access().join("identity"));
        network
    }

    /// What holds the bridge and the hosts' disks.
    pub(crate) fn ground(&self) -> &Machine {
        self.ground.as_ref().expect("the network is up until the drop")
    }

    /// The address of a host.
    pub(crate) fn address(&self, number: u8) -> Ipv4Addr {
        self.slot.host_address(number)
    }

    /// The files of the testkit's own ssh.
    pub(crate) fn access(&self) -> PathBuf {
        self.path().join("access")
    }

    pub(crate) fn path(&self) -> &Path {
        self.directory.path()
    }

    /// The control group of all containers of its hosts.
    pub(crate) fn control_group(&self) -> String {
        name(self.path())
    }

    /// This machine's end of the way to the bridge.
    fn link(&self) -> String {
        format!("dwh{}", self.slot.number())
    }
}

impl Drop for Network {
    fn drop(&mut self) {
        self.ground = None;
        // The kernel takes it away a moment after the namespace; the number is free at once.
        let _ = Command::new("ip").args(["link", "del", &self.link()]).output();
        remove_control_groups(&self.control_group());
    }
}

impl Drop for Hosts {
    fn drop(&mut self) {
        if std::thread::panicking() {
            self.hosts.iter().for_each(Host::print_last_words);
        }
        std::thread::scope(|scope| {
            for host in &self.hosts {
                scope.spawn(|| host.power_off());
            }
        });
    }
}
