//! Relays on real sockets.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    missing_docs,
    reason = "a test ends at the first surprise"
)]

use std::net::SocketAddr;
use std::time::Duration;

use dwell_net::relay::{Forward, ProbeError, Protocol, Relay, RelayConfig, Target, probe};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream, UdpSocket};
use tokio::sync::oneshot;
use tokio::time::timeout;

const LIMIT: Duration = Duration::from_secs(5);

fn local() -> SocketAddr {
    "127.0.0.1:0".parse().unwrap()
}

fn target(port: u16) -> Target {
    format!("localhost:{port}").parse().unwrap()
}

struct Running {
    at: SocketAddr,
    stop: Option<oneshot::Sender<()>>,
    task: tokio::task::JoinHandle<()>,
}

async fn relay(protocol: Protocol, port: u16, change: impl FnOnce(&mut RelayConfig)) -> Running {
    let forward = Forward { protocol, listen: local(), target: target(port) };
    let mut config = RelayConfig::new(vec![forward]);
    change(&mut config);
    let relay = Relay::bind(config).await.unwrap();
    let at = relay.local_addrs().unwrap()[0];
    let (stop, stopped) = oneshot::channel();
    let task = tokio::spawn(relay.serve(async {
        let _ = stopped.await;
    }));
    Running { at, stop: Some(stop), task }
}

#[tokio::test]
async fn streams_pass_and_keep_half_close() {
    let listener = TcpListener::bind(local()).await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let mut running = relay(Protocol::Tcp, port, |_| {}).await;
    let far = tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.unwrap();
        let mut all = Vec::new();
        stream.read_to_end(&mut all).await.unwrap();
        // The client has closed its side; the answer must still arrive.
        all.reverse();
        stream.write_all(&all).await.unwrap();
    });
    let mut client = TcpStream::connect(running.at).await.unwrap();
    let sent: Vec<u8> = (0..1_000_000u32).map(|i| u8::try_from(i % 251).unwrap()).collect();
    client.write_all(&sent).await.unwrap();
    client.shutdown().await.unwrap();
    let mut got = Vec::new();
    timeout(LIMIT, client.read_to_end(&mut got)).await.unwrap().unwrap();
    got.reverse();
    assert!(got == sent);
    far.await.unwrap();
    running.stop.take().unwrap().send(()).unwrap();
    timeout(LIMIT, running.task).await.unwrap().unwrap();
    assert!(TcpStream::connect(running.at).await.is_err(), "it has stopped listening");
}

#[tokio::test]
async fn a_target_that_is_down_closes_the_connection_and_fails_the_probe() {
    let listener = TcpListener::bind(local()).await.unwrap();
    let port = listener.local_addr().unwrap().port();
    probe(&target(port), LIMIT).await.unwrap();
    drop(listener);
    assert!(matches!(probe(&target(port), LIMIT).await, Err(ProbeError::Unreachable { .. })));
    let running = relay(Protocol::Tcp, port, |_| {}).await;
    let mut client = TcpStream::connect(running.at).await.unwrap();
    let mut buffer = [0; 1];
    let end = timeout(LIMIT, client.read(&mut buffer)).await.unwrap();
    assert!(matches!(end, Ok(0) | Err(_)));
    // It is looked up and connected anew: a target that comes back is reached.
    let listener = TcpListener::bind(("127.0.0.1", port)).await.unwrap();
    let _again = TcpStream::connect(running.at).await.unwrap();
    timeout(LIMIT, listener.accept()).await.unwrap().unwrap();
}

#[tokio::test]
async fn datagrams_pass_per_client_and_silence_forgets() {
    let far = UdpSocket::bind(local()).await.unwrap();
    let port = far.local_addr().unwrap().port();
    let idle = Duration::from_millis(200);
    let running = relay(Protocol::Udp, port, |config| config.udp_idle = idle).await;
    let (one, two) =
        (UdpSocket::bind(local()).await.unwrap(), UdpSocket::bind(local()).await.unwrap());
    let mut buffer = [0; 64];
    let mut seen = Vec::new();
    for (socket, text) in [(&one, b"one"), (&two, b"two"), (&one, b"uno")] {
        socket.send_to(text, running.at).await.unwrap();
        let (length, peer) = timeout(LIMIT, far.recv_from(&mut buffer)).await.unwrap().unwrap();
        far.send_to(&buffer[..length], peer).await.unwrap();
        let (length, from) = timeout(LIMIT, socket.recv_from(&mut buffer)).await.unwrap().unwrap();
        assert_eq!((&buffer[..length], from), (&text[..], running.at));
        seen.push(peer);
    }
    assert_eq!(seen[0], seen[2], "a client keeps its socket");
    assert_ne!(seen[0], seen[1], "two clients do not share one");
    // The association's socket closes after the silence, which the far side sees as a refusal.
    let closed = async {
        let probe = UdpSocket::bind(local()).await.unwrap();
        probe.connect(seen[0]).await.unwrap();
        while probe.send(b"x").await.is_ok() {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    timeout(LIMIT, closed).await.unwrap();
    one.send_to(b"new", running.at).await.unwrap();
    let (length, _) = timeout(LIMIT, far.recv_from(&mut buffer)).await.unwrap().unwrap();
    assert_eq!(&buffer[..length], b"new");
}

#[test]
fn targets_are_read_from_text() {
    for (text, host, port) in
        [("db:5432", "db", 5432), ("10.0.0.1:80", "10.0.0.1", 80), ("[fd00::1]:80", "fd00::1", 80)]
    {
        let target: Target = text.parse().unwrap();
        assert_eq!(target, Target::Host { host: host.to_owned(), port });
        assert_eq!(target.to_string(), text);
    }
    for bad in ["", "db", ":80", "db:0", "db:99999", "db:x", "a b:80", "http://db:80"] {
        assert!(bad.parse::<Target>().is_err(), "{bad}");
    }
}

#[test]
fn forwards_are_read_from_text_and_written_again() {
    let forward: Forward = "tcp/5432=db:5433".parse().unwrap();
    assert_eq!(
        (forward.protocol, forward.listen.port(), forward.target.to_string()),
        (Protocol::Tcp, 5432, "db:5433".to_owned())
    );
    for text in ["tcp/0.0.0.0:5432=db:5433", "udp/127.0.0.1:53=[fd00::1]:53", "tcp/[::]:80=web:80"]
    {
        assert_eq!(text.parse::<Forward>().unwrap().to_string(), text);
    }
    for bad in ["", "tcp/5432", "sctp/1=db:1", "tcp/x=db:1", "tcp/1=db", "5432=db:5432"] {
        assert!(bad.parse::<Forward>().is_err(), "{bad}");
    }
}
