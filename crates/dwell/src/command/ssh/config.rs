//! `config-ssh`: a file that ssh's configuration includes.

use std::fmt::Write as _;
use std::fs::OpenOptions;
use std::io::{ErrorKind, Write as _};
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use dwell_api::{Code, Problem};

use super::{Files, options};
use crate::arguments::ssh::{ConfigSsh, SUFFIX};
use crate::command::Context;
use crate::connect::private_directory;
use crate::failure::Ended;

/// The file beside ssh's own, and how that includes it.
const FILE: &str = "dwell.conf";
const MARK: &str = "# dwell: workspaces are found as <name>.dwell (`dwell config-ssh --undo`)";
const INCLUDE: &str = "Include dwell.conf";

/// Writes both files, or takes back what was written.
pub(crate) fn run(it: &ConfigSsh, context: &Context) -> Ended {
    let home = std::env::home_dir().ok_or_else(|| {
        Problem::new(Code::InvalidArgument, "the home directory is not known: HOME is not set")
    })?;
    let directory = home.join(".ssh");
    let own = directory.join(FILE);
    let path = directory.join("config");
    // What leads elsewhere, as dotfiles do, stays a link.
    let path = path.canonicalize().unwrap_or(path);
    let before = read(&path)?;
    let (text, after) = match it.undo {
        true => (None, without(&before)),
        false => (Some(block(&options(&Files::of(&context.paths))?)), with(&before)),
    };
    if it.dry_run {
        return show(&own, text.as_deref(), &path, (after != before).then_some(&*after), context);
    }
    private_directory(&directory)?;
    match text {
        Some(text) => write(&own, &text)?,
        None => remove(&own)?,
    }
    if after != before {
        write(&path, &after)?;
    }
    context.output.note(if it.undo {
        "ssh knows nothing of workspaces any more"
    } else {
        "ssh finds workspaces as <name>.dwell"
    });
    Ok(0)
}

/// Whether ssh's configuration includes ours.
pub(crate) fn is_configured() -> Result<bool, Problem> {
    let Some(home) = std::env::home_dir() else { return Ok(false) };
    let directory = home.join(".ssh");
    let config = read(&directory.join("config"))?;
    Ok(config.lines().any(|line| line == INCLUDE) && directory.join(FILE).exists())
}

fn show(
    own: &Path,
    text: Option<&str>,
    path: &Path,
    after: Option<&str>,
    context: &Context,
) -> Ended {
    match text {
        Some(text) => context.output.text(&format!("# {}\n{text}", own.display()))?,
        None => context.output.text(&format!("# {} is removed\n", own.display()))?,
    }
    match after {
        Some(_) if text.is_some() => {
            context
                .output
                .text(&format!("\n# {}, first lines\n{MARK}\n{INCLUDE}\n", path.display()))?;
        }
        Some(_) => context.output.text(&format!("# {} includes it no more\n", path.display()))?,
        None => context.output.text(&format!("# {} stays as it is\n", path.display()))?,
    }
    Ok(0)
}

fn block(options: &[(&str, String)]) -> String {
    let mut text = format!("# Written by `dwell config-ssh`, which replaces it.\nHost *{SUFFIX}\n");
    for (name, value) in options {
        // A string takes everything.
        let _ = writeln!(text, "  {name} {value}");
    }
    text
}

/// A configuration that includes ours first: ssh takes the first value that it finds.
fn with(config: &str) -> String {
    if config.lines().any(|line| line == INCLUDE) {
        return config.to_owned();
    }
    format!("{MARK}\n{INCLUDE}\n\n{config}")
}

fn without(config: &str) -> String {
    match config.split_once(&format!("{MARK}\n{INCLUDE}\n")) {
        Some((before, after)) => format!("{before}{}", after.strip_prefix('\n').unwrap_or(after)),
        None => config.to_owned(),
    }
}

fn failed(path: &Path) -> impl Fn(std::io::Error) -> Problem {
    let path = path.display().to_string();
    move |error| Problem::new(Code::State, format!("`{path}`: {error}"))
}

fn read(path: &Path) -> Result<String, Problem> {
    match std::fs::read_to_string(path) {
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(String::new()),
        other => other.map_err(failed(path)),
    }
}

/// Replaces a file as a whole; it keeps its permissions.
fn write(path: &Path, text: &str) -> Result<(), Problem> {
    let mode = std::fs::metadata(path).map_or(0o600, |found| found.permissions().mode() & 0o777);
    let mut part = PathBuf::from(path);
    part.as_mut_os_string().push(".dwell-part");
    let _ = std::fs::remove_file(&part);
    let file = OpenOptions::new().create_new(true).write(true).mode(mode).open(&part);
    file.and_then(|mut file| file.write_all(text.as_bytes()))
        .and_then(|()| std::fs::rename(&part, path))
        .map_err(failed(path))
}

fn remove(path: &Path) -> Result<(), Problem> {
    match std::fs::remove_file(path) {
        Err(error) if error.kind() != ErrorKind::NotFound => Err(failed(path)(error)),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_written_is_taken_back_and_nothing_else() {
        for config in ["", "Host *\n  Compression yes\n", "\n\nInclude more\n"] {
            let written = with(config);
            assert!(written.starts_with(MARK) && written.ends_with(config), "{written}");
            assert_eq!(with(&written), written);
            assert_eq!(without(&written), config);
            assert_eq!(without(config), config);
        }
    }

    #[test]
    fn the_block_is_for_our_names_only() {
        let text = block(&[("User", "dev".to_owned())]);
        assert_eq!(text.lines().skip(1).collect::<Vec<_>>(), ["Host *.dwell", "  User dev"]);
    }
}
