//! The engine's command line, and the removal of what carries a node's label.

use std::process::Command;
use std::time::Duration;

use crate::process::{Ran, run};

/// Runs `docker` against the default engine, for at most two minutes.
#[track_caller]
pub fn docker<I: IntoIterator<Item = S>, S: AsRef<std::ffi::OsStr>>(arguments: I) -> Ran {
    run(Command::new("docker").args(arguments), Duration::from_secs(120))
}

/// The ids of all objects of a kind (`container`, `network`, `volume`, `image`) with this label
/// (`name` or `name=value`) on an engine (`None`: the default one).
#[track_caller]
pub fn labelled(engine: Option<&str>, kind: &str, label: &str) -> Vec<String> {
    let filter = format!("label={label}");
    let mut arguments = vec![kind, "ls", "--quiet", "--filter", &filter];
    if kind == "container" {
        arguments.push("--all");
    }
    let mut ids: Vec<String> = on(engine, &arguments).ok().lines().map(str::to_owned).collect();
    ids.sort_unstable();
    ids.dedup();
    ids
}

/// Removes every container, network, volume and image with this label from an engine.
#[track_caller]
pub fn remove_labelled(engine: Option<&str>, label: &str) {
    for kind in ["container", "network", "volume", "image"] {
        let ids = labelled(engine, kind, label);
        if ids.is_empty() {
            continue;
        }
        let mut arguments = vec![kind, "rm"];
        match kind {
            "container" => arguments.extend(["--force", "--volumes"]),
            "image" | "volume" => arguments.push("--force"),
            _ => {}
        }
        arguments.extend(ids.iter().map(String::as_str));
        on(engine, &arguments).ok();
    }
}

#[track_caller]
fn on(engine: Option<&str>, arguments: &[&str]) -> Ran {
    let mut command = Command::new("docker");
    if let Some(engine) = engine {
        command.env("DOCKER_HOST", engine);
    }
    run(command.args(arguments), Duration::from_secs(120))
}

/// Whether the engine has the image; says that the test is skipped where it does not.
pub fn has_image(image: &str) -> bool {
    let there = docker(["image", "inspect", "--format", "ok", image]).code == Some(0);
    if !there {
        eprintln!("skipped: this takes the image {image}");
    }
    there
}
