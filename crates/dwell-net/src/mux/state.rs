//! What both halves of the work on a stream share: the link's reader puts in, the stream's user
//! takes out. Nothing here waits or writes; what is to be sent is returned.

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};

use bytes::{Bytes, BytesMut};
use tokio::io::ReadBuf;

use super::error::{ProtocolError, Refusal};
use super::frame::DATA;
use super::inbox::Inbox;
use super::pipe::splice;
use super::window::{Grant, Path, WINDOW, Window};

/// One stream of a link.
pub(crate) struct Shared {
    number: u32,
    state: Mutex<State>,
}

struct State {
    inbox: Inbox,
    window: Window,
    /// The other side sends no more.
    ended: bool,
    /// What may be sent.
    credit: u32,
    /// A frame of our data waits to be written; the next has to wait for that.
    queued: bool,
    /// We send no more.
    finished: bool,
    accepted: bool,
    failure: Option<Refusal>,
    /// Where data may go without passing through here, while none is on its way there.
    outlet: Option<OwnedFd>,
    /// The user has a chunk that it may not have written yet.
    chunk_out: bool,
    /// How much went that way.
    passed: u64,
    reader: Option<Waker>,
    writer: Option<Waker>,
    opener: Option<Waker>,
}

/// What was taken out of a stream, and the credit that the other side gets for it.
pub(crate) struct Taken<T> {
    pub what: T,
    pub grant: Option<Grant>,
}

/// What came of passing data on inside the kernel.
pub(crate) enum Passed {
    /// So much was passed on.
    Some(usize, Option<Grant>),
    /// There is nothing in the pipe, or no room in the socket.
    Nothing,
    /// What came before has to be written first.
    Busy,
    /// This stream's data is read.
    Never,
}

/// What is left of a stream when its user lets go of it.
pub(crate) struct Leftover {
    /// It was not over: the other side has to be told.
    pub reset: bool,
    /// By how much its window had grown.
    pub grown: u32,
}

impl Shared {
    /// A stream in its first moment; one that this side opened is not accepted yet.
    pub(crate) fn new(number: u32, accepted: bool) -> Self {
        let state = State {
            inbox: Inbox::default(),
            window: Window::new(),
            ended: false,
            credit: WINDOW,
            queued: false,
            finished: false,
            accepted,
            failure: None,
            outlet: None,
            chunk_out: false,
            passed: 0,
            reader: None,
            writer: None,
            opener: None,
        };
        Self { number, state: Mutex::new(state) }
    }

    pub(crate) fn number(&self) -> u32 {
        self.number
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Data has come: the first `length` bytes of `buffer`. Says whether there is an outlet for
    /// such data.
    pub(crate) fn receive(
        &self,
        buffer: &mut BytesMut,
        length: usize,
    ) -> Result<bool, ProtocolError> {
        let mut state = self.lock();
        if state.ended {
            return Err(ProtocolError::AfterEnd { stream: self.number });
        }
        state.window.received(self.number, length)?;
        state.inbox.push(buffer, length);
        let outlet = state.outlet.is_some();
        wake(state, |state| state.reader.take());
        Ok(outlet)
    }

    /// Passes on at most `length` bytes of its data from `pipe` inside the kernel, where its user
    /// has an outlet for that.
    pub(crate) fn pass(
        &self,
        pipe: BorrowedFd<'_>,
        length: usize,
        path: impl FnOnce() -> Path,
    ) -> Result<Passed, ProtocolError> {
        let mut state = self.lock();
        let Some(outlet) = &state.outlet else { return Ok(Passed::Never) };
        if state.ended {
            return Err(ProtocolError::AfterEnd { stream: self.number });
        }
        if state.chunk_out || !state.inbox.is_empty() {
            return Ok(Passed::Busy);
        }
        // The lock is held, so that the user cannot take or write anything meanwhile.
        match splice(pipe, outlet.as_fd(), state.window.within(self.number, length)?) {
            Ok(0) => Ok(Passed::Nothing),
            Ok(length) => {
                state.window.received(self.number, length)?;
                state.passed += length as u64;
                let grant = state.take(length, path);
                Ok(Passed::Some(length, grant))
            }
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(Passed::Nothing),
            Err(_) => {
                // The user will see the error itself.
                state.outlet = None;
                Ok(Passed::Never)
            }
        }
    }

    /// From now on data may be passed on to `outlet`. Whoever gives one takes data by
    /// [`Self::poll_chunk`] and asks for a chunk only when it has written the one before.
    pub(crate) fn set_outlet(&self, outlet: OwnedFd) {
        self.lock().outlet = Some(outlet);
    }

    /// How much was passed on.
    pub(crate) fn passed(&self) -> u64 {
        self.lock().passed
    }

    /// The other side has sent all; says whether the stream is over.
    pub(crate) fn end(&self) -> Result<bool, ProtocolError> {
        let mut state = self.lock();
        if std::mem::replace(&mut state.ended, true) {
            return Err(ProtocolError::AfterEnd { stream: self.number });
        }
        let over = state.finished;
        wake(state, |state| state.reader.take());
        Ok(over)
    }

    /// More may be sent.
    pub(crate) fn allow(&self, bytes: u32) -> Result<(), ProtocolError> {
        let mut state = self.lock();
        let credit = state.credit.checked_add(bytes);
        state.credit = credit.ok_or(ProtocolError::Credit { stream: self.number })?;
        wake(state, |state| state.writer.take());
        Ok(())
    }

    /// The other side took the stream.
    pub(crate) fn accept(&self) {
        let mut state = self.lock();
        state.accepted = true;
        wake(state, |state| state.opener.take());
    }

    /// The frame of data was written.
    pub(crate) fn sent(&self) {
        let mut state = self.lock();
        state.queued = false;
        wake(state, |state| state.writer.take());
    }

    /// The stream is over before its time. What has come can still be read.
    pub(crate) fn fail(&self, failure: Refusal) {
        let mut state = self.lock();
        if state.failure.is_some() {
            return;
        }
        state.failure = Some(failure);
        let wakers = [state.reader.take(), state.writer.take(), state.opener.take()];
        drop(state);
        wakers.into_iter().flatten().for_each(Waker::wake);
    }

    /// Whether the other side took it.
    pub(crate) fn poll_accepted(&self, cx: &Context<'_>) -> Poll<Result<(), Refusal>> {
        let mut state = self.lock();
        if state.accepted {
            return Poll::Ready(Ok(()));
        }
        if let Some(failure) = &state.failure {
            return Poll::Ready(Err(failure.clone()));
        }
        state.opener = Some(cx.waker().clone());
        Poll::Pending
    }

    /// How much may be sent in one frame, at least 1; `None` after our own end.
    pub(crate) fn poll_room(&self, cx: &Context<'_>) -> Poll<Result<Option<usize>, Refusal>> {
        let mut state = self.lock();
        if let Some(failure) = &state.failure {
            return Poll::Ready(Err(failure.clone()));
        }
        if state.finished {
            return Poll::Ready(Ok(None));
        }
        if state.queued || state.credit == 0 {
            remember(&mut state.writer, cx);
            return Poll::Pending;
        }
        Poll::Ready(Ok(Some(DATA.min(state.credit as usize))))
    }

    /// `length` bytes, for which there was room, go to the queue.
    pub(crate) fn send(&self, length: usize) {
        let mut state = self.lock();
        state.credit = state.credit.saturating_sub(u32::try_from(length).unwrap_or(u32::MAX));
        state.queued = true;
    }

    /// We have sent all; says whether that is news, and whether the stream is over.
    pub(crate) fn finish(&self) -> Result<(bool, bool), Refusal> {
        let mut state = self.lock();
        if let Some(failure) = &state.failure {
            return Err(failure.clone());
        }
        let news = !std::mem::replace(&mut state.finished, true);
        Ok((news, state.ended))
    }

    /// The next bytes in one piece; `None` at the end.
    pub(crate) fn poll_chunk(
        &self,
        cx: &Context<'_>,
        path: impl FnOnce() -> Path,
    ) -> Poll<Result<Option<Taken<Bytes>>, Refusal>> {
        let mut state = self.lock();
        state.chunk_out = false;
        match state.inbox.pop() {
            Some(what) => {
                state.chunk_out = true;
                let grant = state.take(what.len(), path);
                Poll::Ready(Ok(Some(Taken { what, grant })))
            }
            None => state.poll_end(cx).map_ok(|()| None),
        }
    }

    /// Copies what there is to `to`, nothing at the end.
    pub(crate) fn poll_read(
        &self,
        cx: &Context<'_>,
        to: &mut ReadBuf<'_>,
        path: impl FnOnce() -> Path,
    ) -> Poll<Result<Option<Grant>, Refusal>> {
        let mut state = self.lock();
        match state.inbox.read(to) {
            0 => state.poll_end(cx).map_ok(|()| None),
            length => Poll::Ready(Ok(state.take(length, path))),
        }
    }

    /// Its user lets go of it.
    pub(crate) fn leave(&self) -> Leftover {
        let mut state = self.lock();
        state.inbox.clear();
        state.outlet = None;
        let reset = state.failure.is_none() && !(state.finished && state.ended);
        if reset {
            state.failure = Some(Refusal::Reset);
        }
        Leftover { reset, grown: state.window.grown() }
    }
}

impl State {
    /// What is read when nothing has come.
    fn poll_end(&mut self, cx: &Context<'_>) -> Poll<Result<(), Refusal>> {
        if self.ended {
            return Poll::Ready(Ok(()));
        }
        if let Some(failure) = &self.failure {
            return Poll::Ready(Err(failure.clone()));
        }
        remember(&mut self.reader, cx);
        Poll::Pending
    }

    fn take(&mut self, length: usize, path: impl FnOnce() -> Path) -> Option<Grant> {
        if self.ended || self.failure.is_some() {
            return None;
        }
        self.window.taken(length, path)
    }
}

fn remember(place: &mut Option<Waker>, cx: &Context<'_>) {
    match place {
        Some(waker) => waker.clone_from(cx.waker()),
        None => *place = Some(cx.waker().clone()),
    }
}

/// Wakes without holding the lock, which the woken will want.
fn wake(mut state: MutexGuard<'_, State>, which: impl FnOnce(&mut State) -> Option<Waker>) {
    let waker = which(&mut state);
    drop(state);
    if let Some(waker) = waker {
        waker.wake();
    }
}
