//! Many streams over one: a link carries any number of streams in both directions, opened by either
//! side without a round trip, each with its own end, its own flow control and its turn.

mod alive;
mod error;
mod frame;
mod inbox;
mod link;
mod output;
mod pipe;
mod pump;
mod state;
mod stream;
mod window;

use std::any::Any;
use std::sync::Arc;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::{mpsc, oneshot};

pub use error::{MuxError, ProtocolError, Reason, Refusal};
pub use frame::{HEAD, REASON};
pub use pipe::{PipeReader, PipeWriter, pipes};
pub use pump::{Moved, Socket, pump};
pub use stream::{Arrival, Stream};
pub use window::WINDOW;

use frame::Control;
use link::{Life, Link, Reader};

/// Which end of a link one is. Both may open streams; each numbers its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Side {
    /// The one that made the connection.
    Opening,
    /// The other one.
    Answering,
}

impl Side {
    /// Whether streams with this number are opened by this side.
    fn owns(self, number: u32) -> bool {
        (number % 2 == 1) == (self == Self::Opening)
    }

    /// The number of the stream after `number`, never 0.
    fn after(self, number: u32) -> u32 {
        let first = match self {
            Self::Opening => 1,
            Self::Answering => 2,
        };
        number.checked_add(2).unwrap_or(first)
    }
}

/// The limits of a link, of which each side has its own.
#[derive(Debug, Clone)]
pub struct Settings {
    /// How many streams may be open at once.
    pub streams: usize,
    /// By how much the windows of all streams may grow in all, in bytes.
    pub growth: u32,
    /// A ping goes out when nothing was heard or said for so long.
    pub ping: Duration,
    /// The link is dead when nothing was heard for so long.
    pub dead: Duration,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            streams: 32 * 1024,
            growth: 64 * 1024 * 1024,
            ping: Duration::from_secs(2),
            dead: Duration::from_secs(8),
        }
    }
}

/// A handle on a link. The link ends when the last handle is gone and the last stream with it.
#[derive(Clone)]
pub struct Mux {
    keep: Arc<Keep>,
}

struct Keep {
    link: Arc<Link>,
}

impl Drop for Keep {
    fn drop(&mut self) {
        self.link.leave();
    }
}

/// The streams that the other side opens. Holding it does not keep the link.
pub struct Incoming {
    // As many as there may be streams wait in it.
    arrivals: mpsc::UnboundedReceiver<Arrival>,
}

/// What a link can be read from.
pub trait Reading: AsyncRead + Any + Send + Unpin {}

impl<T: AsyncRead + Any + Send + Unpin> Reading for T {}

/// What a link can be written to.
pub trait Writing: AsyncWrite + Any + Send + Unpin {}

impl<T: AsyncWrite + Any + Send + Unpin> Writing for T {}

/// Starts a link over a byte stream, on the current tokio runtime. Of pipes, the ends that
/// [`pipes`] makes are the fastest.
pub fn start(
    read: impl Reading,
    write: impl Writing,
    side: Side,
    settings: Settings,
) -> (Mux, Incoming) {
    start_after(BytesMut::new(), Box::new(read), Box::new(write), side, settings)
}

/// The same where the first bytes of the link were read already.
pub(crate) fn start_after(
    first: BytesMut,
    read: Box<dyn Reading>,
    write: Box<dyn Writing>,
    side: Side,
    settings: Settings,
) -> (Mux, Incoming) {
    let link = Arc::new(Link::new(&*read, write, side, settings));
    let mux = Mux { keep: Arc::new(Keep { link: Arc::clone(&link) }) };
    let (sender, arrivals) = mpsc::unbounded_channel();
    tokio::spawn(link::write(Arc::clone(&link)));
    let reader = Reader::new(link, Arc::downgrade(&mux.keep), sender);
    tokio::spawn(reader.run(read, first));
    (mux, Incoming { arrivals })
}

impl Mux {
    fn link(&self) -> &Arc<Link> {
        &self.keep.link
    }

    /// Opens a stream. It can be written to at once; whether the other side takes it is told by
    /// [`Stream::accepted`]. `head` says what it is for, in at most [`HEAD`] bytes.
    pub fn open(&self, head: Bytes) -> Result<Stream, MuxError> {
        let shared = self.link().open(head)?;
        Ok(Stream::new(shared, self.clone()))
    }

    /// Measures a round trip.
    pub async fn ping(&self) -> Result<Duration, Reason> {
        let link = self.link();
        let (asked, answer) = oneshot::channel();
        let number = link.alive.ping(Some(asked));
        link.sent(link.output.send_control(Control::Ping { number }));
        tokio::select! {
            biased;
            Ok(took) = answer => Ok(took),
            reason = self.closed() => Err(reason),
        }
    }

    /// The latest round trip that was measured; `None` before the first.
    pub fn latency(&self) -> Option<Duration> {
        self.link().alive.latest()
    }

    /// Waits for the end of the link and says why it ended.
    pub async fn closed(&self) -> Reason {
        let mut life = self.link().life();
        let _ = life.wait_for(|life| matches!(life, Life::Over(_))).await;
        self.link().reason()
    }

    /// Whether it has ended.
    pub fn is_closed(&self) -> bool {
        self.link().is_over()
    }

    /// How many streams are open, of both sides.
    pub fn streams(&self) -> usize {
        self.link().count()
    }

    /// Ends the link because the other side did not answer.
    pub(crate) fn give_up(&self, after: Duration) {
        self.link().fail(&Reason::Silent { after });
    }

    /// Ends the link at once; its streams fail.
    pub fn close(&self) {
        self.link().fail(&Reason::Closed);
    }
}

impl Incoming {
    /// The next stream that the other side opens; `None` when the link is over.
    pub async fn next(&mut self) -> Option<Arrival> {
        self.arrivals.recv().await
    }
}
