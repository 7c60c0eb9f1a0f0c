//! Why the store could not do it, by what the caller can do about it.

use std::path::PathBuf;

/// What went wrong with the store.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// The file is damaged. Nothing is started over it: an empty store would end every replica.
    #[error(
        "the database {} is damaged ({detail}); put a copy made by `dedi backup` in its place, or, to begin without any endpoints and with a new key, end all replicas with `dedi down` and move it away with admin.key and the logs",
        path.display()
    )]
    Corrupt {
        /// Path of the file concerned.
        path: PathBuf,
        /// What the check said.
        detail: String,
    },
    /// A later dedi wrote it.
    #[error(
        "the database {} was written by a newer dedi (schema step {step} is unknown here); run that version or a later one",
        path.display()
    )]
    Newer {
        /// Path of the file concerned.
        path: PathBuf,
        /// The first schema step this program lacks.
        step: i64,
    },
    /// It can't be opened, or its schema can't be brought up to date.
    #[error("the database {} can't be opened: {detail}", path.display())]
    Unreadable {
        /// Path of the file concerned.
        path: PathBuf,
        /// Cause, as a clause.
        detail: String,
    },
    /// The database library is too old to be trusted with this.
    #[error(
        "the SQLite library is {found}; dedi needs 3.51.3 or later, which has the fix for losing data in WAL resets"
    )]
    Library {
        /// Its version.
        found: String,
    },
    /// Another file is at its path, or none: what is written now would be lost with the next start.
    #[error(
        "the database {} was removed or replaced while this server uses it, so nothing is written any more; copy what the server still has with `dedi backup FILE`, end the server, put the copy in its place and start it (docs/backup.md)",
        path.display()
    )]
    Gone {
        /// Path of the file concerned.
        path: PathBuf,
    },
    /// The disk is full; nothing was written.
    #[error("the disk that holds the database is full")]
    Full,
    /// The disk fails otherwise; nothing was written.
    #[error("the disk that holds the database {step}{}", cause.as_ref().map(|it| format!(": {it}")).unwrap_or_default())]
    Disk {
        /// What it does not do.
        step: &'static str,
        /// The system's word for it with what helps, where that could be found out.
        cause: Option<String>,
    },
    /// Another program holds the database for longer than the wait.
    #[error("the database is locked by another program")]
    Busy,
    /// No connection to the database was free in time.
    #[error("other work on the database did not end in time")]
    Overloaded,
    /// Somebody else changed the row meanwhile.
    #[error("the row was changed meanwhile")]
    Conflict,
    /// Another server has taken the lead, and this one's passes record nothing any more.
    #[error("another server leads this store now, so what this one decides is not recorded")]
    Fenced,
    /// There is no such row for this tenant.
    #[error("no such row")]
    NotFound,
    /// Writing is over here for now: another server is to have the data folder.
    #[error("another server is taking over")]
    Paused,
    /// The store has been closed.
    #[error("the store is closed")]
    Closed,
    /// Anything else the database said.
    #[error("the database failed: {0}")]
    Database(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// A stored value is not what this program writes.
    #[error("the database holds an unexpected value: {0}")]
    Value(String),
}

impl StoreError {
    /// Whether waiting may mend it: then a client is told to come back.
    pub fn is_passing(&self) -> bool {
        match self {
            Self::Full
            | Self::Disk { .. }
            | Self::Busy
            | Self::Overloaded
            | Self::Conflict
            | Self::Paused
            | Self::Closed => true,
            Self::Corrupt { .. }
            | Self::Newer { .. }
            | Self::Unreadable { .. }
            | Self::Library { .. }
            | Self::Gone { .. }
            | Self::Fenced
            | Self::NotFound
            | Self::Database(_)
            | Self::Value(_) => false,
        }
    }
}
