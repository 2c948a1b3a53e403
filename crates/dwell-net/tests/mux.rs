//! Links over real sockets and over pipes in memory.
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
use dwell_net::mux::{
    self, Incoming, Mux, MuxError, ProtocolError, Reason, Refusal, Settings, Side, Stream,
};
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream, duplex, split};
use tokio::net::UnixStream;
use tokio::time::{Instant, timeout};

const LIMIT: Duration = Duration::from_secs(20);

type End = (Mux, Incoming);

fn link(settings: &Settings) -> (End, End) {
    let (near, far) = UnixStream::pair().unwrap();
    let start = |socket: UnixStream, side| {
        let (read, write) = socket.into_split();
        mux::start(read, write, side, settings.clone())
    };
    (start(near, Side::Opening), start(far, Side::Answering))
}

/// A link whose other end is only bytes.
fn raw() -> (End, DuplexStream) {
    let (near, far) = duplex(1024 * 1024);
    let (read, write) = split(near);
    (mux::start(read, write, Side::Opening, Settings::default()), far)
}

async fn pair(near: &Mux, far: &mut Incoming) -> (Stream, Stream) {
    let opened = near.open(Bytes::from_static(b"x")).unwrap();
    let arrival = timeout(LIMIT, far.next()).await.unwrap().unwrap();
    (opened, arrival.accept())
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

async fn read_all(stream: &mut Stream) -> std::io::Result<Vec<u8>> {
    let mut all = Vec::new();
    stream.read_to_end(&mut all).await?;
    Ok(all)
}

#[tokio::test]
async fn data_may_follow_the_opening_and_each_direction_ends_by_itself() {
    let ((near, _), (_far, mut incoming)) = link(&Settings::default());
    let mut opened = near.open(Bytes::from_static(b"to the database")).unwrap();
    opened.write_all(b"question").await.unwrap();
    opened.shutdown().await.unwrap();
    let arrival = incoming.next().await.unwrap();
    assert_eq!(&arrival.head()[..], b"to the database");
    let mut taken = arrival.accept();
    assert_eq!(read_all(&mut taken).await.unwrap(), b"question");
    taken.write_all(b"answer").await.unwrap();
    opened.accepted().await.unwrap();
    let mut six = [0; 6];
    opened.read_exact(&mut six).await.unwrap();
    assert_eq!(&six, b"answer");
    taken.shutdown().await.unwrap();
    assert_eq!(opened.read(&mut six).await.unwrap(), 0);
    let error = opened.write_all(b"late").await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::BrokenPipe);
    assert_eq!(near.streams(), 0, "what is over is forgotten");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn many_streams_of_both_sides_carry_their_own_bytes() {
    let ((near, near_in), (far, far_in)) = link(&Settings::default());
    let echo = |mut incoming: Incoming| async move {
        while let Some(arrival) = incoming.next().await {
            tokio::spawn(async move {
                let (mut read, mut write) = split(arrival.accept());
                tokio::io::copy(&mut read, &mut write).await.unwrap();
                write.shutdown().await.unwrap();
            });
        }
    };
    tokio::spawn(echo(near_in));
    tokio::spawn(echo(far_in));
    let mut tasks = tokio::task::JoinSet::new();
    for seed in 0..40_u64 {
        let mux = if seed % 2 == 0 { near.clone() } else { far.clone() };
        tasks.spawn(async move {
            let sent = noise(seed, 1 + (seed as usize * 37_337) % 1_500_000);
            let stream = mux.open(Bytes::new()).unwrap();
            let (mut read, mut write) = split(stream);
            let (piece, copy) = (1 + seed as usize * 7919 % 100_000, sent.clone());
            let writing = async move {
                for piece in copy.chunks(piece) {
                    write.write_all(piece).await.unwrap();
                }
                write.shutdown().await.unwrap();
            };
            let reading = async {
                let mut got = Vec::new();
                read.read_to_end(&mut got).await.unwrap();
                got
            };
            let ((), got) = tokio::join!(writing, reading);
            assert!(got == sent, "stream {seed} differs");
        });
    }
    let all = async {
        while let Some(done) = tasks.join_next().await {
            done.unwrap();
        }
    };
    timeout(LIMIT, all).await.unwrap();
}

#[tokio::test]
async fn a_slow_reader_holds_up_nobody_else_and_a_bounded_amount() {
    let ((near, _), (_far, mut incoming)) = link(&Settings::default());
    let (mut stuck, unread) = pair(&near, &mut incoming).await;
    let mut written = 0;
    while let Ok(result) = timeout(Duration::from_millis(100), stuck.write(&[7; 10_000])).await {
        written += result.unwrap();
    }
    assert_eq!(written, mux::WINDOW as usize);
    let (mut other, mut read) = pair(&near, &mut incoming).await;
    let sent = noise(1, 3_000_000);
    let copy = sent.clone();
    tokio::spawn(async move {
        other.write_all(&copy).await.unwrap();
        other.shutdown().await.unwrap();
    });
    assert!(timeout(LIMIT, read_all(&mut read)).await.unwrap().unwrap() == sent);
    drop(unread);
    let error = stuck.write_all(&[7; 1_000_000]).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::ConnectionReset);
}

#[tokio::test]
async fn streams_take_turns() {
    // A pipe that holds little, so that the queue before it is what decides.
    let (near, far) = duplex(1000);
    let start = |io: DuplexStream, side| {
        let (read, write) = split(io);
        mux::start(read, write, side, Settings::default())
    };
    let (near, _in) = start(near, Side::Opening);
    let (_far, mut incoming) = start(far, Side::Answering);
    let mut reads = Vec::new();
    for _ in 0..4 {
        let (mut write, read) = pair(&near, &mut incoming).await;
        tokio::spawn(async move { while write.write_all(&[1; 200_000]).await.is_ok() {} });
        reads.push(read);
    }
    let mut totals = [0_usize; 4];
    let mut buffer = vec![0; 100_000];
    while totals.iter().sum::<usize>() < 20_000_000 {
        for (read, total) in reads.iter_mut().zip(&mut totals) {
            // What is there, without waiting for this one.
            let turn = timeout(Duration::from_millis(1), read.read(&mut buffer)).await;
            *total += turn.map_or(0, Result::unwrap);
        }
    }
    let (least, most) = (totals.iter().min().unwrap(), totals.iter().max().unwrap());
    assert!(most - least < 600_000, "{totals:?}");
}

#[tokio::test]
async fn a_refusal_tells_why() {
    let ((near, _), (_far, mut incoming)) = link(&Settings::default());
    let mut stream = near.open(Bytes::from_static(b"x")).unwrap();
    stream.write_all(b"early").await.unwrap();
    incoming.next().await.unwrap().refuse("no such service");
    let refusal = stream.accepted().await.unwrap_err();
    assert_eq!(refusal, Refusal::Refused { reason: Bytes::from_static(b"no such service") });
    let error = stream.read_u8().await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::ConnectionRefused);
    assert!(error.to_string().contains("no such service"));
    // Who goes away without a word resets.
    let stream = near.open(Bytes::new()).unwrap();
    drop(incoming.next().await.unwrap());
    assert_eq!(stream.accepted().await, Err(Refusal::Reset));
    assert_eq!(near.streams(), 0);
}

#[tokio::test]
async fn limits_of_streams_and_heads_are_kept() {
    let settings = Settings { streams: 2, ..Settings::default() };
    let ((near, _), (_far, mut incoming)) = link(&settings);
    let _open = (near.open(Bytes::new()).unwrap(), near.open(Bytes::new()).unwrap());
    assert_eq!(near.open(Bytes::new()).err(), Some(MuxError::TooMany { limit: 2 }));
    let long = Bytes::from(vec![0; mux::HEAD + 1]);
    assert_eq!(near.open(long.clone()).err(), Some(MuxError::Head { length: mux::HEAD + 1 }));
    // The other side keeps its own limit.
    let ((near, _), (_far, mut narrow)) = {
        let (a, b) = UnixStream::pair().unwrap();
        let ((ar, aw), (br, bw)) = (a.into_split(), b.into_split());
        let wide = mux::start(ar, aw, Side::Opening, Settings::default());
        (wide, mux::start(br, bw, Side::Answering, settings))
    };
    let streams: Vec<_> = (0..3).map(|_| near.open(Bytes::new()).unwrap()).collect();
    let _held = (narrow.next().await.unwrap().accept(), narrow.next().await.unwrap().accept());
    assert!(matches!(streams[2].accepted().await, Err(Refusal::Refused { .. })));
    assert!(incoming.next().await.is_some());
}

#[tokio::test]
async fn dropping_a_stream_resets_it_and_what_was_sent_arrives() {
    let ((near, _), (_far, mut incoming)) = link(&Settings::default());
    let (mut opened, mut taken) = pair(&near, &mut incoming).await;
    opened.write_all(b"all that there is").await.unwrap();
    drop(opened);
    let mut got = Vec::new();
    let error = taken.read_to_end(&mut got).await.unwrap_err();
    assert_eq!((error.kind(), &got[..]), (ErrorKind::ConnectionReset, &b"all that there is"[..]));
}

#[tokio::test]
async fn the_last_handle_ends_the_link_after_what_was_written() {
    let ((near, near_in), (far, mut incoming)) = link(&Settings::default());
    let (mut opened, mut taken) = pair(&near, &mut incoming).await;
    drop((near, near_in));
    let sent = noise(3, 200_000);
    opened.write_all(&sent).await.unwrap();
    opened.shutdown().await.unwrap();
    taken.shutdown().await.unwrap();
    assert_eq!(read_all(&mut opened).await.unwrap(), b"");
    drop(opened);
    assert!(read_all(&mut taken).await.unwrap() == sent);
    assert_eq!(timeout(LIMIT, far.closed()).await.unwrap(), Reason::Ended);
    assert!(incoming.next().await.is_none());
}

#[tokio::test]
async fn a_link_that_breaks_fails_every_stream_and_says_why() {
    let ((near, _), (far, mut incoming)) = link(&Settings::default());
    let (mut opened, mut taken) = pair(&near, &mut incoming).await;
    taken.write_all(b"last words").await.unwrap();
    assert!(far.ping().await.is_ok(), "they have arrived");
    far.close();
    assert_eq!(far.closed().await, Reason::Closed);
    assert_eq!(timeout(LIMIT, near.closed()).await.unwrap(), Reason::Ended);
    let mut got = Vec::new();
    let error = opened.read_to_end(&mut got).await.unwrap_err();
    assert_eq!((error.kind(), &got[..]), (ErrorKind::ConnectionReset, &b"last words"[..]));
    assert!(error.to_string().contains("the other side ended the link"), "{error}");
    assert_eq!(opened.write(b"x").await.unwrap_err().kind(), ErrorKind::ConnectionReset);
    assert_eq!(near.open(Bytes::new()).err(), Some(MuxError::Over(Reason::Ended)));
    assert_eq!(near.ping().await, Err(Reason::Ended));
    assert!(near.is_closed() && far.is_closed());
}

#[tokio::test(start_paused = true)]
async fn a_peer_that_vanishes_is_noticed_in_time() {
    let ((near, _in), far) = raw();
    let streams: Vec<_> = (0..50).map(|_| near.open(Bytes::new()).unwrap()).collect();
    let began = Instant::now();
    for mut stream in streams {
        let error = stream.read_u8().await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::ConnectionReset);
        assert!(error.to_string().contains("nothing came over the link for 8.0 s"), "{error}");
    }
    assert_eq!(began.elapsed().as_secs(), 8);
    drop(far);
}

#[tokio::test(start_paused = true)]
async fn a_quiet_link_stays_up_and_knows_its_round_trip() {
    let (near, far) = duplex(64 * 1024);
    let start = |io: DuplexStream, side| {
        let (read, write) = split(io);
        mux::start(read, write, side, Settings::default())
    };
    let (near, _near_in) = start(near, Side::Opening);
    let (_far, mut incoming) = start(far, Side::Answering);
    let (mut opened, mut taken) = pair(&near, &mut incoming).await;
    tokio::time::sleep(Duration::from_secs(3600)).await;
    opened.write_all(b"still").await.unwrap();
    let mut five = [0; 5];
    taken.read_exact(&mut five).await.unwrap();
    assert!(near.latency().is_some());
    assert!(near.ping().await.unwrap() < Duration::from_secs(1));
}

#[tokio::test]
async fn a_peer_that_breaks_the_protocol_ends_the_link_with_the_reason() {
    let overrun = {
        let data = [4, 1, 0, 0, 0, 0, 0, 1].into_iter().chain(std::iter::repeat_n(0, 65536));
        data.cycle().take(5 * 65544).collect::<Vec<u8>>()
    };
    let cases: [(Vec<u8>, ProtocolError); 6] = [
        (b"GET / HTTP/1.1\r\n\r\n".to_vec(), ProtocolError::UnknownKind { kind: b'G' }),
        (vec![4, 255, 255, 255, 0, 0, 0, 1], ProtocolError::Length { kind: 4, length: 0xff_ffff }),
        (vec![1, 0, 0, 0, 0, 0, 0, 1], ProtocolError::Number { stream: 1 }),
        (overrun, ProtocolError::Overrun { stream: 1 }),
        ([6, 0, 0, 0, 0, 0, 0, 1].repeat(2), ProtocolError::AfterEnd { stream: 1 }),
        (vec![5, 0, 0, 4, 0, 0, 0, 1, 255, 255, 255, 255], ProtocolError::Credit { stream: 1 }),
    ];
    for (bytes, error) in cases {
        let ((near, _in), mut far) = raw();
        let mut stream = near.open(Bytes::new()).unwrap();
        far.write_all(&bytes).await.unwrap();
        assert_eq!(timeout(LIMIT, near.closed()).await.unwrap(), Reason::Protocol(error));
        assert!(stream.write(b"x").await.is_err());
    }
}

#[tokio::test]
async fn a_peer_that_asks_and_does_not_read_is_cut_off() {
    let settings = Settings { streams: 10, ..Settings::default() };
    let (near, far) = duplex(4096);
    let (read, write) = split(near);
    let (near, _in) = mux::start(read, write, Side::Opening, settings);
    let (_unread, mut far) = split(far);
    let ping = [8, 0, 0, 8, 0, 0, 0, 0, 1, 2, 3, 4, 5, 6, 7, 8];
    tokio::spawn(async move { while far.write_all(&ping).await.is_ok() {} });
    let reason = timeout(LIMIT, near.closed()).await.unwrap();
    assert_eq!(reason, Reason::Protocol(ProtocolError::Unread));
}
