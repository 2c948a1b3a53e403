//! One entry put into an agent's settings, or taken out again. Everything else stays to the byte; what
//! came out is read again, and an edit that is not exactly what was wanted is none.

use serde_json::{Map, Value};

use super::{Place, ServerName, json, toml_text};

/// What settings are written in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Syntax {
    /// JSON, also with comments.
    Json,
    /// TOML.
    Toml,
}

/// Why settings were not changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum EditError {
    /// They cannot be read.
    #[error("it is not understood")]
    NotUnderstood,
    /// The entry has no place in what is there.
    #[error("what is there has no place for it")]
    NoPlace,
}

/// What became of an entry that was to be put there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Put {
    /// It is there already.
    Same,
    /// Another one of its name is there.
    Other,
    /// The new text.
    Done {
        /// All of it.
        text: String,
        /// Whether the table was not there.
        made_table: bool,
    },
}

/// What became of an entry that was to be taken out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Taken {
    /// It is not there.
    Absent,
    /// Another one of its name is there.
    Other,
    /// The new text.
    Done(String),
}

fn read(text: &str, syntax: Syntax) -> Result<Map<String, Value>, EditError> {
    let value = match syntax {
        Syntax::Json => json::read(text),
        Syntax::Toml => toml_text::read(text),
    };
    match value {
        Some(Value::Object(fields)) => Ok(fields),
        _ => Err(EditError::NotUnderstood),
    }
}

impl Place {
    /// Whatever stands under a name.
    pub fn find(&self, text: &str, name: &ServerName) -> Option<Value> {
        let all = read(text, self.syntax).ok()?;
        all.get(self.table)?.get(name.as_str()).cloned()
    }
}

/// Puts an entry under a name.
pub fn put(text: &str, place: &Place, name: &ServerName, entry: &Value) -> Result<Put, EditError> {
    let mut wanted = read(text, place.syntax)?;
    let made_table = !wanted.contains_key(place.table);
    let table = wanted.entry(place.table).or_insert_with(|| Value::Object(Map::new()));
    let servers = table.as_object_mut().ok_or(EditError::NoPlace)?;
    match servers.get(name.as_str()) {
        Some(there) if there == entry => return Ok(Put::Same),
        Some(_) => return Ok(Put::Other),
        None => servers.insert(name.as_str().to_owned(), entry.clone()),
    };
    let path = [place.table, name.as_str()];
    let new = match place.syntax {
        Syntax::Json => json::insert(text, path, entry).ok_or(EditError::NotUnderstood)?,
        Syntax::Toml => toml_text::insert(text, path, entry),
    };
    match read(&new, place.syntax) {
        Ok(now) if now == wanted => Ok(Put::Done { text: new, made_table }),
        _ => Err(EditError::NoPlace),
    }
}

/// Takes an entry out, and its table where `table` says so and it is empty then.
pub fn take(
    text: &str,
    place: &Place,
    name: &ServerName,
    entry: &Value,
    table: bool,
) -> Result<Taken, EditError> {
    let mut wanted = read(text, place.syntax)?;
    let Some(servers) = wanted.get_mut(place.table).and_then(Value::as_object_mut) else {
        return Ok(Taken::Absent);
    };
    match servers.get(name.as_str()) {
        None => return Ok(Taken::Absent),
        Some(there) if there != entry => return Ok(Taken::Other),
        Some(_) => servers.remove(name.as_str()),
    };
    let is_last = servers.is_empty();
    if is_last && (table || place.syntax == Syntax::Toml) {
        wanted.remove(place.table);
    }
    let new = match place.syntax {
        Syntax::Json if is_last && table => json::remove(text, &[place.table]),
        Syntax::Json => json::remove(text, &[place.table, name.as_str()]),
        Syntax::Toml => toml_text::remove(text, [place.table, name.as_str()]),
    };
    let new = new.ok_or(EditError::NoPlace)?;
    let mut now = read(&new, place.syntax)?;
    // A header of the table alone may stay.
    let is_empty = |value: &Value| value.as_object().is_some_and(Map::is_empty);
    if place.syntax == Syntax::Toml && now.get(place.table).is_some_and(is_empty) {
        now.remove(place.table);
    }
    if now == wanted { Ok(Taken::Done(new)) } else { Err(EditError::NoPlace) }
}
