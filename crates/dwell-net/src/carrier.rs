//! One link to one node, kept alive: it connects by the best way that works, notices when the link
//! is dead, comes back by itself, and moves to a better way while streams go on.

mod error;
mod greet;
mod keeper;
mod plan;

use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use tokio::sync::{Notify, watch};
use tokio::task::JoinHandle;
use tokio::time::{Instant, timeout, timeout_at};

use crate::mux::{self, Arrival, Incoming, Mux, MuxError, Side, Stream};

pub use error::{DialError, Failure, LinkError};
pub use greet::PROTOCOL;
pub use plan::Retry;

/// A future that a trait's method returns.
pub type BoxFuture<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// What takes the streams that the other side opens. It must not wait; it starts a task.
pub type Handler = Arc<dyn Fn(Arrival) + Send + Sync>;

/// A way to reach the node.
pub trait Connector: Send + Sync + 'static {
    /// What people call it: `mesh`, `ssh`.
    fn name(&self) -> &'static str;

    /// Connects once. Whoever drops the future gives up, and nothing may be left of the attempt.
    fn connect(&self) -> BoxFuture<'_, Result<Link, LinkError>>;
}

/// A byte stream to the other side, before anything was said on it.
pub struct Link {
    /// What comes. Of pipes, the ends that [`mux::pipes`] makes are the fastest.
    pub read: Box<dyn mux::Reading>,
    /// What goes.
    pub write: Box<dyn mux::Writing>,
    /// What the byte stream needs, such as a process; dropped after both halves.
    pub guard: Box<dyn Guard>,
}

/// What a link's byte stream needs in order to exist.
pub trait Guard: Send {
    /// Why the other side did not say hello, if more is known than that: for example what the
    /// process that should have connected says. It is given a second.
    fn explain(&mut self) -> BoxFuture<'_, Option<LinkError>> {
        Box::pin(std::future::ready(None))
    }
}

impl Guard for () {}

/// The limits of a carrier.
#[derive(Debug, Clone)]
pub struct Settings {
    /// Those of each link.
    pub mux: mux::Settings,
    /// When to try again.
    pub retry: Retry,
    /// How long connecting may take.
    pub connect: Duration,
    /// How long the other side may take to say hello and to answer the first ping.
    pub greet: Duration,
    /// How long [`Carrier::dial`] waits for an attempt that is under way.
    pub dial: Duration,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            mux: mux::Settings::default(),
            retry: Retry::default(),
            connect: Duration::from_secs(30),
            greet: Duration::from_secs(10),
            dial: Duration::from_secs(2),
        }
    }
}

/// How the link is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum State {
    /// The first attempts are under way.
    Connecting {
        /// Since when.
        since: Instant,
    },
    /// Streams can be opened.
    Up {
        /// Since when.
        since: Instant,
        /// The connector's name.
        via: &'static str,
        /// The round trip when it came up; [`Carrier::latency`] has the present one.
        latency: Duration,
        /// What the other side says about itself.
        hello: Bytes,
        /// What went wrong with a connector that is preferred to this one.
        better: Option<Failure>,
    },
    /// It is lost, or did not come up.
    Down {
        /// Since when.
        since: Instant,
        /// What went wrong.
        why: Failure,
        /// When the next attempt is made; `None` while one is under way.
        retry_at: Option<Instant>,
    },
}

struct Shared {
    state: watch::Sender<State>,
    /// The link that carries.
    current: Mutex<Option<Mux>>,
    wake: Notify,
    settings: Settings,
}

/// A handle on the link to a node. When the last handle is gone nothing is tried any more, and the
/// link ends with its last stream.
#[derive(Clone)]
pub struct Carrier {
    shared: Arc<Shared>,
    _task: Arc<Task>,
}

struct Task(JoinHandle<()>);

impl Drop for Task {
    fn drop(&mut self) {
        self.0.abort();
    }
}

impl Carrier {
    /// Starts on the current tokio runtime. `connectors` are in order of preference, `hello` is
    /// what this side says about itself, in one line.
    pub fn new(
        connectors: Vec<Arc<dyn Connector>>,
        hello: Bytes,
        settings: Settings,
        handler: Handler,
    ) -> Self {
        let shared = Arc::new(Shared {
            state: watch::Sender::new(State::Connecting { since: Instant::now() }),
            current: Mutex::default(),
            wake: Notify::new(),
            settings,
        });
        let keeper = keeper::Keeper::new(Arc::clone(&shared), connectors, hello, handler);
        let task = tokio::spawn(keeper.run());
        Self { shared, _task: Arc::new(Task(task)) }
    }

    /// How the link is, now and from now on.
    pub fn state(&self) -> watch::Receiver<State> {
        self.shared.state.subscribe()
    }

    /// The latest round trip; `None` while there is no link.
    pub fn latency(&self) -> Option<Duration> {
        self.shared.current()?.latency()
    }

    /// Now is a good time: the network is back, or the machine has woken up. Whatever is waiting
    /// is tried at once, and a link that does not answer soon is given up.
    pub fn wake(&self) {
        self.shared.wake.notify_one();
    }

    /// Opens a stream; `head` says what it is for, in at most [`mux::HEAD`] bytes. Without a link
    /// it fails at once, unless one is being made: for that it waits for a limited time.
    pub async fn dial(&self, head: Bytes) -> Result<Stream, DialError> {
        let mut states = self.state();
        let limit = Instant::now() + self.shared.settings.dial;
        loop {
            let state = states.borrow_and_update().clone();
            if let Some(mux) = self.shared.current() {
                match mux.open(head.clone()) {
                    Ok(stream) => return Ok(stream),
                    // The keeper is about to notice.
                    Err(MuxError::Over(_)) => {}
                    Err(error) => return Err(DialError::Mux(error)),
                }
            }
            let why = match state {
                State::Down { why, retry_at: Some(_), .. } => return Err(DialError::Down(why)),
                State::Down { why, .. } => Some(why),
                State::Connecting { .. } | State::Up { .. } => None,
            };
            if !matches!(timeout_at(limit, states.changed()).await, Ok(Ok(()))) {
                let waited = self.shared.settings.dial;
                return Err(why.map_or(DialError::NotYet { waited }, DialError::Down));
            }
        }
    }
}

impl Shared {
    fn current(&self) -> Option<Mux> {
        self.current.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn set_current(&self, mux: Option<Mux>) {
        *self.current.lock().unwrap_or_else(PoisonError::into_inner) = mux;
    }
}

/// A link on which both sides have said hello.
pub struct Established {
    /// The link.
    pub mux: Mux,
    /// What the other side says about itself.
    pub hello: Bytes,
}

/// The part of the side that was connected to: says hello and serves what arrives, on the current
/// tokio runtime, until the link ends. `mux` is for streams in the other direction; it keeps the
/// link, so it shall be dropped when it is closed or of no more use.
pub async fn answer(
    link: Link,
    hello: &[u8],
    settings: &Settings,
    handler: Handler,
) -> Result<Established, LinkError> {
    let (established, incoming, guard) = establish(link, hello, settings, Side::Answering).await?;
    tokio::spawn(serve(incoming, guard, handler));
    Ok(established)
}

/// Both sides' beginning of a link.
async fn establish(
    link: Link,
    hello: &[u8],
    settings: &Settings,
    side: Side,
) -> Result<(Established, Incoming, Box<dyn Guard>), LinkError> {
    let Link { mut read, mut write, mut guard } = link;
    let mut buffer = BytesMut::new();
    let greeting = greet::greet(&mut read, &mut write, hello, &mut buffer);
    let theirs = match timeout(settings.greet, greeting).await {
        Ok(Ok(theirs)) => theirs,
        Ok(Err(error @ LinkError::Version { .. })) => return Err(error),
        Ok(Err(error)) => return Err(explained(&mut *guard, error).await),
        Err(_) => {
            let error = LinkError::Silent { limit: settings.greet };
            return Err(explained(&mut *guard, error).await);
        }
    };
    let (mux, incoming) = mux::start_after(buffer, read, write, side, settings.mux.clone());
    Ok((Established { mux, hello: theirs }, incoming, guard))
}

async fn explained(guard: &mut dyn Guard, error: LinkError) -> LinkError {
    const LIMIT: Duration = Duration::from_secs(1);
    timeout(LIMIT, guard.explain()).await.ok().flatten().unwrap_or(error)
}

/// Hands on what arrives until the link ends; then lets go of what it needed.
async fn serve(mut incoming: Incoming, guard: Box<dyn Guard>, handler: Handler) {
    while let Some(arrival) = incoming.next().await {
        handler(arrival);
    }
    drop(guard);
}
