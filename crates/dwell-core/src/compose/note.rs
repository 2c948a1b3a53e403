//! What people should know about an environment that is not an error.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::name::ServiceName;

/// What a note is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum NoteKind {
    /// Something is not isolated: all environments, or the whole machine, use the same.
    Shared,
    /// A setting could not be kept as it is.
    Changed,
    /// One of several possibilities was chosen.
    Choice,
}

/// One thing to know about an environment.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Note {
    /// What it is about.
    pub kind: NoteKind,
    /// The object, such as "service `web`".
    pub object: String,
    /// What is so, and why.
    pub text: String,
}

impl fmt::Display for Note {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.object, self.text)
    }
}

/// Notes in the order in which they were made, each once.
#[derive(Debug, Default)]
pub(super) struct Notes(Vec<Note>);

impl Notes {
    pub(super) fn add(&mut self, kind: NoteKind, object: String, text: impl Into<String>) {
        let note = Note { kind, object, text: text.into() };
        if !self.0.contains(&note) {
            self.0.push(note);
        }
    }

    pub(super) fn service(&mut self, kind: NoteKind, name: &ServiceName, text: impl Into<String>) {
        self.add(kind, format!("service `{name}`"), text);
    }

    pub(super) fn network(&mut self, kind: NoteKind, key: &str, text: impl Into<String>) {
        self.add(kind, format!("network `{key}`"), text);
    }

    pub(super) fn into_vec(self) -> Vec<Note> {
        self.0
    }
}
