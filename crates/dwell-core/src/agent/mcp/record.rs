//! What dwell knows of the servers of a workspace: kept in its home, so that what dwell wrote into
//! settings of agents is told from what a person did.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::edit::{Put, Taken, put, take};
use super::{Launch, Place, ServerName};

/// Where it is kept, below the home.
pub const RECORD: &str = ".local/share/dwell/mcp.json";

/// The servers and what was written of them.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Record {
    /// The servers.
    #[serde(default)]
    pub servers: BTreeMap<ServerName, Server>,
    /// What was written, by the file below the home.
    #[serde(default)]
    pub files: BTreeMap<String, Entries>,
}

/// A server.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Server {
    /// Its package, where it has one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub package: Option<String>,
    /// What it is, told to people.
    pub command: Vec<String>,
    /// How agents start it.
    pub launch: Launch,
    /// The names of its secrets.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub secrets: Vec<String>,
}

/// What was written into a file.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Entries {
    /// What dwell made besides.
    pub made: Made,
    /// The entries, by server.
    pub servers: BTreeMap<ServerName, Value>,
}

/// What had to be made for the first entry.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Made {
    /// Nothing.
    #[default]
    Nothing,
    /// The table.
    Table,
    /// The file.
    File,
}

impl Record {
    /// A file's text without what dwell wrote there; `None` where nothing else is in it and it is
    /// dwell's. What cannot be read is left as it is.
    pub fn without(&self, path: &str, text: &str) -> Option<String> {
        let mut text = text.to_owned();
        let (Some(place), Some(entries)) = (Place::of_file(path), self.files.get(path)) else {
            return Some(text);
        };
        for (name, entry) in &entries.servers {
            let made = entries.made != Made::Nothing;
            match take(&text, place, name, entry, made) {
                Ok(Taken::Done(rest)) => text = rest,
                Ok(Taken::Absent | Taken::Other) | Err(_) => {}
            }
        }
        let is_empty = entries.made == Made::File && ["", "{}"].contains(&text.trim());
        (!is_empty).then_some(text)
    }

    /// A person's text with dwell's entries of that file, which are recorded as they are there now.
    /// An entry whose name the text has already is not dwell's any more.
    pub fn with(&mut self, path: &str, text: Option<&str>) -> Option<String> {
        let Some((place, entries)) = Place::of_file(path).zip(self.files.remove(path)) else {
            return text.map(str::to_owned);
        };
        let mut now = text.map(str::to_owned);
        let mut kept = Entries { made: Made::Nothing, servers: BTreeMap::new() };
        for (name, entry) in entries.servers {
            let before = now.as_deref().unwrap_or_default();
            if let Ok(Put::Done { text: after, made_table }) = put(before, place, &name, &entry) {
                if now.is_none() {
                    kept.made = Made::File;
                } else if made_table {
                    kept.made = kept.made.max(Made::Table);
                }
                now = Some(after);
                kept.servers.insert(name, entry);
            }
        }
        if !kept.servers.is_empty() {
            self.files.insert(path.to_owned(), kept);
        }
        now
    }
}
