//! What a compose project is read from, as one hash: while it is the same, reading the project
//! again would give the same model.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use dwell_core::compose::inputs;
use dwell_core::config::ProjectConfig;
use dwell_core::environment::Environment;

use crate::facts::Stamp;
use crate::project;

/// The files that compose looks for by itself, in its order.
const DEFAULTS: [&str; 8] = [
    "compose.yaml",
    "compose.yml",
    "docker-compose.yml",
    "docker-compose.yaml",
    "compose.override.yaml",
    "compose.override.yml",
    "docker-compose.override.yml",
    "docker-compose.override.yaml",
];

/// More files than a project has; beyond it nothing is certain.
const FILES_MAX: usize = 200;

/// The stamp of an environment's project; empty where something that matters cannot be told.
pub(super) fn stamp(
    environment: &Environment,
    config: &ProjectConfig,
    variables: &BTreeMap<String, String>,
) -> Stamp {
    Stamp { hash: hash(environment, config, variables).unwrap_or_default() }
}

fn hash(
    environment: &Environment,
    config: &ProjectConfig,
    variables: &BTreeMap<String, String>,
) -> Option<String> {
    let directory = environment.directory();
    let read = project::compose(environment, config, variables);
    if variables.keys().chain(read.variables.keys()).any(|name| name.starts_with("COMPOSE_")) {
        return None;
    }
    let mut hasher = blake3::Hasher::new();
    let mut wanted = BTreeSet::new();
    let relative = |file: &PathBuf| directory.join(file);
    let mut waiting: Vec<PathBuf> = if read.files.is_empty() {
        DEFAULTS.iter().map(|name| directory.join(name)).collect()
    } else {
        read.files.iter().map(relative).collect()
    };
    waiting.extend(read.env_files.iter().map(relative));
    waiting.push(directory.join(".env"));
    for name in ["dwell.toml", ".cilo/config.yml"] {
        waiting.push(directory.join(name));
    }
    let mut seen = BTreeSet::new();
    while let Some(file) = waiting.pop() {
        if !seen.insert(file.clone()) {
            continue;
        }
        if seen.len() > FILES_MAX {
            return None;
        }
        hasher.update(file.as_os_str().as_encoded_bytes());
        let Ok(content) = std::fs::read(&file) else {
            hasher.update(b"\0absent\0");
            continue;
        };
        hasher.update(&content);
        let text = std::str::from_utf8(&content).ok()?;
        if is_env(&file) && text.contains("COMPOSE_") {
            return None;
        }
        wanted.extend(referenced(text));
        if is_yaml(&file) {
            let more = inputs(text, file.parent().unwrap_or(directory));
            if !more.certain {
                return None;
            }
            waiting.extend(more.files);
        }
    }
    for name in wanted {
        hasher.update(name.as_bytes());
        let value = variables.get(&name).map_or(&b"\0unset\0"[..], |value| value.as_bytes());
        hasher.update(value);
    }
    let options = serde_json::to_vec(&(&environment.options, &environment.suffix)).ok()?;
    hasher.update(&options);
    Some(hasher.finalize().to_hex().to_string())
}

fn is_yaml(file: &Path) -> bool {
    file.extension().is_some_and(|e| e == "yml" || e == "yaml") && !file.ends_with(".cilo/config.yml")
}

fn is_env(file: &Path) -> bool {
    file.file_name().is_some_and(|name| name.to_string_lossy().contains(".env"))
}

/// The names of the variables that a text interpolates: `$NAME` and `${NAME...}`.
fn referenced(text: &str) -> BTreeSet<String> {
    let mut names = BTreeSet::new();
    let mut rest = text;
    while let Some(at) = rest.find('$') {
        rest = rest.get(at + 1..).unwrap_or_default();
        let from = rest.strip_prefix('{').unwrap_or(rest);
        let end = from
            .find(|c: char| !(c.is_ascii_alphanumeric() || c == '_'))
            .unwrap_or(from.len());
        let name = from.get(..end).unwrap_or_default();
        if !name.is_empty() {
            names.insert(name.to_owned());
        }
    }
    names
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn variables_are_found_in_every_form() {
        let names = referenced("a: $A ${B} ${C:-x} ${D?e} $$F pre${G}post ${H:+${I}}");
        let want = ["A", "B", "C", "D", "F", "G", "H", "I"];
        assert_eq!(names.iter().map(String::as_str).collect::<Vec<_>>(), want);
    }
}
