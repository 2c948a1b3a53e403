//! What a compose project is read from, as one hash: while it is the same, reading the project
//! again would give the same model.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use dwell_core::compose::{inputs, variables as variables_of};
use dwell_core::config::{CILO_FILE, PROJECT_FILE, ProjectConfig};
use dwell_core::environment::Environment;

use crate::facts::Stamp;
use crate::project;

/// The files that compose looks for by itself, in its order.
pub(super) const DEFAULTS: [&str; 8] = [
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
    // It may get a compose file, in directories above, too.
    if environment.options.bare {
        return None;
    }
    let directory = environment.directory();
    let read = project::compose(environment, config, variables);
    if variables.keys().chain(read.variables.keys()).any(|name| name.starts_with("COMPOSE_")) {
        return None;
    }
    let mut hasher = blake3::Hasher::new();
    let mut wanted = BTreeSet::new();
    let compose = |file: PathBuf| (file, Some(directory.to_owned()));
    let mut waiting: Vec<(PathBuf, Option<PathBuf>)> = if read.files.is_empty() {
        DEFAULTS.iter().map(|name| compose(directory.join(name))).collect()
    } else {
        read.files.iter().map(|file| compose(directory.join(file))).collect()
    };
    let env_files = read.env_files.iter().map(|file| directory.join(file));
    let own = [".env", PROJECT_FILE, CILO_FILE].map(|name| directory.join(name));
    waiting.extend(env_files.chain(own).map(|file| (file, None)));
    let mut seen = BTreeSet::new();
    while let Some((file, follow)) = waiting.pop() {
        if !seen.insert((file.clone(), follow.clone())) {
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
        match follow {
            Some(directory) => {
                let more = inputs(text, &directory);
                if !more.certain {
                    return None;
                }
                wanted.extend(more.variables);
                waiting.extend(more.compose.into_iter().map(|(file, place)| (file, Some(place))));
                waiting.extend(more.files.into_iter().map(|file| (file, None)));
            }
            // Compose takes its own settings from env files too.
            None if is_env(&file) && text.contains("COMPOSE_") => return None,
            None => wanted.extend(variables_of(text)),
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

fn is_env(file: &Path) -> bool {
    file.file_name().is_some_and(|name| name.to_string_lossy().contains(".env"))
}
