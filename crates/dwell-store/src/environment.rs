//! Environments in the store.

use dwell_core::environment::Environment;
use dwell_core::{EnvironmentId, EnvironmentName, ProjectName};

use crate::{Store, StoreError, decode, encode};

impl Store {
    /// Adds an environment; one with its project and name must not exist.
    pub async fn add_environment(&self, environment: &Environment) -> Result<(), StoreError> {
        sqlx::query("insert into environment (id, project, name, record) values ($1, $2, $3, $4)")
            .bind(environment.id.as_str())
            .bind(environment.project.as_str())
            .bind(environment.name.as_str())
            .bind(encode("environment", environment)?)
            .execute(&self.pool)
            .await?;
        Ok(())
    }

    /// Writes an environment's record; nothing happens when it was forgotten meanwhile.
    pub async fn put_environment(&self, environment: &Environment) -> Result<(), StoreError> {
        sqlx::query("update environment set record = $2 where id = $1")
            .bind(environment.id.as_str())
            .bind(encode("environment", environment)?)
            .execute(&self.pool)
            .await?;
        Ok(())
    }

    /// Forgets an environment.
    pub async fn forget_environment(&self, id: &EnvironmentId) -> Result<(), StoreError> {
        sqlx::query("delete from environment where id = $1")
            .bind(id.as_str())
            .execute(&self.pool)
            .await?;
        Ok(())
    }

    /// One environment.
    pub async fn environment(&self, id: &EnvironmentId) -> Result<Option<Environment>, StoreError> {
        let row: Option<String> =
            sqlx::query_scalar("select record from environment where id = $1")
                .bind(id.as_str())
                .fetch_optional(&self.pool)
                .await?;
        row.map(|text| decode("environment", &text)).transpose()
    }

    /// The environment of a project with this name.
    pub async fn environment_named(
        &self,
        project: &ProjectName,
        name: &EnvironmentName,
    ) -> Result<Option<Environment>, StoreError> {
        let row: Option<String> =
            sqlx::query_scalar("select record from environment where project = $1 and name = $2")
                .bind(project.as_str())
                .bind(name.as_str())
                .fetch_optional(&self.pool)
                .await?;
        row.map(|text| decode("environment", &text)).transpose()
    }

    /// All environments, by project and name.
    pub async fn environments(&self) -> Result<Vec<Environment>, StoreError> {
        let rows: Vec<String> =
            sqlx::query_scalar("select record from environment order by project, name")
                .fetch_all(&self.pool)
                .await?;
        rows.iter().map(|text| decode("environment", text)).collect()
    }
}
