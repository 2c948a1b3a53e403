//! Volumes, secrets and configs with private names.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Map, Value};

use super::error::IsolationError;
use super::model::{Model, Object, head, is_external, text};
use super::note::{NoteKind, Notes};
use super::scope::Scope;
use crate::VolumeName;
use crate::name::ServiceName;

/// The keys of the named volumes that a service mounts.
pub(super) fn named_volumes(service: &Object) -> BTreeSet<String> {
    let mounts = service.get("volumes").and_then(Value::as_array);
    let mounts = mounts.into_iter().flatten();
    mounts
        .filter_map(|mount| match mount {
            Value::Object(long) => {
                let kind = long.get("type").and_then(Value::as_str);
                long.get("source").and_then(text).filter(|_| kind == Some("volume"))
            }
            short => {
                let short = text(short)?;
                let source = short.contains(':').then(|| head(&short).to_owned())?;
                (!source.starts_with(['/', '.', '~'])).then_some(source)
            }
        })
        .collect()
}

/// The named volumes that each service mounts, as far as they are the environment's own.
///
/// # Errors
/// When the model is not one.
pub fn mounted(
    model: &Value,
) -> Result<BTreeMap<ServiceName, BTreeSet<VolumeName>>, IsolationError> {
    let model = Model::parse(model)?;
    let external =
        |key: &str| model.section("volumes").any(|(k, body)| k == key && is_external(&body));
    let mut all = BTreeMap::new();
    for (name, service) in model.services() {
        let own = named_volumes(service).into_iter().filter(|key| !external(key));
        let own = own.filter_map(|key| key.parse().ok()).collect();
        all.insert(name.clone(), own);
    }
    Ok(all)
}

/// The environment's volumes. Those that only relayed services mount are left out; where one
/// that runs here mounts the same, people are told that the data is not.
pub(super) fn volumes(
    model: &Model<'_>,
    scope: &Scope,
    relayed: impl Fn(&ServiceName) -> bool,
    notes: &mut Notes,
) -> Object {
    let used_by = |wanted: bool| -> BTreeSet<String> {
        let services = model.services().filter(|(name, _)| relayed(name) == wanted);
        services.flat_map(|(_, service)| named_volumes(service)).collect()
    };
    let (away, here) = (used_by(true), used_by(false));
    let mut section = Map::new();
    for (key, body) in model.section("volumes") {
        if away.contains(key) && !here.contains(key) {
            continue;
        }
        if away.contains(key) {
            let text = "a service that runs elsewhere mounts it too, and has other data in it";
            notes.add(NoteKind::Changed, format!("volume `{key}`"), text);
        }
        section.insert(key.clone(), Value::Object(volume(key, body, scope, notes)));
    }
    section
}

/// One volume with its private name, unless it is external.
pub(super) fn volume(key: &str, mut body: Object, scope: &Scope, notes: &mut Notes) -> Object {
    let object = || format!("volume `{key}`");
    if is_external(&body) {
        let name = body.get("name").and_then(text).unwrap_or_else(|| key.to_owned());
        let text = format!("it is the external volume `{name}`, which other environments also use");
        notes.add(NoteKind::Shared, object(), text);
        return body;
    }
    let device = body.get("driver_opts").and_then(|options| options.get("device")).and_then(text);
    if let Some(device) = device.filter(|device| device.contains('/')) {
        let text = format!("its data is at `{device}`, which is the same for all environments");
        notes.add(NoteKind::Shared, object(), text);
    }
    body.insert("name".to_owned(), Value::String(scope.private_name(key)));
    scope.label(&mut body);
    body
}

/// The section `secrets` or `configs`, with private names for what is not external.
pub(super) fn files(model: &Model<'_>, key: &str, scope: &Scope, notes: &mut Notes) -> Object {
    let what = key.trim_end_matches('s');
    let entries = model.section(key).map(|(name, mut body)| {
        if is_external(&body) {
            let text = "it is made outside the project, and is the same for all environments";
            notes.add(NoteKind::Shared, format!("{what} `{name}`"), text);
        } else {
            body.insert("name".to_owned(), Value::String(scope.private_name(name)));
        }
        (name.clone(), Value::Object(body))
    });
    entries.collect()
}
