//! Workspaces in the store, also those that are destroyed and whose homes are kept.

use dwell_core::WorkspaceId;
use dwell_core::workspace::{Desired, Workspace};

use crate::{Store, StoreError, decode, encode};

impl Store {
    /// Adds a workspace or writes its record; another one with its name is `Exists`, unless one
    /// of the two is destroyed.
    pub async fn put_workspace(&self, workspace: &Workspace) -> Result<(), StoreError> {
        sqlx::query(
            "insert into workspace (id, name, destroyed, record) values ($1, $2, $3, $4) \
             on conflict (id) do update set name = $2, destroyed = $3, record = $4",
        )
        .bind(workspace.id.as_str())
        .bind(workspace.name.as_str())
        .bind(workspace.desired == Desired::Destroyed)
        .bind(encode("workspace", workspace)?)
        .execute(&self.pool)
        .await?;
        Ok(())
    }

    /// One workspace.
    pub async fn workspace(&self, id: &WorkspaceId) -> Result<Option<Workspace>, StoreError> {
        let row: Option<String> = sqlx::query_scalar("select record from workspace where id = $1")
            .bind(id.as_str())
            .fetch_optional(&self.pool)
            .await?;
        row.map(|text| decode("workspace", &text)).transpose()
    }

    /// All workspaces, by name.
    pub async fn workspaces(&self) -> Result<Vec<Workspace>, StoreError> {
        let rows: Vec<String> =
            sqlx::query_scalar("select record from workspace order by name, destroyed, id")
                .fetch_all(&self.pool)
                .await?;
        rows.iter().map(|text| decode("workspace", text)).collect()
    }

    /// Forgets a workspace.
    pub async fn forget_workspace(&self, id: &WorkspaceId) -> Result<(), StoreError> {
        sqlx::query("delete from workspace where id = $1")
            .bind(id.as_str())
            .execute(&self.pool)
            .await?;
        Ok(())
    }
}
