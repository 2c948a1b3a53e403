//! Cilo's `.cilo/config.yml`, read as it is. What means nothing here is noted and ignored; paths
//! are confined to the project, which Cilo did not do.

use serde::Deserialize;

use super::error::check_size;
use super::{CILO_FILE, ConfigError, CopyPattern, Hooks, Origin, ProjectConfig, ProjectPath};
use super::{RenderRule, Replace, is_hostname};
use crate::{ProjectName, ServiceName, Suffix};

const KEYS: [&str; 8] = [
    "project",
    "compose_files",
    "env_files",
    "dns_suffix",
    "default_ingress_service",
    "hostnames",
    "copy_dot_dirs",
    "env",
];
const ENV_KEYS: [&str; 5] = ["copy_mode", "copy", "ignore", "init_hook", "render"];

#[derive(Default, Deserialize)]
struct File {
    project: Option<ProjectName>,
    compose_files: Option<Vec<ProjectPath>>,
    env_files: Option<Vec<ProjectPath>>,
    dns_suffix: Option<String>,
    default_ingress_service: Option<String>,
    hostnames: Option<Vec<String>>,
    copy_dot_dirs: Option<Vec<CopyPattern>>,
    env: Option<Env>,
}

#[derive(Default, Deserialize)]
struct Env {
    copy_mode: Option<String>,
    copy: Option<Vec<CopyPattern>>,
    ignore: Option<Vec<CopyPattern>>,
    init_hook: Option<String>,
    render: Option<Vec<Render>>,
}

#[derive(Deserialize)]
struct Render {
    file: ProjectPath,
    #[serde(default)]
    tokens: bool,
    #[serde(default)]
    replace: Vec<Replace>,
}

pub(super) fn read(text: &str) -> Result<ProjectConfig, ConfigError> {
    check_size(CILO_FILE, text)?;
    let fail = |message: String| ConfigError::whole(CILO_FILE, message);
    if text.trim().is_empty() {
        return Ok(ProjectConfig { origin: Origin::Cilo, ..ProjectConfig::default() });
    }
    let value: serde_json::Value = serde_saphyr::from_str(text).map_err(|error| located(&error))?;
    let file: File = serde_saphyr::from_str(text).map_err(|error| located(&error))?;
    let env = file.env.unwrap_or_default();
    let suffix = file.dns_suffix.filter(|suffix| !suffix.is_empty());
    let dns_suffix =
        suffix.map(|s| s.parse::<Suffix>()).transpose().map_err(|e| fail(e.to_string()))?;
    let ingress = file.default_ingress_service.filter(|service| !service.is_empty());
    let ingress = ingress
        .map(|service| service.parse::<ServiceName>())
        .transpose()
        .map_err(|e| fail(e.to_string()))?;
    let ingress_hostnames = file.hostnames.unwrap_or_default();
    if let Some(bad) = ingress_hostnames.iter().find(|name| !is_hostname(name)) {
        return Err(fail(format!("`{}` is not a host name", bad.escape_debug())));
    }
    let hook = env.init_hook.clone().filter(|hook| !hook.trim().is_empty());
    let mut copy = copied(&env).map_err(fail)?;
    copy.extend(file.copy_dot_dirs.unwrap_or_default());
    let rule = |r: Render| RenderRule { file: r.file, tokens: r.tokens, replace: r.replace };
    Ok(ProjectConfig {
        origin: Origin::Cilo,
        project: file.project,
        compose_files: file.compose_files.unwrap_or_default(),
        env_files: file.env_files.unwrap_or_default(),
        dns_suffix,
        ingress,
        ingress_hostnames: ingress_hostnames.iter().map(|h| h.to_ascii_lowercase()).collect(),
        hooks: Hooks { run: hook.into_iter().collect(), ..Hooks::default() },
        copy,
        render: env.render.unwrap_or_default().into_iter().map(rule).collect(),
        notes: ignored(&value),
        ..ProjectConfig::default()
    })
}

/// Cilo's policy for files named `.env*`, as patterns.
fn copied(env: &Env) -> Result<Vec<CopyPattern>, String> {
    let mut patterns = match env.copy_mode.as_deref().unwrap_or("all") {
        "all" | "" => vec!["**/.env*".parse().map_err(|e| format!("{e}"))?],
        "none" => return Ok(Vec::new()),
        "allowlist" => env.copy.clone().unwrap_or_default(),
        other => {
            let other = other.escape_debug();
            return Err(format!("env.copy_mode is `{other}`; all, none or allowlist are known"));
        }
    };
    for pattern in env.ignore.iter().flatten() {
        let negative = format!("!{}", pattern.as_str().trim_start_matches('!'));
        patterns.push(negative.parse().map_err(|e| format!("{e}"))?);
    }
    Ok(patterns)
}

fn ignored(value: &serde_json::Value) -> Vec<String> {
    let keys = |value: Option<&serde_json::Value>, known: &[&str], prefix: &str| {
        let map = value.and_then(serde_json::Value::as_object);
        let unknown = map.into_iter().flatten().filter(|(key, _)| !known.contains(&key.as_str()));
        unknown
            .map(|(key, _)| format!("{CILO_FILE}: `{prefix}{}` is ignored", key.escape_debug()))
            .collect::<Vec<_>>()
    };
    let mut notes = keys(Some(value), &KEYS, "");
    notes.extend(keys(value.get("env"), &ENV_KEYS, "env."));
    notes
}

fn located(error: &serde_saphyr::Error) -> ConfigError {
    let mut lines = error.to_string();
    if let Some(end) = lines.find('\n') {
        lines.truncate(end);
    }
    let place = error.location().map(|l| (l.line() as usize, l.column() as usize));
    ConfigError { place, ..ConfigError::whole(CILO_FILE, lines) }
}
