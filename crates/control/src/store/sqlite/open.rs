//! Opening the file safely: nothing is written to one that is damaged, of a later program, or another than it was.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use dedi_domain::Timestamp;
use dedi_failpoint as failpoint;
use sqlx::migrate::{MigrateError, Migrator};
use sqlx::sqlite::{
    SqliteConnectOptions, SqliteJournalMode, SqlitePool, SqlitePoolOptions, SqliteSynchronous,
};
use sqlx::{ConnectOptions, Connection};
use uuid::Uuid;

use super::SqliteStore;
use super::database_file::DatabaseFile;
use super::error::sqlite_code;
use crate::store::StoreError;

pub(super) static MIGRATIONS: Migrator = sqlx::migrate!("migrations/sqlite");

/// How long a statement waits for another program's lock.
const BUSY_WAIT: Duration = Duration::from_secs(5);
/// Enough for the requests of a console and a few scripts; a reader is a thread.
const READERS_MAX: u32 = 4;
/// Files up to this size get the full check at start (about a second); larger ones the quick one.
const FULL_CHECK_BYTES_MAX: u64 = 64 << 20;

impl SqliteStore {
    /// Opens the file at `path`, makes it if there is none, and brings its schema up to date. `installation`
    /// names a new one.
    pub async fn open(path: &Path, installation: Uuid, now: Timestamp) -> Result<Self, StoreError> {
        check_library().await.map_err(|err| opening(path, err))??;
        match std::fs::metadata(path) {
            Ok(meta) => check(path, meta.len()).await?,
            Err(err) if err.kind() == std::io::ErrorKind::NotFound => create(path, installation, now).await?,
            Err(err) => return Err(unreadable(path, &err)),
        }
        let writer = connect(path, 1).await.map_err(|err| opening(path, err))?;
        migrate(path, &writer, &MIGRATIONS).await?;
        let reader = connect(path, READERS_MAX).await.map_err(|err| opening(path, err))?;
        let (text,): (String,) = sqlx::query_as(sql!("SELECT installation FROM meta WHERE one = 1"))
            .fetch_one(&reader)
            .await
            .map_err(|err| opening(path, err))?;
        let installation = Uuid::parse_str(&text)
            .map_err(|_invalid| StoreError::Value(format!("installation id `{text}`")))?;
        let place = DatabaseFile::of(path).map_err(|err| unreadable(path, &err))?;
        Ok(Self { writer, reader, place, installation, epoch: Arc::default(), paused: Arc::default() })
    }

    /// Whether this program knows the schema of the file at `path`. Reads only, so that a server may use it meanwhile.
    ///
    /// # Errors
    ///
    /// [`StoreError::Newer`] if a later program wrote it; another if it can't be read.
    pub async fn check_schema(path: &Path) -> Result<(), StoreError> {
        let pool = connect_to_read(path).await?;
        let known = known_schema(path, &pool).await;
        pool.close().await;
        known
    }

    /// Whether [`SqliteStore::open`] would take the file at `path`. Reads only, so that a server may use it meanwhile.
    ///
    /// # Errors
    ///
    /// What [`SqliteStore::open`] would refuse it for.
    pub async fn check_file(path: &Path) -> Result<(), StoreError> {
        let n_bytes = std::fs::metadata(path).map_err(|err| unreadable(path, &err))?.len();
        let pool = connect_to_read(path).await?;
        let sound = match read_through(path, n_bytes, &pool).await {
            Ok(()) => known_schema(path, &pool).await,
            damaged @ Err(_) => damaged,
        };
        pool.close().await;
        sound
    }
}

fn options(path: &Path) -> SqliteConnectOptions {
    SqliteConnectOptions::new()
        .filename(path)
        .journal_mode(SqliteJournalMode::Wal)
        // FULL: an acknowledged create survives a power cut, not only a crash of this program.
        .synchronous(SqliteSynchronous::Full)
        .foreign_keys(true)
        .busy_timeout(BUSY_WAIT)
        // Text that is not the schema's is refused when it is read, not when it breaks something later.
        .pragma("cell_size_check", "ON")
        .pragma("trusted_schema", "OFF")
}

pub(super) async fn connect(path: &Path, n_connections: u32) -> Result<SqlitePool, sqlx::Error> {
    SqlitePoolOptions::new()
        .max_connections(n_connections)
        // All at once: one that is opened later would open whatever has the name by then.
        .min_connections(n_connections)
        .acquire_timeout(BUSY_WAIT)
        .idle_timeout(None)
        .max_lifetime(None)
        .connect_with(options(path))
        .await
}

pub(super) async fn connect_to_read(path: &Path) -> Result<SqlitePool, StoreError> {
    SqlitePoolOptions::new()
        .max_connections(1)
        .connect_with(SqliteConnectOptions::new().filename(path).read_only(true).busy_timeout(BUSY_WAIT))
        .await
        .map_err(|err| opening(path, err))
}

/// Makes the file under another name first, so that a file of the real name is always a whole one.
async fn create(path: &Path, installation: Uuid, now: Timestamp) -> Result<(), StoreError> {
    let log = sibling(path, "-wal");
    if log.exists() {
        let detail = format!("it is missing, but its log {} is there", log.display());
        return Err(StoreError::Corrupt { path: path.to_owned(), detail });
    }
    let new = sibling(path, ".new");
    for stale in [new.clone(), sibling(&new, "-wal"), sibling(&new, "-shm")] {
        match std::fs::remove_file(&stale) {
            Ok(()) => {}
            Err(err) if err.kind() == std::io::ErrorKind::NotFound => {}
            Err(err) => return Err(unreadable(path, &err)),
        }
    }
    let pool = SqlitePoolOptions::new()
        .max_connections(1)
        .connect_with(options(&new).create_if_missing(true))
        .await
        .map_err(|err| opening(path, err))?;
    migrate(path, &pool, &MIGRATIONS).await?;
    sqlx::query(sql!("INSERT INTO meta (one, installation, created_at) VALUES (1, ?, ?)"))
        .bind(installation.to_string())
        .bind(now.0)
        .execute(&pool)
        .await
        .map_err(|err| opening(path, err))?;
    // The log is folded into the file, so that the rename moves everything.
    sqlx::query(sql!("PRAGMA journal_mode = DELETE"))
        .execute(&pool)
        .await
        .map_err(|err| opening(path, err))?;
    pool.close().await;
    failpoint::hit("store.before-rename", "create");
    std::fs::rename(&new, path).map_err(|err| unreadable(path, &err))?;
    failpoint::hit("store.after-rename", "create");
    Ok(())
}

/// Reads an existing file through before anything is written to it.
async fn check(path: &Path, n_bytes: u64) -> Result<(), StoreError> {
    let pool = connect(path, 1).await.map_err(|err| opening(path, err))?;
    let sound = read_through(path, n_bytes, &pool).await;
    pool.close().await;
    sound
}

async fn read_through(path: &Path, n_bytes: u64, pool: &SqlitePool) -> Result<(), StoreError> {
    let corrupt = |detail: String| StoreError::Corrupt { path: path.to_owned(), detail };
    if n_bytes == 0 {
        return Err(corrupt("it is empty".to_owned()));
    }
    let depth = if n_bytes <= FULL_CHECK_BYTES_MAX { Depth::Full } else { Depth::Quick };
    match damage(pool, depth).await.map_err(|err| opening(path, err))? {
        None => Ok(()),
        Some(detail) => Err(corrupt(detail)),
    }
}

/// How closely a file is looked at.
#[derive(Clone, Copy, Debug)]
pub(super) enum Depth {
    /// Every row against every index.
    Full,
    /// Every page.
    Quick,
}

/// What is wrong with a database that can be read, if anything is.
pub(super) async fn damage(pool: &SqlitePool, depth: Depth) -> Result<Option<String>, sqlx::Error> {
    let check = match depth {
        Depth::Full => sql!("PRAGMA integrity_check(3)"),
        Depth::Quick => sql!("PRAGMA quick_check(3)"),
    };
    let said: Vec<String> = sqlx::query_scalar(check).fetch_all(pool).await?;
    if said.iter().any(|it| it != "ok") {
        return Ok(Some(said.join("; ").chars().take(300).collect()));
    }
    let n_dangling = sqlx::query(sql!("PRAGMA foreign_key_check")).fetch_all(pool).await?.len();
    Ok((n_dangling > 0).then(|| format!("{n_dangling} row(s) refer to rows that do not exist")))
}

/// Asks the library for its version, before it is let near a file.
async fn check_library() -> Result<Result<(), StoreError>, sqlx::Error> {
    let mut library = SqliteConnectOptions::new().in_memory(true).connect().await?;
    let found: String = sqlx::query_scalar(sql!("SELECT sqlite_version()")).fetch_one(&mut library).await?;
    library.close().await?;
    Ok(trusted(found))
}

fn trusted(found: String) -> Result<(), StoreError> {
    if is_trusted(&found) { Ok(()) } else { Err(StoreError::Library { found }) }
}

fn is_trusted(version: &str) -> bool {
    let mut parts = version.split('.').map(|it| it.parse::<u32>().unwrap_or(0));
    let mut next = || parts.next().unwrap_or(0);
    (next(), next(), next()) >= (3, 51, 3)
}

/// Each step is one transaction with the note that it was done: it happened, or nothing of it did.
pub(super) async fn migrate(path: &Path, pool: &SqlitePool, steps: &Migrator) -> Result<(), StoreError> {
    match steps.run(pool).await {
        Ok(()) => Ok(()),
        Err(MigrateError::VersionMissing(step) | MigrateError::VersionNotPresent(step)) => {
            Err(StoreError::Newer { path: path.to_owned(), step })
        }
        Err(MigrateError::Execute(err) | MigrateError::ExecuteMigration(err, _)) => Err(opening(path, err)),
        Err(other) => Err(unreadable(path, &other)),
    }
}

/// Whether this program has every step that was done to the file.
pub(super) async fn known_schema(path: &Path, pool: &SqlitePool) -> Result<(), StoreError> {
    let newest: Option<i64> = sqlx::query_scalar(sql!("SELECT max(version) FROM _sqlx_migrations"))
        .fetch_one(pool)
        .await
        .map_err(|err| opening(path, err))?;
    match newest {
        Some(step) if !MIGRATIONS.version_exists(step) => {
            Err(StoreError::Newer { path: path.to_owned(), step })
        }
        Some(_) | None => Ok(()),
    }
}

pub(super) fn sibling(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(suffix);
    PathBuf::from(name)
}

pub(super) fn unreadable(path: &Path, err: &dyn std::fmt::Display) -> StoreError {
    StoreError::Unreadable { path: path.to_owned(), detail: err.to_string() }
}

pub(super) fn opening(path: &Path, err: sqlx::Error) -> StoreError {
    match sqlite_code(&err) {
        Some(11 | 26) => StoreError::Corrupt { path: path.to_owned(), detail: err.to_string() },
        // 1: the schema itself does not read; 8, 10, 14: read-only, I/O, can't open.
        Some(1 | 8 | 10 | 14) => unreadable(path, &err),
        Some(_) | None => {
            let said = StoreError::from(err);
            if let StoreError::Database(err) = &said { unreadable(path, err) } else { said }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_compare_as_numbers() {
        assert!(is_trusted("3.51.3") && is_trusted("3.100.0") && is_trusted("4.0.0"));
        assert!(!is_trusted("3.51.2") && !is_trusted("3.9.9") && !is_trusted("nonsense"));
    }

    #[tokio::test]
    async fn an_older_library_is_refused_in_one_sentence() {
        check_library().await.unwrap().unwrap();
        let said = trusted("3.51.2".to_owned()).unwrap_err().to_string();
        assert!(
            said.contains("is 3.51.2") && said.contains("needs 3.51.3") && !said.contains('\n'),
            "{said}"
        );
    }
}
