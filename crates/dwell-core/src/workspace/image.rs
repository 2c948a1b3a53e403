//! The image that a workspace is made of.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// Docker takes no longer references.
const LONGEST: usize = 255;

/// An image as one names it to Docker: `debian:bookworm`, `ghcr.io/us/box@sha256:…`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct ImageRef(String);

/// Text that cannot name an image.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "`{given}` cannot name an image: it is a name such as `debian:bookworm` of letters, digits and `. _ - / : @`"
)]
pub struct ImageError {
    /// What was given.
    pub given: String,
}

impl ImageRef {
    /// The reference.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl Default for ImageRef {
    fn default() -> Self {
        Self("dwell-workspace:latest".to_owned())
    }
}

impl FromStr for ImageRef {
    type Err = ImageError;
    fn from_str(text: &str) -> Result<Self, ImageError> {
        let allowed = |c: char| c.is_ascii_alphanumeric() || "._-/:@".contains(c);
        let begins = text.starts_with(|c: char| c.is_ascii_alphanumeric());
        if begins && text.len() <= LONGEST && text.chars().all(allowed) {
            Ok(Self(text.to_owned()))
        } else {
            Err(ImageError { given: text.to_owned() })
        }
    }
}

crate::text::as_text!(ImageRef);

impl fmt::Display for ImageRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}
