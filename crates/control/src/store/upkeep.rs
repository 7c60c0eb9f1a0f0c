//! What is done with a store as a whole.

use std::io;
use std::path::{Path, PathBuf};

use async_trait::async_trait;
use uuid::Uuid;

use super::error::StoreError;

/// The store as a thing that is opened, copied and closed.
#[async_trait]
pub trait Upkeep: Send + Sync {
    /// Names what is stored for as long as it exists, copies of it included.
    fn installation(&self) -> Uuid;

    /// Writes a copy of one moment to the new file `to` while everything goes on; answers its size in bytes. The file
    /// appears when it is whole and on disk.
    async fn backup(&self, to: &Path) -> Result<u64, BackupError>;

    /// Lets go of the store; later calls answer [`StoreError::Closed`]. May be repeated.
    async fn close(&self);
}

/// Why there is no copy. Each prints as one sentence.
#[derive(Debug, thiserror::Error)]
pub enum BackupError {
    /// Nothing is ever written over.
    #[error("{} exists already; name a file that does not", .0.display())]
    Exists(PathBuf),
    /// The path names no file, or one that the database itself uses.
    #[error("a backup can't be written to {}: {why}", path.display())]
    Name {
        /// What was asked for.
        path: PathBuf,
        /// What is wrong with it.
        why: &'static str,
    },
    /// There is nothing to copy.
    #[error("there is no database {}, so there is nothing to back up", .0.display())]
    NoDatabase(PathBuf),
    /// The copy's disk is full.
    #[error("the disk that holds {} is full; no backup was made", .0.display())]
    Full(PathBuf),
    /// The copy can't be written.
    #[error("the backup {} can't be written: {source}", path.display())]
    Io {
        /// Path of the file concerned.
        path: PathBuf,
        /// Error of the file system.
        source: io::Error,
    },
    /// The copy does not read back as it should.
    #[error("the copy {} turned out damaged ({detail}); no backup was made", path.display())]
    Damaged {
        /// Path of the file concerned.
        path: PathBuf,
        /// What the check said.
        detail: String,
    },
    /// The database can't be read.
    #[error(transparent)]
    Store(#[from] StoreError),
}
