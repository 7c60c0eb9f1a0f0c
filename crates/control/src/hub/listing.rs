//! What the hub says a revision consists of: the commit, and each file with its size and hash.

use std::collections::BTreeSet;
use std::fmt;

use serde::{Deserialize, Serialize};

use super::client::HubClient;
use super::error::HubError;
use super::source::Source;

/// One revision, pinned.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Listing {
    pub(super) commit: String,
    /// Empty where the hub has none.
    pub(super) license: String,
    pub(super) files: Vec<Listed>,
}

/// One file of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Listed {
    /// Its path in the repository.
    pub(super) path: String,
    pub(super) n_bytes: Option<u64>,
    pub(super) hash: Option<Hash>,
}

/// What a file's content is known by: large files by their SHA-256, small ones by what git calls them.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Hash {
    Sha256(String),
    GitBlob(String),
}

impl Hash {
    /// A hash by its length, which is how the hub's etags tell the two apart.
    pub(super) fn of_etag(text: &str) -> Option<Self> {
        match text.len() {
            64 if is_hex(text) => Some(Self::Sha256(text.to_ascii_lowercase())),
            40 if is_hex(text) => Some(Self::GitBlob(text.to_ascii_lowercase())),
            _ => None,
        }
    }
}

impl fmt::Display for Hash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Sha256(hex) => write!(f, "sha256 {hex}"),
            Self::GitBlob(hex) => write!(f, "git blob {hex}"),
        }
    }
}

pub(super) fn is_hex(text: &str) -> bool {
    text.bytes().all(|it| it.is_ascii_hexdigit())
}

/// Files of one repository that are looked at.
const FILES_MAX: usize = 20_000;

#[derive(Deserialize)]
struct WireModel {
    sha: Option<String>,
    #[serde(default)]
    siblings: Vec<WireFile>,
    #[serde(default)]
    tags: Vec<String>,
}

#[derive(Deserialize)]
struct WireFile {
    rfilename: String,
    size: Option<u64>,
    #[serde(rename = "blobId")]
    blob_id: Option<String>,
    lfs: Option<WireLfs>,
}

#[derive(Deserialize)]
struct WireLfs {
    sha256: Option<String>,
    oid: Option<String>,
    size: Option<u64>,
}

/// Asks for the files of a revision.
pub(super) async fn list(client: &HubClient, source: &Source) -> Result<Listing, HubError> {
    let (org, base) = (source.model.org(), source.model.base());
    let mut url = client.url(["api", "models", org, base, "revision", source.revision.as_str()])?;
    url.set_query(Some("blobs=true"));
    let bytes = client.get_whole(url, &format!("model {source}")).await?;
    read(&bytes)
}

pub(super) fn read(bytes: &[u8]) -> Result<Listing, HubError> {
    let foreign = |what: String| HubError::Foreign(what);
    let wire: WireModel =
        serde_json::from_slice(bytes).map_err(|err| foreign(format!("it is not a list of files ({err})")))?;
    let commit = wire.sha.filter(|it| (7..=64).contains(&it.len()) && is_hex(it));
    let commit = commit.ok_or_else(|| foreign("it names no commit".to_owned()))?;
    if wire.siblings.len() > FILES_MAX {
        return Err(foreign(format!("it lists {} files; {FILES_MAX} are looked at", wire.siblings.len())));
    }
    // One part of a split model that is listed twice would stand for a part that is missing.
    let mut paths = BTreeSet::new();
    if let Some(it) = wire.siblings.iter().find(|it| !paths.insert(&it.rfilename)) {
        return Err(foreign(format!("it lists {} twice", it.rfilename.escape_debug())));
    }
    let license = wire.tags.iter().find_map(|it| it.strip_prefix("license:")).unwrap_or_default();
    let license = license.chars().filter(|it| !it.is_control()).take(64).collect();
    Ok(Listing { commit, license, files: wire.siblings.into_iter().map(listed).collect() })
}

fn listed(it: WireFile) -> Listed {
    let Some(lfs) = it.lfs else {
        let hash = it.blob_id.as_deref().and_then(Hash::of_etag);
        return Listed { path: it.rfilename, n_bytes: it.size, hash };
    };
    let oid = lfs.oid.as_deref().map(|it| it.trim_start_matches("sha256:"));
    let hash = lfs.sha256.as_deref().or(oid).and_then(Hash::of_etag);
    Listed { path: it.rfilename, n_bytes: lfs.size.or(it.size), hash }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_list_gives_sizes_and_hashes() {
        let sha256 = "ab".repeat(32);
        let text = format!(
            r#"{{"id":"a/b","sha":"{commit}","gated":false,"tags":["gguf","license:mit"],"siblings":[
            {{"rfilename":"README.md","size":5,"blobId":"{blob}"}},
            {{"rfilename":"b.gguf","size":10,"blobId":"{blob}","lfs":{{"sha256":"{sha256}","size":10,"pointerSize":133}}}},
            {{"rfilename":"old.gguf"}}]}}"#,
            commit = "c".repeat(40),
            blob = "d".repeat(40),
        );
        let listing = read(text.as_bytes()).unwrap();
        assert_eq!((listing.commit, listing.license.as_str()), ("c".repeat(40), "mit"));
        assert_eq!(listing.files[0].hash, Some(Hash::GitBlob("d".repeat(40))));
        assert_eq!(listing.files[1].hash, Some(Hash::Sha256(sha256)));
        assert_eq!((listing.files[1].n_bytes, listing.files[2].n_bytes), (Some(10), None));
    }

    #[test]
    fn listing_that_has_a_path_twice_is_refused() {
        let commit = "c".repeat(40);
        let part = r#"{"rfilename":"model-00002-of-00002.safetensors","size":5}"#;
        let text = format!(r#"{{"sha":"{commit}","siblings":[{part},{part}]}}"#);
        let said = read(text.as_bytes()).unwrap_err().to_string();
        assert!(said.contains("it lists model-00002-of-00002.safetensors twice"), "{said}");
    }

    #[test]
    fn what_is_no_list_is_called_that() {
        for bad in
            ["<html>", "{}", r#"{"sha":"zzzzzzzzzz","siblings":[]}"#, r#"{"sha":"../../etc","siblings":[]}"#]
        {
            assert!(matches!(read(bad.as_bytes()), Err(HubError::Foreign(_))), "{bad}");
        }
    }
}
