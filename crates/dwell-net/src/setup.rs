//! The hands of `dwell setup`: finds out how the machine resolves names and carries out a plan.
//! Everything is below a root directory, so that tests can use one of their own; programs are
//! run by the caller.

use std::collections::BTreeMap;
use std::io::{self, Write};
use std::net::{SocketAddr, UdpSocket};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::time::Duration;
use std::{env, fs};

use dwell_core::resolver::resolv_conf::{add_block, remove_block};
use dwell_core::resolver::{Change, DNS_ADDRESS, Facts, MAC_DIRECTORY, Os, Plan, paths};
use dwell_core::{Suffix, ports};

const RESOLVED: [&str; 2] =
    ["/run/systemd/resolve/io.systemd.Resolve", "/run/systemd/resolve/stub-resolv.conf"];
const NETWORK_MANAGER: [&str; 4] = [
    "/etc/NetworkManager/NetworkManager.conf",
    "/etc/NetworkManager/conf.d",
    "/run/NetworkManager/conf.d",
    "/usr/lib/NetworkManager/conf.d",
];

const FIRST_PORT: &str = "/proc/sys/net/ipv4/ip_unprivileged_port_start";
/// The attribute of a file that holds the rights of its program.
const CAPABILITIES: &str = "security.capability";

const BETWEEN_LOOKS: Duration = Duration::from_millis(20);

/// A change that could not be made.
#[derive(Debug, thiserror::Error)]
#[error("setup could not {change}: {why}")]
pub struct SetupError {
    /// The first line of the change.
    pub change: String,
    /// The reason.
    pub why: String,
}

/// The operating system of this build.
pub fn os() -> Os {
    if cfg!(target_os = "macos") { Os::MacOs } else { Os::Linux }
}

/// Finds out what a plan needs to know. `dns_port` is dwell's unprivileged port.
pub fn facts(root: &Path, suffixes: Vec<Suffix>, dns_port: u16) -> Facts {
    Facts {
        os: os(),
        dns_port,
        resolved: RESOLVED.iter().any(|path| under(root, path).exists()),
        network_manager_dnsmasq: network_manager_dnsmasq(root),
        resolv_conf_link: fs::read_link(under(root, "/etc/resolv.conf"))
            .ok()
            .map(|to| to.to_string_lossy().into_owned()),
        port_53_taken: port_53_taken(),
        files: files(root, &suffixes),
        suffixes,
    }
}

/// Whether the port is in use for longer than another look like this one takes.
fn port_53_taken() -> bool {
    const LOOKS: usize = 5;
    let taken = || {
        UdpSocket::bind(SocketAddr::from((DNS_ADDRESS, 53)))
            .is_err_and(|error| error.kind() == io::ErrorKind::AddrInUse)
    };
    (0..LOOKS).all(|look| {
        if look > 0 {
            std::thread::sleep(BETWEEN_LOOKS);
        }
        taken()
    })
}

fn under(root: &Path, path: &str) -> PathBuf {
    root.join(path.trim_start_matches('/'))
}

fn files(root: &Path, suffixes: &[Suffix]) -> BTreeMap<String, String> {
    let left = fs::read_dir(under(root, MAC_DIRECTORY)).into_iter().flatten().flatten();
    let left = left.map(|entry| format!("{MAC_DIRECTORY}{}", entry.file_name().to_string_lossy()));
    paths(suffixes)
        .into_iter()
        .chain(left)
        .filter_map(|path| Some((path.clone(), fs::read_to_string(under(root, &path)).ok()?)))
        .collect()
}

fn network_manager_dnsmasq(root: &Path) -> bool {
    let says_so = |path: &Path| {
        fs::read_to_string(path).is_ok_and(|text| {
            text.lines().any(|line| line.replace(' ', "").eq_ignore_ascii_case("dns=dnsmasq"))
        })
    };
    under(root, "/run/NetworkManager").exists()
        && NETWORK_MANAGER.iter().map(|path| under(root, path)).any(|path| {
            let inside = fs::read_dir(&path).into_iter().flatten().flatten();
            says_so(&path) || inside.into_iter().any(|entry| says_so(&entry.path()))
        })
}

/// Finds out whether the daemon that `binary` is may listen on ports below 1024, and how it could.
pub fn port_facts(root: &Path, binary: &Path) -> ports::Facts {
    let binary = fs::canonicalize(binary).unwrap_or_else(|_| binary.to_owned());
    let first = fs::read_to_string(under(root, FIRST_PORT)).ok();
    let mut attribute = [0_u8; 64];
    let read = rustix::fs::getxattr(&binary, CAPABILITIES, &mut attribute).unwrap_or_default();
    let honoured = rustix::fs::statvfs(&binary)
        .is_ok_and(|found| !found.f_flag.contains(rustix::fs::StatVfsMountFlags::NOSUID));
    let by_sudo = env::var("SUDO_UID").is_ok_and(|uid| uid != "0");
    ports::Facts {
        root: rustix::process::geteuid().is_root() && !by_sudo,
        first: first.and_then(|text| text.trim().parse().ok()).unwrap_or(ports::PRIVILEGED),
        given: ports::file_may_bind(attribute.get(..read).unwrap_or_default()),
        can_give: honoured && is_installed("setcap"),
        left: fs::read_to_string(under(root, ports::SYSCTL_FILE)).ok(),
        binary: binary.to_string_lossy().into_owned(),
    }
}

/// Whether there is such a program, for root.
fn is_installed(program: &str) -> bool {
    let path = env::var_os("PATH").unwrap_or_default();
    let usual = ["/usr/sbin", "/sbin"].map(PathBuf::from);
    env::split_paths(&path).chain(usual).any(|folder| folder.join(program).is_file())
}

/// Carries out a plan; when a change fails, takes back what was done and says what failed.
/// `run` runs a program to its end within a limit of its own and gives its complaint.
pub async fn carry_out(
    root: &Path,
    plan: &Plan,
    run: impl AsyncFn(&[String]) -> Result<(), String>,
) -> Result<(), SetupError> {
    let done = apply(root, &plan.changes, &run).await;
    if done.is_err()
        && let Err(error) = apply(root, &plan.undo, &run).await
    {
        tracing::warn!(%error, "taking back a failed setup");
    }
    done
}

/// Makes changes in order, up to the first that fails.
pub async fn apply(
    root: &Path,
    changes: &[Change],
    run: impl AsyncFn(&[String]) -> Result<(), String>,
) -> Result<(), SetupError> {
    for change in changes {
        let failed = |why: String| SetupError {
            change: change.to_string().lines().next().unwrap_or_default().to_owned(),
            why,
        };
        match change {
            Change::Run { argv, required } => match run(argv).await {
                Err(why) if *required => return Err(failed(why)),
                _ => {}
            },
            file => edit(root, file).map_err(|error| failed(error.to_string()))?,
        }
    }
    Ok(())
}

fn edit(root: &Path, change: &Change) -> io::Result<()> {
    match change {
        Change::WriteFile { path, content, mode } => replace(&under(root, path), content, *mode),
        Change::RemoveFile { path } => match fs::remove_file(under(root, path)) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
            _ => Ok(()),
        },
        Change::AddBlock { path, block } => {
            rewrite(&under(root, path), |content| add_block(content, block))
        }
        Change::RemoveBlock { path } => rewrite(&under(root, path), remove_block),
        Change::Run { .. } => Ok(()),
    }
}

fn replace(path: &Path, content: &str, mode: u32) -> io::Result<()> {
    if let Some(parent) = path.parent() {
        fs::create_dir_all(parent)?;
    }
    let mut fresh = path.as_os_str().to_owned();
    fresh.push(".new");
    fs::write(&fresh, content)?;
    fs::set_permissions(&fresh, fs::Permissions::from_mode(mode))?;
    fs::rename(&fresh, path)
}

/// Changes a file in place: it may be a mount of its own or a link. The new content is written
/// over the old before the length is set, so that it is never found empty.
fn rewrite(path: &Path, change: impl FnOnce(&str) -> String) -> io::Result<()> {
    let before = fs::read_to_string(path)?;
    let after = change(&before);
    if after == before {
        return Ok(());
    }
    let mut file = fs::OpenOptions::new().write(true).open(path)?;
    file.write_all(after.as_bytes())?;
    file.set_len(u64::try_from(after.len()).unwrap_or(u64::MAX))?;
    file.sync_all()
}
