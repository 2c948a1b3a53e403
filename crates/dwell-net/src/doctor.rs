//! Explains the way of one name: which resolver was asked, what it answered, what to change.

use std::collections::BTreeSet;
use std::fs;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::Path;
use std::time::Duration;

use dwell_core::Suffix;
use dwell_core::resolver::{DNS_ADDRESS, LINK, MAC_DIRECTORY, Os, resolv_conf};
use tokio::net::lookup_host;
use tokio::time::timeout;

use crate::dns::{Answer, RecordType, query};
use crate::setup::os;

const LIMIT: Duration = Duration::from_secs(2);
/// How long the system's own look-up may take, which tries several servers.
const SYSTEM_LIMIT: Duration = Duration::from_secs(10);

/// One step of the way.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    /// Who was asked.
    pub what: String,
    /// Whether it is as it should be.
    pub ok: bool,
    /// What was found.
    pub detail: String,
    /// What to do when it is not.
    pub fix: Option<String>,
}

impl Finding {
    fn good(what: impl Into<String>, detail: impl Into<String>) -> Self {
        Self { what: what.into(), ok: true, detail: detail.into(), fix: None }
    }

    fn bad(what: impl Into<String>, detail: impl Into<String>, fix: impl Into<String>) -> Self {
        Self { what: what.into(), ok: false, detail: detail.into(), fix: Some(fix.into()) }
    }
}

/// Which name is to be explained, and where.
pub struct Inquiry<'a> {
    /// The name.
    pub name: &'a str,
    /// The suffixes that dwell answers for.
    pub suffixes: &'a [Suffix],
    /// Where dwell's DNS server listens.
    pub server: SocketAddr,
    /// The directory that holds `etc`; `/` but in tests.
    pub root: &'a Path,
}

/// Follows the name from dwell's server to the system's resolver. `run` runs a program and gives
/// what it printed, or its complaint.
pub async fn explain(
    inquiry: &Inquiry<'_>,
    run: impl AsyncFn(&[&str]) -> Result<String, String>,
) -> Vec<Finding> {
    let name = inquiry.name.trim_end_matches('.').to_ascii_lowercase();
    let mut findings = Vec::new();
    let suffix = inquiry.suffixes.iter().find(|suffix| {
        name.strip_suffix(suffix.as_str())
            .is_some_and(|rest| rest.is_empty() || rest.ends_with('.'))
    });
    let Some(suffix) = suffix else {
        let known: Vec<&str> = inquiry.suffixes.iter().map(Suffix::as_str).collect();
        let detail = format!("it is not under a suffix of dwell: {}", known.join(", "));
        return vec![Finding::bad(name, detail, "use a name that `dwell url` prints")];
    };
    let (finding, wanted) = own_server(inquiry.server, &name).await;
    findings.push(finding);
    if os() == Os::MacOs {
        findings.push(mac_os(inquiry.root, suffix));
    } else {
        findings.extend(switch(inquiry.root));
        let content = fs::read_to_string(inquiry.root.join("etc/resolv.conf")).unwrap_or_default();
        findings.extend(servers(&content, &name, &wanted).await);
        if resolv_conf::nameservers(&content).contains(&STUB) {
            findings.push(routing(suffix, run).await);
        }
    }
    findings.push(system(&name, &wanted).await);
    if !was_set_up(inquiry.root, inquiry.server.ip()) && !wanted.is_empty() {
        not_set_up(&mut findings);
    }
    findings
}

/// Whether anything on this machine was set up to ask dwell: its resolver files, its link, or a
/// server list that names it.
fn was_set_up(root: &Path, server: IpAddr) -> bool {
    let content = fs::read_to_string(root.join("etc/resolv.conf")).unwrap_or_default();
    let listed = resolv_conf::nameservers(&content);
    let link = Path::new("sys/class/net").join(LINK);
    os() == Os::MacOs
        || listed.contains(&IpAddr::V4(DNS_ADDRESS))
        || listed.contains(&server)
        || root.join(link).exists()
        || root.join("etc/systemd/system/dwell-dns.service").exists()
}

/// Before `dwell setup`, that the system does not resolve dwell's names is no failure: it is
/// said with what to do about it, if that is wanted.
fn not_set_up(findings: &mut [Finding]) {
    for finding in findings.iter_mut().filter(|finding| !finding.ok) {
        finding.ok = true;
        let detail = &mut finding.detail;
        detail.push_str(" (as expected before `dwell setup`, which is optional)");
        finding.fix = None;
    }
}

const STUB: IpAddr = IpAddr::V4(Ipv4Addr::new(127, 0, 0, 53));

fn told(answer: &Answer) -> String {
    let mut text = answer.code().to_owned();
    if !answer.addresses.is_empty() {
        let all: Vec<String> = answer.addresses.iter().map(IpAddr::to_string).collect();
        text = all.join(", ");
    }
    if let Some(error) = &answer.error {
        text = format!("{text} ({error})");
    }
    text
}

async fn own_server(server: SocketAddr, name: &str) -> (Finding, BTreeSet<IpAddr>) {
    let what = format!("dwell's DNS server at {server}");
    match query(server, name, RecordType::A, LIMIT).await {
        Err(error) => {
            let fix = "start it with `dwell node start`; `dwell node logs` tells why it ended";
            (Finding::bad(what, error.to_string(), fix), BTreeSet::new())
        }
        Ok(answer) if !answer.addresses.is_empty() => {
            let wanted = answer.addresses.iter().copied().collect();
            (Finding::good(what, told(&answer)), wanted)
        }
        Ok(answer) => {
            let fix = match answer.rcode {
                3 => "no running service has this name; `dwell url` prints those that do",
                5 => "use one of the full names",
                _ => {
                    "the name has no IPv4 address; ask for a service, such as `web.<env>.<suffix>`"
                }
            };
            (Finding::bad(what, told(&answer), fix), BTreeSet::new())
        }
    }
}

fn switch(root: &Path) -> Option<Finding> {
    let text = fs::read_to_string(root.join("etc/nsswitch.conf")).ok()?;
    let hosts = text.lines().find_map(|line| line.trim().strip_prefix("hosts:"))?.trim();
    let what = "/etc/nsswitch.conf";
    let asks = hosts.split_ascii_whitespace().any(|word| matches!(word, "dns" | "resolve"));
    Some(if asks {
        Finding::good(what, format!("hosts: {hosts}"))
    } else {
        let fix = "add `dns` to the `hosts:` line, or use `*.localhost` on dwell's HTTP proxy";
        Finding::bad(what, format!("hosts: {hosts}: programs never ask DNS"), fix)
    })
}

fn mac_os(root: &Path, suffix: &Suffix) -> Finding {
    let what = format!("{MAC_DIRECTORY}{suffix}");
    match fs::read_to_string(root.join(what.trim_start_matches('/'))) {
        Ok(text) if text.contains("nameserver 127.0.0.1") => {
            Finding::good(what, "it points at dwell")
        }
        Ok(_) => Finding::bad(what, "it points elsewhere", "move it away and run `dwell setup`"),
        Err(error) => Finding::bad(what, error.to_string(), "run `dwell setup`"),
    }
}

fn who(server: IpAddr) -> &'static str {
    match server {
        IpAddr::V4(v4) if v4 == DNS_ADDRESS => "dwell",
        _ if server == STUB => "systemd-resolved",
        _ if server.is_loopback() => "a program on this machine",
        _ => "a server on the network",
    }
}

/// What each server that `/etc/resolv.conf` lists says.
async fn servers(content: &str, name: &str, wanted: &BTreeSet<IpAddr>) -> Vec<Finding> {
    let listed = resolv_conf::nameservers(content);
    if listed.is_empty() {
        let fix = "run `dwell setup`";
        return vec![Finding::bad("/etc/resolv.conf", "it lists no server", fix)];
    }
    let mut findings = Vec::new();
    for (position, server) in listed.into_iter().enumerate() {
        let what = format!("{server} from /etc/resolv.conf ({})", who(server));
        let got = query(SocketAddr::new(server, 53), name, RecordType::A, LIMIT).await;
        let right = got.as_ref().is_ok_and(|answer| same(&answer.addresses, wanted));
        let detail = got.as_ref().map_or_else(ToString::to_string, told);
        // The resolver asks the first; the others count only while it is down.
        findings.push(if right || position > 0 {
            Finding::good(what, detail)
        } else {
            Finding::bad(what, detail, "run `dwell setup`, which sends dwell's names to dwell")
        });
    }
    findings
}

fn same(got: &[IpAddr], wanted: &BTreeSet<IpAddr>) -> bool {
    !wanted.is_empty() && got.iter().copied().collect::<BTreeSet<_>>() == *wanted
}

async fn routing(suffix: &Suffix, run: impl AsyncFn(&[&str]) -> Result<String, String>) -> Finding {
    let what = "systemd-resolved's routing";
    match run(&["resolvectl", "domain", LINK]).await {
        Ok(text) if text.split_ascii_whitespace().any(|word| word == format!("~{suffix}")) => {
            Finding::good(what, format!("~{suffix} goes to the link {LINK}"))
        }
        Ok(_) => {
            let detail = format!("the link {LINK} does not carry ~{suffix}");
            Finding::bad(what, detail, "run `dwell setup`")
        }
        Err(why) => {
            let fix = "run `dwell setup`; `systemctl status dwell-dns` tells why the link is gone";
            Finding::bad(what, why, fix)
        }
    }
}

/// What programs get, and whether it is what dwell says.
async fn system(name: &str, wanted: &BTreeSet<IpAddr>) -> Finding {
    let what = "the system's resolver";
    let shown = |all: &[IpAddr]| all.iter().map(IpAddr::to_string).collect::<Vec<_>>().join(", ");
    let fix = "run `dwell setup`; a VPN may have replaced the resolver, then run it again, or use \
               `*.localhost` on dwell's HTTP proxy";
    match timeout(SYSTEM_LIMIT, lookup_host((name, 80))).await {
        Ok(Ok(found)) => {
            let got: Vec<IpAddr> = found.map(|address| address.ip()).collect();
            if same(&got, wanted) {
                return Finding::good(what, shown(&got));
            }
            let detail = format!("{}: this is not what dwell answers", shown(&got));
            Finding::bad(what, detail, fix)
        }
        Ok(Err(error)) => Finding::bad(what, error.to_string(), fix),
        Err(_) => Finding::bad(what, format!("no answer within {} s", SYSTEM_LIMIT.as_secs()), fix),
    }
}
