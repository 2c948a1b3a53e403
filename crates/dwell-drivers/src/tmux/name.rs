//! What may be said to tmux about a session: its name, and the keys that can be pressed in it.
//! Both come from outside, and tmux gives special meaning to much of what could be in them.

use std::ffi::OsString;
use std::fmt;

use super::TmuxError;

/// The name of a session on dwell's tmux server: at most 200 characters of `a-z0-9-`, of which
/// the first is not `-`.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct TmuxName(String);

impl TmuxName {
    /// Takes a name, or says that it is none.
    pub fn parse(text: &str) -> Result<Self, TmuxError> {
        let fits = (1..=200).contains(&text.len())
            && !text.starts_with('-')
            && text.bytes().all(|b| matches!(b, b'a'..=b'z' | b'0'..=b'9' | b'-'));
        if fits {
            Ok(Self(text.to_owned()))
        } else {
            Err(TmuxError::Name { name: text.to_owned() })
        }
    }

    /// The name as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The session and nothing whose name merely starts alike.
    pub(super) fn session(&self) -> String {
        format!("={}", self.0)
    }

    /// The active pane of the session.
    pub(super) fn pane(&self) -> String {
        format!("={}:", self.0)
    }
}

impl fmt::Display for TmuxName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

const NAMED: &[&str] = &[
    "Enter", "Escape", "Tab", "BTab", "Space", "BSpace", "DC", "IC", "Up", "Down", "Left", "Right",
    "Home", "End", "PageUp", "PageDown", "F1", "F2", "F3", "F4", "F5", "F6", "F7", "F8", "F9",
    "F10", "F11", "F12",
];

/// A key as tmux calls it: `Enter`, `Escape`, `Up`, `F5`, a single character, each with any of
/// `C-`, `M-` and `S-` before it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Key(String);

impl Key {
    /// Takes a key's name, or says that it is none.
    pub fn parse(text: &str) -> Result<Self, TmuxError> {
        let mut base = text;
        while let Some(rest) = ["C-", "M-", "S-"].iter().find_map(|m| base.strip_prefix(m)) {
            base = rest;
        }
        let mut characters = base.chars();
        let single = matches!((characters.next(), characters.next()), (Some(c), None)
            if !c.is_control());
        if single || NAMED.contains(&base) {
            Ok(Self(text.to_owned()))
        } else {
            Err(TmuxError::Key { key: text.to_owned() })
        }
    }

    /// The key as an argument; a lone `;` would end the tmux command.
    pub(super) fn argument(&self) -> OsString {
        super::words::argument(self.0.as_ref())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_that_tmux_would_read_as_something_else_are_refused() {
        for good in ["a", "shop-blue-main", "0", &"x".repeat(200)] {
            assert_eq!(TmuxName::parse(good).unwrap().as_str(), good);
        }
        for bad in ["", "-a", "a:b", "a.b", "%1", "=a", "$1", "A", "a b", "a\n", "#(x)", "é"] {
            assert!(TmuxName::parse(bad).is_err(), "{bad:?}");
        }
        assert!(TmuxName::parse(&"x".repeat(201)).is_err());
    }

    #[test]
    fn only_keys_are_keys() {
        for good in ["Enter", "C-c", "M-x", "C-M-Up", "q", "é", ";", "-", "S-F5"] {
            assert!(Key::parse(good).is_ok(), "{good:?}");
        }
        for bad in ["", "enter", "hello", "C-", "C-hello", "\u{1b}", "-X"] {
            assert!(Key::parse(bad).is_err(), "{bad:?}");
        }
        assert_eq!(Key::parse(";").unwrap().argument(), "\\;");
    }
}
