//! Which contents the user trusted, by source directory.

use crate::{Store, StoreError};

impl Store {
    /// Records that the user trusted exactly this content of a source.
    pub async fn trust(&self, source: &str, hash: &str, now: i64) -> Result<(), StoreError> {
        sqlx::query(
            "insert into trust (source, hash, created) values ($1, $2, $3) on conflict do nothing",
        )
        .bind(source)
        .bind(hash)
        .bind(now)
        .execute(&self.pool)
        .await?;
        Ok(())
    }

    /// The hashes trusted for a source.
    pub async fn trusted(&self, source: &str) -> Result<Vec<String>, StoreError> {
        let rows = sqlx::query_scalar("select hash from trust where source = $1 order by created")
            .bind(source)
            .fetch_all(&self.pool)
            .await?;
        Ok(rows)
    }

    /// Takes back all trust in a source.
    pub async fn distrust(&self, source: &str) -> Result<(), StoreError> {
        sqlx::query("delete from trust where source = $1").bind(source).execute(&self.pool).await?;
        Ok(())
    }
}
