//! The DNS server on real sockets.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    missing_docs,
    reason = "a test ends at the first surprise"
)]

use std::net::{IpAddr, SocketAddr, UdpSocket};
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use dwell_core::Suffix;
use dwell_net::dns::{BindError, DnsServer, RecordType, query};
use dwell_net::names::{Name, NameTable};

const LIMIT: Duration = Duration::from_secs(5);

fn ip(text: &str) -> IpAddr {
    text.parse().unwrap()
}

fn table() -> Arc<NameTable> {
    let table = NameTable::new();
    let many = (0..100).map(|i| ip(&format!("10.224.1.{i}"))).collect();
    let names = vec![
        Name::new("web.a1.shop.test", "shop/a1", vec![ip("10.224.0.2")]),
        Name::new("many.a1.shop.test", "shop/a1", many),
        Name::new("shop.a1.test", "shop/a1", vec![ip("10.224.0.2")]).wildcard(),
    ];
    table.set("e1", names).unwrap();
    Arc::new(table)
}

fn local() -> SocketAddr {
    "127.0.0.1:0".parse().unwrap()
}

fn server(table: &Arc<NameTable>, forward: Option<Vec<SocketAddr>>) -> (DnsServer, SocketAddr) {
    let suffixes = [Suffix::default()];
    let server = DnsServer::bind(&[local()], &suffixes, Arc::clone(table), forward).unwrap();
    let at = server.local_addr().unwrap();
    (server, at)
}

/// An upstream that answers every A query with 192.0.2.1, counts, and sends `before` first.
fn upstream(before: impl Fn(&mut Vec<u8>) + Send + 'static) -> (SocketAddr, Arc<AtomicUsize>) {
    let socket = UdpSocket::bind(local()).unwrap();
    let at = socket.local_addr().unwrap();
    let count = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&count);
    std::thread::spawn(move || {
        let mut buffer = [0; 2048];
        while let Ok((length, peer)) = socket.recv_from(&mut buffer) {
            counted.fetch_add(1, Ordering::SeqCst);
            let end = 12 + buffer[12..].iter().position(|b| *b == 0).unwrap() + 5;
            let mut reply = buffer[..end.min(length)].to_vec();
            reply[2] = 0x81;
            reply[7] = 1;
            reply[10..12].fill(0);
            reply.extend_from_slice(&[0xc0, 12, 0, 1, 0, 1, 0, 0, 0, 60, 0, 4, 192, 0, 2, 1]);
            let mut forged = reply.clone();
            before(&mut forged);
            let _ = socket.send_to(&forged, peer);
            let _ = socket.send_to(&reply, peer);
        }
    });
    (at, count)
}

#[tokio::test]
async fn names_are_answered_and_change_at_once() {
    let table = table();
    let (server, at) = server(&table, None);
    let ask = async |name: &str| query(at, name, RecordType::A, LIMIT).await.unwrap();
    let answer = ask("Web.A1.shop.test").await;
    assert_eq!(
        (answer.addresses.as_slice(), answer.question.as_str()),
        (&[ip("10.224.0.2")][..], "Web.A1.shop.test")
    );
    assert!(answer.authoritative);
    assert_eq!(ask("deep.er.shop.a1.test").await.addresses, [ip("10.224.0.2")]);
    assert_eq!(ask("www.example.com").await.code(), "REFUSED");
    assert_eq!(ask("many.a1.shop.test").await.addresses.len(), 100, "by TCP");
    table.set("e2", vec![Name::new("new.b1.test", "shop/b1", vec![ip("10.224.0.9")])]).unwrap();
    assert_eq!(ask("new.b1.test").await.addresses, [ip("10.224.0.9")]);
    table.remove("e2");
    assert_eq!(ask("new.b1.test").await.code(), "NXDOMAIN");
    server.set_suffixes(&["dev.example".parse().unwrap()]);
    assert_eq!(ask("web.a1.shop.test").await.code(), "REFUSED");
    assert_eq!(ask("x.dev.example").await.code(), "NXDOMAIN");
}

#[tokio::test]
async fn ipv6_is_served_as_well() {
    let at: SocketAddr = "[::1]:0".parse().unwrap();
    let server = DnsServer::bind(&[local(), at], &[Suffix::default()], table(), None).unwrap();
    for at in server.local_addrs() {
        let answer = query(*at, "web.a1.shop.test", RecordType::A, LIMIT).await.unwrap();
        assert_eq!(answer.addresses, [ip("10.224.0.2")]);
    }
}

#[test]
fn an_ambiguous_name_tells_dig_both_candidates() {
    let table = NameTable::new();
    for (owner, project, last) in [("e1", "shop", 2), ("e2", "blog", 3)] {
        let full = format!("web.a1.{project}.test");
        let name = Name::new(
            "web.a1.test",
            &format!("{project}/a1"),
            vec![ip(&format!("10.224.0.{last}"))],
        );
        table.set(owner, vec![name.short(Some(&full))]).unwrap();
    }
    let table = Arc::new(table);
    let (_server, at) = server(&table, None);
    let dig = |arguments: &[&str]| {
        let port = at.port().to_string();
        let base = ["@127.0.0.1", "-p", &port, "+tries=1", "+time=5"];
        let out = Command::new("dig").args(base).args(arguments).output().unwrap();
        String::from_utf8(out.stdout).unwrap()
    };
    let text = dig(&["web.a1.test"]);
    assert!(text.contains("status: REFUSED"), "{text}");
    assert!(text.contains("ambiguous: shop/a1 and blog/a1"), "{text}");
    assert!(
        dig(&["web.a1.test", "TXT", "+short"]).contains("use web.a1.shop.test or web.a1.blog.test")
    );
    table.remove("e2");
    assert_eq!(dig(&["web.a1.test", "+short"]).trim(), "10.224.0.2");
    let soa = dig(&["test", "SOA"]);
    assert!(soa.contains("status: NOERROR") && soa.contains("localhost. nobody.invalid."), "{soa}");
    let negative = dig(&["gone.a1.test", "AAAA", "+tcp"]);
    assert!(
        negative.contains("status: NXDOMAIN") && negative.contains("AUTHORITY: 1"),
        "{negative}"
    );
    assert!(!negative.contains("WARNING"), "{negative}");
}

#[test]
fn many_queries_at_once_are_all_answered() {
    let (_server, at) = server(&table(), None);
    let socket = UdpSocket::bind(local()).unwrap();
    socket.connect(at).unwrap();
    socket.set_read_timeout(Some(LIMIT)).unwrap();
    let mut packet = vec![0, 0, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0];
    packet.extend_from_slice(b"\x03web\x02a1\x04shop\x04test\x00\x00\x01\x00\x01");
    for _ in 0..20 {
        let mut waiting: Vec<u16> = (0..100).collect();
        for id in &waiting {
            packet[..2].copy_from_slice(&id.to_be_bytes());
            socket.send(&packet).unwrap();
        }
        let mut reply = [0; 512];
        while !waiting.is_empty() {
            let length = socket.recv(&mut reply).unwrap();
            let id = u16::from_be_bytes([reply[0], reply[1]]);
            assert_eq!(reply[length - 4..length], [10, 224, 0, 2]);
            waiting.retain(|other| *other != id);
        }
    }
}

#[test]
fn a_taken_port_is_told_and_dropping_the_server_frees_it() {
    let (first, at) = server(&table(), None);
    let again = || DnsServer::bind(&[at], &[Suffix::default()], table(), None);
    assert!(matches!(again(), Err(BindError::Taken { address }) if address == at));
    let start = Instant::now();
    drop(first);
    assert!(start.elapsed() < Duration::from_millis(900), "{:?}", start.elapsed());
    drop(again().unwrap());
    let outside = "192.0.2.1:5354".parse().unwrap();
    let refused = DnsServer::bind(&[outside], &[Suffix::default()], table(), None);
    assert!(matches!(refused, Err(BindError::NotLoopback { .. })));
}

#[tokio::test]
async fn foreign_names_are_forwarded_and_ours_never() {
    // An answer with another id comes first: it must not be believed.
    let (good, count) = upstream(|forged| {
        forged[0] ^= 0x55;
        let last = forged.len() - 1;
        forged[last] = 66;
    });
    let (_server, at) = server(&table(), Some(vec![good]));
    let answer = query(at, "www.example.com", RecordType::A, LIMIT).await.unwrap();
    assert_eq!(answer.addresses, [ip("192.0.2.1")]);
    assert_eq!(count.load(Ordering::SeqCst), 1);
    for ours in ["web.a1.shop.test", "gone.test", "test"] {
        query(at, ours, RecordType::A, LIMIT).await.unwrap();
    }
    assert_eq!(count.load(Ordering::SeqCst), 1, "a name of ours went out");
}

#[tokio::test]
async fn a_dead_upstream_is_passed_over_and_a_lone_one_gives_servfail_in_time() {
    let silent = UdpSocket::bind(local()).unwrap();
    let dead = silent.local_addr().unwrap();
    let (good, _) = upstream(|_| {});
    let (server, at) = server(&table(), Some(vec![dead, good]));
    let answer = query(at, "www.example.com", RecordType::A, LIMIT).await.unwrap();
    assert_eq!(answer.addresses, [ip("192.0.2.1")]);
    server.set_forward(Some(vec![dead]));
    let start = Instant::now();
    let (foreign, ours) = tokio::join!(query(at, "www.example.com", RecordType::A, LIMIT), async {
        let start = Instant::now();
        let answer = query(at, "web.a1.shop.test", RecordType::A, LIMIT).await.unwrap();
        (answer.addresses, start.elapsed())
    });
    assert_eq!(foreign.unwrap().code(), "SERVFAIL");
    assert!(start.elapsed() < Duration::from_secs(2), "{:?}", start.elapsed());
    assert_eq!(ours.0, [ip("10.224.0.2")]);
    assert!(ours.1 < Duration::from_millis(500), "{:?}", ours.1);
    server.set_forward(Some(vec![at]));
    let itself = query(at, "www.example.com", RecordType::A, LIMIT).await.unwrap();
    assert_eq!(itself.code(), "SERVFAIL", "it does not ask itself");
}
