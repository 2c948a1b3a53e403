//! Sessions in the store: what was started, so that it can be listed and started again.

use std::path::PathBuf;

use dwell_core::{EnvironmentId, SessionName, WorkspaceId};
use serde::{Deserialize, Serialize};

use crate::{Store, StoreError, decode, encode};

/// A session that was started.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SessionRecord {
    /// Its environment: the one that it is in, or on whose tree it works in a workspace.
    #[serde(default)]
    pub environment: Option<EnvironmentId>,
    /// The workspace that it is in.
    #[serde(default)]
    pub workspace: Option<WorkspaceId>,
    /// Its name, unique in the place that it is in.
    pub name: SessionName,
    /// The command and its arguments.
    pub command: Vec<String>,
    /// Its working directory.
    pub directory: PathBuf,
    /// The directory of its transcript and exit code.
    pub files: PathBuf,
    /// When it was started.
    pub started: i64,
    /// Whether it was started again after its workspace was stopped.
    #[serde(default)]
    pub restored: bool,
}

impl SessionRecord {
    /// The identity of the place that it is in: its workspace, else its environment.
    pub fn place(&self) -> &str {
        let environment = self.environment.as_ref().map_or("", EnvironmentId::as_str);
        self.workspace.as_ref().map_or(environment, WorkspaceId::as_str)
    }
}

impl Store {
    /// Records a session, in place of an ended one with the same name.
    pub async fn put_session(&self, session: &SessionRecord) -> Result<(), StoreError> {
        sqlx::query(
            "insert into session (place, name, record, started) values ($1, $2, $3, $4) \
             on conflict (place, name) do update set record = $3, started = $4",
        )
        .bind(session.place())
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

    /// Forgets a session of the place with this identity.
    pub async fn forget_session(&self, place: &str, name: &SessionName) -> Result<(), StoreError> {
        sqlx::query("delete from session where place = $1 and name = $2")
            .bind(place)
            .bind(name.as_str())
            .execute(&self.pool)
            .await?;
        Ok(())
    }

    /// Forgets all sessions of the place with this identity.
    pub async fn forget_sessions(&self, place: &str) -> Result<(), StoreError> {
        sqlx::query("delete from session where place = $1").bind(place).execute(&self.pool).await?;
        Ok(())
    }
}
