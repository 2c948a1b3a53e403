//! Ports as people write them: one, or several in a row.

use super::ForwardError;

/// One port, or several in a row.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PortRange {
    first: u16,
    last: u16,
}

impl PortRange {
    /// Ports of this machine; `0` is any that is free.
    pub(super) fn local(text: &str) -> Result<Self, ForwardError> {
        if text == "0" {
            return Ok(Self { first: 0, last: 0 });
        }
        Self::far(text)
    }

    /// Ports that something listens at.
    pub(super) fn far(text: &str) -> Result<Self, ForwardError> {
        let refused = || ForwardError::Port(text.to_owned());
        let port = |text: &str| {
            let digits = text.bytes().all(|byte| byte.is_ascii_digit());
            text.parse::<u16>().ok().filter(|port| digits && *port > 0)
        };
        let (first, last) = text.split_once('-').unwrap_or((text, text));
        let (first, last) = (port(first).ok_or_else(refused)?, port(last).ok_or_else(refused)?);
        if first > last { Err(refused()) } else { Ok(Self { first, last }) }
    }

    /// Whether any free port will do.
    pub fn is_any(self) -> bool {
        self.first == 0
    }

    /// The lowest one.
    pub fn first(self) -> u16 {
        self.first
    }

    /// How many there are.
    pub fn len(self) -> usize {
        usize::from(self.last - self.first) + 1
    }

    /// Never: there is at least one.
    pub fn is_empty(self) -> bool {
        false
    }

    /// Each of them.
    pub fn iter(self) -> impl Iterator<Item = u16> {
        self.first..=self.last
    }
}
