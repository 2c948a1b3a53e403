//! What users of a link hold: streams, and arrivals that become streams.

use std::io;
use std::os::fd::OwnedFd;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::Mux;
use super::error::Refusal;
use super::frame::{Control, REASON};
use super::link::Link;
use super::output::Body;
use super::state::Shared;
use super::window::Grant;

/// One stream: bytes in both directions, each of which ends by itself. Dropping it before both
/// have ended resets it: the other side sees an error instead of an end.
pub struct Stream {
    shared: Arc<Shared>,
    mux: Mux,
}

impl Stream {
    pub(crate) fn new(shared: Arc<Shared>, mux: Mux) -> Self {
        Self { shared, mux }
    }

    /// Waits until the other side took the stream or refused it. Data may be written before.
    pub async fn accepted(&self) -> Result<(), Refusal> {
        std::future::poll_fn(|cx| self.shared.poll_accepted(cx)).await
    }

    /// The link that it belongs to.
    pub fn mux(&self) -> &Mux {
        &self.mux
    }

    fn link(&self) -> &Arc<Link> {
        self.mux.link()
    }

    /// How many bytes [`Self::send`] may be given now, at least 1.
    pub(crate) fn poll_room(&self, cx: &Context<'_>) -> Poll<io::Result<usize>> {
        let room = ready!(self.shared.poll_room(cx)).map_err(|failure| failure.to_io())?;
        Poll::Ready(room.ok_or_else(|| io::ErrorKind::BrokenPipe.into()))
    }

    /// Sends bytes for which there was room.
    pub(crate) fn send(&self, body: Body) {
        self.shared.send(body.len());
        let link = self.link();
        link.sent(link.output.send(Arc::clone(&self.shared), body));
    }

    /// Whether it can send what waits in a socket.
    pub(crate) fn splices_out(&self) -> bool {
        self.link().output.splices()
    }

    /// Whether what comes can be passed on to a socket.
    pub(crate) fn splices_in(&self) -> bool {
        self.link().splices_in
    }

    /// See [`Shared::set_outlet`].
    pub(crate) fn set_outlet(&self, outlet: OwnedFd) {
        self.shared.set_outlet(outlet);
    }

    /// How much was passed on to the outlet.
    pub(crate) fn passed(&self) -> u64 {
        self.shared.passed()
    }

    /// Ends this side's direction.
    pub(crate) fn finish(&self) -> io::Result<()> {
        let (news, over) = self.shared.finish().map_err(|failure| failure.to_io())?;
        if news {
            let (link, stream) = (self.link(), self.shared.number());
            link.sent(link.output.send_control(Control::Fin { stream }));
            if over {
                link.forget(stream);
            }
        }
        Ok(())
    }

    /// The next bytes in one piece; `None` at the end.
    pub(crate) fn poll_chunk(&self, cx: &Context<'_>) -> Poll<io::Result<Option<Bytes>>> {
        let link = self.link();
        let taken = ready!(self.shared.poll_chunk(cx, || link.path()));
        Poll::Ready(match taken.map_err(|failure| failure.to_io())? {
            Some(taken) => {
                self.grant(taken.grant);
                Ok(Some(taken.what))
            }
            None => Ok(None),
        })
    }

    fn grant(&self, grant: Option<Grant>) {
        if let Some(grant) = grant {
            self.link().grant(self.shared.number(), &grant);
        }
    }
}

impl AsyncRead for Stream {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if buf.remaining() == 0 {
            return Poll::Ready(Ok(()));
        }
        let link = self.link();
        let grant = ready!(self.shared.poll_read(cx, buf, || link.path()));
        self.grant(grant.map_err(|failure| failure.to_io())?);
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Stream {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        if buf.is_empty() {
            return Poll::Ready(Ok(0));
        }
        let room = ready!(self.poll_room(cx))?;
        let part = buf.get(..room).unwrap_or(buf);
        self.send(Body::Bytes(Bytes::copy_from_slice(part)));
        Poll::Ready(Ok(part.len()))
    }

    /// What was written is on its way; there is nothing to wait for.
    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(self.finish())
    }
}

impl Drop for Stream {
    fn drop(&mut self) {
        let link = self.mux.link();
        let leftover = self.shared.leave();
        link.grown(-i64::from(leftover.grown));
        if leftover.reset {
            let stream = self.shared.number();
            link.forget(stream);
            link.sent(link.output.send_control(Control::Reset { stream }));
        }
    }
}

/// A stream that the other side opened. Dropping it resets the stream.
pub struct Arrival {
    head: Bytes,
    stream: Stream,
}

impl Arrival {
    pub(crate) fn new(head: Bytes, stream: Stream) -> Self {
        Self { head, stream }
    }

    /// What the other side says the stream is for: at most [`super::HEAD`] bytes.
    pub fn head(&self) -> &Bytes {
        &self.head
    }

    /// Takes the stream.
    pub fn accept(self) -> Stream {
        let (link, stream) = (self.stream.link(), self.stream.shared.number());
        link.sent(link.output.add(Control::Accepted { stream }));
        self.stream
    }

    /// Does not take it; of the reason, the other side gets the first [`super::REASON`] bytes.
    pub fn refuse(self, reason: impl Into<Bytes>) {
        let mut reason = reason.into();
        reason.truncate(REASON);
        let (link, stream) = (self.stream.link(), self.stream.shared.number());
        link.forget(stream);
        self.stream.shared.fail(Refusal::Reset);
        link.sent(link.output.send_control(Control::Refused { stream, reason }));
    }
}
