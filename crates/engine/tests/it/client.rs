//! A small HTTP client over a unix socket.

use std::path::Path;
use std::time::Duration;

use http_body_util::{BodyExt, Full};
use hyper::body::{Bytes, Incoming};
use hyper::client::conn::http1::{self, SendRequest};
use hyper::{Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use serde_json::Value;
use tokio::net::UnixStream;
use tokio::task::JoinHandle;

const PATIENCE: Duration = Duration::from_secs(60);

pub(crate) async fn send(
    socket: &Path,
    method: &str,
    path: &str,
    body: &str,
) -> std::io::Result<(Response<Incoming>, JoinHandle<()>)> {
    let stream = UnixStream::connect(socket).await?;
    let (mut sender, connection): (SendRequest<Full<Bytes>>, _) =
        http1::handshake(TokioIo::new(stream)).await.map_err(std::io::Error::other)?;
    #[expect(
        clippy::disallowed_methods,
        reason = "the handle is given to the caller, who aborts it to hang up"
    )]
    let connection = tokio::spawn(async move {
        let _broken_or_done = connection.await;
    });
    let request = Request::builder()
        .method(method)
        .uri(path)
        .header("host", "engine")
        .body(Full::from(body.to_owned()))
        .map_err(std::io::Error::other)?;
    let answer = tokio::time::timeout(PATIENCE, sender.send_request(request)).await;
    let answer =
        answer.map_err(|_late| std::io::Error::other("no answer"))?.map_err(std::io::Error::other)?;
    Ok((answer, connection))
}

/// Status and body.
pub(crate) async fn get(socket: &Path, path: &str) -> std::io::Result<(StatusCode, String)> {
    let (answer, _connection) = send(socket, "GET", path, "").await?;
    read(answer).await
}

/// Status and JSON.
pub(crate) async fn post(socket: &Path, path: &str, body: &Value) -> (StatusCode, Value) {
    let (answer, _connection) = send(socket, "POST", path, &body.to_string()).await.unwrap();
    let (status, text) = read(answer).await.unwrap();
    (status, serde_json::from_str(&text).unwrap_or_else(|_| panic!("no JSON: {text}")))
}

async fn read(answer: Response<Incoming>) -> std::io::Result<(StatusCode, String)> {
    let status = answer.status();
    let body = tokio::time::timeout(PATIENCE, answer.into_body().collect()).await;
    let body = body.map_err(|_late| std::io::Error::other("no end"))?.map_err(std::io::Error::other)?;
    Ok((status, String::from_utf8_lossy(&body.to_bytes()).into_owned()))
}

/// A stream of server-sent events.
pub(crate) struct Events {
    body: Incoming,
    text: String,
    connection: JoinHandle<()>,
}

impl Events {
    pub(crate) async fn open(socket: &Path, path: &str, body: &Value) -> Self {
        let (answer, connection) = send(socket, "POST", path, &body.to_string()).await.unwrap();
        assert_eq!(answer.status(), 200);
        assert_eq!(answer.headers()["content-type"], "text/event-stream");
        Self { body: answer.into_body(), text: String::new(), connection }
    }

    /// The next event's data, or nothing when the body has ended.
    pub(crate) async fn next(&mut self) -> Option<String> {
        loop {
            if let Some((event, rest)) = self.text.split_once("\n\n") {
                let data = event
                    .strip_prefix("data: ")
                    .unwrap_or_else(|| panic!("no data line: {event}"))
                    .to_owned();
                self.text = rest.to_owned();
                return Some(data);
            }
            let frame = tokio::time::timeout(PATIENCE, self.body.frame()).await.expect("an event in time")?;
            let data = frame.unwrap().into_data().unwrap();
            self.text.push_str(std::str::from_utf8(&data).expect("whole characters in every write"));
        }
    }

    /// All chunks up to `[DONE]`, after which the body must end.
    pub(crate) async fn chunks(mut self) -> Vec<Value> {
        let mut chunks = Vec::new();
        while let Some(data) = self.next().await {
            if data == "[DONE]" {
                assert_eq!(self.next().await, None);
                return chunks;
            }
            chunks.push(serde_json::from_str(&data).unwrap());
        }
        panic!("the stream ended without [DONE]");
    }

    pub(crate) fn hang_up(self) {
        self.connection.abort();
    }
}
