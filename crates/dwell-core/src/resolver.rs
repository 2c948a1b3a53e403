//! How the system's resolver is pointed at dwell's DNS server for dwell's suffixes only, and how
//! that is undone: a pure plan from what was found on the machine. Text is generated from typed
//! values only.

pub mod resolv_conf;
#[cfg(test)]
mod tests;
mod text;

use std::collections::BTreeMap;
use std::fmt;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use crate::Suffix;

/// The port that dwell's DNS server has without privileges.
pub const DNS_PORT: u16 = 5354;
/// The loopback address that resolvers are pointed at on Linux. It is also given to the link of
/// the systemd-resolved method: older versions send queries out of that link only, and reach the
/// server because the address is the link's own.
pub const DNS_ADDRESS: Ipv4Addr = Ipv4Addr::new(127, 0, 53, 54);
/// The link that carries the routing domains for systemd-resolved.
pub const LINK: &str = "dwell0";
/// resolved uses a link only when it has an address that is not a loopback one; RFC 7600 sets
/// this one aside for links without a meaning.
const LINK_ADDRESS: Ipv4Addr = Ipv4Addr::new(192, 0, 0, 8);

pub(crate) const RESOLV_CONF: &str = "/etc/resolv.conf";
const UNIT: &str = "/etc/systemd/system/dwell-dns.service";
const NETWORK_MANAGER: &str = "/etc/NetworkManager/dnsmasq.d/dwell.conf";
/// Where macOS looks for one file per suffix; facts also hold what earlier setups left there.
pub const MAC_DIRECTORY: &str = "/etc/resolver/";
/// The first line of every file that setup makes; a file without it is never touched.
pub(crate) const MARK: &str = "# made by `dwell setup`; `dwell setup --undo` removes it";

/// The operating system.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Os {
    /// Linux.
    Linux,
    /// macOS.
    MacOs,
}

/// What was found on the machine.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Facts {
    /// The operating system.
    pub os: Os,
    /// The suffixes that shall work.
    pub suffixes: Vec<Suffix>,
    /// The unprivileged port of dwell's DNS server.
    pub dns_port: u16,
    /// Whether systemd-resolved runs.
    pub resolved: bool,
    /// Whether NetworkManager runs dnsmasq as its resolver.
    pub network_manager_dnsmasq: bool,
    /// Where `/etc/resolv.conf` points to, when it is a symbolic link.
    pub resolv_conf_link: Option<String>,
    /// Whether another program has port 53 of [`DNS_ADDRESS`].
    pub port_53_taken: bool,
    /// The content of those files of [`paths`] that exist.
    pub files: BTreeMap<String, String>,
}

/// The files that a plan may write or undo, for the facts to be complete.
pub fn paths(suffixes: &[Suffix]) -> Vec<String> {
    let fixed = [RESOLV_CONF, UNIT, NETWORK_MANAGER].map(str::to_owned);
    fixed.into_iter().chain(suffixes.iter().map(mac_path)).collect()
}

fn mac_path(suffix: &Suffix) -> String {
    format!("{MAC_DIRECTORY}{suffix}")
}

/// The way in which the resolver is reached.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Method {
    /// A link with routing domains in systemd-resolved.
    Resolved,
    /// A file for the dnsmasq that NetworkManager runs.
    NetworkManager,
    /// A block at the head of `/etc/resolv.conf`; dwell has port 53 and forwards other names.
    ResolvConf,
    /// A file per suffix in `/etc/resolver`.
    MacOs,
}

impl fmt::Display for Method {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Resolved => "systemd-resolved",
            Self::NetworkManager => "NetworkManager",
            Self::ResolvConf => "/etc/resolv.conf",
            Self::MacOs => "/etc/resolver",
        })
    }
}

/// One change to the machine.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Change {
    /// Writes a whole file.
    WriteFile {
        /// Where.
        path: String,
        /// What.
        content: String,
        /// Permission bits.
        mode: u32,
    },
    /// Removes a file; one that is not there is fine.
    RemoveFile {
        /// Where.
        path: String,
    },
    /// Puts a managed block at the head of a file, in place of an earlier one. The file is
    /// written in place, because it may be a mount of its own.
    AddBlock {
        /// Where.
        path: String,
        /// The lines between the markers.
        block: String,
    },
    /// Takes the managed block away, which leaves the rest as it is.
    RemoveBlock {
        /// Where.
        path: String,
    },
    /// Runs a program.
    Run {
        /// Program and arguments.
        argv: Vec<String>,
        /// Whether a failure ends the setup.
        required: bool,
    },
}

impl fmt::Display for Change {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let indent = |text: &str| text.replace('\n', "\n    ").trim_end().to_owned();
        match self {
            Self::WriteFile { path, content, mode } => {
                write!(f, "write {path} (mode {mode:04o}):\n    {}", indent(content))
            }
            Self::RemoveFile { path } => write!(f, "remove {path}"),
            Self::AddBlock { path, block } => {
                write!(f, "put at the head of {path}:\n    {}", indent(block))
            }
            Self::RemoveBlock { path } => write!(f, "take dwell's lines out of {path}"),
            Self::Run { argv, .. } => write!(f, "run {}", argv.join(" ")),
        }
    }
}

/// What setup does.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Plan {
    /// The way.
    pub method: Method,
    /// The changes, in order.
    pub changes: Vec<Change>,
    /// What takes them back, in order.
    pub undo: Vec<Change>,
    /// What a person should know, one sentence per line.
    pub explain: Vec<String>,
}

/// Why there is no plan.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PlanError {
    /// A file of this name exists and is not dwell's.
    #[error("{path} exists and was not made by dwell; move it away or use another suffix")]
    Foreign {
        /// The file.
        path: String,
    },
    /// The only way needs port 53, which another program has.
    #[error(
        "{DNS_ADDRESS}:53 is taken by another program; /etc/resolv.conf cannot name another port"
    )]
    PortTaken,
    /// There is nothing to change.
    #[error("this machine has no /etc/resolv.conf and no resolver that dwell knows")]
    NoResolver,
}

/// Plans the setup for what was found.
pub fn plan(facts: &Facts) -> Result<Plan, PlanError> {
    let plan = match method(facts)? {
        Method::Resolved => resolved(facts),
        Method::NetworkManager => network_manager(facts),
        Method::ResolvConf => plain(facts)?,
        Method::MacOs => mac_os(facts),
    };
    for change in &plan.changes {
        if let Change::WriteFile { path, .. } = change
            && facts.files.get(path).is_some_and(|content| !content.starts_with(MARK))
        {
            return Err(PlanError::Foreign { path: path.clone() });
        }
    }
    Ok(plan)
}

/// What takes back all that earlier setups left, whatever the method is now; empty when nothing
/// is left.
pub fn undo(facts: &Facts) -> Vec<Change> {
    let ours = |path: &str| facts.files.get(path).is_some_and(|text| text.starts_with(MARK));
    let mut changes = Vec::new();
    if ours(UNIT) {
        changes.extend(undo_resolved());
    }
    if ours(NETWORK_MANAGER) {
        changes.extend(undo_network_manager());
    }
    if facts.files.get(RESOLV_CONF).is_some_and(|text| resolv_conf::has_block(text)) {
        changes.extend(undo_plain());
    }
    let mac = facts.files.keys().filter(|path| path.starts_with(MAC_DIRECTORY) && ours(path));
    changes.extend(mac.map(|path| Change::RemoveFile { path: path.clone() }));
    changes
}

/// Where the DNS server listens and what it forwards, derived from `/etc/resolv.conf` at every
/// start, so that nothing else has to remember the method.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Serving {
    /// Addresses without which there are no names.
    pub addresses: Vec<SocketAddr>,
    /// Addresses on port 53 that `/etc/resolv.conf` points at.
    pub privileged: Vec<SocketAddr>,
    /// The upstreams, when names that are not dwell's are forwarded.
    pub forward: Option<Vec<SocketAddr>>,
}

/// Where to listen on this system.
pub fn serving(os: Os, dns_port: u16, resolv_conf: &str) -> Serving {
    let at = |ip: Ipv4Addr, port| SocketAddr::new(IpAddr::V4(ip), port);
    let mut addresses = vec![at(Ipv4Addr::LOCALHOST, dns_port)];
    if os == Os::Linux {
        addresses.push(at(DNS_ADDRESS, dns_port));
    }
    if os != Os::Linux || !resolv_conf::has_block(resolv_conf) {
        return Serving { addresses, privileged: Vec::new(), forward: None };
    }
    let upstreams = resolv_conf::nameservers(&resolv_conf::remove_block(resolv_conf));
    let forward = upstreams.into_iter().map(|ip| SocketAddr::new(ip, 53)).collect();
    Serving { addresses, privileged: vec![at(DNS_ADDRESS, 53)], forward: Some(forward) }
}

fn method(facts: &Facts) -> Result<Method, PlanError> {
    if facts.os == Os::MacOs {
        return Ok(Method::MacOs);
    }
    let content = facts.files.get(RESOLV_CONF).map_or("", String::as_str);
    let asked = resolv_conf::nameservers(&resolv_conf::remove_block(content));
    let stub = IpAddr::V4(Ipv4Addr::new(127, 0, 0, 53));
    let linked = facts.resolv_conf_link.as_deref().is_some_and(|to| to.contains("systemd/resolve"));
    if facts.resolved && (linked || asked.contains(&stub)) {
        return Ok(Method::Resolved);
    }
    if facts.network_manager_dnsmasq && asked.iter().any(IpAddr::is_loopback) {
        return Ok(Method::NetworkManager);
    }
    if !facts.files.contains_key(RESOLV_CONF) {
        return Err(PlanError::NoResolver);
    }
    Ok(Method::ResolvConf)
}

fn run(words: &[&str], required: bool) -> Change {
    Change::Run { argv: words.iter().map(|word| (*word).to_owned()).collect(), required }
}

fn write(path: String, content: String) -> Change {
    Change::WriteFile { path, content, mode: 0o644 }
}

fn list(suffixes: &[Suffix]) -> String {
    suffixes.iter().map(|suffix| format!("`.{suffix}`")).collect::<Vec<_>>().join(", ")
}

fn resolved(facts: &Facts) -> Plan {
    Plan {
        method: Method::Resolved,
        changes: vec![
            write(UNIT.to_owned(), text::unit(facts)),
            run(&["systemctl", "daemon-reload"], true),
            run(&["systemctl", "enable", "dwell-dns.service"], true),
            run(&["systemctl", "restart", "dwell-dns.service"], true),
        ],
        undo: undo_resolved(),
        explain: vec![
            format!(
                "systemd-resolved sends {} to {DNS_ADDRESS}:{} and all other names where it sent \
                 them before",
                list(&facts.suffixes),
                facts.dns_port
            ),
            format!("the link `{LINK}` carries this; it has no traffic of its own"),
            "while dwell does not run, only its own names fail".to_owned(),
        ],
    }
}

fn undo_resolved() -> Vec<Change> {
    vec![
        run(&["systemctl", "disable", "--now", "dwell-dns.service"], false),
        Change::RemoveFile { path: UNIT.to_owned() },
        run(&["systemctl", "daemon-reload"], false),
    ]
}

fn network_manager(facts: &Facts) -> Plan {
    Plan {
        method: Method::NetworkManager,
        changes: vec![
            write(NETWORK_MANAGER.to_owned(), text::dnsmasq(facts)),
            run(&["nmcli", "general", "reload", "dns-full"], true),
        ],
        undo: undo_network_manager(),
        explain: vec![
            format!(
                "the dnsmasq of NetworkManager sends {} to {DNS_ADDRESS}:{}",
                list(&facts.suffixes),
                facts.dns_port
            ),
            "while dwell does not run, only its own names fail".to_owned(),
        ],
    }
}

fn undo_network_manager() -> Vec<Change> {
    vec![
        Change::RemoveFile { path: NETWORK_MANAGER.to_owned() },
        run(&["nmcli", "general", "reload", "dns-full"], false),
    ]
}

fn plain(facts: &Facts) -> Result<Plan, PlanError> {
    let content = facts.files.get(RESOLV_CONF).map_or("", String::as_str);
    if facts.port_53_taken && !resolv_conf::has_block(content) {
        return Err(PlanError::PortTaken);
    }
    let upstreams = resolv_conf::nameservers(&resolv_conf::remove_block(content));
    let block = text::block(facts);
    let changes = vec![Change::AddBlock { path: RESOLV_CONF.to_owned(), block }];
    let named: Vec<String> = upstreams.iter().map(IpAddr::to_string).collect();
    let mut explain = vec![
        format!(
            "the system asks dwell first, at {DNS_ADDRESS}:53; dwell answers {} itself and passes \
             other names on to {}",
            list(&facts.suffixes),
            if named.is_empty() {
                "nobody: none is configured".to_owned()
            } else {
                named.join(", ")
            }
        ),
        "the former servers stay listed after it: while dwell does not run the system asks them"
            .to_owned(),
    ];
    if let Some(link) = &facts.resolv_conf_link {
        explain.push(format!(
            "{RESOLV_CONF} is a link to {link}: the program that writes it may take dwell's lines \
             out again; `dwell doctor` tells, and `dwell setup` puts them back"
        ));
    }
    Ok(Plan { method: Method::ResolvConf, changes, undo: undo_plain(), explain })
}

fn undo_plain() -> Vec<Change> {
    vec![Change::RemoveBlock { path: RESOLV_CONF.to_owned() }]
}

fn mac_os(facts: &Facts) -> Plan {
    let files = || facts.suffixes.iter().map(mac_path);
    Plan {
        method: Method::MacOs,
        changes: files().map(|path| write(path, text::mac_os(facts))).collect(),
        undo: files().map(|path| Change::RemoveFile { path }).collect(),
        explain: vec![
            format!("macOS sends {} to 127.0.0.1:{}", list(&facts.suffixes), facts.dns_port),
            "some programs and VPNs do not look into /etc/resolver; for them use \
             `<service>.<env>.localhost` on dwell's HTTP proxy"
                .to_owned(),
        ],
    }
}
