//! `config` and `init`: the project's own configuration.

use std::fmt::Write as _;

use dwell_api::{Code, Problem};
use dwell_core::config::{PROJECT_FILE, ProjectConfig, schema};
use serde_json::Value;

use super::Context;
use crate::arguments::setup::{Config, ConfigAction, Init};
use crate::failure::Ended;
use crate::project;

/// Shows the configuration or its schema, or writes a first one.
pub(crate) fn run(it: Config, context: &Context) -> Ended {
    if let Some(ConfigAction::Init(it)) = it.action {
        return init(&it, context);
    }
    if it.schema {
        let schema = serde_json::to_string_pretty(&schema()).map_err(std::io::Error::from)?;
        context.output.text(&schema)?;
        return Ok(0);
    }
    let source = project::source(it.from.as_deref())?;
    context.output.result(&project::config(&source)?, |config, _| shown(config))?;
    Ok(0)
}

/// The configuration as TOML, without what is not set; notes are comments.
fn shown(config: &ProjectConfig) -> String {
    let mut value = serde_json::to_value(config).unwrap_or_default();
    let mut text = String::new();
    for note in &config.notes {
        text += &format!("# {note}\n");
    }
    if let Value::Object(all) = &mut value {
        all.remove("notes");
    }
    prune(&mut value);
    text + &toml::to_string_pretty(&value).unwrap_or_else(|_| value.to_string())
}

/// Takes out what is null or empty.
fn prune(value: &mut Value) {
    if let Value::Object(all) = value {
        all.values_mut().for_each(prune);
        all.retain(|_, value| match value {
            Value::Null => false,
            Value::Array(items) => !items.is_empty(),
            Value::Object(all) => !all.is_empty(),
            _ => true,
        });
    }
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
    fn what_is_not_set_is_not_shown() {
        let config = ProjectConfig::from_dwell("project = \"shop\"\nshare = [\"db\"]").unwrap();
        assert_eq!(shown(&config), "origin = \"dwell\"\nproject = \"shop\"\nshare = [\"db\"]\n");
    }
}
