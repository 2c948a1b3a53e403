//! Streams of every kind, handed over between two ends of a real socket.
#![allow(clippy::unwrap_used, clippy::panic, reason = "tests fail by panicking")]

use std::io::Read;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::net::UnixStream as StdStream;
use std::time::Duration;

use dwell_drivers::handover::{HandoverError, Input, Output, give, receive, released};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::UnixStream;

/// Hands these two over and gives what arrives, with the ends of the socket.
async fn over(input: OwnedFd, output: OwnedFd) -> (Input, Output, UnixStream, UnixStream) {
    let (ours, theirs) = UnixStream::pair().unwrap();
    give(&ours, input.as_fd(), output.as_fd()).await.unwrap();
    let (input, output) = receive(&theirs).await.unwrap();
    (input, output, ours, theirs)
}

/// Sends a lot through `output` and reads the same from `input`, which are two ends of one thing.
async fn carries(mut input: Input, mut output: Output) {
    let sent: Vec<u8> = (0..2_000_000_u32).map(|n| (n >> 3) as u8).collect();
    let mut got = Vec::new();
    let write = async {
        output.write_all(&sent).await.unwrap();
        output.shutdown().await.unwrap();
        assert!(output.write(b"more").await.is_err());
    };
    tokio::join!(write, async { input.read_to_end(&mut got).await.unwrap() });
    assert!(got == sent);
}

#[tokio::test]
async fn pipes_carry_bytes_and_their_end() {
    let (read, write) = std::io::pipe().unwrap();
    let (input, output, ..) = over(read.into(), write.into()).await;
    carries(input, output).await;
}

#[tokio::test]
async fn sockets_carry_bytes_and_their_end() {
    let (read, write) = StdStream::pair().unwrap();
    let (input, output, ..) = over(read.into(), write.into()).await;
    carries(input, output).await;
}

#[tokio::test]
async fn one_socket_can_be_both_halves() {
    let (mut far, near) = StdStream::pair().unwrap();
    let (mut input, mut output, ..) = over(near.try_clone().unwrap().into(), near.into()).await;
    output.write_all(b"out").await.unwrap();
    output.shutdown().await.unwrap();
    let mut got = String::new();
    far.read_to_string(&mut got).unwrap();
    std::io::Write::write_all(&mut far, b"in").unwrap();
    drop(far);
    let mut back = String::new();
    input.read_to_string(&mut back).await.unwrap();
    assert_eq!((got.as_str(), back.as_str()), ("out", "in"));
}

#[tokio::test]
async fn a_reader_that_has_gone_is_an_error_for_the_writer() {
    let (read, write) = std::io::pipe().unwrap();
    let (spare, _writer) = std::io::pipe().unwrap();
    let (_, mut output, ..) = over(spare.into(), write.into()).await;
    drop(read);
    let error = output.write_all(b"x").await.unwrap_err();
    assert_eq!(error.kind(), std::io::ErrorKind::BrokenPipe);
}

#[tokio::test]
async fn the_giver_waits_until_the_stream_is_let_go() {
    let (read, write) = std::io::pipe().unwrap();
    let (input, output, ours, theirs) = over(read.into(), write.into()).await;
    let mut wait = tokio::spawn(released(ours));
    let early = tokio::time::timeout(Duration::from_millis(50), &mut wait).await;
    assert!(early.is_err(), "it is still held");
    drop((input, output, theirs));
    tokio::time::timeout(Duration::from_secs(10), wait).await.unwrap().unwrap();
}

#[tokio::test]
async fn anything_else_than_a_stream_is_refused() {
    let (ours, theirs) = UnixStream::pair().unwrap();
    ours.try_write(b"GET").unwrap();
    let error = receive(&theirs).await.unwrap_err();
    assert!(matches!(error, HandoverError::Unexpected { count: 0 }), "{error:?}");
    let (ours, theirs) = UnixStream::pair().unwrap();
    drop(ours);
    assert!(matches!(receive(&theirs).await, Err(HandoverError::Io(_))));
}
