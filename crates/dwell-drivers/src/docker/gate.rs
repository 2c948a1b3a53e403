//! Freezing a container waits for commands that are being started in it: one that is frozen before it
//! has begun is waited for by the engine for ever, and with it other calls, also for other containers.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::{OwnedRwLockReadGuard, OwnedRwLockWriteGuard, RwLock};
use tokio::time::Instant;

use super::{Engine, EngineError, QUICK};

/// How often it is looked whether a command has begun.
const LOOK: Duration = Duration::from_millis(5);
/// How many containers are remembered before those are forgotten in which nothing begins.
const MANY: usize = 1024;

/// The containers in which something begins.
#[derive(Debug, Clone, Default)]
pub(super) struct Gates(Arc<Mutex<HashMap<String, Arc<RwLock<()>>>>>);

impl Gates {
    fn of(&self, container: &str) -> Arc<RwLock<()>> {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if all.len() > MANY {
            all.retain(|_, gate| Arc::strong_count(gate) > 1);
        }
        all.entry(container.to_owned()).or_default().clone()
    }

    /// Held while a command begins.
    pub(super) async fn begin(&self, container: &str) -> OwnedRwLockReadGuard<()> {
        self.of(container).read_owned().await
    }

    /// Held while a container is frozen.
    pub(super) async fn freeze(
        &self,
        container: &str,
    ) -> Result<OwnedRwLockWriteGuard<()>, EngineError> {
        let call = "freeze container";
        let alone = tokio::time::timeout(QUICK, self.of(container).write_owned()).await;
        alone.map_err(|_| EngineError::TimedOut { call, limit: QUICK })
    }
}

impl Engine {
    /// Holds on until a command has begun or ended, as the engine tells.
    pub(super) async fn until_begun(self, id: String, held: OwnedRwLockReadGuard<()>) {
        let deadline = Instant::now() + QUICK;
        while Instant::now() < deadline {
            let Ok(docker) = self.docker() else { break };
            let Ok(seen) = self.call("inspect exec", QUICK, docker.inspect_exec(&id)).await else {
                break;
            };
            if seen.pid.is_some_and(|pid| pid > 0) || seen.exit_code.is_some() {
                break;
            }
            tokio::time::sleep(LOOK).await;
        }
        drop(held);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn freezing_waits_for_what_begins_there_and_for_nothing_else() {
        let gates = Gates::default();
        let (one, two) = (gates.begin("box").await, gates.begin("box").await);
        drop(gates.freeze("other").await.unwrap());
        assert!(matches!(gates.freeze("box").await, Err(EngineError::TimedOut { .. })));
        drop((one, two));
        let frozen = gates.freeze("box").await.unwrap();
        let begins = tokio::time::timeout(QUICK, gates.begin("box")).await;
        assert!(begins.is_err(), "nothing begins while it is being frozen");
        drop(frozen);
        drop(gates.begin("box").await);
    }
}
