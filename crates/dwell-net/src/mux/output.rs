//! The way out of a link: one queue of frames in which each stream has at most one frame of data,
//! so that streams take turns. Whoever adds a frame writes it at once where nothing else is being
//! written; a task goes on where the carrier takes no more.

use std::collections::VecDeque;
use std::io::{self, IoSlice};
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError, TryLockError};
use std::task::{Context, Poll, Waker, ready};

use bytes::Bytes;
use tokio::io::AsyncWrite;
use tokio::sync::Notify;

use super::error::{ProtocolError, Reason};
use super::frame::{Control, Head};
use super::state::Shared;

/// How many pieces one call of the system is given.
const PIECES: usize = 64;

pub(crate) type Writing = Box<dyn AsyncWrite + Send + Unpin>;

/// A frame that waits to be written.
struct Entry {
    head: Head,
    /// What of `head` and `body` is written already.
    written: usize,
    body: Bytes,
    /// Whose data it is; it may send more as soon as this has gone.
    owner: Option<Arc<Shared>>,
}

impl Entry {
    fn pieces(&self) -> [&[u8]; 2] {
        let head = self.head.as_slice();
        let body = self.written.saturating_sub(head.len());
        [head.get(self.written..).unwrap_or_default(), self.body.get(body..).unwrap_or_default()]
    }

    fn missing(&self) -> usize {
        self.pieces().iter().map(|piece| piece.len()).sum()
    }
}

struct Writer {
    /// Nothing once the link is over.
    io: Option<Writing>,
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
    writer: Mutex<Writer>,
    wake: Notify,
}

impl Output {
    /// `most` is how many frames may wait, which is only reached by one who does not read.
    pub(crate) fn new(io: Writing, most: usize) -> Self {
        let batch = VecDeque::new();
        let writer = Writer { io: Some(io), batch, blocked: false, unflushed: false };
        Self { queue: Mutex::default(), most, writer: Mutex::new(writer), wake: Notify::new() }
    }

    /// Adds a frame without writing it: the task does, or who writes next, which puts a frame and
    /// the data that follows it into one call of the system.
    pub(crate) fn add(&self, control: Control) -> Result<(), Reason> {
        let (head, body) = control.encode();
        self.push(Entry { head, written: 0, body, owner: None })?;
        self.wake.notify_one();
        Ok(())
    }

    /// Adds a stream's frame of data and writes what can be written.
    pub(crate) fn send(&self, owner: Arc<Shared>, body: Bytes) -> Result<(), Reason> {
        let head = Head::data(owner.number(), body.len());
        self.push(Entry { head, written: 0, body, owner: Some(owner) })?;
        self.write()
    }

    /// Adds a frame and writes what can be written.
    pub(crate) fn send_control(&self, control: Control) -> Result<(), Reason> {
        let (head, body) = control.encode();
        self.push(Entry { head, written: 0, body, owner: None })?;
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
            match &mut writer.io {
                Some(io) => Pin::new(io).poll_shutdown(cx),
                None => Poll::Ready(Ok(())),
            }
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
            let mut written = {
                let mut slices = [IoSlice::new(&[]); PIECES];
                let pieces = self.batch.iter().flat_map(Entry::pieces).filter(|p| !p.is_empty());
                let mut count = 0;
                for (slice, piece) in slices.iter_mut().zip(pieces) {
                    *slice = IoSlice::new(piece);
                    count += 1;
                }
                let slices = slices.get(..count).unwrap_or_default();
                ready!(Pin::new(&mut *io).poll_write_vectored(cx, slices))?
            };
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
