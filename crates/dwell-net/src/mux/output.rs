//! The way out of a link: one queue of frames in which each stream has at most one frame of data,
//! so that streams take turns. Whoever adds a frame writes it at once where nothing else is being
//! written; a task goes on where the carrier takes no more.

use std::any::Any;
use std::collections::VecDeque;
use std::io::{self, IoSlice};
use std::os::fd::{AsFd, OwnedFd};
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError, TryLockError};
use std::task::{Context, Poll, Waker, ready};

use bytes::Bytes;
use tokio::io::AsyncWrite;
use tokio::sync::Notify;

use super::Writing;
use super::error::{ProtocolError, Reason};
use super::frame::Control;
use super::frame::Head;
use super::pipe::{PipeWriter, SPLICES, splice, widen};
use super::state::Shared;

/// How many pieces one call of the system is given.
const PIECES: usize = 64;

/// A frame that waits to be written.
struct Entry {
    head: Head,
    /// What of `head` and `body` is written already.
    written: usize,
    body: Body,
    /// Whose data it is; it may send more as soon as this has gone.
    owner: Option<Arc<Shared>>,
}

/// What follows a head.
pub(crate) enum Body {
    Bytes(Bytes),
    /// So many bytes that wait in a socket, to be moved by the kernel.
    Waiting(Arc<OwnedFd>, usize),
}

impl Body {
    pub(crate) fn len(&self) -> usize {
        match self {
            Self::Bytes(bytes) => bytes.len(),
            Self::Waiting(_, length) => *length,
        }
    }
}

impl Entry {
    /// What is to be written and is at hand.
    fn pieces(&self) -> [&[u8]; 2] {
        let head = self.head.as_slice();
        let done = self.written.saturating_sub(head.len());
        let body = match &self.body {
            Body::Bytes(bytes) => bytes.get(done..).unwrap_or_default(),
            Body::Waiting(..) => &[],
        };
        [head.get(self.written..).unwrap_or_default(), body]
    }

    fn missing(&self) -> usize {
        (self.head.as_slice().len() + self.body.len()).saturating_sub(self.written)
    }

    /// Takes a little out of the socket, as an entry of its own that comes before.
    fn loosen(&mut self) -> io::Result<Self> {
        const LITTLE: usize = 4096;
        let mut bytes = vec![0; LITTLE.min(self.missing())];
        if let Body::Waiting(socket, length) = &mut self.body {
            let read = rustix::io::retry_on_intr(|| rustix::io::read(&*socket, &mut bytes))?;
            bytes.truncate(read);
            *length = length.saturating_sub(read);
        }
        let body = Body::Bytes(bytes.into());
        Ok(Self { head: Head::none(), written: 0, body, owner: None })
    }

    /// The socket from which comes what is to be written next.
    fn socket(&self) -> Option<&Arc<OwnedFd>> {
        match &self.body {
            Body::Waiting(socket, _) if self.written >= self.head.as_slice().len() => Some(socket),
            Body::Waiting(..) | Body::Bytes(_) => None,
        }
    }
}

struct Writer {
    /// Nothing once the link is over.
    io: Option<Box<dyn Writing>>,
    batch: VecDeque<Entry>,
    /// The carrier took no more and wakes the task when it does; nobody else may ask it, as the
    /// task would not be woken then.
    blocked: bool,
    unflushed: bool,
}

/// The way out.
pub(crate) struct Output {
    queue: Mutex<VecDeque<Entry>>,
    most: usize,
    /// Whether it takes what waits in a socket.
    splices: bool,
    writer: Mutex<Writer>,
    wake: Notify,
}

impl Output {
    /// `most` is how many frames may wait, which is only reached by one who does not read.
    pub(crate) fn new(io: Box<dyn Writing>, most: usize) -> Self {
        let pipe = (&*io as &dyn Any).downcast_ref::<PipeWriter>();
        pipe.iter().for_each(|pipe| widen(*pipe));
        let splices = SPLICES && pipe.is_some();
        let batch = VecDeque::new();
        let writer = Writer { io: Some(io), batch, blocked: false, unflushed: false };
        Self {
            queue: Mutex::default(),
            most,
            splices,
            writer: Mutex::new(writer),
            wake: Notify::new(),
        }
    }

    /// Whether it takes what waits in a socket.
    pub(crate) fn splices(&self) -> bool {
        self.splices
    }

    /// Adds a frame without writing it: the task does, or who writes next, which puts a frame and
    /// the data that follows it into one call of the system.
    pub(crate) fn add(&self, control: Control) -> Result<(), Reason> {
        let (head, body) = control.encode();
        self.push(Entry { head, written: 0, body: Body::Bytes(body), owner: None })?;
        self.wake.notify_one();
        Ok(())
    }

    /// Adds a stream's frame of data and writes what can be written.
    pub(crate) fn send(&self, owner: Arc<Shared>, body: Body) -> Result<(), Reason> {
        let head = Head::data(owner.number(), body.len());
        self.push(Entry { head, written: 0, body, owner: Some(owner) })?;
        self.write()
    }

    /// Adds a frame and writes what can be written.
    pub(crate) fn send_control(&self, control: Control) -> Result<(), Reason> {
        let (head, body) = control.encode();
        self.push(Entry { head, written: 0, body: Body::Bytes(body), owner: None })?;
        self.write()
    }

    fn push(&self, entry: Entry) -> Result<(), Reason> {
        let mut queue = self.queue.lock().unwrap_or_else(PoisonError::into_inner);
        if queue.len() >= self.most {
            return Err(ProtocolError::Unread.into());
        }
        queue.push_back(entry);
        Ok(())
    }

    /// Writes until nothing is left or the carrier takes no more. When another thread writes, it
    /// will find what was added.
    fn write(&self) -> Result<(), Reason> {
        loop {
            let mut writer = match self.writer.try_lock() {
                Ok(writer) => writer,
                Err(TryLockError::Poisoned(poisoned)) => poisoned.into_inner(),
                Err(TryLockError::WouldBlock) => return Ok(()),
            };
            if writer.blocked {
                return Ok(());
            }
            match writer.advance(&self.queue, &mut Context::from_waker(Waker::noop())) {
                Poll::Ready(result) => result.map_err(|error| Reason::broken(&error))?,
                Poll::Pending => {
                    writer.blocked = true;
                    self.wake.notify_one();
                    return Ok(());
                }
            }
            drop(writer);
            if self.is_empty() {
                return Ok(());
            }
        }
    }

    fn is_empty(&self) -> bool {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner).is_empty()
    }

    /// The task's part: writes until all is written and flushed.
    fn poll_write(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        loop {
            let mut writer = self.writer.lock().unwrap_or_else(PoisonError::into_inner);
            writer.blocked = true;
            ready!(writer.advance(&self.queue, cx))?;
            writer.blocked = false;
            drop(writer);
            if self.is_empty() {
                return Poll::Ready(Ok(()));
            }
        }
    }

    /// The task: writes what others leave, until the link breaks.
    pub(crate) async fn run(&self) -> io::Error {
        loop {
            if let Err(error) = self.drain().await {
                return error;
            }
            self.wake.notified().await;
        }
    }

    async fn drain(&self) -> io::Result<()> {
        std::future::poll_fn(|cx| self.poll_write(cx)).await
    }

    /// Writes all that waits and ends this direction.
    pub(crate) async fn finish(&self) -> io::Result<()> {
        self.drain().await?;
        std::future::poll_fn(|cx| {
            let mut writer = self.writer.lock().unwrap_or_else(PoisonError::into_inner);
            if let Some(io) = &mut writer.io {
                ready!(Pin::new(io).poll_shutdown(cx))?;
            }
            // Some kinds only end by this.
            writer.io = None;
            Poll::Ready(Ok(()))
        })
        .await
    }

    /// Lets go of the carrier and of everything that waits.
    pub(crate) fn close(&self) {
        let mut writer = self.writer.lock().unwrap_or_else(PoisonError::into_inner);
        let batch = std::mem::take(&mut writer.batch);
        let io = writer.io.take();
        drop(writer);
        let queue = std::mem::take(&mut *self.queue.lock().unwrap_or_else(PoisonError::into_inner));
        drop((batch, io, queue));
    }
}

impl Writer {
    fn advance(
        &mut self,
        queue: &Mutex<VecDeque<Entry>>,
        cx: &mut Context<'_>,
    ) -> Poll<io::Result<()>> {
        let Some(io) = &mut self.io else {
            return Poll::Ready(Err(io::ErrorKind::NotConnected.into()));
        };
        loop {
            if self.batch.is_empty() {
                let mut queue = queue.lock().unwrap_or_else(PoisonError::into_inner);
                std::mem::swap(&mut *queue, &mut self.batch);
            }
            if self.batch.is_empty() {
                if self.unflushed {
                    ready!(Pin::new(io).poll_flush(cx))?;
                    self.unflushed = false;
                }
                return Poll::Ready(Ok(()));
            }
            let mut written = ready!(poll_write(&mut **io, &mut self.batch, cx))?;
            if written == 0 {
                return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
            }
            self.unflushed = true;
            while let Some(first) = self.batch.front_mut() {
                let part = written.min(first.missing());
                first.written += part;
                written -= part;
                if first.missing() > 0 {
                    break;
                }
                if let Some(owner) = self.batch.pop_front().and_then(|entry| entry.owner) {
                    owner.sent();
                }
            }
        }
    }
}

/// Writes of the batch what goes in one call of the system.
fn poll_write(
    io: &mut dyn Writing,
    batch: &mut VecDeque<Entry>,
    cx: &mut Context<'_>,
) -> Poll<io::Result<usize>> {
    if let Some(first) = batch.front_mut()
        && let Some(socket) = first.socket()
        && let Some(pipe) = (io as &dyn Any).downcast_ref::<PipeWriter>()
    {
        match splice(socket.as_fd(), pipe.as_fd(), first.missing()) {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                // The pipe is full, and only writing to it waits until it is not.
                let loose = first.loosen()?;
                batch.push_front(loose);
            }
            result => return Poll::Ready(result),
        }
    }
    let mut slices = [IoSlice::new(&[]); PIECES];
    let mut count = 0;
    // What waits in a socket goes by itself, after its head.
    let waits = batch.iter().position(|entry| matches!(entry.body, Body::Waiting(..)));
    let entries = batch.iter().take(waits.map_or(PIECES, |place| place + 1));
    let pieces = entries.flat_map(Entry::pieces).filter(|piece| !piece.is_empty());
    for (slice, piece) in slices.iter_mut().zip(pieces) {
        *slice = IoSlice::new(piece);
        count += 1;
    }
    Pin::new(io).poll_write_vectored(cx, slices.get(..count).unwrap_or_default())
}
