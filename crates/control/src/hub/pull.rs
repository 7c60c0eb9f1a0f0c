//! One model: list, choose, check the disk, fetch, write down, put in place.

use std::fs;
use std::io;
use std::path::Path;
use std::sync::atomic::Ordering;

use super::client::HubClient;
use super::config::HubConfig;
use super::error::HubError;
use super::fetch::Fetcher;
use super::listing::{self, Hash, Listing};
use super::manifest::{Manifest, ManifestFile};
use super::progress::Progress;
use super::select::{Wanted, select};
use super::source::Source;
use super::staging::Staging;
use super::wait::wait;

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
    staging.must_be_usable()?;
    let there = Manifest::read(staging.home());
    if there.is_none() && fs::read_dir(staging.home()).is_ok_and(|mut it| it.next().is_some()) {
        return Err(HubError::Unsuitable(format!(
            "{0} is in the model store and did not come from a hub; `dedi models rm {0}` removes it",
            source.model
        )));
    }
    let client = HubClient::new(config)?;
    let listing = list(config, &client, source, progress).await?;
    let mut not_models: Vec<String> = Vec::new();
    let mut turned_out = None;
    loop {
        let wanted = match (select(source, &listing.files, &not_models), turned_out.take()) {
            (Ok(wanted), _) => wanted,
            // The one that was meant is none, which says more than that there is no other.
            (Err(_none), Some(err)) => return Err(err),
            (Err(err), None) => return Err(err),
        };
        if let Some(there) = &there {
            // The same, if damaged, is mended.
            let is_same = is_same(there, &listing.commit, &wanted);
            if is_same && matches!(there.damage(staging.home()), Ok(None)) {
                return Ok(listing.commit);
            }
            if let (false, Some(why)) = (is_same, around.keeps) {
                return Err(HubError::Held(why.to_owned()));
            }
        }
        let parts = (&listing, wanted.as_slice(), &staging);
        let done = fetch_all(config, store, &client, source, parts, progress, &now, around).await;
        let Err(err) = done else { return Ok(listing.commit) };
        clean_up(&staging, &err);
        let kept = wanted.iter().map(|it| staging.kept(it)).fold(0, u64::saturating_add);
        progress.kept.store(kept, Ordering::Relaxed);
        let HubError::NotAModel { path, .. } = &err else { return Err(err) };
        tracing::info!(model = %source.model, "{err}");
        // What is left out is not chosen again.
        not_models.push(path.clone());
        turned_out = Some(err);
    }
}

async fn list(
    config: &HubConfig,
    client: &HubClient,
    source: &Source,
    progress: &Progress,
) -> Result<Listing, HubError> {
    let mut n_failed = 0;
    loop {
        match listing::list(client, source).await {
            Err(err) if err.may_pass() && n_failed + 1 < config.tries_max => {
                n_failed += 1;
                wait(config, progress, err, n_failed).await?;
            }
            other => return other,
        }
    }
}

#[expect(clippy::too_many_arguments, reason = "one pull's parts, in the order they came about")]
async fn fetch_all(
    config: &HubConfig,
    store: &Path,
    client: &HubClient,
    source: &Source,
    (listing, wanted, staging): (&Listing, &[Wanted], &Staging),
    progress: &Progress,
    now: &str,
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
    let fetcher =
        Fetcher { config, client, model: &source.model, commit: &listing.commit, staging, progress };
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
        pulled_at: now.to_owned(),
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
        // A model that is whole and has no place now has one when that is mended.
        HubError::Files { source, .. } if is_misplaced(source) => {}
        HubError::Files { .. } | HubError::Size { .. } => {
            staging.remove();
        }
        HubError::NotAModel { .. }
        | HubError::Place(_)
        | HubError::ReadOnly(_)
        | HubError::LongWait { .. } => {}
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

/// Whether the error says that the place changed meanwhile, not that it is out of room.
fn is_misplaced(err: &io::Error) -> bool {
    matches!(
        err.kind(),
        io::ErrorKind::CrossesDevices | io::ErrorKind::ResourceBusy | io::ErrorKind::ReadOnlyFilesystem
    )
}
