//! The models of projects that go to other nodes, as they were read last: an `up` of what has not
//! changed reads nothing, and many at once read it once.

use std::collections::{BTreeMap, HashMap};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use dwell_api::Problem;
use dwell_core::config::ProjectConfig;
use dwell_core::environment::Environment;
use serde_json::Value;

use super::stamp::stamp;
use super::up::read_model;
use crate::facts::Stamp;

/// As many are kept, and no more that nobody reads now.
const KEPT: usize = 32;

type Reading = Arc<tokio::sync::Mutex<Option<(Stamp, Value)>>>;

/// The last model of each directory; in memory only, as secrets may be in it.
#[derive(Default)]
pub(crate) struct Readings {
    last: Mutex<HashMap<PathBuf, Reading>>,
}

impl Readings {
    /// The model of the project in an environment's directory, as [`read_model`] gives it.
    pub(crate) async fn model(
        &self,
        environment: &Environment,
        config: &ProjectConfig,
        variables: &BTreeMap<String, String>,
    ) -> Result<Value, Problem> {
        let reading = self.of(environment.directory());
        let mut last = reading.lock().await;
        let stamp = stamp(environment, config, variables);
        if let Some((_, model)) =
            last.as_ref().filter(|(was, _)| !was.hash.is_empty() && *was == stamp)
        {
            return Ok(model.clone());
        }
        let model = read_model(environment, config, variables).await?;
        *last = Some((stamp, model.clone()));
        Ok(model)
    }

    fn of(&self, directory: &Path) -> Reading {
        let mut last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        if last.len() >= KEPT && !last.contains_key(directory) {
            last.retain(|_, reading| Arc::strong_count(reading) > 1);
        }
        Arc::clone(last.entry(directory.to_owned()).or_default())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_more_are_kept_than_are_of_use() {
        let readings = Readings::default();
        let held = readings.of(Path::new("/held"));
        for number in 0..3 * KEPT {
            readings.of(Path::new(&format!("/{number}")));
        }
        assert!(readings.last.lock().unwrap().len() <= KEPT);
        assert!(Arc::ptr_eq(&held, &readings.of(Path::new("/held"))));
    }
}
