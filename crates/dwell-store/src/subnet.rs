//! Allotted subnets in the store.

use crate::{Store, StoreError};

impl Store {
    /// Allots a network (as `a.b.c.d/n`) to an owner's key; taken already is `Exists`.
    pub async fn add_subnet(
        &self,
        network: &str,
        owner: &str,
        key: &str,
    ) -> Result<(), StoreError> {
        sqlx::query("insert into subnet (network, owner, key) values ($1, $2, $3)")
            .bind(network)
            .bind(owner)
            .bind(key)
            .execute(&self.pool)
            .await?;
        Ok(())
    }

    /// An owner's networks: key and network.
    pub async fn subnets_of(&self, owner: &str) -> Result<Vec<(String, String)>, StoreError> {
        let rows = sqlx::query_as("select key, network from subnet where owner = $1 order by key")
            .bind(owner)
            .fetch_all(&self.pool)
            .await?;
        Ok(rows)
    }

    /// All allotted networks: owner and network.
    pub async fn subnets(&self) -> Result<Vec<(String, String)>, StoreError> {
        let rows = sqlx::query_as("select owner, network from subnet order by network")
            .fetch_all(&self.pool)
            .await?;
        Ok(rows)
    }

    /// Releases one of an owner's networks.
    pub async fn release_subnet(&self, owner: &str, key: &str) -> Result<(), StoreError> {
        sqlx::query("delete from subnet where owner = $1 and key = $2")
            .bind(owner)
            .bind(key)
            .execute(&self.pool)
            .await?;
        Ok(())
    }

    /// Releases all of an owner's networks.
    pub async fn release_subnets(&self, owner: &str) -> Result<(), StoreError> {
        sqlx::query("delete from subnet where owner = $1").bind(owner).execute(&self.pool).await?;
        Ok(())
    }
}
