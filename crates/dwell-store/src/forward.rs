//! Forwards that the daemon holds until they are stopped.

use std::net::SocketAddr;

use dwell_core::forward::Forward;

use crate::{Store, StoreError, decode, encode};

impl Store {
    /// Adds a forward; another one that listens there is `Exists`.
    pub async fn add_forward(&self, forward: &Forward) -> Result<(), StoreError> {
        sqlx::query("insert into forward (listen, record) values ($1, $2)")
            .bind(forward.listen.to_string())
            .bind(encode("forward", forward)?)
            .execute(&self.pool)
            .await?;
        Ok(())
    }

    /// All forwards.
    pub async fn forwards(&self) -> Result<Vec<Forward>, StoreError> {
        let rows: Vec<String> = sqlx::query_scalar("select record from forward order by listen")
            .fetch_all(&self.pool)
            .await?;
        rows.iter().map(|text| decode("forward", text)).collect()
    }

    /// Forgets a forward.
    pub async fn forget_forward(&self, listen: &SocketAddr) -> Result<(), StoreError> {
        sqlx::query("delete from forward where listen = $1")
            .bind(listen.to_string())
            .execute(&self.pool)
            .await?;
        Ok(())
    }
}
