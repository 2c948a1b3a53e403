//! The journal of operations in the store.

use dwell_core::operation::{Journal, Phase};
use dwell_core::{EnvironmentId, OperationId};
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::{Store, StoreError, decode, encode};

type Row = (String, String, String, String, String, i64, String, Option<String>, i64);

const COLUMNS: &str =
    "id, idempotency_key, environment, kind, request, step, phase, result, created";

impl Store {
    /// Records an operation before it acts; a repeated idempotency key is `Exists`.
    pub async fn add_operation(&self, journal: &Journal) -> Result<(), StoreError> {
        sqlx::query(
            "insert into operation (id, idempotency_key, environment, kind, request, step, phase, \
             created) values ($1, $2, $3, $4, $5, $6, $7, $8)",
        )
        .bind(journal.id.as_str())
        .bind(&journal.key)
        .bind(journal.environment.as_str())
        .bind(word("operation kind", &journal.kind)?)
        .bind(encode("request", &journal.request)?)
        .bind(i64::from(journal.step))
        .bind(word("phase", &journal.phase)?)
        .bind(journal.created)
        .execute(&self.pool)
        .await?;
        Ok(())
    }

    /// Records where an operation stands.
    pub async fn advance_operation(
        &self,
        id: &OperationId,
        step: u32,
        phase: Phase,
    ) -> Result<(), StoreError> {
        sqlx::query("update operation set step = $2, phase = $3 where id = $1")
            .bind(id.as_str())
            .bind(i64::from(step))
            .bind(word("phase", &phase)?)
            .execute(&self.pool)
            .await?;
        Ok(())
    }

    /// Records how an operation ended.
    pub async fn end_operation(
        &self,
        id: &OperationId,
        phase: Phase,
        result: &serde_json::Value,
    ) -> Result<(), StoreError> {
        sqlx::query("update operation set phase = $2, result = $3 where id = $1")
            .bind(id.as_str())
            .bind(word("phase", &phase)?)
            .bind(encode("result", result)?)
            .execute(&self.pool)
            .await?;
        Ok(())
    }

    /// The operation with an idempotency key.
    pub async fn operation_by_key(&self, key: &str) -> Result<Option<Journal>, StoreError> {
        let sql = format!("select {COLUMNS} from operation where idempotency_key = $1");
        let row: Option<Row> =
            sqlx::query_as(sqlx::AssertSqlSafe(sql)).bind(key).fetch_optional(&self.pool).await?;
        row.map(journal).transpose()
    }

    /// Operations that neither ended well nor were undone, oldest first.
    pub async fn unfinished_operations(&self) -> Result<Vec<Journal>, StoreError> {
        let sql = format!(
            "select {COLUMNS} from operation where phase in ('forward', 'backward') \
             order by created"
        );
        let rows: Vec<Row> = sqlx::query_as(sqlx::AssertSqlSafe(sql)).fetch_all(&self.pool).await?;
        rows.into_iter().map(journal).collect()
    }

    /// The operation on an environment that was accepted last.
    pub async fn last_operation(&self, id: &EnvironmentId) -> Result<Option<Journal>, StoreError> {
        let sql = format!(
            "select {COLUMNS} from operation where environment = $1 order by created desc limit 1"
        );
        let row: Option<Row> = sqlx::query_as(sqlx::AssertSqlSafe(sql))
            .bind(id.as_str())
            .fetch_optional(&self.pool)
            .await?;
        row.map(journal).transpose()
    }

    /// The environments that an ended operation is known of and that have no record, as far as
    /// no other operation on them goes on.
    pub async fn environments_over(&self) -> Result<Vec<EnvironmentId>, StoreError> {
        let rows: Vec<String> = sqlx::query_scalar(
            "select distinct environment from operation \
             where environment not in (select id from environment) \
             and environment not in (select environment from operation \
             where phase in ('forward', 'backward'))",
        )
        .fetch_all(&self.pool)
        .await?;
        rows.into_iter().map(|id| unword("environment id", id)).collect()
    }

    /// Forgets ended operations accepted before an instant.
    pub async fn prune_operations(&self, before: i64) -> Result<(), StoreError> {
        sqlx::query("delete from operation where phase in ('done', 'failed') and created < $1")
            .bind(before)
            .execute(&self.pool)
            .await?;
        Ok(())
    }
}

fn word<T: Serialize>(what: &'static str, value: &T) -> Result<String, StoreError> {
    match serde_json::to_value(value) {
        Ok(serde_json::Value::String(text)) => Ok(text),
        other => Err(StoreError::Value { what, why: format!("{other:?} is not a word") }),
    }
}

fn unword<T: DeserializeOwned>(what: &'static str, text: String) -> Result<T, StoreError> {
    serde_json::from_value(serde_json::Value::String(text))
        .map_err(|e| StoreError::Value { what, why: e.to_string() })
}

fn journal(row: Row) -> Result<Journal, StoreError> {
    let (id, key, environment, kind, request, step, phase, result, created) = row;
    Ok(Journal {
        id: unword::<OperationId>("operation id", id)?,
        key,
        environment: unword::<EnvironmentId>("environment id", environment)?,
        kind: unword("operation kind", kind)?,
        request: decode("request", &request)?,
        step: u32::try_from(step).unwrap_or_default(),
        phase: unword("phase", phase)?,
        result: result.map(|text| decode("result", &text)).transpose()?,
        created,
    })
}
