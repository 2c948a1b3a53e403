//! Handing a byte stream over to another process of the same user: two file descriptors travel
//! over a unix socket, and the stream goes on in the process that received them.
//!
//! `dwell node bridge` gives its standard input and output to the daemon this way, and then only
//! waits: sshd takes the end of the bridge for the end of the connection.

use std::io::{self, IoSlice, IoSliceMut};
use std::mem::MaybeUninit;
use std::os::fd::{BorrowedFd, OwnedFd};
use std::os::unix::net::UnixStream as StdStream;
use std::pin::Pin;
use std::task::{Context, Poll};

use rustix::fs::{FileType, fstat};
use rustix::io::{FdFlags, fcntl_setfd};
use rustix::net::{
    RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SendAncillaryBuffer,
    SendAncillaryMessage, SendFlags, recvmsg, sendmsg,
};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, Interest, ReadBuf};
use tokio::net::UnixStream;
use tokio::net::unix::pipe;

/// The byte that the descriptors travel with.
const MARK: u8 = b'd';

/// Room for more descriptors than are taken, so that too many are noticed rather than lost.
const ROOM: usize = rustix::cmsg_space!(ScmRights(8));

/// Why a stream was not handed over.
#[derive(Debug, thiserror::Error)]
pub enum HandoverError {
    /// The other process belongs to somebody else.
    #[error("the process at the other end runs as user {found}, not as {expected}")]
    Stranger {
        /// Its user.
        found: u32,
        /// Our own.
        expected: u32,
    },
    /// Something else came than one byte and two descriptors.
    #[error("{count} file descriptors came where 2 are due")]
    Unexpected {
        /// How many came.
        count: usize,
    },
    /// The socket or a descriptor cannot be used.
    #[error("the stream could not be handed over: {0}")]
    Io(#[from] io::Error),
}

/// Gives `input` and `output` to the process at the other end of the socket. The caller keeps its
/// own copies and must not use them any more.
///
/// # Errors
/// When the other process is another user's, or has gone.
pub async fn give(
    socket: &UnixStream,
    input: BorrowedFd<'_>,
    output: BorrowedFd<'_>,
) -> Result<(), HandoverError> {
    same_user(socket)?;
    let both = [input, output];
    let send = || {
        let mut room = [MaybeUninit::uninit(); ROOM];
        let mut control = SendAncillaryBuffer::new(&mut room);
        control.push(SendAncillaryMessage::ScmRights(&both));
        Ok(sendmsg(socket, &[IoSlice::new(&[MARK])], &mut control, SendFlags::empty())?)
    };
    socket.async_io(Interest::WRITABLE, send).await?;
    Ok(())
}

/// Waits until the process that the stream was given to has let the socket go: it does so when
/// the stream has ended, or by ending itself.
pub async fn released(mut socket: UnixStream) {
    let mut byte = [0];
    while let Ok(1..) = socket.read(&mut byte).await {}
}

/// Takes over the stream that the process at the other end gives. The socket has to be kept until
/// the stream has ended, as that process waits for it.
///
/// # Errors
/// When the other process is another user's, has gone, or sends anything else. What it sent is
/// closed then.
pub async fn receive(socket: &UnixStream) -> Result<(Input, Output), HandoverError> {
    same_user(socket)?;
    let (byte, descriptors) = socket.async_io(Interest::READABLE, || take(socket)).await?;
    let count = descriptors.len();
    let mut descriptors = descriptors.into_iter();
    match (byte, descriptors.next(), descriptors.next(), descriptors.next()) {
        (Some(MARK), Some(input), Some(output), None) => {
            Ok((Input(Reader::new(input)?), Output(Some(Writer::new(output)?))))
        }
        (None, None, ..) => Err(io::Error::from(io::ErrorKind::UnexpectedEof).into()),
        _ => Err(HandoverError::Unexpected { count }),
    }
}

fn same_user(socket: &UnixStream) -> Result<(), HandoverError> {
    let (found, expected) = (socket.peer_cred()?.uid(), rustix::process::geteuid().as_raw());
    match found == expected {
        true => Ok(()),
        false => Err(HandoverError::Stranger { found, expected }),
    }
}

/// One byte and what came with it.
fn take(socket: &UnixStream) -> io::Result<(Option<u8>, Vec<OwnedFd>)> {
    let mut room = [MaybeUninit::uninit(); ROOM];
    let mut control = RecvAncillaryBuffer::new(&mut room);
    let mut byte = [0];
    let got = recvmsg(socket, &mut [IoSliceMut::new(&mut byte)], &mut control, closed_on_exec())?;
    let mut descriptors = Vec::new();
    for message in control.drain() {
        if let RecvAncillaryMessage::ScmRights(list) = message {
            descriptors.extend(list);
        }
    }
    let [first] = byte;
    Ok(((got.bytes == 1).then_some(first), descriptors))
}

/// The flag that keeps received descriptors out of programs started at the same moment.
fn closed_on_exec() -> RecvFlags {
    #[cfg(target_os = "linux")]
    return RecvFlags::CMSG_CLOEXEC;
    #[cfg(not(target_os = "linux"))]
    return RecvFlags::empty();
}

/// The reading half of a stream: a pipe or a socket.
#[derive(Debug)]
pub struct Input(Reader);

/// The writing half of a stream: a pipe or a socket; `None` after it was shut down.
#[derive(Debug)]
pub struct Output(Option<Writer>);

#[derive(Debug)]
enum Reader {
    Pipe(pipe::Receiver),
    Socket(UnixStream),
}

#[derive(Debug)]
enum Writer {
    Pipe(pipe::Sender),
    Socket(UnixStream),
}

// The descriptors cease to block for every process that has them. The one that gave them does
// not use them any more, and the ones at the far ends have their own.

impl Reader {
    fn new(descriptor: OwnedFd) -> io::Result<Self> {
        fcntl_setfd(&descriptor, FdFlags::CLOEXEC)?;
        Ok(match is_socket(&descriptor)? {
            true => Self::Socket(socket(descriptor)?),
            false => Self::Pipe(pipe::Receiver::from_owned_fd(descriptor)?),
        })
    }
}

impl Writer {
    fn new(descriptor: OwnedFd) -> io::Result<Self> {
        fcntl_setfd(&descriptor, FdFlags::CLOEXEC)?;
        Ok(match is_socket(&descriptor)? {
            true => Self::Socket(socket(descriptor)?),
            false => Self::Pipe(pipe::Sender::from_owned_fd(descriptor)?),
        })
    }
}

fn is_socket(descriptor: &OwnedFd) -> io::Result<bool> {
    Ok(FileType::from_raw_mode(fstat(descriptor)?.st_mode) == FileType::Socket)
}

fn socket(descriptor: OwnedFd) -> io::Result<UnixStream> {
    let stream = StdStream::from(descriptor);
    stream.set_nonblocking(true)?;
    UnixStream::from_std(stream)
}

impl Input {
    /// The pipe, for those who can do more with one; a socket comes back as it is.
    pub fn into_pipe(self) -> Result<pipe::Receiver, Self> {
        match self.0 {
            Reader::Pipe(pipe) => Ok(pipe),
            socket @ Reader::Socket(_) => Err(Self(socket)),
        }
    }
}

impl Output {
    /// The pipe, for those who can do more with one; anything else comes back as it is.
    pub fn into_pipe(self) -> Result<pipe::Sender, Self> {
        match self.0 {
            Some(Writer::Pipe(pipe)) => Ok(pipe),
            other => Err(Self(other)),
        }
    }
}

impl AsyncRead for Input {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        match &mut self.0 {
            Reader::Pipe(pipe) => Pin::new(pipe).poll_read(context, buffer),
            Reader::Socket(socket) => Pin::new(socket).poll_read(context, buffer),
        }
    }
}

impl AsyncWrite for Output {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        match &mut self.0 {
            Some(Writer::Pipe(pipe)) => Pin::new(pipe).poll_write(context, bytes),
            Some(Writer::Socket(socket)) => Pin::new(socket).poll_write(context, bytes),
            None => Poll::Ready(Err(io::ErrorKind::BrokenPipe.into())),
        }
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        parts: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        match &mut self.0 {
            Some(Writer::Pipe(pipe)) => Pin::new(pipe).poll_write_vectored(context, parts),
            Some(Writer::Socket(socket)) => Pin::new(socket).poll_write_vectored(context, parts),
            None => Poll::Ready(Err(io::ErrorKind::BrokenPipe.into())),
        }
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    /// Tells the reader that nothing more comes: by closing a pipe, or our half of a socket.
    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        if let Some(Writer::Socket(socket)) = &mut self.0 {
            // Fails where the other end has gone, which is as good.
            let _ = Pin::new(socket).poll_shutdown(context);
        }
        self.0 = None;
        Poll::Ready(Ok(()))
    }
}
