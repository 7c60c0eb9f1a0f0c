//! What the hub answers to one request.

use axum::body::Body;
use axum::http::{Response, StatusCode, header};
use axum::response::IntoResponse;
use bytes::Bytes;
use futures_util::stream::{self, StreamExt};
use serde_json::{Value, json};

use super::{HubFile, HubRepo, HubRequest, Shelf, Trick, git_blob, sha256};

/// Size of a body's chunks.
const CHUNK_BYTES: usize = 4 << 10;

pub(super) fn answer(
    shelf: &mut Shelf,
    asked: &HubRequest,
    if_range: Option<&str>,
) -> axum::response::Response {
    let path = asked.path.split('?').next().unwrap_or_default().trim_start_matches('/');
    let parts: Vec<&str> = path.split('/').collect();
    let (name, rest) = match parts.as_slice() {
        ["api", "models", org, base, "revision", rest @ ..] => (format!("{org}/{base}"), Err(rest.join("/"))),
        [org, base, "resolve", commit, rest @ ..] => (format!("{org}/{base}"), Ok((*commit, rest.join("/")))),
        _ => return refused(StatusCode::NOT_FOUND),
    };
    let Some(repo) = shelf.repos.get(&name).cloned() else { return refused(StatusCode::NOT_FOUND) };
    // Another host than the hub's stands for the storage it redirects to, which needs no token.
    let is_storage = asked.host.starts_with("localhost");
    if let Some(token) = &repo.token
        && !is_storage
        && asked.authorization.as_deref() != Some(&format!("Bearer {token}"))
    {
        return refused(StatusCode::UNAUTHORIZED);
    }
    let commit = repo.commit();
    match rest {
        Err(revision) if revision == "main" || commit == revision.replace("%2F", "/") => {
            let given = shelf.given.entry(asked.path.clone()).or_insert(0);
            *given += 1;
            busy(&repo.list, *given).unwrap_or_else(|| list(&name, &repo).into_response())
        }
        Err(_) => refused(StatusCode::NOT_FOUND),
        Ok((at, _)) if at != commit => refused(StatusCode::NOT_FOUND),
        Ok((_, path)) => match repo.files.iter().find(|it| it.path == path) {
            Some(file) => {
                let given = shelf.given.entry(asked.path.clone()).or_insert(0);
                *given += 1;
                give(file, asked, if_range, *given, is_storage)
            }
            None => refused(StatusCode::NOT_FOUND),
        },
    }
}

fn refused(status: StatusCode) -> axum::response::Response {
    (status, axum::Json(json!({"error": "no"}))).into_response()
}

/// The answer of a hub that has too much to do.
fn busy(trick: &Trick, given: u32) -> Option<axum::response::Response> {
    let Trick::Busy { status, retry_after, times } = trick else { return None };
    if given > *times {
        return None;
    }
    let mut response = refused(StatusCode::from_u16(*status).unwrap_or_default());
    if let Ok(value) = retry_after.parse()
        && !retry_after.is_empty()
    {
        response.headers_mut().insert(header::RETRY_AFTER, value);
    }
    Some(response)
}

/// Large files are kept by their SHA-256, small texts by git.
fn is_large(file: &HubFile) -> bool {
    file.path.ends_with(".gguf") || file.path.ends_with(".safetensors")
}

fn list(name: &str, repo: &HubRepo) -> axum::Json<Value> {
    let siblings: Vec<Value> = repo
        .files
        .iter()
        .map(|it| {
            let size = match it.trick {
                Trick::ListsBytes(n) | Trick::ListsBytesAndHidesLength(n) => n,
                Trick::None
                | Trick::Cuts { .. }
                | Trick::CutsAsMirror { .. }
                | Trick::Busy { .. }
                | Trick::CutsAndChanges { .. }
                | Trick::Flips { .. }
                | Trick::Redirects(_)
                | Trick::Stalls { .. }
                | Trick::Status(_) => it.bytes.len() as u64,
            };
            let mut entry = json!({"rfilename": it.path, "size": size, "blobId": git_blob(&it.bytes)});
            if is_large(it) {
                entry["lfs"] = json!({"sha256": sha256(&it.bytes), "size": size, "pointerSize": 130});
            }
            entry
        })
        .collect();
    axum::Json(
        json!({"id": name, "sha": repo.commit(), "gated": false, "tags": repo.tags, "siblings": siblings}),
    )
}

fn give(
    file: &HubFile,
    asked: &HubRequest,
    if_range: Option<&str>,
    given: u32,
    is_storage: bool,
) -> axum::response::Response {
    if let Some(response) = busy(&file.trick, given) {
        return response;
    }
    let mut bytes = file.bytes.clone();
    let (mut cut, mut stalls, mut hides_length) = (None, false, false);
    match &file.trick {
        Trick::None | Trick::ListsBytes(_) | Trick::Busy { .. } => {}
        Trick::CutsAsMirror { after, times, .. } => cut = (given <= *times).then_some(*after),
        Trick::ListsBytesAndHidesLength(_) => hides_length = true,
        Trick::Cuts { after, times } => cut = (given <= *times).then_some(*after),
        Trick::CutsAndChanges { after } if given == 1 => cut = Some(*after),
        Trick::CutsAndChanges { .. } => bytes.reverse(),
        Trick::Flips { at, times } => {
            if let Some(byte) = bytes.get_mut(*at).filter(|_| given <= *times) {
                *byte ^= 1;
            }
        }
        Trick::Redirects(base) if !is_storage => {
            let to = format!("{base}{}", asked.path);
            return Response::builder()
                .status(StatusCode::FOUND)
                .header(header::LOCATION, to)
                .header("x-linked-size", bytes.len())
                .header("x-linked-etag", format!("\"{}\"", sha256(&file.bytes)))
                .body(Body::empty())
                .unwrap_or_default();
        }
        Trick::Redirects(_) => {}
        Trick::Stalls { after } => (cut, stalls) = (Some(*after), true),
        Trick::Status(status) => return refused(StatusCode::from_u16(*status).unwrap_or_default()),
    }
    let (etag, gives_parts) = match &file.trick {
        Trick::CutsAsMirror { etag, gives_parts, .. } => ((*etag).to_owned(), *gives_parts),
        Trick::None
        | Trick::ListsBytes(_)
        | Trick::ListsBytesAndHidesLength(_)
        | Trick::Cuts { .. }
        | Trick::Busy { .. }
        | Trick::CutsAndChanges { .. }
        | Trick::Flips { .. }
        | Trick::Redirects(_)
        | Trick::Stalls { .. }
        | Trick::Status(_) => (format!("\"{}\"", sha256(&bytes)), true),
    };
    let from = asked
        .range
        .as_deref()
        .and_then(|it| it.strip_prefix("bytes=")?.strip_suffix('-')?.parse::<usize>().ok())
        .filter(|_| gives_parts && if_range.is_none_or(|it| it == etag));
    let total = bytes.len();
    let mut response = Response::builder();
    if !etag.is_empty() {
        response = response.header(header::ETAG, &etag);
    }
    if gives_parts {
        response = response.header(header::ACCEPT_RANGES, "bytes");
    }
    if let Some(from) = from {
        if from >= total {
            let range = format!("bytes */{total}");
            let response =
                response.status(StatusCode::RANGE_NOT_SATISFIABLE).header(header::CONTENT_RANGE, range);
            return response.body(Body::empty()).unwrap_or_default();
        }
        let range = format!("bytes {from}-{}/{total}", total - 1);
        response = response.status(StatusCode::PARTIAL_CONTENT).header(header::CONTENT_RANGE, range);
        bytes.drain(..from);
    }
    if !hides_length {
        response = response.header(header::CONTENT_LENGTH, bytes.len());
    }
    response.body(body(bytes, cut, stalls)).unwrap_or_default()
}

/// The bytes in chunks; after `cut` of them the connection breaks, or nothing comes any more.
fn body(mut bytes: Vec<u8>, cut: Option<usize>, stalls: bool) -> Body {
    if let Some(cut) = cut {
        bytes.truncate(cut);
    }
    let chunks: Vec<Result<Bytes, std::io::Error>> =
        bytes.chunks(CHUNK_BYTES).map(|it| Ok(Bytes::copy_from_slice(it))).collect();
    let chunks = stream::iter(chunks);
    match (cut, stalls) {
        (None, _) => Body::from_stream(chunks),
        (Some(_), true) => Body::from_stream(chunks.chain(stream::pending())),
        // What was written before must have left before the connection breaks.
        (Some(_), false) => Body::from_stream(chunks.chain(stream::once(async {
            tokio::time::sleep(std::time::Duration::from_millis(50)).await;
            Err(std::io::Error::other("cut, as the test wants"))
        }))),
    }
}
