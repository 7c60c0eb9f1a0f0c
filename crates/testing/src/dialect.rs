//! The dialect, spoken without a model: each token is the next word of a fixed text.

use std::convert::Infallible;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use axum::Router;
use axum::body::Body;
use axum::extract::{Json, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use bytes::Bytes;
use dedi_testing::{Behaviour, Mode};
use futures_util::Stream;
use serde::Deserialize;
use serde_json::{Value, json};

/// Its words, with characters of two, three and four bytes for those who cut.
const WORDS: [&str; 6] = ["Hello", " wörld", " –", " 日本", " 🦀", "!"];

/// Tokens of an answer that nobody bounds.
const TOKENS_DEFAULT: u64 = 6;

pub(crate) struct Engine {
    behaviour: Behaviour,
    model: String,
    nonce: Option<String>,
    started: Instant,
    n_health: AtomicU64,
    n_requests: AtomicU64,
    n_chats: AtomicU64,
    n_running: AtomicU64,
    n_cancelled: AtomicU64,
}

#[derive(Deserialize)]
struct Request {
    model: Option<String>,
    max_tokens: Option<u64>,
    #[serde(default)]
    stream: bool,
    #[serde(default)]
    stream_options: StreamOptions,
}

#[derive(Default, Deserialize)]
struct StreamOptions {
    #[serde(default)]
    include_usage: bool,
}

impl Engine {
    pub(crate) fn new(behaviour: Behaviour, model: String) -> Self {
        Self {
            behaviour,
            model,
            nonce: std::env::var("DEDI_NONCE").ok(),
            started: Instant::now(),
            n_health: AtomicU64::new(0),
            n_requests: AtomicU64::new(0),
            n_chats: AtomicU64::new(0),
            n_running: AtomicU64::new(0),
            n_cancelled: AtomicU64::new(0),
        }
    }

    fn is(&self, mode: Mode) -> bool {
        self.behaviour.is(mode)
    }
}

pub(crate) fn router(engine: Arc<Engine>) -> Router {
    Router::new()
        .route("/health", get(health))
        .route("/ready", get(ready))
        .route("/fake/stats", get(stats))
        .route("/v1/models", get(models))
        .route("/v1/completions", post(completions))
        .route("/v1/chat/completions", post(chat))
        .route("/v1/embeddings", post(embeddings))
        .with_state(engine)
}

async fn health(State(engine): State<Arc<Engine>>) -> Response {
    let n_before = engine.n_health.fetch_add(1, Ordering::Relaxed);
    if engine.is(Mode::HangHealth) && n_before >= engine.behaviour.number {
        std::future::pending::<()>().await;
    }
    let loading = |progress: f64| {
        (StatusCode::SERVICE_UNAVAILABLE, Json(json!({"status": "loading", "progress": progress})))
            .into_response()
    };
    if engine.is(Mode::NeverReady) {
        return loading(0.42);
    }
    let load_ms = if engine.is(Mode::SlowLoad) { engine.behaviour.number } else { 0 };
    let passed_ms = u64::try_from(engine.started.elapsed().as_millis()).unwrap_or(u64::MAX);
    if passed_ms < load_ms {
        #[expect(clippy::cast_precision_loss, reason = "a share for people")]
        return loading(passed_ms as f64 / load_ms as f64);
    }
    let nonce = if engine.is(Mode::WrongNonce) {
        Some("nonce-00000000-0000-4000-8000-000000000000".to_owned())
    } else {
        engine.nonce.clone()
    };
    Json(json!({"status": "ok", "nonce": nonce})).into_response()
}

/// The same as an engine says it that is none of dedi's: 425 while it loads, 204 afterwards, and nothing more. How far
/// it is stands in its log.
async fn ready(State(engine): State<Arc<Engine>>) -> StatusCode {
    match health(State(engine)).await.status() {
        StatusCode::OK => {
            eprintln!("stage: warm");
            StatusCode::NO_CONTENT
        }
        _ => {
            eprintln!("stage: reading weights");
            StatusCode::TOO_EARLY
        }
    }
}

async fn stats(State(engine): State<Arc<Engine>>) -> Json<Value> {
    let read = |it: &AtomicU64| it.load(Ordering::Relaxed);
    Json(json!({
        "requests": read(&engine.n_requests),
        "chats": read(&engine.n_chats),
        "running": read(&engine.n_running),
        "cancelled": read(&engine.n_cancelled),
    }))
}

async fn models(State(engine): State<Arc<Engine>>) -> Json<Value> {
    Json(json!({"object": "list", "data": [{"id": engine.model, "object": "model"}]}))
}

async fn completions(State(engine): State<Arc<Engine>>, Json(request): Json<Request>) -> Response {
    generate(engine, request, false).await
}

async fn chat(State(engine): State<Arc<Engine>>, Json(request): Json<Request>) -> Response {
    engine.n_chats.fetch_add(1, Ordering::Relaxed);
    generate(engine, request, true).await
}

async fn embeddings(State(engine): State<Arc<Engine>>, Json(_): Json<Value>) -> Response {
    engine.n_requests.fetch_add(1, Ordering::Relaxed);
    Json(json!({
        "object": "list",
        "model": engine.model,
        "data": [{"object": "embedding", "index": 0, "embedding": [0.6, 0.8]}],
        "usage": {"prompt_tokens": 1, "total_tokens": 1},
    }))
    .into_response()
}

fn error(status: StatusCode, message: &str) -> Response {
    let kind = if status.is_client_error() { "invalid_request_error" } else { "server_error" };
    (status, Json(json!({"error": {"message": message, "type": kind, "param": null, "code": null}})))
        .into_response()
}

async fn generate(engine: Arc<Engine>, request: Request, is_chat: bool) -> Response {
    let n_before = engine.n_requests.fetch_add(1, Ordering::Relaxed);
    if request.model.as_ref().is_some_and(|it| *it != engine.model) {
        return error(StatusCode::NOT_FOUND, "the model does not exist");
    }
    match engine.behaviour.mode {
        Mode::Error500 => return error(StatusCode::INTERNAL_SERVER_ERROR, "told to fail"),
        Mode::Garbage => return "\u{1}\u{2}garbage{".into_response(),
        Mode::Hang if n_before >= engine.behaviour.number => std::future::pending::<()>().await,
        Mode::Busy if n_before >= engine.behaviour.number => {
            return error(StatusCode::SERVICE_UNAVAILABLE, "told to be busy");
        }
        Mode::Ok
        | Mode::SlowLoad
        | Mode::Hang
        | Mode::Busy
        | Mode::HangHealth
        | Mode::NeverReady
        | Mode::Deaf
        | Mode::CrashAtStart
        | Mode::DeviceFull
        | Mode::CrashAtToken
        | Mode::IgnoreTerm
        | Mode::Fork
        | Mode::FloodLog
        | Mode::EatMemory
        | Mode::FillDisk
        | Mode::WrongNonce
        | Mode::SplitUtf8
        | Mode::SlowTokens
        | Mode::Escape => {}
    }
    let n_tokens = request.max_tokens.unwrap_or(TOKENS_DEFAULT);
    let generation = Generation::new(engine, n_tokens, is_chat, request.stream_options.include_usage);
    if request.stream {
        let body = Body::from_stream(generation.stream());
        ([("content-type", "text/event-stream")], body).into_response()
    } else {
        generation.whole().await
    }
}

/// One request being answered. Dropped before its end, it was cancelled.
struct Generation {
    engine: Arc<Engine>,
    n_tokens: u64,
    n_done: u64,
    is_chat: bool,
    has_usage: bool,
    is_over: bool,
}

impl Generation {
    fn new(engine: Arc<Engine>, n_tokens: u64, is_chat: bool, has_usage: bool) -> Self {
        engine.n_running.fetch_add(1, Ordering::Relaxed);
        Self { engine, n_tokens, n_done: 0, is_chat, has_usage, is_over: false }
    }

    async fn next(&mut self) -> Option<&'static str> {
        if self.n_done >= self.n_tokens {
            return None;
        }
        if self.engine.is(Mode::SlowTokens) {
            tokio::time::sleep(Duration::from_millis(self.engine.behaviour.number)).await;
        }
        if self.engine.is(Mode::CrashAtToken) && self.n_done >= self.engine.behaviour.number {
            eprintln!("told to crash at token {}", self.n_done);
            std::process::abort();
        }
        let at = usize::try_from(self.n_done).unwrap_or(0) % WORDS.len();
        self.n_done += 1;
        WORDS.get(at).copied()
    }

    fn finish(&mut self) {
        self.is_over = true;
    }

    fn usage(&self) -> Value {
        json!({"prompt_tokens": 1, "completion_tokens": self.n_done, "total_tokens": self.n_done + 1})
    }

    async fn whole(mut self) -> Response {
        let mut text = String::new();
        while let Some(word) = self.next().await {
            text.push_str(word);
        }
        self.finish();
        let choice = if self.is_chat {
            json!({"index": 0, "message": {"role": "assistant", "content": text}, "finish_reason": "length"})
        } else {
            json!({"index": 0, "text": text, "finish_reason": "length"})
        };
        Json(self.object("", json!([choice]), Some(self.usage()))).into_response()
    }

    fn object(&self, suffix: &str, choices: Value, usage: Option<Value>) -> Value {
        let object =
            if self.is_chat { format!("chat.completion{suffix}") } else { "text_completion".to_owned() };
        json!({"id": "fake-1", "object": object, "created": 1, "model": self.engine.model, "choices": choices, "usage": usage})
    }

    fn event(&self, delta: Value, finish: Option<&str>, token: Option<u64>) -> String {
        let choice = if self.is_chat {
            json!({"index": 0, "delta": delta, "finish_reason": finish, "token_id": token})
        } else {
            json!({"index": 0, "text": delta["content"].as_str().unwrap_or(""), "finish_reason": finish, "token_id": token})
        };
        format!("data: {}\n\n", self.object(".chunk", json!([choice]), None))
    }

    fn stream(mut self) -> impl Stream<Item = Result<Bytes, Infallible>> {
        let (tx, rx) = tokio::sync::mpsc::channel::<Bytes>(1);
        let cuts = self.engine.is(Mode::SplitUtf8);
        let produce = async move {
            let send = async |text: String| {
                for part in parts(&text, cuts) {
                    tx.send(part).await.map_err(drop)?;
                }
                Ok::<(), ()>(())
            };
            if self.is_chat {
                send(self.event(json!({"role": "assistant", "content": ""}), None, None)).await?;
            }
            while let Some(word) = self.next().await {
                send(self.event(json!({"content": word}), None, Some(self.n_done))).await?;
            }
            send(self.event(json!({}), Some("length"), None)).await?;
            if self.has_usage {
                let usage = self.object(".chunk", json!([]), Some(self.usage()));
                send(format!("data: {usage}\n\n")).await?;
            }
            send("data: [DONE]\n\n".to_owned()).await?;
            self.finish();
            Ok::<(), ()>(())
        };
        // The producer lives inside the body, so that it ends when the client goes.
        futures_util::stream::unfold(
            (Box::pin(produce), rx, false),
            |(mut produce, mut rx, is_done)| async move {
                let mut is_done = is_done;
                loop {
                    tokio::select! {
                        biased;
                        part = rx.recv() => return part.map(|it| (Ok(it), (produce, rx, is_done))),
                        _ = &mut produce, if !is_done => is_done = true,
                    }
                }
            },
        )
    }
}

/// The whole text, or chunks of one byte where characters are to be cut.
fn parts(text: &str, cuts: bool) -> Vec<Bytes> {
    if cuts {
        text.as_bytes().chunks(1).map(Bytes::copy_from_slice).collect()
    } else {
        vec![Bytes::copy_from_slice(text.as_bytes())]
    }
}

impl Drop for Generation {
    fn drop(&mut self) {
        self.engine.n_running.fetch_sub(1, Ordering::Relaxed);
        if !self.is_over {
            self.engine.n_cancelled.fetch_add(1, Ordering::Relaxed);
            eprintln!("cancelled after {} tokens", self.n_done);
        }
    }
}
