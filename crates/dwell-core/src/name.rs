//! Names that come from people, parsed once at the edge. Every one is safe as a DNS label, a
//! path component and a Docker name part.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// The longest DNS label (RFC 1035, section 2.3.4).
const LABEL_MAX: usize = 63;

/// Why a name was refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NameError {
    /// Nothing is left after normalising.
    #[error("{what} name `{given}` is empty")]
    Empty {
        /// Which kind of name.
        what: &'static str,
        /// The text given.
        given: String,
    },
    /// Longer than a DNS label may be.
    #[error("{what} name `{given}` is longer than 63 characters")]
    TooLong {
        /// Which kind of name.
        what: &'static str,
        /// The text given.
        given: String,
    },
    /// A character outside the allowed set.
    #[error("{what} name `{given}` contains `{character}`; letters, digits and `-` are allowed")]
    Character {
        /// Which kind of name.
        what: &'static str,
        /// The text given.
        given: String,
        /// The first offending character, escaped.
        character: String,
    },
    /// A DNS suffix that cannot work.
    #[error("suffix `{given}` cannot be used: {why}")]
    Suffix {
        /// The text given.
        given: String,
        /// The reason.
        why: &'static str,
    },
}

/// Lower-cases, turns `/`, `_`, `.` and blanks into `-` and trims `-`, as Cilo does with the
/// names that it is given (`feature/Login_Page` becomes `feature-login-page`). Text that is a
/// path (`..`, a leading `/` or `~`) is refused rather than made into a name.
fn normalise(what: &'static str, given: &str) -> Result<String, NameError> {
    let path_like = given.starts_with(['/', '~'])
        || given.split(['/', '\\']).any(|part| part == "." || part == "..");
    if path_like {
        let character = given.chars().next().unwrap_or('.').to_string();
        return Err(NameError::Character { what, given: given.to_owned(), character });
    }
    let mut text = String::with_capacity(given.len());
    for character in given.chars() {
        match character.to_ascii_lowercase() {
            '/' | '_' | '.' | ' ' => text.push('-'),
            lower @ ('a'..='z' | '0'..='9' | '-') => text.push(lower),
            other => {
                let character = other.escape_default().to_string();
                return Err(NameError::Character { what, given: given.to_owned(), character });
            }
        }
    }
    let text = text.trim_matches('-').to_owned();
    if text.is_empty() {
        return Err(NameError::Empty { what, given: given.to_owned() });
    }
    if text.len() > LABEL_MAX {
        return Err(NameError::TooLong { what, given: given.to_owned() });
    }
    Ok(text)
}

macro_rules! name {
    ($(#[$meta:meta])* $name:ident, $what:literal) => {
        $(#[$meta])*
        #[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
        #[serde(try_from = "String", into = "String")]
        pub struct $name(String);

        impl $name {
            /// The normalised text.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl FromStr for $name {
            type Err = NameError;
            fn from_str(text: &str) -> Result<Self, NameError> {
                normalise($what, text).map(Self)
            }
        }

        crate::text::as_text!($name);

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.pad(&self.0)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }
    };
}

name! {
    /// A project: what one compose project and its environments are called.
    ProjectName, "project"
}
name! {
    /// An environment, unique within its project on a node.
    EnvironmentName, "environment"
}
name! {
    /// A session, unique within its environment.
    SessionName, "session"
}

name! {
    /// A machine that runs the daemon, as this one calls it. `local` is this one itself.
    NodeName, "node"
}

name! {
    /// A snapshot, unique in its workspace.
    SnapshotName, "snapshot"
}

name! {
    /// A workspace, unique on its node.
    WorkspaceName, "workspace"
}

impl NodeName {
    /// The text that always means this machine, and that no other can be called.
    pub const LOCAL: &'static str = "local";

    /// This machine.
    pub fn local() -> Self {
        Self(Self::LOCAL.to_owned())
    }

    /// Whether this machine is meant.
    pub fn is_local(&self) -> bool {
        self.0 == Self::LOCAL
    }
}

/// A service of a compose project, exactly as the compose file spells it.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct ServiceName(String);

impl ServiceName {
    /// The name as compose has it.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The name as a DNS label: lower case, `_` and `.` become `-`.
    pub fn label(&self) -> String {
        self.0.to_ascii_lowercase().replace(['_', '.'], "-").trim_matches('-').to_owned()
    }

    /// The name as the start of an environment variable: upper case, all else becomes `_`.
    pub fn variable(&self) -> String {
        self.0
            .chars()
            .map(|c| if c.is_ascii_alphanumeric() { c.to_ascii_uppercase() } else { '_' })
            .collect()
    }
}

impl FromStr for ServiceName {
    type Err = NameError;
    fn from_str(text: &str) -> Result<Self, NameError> {
        let what = "service";
        let given = text.to_owned();
        if let Some(bad) =
            text.chars().find(|c| !(c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.')))
        {
            let character = bad.escape_default().to_string();
            return Err(NameError::Character { what, given, character });
        }
        if text.trim_matches(['-', '_', '.']).is_empty() {
            return Err(NameError::Empty { what, given });
        }
        if text.len() > LABEL_MAX {
            return Err(NameError::TooLong { what, given });
        }
        Ok(Self(given))
    }
}

crate::text::as_text!(ServiceName);

impl fmt::Display for ServiceName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

impl fmt::Debug for ServiceName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// The DNS suffix under which dwell answers, without dots at its ends; `test` by default.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Suffix(String);

impl Suffix {
    /// The suffix without a leading dot.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl Default for Suffix {
    fn default() -> Self {
        Self("test".to_owned())
    }
}

impl FromStr for Suffix {
    type Err = NameError;
    fn from_str(text: &str) -> Result<Self, NameError> {
        let refuse = |why| Err(NameError::Suffix { given: text.to_owned(), why });
        let plain = text.trim_matches('.').to_ascii_lowercase();
        let label_ok = |label: &str| {
            !label.is_empty()
                && label.len() <= LABEL_MAX
                && !label.starts_with('-')
                && !label.ends_with('-')
                && label.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-')
        };
        if !plain.split('.').all(label_ok) || plain.len() > 120 {
            return refuse("it is not a DNS name of letters, digits and `-`");
        }
        match plain.rsplit('.').next().unwrap_or_default() {
            "local" => refuse("`.local` belongs to multicast DNS (RFC 6762); use `test`"),
            "localhost" => refuse("`.localhost` is always 127.0.0.1; the proxy serves it already"),
            _ => Ok(Self(plain)),
        }
    }
}

crate::text::as_text!(Suffix);

impl fmt::Display for Suffix {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

impl fmt::Debug for Suffix {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_normalised_as_cilo_does() {
        for (given, want) in [
            ("Agent-1", "agent-1"),
            ("feature/Login_Page", "feature-login-page"),
            ("-a-", "a"),
            ("My App", "my-app"),
        ] {
            assert_eq!(given.parse::<EnvironmentName>().unwrap().as_str(), want);
        }
    }

    #[test]
    fn hostile_names_are_refused() {
        let long = "a".repeat(64);
        for given in
            ["", "---", "../../victim", "a/../b", "/etc", "~root", "a\nb", "a b;c", "ü", &long]
        {
            assert!(given.parse::<EnvironmentName>().is_err(), "{given:?}");
        }
    }

    #[test]
    fn one_node_name_means_this_machine() {
        assert_eq!("Local".parse::<NodeName>().unwrap(), NodeName::local());
        assert!(NodeName::local().is_local());
        assert!(!"staging".parse::<NodeName>().unwrap().is_local());
        assert!("a;b".parse::<NodeName>().is_err());
    }

    #[test]
    fn service_names_keep_their_spelling_and_give_a_label() {
        let service: ServiceName = "my_Web.api".parse().unwrap();
        assert_eq!(service.as_str(), "my_Web.api");
        assert_eq!(service.label(), "my-web-api");
        assert_eq!(service.variable(), "MY_WEB_API");
        assert!("a/b".parse::<ServiceName>().is_err());
    }

    #[test]
    fn suffixes_that_cannot_work_are_refused() {
        assert_eq!(".Test.".parse::<Suffix>().unwrap().as_str(), "test");
        assert_eq!("dev.example".parse::<Suffix>().unwrap().as_str(), "dev.example");
        for given in ["local", "foo.local", "localhost", "", "a..b", "-a", "a b"] {
            assert!(given.parse::<Suffix>().is_err(), "{given}");
        }
    }
}
