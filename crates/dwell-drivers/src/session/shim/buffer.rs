//! Bytes on their way from one file descriptor to another, neither of which blocks.

use std::io;
use std::os::fd::AsFd;

use rustix::io::Errno;

/// The most that is under way in one direction, in bytes.
const SIZE: usize = 64 << 10;

/// A buffer that is filled when it is empty, and emptied before it is filled again.
#[derive(Debug)]
pub(super) struct Buffer {
    bytes: Vec<u8>,
    start: usize,
    end: usize,
}

impl Buffer {
    pub(super) fn new() -> Self {
        Self { bytes: vec![0; SIZE], start: 0, end: 0 }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.start == self.end
    }

    pub(super) fn content(&self) -> &[u8] {
        self.bytes.get(self.start..self.end).unwrap_or_default()
    }

    pub(super) fn clear(&mut self) {
        (self.start, self.end) = (0, 0);
    }

    /// Reads what can be read now: `None` when there is nothing yet, 0 at the end of the stream,
    /// which for a terminal is that its other side is closed.
    pub(super) fn fill(&mut self, from: impl AsFd) -> io::Result<Option<usize>> {
        self.clear();
        while let Some(room) = self.bytes.get_mut(self.end..).filter(|room| !room.is_empty()) {
            match rustix::io::read(&from, room) {
                Ok(0) | Err(Errno::IO) => return Ok(Some(self.end)),
                Ok(count) => self.end += count,
                Err(Errno::INTR) => {}
                Err(Errno::AGAIN) => return Ok((self.end > 0).then_some(self.end)),
                Err(error) => return Err(error.into()),
            }
        }
        Ok(Some(self.end))
    }

    /// Writes what can be written now.
    pub(super) fn empty(&mut self, to: impl AsFd) -> io::Result<()> {
        while !self.is_empty() {
            match rustix::io::write(&to, self.content()) {
                Ok(count) => self.start += count,
                Err(Errno::INTR) => {}
                Err(Errno::AGAIN) => return Ok(()),
                Err(error) => return Err(error.into()),
            }
        }
        Ok(())
    }
}
