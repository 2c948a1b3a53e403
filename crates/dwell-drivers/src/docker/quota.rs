//! Whether the engine holds containers and volumes to a size, which depends on its storage driver and
//! on the file system below. Only trying tells.

use std::collections::HashMap;

use bollard::models::{ContainerCreateBody, HostConfig};
use bollard::query_parameters::CreateContainerOptionsBuilder;

use super::{Engine, EngineError, QUICK, Volume};

/// A size that is tried, in bytes.
const TRIED: u64 = 1 << 30;

/// What the engine holds to a size.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Quotas {
    /// What containers change in their file system.
    pub containers: bool,
    /// Volumes.
    pub volumes: bool,
}

impl Engine {
    /// Tries both with something of this name, which is removed again. The container, of an image
    /// that is there, is never started.
    pub async fn quotas(
        &self,
        name: &str,
        image: &str,
        labels: HashMap<String, String>,
    ) -> Result<Quotas, EngineError> {
        let body = ContainerCreateBody {
            image: Some(image.to_owned()),
            entrypoint: Some(vec!["true".to_owned()]),
            labels: Some(labels.clone()),
            host_config: Some(HostConfig {
                network_mode: Some("none".to_owned()),
                storage_opt: Some(size_option(TRIED)),
                ..HostConfig::default()
            }),
            ..ContainerCreateBody::default()
        };
        let options = CreateContainerOptionsBuilder::new().name(name).build();
        let create = self.docker()?.create_container(Some(options), body);
        let containers = accepts(self.call("create container", QUICK, create).await.map(drop))?;
        self.remove(name).await?;
        let volume = Volume {
            name: name.to_owned(),
            driver: "local".to_owned(),
            options: size_option(TRIED),
            labels,
        };
        let volumes = accepts(self.create_volume(&volume).await)?;
        self.remove_volume(name).await?;
        Ok(Quotas { containers, volumes })
    }
}

/// The option for a size in bytes, of containers and of volumes.
pub fn size_option(bytes: u64) -> HashMap<String, String> {
    HashMap::from([("size".to_owned(), bytes.to_string())])
}

/// Whether the engine did it; that it did not answer is no answer.
fn accepts(done: Result<(), EngineError>) -> Result<bool, EngineError> {
    match done {
        Ok(()) => Ok(true),
        Err(EngineError::Other(_) | EngineError::Conflict(_)) => Ok(false),
        Err(error) => Err(error),
    }
}
