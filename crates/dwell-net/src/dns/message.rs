//! The fixed parts of a DNS message: header and question, read without allocating.

use crate::names::LowerName;

pub(crate) const HEADER: usize = 12;
pub(crate) const TYPE_A: u16 = 1;
pub(crate) const TYPE_NS: u16 = 2;
pub(crate) const TYPE_SOA: u16 = 6;
pub(crate) const TYPE_TXT: u16 = 16;
pub(crate) const TYPE_AAAA: u16 = 28;
pub(crate) const TYPE_ANY: u16 = 255;
pub(crate) const CLASS_IN: u16 = 1;

/// The 16 bits at `at`, zero when they are not there.
pub(crate) fn u16_at(bytes: &[u8], at: usize) -> u16 {
    match bytes.get(at..at + 2) {
        Some(&[high, low]) => u16::from_be_bytes([high, low]),
        _ => 0,
    }
}

/// Writes `value` at `at`, where there is room.
pub(crate) fn put_u16(bytes: &mut [u8], at: usize, value: u16) {
    if let Some(place) = bytes.get_mut(at..at + 2) {
        place.copy_from_slice(&value.to_be_bytes());
    }
}

/// The one question of a message.
pub(crate) struct Question {
    /// Its name in lower case.
    pub(crate) name: LowerName,
    /// The type asked for.
    pub(crate) kind: u16,
    /// The class asked for.
    pub(crate) class: u16,
    /// Where it ends in the message.
    pub(crate) end: usize,
}

impl Question {
    /// Reads it; none when there is not exactly one well-formed question.
    pub(crate) fn read(message: &[u8]) -> Option<Self> {
        if u16_at(message, 4) != 1 {
            return None;
        }
        let name = LowerName::read(message.get(HEADER..)?)?;
        let after = HEADER + name.as_wire().len();
        message.get(after..after + 4)?;
        let (kind, class) = (u16_at(message, after), u16_at(message, after + 2));
        Some(Self { name, kind, class, end: after + 4 })
    }
}

/// Whether `name` is `zone` or below it; both in lower-case wire form.
pub(crate) fn is_under(name: &[u8], zone: &[u8]) -> bool {
    name == zone
        || (name.ends_with(zone) && crate::names::ancestors(name).any(|above| above == zone))
}
