//! What an operator should know of the model store: that it can't be written to, and what lies in it and is no model that
//! anybody can use. Reads folders, and the beginnings of files where there is a choice.

use std::ffi::OsStr;
use std::fs;
use std::path::Path;

use dedi_domain::ModelName;

use super::{FILES_MAX, MODELS_MAX, ModelError, ModelStore, access, outside};

/// Things told; who has more mends these first.
const TOLD_MAX: usize = 20;

/// Something about the store, as a sentence with what helps.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Oddity {
    /// Models run from it, and none can be fetched, removed or accepted.
    ReadOnly(String),
    /// Something in it can't be used.
    Unusable(String),
}

impl Oddity {
    /// The sentence.
    pub fn sentence(&self) -> &str {
        match self {
            Self::ReadOnly(what) | Self::Unusable(what) => what,
        }
    }
}

impl ModelStore {
    /// What is odd about the store.
    pub fn oddities(&self) -> Vec<Oddity> {
        let read_only = access::obstacle(self.folder()).map(|it| {
            Oddity::ReadOnly(format!("{it}; its models run, and none can be fetched, removed or accepted"))
        });
        read_only.into_iter().chain(self.unusable().into_iter().map(Oddity::Unusable)).collect()
    }

    /// What lies in the store where a model could, and why it can't be used.
    fn unusable(&self) -> Vec<String> {
        let mut told = Vec::new();
        for org in below(self.folder()) {
            let Some(org_name) = usable(&org, "organisation", &mut told) else { continue };
            let root = self.folder().join(org_name);
            if let (Ok(real), Ok(store)) = (root.canonicalize(), self.folder().canonicalize())
                && !real.starts_with(&store)
            {
                told.push(outside(&format!("{org_name} is a link"), &real));
                continue;
            }
            for model in below(&root) {
                let Some(base) = usable(&model, &format!("model of {org_name}"), &mut told) else { continue };
                let Ok(name) = ModelName::parse(&format!("{org_name}/{base}")) else { continue };
                match self.files(&name) {
                    Ok(_) | Err(ModelError::Absent(_)) => {}
                    Err(ModelError::Unusable(why) | ModelError::Unreadable(why)) => {
                        told.push(format!("{name}: {why}"));
                    }
                }
                if told.len() >= TOLD_MAX {
                    return told;
                }
            }
        }
        told.truncate(TOLD_MAX);
        told
    }
}

/// A folder's name, if a model's may have it; otherwise that is told. What begins with a point is nobody's model.
fn usable<'a>(name: &'a OsStr, what: &str, told: &mut Vec<String>) -> Option<&'a str> {
    let bytes = name.as_encoded_bytes();
    if bytes.starts_with(b".") {
        return None;
    }
    let escaped = bytes.escape_ascii();
    let Some(text) = name.to_str() else {
        told.push(format!(
            "the folder \"{escaped}\" can't be used as {what}: its name is not UTF-8; rename it"
        ));
        return None;
    };
    if let Err(err) = ModelName::parse(&format!("{text}/x")) {
        told.push(format!("the folder \"{escaped}\" can't be used as {what}: {err}; rename it"));
        return None;
    }
    Some(text)
}

fn below(folder: &Path) -> Vec<std::ffi::OsString> {
    let entries = fs::read_dir(folder).into_iter().flatten();
    let folders = entries.filter_map(Result::ok).filter(|it| it.path().is_dir());
    let mut names: Vec<_> = folders.map(|it| it.file_name()).take(MODELS_MAX.min(FILES_MAX)).collect();
    names.sort();
    names
}

#[cfg(test)]
mod tests {
    use std::os::unix::ffi::OsStrExt;
    use std::os::unix::fs::symlink;

    use super::*;
    use crate::testing::{Gguf, gguf};

    #[test]
    fn names_that_no_model_may_have_are_told_byte_by_byte() {
        let dir = tempfile::tempdir().unwrap();
        let odd = OsStr::from_bytes(b"mod\xff\xe8le");
        for folder in [dir.path().join("a").join(odd), dir.path().join("a/two words"), dir.path().join(odd)] {
            fs::create_dir_all(&folder).unwrap();
            fs::write(folder.join("x.gguf"), gguf(&Gguf::default())).unwrap();
        }
        fs::create_dir_all(dir.path().join("a/b")).unwrap();
        fs::write(dir.path().join("a/b").join(OsStr::from_bytes(b"x\xff.gguf")), b"").unwrap();
        let store = ModelStore::new(dir.path().to_owned());
        assert!(store.list().is_empty());
        let told = store.unusable();
        assert_eq!(told.len(), 4, "{told:?}");
        assert_eq!(told[0], r#"a/b: x\xff.gguf: its name is not UTF-8; rename it"#);
        assert!(
            told[1].starts_with(r#"the folder "mod\xff\xe8le" can't be used as model of a: its name is"#)
        );
        assert!(told[2].starts_with(r#"the folder "two words" can't be used as model of a: "#), "{told:?}");
        assert!(told[3].contains("as organisation"), "{told:?}");
    }

    #[test]
    fn oddities_beyond_the_limit_are_told_when_the_first_are_mended() {
        let dir = tempfile::tempdir().unwrap();
        let folder = |n: usize| dir.path().join(format!("a/two words {n:02}"));
        (0..=TOLD_MAX).for_each(|n| fs::create_dir_all(folder(n)).unwrap());
        let store = ModelStore::new(dir.path().to_owned());
        let last = format!("two words {TOLD_MAX}");
        let told = store.unusable();
        assert_eq!(told.len(), TOLD_MAX);
        assert!(!told.iter().any(|it| it.contains(&last)), "{told:?}");
        fs::remove_dir(folder(0)).unwrap();
        assert!(store.unusable().iter().any(|it| it.contains(&last)));
    }

    #[test]
    fn link_out_of_the_store_is_told_with_its_target() {
        let (dir, outside) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let target = outside.path().canonicalize().unwrap();
        fs::create_dir_all(target.join("y")).unwrap();
        fs::write(target.join("y/y.gguf"), gguf(&Gguf::default())).unwrap();
        fs::create_dir_all(dir.path().join("a/file")).unwrap();
        symlink(target.join("y/y.gguf"), dir.path().join("a/file/y.gguf")).unwrap();
        fs::create_dir_all(dir.path().join("a/gone")).unwrap();
        symlink(target.join("none.gguf"), dir.path().join("a/gone/z.gguf")).unwrap();
        symlink(target.join("y"), dir.path().join("a/folder")).unwrap();
        symlink(&target, dir.path().join("org")).unwrap();
        let told = ModelStore::new(dir.path().to_owned()).unusable();
        let shown = target.display();
        let wanted = [
            format!("a/file: y.gguf: it is a link out of the model store, to {shown}/y/y.gguf,"),
            format!("a/folder: a/folder is a link out of the model store, to {shown}/y,"),
            format!("a/gone: z.gguf: it is a link to {shown}/none.gguf, where nothing is"),
            format!("org is a link out of the model store, to {shown},"),
        ];
        assert_eq!(told.len(), wanted.len(), "{told:?}");
        for (told, wanted) in told.iter().zip(wanted) {
            assert!(told.starts_with(&wanted), "{told}");
        }
        assert!(told[0].contains("mount --bind"), "{told:?}");
    }
}
