//! Workspace images: what one is built from, under which hash, and whether the one that is there
//! is still that.

mod name;

use std::collections::BTreeSet;
use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

pub use name::{BuiltIn, ImageName, Refused};

/// The base image unless another is asked for.
pub const DEFAULT_BASE: &str = "ubuntu:24.04";
/// The repository in which the images are tagged unless another is asked for.
pub const REPOSITORY: &str = "dwell-workspace";
/// The label with the hash that decides whether an image is fresh.
pub const HASH_LABEL: &str = "dwell.image.hash";
/// The label with the recipe as JSON, which tells why an image is not.
pub const RECIPE_LABEL: &str = "dwell.image.recipe";
/// The agents of an image unless others are asked for.
pub const DEFAULT_AGENTS: [&str; 2] = ["claude", "codex"];

/// What is in an image besides the tools that every workspace has. Each is a target of the
/// Dockerfile.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Variant {
    /// Nothing more.
    Base,
    /// A Docker engine with compose.
    Docker,
    /// A desktop that is reached with VNC.
    Desktop,
    /// That, and the Android emulator.
    Android,
}

impl Variant {
    /// Every variant.
    pub const ALL: [Self; 4] = [Self::Base, Self::Docker, Self::Desktop, Self::Android];

    /// Its name, which is the tag and the target of the Dockerfile.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Base => "base",
            Self::Docker => "docker",
            Self::Desktop => "desktop",
            Self::Android => "android",
        }
    }

    /// The tags of this variant in a repository; `latest` is the base.
    pub fn tags(self, repository: &ImageName) -> Vec<String> {
        let latest = (self == Self::Base).then_some("latest");
        [self.as_str()].into_iter().chain(latest).map(|tag| format!("{repository}:{tag}")).collect()
    }
}

impl fmt::Display for Variant {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for Variant {
    type Err = Refused;
    fn from_str(text: &str) -> Result<Self, Refused> {
        let found = Self::ALL.into_iter().find(|variant| variant.as_str() == text);
        found.ok_or_else(|| Refused::Variant(text.to_owned()))
    }
}

/// A file of the folder that an image is built from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ContextFile {
    /// Where it is, from the folder, with `/` between the parts.
    pub path: String,
    /// Whether it can be executed, which is all that counts of its mode.
    pub executable: bool,
    /// What is in it.
    pub contents: Vec<u8>,
}

/// The hash of a folder's files, whatever their order and wherever the folder is.
pub fn files_hash(files: &[ContextFile]) -> String {
    let mut sorted: Vec<&ContextFile> = files.iter().collect();
    sorted.sort_by(|a, b| a.path.cmp(&b.path));
    let mut hasher = blake3::Hasher::new();
    for file in sorted {
        part(&mut hasher, file.path.as_bytes());
        part(&mut hasher, &[u8::from(file.executable)]);
        part(&mut hasher, &file.contents);
    }
    hasher.finalize().to_hex().to_string()
}

/// Adds a part with its length, so that no two lists of parts are one text.
fn part(hasher: &mut blake3::Hasher, bytes: &[u8]) {
    hasher.update(&(bytes.len() as u64).to_le_bytes());
    hasher.update(bytes);
}

/// All that decides what is in an image.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Recipe {
    /// The variant.
    pub variant: Variant,
    /// The image that it starts from.
    pub base: ImageName,
    /// The id of that image; `None` where it is not known.
    pub base_id: Option<String>,
    /// The agents in it.
    pub agents: BTreeSet<BuiltIn>,
    /// The hash of the folder's files.
    pub files: String,
}

impl Recipe {
    /// The one hash that decides whether an image is fresh: 64 hexadecimal digits.
    pub fn hash(&self) -> String {
        let mut hasher = blake3::Hasher::new();
        part(&mut hasher, self.variant.as_str().as_bytes());
        part(&mut hasher, self.base.as_str().as_bytes());
        part(&mut hasher, self.base_id.as_deref().unwrap_or_default().as_bytes());
        part(&mut hasher, self.agents().as_bytes());
        part(&mut hasher, self.files.as_bytes());
        hasher.finalize().to_hex().to_string()
    }

    /// The agents' names with spaces between, as the Dockerfile takes them.
    pub fn agents(&self) -> String {
        let names: Vec<&str> = self.agents.iter().map(BuiltIn::as_str).collect();
        names.join(" ")
    }

    /// The arguments of the Dockerfile, as `NAME=value`.
    pub fn build_arguments(&self) -> [String; 2] {
        [format!("BASE={}", self.base), format!("AGENTS={}", self.agents())]
    }

    /// What became of an image of this recipe. Where the base image is not here now, nobody can
    /// tell whether it changed, and it counts as the one that was used.
    pub fn freshness(&self, found: Option<&Labels>) -> Freshness {
        let Some(found) = found else { return Freshness::Missing };
        let Some(old) = &found.recipe else { return Freshness::Old(vec![Reason::Unknown]) };
        let base_id = self.base_id.clone().or_else(|| old.base_id.clone());
        let wanted = Self { base_id, ..self.clone() };
        if wanted.hash() == found.hash {
            return Freshness::Fresh;
        }
        let mut reasons = Vec::new();
        if wanted.base != old.base {
            reasons.push(Reason::Base { from: old.base.clone(), to: wanted.base.clone() });
        } else if wanted.base_id != old.base_id {
            reasons.push(Reason::BaseChanged { base: old.base.clone() });
        }
        if wanted.agents != old.agents {
            reasons.push(Reason::Agents { from: old.agents(), to: wanted.agents() });
        }
        if wanted.files != old.files {
            reasons.push(Reason::Files);
        }
        if reasons.is_empty() {
            reasons.push(Reason::Unknown);
        }
        Freshness::Old(reasons)
    }
}

/// What an image says about how it was built.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Labels {
    /// The hash.
    pub hash: String,
    /// The recipe; `None` where this dwell does not understand it.
    pub recipe: Option<Recipe>,
}

impl Labels {
    /// Reads the two labels; `None` for an image that dwell did not build.
    pub fn read(hash: Option<&str>, recipe: Option<&str>) -> Option<Self> {
        let recipe = recipe.and_then(|text| serde_json::from_str(text).ok());
        hash.map(|hash| Self { hash: hash.to_owned(), recipe })
    }
}

/// Whether an image is what would be built now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Freshness {
    /// It is.
    Fresh,
    /// It is not, for these reasons.
    Old(Vec<Reason>),
    /// There is none.
    Missing,
}

impl Freshness {
    /// The state in one word.
    pub fn as_str(&self) -> &'static str {
        match self {
            Self::Fresh => "fresh",
            Self::Old(_) => "old",
            Self::Missing => "missing",
        }
    }

    /// Why it is old; empty otherwise.
    pub fn reasons(&self) -> Vec<String> {
        match self {
            Self::Old(reasons) => reasons.iter().map(ToString::to_string).collect(),
            Self::Fresh | Self::Missing => Vec::new(),
        }
    }
}

/// Why an image is not what would be built now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Reason {
    /// It starts from another image.
    Base {
        /// The one it started from.
        from: ImageName,
        /// The one it would start from.
        to: ImageName,
    },
    /// The image that it starts from is another one under the same name.
    BaseChanged {
        /// The name.
        base: ImageName,
    },
    /// It has other agents.
    Agents {
        /// Those that it has.
        from: String,
        /// Those that it would have.
        to: String,
    },
    /// The files that it is built from are others: this dwell is another version, or the
    /// machine's certificates changed.
    Files,
    /// It does not say what it was built from in a way that this dwell understands.
    Unknown,
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let named = |agents: &str| if agents.is_empty() { "no agents" } else { agents }.to_owned();
        match self {
            Self::Base { from, to } => write!(f, "it starts from {from}, not from {to}"),
            Self::BaseChanged { base } => write!(f, "{base} is another image now"),
            Self::Agents { from, to } => write!(f, "it has {}, not {}", named(from), named(to)),
            Self::Files => f.write_str("the files or certificates that it is built from changed"),
            Self::Unknown => f.write_str("another version of dwell built it"),
        }
    }
}

#[cfg(test)]
mod tests;
