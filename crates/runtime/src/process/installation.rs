//! Whose run folder this is: an installation's name is drawn once and kept in it. It marks replicas' records and
//! control groups, so that two installations on one host never take the other's for their own.
//!
//! A copy of a run folder gets a name of its own, or it would end the original's replicas. The name stays with the
//! folder it was drawn for, which is known by its inode: a folder that is renamed or mounted elsewhere is the same.

use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use dedi_shim::identity::Life;
use dedi_shim::records::{LaunchRecord, ReplicaDir, write_atomically};
use serde::{Deserialize, Serialize};

/// The file that holds the name.
const NAME: &str = "installation";

/// The file that says which folder the name is of. Beside the name, which older versions read too.
const FOLDER: &str = "folder";

/// Which folder it is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Folder {
    /// When it was looked at: devices may be numbered anew in the next boot, and for the next container.
    #[serde(flatten)]
    life: Life,
    device: u64,
    inode: u64,
}

impl Folder {
    fn now(run: &Path, life: &Life) -> io::Result<Self> {
        let it = std::fs::metadata(run)?;
        Ok(Self { life: life.clone(), device: it.dev(), inode: it.ino() })
    }

    fn is_another(&self, now: &Self) -> bool {
        self.inode != now.inode || (self.life.is(&now.life) && self.device != now.device)
    }
}

/// The installation that the run folder belongs to: a new one where the folder is a copy of another's.
pub(super) fn of(run: &Path, life: &Life) -> io::Result<String> {
    let now = Folder::now(run, life)?;
    // Absent in a folder of an older version, which is taken to be what it says.
    let before: Option<Folder> = dedi_shim::records::read(&run.join(FOLDER))?;
    if before.as_ref() == Some(&now) {
        return named_in(run);
    }
    if before.is_none_or(|it| !it.is_another(&now)) {
        let id = named_in(run)?;
        if let Err(err) = write_atomically(run, FOLDER, &now) {
            tracing::warn!("a copy of {} will not be known as one: {err}", run.display());
        }
        return Ok(id);
    }
    let id = drawn();
    let n_others = take_over(run, life, &id)?;
    write_atomically(run, NAME, &id)?;
    write_atomically(run, FOLDER, &now)?;
    tracing::warn!(
        "{} is a copy of another run folder: {n_others} of the replicas recorded in it are left to the original; once \
         that has ended, their folders can be removed",
        run.display()
    );
    Ok(id)
}

/// Gives the records of what is certainly over to the new installation, so that how it ended is still known. The
/// others may be of processes that live and are the original's; how many there are.
fn take_over(run: &Path, life: &Life, id: &str) -> io::Result<usize> {
    let mut n_others = 0;
    for dir in ReplicaDir::all(run)? {
        match dir.launch() {
            Ok(Some(record)) if !record.life.is(life) || dir.has_exit()? => {
                dir.write_launch(&LaunchRecord { installation: id.to_owned(), ..record })?;
            }
            Ok(_) | Err(_) => n_others += 1,
        }
    }
    Ok(n_others)
}

fn drawn() -> String {
    uuid::Uuid::new_v4().to_string()
}

/// The name in the folder; drawn where there is none.
fn named_in(run: &Path) -> io::Result<String> {
    if let Some(id) = named(run)? {
        return Ok(id);
    }
    let id = written_in(run)?.unwrap_or_else(drawn);
    write_atomically(run, NAME, &id)?;
    Ok(id)
}

/// The name in the folder, if there is one.
pub(super) fn named(run: &Path) -> io::Result<Option<String>> {
    let file = run.join(NAME);
    let text = match std::fs::read_to_string(&file) {
        Ok(text) => text,
        Err(err) if err.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(err) => return Err(err),
    };
    uuid::Uuid::try_parse(text.trim().trim_matches('"'))
        .map(|it| Some(it.to_string()))
        .map_err(|_| io::Error::new(io::ErrorKind::InvalidData, format!("{} holds no UUID", file.display())))
}

/// The installation that the replicas in the folder name: without this, a lost file would make strangers of them
/// all, which nobody would end and whose devices would be given out again.
fn written_in(run: &Path) -> io::Result<Option<String>> {
    let (mut found, mut unread): (Vec<String>, Option<io::Error>) = (Vec::new(), None);
    for dir in ReplicaDir::all(run)? {
        match dir.launch() {
            Ok(record) => found.extend(record.map(|it| it.installation)),
            Err(err) => unread = Some(err),
        }
    }
    found.sort();
    found.dedup();
    match found.as_slice() {
        [] => unread.map_or(Ok(None), Err),
        [one] => {
            tracing::warn!("{} was lost; its replicas still name it", run.join(NAME).display());
            Ok(Some(one.clone()))
        }
        [_, _, ..] => Err(io::Error::new(
            io::ErrorKind::InvalidData,
            format!(
                "{} is missing, and the replicas there are of {} installations; end them and remove their folders",
                run.join(NAME).display(),
                found.len()
            ),
        )),
    }
}
