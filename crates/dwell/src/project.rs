//! Which project the user is in: the nearest directory upwards that has a project's files.

use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use dwell_api::{Code, Problem};
use dwell_core::ProjectName;
use dwell_core::config::{CILO_FILE, PROJECT_FILE, ProjectConfig};

/// Files of which one makes a directory a project.
const MARKS: &[&str] = &[
    PROJECT_FILE,
    CILO_FILE,
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

/// The nearest repository upwards of a directory.
pub(crate) fn repository(start: &Path) -> Option<PathBuf> {
    start.ancestors().find(|directory| directory.join(".git").exists()).map(Path::to_owned)
}

/// The name of the project with this source: from its configuration, else the directory's.
/// `None` where neither can be read as one; the node says why when it has to make something.
pub(crate) fn name_of(source: &Path) -> Option<ProjectName> {
    match config(source).ok()?.project {
        Some(name) => Some(name),
        None => source.file_name()?.to_str()?.trim_start_matches('.').parse().ok(),
    }
}

/// The same, where there has to be one.
pub(crate) fn required_name(source: &Path) -> Result<ProjectName, Problem> {
    name_of(source).ok_or_else(|| {
        let message = format!("the name of {} is no name for a project", source.display());
        Problem::new(Code::InvalidName, message)
            .hint("set `project` in a dwell.toml there: letters, digits and dashes")
    })
}

/// The project that a directory tells without asking the node: that of the tree it is in, whose
/// place below the data directory names it, else that of the files around it.
pub(crate) fn told(here: &Path, data: &Path) -> Option<ProjectName> {
    match here.strip_prefix(data) {
        Ok(below) => below.components().next()?.as_os_str().to_str()?.parse().ok(),
        Err(_) => name_of(&around(here)?),
    }
}

/// The configuration of the project in a directory; the default where it has none.
pub(crate) fn config(source: &Path) -> Result<ProjectConfig, Problem> {
    let dwell = read(&source.join(PROJECT_FILE))?;
    let cilo = read(&source.join(CILO_FILE))?;
    ProjectConfig::from_files(dwell.as_deref(), cilo.as_deref()).map_err(|e| {
        Problem::new(Code::InvalidConfig, format!("{}: {e}", source.display()))
            .hint("`dwell config --schema` prints what is allowed")
    })
}

fn read(path: &Path) -> Result<Option<String>, Problem> {
    match std::fs::read_to_string(path) {
        Ok(text) => Ok(Some(text)),
        Err(e) if matches!(e.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory) => Ok(None),
        Err(e) => {
            let message = format!("`{}` cannot be read: {e}", path.display());
            Err(Problem::new(Code::InvalidConfig, message))
        }
    }
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

    #[test]
    fn a_directory_tells_its_project() {
        let root = tempfile::tempdir().unwrap();
        let shop = root.path().join("shop");
        std::fs::create_dir(&shop).unwrap();
        let data = root.path().join("data");
        assert_eq!(told(&shop, &data), None);
        std::fs::write(shop.join("compose.yaml"), "").unwrap();
        assert_eq!(told(&shop, &data).unwrap().as_str(), "shop");
        std::fs::write(shop.join("dwell.toml"), "project = \"store\"").unwrap();
        assert_eq!(told(&shop, &data).unwrap().as_str(), "store");
        assert_eq!(told(&data.join("blog/a1/src"), &data).unwrap().as_str(), "blog");
    }
}
