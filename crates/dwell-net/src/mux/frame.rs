//! The frames of a link: a header of eight bytes, then a body whose length depends on the kind.
//!
//! ```text
//! kind: u8 | length of the body: u24 | stream: u32 | body        (all big endian)
//! ```

use bytes::{Buf, BufMut, Bytes, BytesMut};

use super::error::ProtocolError;

/// The size of a header, in bytes.
pub(crate) const HEADER: usize = 8;
/// The most that one frame of data carries, in bytes: other streams wait no longer than for this.
pub(crate) const DATA: usize = 64 * 1024;
/// The longest opening message, in bytes.
pub const HEAD: usize = 4 * 1024;
/// The longest reason of a refusal, in bytes.
pub const REASON: usize = 1024;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Open = 1,
    Accepted,
    Refused,
    Data,
    Credit,
    Fin,
    Reset,
    Ping,
    Pong,
}

impl Kind {
    const ALL: [Self; 9] = [
        Self::Open,
        Self::Accepted,
        Self::Refused,
        Self::Data,
        Self::Credit,
        Self::Fin,
        Self::Reset,
        Self::Ping,
        Self::Pong,
    ];

    fn of(byte: u8) -> Result<Self, ProtocolError> {
        let known = Self::ALL.into_iter().find(|kind| *kind as u8 == byte);
        known.ok_or(ProtocolError::UnknownKind { kind: byte })
    }

    /// The shortest and the longest body.
    fn body(self) -> (usize, usize) {
        match self {
            Self::Open => (0, HEAD),
            Self::Refused => (0, REASON),
            Self::Data => (1, DATA),
            Self::Credit => (4, 4),
            Self::Ping | Self::Pong => (8, 8),
            Self::Accepted | Self::Fin | Self::Reset => (0, 0),
        }
    }

    /// Whether it is about the link as a whole, and names stream 0.
    fn is_for_link(self) -> bool {
        matches!(self, Self::Ping | Self::Pong)
    }
}

/// Every frame but data.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Control {
    /// A new stream; what it is for is in the head.
    Open { stream: u32, head: Bytes },
    /// The other side took the stream.
    Accepted { stream: u32 },
    /// The other side did not take the stream, which is over.
    Refused { stream: u32, reason: Bytes },
    /// So many bytes more may be sent.
    Credit { stream: u32, bytes: u32 },
    /// No data follows in this direction.
    Fin { stream: u32 },
    /// The stream is over in both directions.
    Reset { stream: u32 },
    /// To be answered by a pong with the same number.
    Ping { number: u64 },
    /// The answer.
    Pong { number: u64 },
}

/// What the next bytes of a link are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Event {
    /// A whole frame, taken out of the buffer.
    Control(Control),
    /// The first `length` bytes of the buffer are data of the stream; the caller takes them out.
    Data { stream: u32, length: usize },
}

/// A header and, where it is short and fixed, the body: kept in place, without an allocation.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Head {
    bytes: [u8; 2 * HEADER],
    length: usize,
}

impl Head {
    fn new(kind: Kind, stream: u32, length: usize, body: &[u8]) -> Self {
        let mut bytes = [0; 2 * HEADER];
        let mut to = bytes.as_mut_slice();
        to.put_u8(kind as u8);
        to.put_uint(length as u64, 3);
        to.put_u32(stream);
        to.put_slice(body);
        Self { bytes, length: HEADER + body.len() }
    }

    /// No header.
    pub(crate) fn none() -> Self {
        Self { bytes: [0; 2 * HEADER], length: 0 }
    }

    /// The header of a frame of data whose body has this length.
    pub(crate) fn data(stream: u32, length: usize) -> Self {
        Self::new(Kind::Data, stream, length, &[])
    }

    pub(crate) fn as_slice(&self) -> &[u8] {
        self.bytes.get(..self.length).unwrap_or_default()
    }
}

impl Control {
    /// The bytes of the frame, in two parts.
    pub(crate) fn encode(self) -> (Head, Bytes) {
        let none = Bytes::new();
        match self {
            Self::Open { stream, head } => (Head::new(Kind::Open, stream, head.len(), &[]), head),
            Self::Accepted { stream } => (Head::new(Kind::Accepted, stream, 0, &[]), none),
            Self::Refused { stream, reason } => {
                (Head::new(Kind::Refused, stream, reason.len(), &[]), reason)
            }
            Self::Credit { stream, bytes } => {
                (Head::new(Kind::Credit, stream, 4, &bytes.to_be_bytes()), none)
            }
            Self::Fin { stream } => (Head::new(Kind::Fin, stream, 0, &[]), none),
            Self::Reset { stream } => (Head::new(Kind::Reset, stream, 0, &[]), none),
            Self::Ping { number } => (Head::new(Kind::Ping, 0, 8, &number.to_be_bytes()), none),
            Self::Pong { number } => (Head::new(Kind::Pong, 0, 8, &number.to_be_bytes()), none),
        }
    }
}

/// Finds the frames in the bytes of a link, however these are cut.
#[derive(Debug, Default)]
pub(crate) struct Decoder {
    /// The stream whose data is being read, and how much of it is missing.
    data: Option<(u32, usize)>,
}

impl Decoder {
    /// What the buffer begins with; `None` when it has to grow first. A buffer that has no place
    /// for a control frame with the longest body would wait for ever.
    pub(crate) fn next(&mut self, buffer: &mut BytesMut) -> Result<Option<Event>, ProtocolError> {
        if self.data.is_none() {
            let Some(header) = buffer.first_chunk::<HEADER>() else { return Ok(None) };
            let (kind, stream, length) = read_header(*header)?;
            if kind != Kind::Data {
                if buffer.len() < HEADER + length {
                    return Ok(None);
                }
                buffer.advance(HEADER);
                // A copy, as a slice would keep the whole buffer.
                let body = Bytes::copy_from_slice(&buffer.split_to(length));
                return Ok(Some(Event::Control(control(kind, stream, body))));
            }
            buffer.advance(HEADER);
            self.data = Some((stream, length));
        }
        let Some((stream, missing)) = self.data else { return Ok(None) };
        let length = missing.min(buffer.len());
        if length == 0 {
            return Ok(None);
        }
        self.passed(length);
        Ok(Some(Event::Data { stream, length }))
    }

    /// The stream whose data comes next, and how much of its frame is missing.
    pub(crate) fn data(&self) -> Option<(u32, usize)> {
        self.data
    }

    /// How much of what comes next is missing: a header, or the rest of a frame.
    pub(crate) fn wants(&self, buffer: &BytesMut) -> usize {
        let whole = match (self.data, buffer.first_chunk::<HEADER>()) {
            (Some((_, missing)), _) => return missing,
            (None, None) => HEADER,
            (None, Some([_, a, b, c, ..])) => HEADER + u32::from_be_bytes([0, *a, *b, *c]) as usize,
        };
        whole.saturating_sub(buffer.len()).max(1)
    }

    /// Data did not come through the buffer.
    pub(crate) fn passed(&mut self, length: usize) {
        let rest = self.data.map(|(stream, missing)| (stream, missing.saturating_sub(length)));
        self.data = rest.filter(|(_, missing)| *missing > 0);
    }
}

fn read_header(header: [u8; HEADER]) -> Result<(Kind, u32, usize), ProtocolError> {
    let [kind, a, b, c, stream @ ..] = header;
    let kind = Kind::of(kind)?;
    let stream = u32::from_be_bytes(stream);
    let length = u32::from_be_bytes([0, a, b, c]) as usize;
    let (least, most) = kind.body();
    if length < least || length > most {
        return Err(ProtocolError::Length { kind: kind as u8, length });
    }
    if (stream == 0) != kind.is_for_link() {
        return Err(ProtocolError::Number { stream });
    }
    Ok((kind, stream, length))
}

fn control(kind: Kind, stream: u32, mut body: Bytes) -> Control {
    match kind {
        Kind::Open => Control::Open { stream, head: body },
        Kind::Accepted => Control::Accepted { stream },
        Kind::Refused => Control::Refused { stream, reason: body },
        Kind::Credit => Control::Credit { stream, bytes: body.try_get_u32().unwrap_or(0) },
        Kind::Fin => Control::Fin { stream },
        Kind::Data | Kind::Reset => Control::Reset { stream },
        Kind::Ping => Control::Ping { number: body.try_get_u64().unwrap_or(0) },
        Kind::Pong => Control::Pong { number: body.try_get_u64().unwrap_or(0) },
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn bytes(most: usize) -> impl Strategy<Value = Bytes> {
        proptest::collection::vec(any::<u8>(), 0..=most).prop_map(Bytes::from)
    }

    fn any_control() -> impl Strategy<Value = Control> {
        let stream = 1..=u32::MAX;
        prop_oneof![
            (stream.clone(), bytes(HEAD)).prop_map(|(stream, head)| Control::Open { stream, head }),
            stream.clone().prop_map(|stream| Control::Accepted { stream }),
            (stream.clone(), bytes(REASON))
                .prop_map(|(stream, reason)| Control::Refused { stream, reason }),
            (stream.clone(), any::<u32>())
                .prop_map(|(stream, bytes)| Control::Credit { stream, bytes }),
            stream.clone().prop_map(|stream| Control::Fin { stream }),
            stream.prop_map(|stream| Control::Reset { stream }),
            any::<u64>().prop_map(|number| Control::Ping { number }),
            any::<u64>().prop_map(|number| Control::Pong { number }),
        ]
    }

    #[derive(Debug, Clone, PartialEq)]
    enum Sent {
        Control(Control),
        Data(u32, Bytes),
    }

    fn any_frame() -> impl Strategy<Value = Sent> {
        let data = proptest::collection::vec(any::<u8>(), 1..=2000).prop_map(Bytes::from);
        prop_oneof![
            any_control().prop_map(Sent::Control),
            (1..4_u32, data).prop_map(|(stream, bytes)| Sent::Data(stream, bytes)),
        ]
    }

    fn encode(frames: &[Sent]) -> Vec<u8> {
        let mut all = Vec::new();
        for frame in frames {
            let (head, body) = match frame.clone() {
                Sent::Control(control) => control.encode(),
                Sent::Data(stream, body) => (Head::data(stream, body.len()), body),
            };
            all.extend_from_slice(head.as_slice());
            all.extend_from_slice(&body);
        }
        all
    }

    /// The frames in `pieces`; neighbouring data of one stream is joined.
    fn decode<'a>(pieces: impl Iterator<Item = &'a [u8]>) -> Result<Vec<Sent>, ProtocolError> {
        let (mut decoder, mut buffer, mut seen) = (Decoder::default(), BytesMut::new(), Vec::new());
        for piece in pieces {
            buffer.extend_from_slice(piece);
            while let Some(event) = decoder.next(&mut buffer)? {
                match event {
                    Event::Control(control) => seen.push(Sent::Control(control)),
                    Event::Data { stream, length } => {
                        seen.push(Sent::Data(stream, buffer.split_to(length).freeze()));
                    }
                }
            }
        }
        Ok(joined(seen))
    }

    fn joined(frames: Vec<Sent>) -> Vec<Sent> {
        let mut all: Vec<Sent> = Vec::new();
        for frame in frames {
            if let (Sent::Data(stream, bytes), Some(Sent::Data(last, before))) =
                (&frame, all.last_mut())
                && stream == last
            {
                *before = [before.as_ref(), bytes.as_ref()].concat().into();
                continue;
            }
            all.push(frame);
        }
        all
    }

    proptest! {
        #[test]
        fn what_was_written_is_read_however_it_is_cut(
            frames in proptest::collection::vec(any_frame(), 0..12),
            cut in 1..700_usize,
        ) {
            let all = encode(&frames);
            prop_assert_eq!(decode(all.chunks(cut)).unwrap(), joined(frames));
        }

        #[test]
        fn garbage_is_an_error_or_waits_for_more(
            garbage in proptest::collection::vec(any::<u8>(), 0..4000),
            cut in 1..100_usize,
        ) {
            let _ = decode(garbage.chunks(cut));
        }

        #[test]
        fn frames_with_one_changed_byte_do_no_harm(
            frames in proptest::collection::vec(any_frame(), 1..6),
            at in any::<prop::sample::Index>(),
            bits in 1..=255_u8,
        ) {
            let mut all = encode(&frames);
            let at = at.index(all.len());
            all[at] ^= bits;
            let _ = decode(all.chunks(64));
        }
    }

    #[test]
    fn data_may_pass_beside_the_buffer() {
        let (mut decoder, mut buffer) = (Decoder::default(), BytesMut::new());
        assert_eq!(decoder.wants(&buffer), HEADER);
        buffer.extend_from_slice(Head::data(3, 100).as_slice());
        buffer.extend_from_slice(b"begin");
        assert_eq!(decoder.next(&mut buffer), Ok(Some(Event::Data { stream: 3, length: 5 })));
        buffer.clear();
        assert_eq!((decoder.data(), decoder.wants(&buffer)), (Some((3, 95)), 95));
        decoder.passed(95);
        assert_eq!((decoder.data(), decoder.wants(&buffer)), (None, HEADER));
        let (head, _) = Control::Ping { number: 1 }.encode();
        buffer.extend_from_slice(&head.as_slice()[..10]);
        assert_eq!(decoder.wants(&buffer), 6);
    }

    #[test]
    fn every_header_outside_the_limits_is_refused() {
        let header = |kind: u8, length: u32, stream: u32| {
            let mut all = vec![kind];
            all.extend_from_slice(&length.to_be_bytes()[1..]);
            all.extend_from_slice(&stream.to_be_bytes());
            decode([all.as_slice()].into_iter())
        };
        for kind in [0, 10, 77, 255] {
            assert_eq!(header(kind, 0, 1), Err(ProtocolError::UnknownKind { kind }));
        }
        for (kind, length) in [(1, 4097), (2, 1), (3, 1025), (4, 0), (4, 65537), (5, 3), (5, 5)] {
            let error = ProtocolError::Length { kind, length: length as usize };
            assert_eq!(header(kind, length, 1), Err(error));
        }
        assert_eq!(header(6, 0, 0), Err(ProtocolError::Number { stream: 0 }));
        assert_eq!(header(8, 8, 1), Err(ProtocolError::Number { stream: 1 }));
        // The longest that is allowed waits for its body.
        assert_eq!(header(1, 4096, 1), Ok(vec![]));
        assert_eq!(header(4, 65536, 1), Ok(vec![]));
    }
}
