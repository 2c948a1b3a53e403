//! A WireGuard network, in userspace, between this machine and its hosts.

use std::fs::{self, File};
use std::net::Ipv4Addr;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use crate::engine::possible;
use crate::host::Host;
use crate::hosts::Hosts;
use crate::machine::Machine;
use crate::process::{Ran, run, run_with_input};

const LIMIT: Duration = Duration::from_secs(30);

/// Starts an interface of a name with the configuration in a file, and gives it an address.
const START: &str = r#"
wireguard-go -f "$INTERFACE" >>"$LOG" 2>&1 </dev/null &
until [ -S "/run/wireguard/$INTERFACE.sock" ]; do sleep 0.01; done
wg setconf "$INTERFACE" "$CONFIGURATION"
ip addr add "$ADDRESS/24" dev "$INTERFACE"
ip link set "$INTERFACE" mtu 1420 up
"#;

/// A mesh of all hosts and this machine, beside the network in which they are reached by ssh. Its
/// interface is `wg0` on hosts. It ends when dropped.
pub struct WireGuard<'a> {
    hosts: &'a Hosts,
    interface: String,
    here: Option<Machine>,
}

/// A member of the mesh, with the address at which the others find it.
struct Member {
    address: Ipv4Addr,
    endpoint: Ipv4Addr,
    port: u16,
    private: String,
    public: String,
}

impl Hosts {
    /// Connects them and this machine by WireGuard, also after reboots. `None`, with a word on
    /// stderr, where `wireguard-go` or `wg` is not installed.
    pub fn wireguard(&self) -> Option<WireGuard<'_>> {
        let programs = ["/usr/bin/wireguard-go", "/usr/bin/wg"];
        possible("WireGuard", &programs).then(|| WireGuard::start(self))
    }
}

impl<'a> WireGuard<'a> {
    fn start(hosts: &'a Hosts) -> Self {
        let slot = hosts.slot();
        // The sockets of all interfaces on this machine are in one folder.
        let interface = format!("dwg{}", slot.number());
        let member = |address, endpoint, port| {
            let private = wg("genkey", Stdio::null()).ok().to_owned();
            let public = wg("pubkey", input(&private)).ok().to_owned();
            Member { address, endpoint, port, private, public }
        };
        let own_port = 51_000 + slot.number();
        let mut members = vec![member(slot.mesh_address(1), hosts.address(), own_port)];
        for host in hosts.all() {
            members.push(member(slot.mesh_address(host.number()), host.address(), 51_820));
        }
        for (host, this) in hosts.all().iter().zip(members.iter().skip(1)) {
            start_on(host, this, &members);
        }
        let folder = hosts.directory().join("wireguard");
        fs::create_dir(&folder).expect("a folder can be made");
        let configuration = folder.join("wg.conf");
        let mut here = None;
        if let Some(this) = members.first() {
            write_private(&configuration, &this.configuration(&members));
            let address = this.address.to_string();
            let log = folder.join("wireguard-go.log");
            let variables = [
                ("INTERFACE", interface.as_ref()),
                ("CONFIGURATION", configuration.as_os_str()),
                ("ADDRESS", address.as_ref()),
                ("LOG", log.as_os_str()),
            ];
            let log = folder.join("machine.log");
            let mut machine = Machine::start(None, &["pid"], START, &variables, &log);
            machine.ready();
            here = Some(machine);
        }
        Self { hosts, interface, here }
    }

    /// The address of a host in the mesh.
    pub fn address(&self, host: &Host) -> Ipv4Addr {
        self.hosts.slot().mesh_address(host.number())
    }

    /// This machine's address in the mesh.
    pub fn own_address(&self) -> Ipv4Addr {
        self.hosts.slot().mesh_address(1)
    }

    /// The name of this machine's interface.
    pub fn interface(&self) -> &str {
        &self.interface
    }

    /// Takes a host's interface down: what is sent to it in the mesh is lost without a word.
    pub fn down(&self, host: &Host) {
        host.shell("ip link set wg0 down").ok();
    }

    /// Brings it up again.
    pub fn up(&self, host: &Host) {
        host.shell("ip link set wg0 up").ok();
    }

    /// Takes this machine's interface down, and with it the way to all hosts in the mesh.
    pub fn down_here(&self) {
        self.set_here("down");
    }

    /// Brings it up again.
    pub fn up_here(&self) {
        self.set_here("up");
    }

    fn set_here(&self, state: &str) {
        run(Command::new("ip").args(["link", "set", &self.interface, state]), LIMIT).ok();
    }
}

impl Drop for WireGuard<'_> {
    fn drop(&mut self) {
        self.here = None;
        // Killed as it was, it leaves its socket.
        let _ = fs::remove_file(format!("/run/wireguard/{}.sock", self.interface));
    }
}

impl Member {
    fn configuration(&self, members: &[Self]) -> String {
        let mut text =
            format!("[Interface]\nPrivateKey = {}\nListenPort = {}\n", self.private, self.port);
        for peer in members.iter().filter(|peer| peer.address != self.address) {
            text.push_str(&format!(
                "[Peer]\nPublicKey = {}\nAllowedIPs = {}/32\nEndpoint = {}:{}\n\
                 PersistentKeepalive = 25\n",
                peer.public, peer.address, peer.endpoint, peer.port
            ));
        }
        text
    }
}

/// Starts a host's interface now and at every boot.
fn start_on(host: &Host, this: &Member, members: &[Member]) {
    let folder = host.path("/etc/wireguard");
    fs::create_dir_all(&folder).expect("a folder can be made");
    write_private(&folder.join("wg0.conf"), &this.configuration(members));
    let script = format!(
        "set -eu\nINTERFACE=wg0 CONFIGURATION=/etc/wireguard/wg0.conf ADDRESS={} \
         LOG=/run/wireguard-go.log\n{START}",
        this.address
    );
    fs::write(folder.join("start"), script).expect("a file can be written");
    let start = "sh /etc/wireguard/start";
    host.shell(start).ok();
    host.on_boot("root", start);
}

fn write_private(path: &Path, text: &str) {
    use std::os::unix::fs::PermissionsExt;
    fs::write(path, text).expect("a file can be written");
    fs::set_permissions(path, fs::Permissions::from_mode(0o600)).expect("a mode can be set");
}

fn wg(command: &str, input: impl Into<Stdio>) -> Ran {
    run_with_input(Command::new("wg").arg(command), input, LIMIT)
}

fn input(text: &str) -> File {
    use std::io::{Seek, Write};
    let mut file = tempfile::tempfile().expect("a temporary file can be made");
    file.write_all(text.as_bytes()).expect("a temporary file can be written");
    file.rewind().expect("a temporary file can be rewound");
    file
}
