//! Which of a folder's GGUF files are models. A projector, an adapter or an importance matrix often lies beside one, and
//! its name promises nothing: what counts is what the file says of itself. Asked only where there is a choice, since it
//! opens each file.

use std::collections::BTreeMap;
use std::fs;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use dedi_gguf::{Fault, Kind};
use parking_lot::Mutex;

/// Files whose kind is remembered; more are looked at again.
const REMEMBERED_MAX: usize = 10_000;
/// Bytes that are read where a file is not whole: what it is stands first.
const BEGINNING_BYTES: u64 = 64 << 10;

/// What each file was the last time.
#[derive(Debug, Default)]
pub(super) struct Kinds(Mutex<BTreeMap<PathBuf, (State, Option<Kind>)>>);

/// Changes when somebody writes to the file.
type State = (u64, Option<SystemTime>);

impl Kinds {
    /// What a file is; `None` where it does not read, which its model's check says better.
    pub(super) fn of(&self, file: &Path) -> Option<Kind> {
        let meta = fs::metadata(file).ok()?;
        let state = (meta.len(), meta.modified().ok());
        let known = || self.0.lock();
        if let Some((of, kind)) = known().get(file)
            && *of == state
        {
            return *kind;
        }
        let kind = read(file, meta.len())?;
        let mut known = known();
        if known.len() >= REMEMBERED_MAX {
            known.clear();
        }
        known.insert(file.to_owned(), (state, kind));
        kind
    }
}

/// `None`: it could not be read, which may pass. `Some(None)`: it is no whole GGUF file.
fn read(file: &Path, n_bytes: u64) -> Option<Option<Kind>> {
    let input = fs::File::open(file).ok()?;
    match dedi_gguf::read(&input, n_bytes) {
        Ok(header) => return Some(Some(Kind::of(&header))),
        Err(Fault::Read(err)) if err.kind() != std::io::ErrorKind::UnexpectedEof => return None,
        Err(Fault::Read(_) | Fault::Magic | Fault::Truncated { .. } | Fault::Damaged(_)) => {}
    }
    let mut bytes = Vec::new();
    fs::File::open(file).ok()?.take(BEGINNING_BYTES).read_to_end(&mut bytes).ok()?;
    let told = Kind::of_metadata(&dedi_gguf::beginning(&bytes));
    Some((told != Kind::Model).then_some(told))
}
