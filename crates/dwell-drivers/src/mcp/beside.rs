//! A person's settings and what dwell wrote of servers into the same files: neither stands in the
//! other's way.

use std::borrow::Cow;
use std::io;

use dwell_core::agent::mcp::Record;
use dwell_core::settings::HomePath;

use super::{read_record, write_record};
use crate::settings::home::{Found, Home};

/// What dwell wrote.
pub(crate) struct Beside {
    record: Record,
    changed: bool,
}

impl Beside {
    /// What is known of it in a home.
    pub(crate) fn read(home: &Home) -> io::Result<Self> {
        Ok(Self { record: read_record(home)?, changed: false })
    }

    /// Keeps what has changed.
    pub(crate) fn save(&self, home: &Home) -> io::Result<()> {
        if self.changed { write_record(home, &self.record) } else { Ok(()) }
    }

    /// A file as it is without it.
    pub(crate) fn without(&self, path: &HomePath, found: Found) -> Found {
        let Found::File { content, executable } = found else { return found };
        match std::str::from_utf8(&content) {
            Ok(text) => match self.record.without(path.as_str(), text) {
                Some(rest) => Found::File { content: rest.into_bytes(), executable },
                None => Found::Nothing,
            },
            Err(_) => Found::File { content, executable },
        }
    }

    /// A person's file with it.
    pub(crate) fn with<'c>(&mut self, path: &HomePath, content: &'c [u8]) -> Cow<'c, [u8]> {
        let text = std::str::from_utf8(content).ok();
        let text = text.filter(|_| self.record.files.contains_key(path.as_str()));
        let Some(text) = text else { return Cow::Borrowed(content) };
        self.changed = true;
        let with = self.record.with(path.as_str(), Some(text));
        with.map_or(Cow::Borrowed(content), |with| Cow::Owned(with.into_bytes()))
    }

    /// What is left where a person has the file no more.
    pub(crate) fn alone(&mut self, path: &HomePath) -> Option<Vec<u8>> {
        if !self.record.files.contains_key(path.as_str()) {
            return None;
        }
        self.changed = true;
        self.record.with(path.as_str(), None).map(String::into_bytes)
    }
}
