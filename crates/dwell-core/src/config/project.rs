//! `dwell.toml`: the file as people write it.

use std::collections::BTreeMap;
use std::fmt;

use schemars::JsonSchema;
use serde::de::{SeqAccess, Visitor};
use serde::{Deserialize, Deserializer};

use super::error::check_size;
use super::{ConfigError, CopyPattern, Hooks, HostPath, Origin, PROJECT_FILE, ProjectConfig};
use super::{ProjectPath, RenderRule, Replace, SyncRules, is_hostname};
use crate::{NodeName, ProjectName, ServiceName, Suffix};

/// What dwell needs to know about a project. Every key is optional.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(title = "dwell.toml")]
struct File {
    /// The project's name; by default the directory's.
    #[serde(default)]
    #[schemars(with = "Option<String>")]
    project: Option<ProjectName>,
    /// Compose files in order, relative to the project; by default those that compose finds.
    #[serde(default)]
    #[schemars(with = "Vec<String>")]
    compose_files: Vec<ProjectPath>,
    /// Files of variables for the compose files, as `docker compose --env-file` takes them.
    #[serde(default)]
    #[schemars(with = "Vec<String>")]
    env_files: Vec<ProjectPath>,
    /// Compose profiles to activate.
    #[serde(default)]
    profiles: Vec<String>,
    /// The DNS suffix of the names; by default `test`.
    #[serde(default)]
    #[schemars(with = "Option<String>")]
    dns_suffix: Option<Suffix>,
    /// The service that answers for the project's own name.
    #[serde(default)]
    #[schemars(with = "Option<String>")]
    ingress: Option<ServiceName>,
    /// More host names per service: `api = ["login"]` makes `login.<environment>.test`.
    #[serde(default)]
    #[schemars(with = "BTreeMap<String, Vec<String>>")]
    hostnames: BTreeMap<ServiceName, Vec<Hostname>>,
    /// Services of which all environments share one instance.
    #[serde(default)]
    #[schemars(with = "Vec<String>")]
    share: Vec<ServiceName>,
    /// The node on which a service runs, `db = "staging"`; by default the one where the
    /// environment is asked for, `local`.
    #[serde(default)]
    #[schemars(with = "BTreeMap<String, String>")]
    place: BTreeMap<ServiceName, NodeName>,
    /// Services that those on other nodes may reach although they run on this one.
    #[serde(default)]
    #[schemars(with = "Vec<String>")]
    reverse: Vec<ServiceName>,
    /// What is sent to other nodes besides what git keeps.
    #[serde(default)]
    sync: SyncTable,
    /// Ignored files to bring into a new tree, as patterns relative to the project; `!` in front
    /// leaves files out.
    #[serde(default)]
    #[schemars(with = "Vec<String>")]
    copy: Vec<CopyPattern>,
    /// Shell commands at fixed moments; they run only after `dwell trust`.
    #[serde(default)]
    hooks: HooksTable,
    /// Files of the tree to fill with the environment's values.
    #[serde(default)]
    render: Vec<RenderTable>,
}

/// Patterns are relative to the project, as in `copy`.
#[derive(Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct SyncTable {
    /// Ignored files to send as well.
    #[serde(default)]
    #[schemars(with = "Vec<String>")]
    include: Vec<CopyPattern>,
    /// Files that are never sent.
    #[serde(default)]
    #[schemars(with = "Vec<String>")]
    exclude: Vec<CopyPattern>,
    /// Ignored files with secrets to send; each is told of.
    #[serde(default)]
    #[schemars(with = "Vec<String>")]
    secrets: Vec<CopyPattern>,
    /// Absolute paths that other nodes have themselves, devices and sockets among them.
    #[serde(default)]
    #[schemars(with = "Vec<String>")]
    host: Vec<HostPath>,
}

/// One command or several, run in order with `sh -c` in the tree.
#[derive(Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct HooksTable {
    /// After the tree was made.
    #[serde(default, deserialize_with = "one_or_many")]
    #[schemars(with = "OneOrMany")]
    setup: Vec<String>,
    /// Before each start of the services.
    #[serde(default, deserialize_with = "one_or_many")]
    #[schemars(with = "OneOrMany")]
    run: Vec<String>,
    /// Before the environment is destroyed.
    #[serde(default, deserialize_with = "one_or_many")]
    #[schemars(with = "OneOrMany")]
    archive: Vec<String>,
}

/// The schema of a hook.
#[derive(JsonSchema)]
#[serde(untagged)]
#[expect(dead_code, reason = "it only describes what `one_or_many` reads")]
enum OneOrMany {
    One(String),
    Many(Vec<String>),
}

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct RenderTable {
    /// The file, relative to the project.
    #[schemars(with = "String")]
    file: ProjectPath,
    /// Whether `${DWELL_...}` is filled in.
    #[serde(default = "yes")]
    tokens: bool,
    /// Texts to replace literally, in order, before the tokens.
    #[serde(default)]
    replace: Vec<Replace>,
}

fn yes() -> bool {
    true
}

#[derive(Deserialize)]
#[serde(try_from = "String")]
struct Hostname(String);

impl TryFrom<String> for Hostname {
    type Error = String;
    fn try_from(text: String) -> Result<Self, String> {
        if is_hostname(&text) {
            Ok(Self(text.to_ascii_lowercase()))
        } else {
            Err(format!("`{}` is not a host name", text.escape_debug()))
        }
    }
}

fn one_or_many<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<String>, D::Error> {
    struct Reader;
    impl<'de> Visitor<'de> for Reader {
        type Value = Vec<String>;
        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("a command or a list of commands")
        }
        fn visit_str<E>(self, text: &str) -> Result<Self::Value, E> {
            Ok(vec![text.to_owned()])
        }
        fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Self::Value, A::Error> {
            let mut commands = Vec::new();
            while let Some(command) = items.next_element()? {
                commands.push(command);
            }
            Ok(commands)
        }
    }
    let commands: Vec<String> = deserializer.deserialize_any(Reader)?;
    if commands.iter().any(|command| command.contains('\0')) {
        return Err(serde::de::Error::custom("a command contains a NUL character"));
    }
    Ok(commands.into_iter().filter(|command| !command.trim().is_empty()).collect())
}

pub(super) fn read(text: &str) -> Result<ProjectConfig, ConfigError> {
    check_size(PROJECT_FILE, text)?;
    let file: File =
        toml::from_str(text).map_err(|error| ConfigError::toml(PROJECT_FILE, text, &error))?;
    let names = |names: Vec<Hostname>| names.into_iter().map(|name| name.0).collect();
    let rule = |table: RenderTable| RenderRule {
        file: table.file,
        tokens: table.tokens,
        replace: table.replace,
    };
    Ok(ProjectConfig {
        origin: Origin::Dwell,
        project: file.project,
        compose_files: file.compose_files,
        env_files: file.env_files,
        profiles: file.profiles,
        dns_suffix: file.dns_suffix,
        ingress: file.ingress,
        hostnames: file.hostnames.into_iter().map(|(s, hosts)| (s, names(hosts))).collect(),
        ingress_hostnames: Vec::new(),
        share: file.share,
        place: file.place,
        reverse: file.reverse,
        sync: SyncRules {
            include: file.sync.include,
            exclude: file.sync.exclude,
            secrets: file.sync.secrets,
            host: file.sync.host,
        },
        hooks: Hooks { setup: file.hooks.setup, run: file.hooks.run, archive: file.hooks.archive },
        copy: file.copy,
        render: file.render.into_iter().map(rule).collect(),
        notes: Vec::new(),
    })
}

/// The JSON Schema of `dwell.toml`, for editors.
pub fn schema() -> serde_json::Value {
    schemars::schema_for!(File).to_value()
}
