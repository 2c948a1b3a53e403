//! Pipes as the carrier of a link. On Linux, bulk data goes between them and sockets inside the
//! kernel, without being copied to and from this process.

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

pub use tokio::net::unix::pipe::{Receiver as PipeReader, Sender as PipeWriter};

/// From this size on, in bytes, passing data on inside the kernel is cheaper than copying it.
pub(crate) const BULK: usize = 16 * 1024;

/// Makes the ends of a link's two pipes ready for use: the one that is read, the one that is
/// written. Fails where either is something else, such as a socket.
pub fn pipes(read: OwnedFd, write: OwnedFd) -> io::Result<(PipeReader, PipeWriter)> {
    Ok((PipeReader::from_owned_fd(read)?, PipeWriter::from_owned_fd(write)?))
}

/// Lets a pipe hold more, so that the processes at its ends take turns less often. Where this is
/// not allowed it stays as it is, which is only slower.
#[cfg(target_os = "linux")]
pub(crate) fn widen(pipe: &impl AsFd) {
    const SIZE: usize = 1024 * 1024;
    let _ = rustix::pipe::fcntl_setpipe_size(pipe, SIZE);
}

#[cfg(not(target_os = "linux"))]
pub(crate) fn widen(_: &impl AsFd) {}

/// Whether [`splice`] exists here.
pub(crate) const SPLICES: bool = cfg!(target_os = "linux");

/// Moves at most `length` bytes between a pipe and a socket, in either direction, without waiting.
#[cfg(target_os = "linux")]
pub(crate) fn splice(from: BorrowedFd<'_>, to: BorrowedFd<'_>, length: usize) -> io::Result<usize> {
    use rustix::pipe::SpliceFlags;
    let flags = SpliceFlags::MOVE | SpliceFlags::NONBLOCK;
    let moved =
        rustix::io::retry_on_intr(|| rustix::pipe::splice(from, None, to, None, length, flags));
    Ok(moved?)
}

#[cfg(not(target_os = "linux"))]
pub(crate) fn splice(_: BorrowedFd<'_>, _: BorrowedFd<'_>, _: usize) -> io::Result<usize> {
    Err(io::ErrorKind::Unsupported.into())
}
