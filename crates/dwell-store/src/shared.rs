//! Shared instances and their users in the store.

use dwell_core::{EnvironmentId, ProjectName, ServiceName, SharedId};

use crate::{Store, StoreError, decode, encode};

/// One shared instance of a project's service.
#[derive(Debug, Clone, PartialEq)]
pub struct SharedRecord {
    /// Its identity.
    pub id: SharedId,
    /// The project.
    pub project: ProjectName,
    /// The service.
    pub service: ServiceName,
    /// The hash of the definition it was started with.
    pub hash: String,
    /// That definition: a compose model.
    pub definition: serde_json::Value,
    /// Since when nobody uses it; `None` while somebody does.
    pub idle_since: Option<i64>,
}

type Row = (String, String, String, String, String, Option<i64>);

const SELECT: &str = "select id, project, service, hash, definition, idle_since from shared";

fn record(row: Row) -> Result<SharedRecord, StoreError> {
    let value = |what, why: String| StoreError::Value { what, why };
    let (id, project, service, hash, definition, idle_since) = row;
    Ok(SharedRecord {
        id: id.parse().map_err(|e| value("shared id", format!("{e}")))?,
        project: project.parse().map_err(|e| value("project", format!("{e}")))?,
        service: service.parse().map_err(|e| value("service", format!("{e}")))?,
        hash,
        definition: decode("definition", &definition)?,
        idle_since,
    })
}

impl Store {
    /// Records a shared instance or its new definition.
    pub async fn put_shared(&self, shared: &SharedRecord) -> Result<(), StoreError> {
        sqlx::query(
            "insert into shared (id, project, service, hash, definition, idle_since) \
             values ($1, $2, $3, $4, $5, $6) on conflict (id) do update \
             set hash = $4, definition = $5, idle_since = $6",
        )
        .bind(shared.id.as_str())
        .bind(shared.project.as_str())
        .bind(shared.service.as_str())
        .bind(&shared.hash)
        .bind(encode("definition", &shared.definition)?)
        .bind(shared.idle_since)
        .execute(&self.pool)
        .await?;
        Ok(())
    }

    /// The shared instance of a project's service.
    pub async fn shared_of(
        &self,
        project: &ProjectName,
        service: &ServiceName,
    ) -> Result<Option<SharedRecord>, StoreError> {
        let sql = format!("{SELECT} where project = $1 and service = $2");
        let row: Option<Row> = sqlx::query_as(sqlx::AssertSqlSafe(sql))
            .bind(project.as_str())
            .bind(service.as_str())
            .fetch_optional(&self.pool)
            .await?;
        row.map(record).transpose()
    }

    /// All shared instances.
    pub async fn shared(&self) -> Result<Vec<SharedRecord>, StoreError> {
        let sql = format!("{SELECT} order by project, service");
        let rows: Vec<Row> = sqlx::query_as(sqlx::AssertSqlSafe(sql)).fetch_all(&self.pool).await?;
        rows.into_iter().map(record).collect()
    }

    /// Forgets a shared instance and its users.
    pub async fn forget_shared(&self, id: &SharedId) -> Result<(), StoreError> {
        sqlx::query("delete from shared where id = $1")
            .bind(id.as_str())
            .execute(&self.pool)
            .await?;
        Ok(())
    }

    /// Counts an environment as a user.
    pub async fn use_shared(
        &self,
        id: &SharedId,
        environment: &EnvironmentId,
    ) -> Result<(), StoreError> {
        let mut both = self.pool.begin().await?;
        sqlx::query(
            "insert into shared_use (shared, environment) values ($1, $2) on conflict do nothing",
        )
        .bind(id.as_str())
        .bind(environment.as_str())
        .execute(&mut *both)
        .await?;
        sqlx::query("update shared set idle_since = null where id = $1")
            .bind(id.as_str())
            .execute(&mut *both)
            .await?;
        both.commit().await?;
        Ok(())
    }

    /// Ends an environment's use of all shared instances but those kept; those that nobody uses
    /// any more are idle from `now`.
    pub async fn release_shared(
        &self,
        environment: &EnvironmentId,
        keep: &[SharedId],
        now: i64,
    ) -> Result<(), StoreError> {
        let used: Vec<String> =
            sqlx::query_scalar("select shared from shared_use where environment = $1")
                .bind(environment.as_str())
                .fetch_all(&self.pool)
                .await?;
        let mut all = self.pool.begin().await?;
        for id in used.iter().filter(|id| !keep.iter().any(|kept| kept.as_str() == id.as_str())) {
            sqlx::query("delete from shared_use where shared = $1 and environment = $2")
                .bind(id)
                .bind(environment.as_str())
                .execute(&mut *all)
                .await?;
            sqlx::query(
                "update shared set idle_since = $2 where id = $1 and idle_since is null \
                 and not exists (select 1 from shared_use where shared = $1)",
            )
            .bind(id)
            .bind(now)
            .execute(&mut *all)
            .await?;
        }
        all.commit().await?;
        Ok(())
    }

    /// The environments that use a shared instance.
    pub async fn shared_users(&self, id: &SharedId) -> Result<Vec<EnvironmentId>, StoreError> {
        let rows: Vec<String> = sqlx::query_scalar(
            "select environment from shared_use where shared = $1 order by environment",
        )
        .bind(id.as_str())
        .fetch_all(&self.pool)
        .await?;
        rows.iter()
            .map(|text| {
                text.parse()
                    .map_err(|e| StoreError::Value { what: "environment id", why: format!("{e}") })
            })
            .collect()
    }
}
