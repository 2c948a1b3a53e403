//! The one place with SQL: a node's state in SQLite. Only the daemon opens it. One file per noun;
//! every instant is microseconds since the Unix epoch.

mod environment;
mod forward;
mod operation;
mod pool;
mod remote;
mod session;
mod shared;
mod subnet;
mod trust;
mod workspace;

use std::path::{Path, PathBuf};
use std::time::Duration;

use sqlx::SqlitePool;
use sqlx::sqlite::{SqliteConnectOptions, SqliteJournalMode, SqlitePoolOptions, SqliteSynchronous};

pub use remote::LoopbackRecord;
pub use session::SessionRecord;
pub use shared::SharedRecord;

/// Why the state could not be read or written.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// The file is not a database or its content is damaged.
    #[error("the state file {} is damaged: {why}", path.display())]
    Damaged {
        /// The file.
        path: PathBuf,
        /// What was found.
        why: String,
    },
    /// The file was written by a newer version.
    #[error("the state file {} was written by a newer version of dwell", path.display())]
    Newer {
        /// The file.
        path: PathBuf,
    },
    /// The disk is full.
    #[error("the disk that holds the state is full")]
    Full,
    /// A unique name exists already.
    #[error("it exists already")]
    Exists,
    /// A stored value is not what this version writes.
    #[error("a stored {what} is not understood: {why}")]
    Value {
        /// What kind of value.
        what: &'static str,
        /// What was found.
        why: String,
    },
    /// Anything else that SQLite says.
    #[error("the state could not be used: {0}")]
    Sql(sqlx::Error),
}

impl From<sqlx::Error> for StoreError {
    fn from(error: sqlx::Error) -> Self {
        let database = error.as_database_error();
        if database.is_some_and(|e| e.is_unique_violation()) {
            return Self::Exists;
        }
        // SQLITE_FULL is 13 (https://www.sqlite.org/rescode.html).
        if database.and_then(|e| e.code()).is_some_and(|code| code == "13") {
            return Self::Full;
        }
        Self::Sql(error)
    }
}

/// The node's state.
#[derive(Debug, Clone)]
pub struct Store {
    pool: SqlitePool,
}

impl Store {
    /// Opens the state file, making and migrating it as needed. A damaged file is an error; the
    /// caller decides what to do with it.
    pub async fn open(path: &Path) -> Result<Self, StoreError> {
        let options = SqliteConnectOptions::new()
            .filename(path)
            .create_if_missing(true)
            .journal_mode(SqliteJournalMode::Wal)
            .synchronous(SqliteSynchronous::Normal)
            .foreign_keys(true)
            .busy_timeout(Duration::from_secs(10));
        let damaged = |why: String| StoreError::Damaged { path: path.to_owned(), why };
        let pool = SqlitePoolOptions::new()
            .max_connections(4)
            .acquire_timeout(Duration::from_secs(10))
            .connect_with(options)
            .await
            .map_err(|e| classify(e, &damaged))?;
        let check: String = sqlx::query_scalar("pragma quick_check(1)")
            .fetch_one(&pool)
            .await
            .map_err(|e| classify(e, &damaged))?;
        if check != "ok" {
            return Err(damaged(check));
        }
        match sqlx::migrate!("./migrations/sqlite").run(&pool).await {
            Ok(()) => Ok(Self { pool }),
            Err(sqlx::migrate::MigrateError::VersionMissing(_)) => {
                Err(StoreError::Newer { path: path.to_owned() })
            }
            Err(sqlx::migrate::MigrateError::Execute(e)) => Err(classify(e, &damaged)),
            Err(e) => Err(damaged(e.to_string())),
        }
    }

    /// Writes everything to the main file and closes it.
    pub async fn close(&self) {
        self.pool.close().await;
    }
}

/// SQLITE_CORRUPT (11) and SQLITE_NOTADB (26) mean a damaged file
/// (https://www.sqlite.org/rescode.html).
fn classify(error: sqlx::Error, damaged: &dyn Fn(String) -> StoreError) -> StoreError {
    let code = error.as_database_error().and_then(|e| e.code());
    let primary = code.and_then(|c| c.parse::<u32>().ok()).map(|c| c & 0xff);
    match primary {
        Some(11 | 26) => damaged(error.to_string()),
        _ => error.into(),
    }
}

fn encode<T: serde::Serialize>(what: &'static str, value: &T) -> Result<String, StoreError> {
    serde_json::to_string(value).map_err(|e| StoreError::Value { what, why: e.to_string() })
}

fn decode<T: serde::de::DeserializeOwned>(what: &'static str, text: &str) -> Result<T, StoreError> {
    serde_json::from_str(text).map_err(|e| StoreError::Value { what, why: e.to_string() })
}

#[cfg(test)]
mod tests;
