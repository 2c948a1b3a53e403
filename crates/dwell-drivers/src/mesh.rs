//! Private networks that this machine is in, as their own tools tell, and whether an address
//! really answers.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::time::{Duration, Instant};

use dwell_core::mesh::{Mesh, MeshError, MeshKind, interface_addresses, tailscale, wireguard};
use tokio::net::{TcpStream, UdpSocket};

use crate::process::{ProcessError, Program};

/// How long a tool may take.
const LIMIT: Duration = Duration::from_secs(5);

/// The tools that know meshes, by name or path.
#[derive(Debug, Clone)]
pub struct Tools {
    /// Tailscale's.
    pub tailscale: PathBuf,
    /// WireGuard's.
    pub wg: PathBuf,
    /// The system's, which knows the addresses of WireGuard's interfaces.
    pub ip: PathBuf,
}

impl Default for Tools {
    fn default() -> Self {
        Self { tailscale: "tailscale".into(), wg: "wg".into(), ip: "ip".into() }
    }
}

/// What the tools told.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Meshes {
    /// The meshes, those that are down too.
    pub found: Vec<Mesh>,
    /// Why an installed tool did not tell.
    pub notes: Vec<String>,
}

impl Tools {
    /// Asks the tools. One that is not installed is passed over.
    pub async fn ask(&self) -> Meshes {
        let status = Program::new(&self.tailscale).args(["status", "--json"]).limit(LIMIT);
        // This prints private keys: only what the parser keeps leaves this function.
        let dump = Program::new(&self.wg).args(["show", "all", "dump"]).limit(LIMIT);
        let (status, dump) = tokio::join!(status.finish(), dump.finish());
        let mut meshes = Meshes::default();
        meshes.add("tailscale", status, tailscale);
        meshes.add("wg", dump, wireguard);
        self.add_own_addresses(&mut meshes).await;
        meshes
    }

    /// WireGuard does not say which addresses its interfaces have.
    async fn add_own_addresses(&self, meshes: &mut Meshes) {
        let wireguard = |mesh: &&mut Mesh| mesh.kind == MeshKind::WireGuard && mesh.up;
        let Some(mesh) = meshes.found.iter_mut().find(wireguard) else { return };
        let asked = Program::new(&self.ip).args(["-json", "address"]).limit(LIMIT).run().await;
        let found = asked.map_err(|error| error.to_string()).and_then(|finished| {
            interface_addresses(&finished.text(), &mesh.interfaces).map_err(|e| e.to_string())
        });
        match found {
            Ok(own) => mesh.own = own,
            Err(why) => meshes.notes.push(why),
        }
    }
}

impl Meshes {
    fn add(
        &mut self,
        tool: &str,
        ran: Result<crate::process::Finished, ProcessError>,
        parse: impl Fn(&str) -> Result<Mesh, MeshError>,
    ) {
        match ran {
            Err(ProcessError::Missing { .. }) => {}
            Err(error) => self.notes.push(error.to_string()),
            // Tailscale tells that it is stopped with an exit code and its state on stdout.
            Ok(finished) => match parse(&finished.text()) {
                Ok(mesh) => self.found.push(mesh),
                Err(_) if !finished.ok() => {
                    let said = finished.error_text();
                    let first = said.lines().next().unwrap_or("it failed");
                    self.notes.push(format!("`{tool}` does not tell: {first}"));
                }
                Err(error) => self.notes.push(error.to_string()),
            },
        }
    }
}

/// Connects to an address, and gives how long that took.
///
/// # Errors
/// When nobody answers there within `limit`.
pub async fn probe(address: SocketAddr, limit: Duration) -> io::Result<Duration> {
    let begun = Instant::now();
    match tokio::time::timeout(limit, TcpStream::connect(address)).await {
        Ok(connected) => connected.map(|_| begun.elapsed()),
        Err(_) => Err(io::ErrorKind::TimedOut.into()),
    }
}

/// Whether this machine has the address now.
pub async fn is_ours(address: IpAddr) -> bool {
    UdpSocket::bind((address, 0)).await.is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use dwell_core::mesh::MeshKind;
    use std::os::unix::fs::PermissionsExt;
    use tokio::net::TcpListener;

    fn tool(folder: &tempfile::TempDir, name: &str, script: &str) -> PathBuf {
        let path = folder.path().join(name);
        std::fs::write(&path, format!("#!/bin/sh\n{script}\n")).unwrap();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755)).unwrap();
        path
    }

    #[tokio::test]
    async fn tools_that_are_not_there_say_nothing() {
        let none =
            Tools { tailscale: "/no/tailscale".into(), wg: "/no/wg".into(), ip: "/no/ip".into() };
        assert_eq!(none.ask().await, Meshes::default());
    }

    #[tokio::test]
    async fn what_tools_tell_is_kept_without_keys() {
        let folder = tempfile::tempdir().unwrap();
        let status = "echo '{\"BackendState\": \"Running\", \"Self\": {\"TailscaleIPs\": [\"100.64.0.1\"]}}'";
        let dump = "printf 'wg0\\tPRIVATE\\tPUBLIC\\t1\\toff\\nwg0\\tKEY\\tSHARED\\t(none)\\t10.9.0.5/32\\t0\\t0\\t0\\toff\\n'";
        let ip =
            r#"echo '[{"ifname": "wg0", "flags": ["UP"], "addr_info": [{"local": "10.9.0.1"}]}]'"#;
        let tools = Tools {
            tailscale: tool(&folder, "tailscale", status),
            wg: tool(&folder, "wg", dump),
            ip: tool(&folder, "ip", ip),
        };
        let meshes = tools.ask().await;
        let kinds: Vec<_> = meshes.found.iter().map(|mesh| (mesh.kind, mesh.up)).collect();
        assert_eq!(kinds, [(MeshKind::Tailscale, true), (MeshKind::WireGuard, true)]);
        assert!(meshes.notes.is_empty());
        assert_eq!(meshes.found.iter().map(|mesh| mesh.own.len()).collect::<Vec<_>>(), [1, 1]);
        let shown = format!("{meshes:?}");
        assert!(!shown.contains("PRIVATE") && !shown.contains("SHARED"), "{shown}");
    }

    #[tokio::test]
    async fn tools_that_fail_say_why() {
        let folder = tempfile::tempdir().unwrap();
        let tools = Tools {
            tailscale: tool(&folder, "tailscale", "echo 'not running' >&2; exit 1"),
            wg: tool(&folder, "wg", "echo 'Operation not permitted' >&2; echo PRIVATE; exit 1"),
            ip: "/no/ip".into(),
        };
        let notes = tools.ask().await.notes;
        let expected = [
            "`tailscale` does not tell: not running",
            "`wg` does not tell: Operation not permitted",
        ];
        assert_eq!(notes, expected);
    }

    #[tokio::test]
    async fn only_what_answers_is_reachable() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        assert!(probe(address, LIMIT).await.is_ok());
        drop(listener);
        let refused = probe(address, LIMIT).await.unwrap_err();
        assert_eq!(refused.kind(), io::ErrorKind::ConnectionRefused);
        assert!(is_ours("127.0.0.1".parse().unwrap()).await);
        assert!(!is_ours("192.0.2.1".parse().unwrap()).await);
    }
}
