//! Whether a model's files still are what they were. What a file must be is the SHA-256 of the manifest that its
//! download wrote, or, for a file that somebody put there, the one it had when it was first used. Reading a hundred
//! gigabytes takes minutes, so a file is read again only when something about it has changed since: its size, inode,
//! time of modification or of change. What was found is kept in `<store>/.verified/<org>/<name>.json`.

use std::collections::BTreeMap;
use std::fs;
use std::io::{self, Read};
use std::os::unix::fs::{DirBuilderExt, MetadataExt};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use dedi_domain::ModelName;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::{ModelError, ModelStore, manifest, said, unreadable};
use crate::hub::Manifest;

const FOLDER: &str = ".verified";
const RECORD_BYTES_MAX: u64 = 4 << 20;
const PIECE_BYTES: usize = 1 << 20;

/// What changes when somebody writes to a file. The time of change can't be set back by a program.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Stamp {
    bytes: u64,
    inode: u64,
    modified: (i64, i64),
    changed: (i64, i64),
}

/// Stamps by file name.
pub(crate) type Stamps = BTreeMap<String, Stamp>;

/// What is known of one file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Seen {
    /// Under which stamp the content was right; none if it was found to be wrong.
    stamp: Option<Stamp>,
    sha256: String,
}

/// What is known of a model's files, by name.
pub(super) type Record = BTreeMap<String, Seen>;

/// How much is read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Scope {
    /// What has changed since it was right.
    Changed,
    /// Everything.
    All,
    /// Everything, and what is there is right from now on; only for files that no manifest speaks of.
    Accept,
}

/// How far it is, as others may look at it, and whether it shall end.
#[derive(Debug, Default)]
pub(crate) struct Progress {
    pub(crate) done: AtomicU64,
    pub(crate) total: AtomicU64,
    pub(crate) stop: AtomicBool,
}

/// A model whose files are right.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Right {
    pub(crate) n_files: u64,
    /// Of those, files that there was nothing to compare with.
    pub(crate) n_new: u64,
    pub(crate) n_bytes: u64,
}

/// A model's files, and what each must be.
struct Watched {
    folder: PathBuf,
    /// With the hash where the manifest has one.
    files: Vec<(String, Option<String>)>,
    is_pulled: bool,
}

/// Bytes of files with these stamps.
pub(super) fn n_bytes(stamps: &Stamps) -> u64 {
    stamps.values().map(|it| it.bytes).fold(0, u64::saturating_add)
}

impl ModelStore {
    /// The files' stamps, and whether their content was right under them.
    pub(crate) fn stamps(&self, model: &ModelName) -> Result<(Stamps, bool), ModelError> {
        let watched = self.watched(model)?;
        let stamps = watched.stamps()?;
        let is_right = |record: &Record| {
            watched.files.iter().all(|(name, wanted)| {
                record.get(name).is_some_and(|seen| {
                    seen.stamp.is_some()
                        && seen.stamp.as_ref() == stamps.get(name)
                        && wanted.as_ref().is_none_or(|it| *it == seen.sha256)
                })
            })
        };
        if self.remembered(model).is_some_and(|it| is_right(&it)) {
            return Ok((stamps, true));
        }
        let record = self.read_record(model)?;
        let is_right = is_right(&record);
        self.records.lock().insert(model.clone(), record);
        Ok((stamps, is_right))
    }

    /// Reads the files and compares. An error names each that is wrong.
    pub(crate) fn verify(
        &self,
        model: &ModelName,
        scope: Scope,
        progress: &Progress,
    ) -> Result<Right, ModelError> {
        let watched = self.watched(model)?;
        if scope == Scope::Accept && watched.is_pulled {
            return Err(ModelError::Unusable(format!(
                "{model} came from a hub, which says what it must be; pull it again to have another"
            )));
        }
        let stamps = watched.stamps()?;
        progress.total.store(n_bytes(&stamps), Ordering::Relaxed);
        let old = if scope == Scope::Accept { Record::new() } else { self.read_record(model)? };
        let (mut record, mut wrong, mut n_new) = (Record::new(), Vec::new(), 0);
        for (name, wanted) in &watched.files {
            let Some(stamp) = stamps.get(name) else { continue };
            let seen = old.get(name);
            let wanted = wanted.clone().or_else(|| seen.map(|it| it.sha256.clone()));
            if let (Scope::Changed, Some(seen)) = (scope, seen)
                && seen.stamp.as_ref() == Some(stamp)
                && wanted.as_ref() == Some(&seen.sha256)
            {
                record.insert(name.clone(), seen.clone());
                progress.done.fetch_add(stamp.bytes, Ordering::Relaxed);
                continue;
            }
            let path = watched.folder.join(name);
            let got = sha256(&path, progress).map_err(|err| unreadable(&path, &err))?;
            if Stamp::of(&path).map_err(|err| unreadable(&path, &err))? != *stamp {
                return Err(ModelError::Unreadable(said(&path, "it changed while it was read; try again")));
            }
            n_new += u64::from(wanted.is_none());
            let is_right = wanted.as_ref().is_none_or(|it| *it == got);
            if !is_right {
                wrong.push(watched.mismatch(model, &path, wanted.as_deref().unwrap_or_default(), &got));
            }
            let stamp = is_right.then(|| stamp.clone());
            record.insert(name.clone(), Seen { stamp, sha256: wanted.unwrap_or(got) });
        }
        if n_new > 0 {
            // What no engine could read, such as half of a copy, is not what a file must be from now on.
            self.facts(model)?;
        }
        if let Err(err) = write_record(self.folder(), model, &record) {
            tracing::warn!(%model, error = %err, "what its files are can't be written down; they are read again after a restart");
        }
        self.records.lock().insert(model.clone(), record);
        if !wrong.is_empty() {
            return Err(ModelError::Unusable(wrong.join("; ")));
        }
        Ok(Right { n_files: stamps.len() as u64, n_new, n_bytes: n_bytes(&stamps) })
    }

    pub(super) fn forget_record(&self, model: &ModelName) {
        self.records.lock().remove(model);
        let _ = fs::remove_file(record_file(self.folder(), model));
    }

    fn remembered(&self, model: &ModelName) -> Option<Record> {
        self.records.lock().get(model).cloned()
    }

    /// What is written down, or, where that can't be, what is remembered. An error: neither, but something is there.
    fn read_record(&self, model: &ModelName) -> Result<Record, ModelError> {
        let file = record_file(self.folder(), model);
        let read = fs::metadata(&file)
            .and_then(|it| if it.len() > RECORD_BYTES_MAX { Ok(Vec::new()) } else { fs::read(&file) });
        let remembered = || self.remembered(model);
        match read {
            Ok(text) => Ok(serde_json::from_slice(&text).ok().or_else(remembered).unwrap_or_default()),
            Err(err) if err.kind() == io::ErrorKind::NotFound => Ok(remembered().unwrap_or_default()),
            // Without it any content would be the one that is right.
            Err(err) => remembered().ok_or_else(|| unreadable(&file, &err)),
        }
    }

    fn watched(&self, model: &ModelName) -> Result<Watched, ModelError> {
        let found = self.files(model)?;
        if let Some(manifest) = manifest(&found.folder)? {
            let damage = manifest.damage(&found.folder).map_err(|(path, err)| unreadable(&path, &err))?;
            if let Some(damage) = damage {
                return Err(ModelError::Unusable(damage));
            }
            let is_plain = |name: &str| Path::new(name).file_name().is_some_and(|it| it == name);
            if let Some(odd) = manifest.files.iter().find(|it| !is_plain(&it.name)) {
                return Err(ModelError::Unusable(format!(
                    "manifest.json: it names `{}`, which is no file of the model",
                    odd.name
                )));
            }
            let files = manifest.files.into_iter().map(|it| (it.name, Some(it.sha256))).collect();
            return Ok(Watched { folder: found.folder, files, is_pulled: true });
        }
        let mut paths = found.files;
        if found.path.is_dir() {
            // Beside the weights an engine reads their shape and the tokenizer.
            let entries = fs::read_dir(&found.folder).map_err(|err| unreadable(&found.folder, &err))?;
            let beside = entries
                .filter_map(Result::ok)
                .map(|it| it.path())
                .filter(|it| it.extension().is_some_and(|it| it == "json" || it == "model") && it.is_file());
            paths.extend(beside.take(super::FILES_MAX));
        }
        let name = |it: &PathBuf| it.file_name().and_then(|it| it.to_str()).map(str::to_owned);
        let files = paths.iter().filter_map(name).map(|it| (it, None)).collect();
        Ok(Watched { folder: found.folder, files, is_pulled: false })
    }
}

impl Watched {
    fn stamps(&self) -> Result<Stamps, ModelError> {
        let stamp = |name: &String| {
            let path = self.folder.join(name);
            Stamp::of(&path).map(|it| (name.clone(), it)).map_err(|err| unreadable(&path, &err))
        };
        self.files.iter().map(|(name, _)| stamp(name)).collect()
    }

    fn mismatch(&self, model: &ModelName, path: &Path, wanted: &str, got: &str) -> String {
        let short = |it: &str| it.chars().take(12).collect::<String>();
        let (was, help) = if self.is_pulled {
            ("when it was pulled", "pull the model again".to_owned())
        } else {
            (
                "when it was first used or verified",
                format!(
                    "put the right file back, or take this one with `dedi models verify {model} --accept`"
                ),
            )
        };
        said(
            path,
            format_args!(
                "its content is not what it was {was} (SHA-256 {}…, now {}…); {help}",
                short(wanted),
                short(got)
            ),
        )
    }
}

impl Stamp {
    fn of(path: &Path) -> io::Result<Self> {
        let meta = fs::metadata(path)?;
        Ok(Self {
            bytes: meta.len(),
            inode: meta.ino(),
            modified: (meta.mtime(), meta.mtime_nsec()),
            changed: (meta.ctime(), meta.ctime_nsec()),
        })
    }
}

fn sha256(path: &Path, progress: &Progress) -> io::Result<String> {
    let mut file = fs::File::open(path)?;
    let mut piece = vec![0; PIECE_BYTES];
    let mut sum = Sha256::new();
    loop {
        if progress.stop.load(Ordering::Relaxed) {
            return Err(io::Error::other("the check was called off"));
        }
        let n = file.read(&mut piece)?;
        if n == 0 {
            break;
        }
        sum.update(piece.get(..n).unwrap_or_default());
        progress.done.fetch_add(n as u64, Ordering::Relaxed);
    }
    Ok(sum.finalize().iter().map(|it| format!("{it:02x}")).collect())
}

fn record_file(store: &Path, model: &ModelName) -> PathBuf {
    store.join(FOLDER).join(model.org()).join(format!("{}.json", model.base()))
}

fn write_record(store: &Path, model: &ModelName, record: &Record) -> io::Result<()> {
    let file = record_file(store, model);
    if let Some(folder) = file.parent() {
        fs::DirBuilder::new().recursive(true).mode(0o700).create(folder)?;
    }
    crate::hub::write_whole(&file, &serde_json::to_vec(record).map_err(io::Error::other)?)
}

/// Writes down that a pulled model's files are right: each was hashed on its way.
pub(crate) fn remember(
    store: &Path,
    model: &ModelName,
    folder: &Path,
    manifest: &Manifest,
) -> io::Result<()> {
    let seen = |it: &crate::hub::ManifestFile| {
        let stamp = Stamp::of(&folder.join(&it.name))?;
        Ok((it.name.clone(), Seen { stamp: Some(stamp), sha256: it.sha256.clone() }))
    };
    let record: io::Result<Record> = manifest.files.iter().map(seen).collect();
    write_record(store, model, &record?)
}
