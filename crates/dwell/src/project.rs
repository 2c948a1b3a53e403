//! Which project the user is in: the nearest directory upwards that has a project's files.

use std::path::{Path, PathBuf};

use dwell_api::{Code, Problem};

/// Files of which one makes a directory a project.
const MARKS: &[&str] = &[
    "dwell.toml",
    ".cilo/config.yml",
    "compose.yaml",
    "compose.yml",
    "docker-compose.yaml",
    "docker-compose.yml",
];

/// The current directory.
pub(crate) fn here() -> Result<PathBuf, Problem> {
    std::env::current_dir().map_err(|e| {
        Problem::new(Code::InvalidArgument, format!("the current directory cannot be used: {e}"))
            .hint("change into a directory that exists")
    })
}

/// The directory that the user named, absolute; else the project around the current directory.
/// A `COMPOSE_FILE` variable is relative to the current directory, so that one counts then.
pub(crate) fn source(from: Option<&Path>) -> Result<PathBuf, Problem> {
    let here = here()?;
    match from {
        Some(from) => {
            let path = here.join(from);
            path.canonicalize().map_err(|e| {
                let message = format!("directory `{}` cannot be used: {e}", from.display());
                Problem::new(Code::InvalidArgument, message)
            })
        }
        None if std::env::var_os("COMPOSE_FILE").is_some() => Ok(here),
        None => Ok(around(&here).unwrap_or(here)),
    }
}

/// The nearest project upwards of a directory, not beyond its repository.
pub(crate) fn around(start: &Path) -> Option<PathBuf> {
    for directory in start.ancestors() {
        if MARKS.iter().any(|mark| directory.join(mark).is_file()) {
            return Some(directory.to_owned());
        }
        if directory.join(".git").exists() {
            return None;
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_project_is_found_from_below_but_not_beyond_its_repository() {
        let root = tempfile::tempdir().unwrap();
        let shop = root.path().join("shop");
        let deep = shop.join("src/deep");
        std::fs::create_dir_all(&deep).unwrap();
        std::fs::write(root.path().join("compose.yaml"), "").unwrap();
        assert_eq!(around(&deep).unwrap(), root.path());
        std::fs::create_dir(shop.join(".git")).unwrap();
        assert_eq!(around(&deep), None);
        std::fs::create_dir(shop.join(".cilo")).unwrap();
        std::fs::write(shop.join(".cilo/config.yml"), "").unwrap();
        assert_eq!(around(&deep).unwrap(), shop);
    }
}
