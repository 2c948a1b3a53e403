//! What came for one stream and was not read yet.

use std::collections::VecDeque;

use bytes::{Buf, Bytes, BytesMut};
use tokio::io::ReadBuf;

/// Shorter data is copied together: a slice keeps the whole buffer that it was read into, which
/// would multiply what a stream can hold.
const COPIED: usize = 8 * 1024;

/// A queue of bytes that owns nothing while it is empty.
#[derive(Debug, Default)]
pub(crate) struct Inbox {
    chunks: VecDeque<Bytes>,
    /// What came last, if it was short.
    tail: BytesMut,
}

impl Inbox {
    /// Takes the first `length` bytes out of `buffer`, which has that many.
    pub(crate) fn push(&mut self, buffer: &mut BytesMut, length: usize) {
        if length < COPIED {
            self.tail.extend_from_slice(buffer.get(..length).unwrap_or_default());
            buffer.advance(length);
            return;
        }
        if !self.tail.is_empty() {
            self.chunks.push_back(std::mem::take(&mut self.tail).freeze());
        }
        self.chunks.push_back(buffer.split_to(length).freeze());
    }

    /// The next bytes in one piece.
    pub(crate) fn pop(&mut self) -> Option<Bytes> {
        if let Some(chunk) = self.chunks.pop_front() {
            return Some(chunk);
        }
        (!self.tail.is_empty()).then(|| std::mem::take(&mut self.tail).freeze())
    }

    /// Copies as much as there is and fits; says how much.
    pub(crate) fn read(&mut self, to: &mut ReadBuf<'_>) -> usize {
        let before = to.remaining();
        while to.remaining() > 0 {
            let Some(mut chunk) = self.pop() else { break };
            let length = chunk.len().min(to.remaining());
            to.put_slice(&chunk.split_to(length));
            if !chunk.is_empty() {
                self.chunks.push_front(chunk);
            }
        }
        before - to.remaining()
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.chunks.is_empty() && self.tail.is_empty()
    }

    pub(crate) fn clear(&mut self) {
        *self = Self::default();
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn bytes_come_out_as_they_went_in(
            pieces in proptest::collection::vec(1..20_000_usize, 0..12),
            reads in proptest::collection::vec((any::<bool>(), 1..30_000_usize), 0..30),
        ) {
            let (mut inbox, mut sent, mut got) = (Inbox::default(), Vec::new(), Vec::new());
            let mut reads = reads.into_iter();
            for (number, length) in pieces.into_iter().enumerate() {
                let mut buffer = BytesMut::zeroed(length + 1);
                buffer.fill(number as u8);
                sent.extend_from_slice(&buffer[..length]);
                inbox.push(&mut buffer, length);
                prop_assert_eq!(buffer.len(), 1);
                match reads.next() {
                    Some((true, length)) => {
                        let mut space = vec![0; length];
                        let mut to = ReadBuf::new(&mut space);
                        prop_assert_eq!(inbox.read(&mut to), to.filled().len());
                        got.extend_from_slice(to.filled());
                    }
                    Some((false, _)) => got.extend_from_slice(&inbox.pop().unwrap_or_default()),
                    None => {}
                }
            }
            while let Some(chunk) = inbox.pop() {
                got.extend_from_slice(&chunk);
            }
            prop_assert!(sent == got);
        }
    }
}
