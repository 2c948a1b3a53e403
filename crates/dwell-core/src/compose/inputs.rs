//! Which further files the resolution of one compose file reads, and which variables. With the
//! hash of all of them, the canonical model of an unchanged project need not be computed again.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use serde_json::Value;

use super::model::{text, texts};
use crate::tree::lexical;

/// What the resolution of one compose file depends on besides its own text.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Inputs {
    /// The files that are read, each once; some may not exist, which is then part of the input.
    pub files: Vec<PathBuf>,
    /// Those of them that are compose files, each with the directory to which its own paths are
    /// relative. They are to be asked for their inputs in turn.
    pub compose: Vec<(PathBuf, PathBuf)>,
    /// The environment variables whose values are used.
    pub variables: BTreeSet<String>,
    /// Whether that is all. It is not where the text cannot be read, where the name of a file
    /// depends on a variable, or where a file is fetched from elsewhere.
    pub certain: bool,
}

/// Finds what the compose file with this `text` reads; its paths are relative to `directory`.
/// That a `compose.override.yaml` or `COMPOSE_FILE` adds further files is not its to say.
pub fn inputs(text: &str, directory: &Path) -> Inputs {
    let mut found = Inputs { certain: true, variables: variables(text), ..Inputs::default() };
    found.file(directory, ".env");
    let Ok(root) = serde_saphyr::from_str::<Value>(text) else {
        found.certain = false;
        return found;
    };
    match root.get("include") {
        Some(Value::Array(entries)) => {
            entries.iter().for_each(|entry| found.include(entry, directory));
        }
        Some(Value::Null) | None => {}
        Some(entry) => found.include(entry, directory),
    }
    let services = root.get("services").and_then(Value::as_object);
    for service in services.into_iter().flat_map(|map| map.values()) {
        found.service(service, directory);
    }
    found
}

impl Inputs {
    /// Adds a file, and says where it is, if that can be said.
    fn file(&mut self, directory: &Path, name: &str) -> Option<PathBuf> {
        let remote =
            name.contains("://") || name.starts_with("git@") || name.starts_with("github.com/");
        if name.contains('$') || name.starts_with('~') || remote {
            self.certain = false;
            return None;
        }
        let path = lexical(&directory.join(name));
        if !self.files.contains(&path) {
            self.files.push(path.clone());
        }
        Some(path)
    }

    fn compose_file(&mut self, path: PathBuf, directory: PathBuf) {
        if !self.compose.iter().any(|(known, place)| *known == path && *place == directory) {
            self.compose.push((path, directory));
        }
    }

    fn include(&mut self, entry: &Value, directory: &Path) {
        let (paths, env_files, place) = match entry {
            Value::Object(long) => {
                let place = long.get("project_directory").and_then(text);
                (texts(long.get("path")), texts(long.get("env_file")), place)
            }
            short => (texts(Some(short)), Vec::new(), None),
        };
        let paths: Vec<_> = paths.iter().filter_map(|path| self.file(directory, path)).collect();
        let place = match place {
            Some(place) if place.contains('$') => {
                self.certain = false;
                return;
            }
            Some(place) => Some(lexical(&directory.join(place))),
            None => paths.first().and_then(|first| first.parent()).map(Path::to_path_buf),
        };
        let Some(place) = place else { return };
        if env_files.is_empty() {
            self.file(&place, ".env");
        }
        for env_file in env_files {
            self.file(directory, &env_file);
        }
        for path in paths {
            self.compose_file(path, place.clone());
        }
    }

    fn service(&mut self, service: &Value, directory: &Path) {
        let file = service.get("extends").and_then(|extends| extends.get("file")).and_then(text);
        if let Some(path) = file.and_then(|file| self.file(directory, &file)) {
            let place = path.parent().unwrap_or(directory).to_path_buf();
            self.compose_file(path, place);
        }
        for key in ["env_file", "label_file"] {
            let entries = match service.get(key) {
                Some(Value::Array(entries)) => entries.clone(),
                Some(entry) => vec![entry.clone()],
                None => Vec::new(),
            };
            for entry in entries {
                let path = entry.get("path").and_then(text).or_else(|| text(&entry));
                path.and_then(|path| self.file(directory, &path));
            }
        }
        match service.get("environment") {
            Some(Value::Object(map)) => {
                let unset = map.iter().filter(|(_, value)| value.is_null());
                self.variables.extend(unset.map(|(key, _)| key.clone()));
            }
            list => {
                self.variables.extend(texts(list).into_iter().filter(|item| !item.contains('=')));
            }
        }
    }
}

/// The names of the variables that a text interpolates (`$NAME`, `${NAME...}`; `$$` is none).
/// Also for the text of env files.
pub fn variables(text: &str) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    let mut rest = text;
    while let Some((_, after)) = rest.split_once('$') {
        rest = after;
        if let Some(escaped) = after.strip_prefix('$') {
            rest = escaped;
            continue;
        }
        let name = after.strip_prefix('{').unwrap_or(after);
        let end = name.find(|c: char| !(c.is_ascii_alphanumeric() || c == '_'));
        let name = end.and_then(|end| name.get(..end)).unwrap_or(name);
        if name.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_') {
            found.insert(name.to_owned());
        }
    }
    found
}

#[cfg(test)]
mod tests;
