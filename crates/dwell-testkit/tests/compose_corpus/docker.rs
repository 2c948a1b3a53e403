//! The engine as the corpus uses it: bounded commands, and JSON back.

use std::path::Path;
use std::process::Command;

use serde_json::Value;

/// Runs a program for at most 120 s; its output, or what it said on standard error.
pub(crate) fn run(directory: &Path, program: &str, args: &[&str]) -> Result<String, String> {
    let output = Command::new("timeout")
        .args(["--kill-after=5", "120", program])
        .args(args)
        .current_dir(directory)
        .env_remove("COMPOSE_PROJECT_NAME")
        .output()
        .map_err(|error| format!("{program}: {error}"))?;
    if output.status.success() {
        Ok(String::from_utf8_lossy(&output.stdout).into_owned())
    } else {
        let said = String::from_utf8_lossy(&output.stderr);
        Err(format!("{program} {}: {}", args.join(" "), said.trim()))
    }
}

pub(crate) fn docker(args: &[&str]) -> Result<String, String> {
    run(Path::new("/"), "docker", args)
}

/// The lines of what a docker command prints.
pub(crate) fn lines(args: &[&str]) -> Result<Vec<String>, String> {
    Ok(docker(args)?.lines().map(str::to_owned).filter(|line| !line.is_empty()).collect())
}

/// Inspects objects of one kind (`container`, `network`, `volume`), all at once.
pub(crate) fn inspect(kind: &str, names: &[String]) -> Result<Vec<Value>, String> {
    if names.is_empty() {
        return Ok(Vec::new());
    }
    let mut args = vec![kind, "inspect"];
    args.extend(names.iter().map(String::as_str));
    serde_json::from_str(&docker(&args)?).map_err(|error| error.to_string())
}

/// The names or ids of all objects of one kind with a label.
pub(crate) fn with_label(kind: &str, label: &str) -> Result<Vec<String>, String> {
    let filter = format!("label={label}");
    match kind {
        "container" => lines(&["ps", "-aq", "--no-trunc", "--filter", &filter]),
        _ => lines(&[kind, "ls", "-q", "--filter", &filter]),
    }
}
