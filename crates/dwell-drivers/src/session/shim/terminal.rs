//! The terminal that tmux gave the shim.

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::termios::{self, OptionalActions, OutputModes, Termios, Winsize};

/// The terminal on standard input: raw, not blocking, and put back when dropped.
#[derive(Debug)]
pub(super) struct Terminal {
    fd: OwnedFd,
    before: Termios,
}

impl Terminal {
    /// Takes the terminal. With `pass` every byte goes through as it is, since the command's own
    /// terminal does all processing; otherwise line ends are still shown as such.
    pub(super) fn take(pass: bool) -> io::Result<Self> {
        let fd = rustix::io::fcntl_dupfd_cloexec(rustix::stdio::stdin(), 3)?;
        let before = termios::tcgetattr(&fd)?;
        let mut raw = before.clone();
        raw.make_raw();
        if !pass {
            raw.output_modes |= OutputModes::OPOST | OutputModes::ONLCR;
        }
        termios::tcsetattr(&fd, OptionalActions::Now, &raw)?;
        set_nonblocking(&fd)?;
        Ok(Self { fd, before })
    }

    /// The modes that the terminal had, which the command's terminal gets.
    pub(super) fn modes(&self) -> &Termios {
        &self.before
    }

    /// Its size.
    pub(super) fn size(&self) -> io::Result<Winsize> {
        Ok(termios::tcgetwinsize(&self.fd)?)
    }
}

impl AsFd for Terminal {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        let _ = termios::tcsetattr(&self.fd, OptionalActions::Now, &self.before);
    }
}

/// Makes reads and writes return at once.
pub(super) fn set_nonblocking(fd: impl AsFd) -> io::Result<()> {
    let flags = rustix::fs::fcntl_getfl(&fd)?;
    rustix::fs::fcntl_setfl(&fd, flags | rustix::fs::OFlags::NONBLOCK)?;
    Ok(())
}
