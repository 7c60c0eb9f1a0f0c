//! One model: list, choose, check the disk, fetch, write down, put in place.

use std::fs;
use std::path::Path;
use std::sync::atomic::Ordering;

use tokio::time::sleep;

use super::config::HubConfig;
use super::error::HubError;
use super::fetch::{Fetcher, Progress};
use super::line::Line;
use super::listing::{self, Hash, Listing};
use super::manifest::{Manifest, ManifestFile};
use super::select::{Wanted, select};
use super::source::Source;
use super::staging::Staging;

/// What a download has to mind besides itself.
#[derive(Clone, Copy)]
pub(super) struct Around<'a> {
    /// Why another revision that is in the store must stay, if it must.
    pub(super) keeps: Option<&'a str>,
    /// Bytes that downloads beside this one will still take of the disk.
    pub(super) others_need: &'a (dyn Fn() -> u64 + Send + Sync),
}

/// Fetches a model into the store. Answers its commit. Dropping the future ends it; what came stays for the next try.
pub(super) async fn pull(
    config: &HubConfig,
    store: &Path,
    source: &Source,
    progress: &Progress,
    now: String,
    around: Around<'_>,
) -> Result<String, HubError> {
    let staging = Staging::new(store, &source.model);
    let there = Manifest::read(staging.home());
    if there.is_none() && fs::read_dir(staging.home()).is_ok_and(|mut it| it.next().is_some()) {
        return Err(HubError::Unsuitable(format!(
            "{0} is in the model store and did not come from a hub; `dedi models rm {0}` removes it",
            source.model
        )));
    }
    let line = Line::new(config)?;
    let listing = list(config, &line, source).await?;
    let wanted = select(source, &listing.files)?;
    if let Some(there) = there {
        // The same, if damaged, is mended.
        let is_same = is_same(&there, &listing.commit, &wanted);
        if is_same && matches!(there.damage(staging.home()), Ok(None)) {
            return Ok(listing.commit);
        }
        if let (false, Some(why)) = (is_same, around.keeps) {
            return Err(HubError::Held(why.to_owned()));
        }
    }
    let parts = (&listing, wanted.as_slice(), &staging);
    let done = fetch_all(config, store, &line, source, parts, progress, now, around).await;
    if let Err(err) = &done {
        clean_up(&staging, err);
    }
    done.map(|()| listing.commit)
}

async fn list(config: &HubConfig, line: &Line, source: &Source) -> Result<Listing, HubError> {
    let mut n_failed = 0;
    loop {
        match listing::list(line, source).await {
            Err(err) if err.may_pass() && n_failed + 1 < config.tries_max => {
                n_failed += 1;
                sleep(config.backoff(n_failed)).await;
            }
            other => return other,
        }
    }
}

#[expect(clippy::too_many_arguments, reason = "one pull's parts, in the order they came about")]
async fn fetch_all(
    config: &HubConfig,
    store: &Path,
    line: &Line,
    source: &Source,
    (listing, wanted, staging): (&Listing, &[Wanted], &Staging),
    progress: &Progress,
    now: String,
    around: Around<'_>,
) -> Result<(), HubError> {
    let total: u64 = wanted.iter().map(|it| it.n_bytes).fold(0, u64::saturating_add);
    let here: u64 = wanted.iter().map(|it| staging.here(it)).sum();
    let reserve = config.disk_reserve_mib.saturating_mul(1 << 20);
    // Said first: of two downloads that begin at once, each counts the other.
    progress.done.store(here, Ordering::Relaxed);
    progress.total.store(total.max(1), Ordering::Relaxed);
    let others = (around.others_need)();
    staging.must_have_room(total.saturating_sub(here).saturating_add(reserve).saturating_add(others))?;
    staging.create()?;
    let fetcher = Fetcher { config, line, model: &source.model, commit: &listing.commit, staging, progress };
    let mut files = Vec::new();
    let mut before = 0;
    for it in wanted {
        let sha256 = fetcher.fetch(it, before).await?;
        before += it.n_bytes;
        files.push(ManifestFile { name: it.name.clone(), path: it.path.clone(), bytes: it.n_bytes, sha256 });
    }
    let manifest = Manifest {
        model: source.model.to_string(),
        hub: config.base_url.trim_end_matches('/').to_owned(),
        revision: source.revision.clone(),
        commit: listing.commit.clone(),
        license: listing.license.clone(),
        pulled_at: now,
        files,
    };
    let text = serde_json::to_vec_pretty(&manifest)
        .map_err(|err| HubError::Foreign(format!("its manifest can't be written ({err})")))?;
    let names: Vec<String> = wanted.iter().map(|it| it.name.clone()).collect();
    let (staging, store, model) = (staging.clone(), store.to_owned(), source.model.clone());
    // Large files take a while to remove, those of an earlier revision here.
    let installed = tokio::task::spawn_blocking(move || {
        staging.install(&names, &text)?;
        // Without it they are only read once more.
        if let Err(err) = crate::models::remember(&store, &model, staging.home(), &manifest) {
            tracing::debug!(%model, error = %err, "what the files of a pulled model are can't be written down");
        }
        Ok(())
    })
    .await;
    installed.unwrap_or_else(|err| Err(HubError::Foreign(format!("it could not be put in place ({err})"))))
}

/// Whether the store has exactly these files already, whatever became of them.
fn is_same(manifest: &Manifest, commit: &str, wanted: &[Wanted]) -> bool {
    let has = |it: &Wanted| {
        manifest.files.iter().any(|file| {
            let is_same = match &it.hash {
                Hash::Sha256(sha256) => file.sha256 == *sha256,
                Hash::GitBlob(_) => manifest.commit == commit,
            };
            is_same && file.name == it.name && file.bytes == it.n_bytes
        })
    };
    manifest.commit == commit && manifest.files.len() == wanted.len() && wanted.iter().all(has)
}

/// What will not be gone on with does not stay: a full disk needs the room, and a contradiction stays one.
fn clean_up(staging: &Staging, err: &HubError) {
    match err {
        HubError::Files { .. } | HubError::Size { .. } => {
            staging.remove();
        }
        HubError::NotFound(_)
        | HubError::Gated { .. }
        | HubError::Unsuitable(_)
        | HubError::Hash { .. }
        | HubError::Disk { .. }
        | HubError::Redirect(_)
        | HubError::Config(_)
        | HubError::Foreign(_)
        | HubError::Certificate { .. }
        | HubError::Line { .. }
        | HubError::Status { .. }
        | HubError::Held(_)
        | HubError::CalledOff => {}
    }
}
