//! With the real Caddy and the real nginx, where they are installed.

use super::*;
use std::net::SocketAddr;

use dwell_core::ingress::{CaddyFiles, idle_caddy};
use serde_json::json;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

async fn is_installed(program: &str, argument: &str) -> bool {
    let found = Program::new(program).arg(argument).run().await.is_ok();
    if !found {
        eprintln!("skipped: {program} is not installed");
    }
    found
}

async fn free() -> SocketAddr {
    TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap()
}

struct Bench {
    folder: tempfile::TempDir,
    at: SocketAddr,
}

impl Bench {
    async fn new() -> Self {
        Self { folder: tempfile::tempdir().unwrap(), at: free().await }
    }

    fn admin(&self) -> PathBuf {
        self.folder.path().join("admin.sock")
    }

    fn idle(&self) -> Value {
        let (admin, log) = (self.admin(), self.folder.path().join("caddy.log"));
        idle_caddy(&CaddyFiles { admin: admin.to_str().unwrap(), log: log.to_str().unwrap() })
    }

    /// Passes everything on to an address.
    fn passing_on(&self, to: SocketAddr) -> Value {
        let mut config = self.idle();
        let proxy = json!({"handler": "reverse_proxy", "upstreams": [{"dial": to}], "flush_interval": "20ms"});
        let server = json!({
            "listen": [format!("tcp/{}", self.at)],
            "automatic_https": {"disable": true},
            "routes": [{"handle": [proxy]}],
        });
        config["apps"] = json!({"http": {"servers": {"dwell": server}}});
        config
    }

    async fn start(&self) -> Result<Caddy, IngressError> {
        Caddy::start(self.folder.path(), &self.admin(), &self.idle()).await
    }

    async fn ask(&self) -> io::Result<TcpStream> {
        let mut stream = TcpStream::connect(self.at).await?;
        stream.write_all(b"GET / HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n").await?;
        Ok(stream)
    }
}

/// Takes one request, answers its head and the first half of its body.
async fn half_answered(service: &TcpListener, name: &str) -> TcpStream {
    let (mut stream, _) = service.accept().await.unwrap();
    let mut request = [0; 1024];
    let _ = stream.read(&mut request).await.unwrap();
    let head = format!("HTTP/1.1 200 OK\r\ncontent-length: 12\r\n\r\n{name:6}");
    stream.write_all(head.as_bytes()).await.unwrap();
    stream
}

async fn read_until(stream: &mut TcpStream, text: &str) -> String {
    let mut all = Vec::new();
    while !String::from_utf8_lossy(&all).contains(text) {
        assert_ne!(
            stream.read_buf(&mut all).await.unwrap(),
            0,
            "{}",
            String::from_utf8_lossy(&all)
        );
    }
    String::from_utf8_lossy(&all).into_owned()
}

#[tokio::test]
async fn caddy_changes_while_an_answer_is_under_way() {
    if !is_installed("caddy", "version").await {
        return;
    }
    assert!(Caddy::version().await.unwrap() >= dwell_core::prepare::Program::Caddy.oldest());
    let bench = Bench::new().await;
    let caddy = bench.start().await.unwrap();
    assert!(bench.ask().await.is_err(), "nothing is served yet");

    let (one, two) =
        (TcpListener::bind("127.0.0.1:0").await, TcpListener::bind("127.0.0.1:0").await);
    let (one, two) = (one.unwrap(), two.unwrap());
    caddy.load(&bench.passing_on(one.local_addr().unwrap())).await.unwrap();
    let mut old = bench.ask().await.unwrap();
    let mut service = half_answered(&one, "first").await;
    read_until(&mut old, "first").await;

    caddy.load(&bench.passing_on(two.local_addr().unwrap())).await.unwrap();
    let mut new = bench.ask().await.unwrap();
    half_answered(&two, "second").await.write_all(b"second").await.unwrap();
    read_until(&mut new, "secondsecond").await;
    service.write_all(b"to end").await.unwrap();
    read_until(&mut old, "to end").await;

    // What cannot be is refused as a whole.
    let mut odd = bench.passing_on(one.local_addr().unwrap());
    odd["apps"]["http"]["servers"]["dwell"]["listen"] = json!(["tcp/192.0.2.1:80"]);
    let error = caddy.load(&odd).await.unwrap_err();
    assert!(
        matches!(&error, IngressError::Refused { why, .. } if why.contains("192.0.2.1")),
        "{error}"
    );
    bench.ask().await.unwrap();
    caddy.stop().await;
    assert!(bench.ask().await.is_err());
}

#[tokio::test]
async fn a_caddy_of_an_earlier_life_makes_room() {
    if !is_installed("caddy", "version").await {
        return;
    }
    let bench = Bench::new().await;
    let mut first = bench.start().await.unwrap();
    let second = bench.start().await.unwrap();
    first.ended().await;
    second.load(&bench.passing_on(free().await)).await.unwrap();
    second.stop().await;
}

#[tokio::test]
async fn a_caddy_that_does_not_start_says_why() {
    if !is_installed("caddy", "version").await {
        return;
    }
    let bench = Bench::new().await;
    let odd = json!({"admin": {"listen": "unix//no/such/folder/admin.sock"}});
    let error = Caddy::start(bench.folder.path(), &bench.admin(), &odd).await.unwrap_err();
    assert!(
        matches!(&error, IngressError::Gone { why } if why.contains("no such file")),
        "{error}"
    );
}
