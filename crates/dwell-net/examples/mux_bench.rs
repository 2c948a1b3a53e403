//! What benches/dial.sh measures: the two sides of a link, and clients and servers for its streams.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    reason = "a benchmark ends at the first surprise"
)]

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::os::fd::{AsFd, OwnedFd};
use std::process::Stdio;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use dwell_net::carrier::Connector;
use dwell_net::mesh::{Accepted, Identity, Limits, Listener, MeshConnector, Pins};
use dwell_net::mux::{self, Arrival, Incoming, Mux, Settings, Side};
use dwell_net::relay::RelayConfig;

const USAGE: &str = "usage: mux_bench far
       mux_bench near <listen> <target> <command> ...
       mux_bench mesh-far <listen> <folder for identities>
       mux_bench mesh-near <listen> <target> <address> <folder>
       mux_bench relay <listen> <target>
       mux_bench sink <listen> | source <listen> | echo <listen>
       mux_bench send <address> <bytes> | receive <address> <bytes>
       mux_bench rtt <address> <rounds> | added <address> <direct> <rounds>
       mux_bench idle <address> <connections>";

/// Answers streams on standard input and output.
async fn far() {
    let (read, write) = mux::pipes(owned(&std::io::stdin()), owned(&std::io::stdout())).unwrap();
    let (_mux, incoming) = mux::start(read, write, Side::Answering, Settings::default());
    answer(incoming).await;
}

fn owned(file: &impl AsFd) -> OwnedFd {
    file.as_fd().try_clone_to_owned().unwrap()
}

async fn answer(mut incoming: Incoming) {
    while let Some(arrival) = incoming.next().await {
        tokio::spawn(connect(arrival));
    }
}

async fn connect(arrival: Arrival) {
    let target = String::from_utf8(arrival.head().to_vec()).unwrap();
    match tokio::net::TcpStream::connect(target).await {
        Ok(socket) => {
            let _ = mux::pump(arrival.accept(), socket).await;
        }
        Err(error) => arrival.refuse(error.to_string()),
    }
}

/// Listens and passes every connection through a link over a command's standard streams.
async fn near(listen: &str, target: &str, command: &[&str]) {
    let listener = tokio::net::TcpListener::bind(listen).await.unwrap();
    let mut child = tokio::process::Command::new(command[0]);
    child.args(&command[1..]).kill_on_drop(true);
    let mut child = child.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    let read = child.stdout.take().unwrap().into_owned_fd().unwrap();
    let write = child.stdin.take().unwrap().into_owned_fd().unwrap();
    let (read, write) = mux::pipes(read, write).unwrap();
    let (mux, _incoming) = mux::start(read, write, Side::Opening, Settings::default());
    pass(listener, target, &mux).await;
}

/// Passes every connection through the link.
async fn pass(listener: tokio::net::TcpListener, target: &str, mux: &Mux) {
    mux.ping().await.unwrap();
    println!("ready");
    loop {
        let (socket, _) = listener.accept().await.unwrap();
        let stream = mux.open(Bytes::from(target.to_owned())).unwrap();
        tokio::spawn(mux::pump(stream, socket));
    }
}

/// Answers one node on the mesh, after making an identity for both sides.
async fn mesh_far(listen: &str, folder: &str) {
    let (near, far) = (Identity::generate().unwrap(), Identity::generate().unwrap());
    for (name, identity) in [("near", &near), ("far", &far)] {
        std::fs::write(format!("{folder}/{name}.pem"), identity.to_pem()).unwrap();
    }
    let pins = Arc::new(Pins::default());
    pins.set([near.fingerprint()]);
    let address = listen.parse().unwrap();
    let mut listener = Listener::bind(address, &far, pins, Limits::default()).await.unwrap();
    println!("ready");
    while let Some(Accepted { link, .. }) = listener.accept().await {
        let (_mux, incoming) =
            mux::start(link.read, link.write, Side::Answering, Settings::default());
        answer(incoming).await;
    }
}

async fn mesh_near(listen: &str, target: &str, address: &str, folder: &str) {
    let listener = tokio::net::TcpListener::bind(listen).await.unwrap();
    let read = |name: &str| {
        let pem = std::fs::read_to_string(format!("{folder}/{name}.pem")).unwrap();
        Identity::from_pem(&pem).unwrap()
    };
    let (near, far) = (read("near"), read("far"));
    let address = address.parse().unwrap();
    let connector = MeshConnector::new(address, &near, far.fingerprint()).unwrap();
    let link = connector.connect().await.unwrap();
    let (mux, _incoming) = mux::start(link.read, link.write, Side::Opening, Settings::default());
    pass(listener, target, &mux).await;
}

/// A plain TCP relay.
async fn relay(listen: &str, target: &str) {
    let forward = format!("tcp/{listen}={target}").parse().unwrap();
    let config = RelayConfig::new(vec![forward]);
    dwell_net::relay::run(config, std::future::pending()).await.unwrap();
}

/// Reads everything and says how much it was.
fn sink(listen: &str) {
    for socket in TcpListener::bind(listen).unwrap().incoming() {
        let mut socket = socket.unwrap();
        std::thread::spawn(move || {
            let (mut buffer, mut total) = (vec![0; 256 * 1024], 0_u64);
            while let Ok(length @ 1..) = socket.read(&mut buffer) {
                total += length as u64;
            }
            let _ = socket.write_all(&total.to_be_bytes());
        });
    }
}

/// Sends as much as it is asked for.
fn source(listen: &str) {
    for socket in TcpListener::bind(listen).unwrap().incoming() {
        let mut socket = socket.unwrap();
        std::thread::spawn(move || {
            let mut bytes = [0; 8];
            if socket.read_exact(&mut bytes).is_ok() {
                let _ = write(&mut socket, u64::from_be_bytes(bytes));
            }
        });
    }
}

fn write(socket: &mut TcpStream, bytes: u64) -> std::io::Result<()> {
    let buffer = vec![7; 256 * 1024];
    let mut left = bytes;
    while left > 0 {
        let length = left.min(buffer.len() as u64);
        socket.write_all(&buffer[..usize::try_from(length).unwrap()])?;
        left -= length;
    }
    Ok(())
}

/// Sends back what comes. One task for each connection, as there may be thousands.
async fn echo(listen: &str) {
    let listener = tokio::net::TcpListener::bind(listen).await.unwrap();
    loop {
        let (mut socket, _) = listener.accept().await.unwrap();
        socket.set_nodelay(true).unwrap();
        tokio::spawn(async move {
            loop {
                socket.readable().await.unwrap();
                let mut buffer = [0; 256];
                match socket.try_read(&mut buffer) {
                    Ok(length @ 1..) => {
                        let _ = tokio::io::AsyncWriteExt::write_all(&mut socket, &buffer[..length])
                            .await;
                    }
                    Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => {}
                    _ => return,
                }
            }
        });
    }
}

/// Prints how many seconds `bytes` take until the sink has confirmed them.
fn send(address: &str, bytes: u64) {
    let mut socket = TcpStream::connect(address).unwrap();
    let began = Instant::now();
    write(&mut socket, bytes).unwrap();
    socket.shutdown(std::net::Shutdown::Write).unwrap();
    let mut total = [0; 8];
    socket.read_exact(&mut total).unwrap();
    assert_eq!(u64::from_be_bytes(total), bytes);
    println!("{:.6}", began.elapsed().as_secs_f64());
}

/// Prints how many seconds `bytes` take from the source.
fn receive(address: &str, bytes: u64) {
    let mut socket = TcpStream::connect(address).unwrap();
    let (mut buffer, mut total) = (vec![0; 256 * 1024], 0);
    let began = Instant::now();
    socket.write_all(&bytes.to_be_bytes()).unwrap();
    while let Ok(length @ 1..) = socket.read(&mut buffer) {
        total += length as u64;
    }
    assert_eq!(total, bytes);
    println!("{:.6}", began.elapsed().as_secs_f64());
}

/// A connection that sends at once, and how long it takes with its first round trip.
fn begin(address: &str) -> (TcpStream, Duration) {
    let began = Instant::now();
    let mut socket = TcpStream::connect(address).unwrap();
    socket.set_nodelay(true).unwrap();
    trip(&mut socket);
    (socket, began.elapsed())
}

/// How long one byte takes to go and come back.
fn trip(socket: &mut TcpStream) -> Duration {
    let began = Instant::now();
    socket.write_all(b"x").unwrap();
    socket.read_exact(&mut [0]).unwrap();
    began.elapsed()
}

/// The time, in microseconds, that a part of these, in percent, did not exceed.
fn part(times: &mut [Duration], percent: usize) -> f64 {
    times.sort_unstable();
    times[times.len() * percent / 100].as_secs_f64() * 1e6
}

/// Prints the median and the 99th percentile of a one-byte round trip, and how long a connection
/// with its first one takes, in microseconds.
fn rtt(address: &str, rounds: usize) {
    let (mut socket, _) = begin(address);
    let mut trips: Vec<Duration> = (0..rounds).map(|_| trip(&mut socket)).collect();
    let mut connects: Vec<Duration> = (0..rounds / 20).map(|_| begin(address).1).collect();
    let connect = part(&mut connects, 50);
    println!("{:.1} {:.1} {connect:.1}", part(&mut trips, 50), part(&mut trips, 99));
}

/// Prints how much longer a round trip takes than a direct one, in microseconds: the difference of
/// the medians of trips that take turns.
fn added(address: &str, direct: &str, rounds: usize) {
    let ((mut socket, _), (mut straight, _)) = (begin(address), begin(direct));
    let (mut trips, mut others): (Vec<_>, Vec<_>) =
        (0..rounds).map(|_| (trip(&mut socket), trip(&mut straight))).unzip();
    println!("{:.1}", part(&mut trips, 50) - part(&mut others, 50));
}

/// Opens connections, uses each once, and holds them until its input ends.
fn idle(address: &str, connections: usize) {
    let mut sockets = Vec::new();
    for _ in 0..connections {
        let mut socket = TcpStream::connect(address).unwrap();
        socket.write_all(b"x").unwrap();
        socket.read_exact(&mut [0]).unwrap();
        sockets.push(socket);
    }
    println!("held");
    let _ = std::io::stdin().read(&mut [0]);
}

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let runtime = || {
        let threads = std::env::var("WORKERS").ok().and_then(|n| n.parse().ok()).unwrap_or(2);
        let mut builder = tokio::runtime::Builder::new_multi_thread();
        builder.worker_threads(threads).enable_all().build().unwrap()
    };
    match arguments.iter().map(String::as_str).collect::<Vec<_>>().as_slice() {
        ["far"] => runtime().block_on(async { tokio::spawn(far()).await.unwrap() }),
        ["near", listen, target, command @ ..] if !command.is_empty() => {
            runtime().block_on(near(listen, target, command));
        }
        ["mesh-far", listen, folder] => runtime().block_on(async {
            let (listen, folder) = (listen.to_string(), folder.to_string());
            tokio::spawn(async move { mesh_far(&listen, &folder).await }).await.unwrap();
        }),
        ["mesh-near", listen, target, address, folder] => {
            runtime().block_on(mesh_near(listen, target, address, folder));
        }
        ["relay", listen, target] => runtime().block_on(relay(listen, target)),
        ["sink", listen] => sink(listen),
        ["source", listen] => source(listen),
        ["echo", listen] => runtime().block_on(echo(listen)),
        ["send", address, bytes] => send(address, bytes.parse().unwrap()),
        ["receive", address, bytes] => receive(address, bytes.parse().unwrap()),
        ["rtt", address, rounds] => rtt(address, rounds.parse().unwrap()),
        ["added", address, direct, rounds] => added(address, direct, rounds.parse().unwrap()),
        ["idle", address, connections] => idle(address, connections.parse().unwrap()),
        _ => eprintln!("{USAGE}"),
    }
}
