//! A copy of the database while a server uses it. The copy appears under its name only when it is whole, on disk and
//! checked; until then it has another name beside it, and a failure leaves neither.

use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use rustix::fs::{CWD, RenameFlags, renameat_with};
use sqlx::sqlite::{SqliteConnectOptions, SqlitePool, SqlitePoolOptions};
use uuid::Uuid;

use super::error::sqlite_code;
use super::fault;
use super::open::{Depth, connect, damage, opening, sibling, unreadable};
use crate::store::BackupError;

/// Endings of the files that SQLite and the store keep beside the database.
const OWN_ENDINGS: [&str; 7] = ["", "-wal", "-shm", "-journal", ".new", ".new-wal", ".new-shm"];

/// Copies the file `database` as it is at one moment to the new file `to`, readable by this user only, and
/// answers the copy's size. Writers go on meanwhile. The schema stays as it is, also where this program knows a later one.
pub async fn backup(database: &Path, to: &Path) -> Result<u64, BackupError> {
    check_name(database, to)?;
    match fs::metadata(database) {
        Ok(_) => {}
        Err(err) if err.kind() == io::ErrorKind::NotFound => {
            return Err(BackupError::NoDatabase(database.to_owned()));
        }
        Err(err) => return Err(unreadable(database, &err).into()),
    }
    let pool = connect(database, 1).await.map_err(|err| opening(database, err))?;
    let made = backup_of(&pool, database, to).await;
    pool.close().await;
    made
}

/// The same from a connection to the database, which needs no file of that name.
pub(super) async fn backup_of(pool: &SqlitePool, database: &Path, to: &Path) -> Result<u64, BackupError> {
    check_name(database, to)?;
    let partial = Partial::create(to)?;
    copy(pool, database, &partial).await?;
    check_copy(&partial).await?;
    let finished = tokio::task::spawn_blocking(move || partial.finish()).await;
    finished.unwrap_or_else(|err| Err(BackupError::Io { path: to.to_owned(), source: io::Error::other(err) }))
}

fn check_name(database: &Path, to: &Path) -> Result<(), BackupError> {
    let refuse = |why| Err(BackupError::Name { path: to.to_owned(), why });
    let (Some(_), Some(folder)) = (to.file_name(), to.parent()) else {
        return refuse("it names no file");
    };
    if to.to_str().is_none() {
        return refuse("the path is not UTF-8, as SQLite needs it");
    }
    if !folder.is_dir() {
        return refuse("its folder does not exist");
    }
    if fs::symlink_metadata(to).is_ok() {
        return Err(BackupError::Exists(to.to_owned()));
    }
    let is_same_folder = match (fs::canonicalize(folder), database.parent().map(fs::canonicalize)) {
        (Ok(one), Some(Ok(other))) => one == other,
        _ => false,
    };
    let is_own = |ending: &str| sibling(database, ending).file_name() == to.file_name();
    if is_same_folder && OWN_ENDINGS.iter().any(|it| is_own(it)) {
        return refuse("the database uses that name itself");
    }
    Ok(())
}

async fn copy(pool: &SqlitePool, database: &Path, partial: &Partial) -> Result<(), BackupError> {
    let done = sqlx::query(sql!("VACUUM INTO ?")).bind(partial.path.to_str()).execute(pool).await;
    match done {
        Ok(_) => Ok(()),
        Err(err) if sqlite_code(&err) == Some(13) => Err(BackupError::Full(partial.folder())),
        // 8, 10, 14: read-only, I/O, can't open. The source was opened and read before the copy was.
        Err(err) if matches!(sqlite_code(&err), Some(8 | 10 | 14)) => {
            let cause = fault::cause(&partial.path).await;
            Err(partial.failed(cause.map_or_else(|| io::Error::other(err), io::Error::other)))
        }
        Err(err) => Err(opening(database, err).into()),
    }
}

async fn check_copy(partial: &Partial) -> Result<(), BackupError> {
    let options = SqliteConnectOptions::new().filename(&partial.path).read_only(true);
    let checked = async {
        let pool = SqlitePoolOptions::new().max_connections(1).connect_with(options).await?;
        let said = damage(&pool, Depth::Full).await;
        pool.close().await;
        said
    };
    let detail = match checked.await {
        Ok(None) => return Ok(()),
        Ok(Some(detail)) => detail,
        Err(err) => err.to_string(),
    };
    Err(BackupError::Damaged { path: partial.to.clone(), detail })
}

/// The copy while it is made. It goes with the value unless it was finished.
struct Partial {
    path: PathBuf,
    to: PathBuf,
}

impl Partial {
    fn create(to: &Path) -> Result<Self, BackupError> {
        let path = sibling(to, &format!(".{:08x}.partial", Uuid::new_v4().as_fields().0));
        let made = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&path);
        let partial = Self { path, to: to.to_owned() };
        // SQLite writes into an empty file as it finds it, so the mode holds from the first byte on.
        made.map_err(|err| partial.failed(err))?;
        Ok(partial)
    }

    /// Gives the copy its name, on disk: a power cut right after this leaves it.
    fn finish(self) -> Result<u64, BackupError> {
        let synced = File::open(&self.path).and_then(|it| it.sync_all().and_then(|()| it.metadata()));
        let n_bytes = synced.map_err(|err| self.failed(err))?.len();
        match renameat_with(CWD, &self.path, CWD, &self.to, RenameFlags::NOREPLACE) {
            Ok(()) => {}
            Err(rustix::io::Errno::EXIST) => return Err(BackupError::Exists(self.to.clone())),
            // Some network file systems can't; a second name refuses an existing file just as well.
            Err(rustix::io::Errno::INVAL | rustix::io::Errno::NOSYS) => {
                fs::hard_link(&self.path, &self.to).map_err(|err| self.failed(err))?;
            }
            Err(err) => return Err(self.failed(err.into())),
        }
        File::open(self.folder()).and_then(|it| it.sync_all()).map_err(|err| self.failed(err))?;
        Ok(n_bytes)
    }

    fn failed(&self, source: io::Error) -> BackupError {
        if source.kind() == io::ErrorKind::AlreadyExists {
            BackupError::Exists(self.to.clone())
        } else if source.kind() == io::ErrorKind::StorageFull {
            BackupError::Full(self.folder())
        } else {
            BackupError::Io { path: self.to.clone(), source }
        }
    }

    fn folder(&self) -> PathBuf {
        self.to.parent().unwrap_or(&self.to).to_owned()
    }
}

impl Drop for Partial {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.path);
        let _ = fs::remove_file(sibling(&self.path, "-journal"));
    }
}
