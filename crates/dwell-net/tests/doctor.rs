//! What the doctor says about a name that does not work.
#![cfg(target_os = "linux")]
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    missing_docs,
    reason = "a test ends at the first surprise"
)]

mod support;

use std::fs;
use std::net::{IpAddr, SocketAddr, UdpSocket};
use std::path::Path;
use std::sync::Arc;

use dwell_core::Suffix;
use dwell_net::dns::DnsServer;
use dwell_net::doctor::{Finding, Inquiry, explain};
use dwell_net::names::{Name, NameTable};

fn root(switch: &str) -> tempfile::TempDir {
    let root = tempfile::tempdir().unwrap();
    fs::create_dir(root.path().join("etc")).unwrap();
    fs::write(root.path().join("etc/resolv.conf"), "nameserver 127.0.0.53\n").unwrap();
    fs::write(root.path().join("etc/nsswitch.conf"), format!("passwd: files\nhosts: {switch}\n"))
        .unwrap();
    root
}

fn server() -> DnsServer {
    let table = NameTable::new();
    for (owner, project) in [("e1", "shop"), ("e2", "blog")] {
        let address = vec![IpAddr::from([10, 224, 0, 2])];
        let name = Name::new("web.a1.test", &format!("{project}/a1"), address);
        table.set(owner, vec![name.short(Some(&format!("web.a1.{project}.test")))]).unwrap();
    }
    let suffixes = [Suffix::default()];
    DnsServer::bind(&["127.0.0.1:0".parse().unwrap()], &suffixes, Arc::new(table), None).unwrap()
}

async fn ask(
    name: &str,
    server: SocketAddr,
    root: &Path,
    domains: Result<&str, &str>,
) -> Vec<Finding> {
    let suffixes = [Suffix::default()];
    let inquiry = Inquiry { name, suffixes: &suffixes, server, root };
    explain(&inquiry, async |argv: &[&str]| {
        assert_eq!(argv, ["resolvectl", "domain", "dwell0"]);
        domains.map(str::to_owned).map_err(str::to_owned)
    })
    .await
}

fn find<'a>(findings: &'a [Finding], what: &str) -> &'a Finding {
    findings.iter().find(|f| f.what.contains(what)).unwrap_or_else(|| panic!("{findings:#?}"))
}

#[tokio::test]
async fn an_ambiguous_name_says_what_to_use() {
    if !support::inside("an_ambiguous_name_says_what_to_use") {
        return;
    }
    let server = server();
    let root = root("files dns");
    let findings = ask(
        "web.a1.test",
        server.local_addr().unwrap(),
        root.path(),
        Ok("Link 7 (dwell0): ~test\n"),
    )
    .await;
    let own = find(&findings, "dwell's DNS server");
    assert!(!own.ok && own.detail.contains("use web.a1.shop.test or web.a1.blog.test"), "{own:?}");
    assert!(find(&findings, "nsswitch").ok);
    assert!(find(&findings, "routing").ok);
    assert!(!find(&findings, "127.0.0.53 from /etc/resolv.conf (systemd-resolved)").ok);
    assert!(!find(&findings, "the system's resolver").ok);
}

#[tokio::test]
async fn each_broken_part_is_named_with_what_to_do() {
    if !support::inside("each_broken_part_is_named_with_what_to_do") {
        return;
    }
    // A server that has gone: the port is held, so that nobody else can answer on it.
    let silent = UdpSocket::bind("127.0.0.1:0").unwrap();
    let root = root("files mymachines");
    let findings = ask(
        "web.a1.test.",
        silent.local_addr().unwrap(),
        root.path(),
        Err("Failed to resolve interface \"dwell0\": No such device"),
    )
    .await;
    for (what, detail, fix) in [
        ("dwell's DNS server", "did not answer within 2000 ms", "dwell node start"),
        ("nsswitch", "programs never ask DNS", "add `dns`"),
        ("routing", "No such device", "dwell setup"),
    ] {
        let finding = find(&findings, what);
        assert!(!finding.ok && finding.detail.contains(detail), "{finding:?}");
        assert!(finding.fix.as_deref().unwrap().contains(fix), "{finding:?}");
    }
    let other = ask("web.a1.example", silent.local_addr().unwrap(), root.path(), Err("")).await;
    assert_eq!(other.len(), 1);
    assert!(other[0].detail.contains("not under a suffix of dwell: test"), "{other:?}");
}
