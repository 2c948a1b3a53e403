//! Signals as bytes of a pipe, so that one wait covers them and the streams.

use std::io::{self, PipeReader, Read, Write};
use std::os::fd::{AsFd, BorrowedFd};

use tokio::signal::unix::{SignalKind, signal};

/// A signal that matters to the shim.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Notice {
    /// A child ended.
    Child,
    /// The terminal has another size.
    Resized,
    /// The terminal is gone.
    Hangup,
    /// The session shall end.
    Terminate,
    /// The session shall be interrupted.
    Interrupt,
}

const NOTICES: [(u8, Notice); 5] = [
    (b'c', Notice::Child),
    (b'r', Notice::Resized),
    (b'h', Notice::Hangup),
    (b't', Notice::Terminate),
    (b'i', Notice::Interrupt),
];

/// The signals as they come.
#[derive(Debug)]
pub(super) struct Signals(PipeReader);

impl Signals {
    /// Starts to listen, in a thread of its own; signals from now on are not missed.
    pub(super) fn listen() -> io::Result<Self> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let entered = runtime.enter();
        let mut child = signal(SignalKind::child())?;
        let mut resized = signal(SignalKind::window_change())?;
        let mut hangup = signal(SignalKind::hangup())?;
        let mut terminate = signal(SignalKind::terminate())?;
        let mut interrupt = signal(SignalKind::interrupt())?;
        drop(entered);
        let (reader, mut writer) = io::pipe()?;
        super::terminal::set_nonblocking(&reader)?;
        let forward = async move {
            loop {
                let byte = tokio::select! {
                    _ = child.recv() => b'c',
                    _ = resized.recv() => b'r',
                    _ = hangup.recv() => b'h',
                    _ = terminate.recv() => b't',
                    _ = interrupt.recv() => b'i',
                };
                if writer.write_all(&[byte]).is_err() {
                    return;
                }
            }
        };
        std::thread::Builder::new()
            .name("signals".to_owned())
            .spawn(move || runtime.block_on(forward))?;
        Ok(Self(reader))
    }

    /// The signals that came since the last call.
    pub(super) fn take(&mut self) -> Vec<Notice> {
        let mut bytes = [0; 64];
        let count = self.0.read(&mut bytes).unwrap_or_default();
        let came = bytes.get(..count).unwrap_or_default();
        NOTICES.iter().filter(|(byte, _)| came.contains(byte)).map(|(_, notice)| *notice).collect()
    }
}

impl AsFd for Signals {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}
