//! Asks an engine where it listens how it is, and for one token. Says what was answered; judges nothing.

use std::time::Duration;

use dedi_domain::Address;
use dedi_domain::engine::{HealthSpec, Progress};
use dedi_shim::records::WrittenLaunch;
use http_body_util::{BodyExt, Full, Limited};
use hyper::body::Bytes;
use hyper::{Method, Request, StatusCode};
use hyper_util::rt::TokioIo;
use serde::Deserialize;
use serde_json::json;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpStream, UnixStream};

/// Most bytes of an answer that are read.
const ANSWER_BYTES_MAX: usize = 256 << 10;

/// What the answer to a look said.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Health {
    /// It serves, with the mark that it echoed.
    Serving(Option<String>),
    /// It loads, with the share of that which is done.
    Loading(Option<f64>),
    /// Nobody listens, or the answer was another one or none.
    Silent(String),
    /// This process is out of what it takes to ask.
    Unasked(String),
}

/// Asks once, and reads the answer as the engine's spec says.
pub(crate) async fn health(address: &Address, spec: &HealthSpec, timeout: Duration) -> Health {
    match ask(address, Method::GET, &spec.path, Bytes::new(), timeout).await {
        Ok((status, body)) if spec.ready.contains(&status.as_u16()) => {
            let nonce = spec.nonce.as_ref().and_then(|name| Some(member(&body, name)?.as_str()?.to_owned()));
            Health::Serving(nonce)
        }
        Ok((status, body)) if spec.loading.contains(&status.as_u16()) => {
            let share = match &spec.progress {
                Progress::Member(name) => member(&body, name).and_then(|it| it.as_f64()),
                Progress::Untold | Progress::Log(_) => None,
            };
            Health::Loading(share)
        }
        Ok((status, _)) => Health::Silent(format!("GET {} answered {status}", spec.path)),
        Err(Trouble::Engine(why)) => Health::Silent(why),
        Err(Trouble::Own(why)) => Health::Unasked(why),
    }
}

/// A member of an answer; none where it is no JSON object.
fn member(body: &[u8], name: &str) -> Option<serde_json::Value> {
    parse::<serde_json::Map<String, serde_json::Value>>(body).remove(name)
}

#[derive(Default, Deserialize)]
struct CompletionBody {
    #[serde(default)]
    usage: Usage,
}

#[derive(Default, Deserialize)]
struct Usage {
    #[serde(default)]
    completion_tokens: u64,
}

#[derive(Default, Deserialize)]
struct EmbeddingBody {
    #[serde(default)]
    data: Vec<Embedding>,
}

#[derive(Deserialize)]
struct Embedding {
    embedding: Vec<f64>,
}

/// Has the engine do its work once, on the smallest input. The error says what came instead of a token.
pub(crate) async fn first_token(
    address: &Address,
    launch: &WrittenLaunch,
    timeout: Duration,
) -> Result<(), String> {
    let model = launch.model.as_str();
    if launch.embedding {
        let body = json!({"model": model, "input": "Hello"});
        let (status, answer) = post(address, "/v1/embeddings", &body, timeout).await?;
        let is_vector =
            parse::<EmbeddingBody>(&answer).data.first().is_some_and(|it| !it.embedding.is_empty());
        return if status == StatusCode::OK && is_vector {
            Ok(())
        } else {
            Err(format!("POST /v1/embeddings answered {status} without a vector"))
        };
    }
    let body = json!({"model": model, "prompt": "Hello", "max_tokens": 1});
    let (status, answer) = post(address, "/v1/completions", &body, timeout).await?;
    if status != StatusCode::NOT_FOUND && status != StatusCode::METHOD_NOT_ALLOWED {
        return judge("/v1/completions", status, &answer);
    }
    let body = json!({"model": model, "messages": [{"role": "user", "content": "Hello"}], "max_tokens": 1});
    let (status, answer) = post(address, "/v1/chat/completions", &body, timeout).await?;
    judge("/v1/chat/completions", status, &answer)
}

fn judge(path: &str, status: StatusCode, answer: &[u8]) -> Result<(), String> {
    if status == StatusCode::OK && parse::<CompletionBody>(answer).usage.completion_tokens >= 1 {
        Ok(())
    } else {
        Err(format!("POST {path} answered {status} without a token"))
    }
}

/// An answer that is not what it should be reads as one that says nothing.
fn parse<T: Default + for<'a> Deserialize<'a>>(body: &[u8]) -> T {
    serde_json::from_slice(body).unwrap_or_default()
}

async fn post(
    address: &Address,
    path: &str,
    body: &serde_json::Value,
    timeout: Duration,
) -> Result<(StatusCode, Bytes), String> {
    ask(address, Method::POST, path, body.to_string().into(), timeout).await.map_err(|err| match err {
        Trouble::Engine(why) | Trouble::Own(why) => why,
    })
}

/// Why there was no answer.
enum Trouble {
    /// Nobody listens, or nothing usable came.
    Engine(String),
    /// This process has no descriptor left to ask with.
    Own(String),
}

fn is_own(err: &BoxError) -> bool {
    let code = err.downcast_ref::<std::io::Error>().and_then(std::io::Error::raw_os_error);
    let codes = [rustix::io::Errno::MFILE, rustix::io::Errno::NFILE];
    code.is_some_and(|it| codes.map(rustix::io::Errno::raw_os_error).contains(&it))
}

async fn ask(
    address: &Address,
    method: Method,
    path: &str,
    body: Bytes,
    timeout: Duration,
) -> Result<(StatusCode, Bytes), Trouble> {
    let what = format!("{method} {path}");
    match tokio::time::timeout(timeout, exchange(address, method, path, body)).await {
        Ok(Ok(answer)) => Ok(answer),
        Ok(Err(err)) if is_own(&err) => Err(Trouble::Own(err.to_string())),
        Ok(Err(err)) => Err(Trouble::Engine(format!("{what}: {err}"))),
        Err(_elapsed) => Err(Trouble::Engine(format!("{what}: no answer within {} ms", timeout.as_millis()))),
    }
}

type BoxError = Box<dyn std::error::Error + Send + Sync>;

/// One request on a connection of its own; dropping the future closes it.
async fn exchange(
    address: &Address,
    method: Method,
    path_of: &str,
    body: Bytes,
) -> Result<(StatusCode, Bytes), BoxError> {
    match address {
        Address::Unix(path) => converse(UnixStream::connect(path).await?, method, path_of, body).await,
        Address::Tcp(address) => converse(TcpStream::connect(address).await?, method, path_of, body).await,
    }
}

async fn converse<S: AsyncRead + AsyncWrite + Send + Unpin + 'static>(
    stream: S,
    method: Method,
    path: &str,
    body: Bytes,
) -> Result<(StatusCode, Bytes), BoxError> {
    let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await?;
    let request = Request::builder()
        .method(method)
        .uri(path)
        .header("host", "localhost")
        .header("content-type", "application/json")
        .body(Full::new(body))?;
    let exchange = async move {
        let response = sender.send_request(request).await?;
        let status = response.status();
        let body = Limited::new(response.into_body(), ANSWER_BYTES_MAX).collect().await?.to_bytes();
        Ok::<_, BoxError>((status, body))
    };
    tokio::pin!(exchange);
    tokio::select! {
        biased;
        answer = &mut exchange => answer,
        // The connection is over; what was read of it is still to be had.
        _ = connection => exchange.await,
    }
}
