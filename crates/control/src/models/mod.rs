//! The model store: `<folder>/<org>/<name>/` with `*.gguf`, or `config.json` and `*.safetensors`. A model
//! exists when such a folder does. Names are checked before they become paths, and what a name leads to must lie
//! inside the store: a link out of it is refused by name.

pub(crate) mod access;
mod bytes;
mod checks;
mod gguf;
mod kinds;
mod lanes;
mod pin;
mod reader;
mod resolver;
mod safetensors;
mod survey;
mod verify;

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use dedi_domain::ModelName;
use dedi_domain::fit::ModelFacts;
use parking_lot::Mutex;

use crate::hub::Manifest;

pub(crate) use checks::{Check, Checks, Verdict};
pub(crate) use pin::{mismatch, revision};
pub(crate) use reader::{BlockingReader, NoAnswer, READ_MAX};
pub use resolver::StoredModels;
pub use survey::Oddity;
pub(crate) use verify::{Scope, Stamps, remember};

/// Why a model can't be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ModelError {
    /// The store has no such model.
    #[error("the model store has no `{0}`")]
    Absent(ModelName),
    /// They can't be read now, which may pass; a sentence that names the file.
    #[error("{0}")]
    Unreadable(String),
    /// Its files are there and can't be used; a sentence that names the file.
    #[error("{0}")]
    Unusable(String),
}

/// A model's files.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ModelFiles {
    /// What an engine is given: the first GGUF file, or the folder of safetensors.
    pub path: PathBuf,
    /// The folder that is the model's.
    pub folder: PathBuf,
    /// The files with tensors, in order.
    pub files: Vec<PathBuf>,
    /// Milliseconds since the epoch when the newest of them was written.
    pub modified: i64,
}

type Stamp = Vec<(PathBuf, u64, Option<SystemTime>)>;
type Judged = (Stamp, Result<ModelFacts, ModelError>);

/// The store on disk.
#[derive(Debug)]
pub struct ModelStore {
    folder: PathBuf,
    judged: Mutex<BTreeMap<ModelName, Judged>>,
    /// What the files were when they were right.
    records: Mutex<BTreeMap<ModelName, verify::Record>>,
    kinds: kinds::Kinds,
}

/// Files of one model that are looked at; a folder with more is not a model's.
const FILES_MAX: usize = 1_000;
/// Models listed.
const MODELS_MAX: usize = 10_000;

impl ModelStore {
    /// The store at `folder`, which need not exist yet.
    pub fn new(folder: PathBuf) -> Self {
        Self { folder, judged: Mutex::default(), records: Mutex::default(), kinds: kinds::Kinds::default() }
    }

    pub(crate) fn folder(&self) -> &Path {
        &self.folder
    }

    /// Removes a model and everything in its folder. Answers whether there was one.
    pub fn remove(&self, model: &ModelName) -> io::Result<bool> {
        self.judged.lock().remove(model);
        let org = self.folder.join(model.org());
        // A link is removed as such, and one out of the store leads nowhere here either.
        let is_inside = |root: PathBuf| org.canonicalize().is_ok_and(|it| it.starts_with(root));
        if !self.folder.canonicalize().is_ok_and(is_inside) {
            return Ok(false);
        }
        match fs::remove_dir_all(org.join(model.base())) {
            Ok(()) => self.forget_record(model),
            Err(err) if err.kind() == io::ErrorKind::NotFound => return Ok(false),
            Err(err) => return Err(err),
        }
        // Goes with its last model.
        let _ = fs::remove_dir(org);
        Ok(true)
    }

    /// All models, by name. Reads folders only.
    pub fn list(&self) -> Vec<ModelName> {
        let mut names: Vec<ModelName> = folders(&self.folder)
            .into_iter()
            .flat_map(|org| {
                folders(&self.folder.join(&org)).into_iter().map(move |name| format!("{org}/{name}"))
            })
            .filter_map(|it| ModelName::parse(&it).ok())
            .filter(|it| self.files(it).is_ok())
            .take(MODELS_MAX)
            .collect();
        names.sort();
        names
    }

    /// The files of a model.
    pub fn files(&self, model: &ModelName) -> Result<ModelFiles, ModelError> {
        let absent = || ModelError::Absent(model.clone());
        // Nothing there is an answer; everything else may be another in a moment.
        let failed = |path: &Path, err: &io::Error| match err.kind() == io::ErrorKind::NotFound {
            true => absent(),
            false => unreadable(path, err),
        };
        // A checked name has exactly two parts and neither is `.` or `..`.
        let dir = self.folder.join(model.org()).join(model.base());
        let root = self.folder.canonicalize().map_err(|err| failed(&self.folder, &err))?;
        let dir = dir.canonicalize().map_err(|err| failed(&dir, &err))?;
        if !dir.starts_with(&root) {
            return Err(ModelError::Unusable(outside(&format!("{model} is a link"), &dir)));
        }
        let (mut paths, mut odd) = (Vec::new(), Vec::new());
        for entry in fs::read_dir(&dir).map_err(|err| failed(&dir, &err))?.take(FILES_MAX) {
            let path = entry.map_err(|err| failed(&dir, &err))?.path();
            if !has_extension(&path, "gguf") && !has_extension(&path, "safetensors") {
                continue;
            }
            match place_of(&root, &path).map_err(|err| unreadable(&path, &err))? {
                Place::Inside => paths.push(path),
                Place::NoFile => {}
                Place::Odd(what) => odd.push(what),
            }
        }
        paths.sort();
        let with_extension = |wanted: &str| -> Vec<PathBuf> {
            paths.iter().filter(|it| has_extension(it, wanted)).cloned().collect()
        };
        let ggufs =
            gguf::pick(with_extension("gguf"), model.base(), &self.kinds).map_err(ModelError::Unusable)?;
        let (path, files) = match ggufs.first() {
            Some(first) => (first.clone(), ggufs),
            None => (dir.clone(), with_extension("safetensors")),
        };
        if files.is_empty() {
            return Err(if odd.is_empty() { absent() } else { ModelError::Unusable(odd.join("; ")) });
        }
        let modified = files.iter().filter_map(|it| fs::metadata(it).ok()?.modified().ok()).max();
        let modified = modified.and_then(|it| it.duration_since(SystemTime::UNIX_EPOCH).ok());
        let modified = modified.map_or(0, |it| i64::try_from(it.as_millis()).unwrap_or(i64::MAX));
        Ok(ModelFiles { path, folder: dir, files, modified })
    }

    /// Which revision of a pulled model is here. What somebody put here has none: its files are what they were when they
    /// were first used, or accepted.
    pub(crate) fn pin(&self, model: &ModelName) -> Result<Option<String>, ModelError> {
        let found = self.files(model)?;
        Ok(manifest(&found.folder)?.map(|it| it.pin()))
    }

    /// What the headers of a model's files say. Read once for each state of the files, but for what can't be read: that
    /// may pass and leave no trace on the files.
    pub fn facts(&self, model: &ModelName) -> Result<ModelFacts, ModelError> {
        let found = self.files(model)?;
        let mut watched = found.files.clone();
        watched.push(found.path.join("config.json"));
        let stamp: Stamp = watched
            .into_iter()
            .filter_map(|path| fs::metadata(&path).ok().map(|meta| (path, meta.len(), meta.modified().ok())))
            .collect();
        let judged = || self.judged.lock();
        if let Some((of, facts)) = judged().get(model)
            && *of == stamp
        {
            return facts.clone();
        }
        let damage = match manifest(&found.folder)? {
            Some(manifest) => {
                manifest.damage(&found.folder).map_err(|(path, err)| unreadable(&path, &err))?
            }
            None => None,
        };
        let facts = if let Some(damage) = damage {
            Err(Flaw::Wrong(damage))
        } else if found.path.is_dir() {
            safetensors::read(&found.path, &found.files)
        } else {
            gguf::read(&found.files)
        };
        let facts = match facts {
            Err(Flaw::Unread(what)) => return Err(ModelError::Unreadable(what)),
            Err(Flaw::Wrong(what)) => Err(ModelError::Unusable(what)),
            Ok(facts) => Ok(facts),
        };
        judged().insert(model.clone(), (stamp, facts.clone()));
        facts
    }
}

/// Where a path leads.
enum Place {
    /// To a file of the store.
    Inside,
    /// To something that is no file.
    NoFile,
    /// Out of the store or nowhere, or its name is no text; a sentence.
    Odd(String),
}

fn place_of(root: &Path, path: &Path) -> io::Result<Place> {
    if path.file_name().is_some_and(|it| it.to_str().is_none()) {
        return Ok(Place::Odd(said(path, "its name is not UTF-8; rename it")));
    }
    let real = match path.canonicalize() {
        Ok(real) => real,
        Err(err) if err.kind() == io::ErrorKind::NotFound => {
            let Ok(target) = fs::read_link(path) else { return Ok(Place::NoFile) };
            return Ok(Place::Odd(said(
                path,
                format_args!("it is a link to {}, where nothing is", target.display()),
            )));
        }
        Err(err) => return Err(err),
    };
    if !real.starts_with(root) {
        return Ok(Place::Odd(outside(&said(path, "it is a link"), &real)));
    }
    Ok(if fs::metadata(&real)?.is_file() { Place::Inside } else { Place::NoFile })
}

/// Why what leads to `real` is not used, and what works instead.
fn outside(what: &str, real: &Path) -> String {
    format!(
        "{what} out of the model store, to {}, and engines reach nothing outside of it: move the files into the store, or mount their folder there (`mount --bind`)",
        real.display()
    )
}

/// Whether a file's name ends so, in whatever case.
fn has_extension(path: &Path, wanted: &str) -> bool {
    path.extension().is_some_and(|it| it.eq_ignore_ascii_case(wanted))
}

fn folders(of: &Path) -> Vec<String> {
    let names = |entries: fs::ReadDir| {
        entries.filter_map(|it| it.ok()?.file_name().into_string().ok()).take(MODELS_MAX).collect()
    };
    fs::read_dir(of).map(names).unwrap_or_default()
}

/// Why a file gives no facts; a sentence, or the end of one about the file.
#[derive(Debug)]
enum Flaw {
    /// It could not be read, which may pass.
    Unread(String),
    /// Its content is not what is needed.
    Wrong(String),
}

impl From<String> for Flaw {
    fn from(what: String) -> Self {
        Self::Wrong(what)
    }
}

impl Flaw {
    /// What a read of a file's content ended with: what ends too early is wrong, and everything else may pass.
    fn of_read(err: &io::Error) -> Self {
        if err.kind() == io::ErrorKind::UnexpectedEof {
            Self::Wrong(format!("it ends too early ({err})"))
        } else {
            Self::Unread(format!("it can't be read ({err})"))
        }
    }

    /// The same as a sentence about `file`; what is wrong with its content makes it `not a usable` one of its kind.
    fn about(self, file: &Path, not_usable: &str) -> Self {
        match self {
            Self::Unread(what) => Self::Unread(said(file, what)),
            Self::Wrong(what) => Self::Wrong(said(file, format_args!("{not_usable}: {what}"))),
        }
    }
}

/// A sentence about a file.
fn said(file: &Path, what: impl std::fmt::Display) -> String {
    let name = file.file_name().unwrap_or(file.as_os_str());
    match name.to_str() {
        Some(name) => format!("{name}: {what}"),
        // What is no text is shown byte by byte.
        None => format!("{}: {what}", name.as_encoded_bytes().escape_ascii()),
    }
}

fn unreadable(path: &Path, err: &io::Error) -> ModelError {
    ModelError::Unreadable(said(path, format_args!("it can't be read ({err})")))
}

fn manifest(folder: &Path) -> Result<Option<Manifest>, ModelError> {
    Manifest::find(folder).map_err(|err| unreadable(&folder.join("manifest.json"), &err))
}

fn open(file: &Path) -> Result<(fs::File, u64), Flaw> {
    let open = || -> io::Result<(fs::File, u64)> {
        let opened = fs::File::open(file)?;
        let n_bytes = opened.metadata()?.len();
        Ok((opened, n_bytes))
    };
    open().map_err(|err| Flaw::Unread(format!("it can't be read ({err})")))
}

#[cfg(test)]
mod tests;
