//! The store in a SQLite file of this host. One connection writes; readers never wait for it. A lock file keeps other
//! servers away, and the file is looked for at its path before each write.

/// A statement, as the test in `tests/statements.rs` finds it: every one of this store goes through here and is prepared
/// there against a database with the present schema.
macro_rules! sql {
    ($text:literal) => {
        $text
    };
}

mod audit;
mod backup;
mod clock;
mod database_file;
mod endpoints;
mod error;
mod events;
mod failures;
mod fault;
mod forget;
mod holders;
mod keys;
mod launches;
mod leadership;
mod lock;
mod open;
mod pass;
mod pins;
mod rows;
mod snapshot;
mod start_times;
#[cfg(test)]
mod tests;
mod upkeep;
mod usage;

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use dedi_failpoint as failpoint;
use parking_lot::Mutex;
use sqlx::pool::PoolConnection;
use sqlx::sqlite::SqlitePool;
use sqlx::{Sqlite, Transaction};
use uuid::Uuid;

pub use self::backup::backup;
use self::database_file::DatabaseFile;
pub use self::lock::{DataLock, Holder, LockError};
use super::{Leadership, StoreError};

/// Connections that lost their transaction and are replaced before a write gives up: a disk that fails takes each
/// new one.
const LOST_MAX: u32 = 3;

/// A handle to the file. Clones are the same one.
#[derive(Clone, Debug)]
pub struct SqliteStore {
    writer: SqlitePool,
    reader: SqlitePool,
    place: DatabaseFile,
    installation: Uuid,
    /// The epoch in which this handle took the lead; 0 before that, which no epoch is.
    epoch: Arc<AtomicI64>,
    /// The one connection that writes, while nobody may.
    paused: Arc<Mutex<Option<PoolConnection<Sqlite>>>>,
}

impl SqliteStore {
    #[cfg(test)]
    pub(crate) fn writer_for_tests(&self) -> SqlitePool {
        self.writer.clone()
    }

    /// A transaction that holds the write lock from its first statement, so it never has to be upgraded.
    async fn write(&self) -> Result<Transaction<'static, Sqlite>, StoreError> {
        self.check_place()?;
        for _ in 0..=LOST_MAX {
            match self.writer.begin_with(sql!("BEGIN IMMEDIATE")).await {
                // A disk that fails makes SQLite end a transaction by itself; the connection then believes for ever that
                // it is in one. Only another connection helps, which a write beside this one may lose as well.
                Err(sqlx::Error::InvalidSavePointStatement) => {
                    tracing::debug!("a connection to the database lost its transaction and is replaced");
                    if let Err(err) = self.writer.acquire().await?.close().await {
                        tracing::debug!("it did not close in order: {err}");
                    }
                }
                Err(sqlx::Error::PoolTimedOut) if self.paused.lock().is_some() => {
                    return Err(StoreError::Paused);
                }
                Ok(begun) => return Ok(begun),
                Err(err) => return Err(self.with_cause(err.into()).await),
            }
        }
        Err(self.with_cause(StoreError::Disk { step: "does not keep what is written", cause: None }).await)
    }

    /// The same for a write of a pass: refused unless this handle leads.
    async fn write_leading(&self) -> Result<Transaction<'static, Sqlite>, StoreError> {
        let mut tx = self.write().await?;
        let current: i64 =
            sqlx::query_scalar(sql!("SELECT epoch FROM meta WHERE one = 1")).fetch_one(&mut *tx).await?;
        // Nobody takes the lead while this transaction holds the write lock.
        if current == self.epoch.load(Ordering::Acquire) { Ok(tx) } else { Err(StoreError::Fenced) }
    }

    /// The error with what the disk says of it.
    async fn with_cause(&self, err: StoreError) -> StoreError {
        if let StoreError::Disk { step, cause: None } = err {
            return StoreError::Disk { step, cause: fault::cause(&self.place.path).await };
        }
        err
    }

    /// Makes what `step` wrote last; every transaction that wrote ends here.
    async fn commit(&self, tx: Transaction<'static, Sqlite>, step: &'static str) -> Result<(), StoreError> {
        failpoint::hit("store.before-commit", step);
        self.check_place()?;
        if let Err(err) = tx.commit().await {
            return Err(self.with_cause(err.into()).await);
        }
        failpoint::hit("store.after-commit", step);
        Ok(())
    }

    /// A transaction that sees one moment.
    async fn read(&self) -> Result<Transaction<'static, Sqlite>, StoreError> {
        match self.reader.begin().await {
            Ok(begun) => Ok(begun),
            Err(err) => Err(self.with_cause(err.into()).await),
        }
    }
}
