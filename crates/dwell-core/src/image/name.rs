//! What people name when they ask for an image: other images, and agents to have in it.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::agent::Agent;

/// The longest name that is taken; a digest alone has 71 characters.
const LONGEST: usize = 255;

/// Why a word was refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Refused {
    /// No image can have this name.
    #[error("`{0}` is no name of an image: it is like `debian:bookworm` or `host/path:tag`")]
    Image(String),
    /// There is no such variant.
    #[error("there is no image variant `{0}`: base, docker, desktop")]
    Variant(String),
    /// There is no such agent.
    #[error("no agent is called `{}`: {}", .0, names())]
    Agent(String),
}

fn names() -> String {
    let names: Vec<&str> = Agent::all().iter().map(|agent| agent.name).collect();
    names.join(", ")
}

/// The name of an image, with or without a registry, a tag and a digest: `debian:bookworm`.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct ImageName(String);

impl ImageName {
    /// The name.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for ImageName {
    type Err = Refused;
    fn from_str(text: &str) -> Result<Self, Refused> {
        let allowed = |c: char| c.is_ascii_alphanumeric() || "._-/:@".contains(c);
        let begins = text.starts_with(|c: char| c.is_ascii_alphanumeric());
        let ends = text.ends_with(|c: char| c.is_ascii_alphanumeric() || "._-".contains(c));
        let parts = !text.contains("//") && !text.contains("..");
        if begins && ends && parts && text.len() <= LONGEST && text.chars().all(allowed) {
            Ok(Self(text.to_owned()))
        } else {
            Err(Refused::Image(text.to_owned()))
        }
    }
}

crate::text::as_text!(ImageName);

impl fmt::Display for ImageName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for ImageName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// An agent that an image can have in it, by its name.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct BuiltIn(String);

impl BuiltIn {
    /// The agent's name, which is also its program's.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for BuiltIn {
    type Err = Refused;
    fn from_str(text: &str) -> Result<Self, Refused> {
        let found = Agent::all().iter().find(|agent| agent.name == text);
        found
            .map(|agent| Self(agent.name.to_owned()))
            .ok_or_else(|| Refused::Agent(text.to_owned()))
    }
}

crate::text::as_text!(BuiltIn);

impl fmt::Display for BuiltIn {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}
