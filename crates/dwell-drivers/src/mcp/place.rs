//! Telling the agents of a home of a server, and having them forget it.

use std::path::Path;

use dwell_core::agent::mcp::{Entries, Launch, Made, Place, Put, ServerName, Taken, put, take};
use serde_json::Value;

use super::{McpError, Servers, below, failed};
use crate::settings::home::Found;

/// An agent's settings as they are there.
struct Settings {
    path: &'static str,
    /// `None` where there are none.
    text: Option<String>,
}

impl Servers {
    /// Whether an agent is there.
    fn is_installed(&self, agent: &str) -> bool {
        let search = std::env::var_os("PATH").unwrap_or_default();
        let own = self.path.join(".local/bin");
        std::env::split_paths(&search).chain([own]).any(|place| is_program(&place.join(agent)))
    }

    /// The settings of an agent; `Err` tells why they cannot be changed.
    fn settings(&self, place: &Place) -> Result<Settings, String> {
        let mut first = None;
        for path in place.files {
            let found = below(path).and_then(|path| self.home.look(&path));
            match found.map_err(|error| format!("~/{path}: {error}"))? {
                Found::File { content, .. } => {
                    let text =
                        String::from_utf8(content).map_err(|_| format!("~/{path} is no text"))?;
                    return Ok(Settings { path, text: Some(text) });
                }
                Found::Nothing => first = first.or(Some(*path)),
                Found::Other => return Err(format!("~/{path} is no plain file")),
            }
        }
        let path = first.ok_or_else(|| "it has no settings".to_owned())?;
        Ok(Settings { path, text: None })
    }

    fn write(&self, path: &str, text: &str) -> Result<(), McpError> {
        let written = below(path).and_then(|place| self.home.write(&place, text.as_bytes(), false));
        written.map_err(failed(path))
    }

    /// What dwell wrote of a server into a file.
    fn own(&self, path: &str, name: &ServerName) -> Option<&Value> {
        self.record.files.get(path)?.servers.get(name)
    }

    /// The agents whose settings have what dwell wrote of it.
    pub(super) fn known_to(&self, name: &ServerName) -> Vec<String> {
        let knows = |place: &&Place| {
            let settings = self.settings(place).ok()?;
            let own = self.own(settings.path, name)?;
            let text = settings.text.unwrap_or_default();
            matches!(put(&text, place, name, own), Ok(Put::Same)).then_some(())
        };
        let all = Place::all().iter().filter(|place| knows(place).is_some());
        all.map(|place| place.agent.to_owned()).collect()
    }

    /// The agents that have another one of its name.
    pub(super) fn others(&self, name: &ServerName) -> Vec<String> {
        let has_other = |place: &&Place| {
            let Ok(settings) = self.settings(place) else { return false };
            let own = self.own(settings.path, name).cloned().unwrap_or(Value::Null);
            let text = settings.text.unwrap_or_default();
            matches!(put(&text, place, name, &own), Ok(Put::Other))
        };
        Place::all().iter().filter(has_other).map(|place| place.agent.to_owned()).collect()
    }

    /// Tells every agent that is there; gives what there is to know.
    pub(super) fn tell_agents(
        &mut self,
        name: &ServerName,
        launch: &Launch,
    ) -> Result<Vec<String>, McpError> {
        let mut notes = Vec::new();
        let mut told = 0;
        for place in Place::all() {
            if !self.is_installed(place.agent) {
                continue;
            }
            match self.settings(place) {
                Ok(settings) => match self.tell(place, settings, name, launch)? {
                    None => told += 1,
                    Some(why) => notes.push(format!("{} was not told: {why}", place.agent)),
                },
                Err(why) => notes.push(format!("{} was not told: {why}", place.agent)),
            }
        }
        if self.is_installed("aider") {
            notes.push("aider takes no such servers".to_owned());
        }
        if told == 0 && notes.is_empty() {
            notes.push(
                "no agent is there yet: once one is installed, add the server again".to_owned(),
            );
        }
        Ok(notes)
    }

    /// Tells one agent; gives why not.
    fn tell(
        &mut self,
        place: &Place,
        settings: Settings,
        name: &ServerName,
        launch: &Launch,
    ) -> Result<Option<String>, McpError> {
        let Settings { path, text } = settings;
        let entry = place.entry(launch);
        let before = text.clone().unwrap_or_default();
        // One that is there, dwell's older one or by `--force` a person's, makes room.
        let there = match put(&before, place, name, &entry) {
            Ok(Put::Other) => match replace(&before, place, name) {
                Some(rest) => rest,
                None => return Ok(Some(format!("~/{path} cannot be changed"))),
            },
            _ => before,
        };
        let (new, made_table) = match put(&there, place, name, &entry) {
            Ok(Put::Done { text, made_table }) => (Some(text), made_table),
            Ok(Put::Same) => (None, false),
            Ok(Put::Other) => return Ok(Some(format!("~/{path} has another one"))),
            Err(why) => return Ok(Some(format!("~/{path}: {why}"))),
        };
        let made = match (&text, made_table) {
            (None, _) => Made::File,
            (Some(_), true) => Made::Table,
            (Some(_), false) => Made::Nothing,
        };
        if let Some(new) = new {
            self.write(path, &new)?;
        } else if self.own(path, name).is_none() {
            // The person wrote the very same: it stays theirs.
            return Ok(None);
        }
        let fresh = || Entries { made, servers: std::collections::BTreeMap::new() };
        let entries = self.record.files.entry(path.to_owned()).or_insert_with(fresh);
        entries.made = entries.made.max(made);
        entries.servers.insert(name.clone(), entry);
        self.save()?;
        Ok(None)
    }

    /// Has every agent forget a server; gives what there is to know.
    pub(super) fn forget(
        &mut self,
        name: &ServerName,
        force: bool,
    ) -> Result<Vec<String>, McpError> {
        let mut notes = Vec::new();
        let paths: Vec<String> = self.record.files.keys().cloned().collect();
        for path in paths {
            let Some(place) = Place::of_file(&path) else { continue };
            let Some(entry) = self.own(&path, name).cloned() else { continue };
            if let Some(why) = self.forget_in(place, &path, name, &entry, force)? {
                notes.push(format!("{}: {why}", place.agent));
            }
            if let Some(entries) = self.record.files.get_mut(&path) {
                entries.servers.remove(name);
                if entries.servers.is_empty() {
                    self.record.files.remove(&path);
                }
            }
            self.save()?;
        }
        Ok(notes)
    }

    fn forget_in(
        &self,
        place: &Place,
        path: &str,
        name: &ServerName,
        entry: &Value,
        force: bool,
    ) -> Result<Option<String>, McpError> {
        let look = below(path).and_then(|path| self.home.look(&path)).map_err(failed(path))?;
        let Found::File { content, .. } = look else { return Ok(None) };
        let text = String::from_utf8_lossy(&content);
        let entries = self.record.files.get(path);
        let made = entries.map(|entries| entries.made).unwrap_or_default();
        let rest = match take(&text, place, name, entry, made != Made::Nothing) {
            Ok(Taken::Done(rest)) => rest,
            Ok(Taken::Absent) => return Ok(None),
            Ok(Taken::Other) if force => match replace(&text, place, name) {
                Some(rest) => rest,
                None => return Ok(Some(format!("~/{path} cannot be changed"))),
            },
            Ok(Taken::Other) => {
                return Ok(Some(format!(
                    "it was changed in ~/{path} and stays; --force removes it"
                )));
            }
            Err(why) => return Ok(Some(format!("~/{path}: {why}"))),
        };
        if made == Made::File && ["", "{}"].contains(&rest.trim()) {
            let removed = below(path).and_then(|place| self.home.remove(&place));
            removed.map_err(failed(path))?;
            return Ok(None);
        }
        self.write(path, &rest)?;
        Ok(None)
    }
}

/// The text without whatever has the name.
fn replace(text: &str, place: &Place, name: &ServerName) -> Option<String> {
    let there = place.find(text, name)?;
    match take(text, place, name, &there, false) {
        Ok(Taken::Done(rest)) => Some(rest),
        _ => None,
    }
}

fn is_program(path: &Path) -> bool {
    use std::os::unix::fs::PermissionsExt;
    std::fs::metadata(path).is_ok_and(|it| it.is_file() && it.permissions().mode() & 0o111 != 0)
}
