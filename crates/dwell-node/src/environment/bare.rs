//! Projects without a compose file: an environment of one has a tree, and no services.

use std::path::{Path, PathBuf};

use dwell_api::{Code, Problem};
use dwell_core::ProjectName;
use dwell_core::config::ProjectConfig;
use dwell_core::environment::{Environment, Options};
use serde_json::{Value, json};

use super::stamp::DEFAULTS;
use crate::node::Node;
use crate::operation::Context;

/// Whether a project says which compose files it has, or has one where compose looks for it.
/// Compose looks in the directories above, too; only those up to `top` are the project's.
pub(super) fn has_compose_file(
    directory: &Path,
    top: &Path,
    config: &ProjectConfig,
    options: &Options,
) -> bool {
    let named = !config.compose_files.is_empty()
        || !options.compose_files.is_empty()
        || options.compose_variables.contains_key("COMPOSE_FILE")
        || std::fs::read_to_string(directory.join(".env"))
            .is_ok_and(|text| text.contains("COMPOSE_FILE"));
    let mut places = directory.ancestors().take_while(|place| place.starts_with(top));
    named || places.any(|place| DEFAULTS.iter().any(|name| place.join(name).is_file()))
}

/// The directory of the repository around another one, else that one.
pub(super) fn repository(directory: &Path) -> &Path {
    directory.ancestors().find(|place| place.join(".git").exists()).unwrap_or(directory)
}

/// The model of an environment that may be without services and has no compose file now.
pub(super) fn model(environment: &Environment, config: &ProjectConfig) -> Option<Value> {
    if !environment.options.bare {
        return None;
    }
    let directory = environment.directory();
    let top = match &environment.tree {
        Some(tree) => &tree.root,
        None => repository(directory),
    };
    let none = !has_compose_file(directory, top, config, &environment.options);
    none.then(|| empty(&environment.project))
}

fn empty(project: &ProjectName) -> Value {
    json!({ "name": project.as_str(), "services": {} })
}

/// Refuses a project without services, unless it is one without a compose file of which nothing
/// runs.
pub(super) fn check(node: &Node, environment: &Environment) -> Result<(), Problem> {
    let directory = environment.directory();
    if !environment.options.bare {
        let place = directory.display();
        let message = format!("the compose project in {place} has no services");
        return Err(Problem::new(Code::InvalidCompose, message)
            .hint("activate a profile with `--profile`, or check the compose files"));
    }
    // It had one.
    if node.world.containers(&environment.id).is_empty() { Ok(()) } else { Err(missing(directory)) }
}

/// What is said of an environment without services.
pub(crate) fn explained(environment: &Environment) -> String {
    format!("`{}` has no services: its project has no compose file", environment.label())
}

/// Whether the operation is on an environment without services, as far as is known yet.
pub(crate) fn is_bare(context: &Context) -> bool {
    let services = context.reading.as_ref().map(|reading| &reading.services);
    context.environment.options.bare && services.is_none_or(std::collections::BTreeMap::is_empty)
}

/// A copy of a directory that holds everything that the user has is not what anybody wants.
pub(super) fn refuse_home(node: &Node, source: &Path) -> Result<(), Problem> {
    let home = std::env::home_dir().and_then(|home| home.canonicalize().ok());
    let data = node.paths.data.canonicalize().unwrap_or_else(|_| node.paths.data.clone());
    let holds = |place: &PathBuf| place.starts_with(source);
    let what = match home.as_ref().is_some_and(holds) {
        true => "your home",
        false if holds(&data) => "dwell's own data",
        false => return Ok(()),
    };
    let place = source.display();
    let message = format!("{place} is no project: it has no compose file, and {what} is in it");
    Err(Problem::new(Code::InvalidArgument, message).hint("change into a project's directory"))
}

/// The problem of a project that has no compose file.
pub(super) fn missing(directory: &Path) -> Problem {
    let place = directory.display();
    Problem::new(Code::InvalidCompose, format!("there is no compose file in {place}"))
        .hint("add compose.yaml, or name the files with `compose_files` in dwell.toml; `dwell create` makes an environment without services")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_projects_own_directories_have_its_compose_file() {
        let root = tempfile::tempdir().unwrap();
        let repository_of = root.path().join("notes");
        let deep = repository_of.join("src/deep");
        std::fs::create_dir_all(&deep).unwrap();
        std::fs::create_dir(repository_of.join(".git")).unwrap();
        std::fs::write(root.path().join("compose.yaml"), "").unwrap();
        let top = repository(&deep);
        assert_eq!(top, repository_of);
        let has = || {
            let (config, options) = (ProjectConfig::default(), Options::default());
            has_compose_file(&deep, top, &config, &options)
        };
        assert!(!has(), "that of a directory above is another project's");
        std::fs::write(repository_of.join("docker-compose.yml"), "").unwrap();
        assert!(has());
        let named = Options { compose_files: vec!["x.yaml".into()], ..Options::default() };
        let config = ProjectConfig::default();
        assert!(has_compose_file(root.path(), root.path(), &config, &named));
    }
}
