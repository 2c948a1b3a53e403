//! Joins a stream and a socket: copies both ways, passes each end on, and holds a buffer only
//! while there is something in it.

use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use bytes::{Buf, BufMut, Bytes, BytesMut};
use rustix::io::ioctl_fionread;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite};
use tokio::net::{TcpStream, UnixStream};

use super::output::Body;
use super::pipe::BULK;
use super::stream::Stream;

/// What a socket is read into first; it doubles while reads fill it.
const FIRST: usize = 8 * 1024;
const MOST: usize = 64 * 1024;
/// A stream that brought so much, in bytes, is worth another file descriptor.
const OUTLET: u64 = 256 * 1024;

/// A socket that says when there is something to read before a buffer is made for it.
pub trait Socket: AsyncRead + AsyncWrite + AsFd + Send + Unpin {
    /// Waits until reading may give something.
    fn poll_read_ready(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>>;
    /// Sends small pieces at once.
    fn send_at_once(&self);
    /// Makes the other side see an error instead of an end when it is dropped.
    fn end_with_error(&self);
}

impl Socket for TcpStream {
    fn poll_read_ready(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Self::poll_read_ready(self, cx)
    }

    fn send_at_once(&self) {
        // Without it everything arrives all the same, only later.
        let _ = self.set_nodelay(true);
    }

    fn end_with_error(&self) {
        let _ = self.set_zero_linger();
    }
}

impl Socket for UnixStream {
    fn poll_read_ready(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Self::poll_read_ready(self, cx)
    }

    fn send_at_once(&self) {}

    fn end_with_error(&self) {}
}

/// How many bytes were passed on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Moved {
    /// From the socket to the stream.
    pub up: u64,
    /// From the stream to the socket.
    pub down: u64,
}

/// Copies both ways until both directions have ended. When either side breaks, the other sees an
/// error too, never an early end.
pub async fn pump<S: Socket>(stream: Stream, socket: S) -> io::Result<Moved> {
    socket.send_at_once();
    let mut pump = Pump {
        stream,
        socket,
        buffer: BytesMut::new(),
        size: FIRST,
        chunk: Bytes::new(),
        moved: Moved::default(),
        up_ended: false,
        down_ended: false,
        inlet: None,
        outlet: false,
    };
    let result = std::future::poll_fn(|cx| pump.poll(cx)).await;
    pump.moved.down += pump.stream.passed();
    if result.is_err() {
        pump.socket.end_with_error();
    }
    result.map(|()| pump.moved)
}

/// How the way from the socket to the stream came to its end.
enum Up {
    /// The socket has no more.
    Ended,
    /// The stream takes no more.
    Refused(io::Error),
}

struct Pump<S> {
    stream: Stream,
    socket: S,
    buffer: BytesMut,
    size: usize,
    chunk: Bytes,
    moved: Moved,
    up_ended: bool,
    down_ended: bool,
    /// The socket, for what the kernel takes out of it.
    inlet: Option<Arc<OwnedFd>>,
    /// The stream knows the socket, for what the kernel puts into it.
    outlet: bool,
}

impl<S: Socket> Pump<S> {
    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if !self.up_ended
            && let Poll::Ready(up) = self.poll_up(cx)?
        {
            // Who takes no more may have sent all it had, and that is still to be passed on.
            if let Up::Refused(error) = up
                && self.down_ended
            {
                return Poll::Ready(Err(error));
            }
            self.up_ended = true;
        }
        if !self.down_ended
            && let Poll::Ready(result) = self.poll_down(cx)
        {
            result?;
            self.down_ended = true;
        }
        if self.up_ended && self.down_ended { Poll::Ready(Ok(())) } else { Poll::Pending }
    }

    fn poll_up(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<Up>> {
        loop {
            let room = match ready!(self.stream.poll_room(cx)) {
                Ok(room) => room,
                Err(error) => return Poll::Ready(Ok(Up::Refused(error))),
            };
            if self.socket.poll_read_ready(cx)?.is_pending() {
                self.buffer = BytesMut::new();
                self.size = FIRST;
                return Poll::Pending;
            }
            let waiting = self.waiting()?;
            if waiting >= BULK
                && let Some(socket) = &self.inlet
            {
                let length = waiting.min(room);
                self.moved.up += length as u64;
                self.stream.send(Body::Waiting(Arc::clone(socket), length));
                continue;
            }
            let size = self.size.min(room);
            self.buffer.reserve(size);
            let mut space = (&mut self.buffer).limit(size);
            match pin!(self.socket.read_buf(&mut space)).poll(cx) {
                Poll::Ready(Ok(0)) => {
                    self.buffer = BytesMut::new();
                    let refused = self.stream.finish().err();
                    return Poll::Ready(Ok(refused.map_or(Up::Ended, Up::Refused)));
                }
                Poll::Ready(Ok(length)) => {
                    if length == self.size {
                        self.size = (2 * length).min(MOST);
                    }
                    self.moved.up += length as u64;
                    self.stream.send(Body::Bytes(self.buffer.split().freeze()));
                }
                Poll::Ready(Err(error)) => return Poll::Ready(Err(error)),
                Poll::Pending => {
                    self.buffer = BytesMut::new();
                    self.size = FIRST;
                    return Poll::Pending;
                }
            }
        }
    }

    /// How much the kernel could take out of the socket itself.
    fn waiting(&mut self) -> io::Result<usize> {
        if self.inlet.is_none() && self.size == MOST && self.stream.splices_out() {
            self.inlet = Some(Arc::new(self.socket.as_fd().try_clone_to_owned()?));
        }
        let Some(socket) = &self.inlet else { return Ok(0) };
        Ok(usize::try_from(ioctl_fionread(socket)?).unwrap_or(0))
    }

    fn poll_down(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        loop {
            if self.chunk.is_empty() {
                if self.moved.down >= OUTLET && !self.outlet {
                    self.outlet = true;
                    if self.stream.splices_in() {
                        self.stream.set_outlet(self.socket.as_fd().try_clone_to_owned()?);
                    }
                }
                match ready!(self.stream.poll_chunk(cx))? {
                    Some(chunk) => self.chunk = chunk,
                    None => return Pin::new(&mut self.socket).poll_shutdown(cx),
                }
            }
            let length = ready!(Pin::new(&mut self.socket).poll_write(cx, &self.chunk))?;
            if length == 0 {
                return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
            }
            self.moved.down += length as u64;
            self.chunk.advance(length);
        }
    }
}
