//! The HTTP proxy on real sockets.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    missing_docs,
    reason = "a test ends at the first surprise"
)]

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use dwell_core::Suffix;
use dwell_net::dns::BindError;
use dwell_net::names::{Name, NameTable};
use dwell_net::proxy::HttpProxy;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::timeout;

const LIMIT: Duration = Duration::from_secs(5);
const HERE: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);

fn local() -> SocketAddr {
    SocketAddr::new(HERE, 0)
}

async fn service() -> (TcpListener, u16) {
    let listener = TcpListener::bind(local()).await.unwrap();
    let port = listener.local_addr().unwrap().port();
    (listener, port)
}

async fn proxy(table: NameTable) -> (HttpProxy, SocketAddr) {
    let proxy = HttpProxy::bind(local(), &[Suffix::default()], Arc::new(table)).await.unwrap();
    let at = proxy.local_addr();
    (proxy, at)
}

fn web(port: u16) -> NameTable {
    let table = NameTable::new();
    let names = vec![
        Name::new("web.a1.test", "shop/a1", vec![HERE]).short(Some("web.a1.shop.test")).http(port),
        Name::new("web.a1.shop.test", "shop/a1", vec![HERE]).http(port),
        Name::new("shop.a1.test", "shop/a1", vec![HERE]).wildcard().http(port),
        Name::new("db.a1.test", "shop/a1", vec![HERE]),
    ];
    table.set("e1", names).unwrap();
    table
}

/// Reads a head: everything up to the empty line.
async fn head(stream: &mut BufReader<TcpStream>) -> String {
    let mut all = String::new();
    while !all.ends_with("\r\n\r\n") {
        let read = timeout(LIMIT, stream.read_line(&mut all)).await.unwrap().unwrap();
        assert!(read > 0, "ended within a head: {all:?}");
    }
    all
}

async fn connect(at: SocketAddr) -> BufReader<TcpStream> {
    BufReader::new(TcpStream::connect(at).await.unwrap())
}

/// Sends raw bytes and reads until the proxy closes.
async fn raw(at: SocketAddr, request: &str) -> String {
    let mut stream = connect(at).await;
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut all = String::new();
    timeout(LIMIT, stream.read_to_string(&mut all)).await.unwrap().unwrap();
    all
}

async fn get(at: SocketAddr, host: &str) -> String {
    raw(at, &format!("GET / HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n")).await
}

#[tokio::test]
async fn bodies_stream_both_ways() {
    let (listener, port) = service().await;
    let (_proxy, at) = proxy(web(port)).await;
    let mut client = connect(at).await;
    client
        .write_all(b"POST /x?y=1 HTTP/1.1\r\nHost: web.a1.localhost:7080\r\nX-Forwarded-For: 6.6.6.6\r\nTransfer-Encoding: chunked\r\n\r\n3\r\none\r\n")
        .await
        .unwrap();
    let (stream, _) = timeout(LIMIT, listener.accept()).await.unwrap().unwrap();
    let mut service = BufReader::new(stream);
    let seen = head(&mut service).await.to_ascii_lowercase();
    assert!(seen.starts_with("post /x?y=1 http/1.1\r\n"), "{seen}");
    for line in [
        "host: web.a1.localhost:7080",
        "x-forwarded-host: web.a1.localhost:7080",
        "x-forwarded-proto: http",
        "x-forwarded-for: 127.0.0.1",
        "transfer-encoding: chunked",
    ] {
        assert_eq!(seen.matches(&format!("\r\n{line}\r\n")).count(), 1, "{line} in {seen}");
    }
    // The first part arrives while the client still writes, and the answer begins before its end.
    let mut part = [0; 8];
    timeout(LIMIT, service.read_exact(&mut part)).await.unwrap().unwrap();
    assert_eq!(&part, b"3\r\none\r\n");
    service
        .write_all(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nfirst\r\n")
        .await
        .unwrap();
    let answer = head(&mut client).await;
    assert!(answer.starts_with("HTTP/1.1 200 OK"), "{answer}");
    let mut part = [0; 10];
    timeout(LIMIT, client.read_exact(&mut part)).await.unwrap().unwrap();
    assert_eq!(&part, b"5\r\nfirst\r\n");
    client.write_all(b"0\r\n\r\n").await.unwrap();
    let mut part = [0; 5];
    timeout(LIMIT, service.read_exact(&mut part)).await.unwrap().unwrap();
    assert_eq!(&part, b"0\r\n\r\n");
}

#[tokio::test]
async fn an_upgrade_becomes_a_plain_stream() {
    let (listener, port) = service().await;
    let (_proxy, at) = proxy(web(port)).await;
    let mut client = connect(at).await;
    client
        .write_all(b"GET /ws HTTP/1.1\r\nHost: any.shop.a1.localhost\r\nConnection: keep-alive, Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Key: k\r\n\r\n")
        .await
        .unwrap();
    let (stream, _) = timeout(LIMIT, listener.accept()).await.unwrap().unwrap();
    let mut service = BufReader::new(stream);
    let seen = head(&mut service).await.to_ascii_lowercase();
    assert!(
        seen.contains("upgrade: websocket\r\n") && seen.contains("sec-websocket-key: k\r\n"),
        "{seen}"
    );
    service
        .write_all(b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Accept: a\r\n\r\nhello")
        .await
        .unwrap();
    let answer = head(&mut client).await.to_ascii_lowercase();
    assert!(answer.starts_with("http/1.1 101"), "{answer}");
    assert!(
        answer.contains("upgrade: websocket") && answer.contains("sec-websocket-accept: a"),
        "{answer}"
    );
    let mut part = [0; 5];
    timeout(LIMIT, client.read_exact(&mut part)).await.unwrap().unwrap();
    assert_eq!(&part, b"hello");
    client.write_all(b"\x00\xffback").await.unwrap();
    let mut part = [0; 6];
    timeout(LIMIT, service.read_exact(&mut part)).await.unwrap().unwrap();
    assert_eq!(&part, b"\x00\xffback");
    drop(service);
    let mut rest = Vec::new();
    timeout(LIMIT, client.read_to_end(&mut rest)).await.unwrap().unwrap();
    assert!(rest.is_empty());
}

#[tokio::test]
async fn what_cannot_be_served_is_explained() {
    let (listener, port) = service().await;
    drop(listener);
    let table = web(port);
    let other = Name::new("api.a1.test", "shop/a1", vec![HERE]).http(port);
    table.set("e2", vec![other.clone().short(Some("api.a1.shop.test"))]).unwrap();
    let other = Name { owner_label: "blog/a1".to_owned(), ..other };
    table.set("e3", vec![other.short(Some("api.a1.blog.test"))]).unwrap();
    let (_proxy, at) = proxy(table).await;
    let unknown = get(at, "nobody.localhost").await;
    assert!(unknown.starts_with("HTTP/1.1 404"), "{unknown}");
    assert!(unknown.contains("\n  web.a1.localhost\n") && !unknown.contains("db.a1"), "{unknown}");
    let port_less = get(at, "db.a1.localhost").await;
    assert!(port_less.starts_with("HTTP/1.1 404"), "{port_less}");
    let ambiguous = get(at, "api.a1.localhost").await;
    assert!(ambiguous.starts_with("HTTP/1.1 409"), "{ambiguous}");
    assert!(ambiguous.contains("use api.a1.shop.test or api.a1.blog.test"), "{ambiguous}");
    let refused = get(at, "web.a1.shop.test").await;
    assert!(refused.starts_with("HTTP/1.1 502"), "{refused}");
    assert!(
        refused.contains(&format!("127.0.0.1:{port}")) && refused.contains("refused"),
        "{refused}"
    );
}

#[tokio::test]
async fn requests_that_can_be_read_in_two_ways_are_refused() {
    let (_listener, port) = service().await;
    let (_proxy, at) = proxy(web(port)).await;
    for request in [
        "GET / HTTP/1.1\r\n\r\n",
        "GET / HTTP/1.0\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: web.a1.localhost\r\nHost: web.a1.localhost\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: web.a1.localhost\r\nHost: evil.example\r\n\r\n",
        "GET http://evil.example/ HTTP/1.1\r\nHost: web.a1.localhost\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: web.a1.localhost@evil\r\n\r\n",
        "GET / HTTP/1.1\r\nHost : web.a1.localhost\r\n\r\n",
        "POST / HTTP/1.1\r\nHost: web.a1.localhost\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nx",
        "nonsense\r\n\r\n",
    ] {
        let close = request.replacen("\r\n", "\r\nConnection: close\r\n", 1);
        let answer = raw(at, &close).await;
        assert!(
            answer.starts_with("HTTP/1.1 400") || answer.starts_with("HTTP/1.0 400"),
            "{request:?}: {answer:?}"
        );
    }
    let rebinding = get(at, "attacker.example").await;
    assert!(rebinding.starts_with("HTTP/1.1 404"), "{rebinding}");
    let tunnel = raw(at, "CONNECT web.a1.localhost:80 HTTP/1.1\r\nHost: web.a1.localhost:80\r\nConnection: close\r\n\r\n").await;
    assert!(tunnel.starts_with("HTTP/1.1 405"), "{tunnel}");
    let long = format!(
        "GET / HTTP/1.1\r\nHost: web.a1.localhost\r\nX-Long: {}\r\n\r\n",
        "x".repeat(200_000)
    );
    let answer = match TcpStream::connect(at).await {
        Ok(mut stream) => {
            let _ = stream.write_all(long.as_bytes()).await;
            let mut all = Vec::new();
            let _ = timeout(LIMIT, stream.read_to_end(&mut all)).await.unwrap();
            String::from_utf8_lossy(&all).into_owned()
        }
        Err(error) => panic!("{error}"),
    };
    assert!(answer.is_empty() || answer.starts_with("HTTP/1.1 431"), "{answer}");
}

#[tokio::test]
async fn the_absolute_form_is_served() {
    let (listener, port) = service().await;
    let (_proxy, at) = proxy(web(port)).await;
    let mut client = connect(at).await;
    client
        .write_all(b"GET http://web.a1.localhost/p HTTP/1.1\r\nHost: web.a1.localhost\r\n\r\n")
        .await
        .unwrap();
    let (stream, _) = timeout(LIMIT, listener.accept()).await.unwrap().unwrap();
    let seen = head(&mut BufReader::new(stream)).await;
    assert!(seen.starts_with("GET /p HTTP/1.1\r\n"), "{seen}");
}

#[tokio::test]
async fn only_loopback_is_listened_on_and_a_taken_port_is_told() {
    let outside = "192.0.2.1:7080".parse().unwrap();
    let suffixes = [Suffix::default()];
    let refused = HttpProxy::bind(outside, &suffixes, Arc::new(NameTable::new())).await;
    assert!(matches!(refused, Err(BindError::NotLoopback { .. })));
    let (first, at) = proxy(NameTable::new()).await;
    let again = HttpProxy::bind(at, &suffixes, Arc::new(NameTable::new())).await;
    assert!(matches!(again, Err(BindError::Taken { .. })));
    drop(first);
    let freed = async {
        while HttpProxy::bind(at, &suffixes, Arc::new(NameTable::new())).await.is_err() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    timeout(LIMIT, freed).await.unwrap();
}
