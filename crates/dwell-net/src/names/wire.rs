//! Names in the form that DNS messages use: each label after its length, ended by a zero.

use std::str::FromStr;

const NAME_MAX: usize = 255;

/// The lower-case wire form of a name of letters, digits, `-` and `_`; none for other text.
pub(crate) fn encode(text: &str) -> Option<Box<[u8]>> {
    let text = text.strip_suffix('.').unwrap_or(text);
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.');
    if text.is_empty() || !text.bytes().all(plain) {
        return None;
    }
    let name = domain::base::Name::<Vec<u8>>::from_str(text).ok()?;
    Some(name.as_slice().to_ascii_lowercase().into())
}

/// The wire forms of all names above `wire`, nearest first, without the root.
pub(crate) fn ancestors(wire: &[u8]) -> impl Iterator<Item = &[u8]> {
    std::iter::successors(parent(wire), |name| parent(name))
}

fn parent(name: &[u8]) -> Option<&[u8]> {
    let (length, _) = name.split_first()?;
    name.get(usize::from(*length) + 1..).filter(|rest| rest.len() > 1)
}

/// A lower-case name in wire form on the stack.
pub(crate) struct LowerName {
    bytes: [u8; NAME_MAX],
    length: usize,
}

impl LowerName {
    /// Reads an uncompressed name from the start of `bytes`; none when there is not a valid one.
    pub(crate) fn read(bytes: &[u8]) -> Option<Self> {
        let mut at = 0;
        loop {
            let length = usize::from(*bytes.get(at)?);
            at += 1;
            if length == 0 {
                break;
            }
            if length > 63 {
                return None;
            }
            at += length;
        }
        let mut name = Self { bytes: [0; NAME_MAX], length: at };
        let target = name.bytes.get_mut(..at)?;
        target.copy_from_slice(bytes.get(..at)?);
        // Lengths are at most 63, so lower-casing leaves them alone.
        target.make_ascii_lowercase();
        Some(name)
    }

    /// The name in wire form.
    pub(crate) fn as_wire(&self) -> &[u8] {
        self.bytes.get(..self.length).unwrap_or_default()
    }
}
