//! What an environment was started from before an operation changed it: its compose file and
//! facts, kept until the operation ends, so that undoing it gives them back.

use std::path::{Path, PathBuf};

use dwell_api::Problem;

use super::up::COMPOSE_FILE;
use crate::facts::{FILE as FACTS_FILE, make_directory};
use crate::operation::Context;
use crate::problem::file;

const FILES: [&str; 2] = [COMPOSE_FILE, FACTS_FILE];

fn place(context: &Context) -> PathBuf {
    let folder = format!("former-{}", context.operation.id);
    context.node.directory(&context.environment.id).join(folder)
}

/// Keeps the files as they are, unless this operation has kept them already.
pub(super) fn keep(context: &Context) -> Result<(), Problem> {
    let place = place(context);
    if place.is_dir() {
        return Ok(());
    }
    // Complete or not there: made under another name first.
    let growing = place.with_extension("part");
    let _ = std::fs::remove_dir_all(&growing);
    make_directory(&growing)?;
    let directory = context.node.directory(&context.environment.id);
    for name in FILES {
        copy(&directory.join(name), &growing.join(name))?;
    }
    std::fs::rename(&growing, &place).map_err(|error| file("making", &place, &error))
}

/// Puts the files back that this operation kept; one that was not there is removed. Says whether
/// it had kept any: if not, nothing was started.
pub(super) fn restore(context: &Context) -> Result<bool, Problem> {
    let place = place(context);
    if !place.is_dir() {
        return Ok(false);
    }
    let id = &context.environment.id;
    let directory = context.node.directory(id);
    for name in FILES {
        let (kept, own) = (place.join(name), directory.join(name));
        if kept.is_file() {
            copy(&kept, &own)?;
        } else if let Err(error) = std::fs::remove_file(&own)
            && error.kind() != std::io::ErrorKind::NotFound
        {
            return Err(file("removing", &own, &error));
        }
    }
    context.node.facts.forget(id);
    context.node.facts.load(id, &directory);
    Ok(true)
}

/// The operation ended: what it kept is not needed any more.
pub(crate) fn forget(context: &Context) {
    let place = place(context);
    let _ = std::fs::remove_dir_all(place.with_extension("part"));
    if let Err(error) = std::fs::remove_dir_all(&place)
        && error.kind() != std::io::ErrorKind::NotFound
    {
        tracing::warn!(%error, path = %place.display(), "not removed");
    }
}

fn copy(from: &Path, to: &Path) -> Result<(), Problem> {
    match std::fs::read(from) {
        Ok(content) => crate::facts::write(to, &content),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(()),
        Err(error) => Err(file("reading", from, &error)),
    }
}
