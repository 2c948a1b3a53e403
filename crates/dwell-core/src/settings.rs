//! A person's own settings (git, ssh, coding agents) on their way into workspaces: which files they
//! are, what of them has to change so that it works there, what cannot work, and which files there
//! may be replaced.

mod collect;
mod dotfiles;
mod elsewhere;
mod homes;
pub(crate) mod json;
mod lines;
mod path;
mod prepare;
mod programs;
mod replace;
mod secret;
#[cfg(test)]
mod tests;
mod toml_text;

use serde::{Deserialize, Serialize};

pub use collect::{
    FILE_MAX, Raw, Refusal, TOTAL_MAX, Wanted, further, is_junk, private_keys, refuse, wanted,
};
pub use dotfiles::{DOTFILES_SCRIPT, DotfilesError, DotfilesRef};
pub use homes::{Homes, Replaced, windows_home};
pub use path::{HomePath, HomePathError};
pub use prepare::{Prepared, Report, prepare};
pub use replace::{Digest, Entry, Fate, Present, RECORD, Record, decide, union};

/// A text that is not of the format that its name says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct NotUnderstood;

/// What a file is, which says where its paths are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// JSON, also with comments.
    Json,
    /// TOML.
    Toml,
    /// YAML of plain lines.
    Yaml,
    /// A configuration of git.
    Git,
    /// A configuration of ssh.
    Ssh,
    /// Lines that are added to those that are there, such as known hosts.
    Lines,
    /// Any other file; one that is text may be a script or prose that names paths.
    Text,
}

impl Kind {
    /// What a file is by its name.
    pub fn of(path: &str) -> Self {
        let name = path.rsplit('/').next().unwrap_or_default();
        match name.rsplit_once('.').map(|(_, extension)| extension) {
            Some("json" | "jsonc") => Self::Json,
            Some("toml") => Self::Toml,
            Some("yml" | "yaml") => Self::Yaml,
            _ => Self::Text,
        }
    }
}

/// A file of the settings as it is to be in a workspace.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema), schema(as = SettingsFile))]
pub struct File {
    /// Where, below the home.
    #[cfg_attr(feature = "schema", schema(value_type = String))]
    pub path: HomePath,
    /// What is in it, in base64.
    #[serde(with = "base64_text")]
    #[cfg_attr(feature = "schema", schema(value_type = String))]
    pub content: Vec<u8>,
    /// Whether it is a program.
    #[serde(default)]
    pub executable: bool,
    /// Whether its lines are added to those that are there.
    #[serde(default)]
    pub add_lines: bool,
    /// Whether it is a private key.
    #[serde(default)]
    pub private_key: bool,
}

/// A program that settings run.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema), schema(as = SettingsProgram))]
pub struct Program {
    /// Its name or path.
    pub program: String,
    /// The file that runs it, below the home.
    pub file: String,
}

/// Settings for a workspace.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema), schema(as = PersonSettings))]
pub struct Settings {
    /// The files.
    pub files: Vec<File>,
    /// The programs that they run.
    #[serde(default)]
    pub programs: Vec<Program>,
    /// Files and directories, below the home, of which nothing is known now: those that are there
    /// stay.
    #[serde(default)]
    pub unknown: Vec<String>,
    /// Whether private keys were asked for; if not, those that are there stay.
    #[serde(default)]
    pub keys: bool,
}

/// Asks for settings to be put into a workspace.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
pub struct PushSettings {
    /// The settings.
    pub settings: Settings,
    /// Also where files were changed inside.
    #[serde(default)]
    pub force: bool,
    /// Only tell what would be done.
    #[serde(default)]
    pub dry_run: bool,
}

/// What became of a file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
pub struct FileFate {
    /// Where, below the home.
    pub path: String,
    /// What.
    pub fate: Fate,
}

/// What became of settings in a workspace.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
pub struct PushedSettings {
    /// Whether they wait for the workspace to run; nothing is known of single files then.
    #[serde(default)]
    pub waiting: bool,
    /// The files, by path.
    #[serde(default)]
    pub files: Vec<FileFate>,
    /// Programs that settings run and that are not there.
    #[serde(default)]
    pub missing: Vec<Program>,
}

/// Bytes as base64 in JSON.
mod base64_text {
    use base64::Engine;
    use base64::engine::general_purpose::STANDARD;
    use serde::{Deserialize, Deserializer, Serializer};

    pub(super) fn serialize<S: Serializer>(bytes: &[u8], to: S) -> Result<S::Ok, S::Error> {
        to.serialize_str(&STANDARD.encode(bytes))
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Vec<u8>, D::Error> {
        let text = String::deserialize(from)?;
        STANDARD.decode(text).map_err(serde::de::Error::custom)
    }
}
