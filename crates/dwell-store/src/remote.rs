//! Other nodes in the store: how they are reached, the addresses of what runs there, and what is
//! to be destroyed there.

use std::net::Ipv4Addr;

use dwell_core::remote::Remote;
use dwell_core::{EnvironmentId, NodeName, ServiceName};

use crate::{Store, StoreError, decode, encode};

/// The loopback address that stands for a service on another node.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LoopbackRecord {
    /// The address.
    pub address: Ipv4Addr,
    /// The node.
    pub node: NodeName,
    /// The environment, as that node knows it.
    pub environment: EnvironmentId,
    /// The service.
    pub service: ServiceName,
}

fn parsed<T: std::str::FromStr<Err: std::fmt::Display>>(
    what: &'static str,
    text: &str,
) -> Result<T, StoreError> {
    text.parse().map_err(|e: T::Err| StoreError::Value { what, why: e.to_string() })
}

impl Store {
    /// Registers a node; one with its name must not exist.
    pub async fn add_remote(&self, remote: &Remote) -> Result<(), StoreError> {
        sqlx::query("insert into remote (name, record) values ($1, $2)")
            .bind(remote.name.as_str())
            .bind(encode("remote", remote)?)
            .execute(&self.pool)
            .await?;
        Ok(())
    }

    /// Changes how a registered node is reached.
    pub async fn put_remote(&self, remote: &Remote) -> Result<(), StoreError> {
        sqlx::query("update remote set record = $2 where name = $1")
            .bind(remote.name.as_str())
            .bind(encode("remote", remote)?)
            .execute(&self.pool)
            .await?;
        Ok(())
    }

    /// All registered nodes, by name.
    pub async fn remotes(&self) -> Result<Vec<Remote>, StoreError> {
        let rows: Vec<String> = sqlx::query_scalar("select record from remote order by name")
            .fetch_all(&self.pool)
            .await?;
        rows.iter().map(|text| decode("remote", text)).collect()
    }

    /// Forgets a node, the addresses of what runs there and what was to be destroyed there.
    pub async fn forget_remote(&self, name: &NodeName) -> Result<(), StoreError> {
        let mut all = self.pool.begin().await?;
        for sql in [
            "delete from remote where name = $1",
            "delete from loopback where node = $1",
            "delete from farewell where node = $1",
        ] {
            sqlx::query(sql).bind(name.as_str()).execute(&mut *all).await?;
        }
        all.commit().await?;
        Ok(())
    }

    /// Gives a service a loopback address instead of the one it has; a taken address is `Exists`.
    pub async fn put_loopback(&self, record: &LoopbackRecord) -> Result<(), StoreError> {
        sqlx::query(
            "insert into loopback (address, node, environment, service) values ($1, $2, $3, $4) \
             on conflict (node, environment, service) do update set address = $1",
        )
        .bind(record.address.to_string())
        .bind(record.node.as_str())
        .bind(record.environment.as_str())
        .bind(record.service.as_str())
        .execute(&self.pool)
        .await?;
        Ok(())
    }

    /// All loopback addresses.
    pub async fn loopbacks(&self) -> Result<Vec<LoopbackRecord>, StoreError> {
        let rows: Vec<(String, String, String, String)> =
            sqlx::query_as("select address, node, environment, service from loopback")
                .fetch_all(&self.pool)
                .await?;
        rows.iter()
            .map(|(address, node, environment, service)| {
                Ok(LoopbackRecord {
                    address: parsed("address", address)?,
                    node: parsed("node", node)?,
                    environment: parsed("environment id", environment)?,
                    service: parsed("service", service)?,
                })
            })
            .collect()
    }

    /// Takes a loopback address back.
    pub async fn release_loopback(&self, address: Ipv4Addr) -> Result<(), StoreError> {
        sqlx::query("delete from loopback where address = $1")
            .bind(address.to_string())
            .execute(&self.pool)
            .await?;
        Ok(())
    }

    /// Remembers that an environment is to be destroyed on another node.
    pub async fn add_farewell(
        &self,
        node: &NodeName,
        environment: &EnvironmentId,
    ) -> Result<(), StoreError> {
        sqlx::query(
            "insert into farewell (node, environment) values ($1, $2) on conflict do nothing",
        )
        .bind(node.as_str())
        .bind(environment.as_str())
        .execute(&self.pool)
        .await?;
        Ok(())
    }

    /// The environments that are to be destroyed on a node.
    pub async fn farewells(&self, node: &NodeName) -> Result<Vec<EnvironmentId>, StoreError> {
        let rows: Vec<String> =
            sqlx::query_scalar("select environment from farewell where node = $1")
                .bind(node.as_str())
                .fetch_all(&self.pool)
                .await?;
        rows.iter().map(|text| parsed("environment id", text)).collect()
    }

    /// An environment is gone from a node.
    pub async fn end_farewell(
        &self,
        node: &NodeName,
        environment: &EnvironmentId,
    ) -> Result<(), StoreError> {
        sqlx::query("delete from farewell where node = $1 and environment = $2")
            .bind(node.as_str())
            .bind(environment.as_str())
            .execute(&self.pool)
            .await?;
        Ok(())
    }
}
