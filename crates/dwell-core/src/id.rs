//! Opaque identities. They appear in labels and names of everything made outside the store;
//! people use names instead.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

const ALPHABET: &[u8; 32] = b"abcdefghijklmnopqrstuvwxyz234567";
const LENGTH: usize = 10;

/// Text that is not an identity: ten characters of `a-z2-7` are.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{text}` is not an identity: ten characters of a-z and 2-7 are")]
pub struct IdError {
    /// What was given.
    pub text: String,
}

fn encode(random: [u8; 8]) -> String {
    let mut bits = u64::from_le_bytes(random);
    let mut text = String::with_capacity(LENGTH);
    for _ in 0..LENGTH {
        let index = usize::try_from(bits & 31).unwrap_or_default();
        text.push(ALPHABET.get(index).copied().map_or('a', char::from));
        bits >>= 5;
    }
    text
}

fn is_identity(text: &str) -> bool {
    text.len() == LENGTH && text.bytes().all(|byte| ALPHABET.contains(&byte))
}

macro_rules! identity {
    ($(#[$meta:meta])* $name:ident) => {
        $(#[$meta])*
        #[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
        #[serde(try_from = "String", into = "String")]
        pub struct $name(String);

        impl $name {
            /// Makes an identity of 50 bits out of random bytes that the caller supplies.
            pub fn from_random(random: [u8; 8]) -> Self {
                Self(encode(random))
            }

            /// The identity as text, safe in file names, Docker names and labels.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl FromStr for $name {
            type Err = IdError;
            fn from_str(text: &str) -> Result<Self, IdError> {
                if is_identity(text) {
                    Ok(Self(text.to_owned()))
                } else {
                    Err(IdError { text: text.to_owned() })
                }
            }
        }

        crate::text::as_text!($name);

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }
    };
}

identity! {
    /// One environment, for its whole life; a new one with the same name has another.
    EnvironmentId
}
identity! {
    /// One node: one daemon's state directory.
    NodeId
}
identity! {
    /// One journaled operation.
    OperationId
}
identity! {
    /// One shared instance of a service.
    SharedId
}
identity! {
    /// One workspace, for its whole life and while its home is kept after it.
    WorkspaceId
}

/// How often an environment's containers were made anew under fresh Docker names.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Generation(pub u32);

impl Generation {
    /// The first generation.
    pub const FIRST: Self = Self(1);

    /// The one after this.
    #[must_use]
    pub fn next(self) -> Self {
        Self(self.0.saturating_add(1))
    }
}

impl fmt::Display for Generation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_identity_round_trips_through_text() {
        let id = EnvironmentId::from_random([7, 1, 200, 3, 90, 5, 6, 255]);
        assert_eq!(id.as_str().parse::<EnvironmentId>().unwrap(), id);
        assert_eq!(id.as_str().len(), LENGTH);
    }

    #[test]
    fn other_text_is_refused() {
        for text in ["", "short", "ABCDEFGHIJ", "abcdefghi1", "abcdefghijk", "../../abcd"] {
            assert!(text.parse::<EnvironmentId>().is_err(), "{text}");
        }
    }
}
