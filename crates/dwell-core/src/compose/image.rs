//! Tags of images that the project builds, made private so that environments do not overwrite
//! each other's.

use std::collections::BTreeMap;

use serde_json::Value;

use super::model::{Model, Object, text};
use super::scope::Scope;
use crate::name::ServiceName;

/// The private tags of one environment.
pub(super) struct Images {
    /// The tag of each service that is built.
    built: BTreeMap<ServiceName, String>,
    /// The service that builds each fixed tag, for others that use the same.
    by_fixed: BTreeMap<String, ServiceName>,
}

impl Images {
    pub(super) fn plan(
        model: &Model<'_>,
        labels: &BTreeMap<ServiceName, String>,
        scope: &Scope,
    ) -> Self {
        let mut built = BTreeMap::new();
        let mut by_fixed = BTreeMap::new();
        for (name, service) in model.services().filter(|(_, service)| is_built(service)) {
            let label = labels.get(name).cloned().unwrap_or_else(|| name.label());
            let private = scope.image(&label);
            if let Some(fixed) = service.get("image").and_then(text) {
                by_fixed.entry(full_reference(&fixed)).or_insert_with(|| name.clone());
            }
            built.insert(name.clone(), private);
        }
        Self { built, by_fixed }
    }

    /// Gives a service its private image, if it is built here or uses one that is.
    pub(super) fn apply(&self, name: &ServiceName, service: &mut Object) {
        if let Some(private) = self.built.get(name) {
            service.insert("image".to_owned(), Value::String(private.clone()));
            if let Some(Value::Object(build)) = service.get_mut("build") {
                build.shift_remove("tags");
            }
            never_pulled(service);
            return;
        }
        if let Some(private) = self.builder(service).and_then(|builder| self.built.get(builder)) {
            service.insert("image".to_owned(), Value::String(private.clone()));
            never_pulled(service);
        }
    }

    /// The other service that builds the image which this one uses.
    fn builder(&self, service: &Object) -> Option<&ServiceName> {
        let image = service.get("image").and_then(text)?;
        self.by_fixed.get(&full_reference(&image)).filter(|_| !is_built(service))
    }

    /// How to build the image of a service that uses one another service builds.
    pub(super) fn borrowed_build(&self, model: &Model<'_>, service: &Object) -> Option<Value> {
        model.service(self.builder(service)?)?.get("build").cloned()
    }
}

/// No registry has a private tag, and none is to be asked for it; it is built where it is missing.
fn never_pulled(service: &mut Object) {
    if service.get("pull_policy").and_then(text).as_deref() != Some("build") {
        service.insert("pull_policy".to_owned(), Value::String("never".to_owned()));
    }
}

fn is_built(service: &Object) -> bool {
    service.get("build").is_some_and(|build| !build.is_null())
}

/// An image reference with the tag that is meant where there is none.
pub(super) fn full_reference(image: &str) -> String {
    let name = image.rsplit('/').next().unwrap_or(image);
    if name.contains([':', '@']) { image.to_owned() } else { format!("{image}:latest") }
}
