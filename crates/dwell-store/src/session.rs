//! Sessions in the store: what was started, so that it can be listed and started again.

use std::path::PathBuf;

use dwell_core::{EnvironmentId, SessionName};
use serde::{Deserialize, Serialize};

use crate::{Store, StoreError, decode, encode};

/// A session that was started.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SessionRecord {
    /// Its environment.
    pub environment: EnvironmentId,
    /// Its name, unique in the environment.
    pub name: SessionName,
    /// The command and its arguments.
    pub command: Vec<String>,
    /// Its working directory.
    pub directory: PathBuf,
    /// The directory of its transcript and exit code.
    pub files: PathBuf,
    /// When it was started.
    pub started: i64,
}

impl Store {
    /// Records a session, in place of an ended one with the same name.
    pub async fn put_session(&self, session: &SessionRecord) -> Result<(), StoreError> {
        sqlx::query(
            "insert into session (environment, name, record, started) values ($1, $2, $3, $4) \
             on conflict (environment, name) do update set record = $3, started = $4",
        )
        .bind(session.environment.as_str())
        .bind(session.name.as_str())
        .bind(encode("session", session)?)
        .bind(session.started)
        .execute(&self.pool)
        .await?;
        Ok(())
    }

    /// All sessions, oldest first.
    pub async fn sessions(&self) -> Result<Vec<SessionRecord>, StoreError> {
        let rows: Vec<String> = sqlx::query_scalar("select record from session order by started")
            .fetch_all(&self.pool)
            .await?;
        rows.iter().map(|text| decode("session", text)).collect()
    }

    /// Forgets a session.
    pub async fn forget_session(
        &self,
        environment: &EnvironmentId,
        name: &SessionName,
    ) -> Result<(), StoreError> {
        sqlx::query("delete from session where environment = $1 and name = $2")
            .bind(environment.as_str())
            .bind(name.as_str())
            .execute(&self.pool)
            .await?;
        Ok(())
    }

    /// Forgets all sessions of an environment.
    pub async fn forget_sessions(&self, environment: &EnvironmentId) -> Result<(), StoreError> {
        sqlx::query("delete from session where environment = $1")
            .bind(environment.as_str())
            .execute(&self.pool)
            .await?;
        Ok(())
    }
}
