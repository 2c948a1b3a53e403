//! The setup of the system's resolver: with a root directory of its own, and for the plain
//! `/etc/resolv.conf` with the real resolver in its own network and mount namespaces.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    missing_docs,
    reason = "a test ends at the first surprise"
)]

mod support;

use std::cell::RefCell;
use std::fs;
use std::net::{IpAddr, SocketAddr, UdpSocket};
use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use std::time::{Duration, Instant};

use dwell_core::Suffix;
use dwell_core::resolver::{DNS_PORT, Facts, Method, Os, Serving, plan, serving, undo};
use dwell_net::dns::DnsServer;
use dwell_net::doctor::{Inquiry, explain};
use dwell_net::names::{Name, NameTable};
use dwell_net::setup::{apply, carry_out, facts};

const ORIGINAL: &str = "# by hand\nsearch lan\nnameserver 127.0.0.99\noptions attempts:2";

fn look(root: &Path) -> Facts {
    facts(root, vec![Suffix::default()], DNS_PORT)
}

fn write(root: &Path, path: &str, text: &str) {
    let path = root.join(path);
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(path, text).unwrap();
}

/// Every file below `root` with its content.
fn tree(root: &Path) -> Vec<(String, String)> {
    let mut found = Vec::new();
    let mut waiting = vec![root.to_owned()];
    while let Some(directory) = waiting.pop() {
        for entry in fs::read_dir(directory).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                waiting.push(path);
            } else {
                found.push((path.display().to_string(), fs::read_to_string(&path).unwrap()));
            }
        }
    }
    found.sort();
    found
}

async fn there_and_back(root: &Path, method: Method) {
    let before = tree(root);
    let calls = RefCell::new(Vec::new());
    let run = async |argv: &[String]| {
        calls.borrow_mut().push(argv.join(" "));
        Ok(())
    };
    let made = plan(&look(root)).unwrap();
    assert_eq!(made.method, method);
    carry_out(root, &made, run).await.unwrap();
    let after = tree(root);
    assert_ne!(after, before);
    carry_out(root, &plan(&look(root)).unwrap(), run).await.unwrap();
    assert_eq!(tree(root), after, "a second setup changes nothing");
    assert_eq!(plan(&look(root)).unwrap().method, method);
    apply(root, &undo(&look(root)), run).await.unwrap();
    assert_eq!(tree(root), before, "undo restores everything");
    assert_eq!(undo(&look(root)), []);
}

#[tokio::test]
async fn each_method_is_found_applied_and_undone() {
    for (method, files) in [
        (Method::ResolvConf, &[("etc/resolv.conf", ORIGINAL)] as &[(&str, &str)]),
        (
            Method::Resolved,
            &[
                ("etc/resolv.conf", "nameserver 127.0.0.53\n"),
                ("run/systemd/resolve/stub-resolv.conf", "nameserver 127.0.0.53\n"),
            ],
        ),
        (
            Method::NetworkManager,
            &[
                ("etc/resolv.conf", "nameserver 127.0.0.1\n"),
                ("run/NetworkManager/resolv.conf", "nameserver 192.0.2.1\n"),
                ("etc/NetworkManager/conf.d/dns.conf", "[main]\ndns = dnsmasq\n"),
            ],
        ),
    ] {
        let directory = tempfile::tempdir().unwrap();
        for (path, text) in files {
            write(directory.path(), path, text);
        }
        there_and_back(directory.path(), method).await;
    }
}

#[tokio::test]
async fn a_change_that_fails_takes_the_earlier_ones_back() {
    let directory = tempfile::tempdir().unwrap();
    let root = directory.path();
    write(root, "etc/resolv.conf", "nameserver 127.0.0.53\n");
    write(root, "run/systemd/resolve/stub-resolv.conf", "nameserver 127.0.0.53\n");
    let before = tree(root);
    let run = async |argv: &[String]| {
        if argv.contains(&"restart".to_owned()) { Err("no bus".to_owned()) } else { Ok(()) }
    };
    let error = carry_out(root, &plan(&look(root)).unwrap(), run).await.unwrap_err();
    assert!(error.to_string().ends_with("restart dwell-dns.service: no bus"), "{error}");
    assert_eq!(tree(root), before);
}

fn sh(script: &str) {
    assert!(Command::new("sh").args(["-ec", script]).status().unwrap().success(), "{script}");
}

fn getent(name: &str) -> (String, Duration) {
    let start = Instant::now();
    let out = Command::new("getent").args(["ahostsv4", name]).output().unwrap();
    let text = String::from_utf8(out.stdout).unwrap();
    (text.split_whitespace().next().unwrap_or_default().to_owned(), start.elapsed())
}

/// A server that knows 192.0.2.1 for names under example.com, and no other name.
fn fake_upstream(at: SocketAddr) {
    let socket = UdpSocket::bind(at).unwrap();
    std::thread::spawn(move || {
        let mut buffer = [0; 2048];
        while let Ok((_, peer)) = socket.recv_from(&mut buffer) {
            let end = 12 + buffer[12..].iter().position(|b| *b == 0).unwrap() + 5;
            let mut reply = buffer[..end].to_vec();
            (reply[2], reply[3]) = (0x81, 0x80);
            reply[6..12].fill(0);
            if !reply.ends_with(b"\x07example\x03com\0\0\x01\0\x01") {
                reply[3] = 0x83;
            } else {
                reply[7] = 1;
                reply.extend_from_slice(&[0xc0, 12, 0, 1, 0, 1, 0, 0, 0, 60, 0, 4, 192, 0, 2, 1]);
            }
            let _ = socket.send_to(&reply, peer);
        }
    });
}

fn start(content: &str) -> DnsServer {
    let table = NameTable::new();
    let address = IpAddr::from([10, 224, 0, 2]);
    table.set("e1", vec![Name::new("web.a1.shop.test", "shop/a1", vec![address])]).unwrap();
    let Serving { addresses, privileged, forward } = serving(Os::Linux, DNS_PORT, content);
    let all = [addresses, privileged].concat();
    DnsServer::bind(&all, &[Suffix::default()], Arc::new(table), forward).unwrap()
}

#[tokio::test]
async fn the_plain_file_works_with_the_real_resolver() {
    if !support::inside("the_plain_file_works_with_the_real_resolver") {
        return;
    }
    let directory = tempfile::tempdir().unwrap();
    let mounted = directory.path().join("resolv.conf");
    fs::write(&mounted, ORIGINAL).unwrap();
    // The second address: a machine with loopback addresses alone is not asked for others.
    sh("ip address add 192.0.2.9/32 dev lo");
    sh(&format!("mount --bind {} /etc/resolv.conf", mounted.display()));
    fake_upstream("127.0.0.99:53".parse().unwrap());
    let root = Path::new("/");
    assert_eq!(getent("www.example.com").0, "192.0.2.1", "the fake upstream is asked");
    let run = async |argv: &[String]| Err(format!("nothing is to be run, but {argv:?}"));

    let made = plan(&look(root)).unwrap();
    assert_eq!(made.method, Method::ResolvConf);
    carry_out(root, &made, run).await.unwrap();
    let server = start(&fs::read_to_string("/etc/resolv.conf").unwrap());
    assert_eq!(getent("web.a1.shop.test").0, "10.224.0.2");
    assert_eq!(getent("www.example.com").0, "192.0.2.1", "forwarded");
    assert_eq!(getent("gone.a1.test").0, "");

    let suffixes = [Suffix::default()];
    let inquiry = Inquiry {
        name: "web.a1.shop.test",
        suffixes: &suffixes,
        server: "127.0.0.1:5354".parse().unwrap(),
        root,
    };
    let findings = explain(&inquiry, async |_: &[&str]| Err("no resolved here".to_owned())).await;
    assert!(findings.iter().all(|finding| finding.ok), "{findings:#?}");
    assert!(findings.iter().any(|f| f.what.contains("127.0.53.54") && f.detail == "10.224.0.2"));

    drop(server);
    let (address, took) = getent("www.example.com");
    println!("dwell down: {address} after {} ms", took.as_millis());
    assert_eq!(address, "192.0.2.1", "without dwell the system still resolves");
    assert!(took < Duration::from_secs(1), "{took:?}");

    // A dwell that hangs: its port is open and nobody answers.
    let silent = UdpSocket::bind("127.0.53.54:53").unwrap();
    let (address, took) = getent("www.example.com");
    println!("dwell hangs: {address} after {} ms", took.as_millis());
    assert_eq!(address, "192.0.2.1");
    assert!(took < Duration::from_secs(4), "{took:?}");
    drop(silent);

    let findings = explain(&inquiry, async |_: &[&str]| Err("no resolved here".to_owned())).await;
    let bad: Vec<_> = findings.iter().filter(|finding| !finding.ok).collect();
    assert!(bad[0].what.contains("dwell's DNS server"), "{findings:#?}");
    assert!(bad.iter().all(|finding| finding.fix.is_some()));

    apply(root, &undo(&look(root)), run).await.unwrap();
    assert_eq!(fs::read_to_string(&mounted).unwrap(), ORIGINAL);
    sh("umount /etc/resolv.conf");
}
