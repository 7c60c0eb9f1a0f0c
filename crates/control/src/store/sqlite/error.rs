//! SQLite's errors, by what the caller can do about them.

use super::fault;
use crate::store::StoreError;

/// SQLite's primary result code of an error, if it is one of SQLite's.
pub(super) fn sqlite_code(err: &sqlx::Error) -> Option<i64> {
    extended_code(err).map(|it| it & 0xff)
}

fn extended_code(err: &sqlx::Error) -> Option<i64> {
    err.as_database_error().and_then(|it| it.code()).and_then(|it| it.parse().ok())
}

impl From<sqlx::Error> for StoreError {
    fn from(err: sqlx::Error) -> Self {
        if let Some(step) = extended_code(&err).and_then(fault::step) {
            tracing::debug!("the database failed: {err}");
            return Self::Disk { step, cause: None };
        }
        match sqlite_code(&err) {
            Some(13) => Self::Full,
            Some(5 | 6) => Self::Busy,
            Some(_) | None if matches!(err, sqlx::Error::PoolTimedOut) => Self::Overloaded,
            Some(_) | None if matches!(err, sqlx::Error::PoolClosed) => Self::Closed,
            Some(_) | None if matches!(err, sqlx::Error::RowNotFound) => Self::NotFound,
            Some(_) | None => Self::Database(Box::new(err)),
        }
    }
}
