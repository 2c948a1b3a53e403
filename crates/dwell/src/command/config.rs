//! `config` and `init`: the project's own configuration; and one's own settings for workspaces.

pub(crate) mod push;

use std::fmt::Write as _;
use std::path::Path;

use dwell_api::{Code, Problem};
use dwell_core::config::{CILO_FILE, Origin, PROJECT_FILE, ProjectConfig, ProjectPath, schema};
use serde_json::Value;

use super::Context;
use crate::arguments::setup::{Config, ConfigAction, Init};
use crate::failure::Ended;
use crate::output::{Style, Table};
use crate::project;

/// Shows the configuration or its schema, writes a first one, or brings settings to workspaces.
pub(crate) async fn run(it: Config, context: &Context) -> Ended {
    match it.action {
        Some(ConfigAction::Init(it)) => return init(&it, context),
        Some(ConfigAction::Push(it)) => return push::run(it, context).await,
        None => {}
    }
    if it.schema {
        let schema = serde_json::to_string_pretty(&schema()).map_err(std::io::Error::from)?;
        context.output.text(&schema)?;
        return Ok(0);
    }
    let source = project::source(it.from.as_deref())?;
    context
        .output
        .result(&project::config(&source)?, |config, style| shown(&source, config, style))?;
    Ok(0)
}

/// The effective configuration, and where each part comes from; notes are below.
fn shown(source: &Path, config: &ProjectConfig, style: Style) -> String {
    let file = match config.origin {
        Origin::None => "default",
        Origin::Dwell => PROJECT_FILE,
        Origin::Cilo => CILO_FILE,
    };
    let mut table = Table::new(&["SETTING", "VALUE", "FROM"]);
    let name = project::name_of(source).map(|name| name.to_string()).unwrap_or_default();
    let from = if config.project.is_some() { file } else { "directory" };
    table.row(["project", &name, from].map(str::to_owned).to_vec());
    table.row(["source", &source.display().to_string(), "directory"].map(str::to_owned).to_vec());
    let suffix = config.dns_suffix.clone().unwrap_or_default().to_string();
    let usual = [
        ("compose_files", joined(&config.compose_files), "found by compose".to_owned()),
        ("dns_suffix", config.dns_suffix.as_ref().map(ToString::to_string), suffix),
        ("ingress", config.ingress.as_ref().map(ToString::to_string), "chosen at `up`".to_owned()),
    ];
    for (key, set, default) in usual {
        let from = if set.is_some() { file } else { "default" };
        table.row(vec![key.to_owned(), set.unwrap_or(default), from.to_owned()]);
    }
    let hooks = &config.hooks;
    let rules: Vec<&ProjectPath> = config.render.iter().map(|rule| &rule.file).collect();
    let names: Vec<String> = config
        .hostnames
        .iter()
        .map(|(service, all)| format!("{service}: {}", all.join(" ")))
        .collect();
    for (key, set) in [
        ("env_files", joined(&config.env_files)),
        ("profiles", joined(&config.profiles)),
        ("hostnames", joined(&names)),
        ("ingress_hostnames", joined(&config.ingress_hostnames)),
        ("share", joined(&config.share)),
        ("hooks.setup", joined(&hooks.setup)),
        ("hooks.run", joined(&hooks.run)),
        ("hooks.archive", joined(&hooks.archive)),
        ("copy", joined(&config.copy)),
        ("render", joined(&rules)),
    ] {
        let from = if set.is_some() { file } else { "default" };
        table.row(vec![key.to_owned(), set.unwrap_or_else(|| "none".to_owned()), from.to_owned()]);
    }
    let notes: String = config.notes.iter().map(|note| format!("note: {note}\n")).collect();
    table.render(style) + &notes
}

/// A list as one cell; `None` where it is empty.
fn joined<T: ToString>(all: &[T]) -> Option<String> {
    let all: Vec<String> = all.iter().map(ToString::to_string).collect();
    (!all.is_empty()).then(|| all.join(", "))
}

/// Writes a first configuration.
pub(crate) fn init(it: &Init, context: &Context) -> Ended {
    let directory = project::source(None)?;
    let path = directory.join(PROJECT_FILE);
    if path.exists() && !it.force {
        let message = format!("`{}` exists", path.display());
        return Err(Problem::new(Code::Exists, message).hint("--force replaces it").into());
    }
    std::fs::write(&path, template(it)).map_err(|e| {
        Problem::new(Code::Internal, format!("`{}` could not be written: {e}", path.display()))
    })?;
    context
        .output
        .result(&serde_json::json!({ "file": path }), |_, _| format!("wrote {}", path.display()))?;
    Ok(0)
}

/// The text of a first configuration: what the user said, and the rest as comments.
fn template(it: &Init) -> String {
    let list = |files: &[std::path::PathBuf]| {
        let values = files.iter().map(|file| Value::from(file.to_string_lossy().as_ref()));
        (!files.is_empty()).then(|| Value::Array(values.collect()).to_string())
    };
    let text = |text: Option<&str>| text.map(|text| Value::from(text).to_string());
    let mut out = String::from("# dwell's view of this project; every key may be left out.\n");
    let mut entry = |comment: &str, key: &str, value: Option<String>, example: &str| {
        // Writing to a String cannot fail.
        let _ = match value {
            Some(value) => write!(out, "\n# {comment}\n{key} = {value}\n"),
            None => write!(out, "\n# {comment}\n# {key} = {example}\n"),
        };
    };
    let name = it.name.as_ref().map(|name| name.as_str());
    entry("The project's name; by default the directory's.", "project", text(name), "\"shop\"");
    let example = "[\"compose.yaml\"]";
    entry("Compose files, in order.", "compose_files", list(&it.compose_files), example);
    let example = "[\".env\"]";
    entry("Files of variables for them.", "env_files", list(&it.env_files), example);
    let suffix = it.dns_suffix.as_ref().map(|suffix| suffix.as_str());
    entry("What the names end in.", "dns_suffix", text(suffix), "\"test\"");
    entry("The service behind an environment's own name.", "ingress", None, "\"web\"");
    entry("Ignored files that every copy gets.", "copy", None, "[\".env*\"]");
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::arguments::{Arguments, Command};
    use clap::Parser;

    #[test]
    fn a_first_configuration_says_what_was_asked_and_comments_the_rest() {
        let words = "dwell init --name Shop --compose a.yaml --compose b.yaml --dns-suffix .dev.x";
        let Command::Init(it) = Arguments::parse_from(words.split(' ')).command else {
            panic!("not init");
        };
        insta::assert_snapshot!(template(&it), @r#"
        # dwell's view of this project; every key may be left out.

        # The project's name; by default the directory's.
        project = "shop"

        # Compose files, in order.
        compose_files = ["a.yaml","b.yaml"]

        # Files of variables for them.
        # env_files = [".env"]

        # What the names end in.
        dns_suffix = "dev.x"

        # The service behind an environment's own name.
        # ingress = "web"

        # Ignored files that every copy gets.
        # copy = [".env*"]
        "#);
        let config = ProjectConfig::from_dwell(&template(&it)).unwrap();
        assert_eq!(config.project.unwrap().as_str(), "shop");
        assert_eq!((config.compose_files.len(), config.copy.len()), (2, 0));
    }

    #[test]
    fn the_commented_examples_are_valid() {
        let Command::Init(it) = Arguments::parse_from(["dwell", "init"]).command else {
            panic!("not init");
        };
        let text = template(&it);
        let uncommented = text.lines().map(|line| match line.strip_prefix("# ") {
            Some(entry) if entry.contains(" = ") => entry,
            _ => line,
        });
        let text: String = uncommented.map(|line| format!("{line}\n")).collect();
        let config = ProjectConfig::from_dwell(&text).unwrap();
        assert_eq!(config.ingress.unwrap().as_str(), "web");
        assert_eq!(config.copy.len(), 1);
    }

    #[test]
    fn every_setting_says_where_it_comes_from() {
        let root = tempfile::tempdir().unwrap();
        std::fs::write(root.path().join(PROJECT_FILE), "project = \"shop\"\nshare = [\"db\"]")
            .unwrap();
        let config = project::config(root.path()).unwrap();
        let text = shown(root.path(), &config, Style::PLAIN);
        let rows: Vec<Vec<&str>> =
            text.lines().map(|line| line.split_whitespace().collect()).collect();
        for row in [
            ["project", "shop", "dwell.toml"],
            ["dns_suffix", "test", "default"],
            ["share", "db", "dwell.toml"],
            ["hooks.setup", "none", "default"],
        ] {
            assert!(rows.iter().any(|r| *r == row), "{row:?} in {text}");
        }
    }
}
