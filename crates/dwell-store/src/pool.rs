//! The warm pool in the store. What waits is in a table of its own, so that nothing that looks for
//! workspaces ever meets it.

use dwell_core::WorkspaceId;
use dwell_core::workspace::{Pooled, Workspace};

use crate::{Store, StoreError, decode, encode};

impl Store {
    /// Adds one that waits, or writes its record.
    pub async fn put_pooled(&self, pooled: &Pooled) -> Result<(), StoreError> {
        sqlx::query(
            "insert into pooled (id, record) values ($1, $2) \
             on conflict (id) do update set record = $2",
        )
        .bind(pooled.workspace.id.as_str())
        .bind(encode("pooled workspace", pooled)?)
        .execute(&self.pool)
        .await?;
        Ok(())
    }

    /// All that wait.
    pub async fn pooled(&self) -> Result<Vec<Pooled>, StoreError> {
        let rows: Vec<String> = sqlx::query_scalar("select record from pooled order by id")
            .fetch_all(&self.pool)
            .await?;
        rows.iter().map(|text| decode("pooled workspace", text)).collect()
    }

    /// Whether one of this identity waits.
    pub async fn is_pooled(&self, id: &WorkspaceId) -> Result<bool, StoreError> {
        let found: Option<i64> = sqlx::query_scalar("select 1 from pooled where id = $1")
            .bind(id.as_str())
            .fetch_optional(&self.pool)
            .await?;
        Ok(found.is_some())
    }

    /// Makes one that waits a workspace, with this record of it: both at once, or neither. Says
    /// whether it waited; a name that is taken is `Exists`.
    pub async fn name_pooled(&self, workspace: &Workspace) -> Result<bool, StoreError> {
        let record = encode("workspace", workspace)?;
        let mut both = self.pool.begin().await?;
        let gone = sqlx::query("delete from pooled where id = $1")
            .bind(workspace.id.as_str())
            .execute(&mut *both)
            .await?;
        if gone.rows_affected() == 0 {
            return Ok(false);
        }
        sqlx::query("insert into workspace (id, name, destroyed, record) values ($1, $2, 0, $3)")
            .bind(workspace.id.as_str())
            .bind(workspace.name.as_str())
            .bind(record)
            .execute(&mut *both)
            .await?;
        both.commit().await?;
        Ok(true)
    }

    /// Forgets one that waits.
    pub async fn forget_pooled(&self, id: &WorkspaceId) -> Result<(), StoreError> {
        sqlx::query("delete from pooled where id = $1")
            .bind(id.as_str())
            .execute(&self.pool)
            .await?;
        Ok(())
    }
}
