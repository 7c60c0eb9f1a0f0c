//! An engine that does what a test tells it, byte by byte, on a unix socket.

use std::collections::VecDeque;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use dedi_domain::Address;
use serde_json::Value;
use tempfile::TempDir;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::watch;
use tokio::task::JoinSet;

/// Longest wait for anything in a test.
pub(crate) const BOUND: Duration = Duration::from_secs(20);

/// What it does with a request, step by step. After the last step the connection takes the next request.
#[derive(Clone, Debug)]
pub(crate) enum Step {
    /// Writes bytes as they are.
    Raw(Vec<u8>),
    /// Writes them as one chunk of a chunked body.
    Chunk(String),
    /// Writes so many chunks of a kilobyte each as fast as they are taken.
    Flood(usize),
    /// Notes that all before has been written.
    Written,
    /// Waits until the test opens the gate.
    Gate,
    /// Waits until the other side hangs up.
    UntilHangUp,
    /// Drops the connection.
    Cut,
}

impl Step {
    /// What it writes; nothing where that is not all it does.
    pub(crate) fn bytes(&self) -> Vec<u8> {
        match self {
            Self::Raw(bytes) => bytes.clone(),
            Self::Chunk(text) => chunk(text).into(),
            Self::Flood(_) | Self::Written | Self::Gate | Self::UntilHangUp | Self::Cut => Vec::new(),
        }
    }
}

#[derive(Debug, Default)]
struct Script {
    answers: Mutex<VecDeque<Vec<Step>>>,
    /// When the queue is empty.
    default: Vec<Step>,
}

pub(crate) struct Engine {
    _dir: TempDir,
    path: PathBuf,
    script: Arc<Script>,
    requests: watch::Sender<Vec<Value>>,
    connections: watch::Sender<u32>,
    hang_ups: watch::Sender<u32>,
    gate: watch::Sender<u32>,
    written: watch::Sender<u32>,
    _tasks: JoinSet<()>,
}

impl Engine {
    /// An engine that answers every request the same way.
    pub(crate) fn start(default: Vec<Step>) -> Self {
        Self::scripted(Vec::new(), default)
    }

    /// One answer after the other, then the default.
    pub(crate) fn scripted(answers: Vec<Vec<Step>>, default: Vec<Step>) -> Self {
        let dir = TempDir::new().unwrap();
        let path = dir.path().join("engine.sock");
        let listener = UnixListener::bind(&path).unwrap();
        let script = Arc::new(Script { answers: Mutex::new(answers.into()), default });
        let requests = watch::Sender::new(Vec::new());
        let (connections, hang_ups) = (watch::Sender::new(0), watch::Sender::new(0));
        let (gate, written) = (watch::Sender::new(0), watch::Sender::new(0));
        let mut tasks = JoinSet::new();
        let worker = Worker {
            script: script.clone(),
            requests: requests.clone(),
            hang_ups: hang_ups.clone(),
            gate: gate.clone(),
            written: written.clone(),
        };
        let accepted = connections.clone();
        tasks.spawn(async move {
            let mut open = JoinSet::new();
            while let Ok((stream, _)) = listener.accept().await {
                accepted.send_modify(|it| *it += 1);
                open.spawn(worker.clone().serve(stream));
            }
        });
        Self { _dir: dir, path, script, requests, connections, hang_ups, gate, written, _tasks: tasks }
    }

    pub(crate) fn address(&self) -> Address {
        Address::Unix(self.path.clone())
    }

    /// Puts one more answer into the queue.
    pub(crate) fn then(&self, steps: Vec<Step>) {
        self.script.answers.lock().unwrap().push_back(steps);
    }

    pub(crate) fn open_gate(&self) {
        self.gate.send_modify(|it| *it += 1);
    }

    pub(crate) fn requests(&self) -> Vec<Value> {
        self.requests.borrow().clone()
    }

    pub(crate) fn connections(&self) -> u32 {
        *self.connections.borrow()
    }

    pub(crate) async fn until_requests(&self, n: usize) -> Vec<Value> {
        let mut requests = self.requests.subscribe();
        let seen = requests.wait_for(|it| it.len() >= n);
        tokio::time::timeout(BOUND, seen).await.expect("the engine gets the requests").unwrap().clone()
    }

    /// Waits until it has come past [`Step::Written`].
    pub(crate) async fn until_written(&self) {
        let mut written = self.written.subscribe();
        let seen = written.wait_for(|it| *it > 0);
        tokio::time::timeout(BOUND, seen).await.expect("the engine has written").unwrap();
    }

    /// Waits until so many clients have hung up in the middle.
    pub(crate) async fn until_hang_ups(&self, n: u32) {
        let mut hang_ups = self.hang_ups.subscribe();
        let seen = hang_ups.wait_for(|it| *it >= n);
        tokio::time::timeout(BOUND, seen).await.expect("the engine sees the hang-up").unwrap();
    }
}

#[derive(Clone)]
struct Worker {
    script: Arc<Script>,
    requests: watch::Sender<Vec<Value>>,
    hang_ups: watch::Sender<u32>,
    gate: watch::Sender<u32>,
    written: watch::Sender<u32>,
}

impl Worker {
    async fn serve(self, mut stream: UnixStream) {
        let mut bytes = Vec::new();
        while let Some(request) = read_request(&mut stream, &mut bytes).await {
            self.requests.send_modify(|it| it.push(request));
            let next = self.script.answers.lock().unwrap().pop_front();
            let mut gate = self.gate.subscribe();
            for step in next.unwrap_or_else(|| self.script.default.clone()) {
                let done = match step {
                    Step::Raw(bytes) => stream.write_all(&bytes).await,
                    Step::Chunk(text) => stream.write_all(chunk(&text).as_bytes()).await,
                    Step::Flood(n) => flood(&mut stream, n).await,
                    Step::Written => {
                        self.written.send_modify(|it| *it += 1);
                        Ok(())
                    }
                    Step::Gate => {
                        gate.changed().await.unwrap();
                        Ok(())
                    }
                    Step::UntilHangUp => {
                        let _ = stream.read(&mut [0; 64]).await;
                        self.hang_ups.send_modify(|it| *it += 1);
                        return;
                    }
                    Step::Cut => return,
                };
                if done.is_err() {
                    self.hang_ups.send_modify(|it| *it += 1);
                    return;
                }
            }
        }
    }
}

async fn flood(stream: &mut UnixStream, n: usize) -> std::io::Result<()> {
    let filler = "x".repeat(1_000);
    let event =
        chunk(&format!("data: {{\"choices\":[{{\"index\":0,\"delta\":{{\"content\":\"{filler}\"}}}}]}}\n\n"));
    for _ in 0..n {
        stream.write_all(event.as_bytes()).await?;
    }
    Ok(())
}

fn chunk(text: &str) -> String {
    format!("{:x}\r\n{text}\r\n", text.len())
}

/// One request: its path, its headers and its JSON body.
async fn read_request(stream: &mut UnixStream, bytes: &mut Vec<u8>) -> Option<Value> {
    let head_end = loop {
        if let Some(at) = bytes.windows(4).position(|it| it == b"\r\n\r\n") {
            break at;
        }
        if stream.read_buf(bytes).await.ok()? == 0 {
            return None;
        }
    };
    let head = String::from_utf8(bytes[..head_end].to_vec()).unwrap();
    let length = head.lines().find_map(|it| it.to_lowercase().strip_prefix("content-length: ")?.parse().ok());
    let body_end = head_end + 4 + length.unwrap_or(0_usize);
    while bytes.len() < body_end {
        if stream.read_buf(bytes).await.ok()? == 0 {
            return None;
        }
    }
    let body: Value = serde_json::from_slice(&bytes[head_end + 4..body_end]).unwrap();
    bytes.drain(..body_end);
    Some(serde_json::json!({ "head": head, "body": body }))
}

/// The head of a stream.
pub(crate) fn stream_head() -> Step {
    Step::Raw("HTTP/1.1 200 OK\r\ncontent-type: text/event-stream; charset=utf-8\r\nserver: evil\r\nset-cookie: a=b\r\ntransfer-encoding: chunked\r\n\r\n".into())
}

/// One event of a stream.
pub(crate) fn event(data: &str) -> Step {
    Step::Chunk(format!("data: {data}\n\n"))
}

/// The end of a chunked body.
pub(crate) fn end() -> Step {
    Step::Raw("0\r\n\r\n".into())
}

/// A delta with a text.
pub(crate) fn says(text: &str) -> Step {
    event(&format!(
        r#"{{"id":"x","object":"chat.completion.chunk","created":9,"model":"m","choices":[{{"index":0,"delta":{{"content":"{text}"}},"finish_reason":null}}]}}"#
    ))
}

/// The events that end a stream well.
pub(crate) fn finishes() -> Vec<Step> {
    vec![
        event(r#"{"choices":[{"index":0,"delta":{},"finish_reason":"stop"}],"usage":null}"#),
        event(r#"{"choices":[],"usage":{"prompt_tokens":5,"completion_tokens":2,"total_tokens":7}}"#),
        event("[DONE]"),
        end(),
    ]
}

/// A whole short stream.
pub(crate) fn short_stream() -> Vec<Step> {
    [vec![stream_head(), says("Hi")], finishes()].concat()
}

/// A JSON answer.
pub(crate) fn json(status: &str, body: &str) -> Vec<Step> {
    let length = body.len();
    let head =
        format!("HTTP/1.1 {status}\r\ncontent-type: application/json\r\ncontent-length: {length}\r\n\r\n");
    vec![Step::Raw((head + body).into())]
}

/// A chat answer in the engine's dialect.
pub(crate) fn chat_answer() -> Vec<Step> {
    json(
        "200 OK",
        r#"{"id":"x","object":"chat.completion","created":1,"model":"m","choices":[{"index":0,"message":{"role":"assistant","content":"Hi"},"finish_reason":"stop"}],"usage":{"prompt_tokens":5,"completion_tokens":2,"total_tokens":7}}"#,
    )
}
