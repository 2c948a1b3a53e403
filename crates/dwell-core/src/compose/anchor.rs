//! A canonical model made independent of where its source tree is: the paths in it that lie in
//! the tree are written relative to it, and made absolute again in another place.
//!
//! Only settings that hold paths are looked at. What else holds the tree's path, a variable for
//! instance, is the project's own text.

use std::path::{Component, Path};

use serde_json::Value;

use super::model::{Object, escaped, plain, text};
use crate::tree::TreePath;

/// What stands for the root of the source tree. No absolute path and no address starts so.
const MARK: &str = "dwell-tree:";

/// Why a model's paths cannot be rewritten.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum AnchorError {
    /// The tree's root is not an absolute path of text.
    #[error("the source tree's path is not an absolute path that is text")]
    Root,
    /// A path of the project looks like one that was rewritten.
    #[error("{key}: `{value}` cannot be used as a path")]
    Reserved {
        /// The setting.
        key: String,
        /// Its value, escaped.
        value: String,
    },
    /// A path leads out of the tree.
    #[error("{key}: `{value}` leads out of the source tree")]
    Escapes {
        /// The setting.
        key: String,
        /// Its value, escaped.
        value: String,
    },
}

/// Writes the paths of a model that lie in the tree with this root relative to it.
///
/// # Errors
/// When the root or a path cannot be told in text, or a Dockerfile's path leads out of the tree.
pub fn anchor(model: &Value, root: &Path) -> Result<Value, AnchorError> {
    if !root.is_absolute() || root.to_str().is_none() {
        return Err(AnchorError::Root);
    }
    rewritten(model, |key, given| {
        if given.starts_with(MARK) {
            let (key, value) = (key.to_owned(), given.escape_debug().to_string());
            return Err(AnchorError::Reserved { key, value });
        }
        let inside = TreePath::of(root, Path::new(given));
        Ok(inside.filter(|_| given.starts_with('/')).map(|path| format!("{MARK}{path}")))
    })
}

/// Puts the paths of an anchored model into the tree with this root.
///
/// # Errors
/// When the root cannot be told in text, or a path leads out of the tree.
pub fn unanchor(model: &Value, root: &Path) -> Result<Value, AnchorError> {
    if !root.is_absolute() {
        return Err(AnchorError::Root);
    }
    rewritten(model, |key, given| {
        let Some(rest) = given.strip_prefix(MARK) else { return Ok(None) };
        let escapes = |_| AnchorError::Escapes {
            key: key.to_owned(),
            value: given.escape_debug().to_string(),
        };
        let path: TreePath = rest.parse().map_err(escapes)?;
        path.below(root).to_str().map(|path| Some(path.to_owned())).ok_or(AnchorError::Root)
    })
}

/// The model with every path changed for which `change` gives another; it is asked with the
/// setting's name and the path as people write it.
fn rewritten(
    model: &Value,
    change: impl Fn(&str, &str) -> Result<Option<String>, AnchorError>,
) -> Result<Value, AnchorError> {
    let mut model = model.clone();
    let rewriter = Rewriter { change };
    for (name, body) in members(&mut model, "services") {
        rewriter.service(name, body)?;
    }
    for section in ["secrets", "configs"] {
        for (name, body) in members(&mut model, section) {
            rewriter.at(&format!("{section}.{name}.file"), body.get_mut("file"))?;
        }
    }
    for (name, body) in members(&mut model, "volumes") {
        let device = body.get_mut("driver_opts").and_then(|options| options.get_mut("device"));
        rewriter.at(&format!("volumes.{name}.driver_opts.device"), device)?;
    }
    Ok(model)
}

struct Rewriter<F> {
    change: F,
}

impl<F: Fn(&str, &str) -> Result<Option<String>, AnchorError>> Rewriter<F> {
    fn at(&self, key: &str, value: Option<&mut Value>) -> Result<(), AnchorError> {
        let Some(value) = value else { return Ok(()) };
        let Some(given) = value.as_str().map(plain) else { return Ok(()) };
        if let Some(path) = (self.change)(key, &given)? {
            *value = Value::String(escaped(&path));
        }
        Ok(())
    }

    fn service(&self, name: &str, body: &mut Object) -> Result<(), AnchorError> {
        let key = |setting: &str| format!("services.{name}.{setting}");
        for mount in items(body.get_mut("volumes")) {
            match mount {
                Value::Object(long) if is_bind(long) => {
                    self.at(&key("volumes"), long.get_mut("source"))?;
                }
                Value::String(_) => self.before_colon(&key("volumes"), mount)?,
                _ => {}
            }
        }
        for setting in ["env_file", "label_file"] {
            match body.get_mut(setting) {
                Some(Value::Array(files)) => {
                    for file in files {
                        self.file(&key(setting), file)?;
                    }
                }
                Some(file) => self.file(&key(setting), file)?,
                None => {}
            }
        }
        let watched = body.get_mut("develop").and_then(|develop| develop.get_mut("watch"));
        for rule in items(watched) {
            self.at(&key("develop.watch"), rule.get_mut("path"))?;
        }
        match body.get_mut("build") {
            Some(Value::Object(build)) => self.build(name, build),
            short => self.at(&key("build"), short),
        }
    }

    /// A file by its path, or by a map with one.
    fn file(&self, key: &str, file: &mut Value) -> Result<(), AnchorError> {
        match file {
            Value::Object(long) => self.at(key, long.get_mut("path")),
            short => self.at(key, Some(short)),
        }
    }

    /// The short form of a mount, `source:target[:options]`.
    fn before_colon(&self, key: &str, mount: &mut Value) -> Result<(), AnchorError> {
        let short = mount.as_str().unwrap_or_default().to_owned();
        // An anchored path has a colon of its own.
        let skipped = if short.starts_with(MARK) { MARK.len() } else { 0 };
        let rest = short.get(skipped..).unwrap_or_default();
        let Some(end) = rest.find(':').map(|end| skipped + end) else { return Ok(()) };
        let (Some(source), Some(rest)) = (short.get(..end), short.get(end..)) else {
            return Ok(());
        };
        if let Some(path) = (self.change)(key, &plain(source))? {
            *mount = Value::String(format!("{}{rest}", escaped(&path)));
        }
        Ok(())
    }

    fn build(&self, name: &str, build: &mut Object) -> Result<(), AnchorError> {
        let key = |setting: &str| format!("services.{name}.build.{setting}");
        let before = build.get("context").and_then(text).unwrap_or_default();
        self.at(&key("context"), build.get_mut("context"))?;
        let after = build.get("context").and_then(text).unwrap_or_default();
        if let Some(context) = [&before, &after].iter().find_map(|text| text.strip_prefix(MARK)) {
            let file = build.get("dockerfile").and_then(text).unwrap_or_default();
            stays(&key("dockerfile"), &plain(context), &plain(&file))?;
        }
        self.at(&key("dockerfile"), build.get_mut("dockerfile"))?;
        let contexts = key("additional_contexts");
        match build.get_mut("additional_contexts") {
            Some(Value::Object(map)) => {
                for value in map.values_mut() {
                    self.at(&contexts, Some(value))?;
                }
            }
            list => {
                for item in items(list) {
                    let Some((label, path)) = item.as_str().and_then(|text| text.split_once('='))
                    else {
                        continue;
                    };
                    if let Some(path) = (self.change)(&contexts, &plain(path))? {
                        *item = Value::String(format!("{label}={}", escaped(&path)));
                    }
                }
            }
        }
        Ok(())
    }
}

/// Refuses a Dockerfile whose relative path leads out of the tree that its context is in, also
/// where it comes back: the tree's root is called otherwise on another node.
fn stays(key: &str, context: &str, file: &str) -> Result<(), AnchorError> {
    let mut depth = 0_usize;
    let parts = if file.starts_with('/') { "" } else { file };
    for part in Path::new(context).join(parts).components() {
        let deeper = match part {
            Component::Normal(_) => depth.checked_add(1),
            Component::ParentDir => depth.checked_sub(1),
            _ => Some(depth),
        };
        let escapes =
            || AnchorError::Escapes { key: key.to_owned(), value: file.escape_debug().to_string() };
        depth = deeper.ok_or_else(escapes)?;
    }
    Ok(())
}

fn is_bind(mount: &Object) -> bool {
    mount.get("type").and_then(Value::as_str) == Some("bind")
}

fn items(value: Option<&mut Value>) -> impl Iterator<Item = &mut Value> {
    value.and_then(Value::as_array_mut).into_iter().flatten()
}

fn members<'a>(
    model: &'a mut Value,
    section: &str,
) -> impl Iterator<Item = (&'a str, &'a mut Object)> {
    let entries = model.get_mut(section).and_then(Value::as_object_mut);
    entries
        .into_iter()
        .flatten()
        .filter_map(|(name, body)| Some((name.as_str(), body.as_object_mut()?)))
}
