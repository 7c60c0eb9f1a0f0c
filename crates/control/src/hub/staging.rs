//! The folder a model comes together in: `<store>/.pulls/<org>/<name>`, or `<store>/<org>/.pulls/<name>` where the
//! organisation's folder is a mount of its own, so that the last step is a rename. It outlives the server, and what is in
//! it is gone on with.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use dedi_domain::ModelName;
use rustix::fs::{CWD, RenameFlags, renameat_with};
use serde::{Deserialize, Serialize};

use super::error::HubError;
use super::listing::Hash;
use super::mount;
use super::select::Wanted;
use crate::models::access;

/// One model's folder on its way.
#[derive(Clone, Debug)]
pub(super) struct Staging {
    store: PathBuf,
    dir: PathBuf,
    home: PathBuf,
}

/// What is known of a file that is here in part or whole.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Known {
    /// What it must be in the end.
    pub(super) hash: Hash,
    /// What the server calls this version of it; without it the rest can't be asked for.
    pub(super) etag: Option<String>,
    /// What it is, once all of it was here and was checked.
    pub(super) sha256: Option<String>,
    /// The server sends all of it or nothing.
    #[serde(default)]
    pub(super) is_whole_only: bool,
}

const STATE: &str = "state.json";
const PULLS: &str = ".pulls";

impl Staging {
    pub(super) fn new(store: &Path, model: &ModelName) -> Self {
        let org = store.join(model.org());
        let dir = match mount::is_apart(&org, store) {
            true => org.join(PULLS).join(model.base()),
            false => store.join(PULLS).join(model.org()).join(model.base()),
        };
        Self { store: store.to_owned(), dir, home: org.join(model.base()) }
    }

    /// Refuses what would fail at the very end: a model can't be renamed to where it is to be, or not at all.
    pub(super) fn must_be_usable(&self) -> Result<(), HubError> {
        let org = self.home.parent().unwrap_or(&self.store);
        if let (Ok(real), Ok(root)) = (org.canonicalize(), self.store.canonicalize())
            && !real.starts_with(&root)
        {
            return Err(HubError::Place(format!(
                "{} is a link out of the model store, to {}: mount that folder there instead (`mount --bind`), or remove the link",
                org.display(),
                real.display()
            )));
        }
        if mount::is_apart(&self.home, org) {
            return Err(HubError::Place(format!(
                "{} is a mount of its own, and a model is put in place as a whole folder: unmount it, and mount its disk at {} or above",
                self.home.display(),
                org.display()
            )));
        }
        let existing = self.dir.ancestors().find(|it| it.exists()).unwrap_or(&self.store);
        match access::obstacle(existing).or_else(|| org.exists().then(|| access::obstacle(org)).flatten()) {
            Some(what) => Err(HubError::ReadOnly(what)),
            None => Ok(()),
        }
    }

    /// Where the model will be.
    pub(super) fn home(&self) -> &Path {
        &self.home
    }

    pub(super) fn create(&self) -> Result<(), HubError> {
        private_folder(&self.dir)
            .map_err(HubError::files(format!("the folder {} can't be made", self.dir.display())))
    }

    /// A checked file.
    pub(super) fn whole(&self, name: &str) -> PathBuf {
        self.dir.join(name)
    }

    /// A file that is not complete or not checked.
    pub(super) fn part(&self, name: &str) -> PathBuf {
        self.dir.join(format!("{name}.part"))
    }

    /// What is known of each file here; nothing, if that can't be read.
    fn known(&self) -> BTreeMap<String, Known> {
        fs::read(self.dir.join(STATE))
            .ok()
            .and_then(|it| serde_json::from_slice(&it).ok())
            .unwrap_or_default()
    }

    /// What is known of a file, if it is still the one that is wanted.
    pub(super) fn known_as(&self, wanted: &Wanted) -> Option<Known> {
        self.known().remove(&wanted.name).filter(|it| it.hash == wanted.hash)
    }

    pub(super) fn remember(&self, name: &str, known: Known) -> Result<(), HubError> {
        let mut all = self.known();
        if all.get(name) == Some(&known) {
            return Ok(());
        }
        all.insert(name.to_owned(), known);
        let text = serde_json::to_vec(&all).map_err(io::Error::other);
        text.and_then(|it| write_whole(&self.dir.join(STATE), &it))
            .map_err(HubError::files("the state of the download can't be written"))
    }

    /// Throws a file away, in part or whole.
    pub(super) fn forget(&self, name: &str) {
        let _ = fs::remove_file(self.part(name));
        let _ = fs::remove_file(self.whole(name));
    }

    /// Bytes of a file that are here and of use.
    pub(super) fn here(&self, wanted: &Wanted) -> u64 {
        let Some(known) = self.known_as(wanted) else { return 0 };
        let length = |path: PathBuf| fs::metadata(path).map_or(0, |it| it.len());
        if known.sha256.is_some() {
            length(self.whole(&wanted.name))
        } else {
            length(self.part(&wanted.name))
        }
    }

    /// Bytes of a file that a next try need not fetch again, as far as is known.
    pub(super) fn kept(&self, wanted: &Wanted) -> u64 {
        match self.known_as(wanted) {
            Some(known) if known.sha256.is_some() || !known.is_whole_only => self.here(wanted),
            Some(_) | None => 0,
        }
    }

    /// A file is complete and checked: from now on it has its own name.
    pub(super) fn keep(&self, wanted: &Wanted, sha256: &str) -> Result<(), HubError> {
        let failed = || HubError::files(format!("{} can't be kept", wanted.name));
        fs::rename(self.part(&wanted.name), self.whole(&wanted.name)).map_err(failed())?;
        let known = Known {
            hash: wanted.hash.clone(),
            etag: None,
            sha256: Some(sha256.to_owned()),
            is_whole_only: false,
        };
        self.remember(&wanted.name, known)
    }

    /// Puts the folder, with `manifest` and `names` in it and nothing else, where the model lives. A reader of the
    /// store sees the old model or the new one.
    pub(super) fn install(&self, names: &[String], manifest: &[u8]) -> Result<(), HubError> {
        self.put_in_place(names, manifest)
            .map_err(HubError::files(format!("the model can't be moved to {}", self.home.display())))
    }

    fn put_in_place(&self, names: &[String], manifest: &[u8]) -> io::Result<()> {
        for entry in fs::read_dir(&self.dir)? {
            let entry = entry?;
            if !names.iter().any(|it| entry.file_name() == it.as_str()) {
                fs::remove_file(entry.path())?;
            }
        }
        write_whole(&self.dir.join(super::manifest::FILE), manifest)?;
        sync_folder(&self.dir)?;
        if let Some(org) = self.home.parent() {
            private_folder(org)?;
        }
        match fs::rename(&self.dir, &self.home) {
            Ok(()) => {}
            // There is one of an earlier revision: they change places, and then it goes.
            Err(err)
                if matches!(err.kind(), io::ErrorKind::DirectoryNotEmpty | io::ErrorKind::AlreadyExists) =>
            {
                renameat_with(CWD, &self.dir, CWD, &self.home, RenameFlags::EXCHANGE)?;
            }
            Err(err) => return Err(err),
        }
        if let Some(org) = self.home.parent() {
            sync_folder(org)?;
        }
        self.remove();
        Ok(())
    }

    /// Removes what there is of the download. Answers whether there was anything.
    pub(super) fn remove(&self) -> bool {
        let was = fs::remove_dir_all(&self.dir).is_ok();
        // The folders above go with the last model in them.
        if let Some(org) = self.dir.parent() {
            let _ = fs::remove_dir(org);
        }
        let _ = fs::remove_dir(self.store.join(PULLS));
        was
    }

    /// Refuses when the disk can't take `needed_bytes` more.
    pub(super) fn must_have_room(&self, needed_bytes: u64) -> Result<(), HubError> {
        private_folder(&self.store).map_err(HubError::files("the model store can't be made"))?;
        // The disk that it comes together on, which may be another than the store's.
        let folder = self.dir.ancestors().find(|it| it.exists()).unwrap_or(&self.store);
        let stat = rustix::fs::statvfs(folder).map_err(|err| HubError::Files {
            what: "the free disk can't be measured".to_owned(),
            source: err.into(),
        })?;
        let free_bytes = stat.f_bavail.saturating_mul(stat.f_frsize);
        if free_bytes < needed_bytes {
            return Err(HubError::Disk { folder: folder.to_owned(), needed_bytes, free_bytes });
        }
        Ok(())
    }
}

/// Removes the beginnings of models that were not touched for so long, but for `busy` ones; which they were.
pub(super) fn remove_stale(store: &Path, after: Duration, busy: &[ModelName]) -> Vec<ModelName> {
    let names = |of: &Path| -> Vec<String> {
        let entries = fs::read_dir(of).into_iter().flatten();
        entries.filter_map(|it| it.ok()?.file_name().into_string().ok()).collect()
    };
    let pulls = store.join(PULLS);
    // And those beside the models of organisations that are mounts of their own.
    let orgs = names(&pulls).into_iter().map(|org| (pulls.join(&org), org));
    let apart = names(store).into_iter().map(|org| (store.join(&org).join(PULLS), org));
    let models = orgs.chain(apart).flat_map(|(folder, org)| {
        names(&folder).into_iter().filter_map(move |base| ModelName::parse(&format!("{org}/{base}")).ok())
    });
    let is_stale = |model: &ModelName| {
        let modified = |it: fs::DirEntry| it.metadata().ok()?.modified().ok();
        let entries = fs::read_dir(Staging::new(store, model).dir).into_iter().flatten();
        let newest = entries.filter_map(|it| modified(it.ok()?)).max();
        newest.is_none_or(|it| it.elapsed().is_ok_and(|it| it >= after))
    };
    models
        .filter(|it| !busy.contains(it) && is_stale(it))
        .filter(|it| Staging::new(store, it).remove())
        .collect()
}

fn private_folder(path: &Path) -> io::Result<()> {
    fs::DirBuilder::new().recursive(true).mode(0o700).create(path)
}

pub(super) fn sync_folder(path: &Path) -> io::Result<()> {
    fs::File::open(path)?.sync_all()
}

/// Writes a file whole or not at all.
pub(crate) fn write_whole(path: &Path, bytes: &[u8]) -> io::Result<()> {
    use std::io::Write;
    use std::os::unix::fs::OpenOptionsExt;
    let next = path.with_extension("next");
    let mut file = fs::OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&next)?;
    file.write_all(bytes)?;
    file.sync_all()?;
    fs::rename(&next, path)
}
