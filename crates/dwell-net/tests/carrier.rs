//! Carriers whose connectors are switches: links over pipes in memory, on a clock that is paused.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    missing_docs,
    reason = "a test ends at the first surprise"
)]

use std::io;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use dwell_net::carrier::{
    BoxFuture, Carrier, Connector, DialError, Guard, Handler, Link, LinkError, Settings, State,
    answer,
};
use dwell_net::mux::{Arrival, Mux, Stream};
use tokio::io::{
    AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, DuplexStream, ReadBuf, duplex, split,
};
use tokio::time::{Instant, sleep, timeout};

/// What happens when it is asked to connect.
#[derive(Clone)]
enum Way {
    Works,
    Fails(LinkError),
    Hangs,
    /// It connects, and the other side says only this.
    Says(&'static [u8]),
}

/// A connector, and the other side of its links.
#[derive(Clone)]
struct Switch(Arc<Inner>);

struct Inner {
    name: &'static str,
    way: Mutex<Way>,
    attempts: AtomicUsize,
    /// How many links exist.
    links: Arc<AtomicUsize>,
    /// The other side's end of the latest link.
    far: Mutex<Option<Mux>>,
    /// Nothing comes from the other side any more, not even an end.
    mute: Arc<AtomicBool>,
}

struct Counted(Arc<AtomicUsize>);

impl Guard for Counted {
    fn explain(&mut self) -> BoxFuture<'_, Option<LinkError>> {
        Box::pin(async { Some(LinkError::Denied { why: "publickey".into() }) })
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::SeqCst);
    }
}

/// A pipe that can fall silent.
struct Wire(DuplexStream, Arc<AtomicBool>);

impl AsyncRead for Wire {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        match self.1.load(Ordering::SeqCst) {
            true => Poll::Pending,
            false => Pin::new(&mut self.0).poll_read(cx, buf),
        }
    }
}

impl AsyncWrite for Wire {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        match self.1.load(Ordering::SeqCst) {
            true => Poll::Ready(Ok(buf.len())),
            false => Pin::new(&mut self.0).poll_write(cx, buf),
        }
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_shutdown(cx)
    }
}

impl Switch {
    fn new(name: &'static str, way: Way) -> Self {
        Self(Arc::new(Inner {
            name,
            way: Mutex::new(way),
            attempts: AtomicUsize::new(0),
            links: Arc::default(),
            far: Mutex::default(),
            mute: Arc::default(),
        }))
    }

    fn set(&self, way: Way) {
        *self.0.way.lock().unwrap() = way;
    }

    fn attempts(&self) -> usize {
        self.0.attempts.load(Ordering::SeqCst)
    }

    fn links(&self) -> usize {
        self.0.links.load(Ordering::SeqCst)
    }

    fn far(&self) -> Mux {
        self.0.far.lock().unwrap().clone().unwrap()
    }

    /// The other side breaks the link.
    fn cut(&self) {
        self.0.far.lock().unwrap().take().unwrap().close();
    }

    fn make(&self, says: Option<&'static [u8]>) -> Link {
        let (near, far) = duplex(64 * 1024);
        let (read, mut write) = split(Wire(far, Arc::clone(&self.0.mute)));
        let inner = Arc::clone(&self.0);
        tokio::spawn(async move {
            if let Some(says) = says {
                return write.write_all(says).await.unwrap();
            }
            write.write_all(b"Welcome!\nLast login: today\n").await.unwrap();
            let far = Link { read: Box::new(read), write: Box::new(write), guard: Box::new(()) };
            let hello = format!(r#"{{"name":"{}"}}"#, inner.name);
            let far = answer(far, hello.as_bytes(), &Settings::default(), echo()).await;
            *inner.far.lock().unwrap() = far.ok().map(|far| far.mux);
        });
        let (read, write) = split(near);
        self.0.links.fetch_add(1, Ordering::SeqCst);
        let guard = Box::new(Counted(Arc::clone(&self.0.links)));
        Link { read: Box::new(read), write: Box::new(write), guard }
    }
}

impl Connector for Switch {
    fn name(&self) -> &'static str {
        self.0.name
    }

    fn connect(&self) -> BoxFuture<'_, Result<Link, LinkError>> {
        self.0.attempts.fetch_add(1, Ordering::SeqCst);
        let way = self.0.way.lock().unwrap().clone();
        Box::pin(async move {
            match way {
                Way::Works => Ok(self.make(None)),
                Way::Says(what) => Ok(self.make(Some(what))),
                Way::Fails(error) => Err(error),
                Way::Hangs => std::future::pending().await,
            }
        })
    }
}

/// Takes every stream and sends back what comes.
fn echo() -> Handler {
    Arc::new(|arrival: Arrival| {
        tokio::spawn(async move {
            let (mut read, mut write) = split(arrival.accept());
            let _ = tokio::io::copy(&mut read, &mut write).await;
        });
    })
}

fn carrier(connectors: &[&Switch]) -> Carrier {
    let connectors = connectors.iter().map(|&switch| Arc::new(switch.clone()) as Arc<_>).collect();
    Carrier::new(connectors, Bytes::from_static(b"{}"), Settings::default(), echo())
}

fn failed(why: &str) -> Way {
    Way::Fails(LinkError::Failed { why: why.to_owned() })
}

async fn reach(carrier: &Carrier, wanted: impl FnMut(&State) -> bool) -> State {
    let mut states = carrier.state();
    let reached = timeout(Duration::from_secs(1000), states.wait_for(wanted)).await;
    reached.expect("the state is reached").unwrap().clone()
}

async fn up(carrier: &Carrier, wanted: &str) -> State {
    reach(carrier, |state| matches!(state, State::Up { via, .. } if *via == wanted)).await
}

async fn down(carrier: &Carrier) -> State {
    reach(carrier, |state| matches!(state, State::Down { retry_at: Some(_), .. })).await
}

async fn works(stream: &mut Stream) {
    stream.write_all(b"hello").await.unwrap();
    let mut five = [0; 5];
    stream.read_exact(&mut five).await.unwrap();
    assert_eq!(&five, b"hello");
}

#[tokio::test(start_paused = true)]
async fn it_comes_up_and_both_sides_may_dial() {
    let ssh = Switch::new("ssh", Way::Works);
    let carrier = carrier(&[&ssh]);
    works(&mut carrier.dial(Bytes::new()).await.unwrap()).await;
    let State::Up { via: "ssh", hello, better: None, .. } = up(&carrier, "ssh").await else {
        panic!("it is not up by ssh");
    };
    assert_eq!(&hello[..], br#"{"name":"ssh"}"#);
    works(&mut ssh.far().open(Bytes::new()).unwrap()).await;
    assert!(carrier.latency().is_some());
    let stream = carrier.dial(Bytes::new()).await.unwrap();
    drop(carrier);
    sleep(Duration::from_secs(60)).await;
    assert_eq!(ssh.links(), 1, "a stream keeps the link");
    drop(stream);
    sleep(Duration::from_secs(60)).await;
    assert_eq!((ssh.links(), ssh.attempts()), (0, 1), "the last stream ends it");
}

#[tokio::test(start_paused = true)]
async fn a_lost_link_comes_back_and_its_streams_fail() {
    let ssh = Switch::new("ssh", Way::Works);
    let carrier = carrier(&[&ssh]);
    let mut stream = carrier.dial(Bytes::new()).await.unwrap();
    works(&mut stream).await;
    sleep(Duration::from_secs(60)).await;
    ssh.cut();
    assert_eq!(stream.read_u8().await.unwrap_err().kind(), io::ErrorKind::ConnectionReset);
    let began = Instant::now();
    works(&mut carrier.dial(Bytes::new()).await.unwrap()).await;
    assert!(began.elapsed() < Duration::from_millis(100));
    drop(stream);
    sleep(Duration::from_secs(10)).await;
    assert_eq!(ssh.links(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_link_that_falls_silent_is_replaced() {
    let ssh = Switch::new("ssh", Way::Works);
    let carrier = carrier(&[&ssh]);
    let mut stream = carrier.dial(Bytes::new()).await.unwrap();
    works(&mut stream).await;
    ssh.0.mute.store(true, Ordering::SeqCst);
    ssh.set(failed("no route to host"));
    let began = Instant::now();
    assert_eq!(stream.read_u8().await.unwrap_err().kind(), io::ErrorKind::ConnectionReset);
    assert!(began.elapsed() <= Duration::from_secs(8));
    let wanted = "ssh: no route to host";
    let fails = |state: &State| matches!(state, State::Down { why, retry_at: Some(_), .. } if why.to_string() == wanted);
    reach(&carrier, fails).await;
    let DialError::Down(said) = carrier.dial(Bytes::new()).await.err().unwrap() else {
        panic!("another error");
    };
    assert_eq!(said.to_string(), wanted);
    ssh.0.mute.store(false, Ordering::SeqCst);
    ssh.set(Way::Works);
    up(&carrier, "ssh").await;
}

#[tokio::test(start_paused = true)]
async fn after_a_wake_a_link_that_does_not_answer_is_given_up_soon() {
    let ssh = Switch::new("ssh", Way::Works);
    let carrier = carrier(&[&ssh]);
    up(&carrier, "ssh").await;
    carrier.wake();
    sleep(Duration::from_secs(60)).await;
    assert_eq!(ssh.attempts(), 1, "one that answers stays");
    ssh.0.mute.store(true, Ordering::SeqCst);
    let began = Instant::now();
    carrier.wake();
    reach(&carrier, |state| !matches!(state, State::Up { .. })).await;
    assert!(began.elapsed() <= Duration::from_secs(3));
}

#[tokio::test(start_paused = true)]
async fn attempts_become_rare_and_a_wake_makes_one_at_once() {
    let ssh = Switch::new("ssh", failed("refused"));
    let carrier = carrier(&[&ssh]);
    sleep(Duration::from_secs(60)).await;
    // 0.2 s doubling to 15 s, of which chance takes up to half: 10 to 17 attempts in a minute.
    assert!((10..=17).contains(&ssh.attempts()), "{}", ssh.attempts());
    let State::Down { retry_at: Some(at), .. } = down(&carrier).await else { panic!() };
    assert!(at > Instant::now());
    ssh.set(Way::Works);
    let began = Instant::now();
    carrier.wake();
    up(&carrier, "ssh").await;
    assert!(began.elapsed() < Duration::from_millis(100));
}

#[tokio::test(start_paused = true)]
async fn what_cannot_heal_is_tried_slowly_and_stays_the_reason() {
    let why = || LinkError::HostKey { why: "it has changed".into() };
    let mesh = Switch::new("mesh", failed("refused"));
    let ssh = Switch::new("ssh", Way::Fails(why()));
    let carrier = carrier(&[&mesh, &ssh]);
    sleep(Duration::from_secs(150)).await;
    assert_eq!(ssh.attempts(), 3);
    let State::Down { why: said, .. } = down(&carrier).await else { panic!() };
    assert_eq!((said.via, said.error), ("ssh", why()));
}

#[tokio::test(start_paused = true)]
async fn dialling_waits_for_an_attempt_that_is_under_way_but_not_for_long() {
    let ssh = Switch::new("ssh", Way::Hangs);
    let carrier = carrier(&[&ssh]);
    let began = Instant::now();
    let error = carrier.dial(Bytes::new()).await.err().unwrap();
    assert_eq!(error, DialError::NotYet { waited: Duration::from_secs(2) });
    assert_eq!(began.elapsed(), Duration::from_secs(2));
    let State::Down { why, .. } = down(&carrier).await else { panic!() };
    assert_eq!(why.error, LinkError::TimedOut { limit: Duration::from_secs(30) });
}

#[tokio::test(start_paused = true)]
async fn another_protocol_and_other_programs_are_told_apart() {
    let ssh = Switch::new("ssh", Way::Says(b"motd\x01dwell-link\x0299 {\"version\":\"7.0\"}\n"));
    let carrier = carrier(&[&ssh]);
    let State::Down { why, .. } = down(&carrier).await else { panic!() };
    let hello = Bytes::from_static(b"{\"version\":\"7.0\"}");
    assert_eq!(why.error, LinkError::Version { theirs: 99, hello });
    ssh.set(Way::Says(b"bash: dwell: command not found\n"));
    carrier.wake();
    let wanted = |state: &State| {
        matches!(state, State::Down { why, .. } if why.error
            == LinkError::Denied { why: "publickey".into() })
    };
    reach(&carrier, wanted).await;
    sleep(Duration::from_secs(20)).await;
    assert_eq!(ssh.links(), 0);
}

#[tokio::test(start_paused = true)]
async fn the_better_way_is_used_as_soon_as_it_works_and_old_streams_go_on() {
    let mesh = Switch::new("mesh", failed("no route"));
    let ssh = Switch::new("ssh", Way::Works);
    let carrier = carrier(&[&mesh, &ssh]);
    let State::Up { better: Some(better), .. } = up(&carrier, "ssh").await else { panic!() };
    assert_eq!(better.to_string(), "mesh: no route");
    let mut old = carrier.dial(Bytes::new()).await.unwrap();
    works(&mut old).await;
    let tried = mesh.attempts();
    sleep(Duration::from_secs(25)).await;
    assert_eq!(mesh.attempts(), tried, "it is tried only now and then");
    mesh.set(Way::Works);
    up(&carrier, "mesh").await;
    works(&mut carrier.dial(Bytes::new()).await.unwrap()).await;
    sleep(Duration::from_secs(60)).await;
    works(&mut old).await;
    assert_eq!((ssh.links(), mesh.links(), ssh.attempts()), (1, 1, 1));
    drop(old);
    sleep(Duration::from_secs(20)).await;
    assert_eq!((ssh.links(), mesh.links()), (0, 1));
}

#[tokio::test(start_paused = true)]
async fn when_the_preferred_way_dies_the_other_is_used_at_once() {
    let (mesh, ssh) = (Switch::new("mesh", Way::Works), Switch::new("ssh", Way::Works));
    let carrier = carrier(&[&mesh, &ssh]);
    up(&carrier, "mesh").await;
    sleep(Duration::from_secs(60)).await;
    assert_eq!(ssh.attempts(), 0);
    mesh.set(Way::Hangs);
    mesh.cut();
    let began = Instant::now();
    reach(&carrier, |state| !matches!(state, State::Up { via: "mesh", .. })).await;
    works(&mut carrier.dial(Bytes::new()).await.unwrap()).await;
    assert!(began.elapsed() < Duration::from_millis(100));
    up(&carrier, "ssh").await;
}

#[tokio::test(start_paused = true)]
async fn a_preferred_way_that_hangs_does_not_hold_up_the_other() {
    let (mesh, ssh) = (Switch::new("mesh", Way::Hangs), Switch::new("ssh", Way::Works));
    let carrier = carrier(&[&mesh, &ssh]);
    works(&mut carrier.dial(Bytes::new()).await.unwrap()).await;
    up(&carrier, "ssh").await;
}
