//! Streams joined to sockets, over links of several kinds.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    missing_docs,
    reason = "a test ends at the first surprise"
)]

use std::io::ErrorKind;
use std::time::Duration;

use bytes::Bytes;
use dwell_net::mux::{self, Incoming, Mux, Settings, Side};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream, UnixStream};
use tokio::time::timeout;

const LIMIT: Duration = Duration::from_secs(20);

type End = (Mux, Incoming);

fn over_socket() -> (End, End) {
    let (near, far) = UnixStream::pair().unwrap();
    let start = |socket: UnixStream, side| {
        let (read, write) = socket.into_split();
        mux::start(read, write, side, Settings::default())
    };
    (start(near, Side::Opening), start(far, Side::Answering))
}

/// Where bulk data does not pass through the process.
fn over_pipes() -> (End, End) {
    let ((far_in, near_out), (near_in, far_out)) =
        (std::io::pipe().unwrap(), std::io::pipe().unwrap());
    let (read, write) = mux::pipes(near_in.into(), near_out.into()).unwrap();
    let near = mux::start(read, write, Side::Opening, Settings::default());
    let (read, write) = mux::pipes(far_in.into(), far_out.into()).unwrap();
    (near, mux::start(read, write, Side::Answering, Settings::default()))
}

/// Bytes that differ from those of every other seed.
fn noise(seed: u64, length: usize) -> Vec<u8> {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let mut bytes = vec![0; length];
    for piece in bytes.chunks_mut(8) {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        piece.copy_from_slice(&state.to_le_bytes()[..piece.len()]);
    }
    bytes
}

async fn tcp_pair() -> (TcpStream, TcpStream) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let near = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
    (near, listener.accept().await.unwrap().0)
}

/// Two TCP connections joined by a stream: the outer ends.
async fn pumped(near: &Mux, incoming: &mut Incoming) -> (TcpStream, TcpStream) {
    let opened = near.open(Bytes::new()).unwrap();
    let taken = timeout(LIMIT, incoming.next()).await.unwrap().unwrap().accept();
    let ((client, a), (b, server)) = (tcp_pair().await, tcp_pair().await);
    tokio::spawn(mux::pump(opened, a));
    tokio::spawn(mux::pump(taken, b));
    (client, server)
}

/// Sends `length` bytes each way at once, in pieces of all sizes, and compares.
async fn exchange(client: TcpStream, server: TcpStream, seed: u64, length: usize) {
    let side = |socket: TcpStream, seed: u64, theirs: u64| async move {
        let (mut read, mut write) = socket.into_split();
        let (sent, expected) = (noise(seed, length), noise(theirs, length));
        let writing = async {
            let mut rest = &sent[..];
            let mut size = 1;
            while !rest.is_empty() {
                let (piece, left) = rest.split_at(size.min(rest.len()));
                write.write_all(piece).await.unwrap();
                (rest, size) = (left, (size * 3 + 7) % 300_000);
            }
            write.shutdown().await.unwrap();
        };
        let mut got = Vec::new();
        let ((), result) = tokio::join!(writing, read.read_to_end(&mut got));
        result.unwrap();
        assert!(got == expected, "{} of {length} bytes, or others", got.len());
    };
    let both = async {
        tokio::join!(side(client, seed, seed + 1), side(server, seed + 1, seed));
    };
    timeout(LIMIT, both).await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn everything_arrives_and_each_end_is_passed_on() {
    for link in [over_socket, over_pipes] {
        let ((near, _), (_far, mut incoming)) = link();
        let (client, server) = pumped(&near, &mut incoming).await;
        exchange(client, server, 1, 20_000_000).await;
        while near.streams() > 0 {
            tokio::task::yield_now().await;
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn many_at_once_do_not_mix() {
    for link in [over_socket, over_pipes] {
        let ((near, _), (_far, mut incoming)) = link();
        let mut tasks = tokio::task::JoinSet::new();
        for seed in 0..20 {
            let (client, server) = pumped(&near, &mut incoming).await;
            tasks.spawn(exchange(client, server, 2 * seed, 200_000 * seed as usize));
        }
        while let Some(done) = tasks.join_next().await {
            done.unwrap();
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_slow_reader_gets_everything_and_holds_up_nobody() {
    for link in [over_socket, over_pipes] {
        let ((near, _), (_far, mut incoming)) = link();
        let (mut client, mut server) = pumped(&near, &mut incoming).await;
        let sent = noise(9, 12_000_000);
        let copy = sent.clone();
        let sending = tokio::spawn(async move {
            client.write_all(&copy).await.unwrap();
            client.shutdown().await.unwrap();
            client
        });
        let mut got = vec![0; sent.len()];
        // It begins as bulk, then nobody reads, then little by little.
        server.read_exact(&mut got[..2_000_000]).await.unwrap();
        let (others, other) = pumped(&near, &mut incoming).await;
        exchange(others, other, 5, 5_000_000).await;
        for piece in got[2_000_000..].chunks_mut(50_000) {
            timeout(LIMIT, server.read_exact(piece)).await.unwrap().unwrap();
            tokio::task::yield_now().await;
        }
        assert!(got == sent);
        assert_eq!(server.read(&mut [0]).await.unwrap(), 0);
        drop(sending.await.unwrap());
    }
}

#[tokio::test]
async fn a_break_never_looks_like_an_end() {
    for (link, before) in
        [(over_socket as fn() -> _, 10), (over_pipes, 10), (over_pipes, 3_000_000)]
    {
        let ((near, _), (far, mut incoming)) = link();
        let (mut client, mut server) = pumped(&near, &mut incoming).await;
        client.write_all(&noise(3, before)).await.unwrap();
        server.read_exact(&mut vec![0; before]).await.unwrap();
        server.set_zero_linger().unwrap();
        drop(server);
        let error = timeout(LIMIT, client.read_u8()).await.unwrap().unwrap_err();
        assert_eq!(error.kind(), ErrorKind::ConnectionReset);
        let (mut client, mut server) = pumped(&near, &mut incoming).await;
        server.write_all(&noise(4, before)).await.unwrap();
        client.read_exact(&mut vec![0; before]).await.unwrap();
        far.close();
        for end in [&mut client, &mut server] {
            let error = timeout(LIMIT, end.read_u8()).await.unwrap().unwrap_err();
            assert_eq!(error.kind(), ErrorKind::ConnectionReset);
        }
    }
}

#[tokio::test]
async fn what_was_said_before_leaving_is_heard() {
    for link in [over_socket, over_pipes] {
        let ((near, _), (_far, mut incoming)) = link();
        for length in [6, 100_000] {
            let opened = near.open(Bytes::new()).unwrap();
            let mut taken = timeout(LIMIT, incoming.next()).await.unwrap().unwrap().accept();
            taken.write_all(&noise(6, length)).await.unwrap();
            taken.shutdown().await.unwrap();
            // It does not wait for the other side's end.
            drop(taken);
            let (mut client, socket) = tcp_pair().await;
            let pumping = tokio::spawn(mux::pump(opened, socket));
            let mut got = Vec::new();
            timeout(LIMIT, client.read_to_end(&mut got)).await.unwrap().unwrap();
            assert!(got == noise(6, length), "{} of {length} bytes", got.len());
            drop(client);
            timeout(LIMIT, pumping).await.unwrap().unwrap().unwrap();
        }
    }
}

#[tokio::test]
async fn a_server_that_dies_under_load_is_noticed() {
    for link in [over_socket, over_pipes] {
        let ((near, _), (_far, mut incoming)) = link();
        let (mut client, mut server) = pumped(&near, &mut incoming).await;
        let sending =
            tokio::spawn(async move { while client.write_all(&[7; 100_000]).await.is_ok() {} });
        server.read_exact(&mut vec![0; 5_000_000]).await.unwrap();
        drop(server);
        timeout(LIMIT, sending).await.unwrap().unwrap();
        while near.streams() > 0 {
            tokio::task::yield_now().await;
        }
        assert!(!near.is_closed(), "the link has nothing to do with it");
    }
}

#[tokio::test]
async fn a_client_that_dies_with_much_on_its_way_harms_nobody_else() {
    for link in [over_socket, over_pipes] {
        let ((near, _), (_far, mut incoming)) = link();
        let (client, mut server) = pumped(&near, &mut incoming).await;
        let mut sent = 0;
        // Until all that lies between is full.
        while let Ok(Ok(length)) = timeout(LIMIT / 100, async {
            client.writable().await?;
            client.try_write(&[7; 100_000]).or_else(|error| match error.kind() {
                ErrorKind::WouldBlock => Ok(0),
                _ => Err(error),
            })
        })
        .await
        {
            sent += length;
        }
        assert!(sent > 1_000_000);
        client.set_zero_linger().unwrap();
        drop(client);
        let mut got = Vec::new();
        let error = timeout(LIMIT, server.read_to_end(&mut got)).await.unwrap().unwrap_err();
        assert_eq!(error.kind(), ErrorKind::ConnectionReset);
        assert!(got.iter().all(|byte| *byte == 7));
        let (client, server) = pumped(&near, &mut incoming).await;
        exchange(client, server, 1, 3_000_000).await;
    }
}

#[tokio::test]
async fn pipes_end_with_the_link() {
    let ((near, _), (far, mut incoming)) = over_pipes();
    drop(near);
    assert_eq!(timeout(LIMIT, far.closed()).await.unwrap(), mux::Reason::Ended);
    assert!(incoming.next().await.is_none());
}
