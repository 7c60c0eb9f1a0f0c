//! One file to disk: gone on with after a cut if it is still the same file, measured against the list while it
//! comes, and kept only if its content is what the list says.

use std::sync::atomic::Ordering;

use dedi_domain::ModelName;
use dedi_gguf::Kind;
use http::header::{ACCEPT_RANGES, CONTENT_LENGTH, CONTENT_RANGE, ETAG};
use http::{HeaderMap, HeaderValue, StatusCode};
use sha1::Sha1;
use sha2::{Digest, Sha256};
use tokio::fs::{File, OpenOptions};
use tokio::io::{AsyncReadExt, AsyncSeekExt, AsyncWriteExt, SeekFrom};
use tokio::time::Instant;

use super::client::{Answer, HubClient, Rest, text};
use super::config::HubConfig;
use super::error::HubError;
use super::listing::Hash;
use super::pace::Pace;
use super::progress::Progress;
use super::select::Wanted;
use super::series::is_gguf;
use super::staging::{Known, Staging};
use super::wait::wait;

/// What a try must bring at least, a hundredth of a small file, to count as one that brought something.
const STEP_BYTES: u64 = 1 << 20;
/// Bytes of a GGUF file after which it is asked what it is: that stands at its beginning.
const BEGINNING_BYTES: usize = 64 << 10;

/// Everything that the files of one pull have in common.
pub(super) struct Fetcher<'a> {
    pub(super) config: &'a HubConfig,
    pub(super) client: &'a HubClient,
    pub(super) model: &'a ModelName,
    pub(super) commit: &'a str,
    pub(super) staging: &'a Staging,
    pub(super) progress: &'a Progress,
}

impl Fetcher<'_> {
    /// Fetches one file, `before` bytes of the model being here already; its SHA-256.
    pub(super) async fn fetch(&self, wanted: &Wanted, before: u64) -> Result<String, HubError> {
        let (mut n_failed, mut n_wrong) = (0, 0);
        let mut furthest = self.staging.here(wanted);
        loop {
            let err = match self.attempt(wanted, before).await {
                Ok(sha256) => return Ok(sha256),
                Err(err) => err,
            };
            let here = self.staging.here(wanted);
            if here >= furthest.saturating_add(STEP_BYTES.min(wanted.n_bytes / 100).max(1)) {
                n_failed = 0;
                furthest = here;
            }
            n_failed += 1;
            // A wrong file costs all of it each time; twice is no accident.
            n_wrong += u32::from(err.is_wrong_content());
            if !err.may_pass() || n_wrong > 1 || n_failed >= self.config.tries_max {
                return Err(err);
            }
            tracing::info!(model = %self.model, file = wanted.name, bytes = here, "a download broke off and goes on: {err}");
            wait(self.config, self.progress, err, n_failed).await?;
        }
    }

    async fn attempt(&self, wanted: &Wanted, before: u64) -> Result<String, HubError> {
        let known = self.staging.known_as(wanted);
        let here = self.staging.here(wanted);
        if let Some(sha256) = known.as_ref().and_then(|it| it.sha256.clone())
            && here == wanted.n_bytes
        {
            self.show(before + here);
            return Ok(sha256);
        }
        let is_part = here > 0 && here < wanted.n_bytes;
        let rest = known
            .filter(|_| is_part)
            .map(|it| Rest { from: here, etag: it.etag.and_then(|it| HeaderValue::from_str(&it).ok()) });
        let is_resumed = rest.is_some();
        match self.download(wanted, before, rest).await {
            // What was here from before may be what is wrong: once more, from the beginning.
            Err(HubError::Hash { .. }) if is_resumed => self.download(wanted, before, None).await,
            other => other,
        }
    }

    async fn download(&self, wanted: &Wanted, before: u64, rest: Option<Rest>) -> Result<String, HubError> {
        let (mut answer, from) = self.open(wanted, rest).await?;
        let mut file = self.file(wanted, from).await?;
        let mut sums = Sums::new(wanted);
        // What it is, is asked once.
        let mut beginning = (is_gguf(&wanted.name) && from < BEGINNING_BYTES as u64).then(Vec::new);
        if from > 0 {
            let read = sums.read(&mut file, from, beginning.as_mut()).await;
            read.map_err(HubError::files(format!("{} can't be read", wanted.name)))?;
        }
        let mut here = from;
        self.show(before + here);
        let body = answer.response.body_mut();
        let mut pace = Pace::new(Instant::now());
        let ended = loop {
            let piece = match self.client.piece(body, &wanted.name).await {
                Ok(Some(piece)) => piece,
                Ok(None) => break Ok(()),
                Err(err) => break Err(err),
            };
            here += piece.len() as u64;
            if here > wanted.n_bytes {
                self.staging.forget(&wanted.name);
                return Err(size(wanted, "sends more".to_owned()));
            }
            file.write_all(&piece)
                .await
                .map_err(HubError::files(format!("{} can't be written", wanted.name)))?;
            sums.update(&piece);
            if let Some(mut bytes) = beginning.take() {
                bytes.extend_from_slice(&piece);
                if bytes.len() >= BEGINNING_BYTES || here == wanted.n_bytes {
                    self.must_be_a_model(wanted, &bytes)?;
                } else {
                    beginning = Some(bytes);
                }
            }
            if let Err(cause) = pace.came(piece.len() as u64, Instant::now()) {
                break Err(HubError::Line { what: wanted.name.clone(), cause });
            }
            self.show(before + here);
        };
        // Also what came before a cut is kept.
        file.flush().await.map_err(HubError::files(format!("{} can't be written", wanted.name)))?;
        ended?;
        if here < wanted.n_bytes {
            let cause = format!("it ended after {here} of {} bytes", wanted.n_bytes);
            return Err(HubError::Line { what: wanted.name.clone(), cause });
        }
        file.sync_all().await.map_err(HubError::files(format!("{} can't be written", wanted.name)))?;
        drop(file);
        let (sha256, got) = sums.finish();
        if got != wanted.hash {
            self.staging.forget(&wanted.name);
            return Err(HubError::Hash {
                file: wanted.name.clone(),
                wanted: wanted.hash.to_string(),
                got: got.to_string(),
            });
        }
        self.staging.keep(wanted, &sha256)?;
        Ok(sha256)
    }

    /// Refuses a file that says of itself that it is something else, before the rest of it comes.
    fn must_be_a_model(&self, wanted: &Wanted, beginning: &[u8]) -> Result<(), HubError> {
        let kind = Kind::of_metadata(&dedi_gguf::beginning(beginning));
        if kind == Kind::Model {
            return Ok(());
        }
        self.staging.forget(&wanted.name);
        Err(HubError::NotAModel {
            model: self.model.to_string(),
            file: wanted.name.clone(),
            path: wanted.path.clone(),
            kind,
        })
    }

    /// The answer that is to be written, and from which byte on.
    async fn open(&self, wanted: &Wanted, rest: Option<Rest>) -> Result<(Answer, u64), HubError> {
        let mut rest = rest;
        loop {
            let answer = self.ask(wanted, rest.as_ref()).await?;
            let headers = answer.response.headers();
            let etag = strong_etag(headers);
            match (answer.response.status(), rest.take()) {
                (StatusCode::PARTIAL_CONTENT, Some(asked)) => {
                    let (from, total) = content_range(headers);
                    if total.is_some_and(|it| it != wanted.n_bytes) {
                        return Err(size(wanted, format!("its answer says {}", total.unwrap_or_default())));
                    }
                    // Where either is not told, the hash of the whole decides.
                    let is_same = etag.is_none() || asked.etag.is_none() || etag == asked.etag;
                    if from == Some(asked.from) && is_same {
                        return Ok((answer, asked.from));
                    }
                    // Another part or another file than was asked for: from the beginning.
                }
                (StatusCode::RANGE_NOT_SATISFIABLE, Some(_)) => {
                    if let (_, Some(total)) = content_range(headers)
                        && total != wanted.n_bytes
                    {
                        self.staging.forget(&wanted.name);
                        return Err(size(wanted, format!("its answer says {total}")));
                    }
                }
                (StatusCode::OK, asked) => {
                    if let Some(said) = length(headers)
                        && said != wanted.n_bytes
                    {
                        self.staging.forget(&wanted.name);
                        return Err(size(wanted, format!("its answer has {said}")));
                    }
                    self.staging.forget(&wanted.name);
                    let etag = etag.and_then(|it| it.to_str().ok().map(str::to_owned));
                    let says_none =
                        text(headers, ACCEPT_RANGES.as_str()).is_some_and(|it| it.trim() == "none");
                    // A range that was asked for without conditions, and all came.
                    let ignores = asked.is_some_and(|it| it.etag.is_none());
                    let is_whole_only = says_none || ignores;
                    let known = Known { hash: wanted.hash.clone(), etag, sha256: None, is_whole_only };
                    self.staging.remember(&wanted.name, known)?;
                    return Ok((answer, 0));
                }
                (status, _) => return Err(HubError::Foreign(format!("{status} for {}", wanted.name))),
            }
        }
    }

    async fn ask(&self, wanted: &Wanted, rest: Option<&Rest>) -> Result<Answer, HubError> {
        let (org, base) = (self.model.org(), self.model.base());
        let parts = [org, base, "resolve", self.commit].into_iter().chain(wanted.path.split('/'));
        let what = format!("{} of {}", wanted.name, self.model);
        let answer = self.client.get(self.client.url(parts)?, &what, rest).await?;
        if let Some(linked) = answer.linked_size
            && linked != wanted.n_bytes
        {
            return Err(size(wanted, format!("links to {linked}")));
        }
        let linked = answer.linked_etag.as_deref().and_then(Hash::of_etag);
        if let (Some(linked @ Hash::Sha256(_)), Hash::Sha256(_)) = (&linked, &wanted.hash)
            && *linked != wanted.hash
        {
            return Err(HubError::Hash {
                file: wanted.name.clone(),
                wanted: wanted.hash.to_string(),
                got: linked.to_string(),
            });
        }
        Ok(answer)
    }

    /// The file, to be read up to `from` and written from there on.
    async fn file(&self, wanted: &Wanted, from: u64) -> Result<File, HubError> {
        let failed = || HubError::files(format!("{} can't be written", wanted.name));
        let mut options = OpenOptions::new();
        options.read(true).write(true).create(true).truncate(false).mode(0o600);
        let mut file = options.open(self.staging.part(&wanted.name)).await.map_err(failed())?;
        file.set_len(from).await.map_err(failed())?;
        file.seek(SeekFrom::Start(0)).await.map_err(failed())?;
        Ok(file)
    }

    fn show(&self, done: u64) {
        self.progress.done.store(done, Ordering::Relaxed);
    }
}

/// The hashes of one content: SHA-256 always, git's where that is what is listed.
struct Sums {
    sha256: Sha256,
    git_blob: Option<Sha1>,
}

impl Sums {
    fn new(wanted: &Wanted) -> Self {
        let git_blob = match &wanted.hash {
            Hash::Sha256(_) => None,
            Hash::GitBlob(_) => Some(Sha1::new_with_prefix(format!("blob {}\0", wanted.n_bytes))),
        };
        Self { sha256: Sha256::new(), git_blob }
    }

    fn update(&mut self, piece: &[u8]) {
        self.sha256.update(piece);
        if let Some(git_blob) = &mut self.git_blob {
            git_blob.update(piece);
        }
    }

    /// Takes in what is here from before.
    async fn read(
        &mut self,
        file: &mut File,
        n_bytes: u64,
        mut also: Option<&mut Vec<u8>>,
    ) -> std::io::Result<()> {
        let mut buffer = vec![0; 1 << 20];
        let mut left = n_bytes;
        while left > 0 {
            let most = usize::try_from(left).unwrap_or(usize::MAX).min(buffer.len());
            let Some(space) = buffer.get_mut(..most) else { break };
            let n = file.read_exact(space).await?;
            self.update(space);
            if let Some(also) = &mut also {
                also.extend_from_slice(space);
            }
            left -= n as u64;
        }
        Ok(())
    }

    /// The SHA-256, and the hash to compare with the list's.
    fn finish(self) -> (String, Hash) {
        let sha256 = hex(&self.sha256.finalize());
        let got = match self.git_blob {
            Some(git_blob) => Hash::GitBlob(hex(&git_blob.finalize())),
            None => Hash::Sha256(sha256.clone()),
        };
        (sha256, got)
    }
}

fn hex(bytes: &[u8]) -> String {
    use std::fmt::Write;
    bytes.iter().fold(String::with_capacity(bytes.len() * 2), |mut out, byte| {
        // Writing to a String can't fail.
        let _ = write!(out, "{byte:02x}");
        out
    })
}

fn size(wanted: &Wanted, said: String) -> HubError {
    HubError::Size { file: wanted.name.clone(), listed: wanted.n_bytes, said }
}

fn strong_etag(headers: &HeaderMap) -> Option<HeaderValue> {
    headers.get(ETAG).filter(|it| it.as_bytes().starts_with(b"\"")).cloned()
}

fn length(headers: &HeaderMap) -> Option<u64> {
    text(headers, CONTENT_LENGTH.as_str())?.parse().ok()
}

/// First byte and size of the whole in `bytes 5-9/10` or `bytes */10`.
fn content_range(headers: &HeaderMap) -> (Option<u64>, Option<u64>) {
    let Some(value) = text(headers, CONTENT_RANGE.as_str()) else { return (None, None) };
    let (range, total) = value.trim_start_matches("bytes").trim().split_once('/').unwrap_or_default();
    let from = range.split_once('-').and_then(|(from, _)| from.trim().parse().ok());
    (from, total.trim().parse().ok())
}
