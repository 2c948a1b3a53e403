//! A project's own files: its configuration, how its compose project is read, what comes along,
//! and whether its commands may run.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use dwell_api::{Code, Problem};
use dwell_core::compose::Hostname;
use dwell_core::config::{CILO_FILE, PROJECT_FILE, ProjectConfig, ProjectPath, variables};
use dwell_core::environment::Environment;
use dwell_core::trust::{TrustSubject, is_trusted, named_files, subject};
use dwell_drivers::compose::Project;
use dwell_drivers::tree::{CopyAndRender, apply_copy_and_render};
use serde_json::{Map, Value};

use crate::node::Node;
use crate::problem::{OrProblem, file};

/// No configuration file is larger than this.
const SIZE_MAX: u64 = 256 * 1024;

/// The configuration of the project in a directory; the default where it has none.
pub(crate) async fn load(directory: &Path) -> Result<ProjectConfig, Problem> {
    let dwell = read(&directory.join(PROJECT_FILE)).await?;
    let cilo = read(&directory.join(CILO_FILE)).await?;
    ProjectConfig::from_files(dwell.as_deref(), cilo.as_deref()).map_err(|error| {
        Problem::new(Code::InvalidConfig, format!("{}: {error}", directory.display()))
            .hint("`dwell config --schema` prints what is allowed")
    })
}

async fn read(path: &Path) -> Result<Option<String>, Problem> {
    match tokio::fs::metadata(path).await {
        Ok(metadata) if metadata.len() > SIZE_MAX => Err(Problem::new(
            Code::InvalidConfig,
            format!("{} is larger than {} KiB", path.display(), SIZE_MAX / 1024),
        )),
        Ok(_) => match tokio::fs::read_to_string(path).await {
            Ok(text) => Ok(Some(text)),
            Err(error) => Err(file("reading", path, &error)),
        },
        Err(_) => Ok(None),
    }
}

/// How the environment's compose project is read: what was asked for at its creation wins over
/// what is configured.
pub(crate) fn compose(
    environment: &Environment,
    config: &ProjectConfig,
    variables: &BTreeMap<String, String>,
) -> Project {
    let options = &environment.options;
    let paths = |given: &[PathBuf], configured: &[ProjectPath]| -> Vec<PathBuf> {
        if given.is_empty() {
            configured.iter().map(|path| path.as_path().to_owned()).collect()
        } else {
            given.to_vec()
        }
    };
    let profiles = if options.profiles.is_empty() { &config.profiles } else { &options.profiles };
    let mut all = variables.clone();
    all.extend(options.compose_variables.clone());
    Project {
        directory: environment.directory().to_owned(),
        files: paths(&options.compose_files, &config.compose_files),
        env_files: paths(&options.env_files, &config.env_files),
        profiles: profiles.clone(),
        variables: all,
    }
}

/// Says in the model what the configuration says of services, as the labels that mean the same.
/// A label that the compose file has wins.
pub(crate) fn label_model(model: &mut Value, config: &ProjectConfig) {
    let mut label = |service: &str, name: &str, value: String| {
        let body = model.pointer_mut("/services").and_then(|all| all.get_mut(service));
        let Some(body) = body.and_then(Value::as_object_mut) else { return };
        let labels = body.entry("labels").or_insert_with(|| Value::Object(Map::new()));
        if let Some(labels) = labels.as_object_mut() {
            labels.entry(name).or_insert(Value::String(value));
        }
    };
    for service in &config.share {
        label(service.as_str(), "dwell.share", "true".to_owned());
    }
    for (service, names) in &config.hostnames {
        label(service.as_str(), "dwell.hostnames", names.join(","));
    }
}

/// The custom names of the ingress service.
pub(crate) fn hostnames(config: &ProjectConfig) -> Result<Vec<Hostname>, Problem> {
    let parse = |name: &String| {
        name.parse::<Hostname>().map_err(|e| Problem::new(Code::InvalidConfig, e.to_string()))
    };
    config.ingress_hostnames.iter().map(parse).collect()
}

/// Brings the configured ignored files into an environment's tree and renders its templates.
/// Applying it again gives the same. Gives what people should know.
pub(crate) async fn bring_files(
    node: &Node,
    environment: &Environment,
) -> Result<Vec<String>, Problem> {
    let Some(tree) = &environment.tree else { return Ok(Vec::new()) };
    let config = load(environment.directory()).await?;
    if config.render.is_empty() && config.copy.is_empty() {
        return Ok(Vec::new());
    }
    let applied = apply_copy_and_render(CopyAndRender {
        source: &environment.source,
        project_dir: &tree.project_dir,
        state: &node.directory(&environment.id),
        copy: &config.copy,
        rules: &config.render,
        variables: &variables(&environment.project, &environment.name, &environment.suffix),
    })
    .await
    .or_problem()?;
    Ok(applied.notes)
}

/// What a project would run, with the content of the files that its commands name.
pub(crate) async fn trust_subject(
    directory: &Path,
    config: &ProjectConfig,
) -> Option<TrustSubject> {
    let mut files = BTreeMap::new();
    for path in named_files(config) {
        if let Ok(content) = tokio::fs::read(directory.join(path.as_path())).await {
            files.insert(path, content);
        }
    }
    subject(config, &files)
}

/// Refuses a project whose commands the user has not trusted as they are.
pub(crate) async fn require_trust(
    node: &Node,
    source: &Path,
    config: &ProjectConfig,
) -> Result<(), Problem> {
    require_trust_in(node, source, source, config).await
}

/// The same, for a copy of the project in another directory.
pub(crate) async fn require_trust_in(
    node: &Node,
    source: &Path,
    directory: &Path,
    config: &ProjectConfig,
) -> Result<(), Problem> {
    let Some(subject) = trust_subject(directory, config).await else { return Ok(()) };
    let mut trusted = node.store.trusted(&source.to_string_lossy()).await.or_problem()?;
    trusted.extend(node.store.trusted(&directory.to_string_lossy()).await.or_problem()?);
    is_trusted(Some(&subject), &trusted).map_err(|untrusted| {
        let place = directory.display();
        Problem::new(
            Code::Untrusted,
            format!("the project in {place} wants to run commands that you have not trusted"),
        )
        .hint(format!("read them, then `dwell trust {place}`"))
        .details(untrusted.commands)
    })
}

/// Trusts the copy in a directory as it is, after a trusted command has run there: a file that a
/// command names may be one that it writes.
pub(crate) async fn keep_trust(
    node: &Node,
    source: &Path,
    directory: &Path,
    config: &ProjectConfig,
) -> Result<(), Problem> {
    let Some(subject) = trust_subject(directory, config).await else { return Ok(()) };
    node.store.trust(&source.to_string_lossy(), &subject.hash, node.now()).await.or_problem()
}
