//! An HTTP server that gives scripted answers in order and remembers what it was asked.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;

/// The endpoint that the scripts are about.
pub(crate) const ID: &str = "endpoint-11111111-2222-4333-8444-555555555555";

/// One scripted answer.
#[derive(Clone)]
pub(crate) struct Answer {
    status: u16,
    content_type: &'static str,
    body: String,
    hang_up: bool,
    cut: bool,
    again: bool,
}

impl Answer {
    pub(crate) fn json(status: u16, body: Value) -> Self {
        Self::text(status, "application/json", &body.to_string())
    }

    pub(crate) fn text(status: u16, content_type: &'static str, body: &str) -> Self {
        Self { status, content_type, body: body.to_owned(), hang_up: false, cut: false, again: false }
    }

    /// Closes the connection instead of answering.
    pub(crate) fn hang_up() -> Self {
        Self { hang_up: true, ..Self::text(0, "", "") }
    }

    /// Closes the connection before the body's end.
    pub(crate) fn cut(self) -> Self {
        Self { cut: true, ..self }
    }

    /// The same answer to everything from here on.
    pub(crate) fn again(self) -> Self {
        Self { again: true, ..self }
    }
}

/// What was asked.
#[derive(Clone, Debug)]
pub(crate) struct Asked {
    /// `GET /v1/endpoints`.
    pub line: String,
    pub authorization: String,
    pub body: Value,
}

pub(crate) struct Server {
    port: u16,
    asked: Arc<Mutex<Vec<Asked>>>,
    _tasks: JoinSet<()>,
}

impl Server {
    pub(crate) async fn start(answers: Vec<Answer>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let asked = Arc::new(Mutex::new(Vec::new()));
        let mut tasks = JoinSet::new();
        let seen = asked.clone();
        tasks.spawn(async move {
            let mut answers = answers.into_iter();
            let mut next = answers.next();
            // One connection at a time is what a command line makes.
            while let Ok((stream, _)) = listener.accept().await {
                let mut stream = BufReader::new(stream);
                while let Some(request) = read(&mut stream).await {
                    seen.lock().unwrap().push(request);
                    let answer = next.clone().unwrap_or_else(unexpected);
                    if !answer.again {
                        next = answers.next();
                    }
                    if answer.hang_up {
                        break;
                    }
                    write(&mut stream, &answer).await;
                    if answer.cut {
                        break;
                    }
                }
            }
        });
        Self { port, asked, _tasks: tasks }
    }

    /// Answers each request by what it asks and how many asked for the same path before, on as many connections as come.
    pub(crate) async fn routed(route: impl Fn(&Asked, usize) -> Answer + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let asked = Arc::new(Mutex::new(Vec::<Asked>::new()));
        let (seen, route) = (asked.clone(), Arc::new(route));
        let mut tasks = JoinSet::new();
        tasks.spawn(async move {
            let mut connections = JoinSet::new();
            while let Ok((stream, _)) = listener.accept().await {
                let (seen, route) = (seen.clone(), route.clone());
                connections.spawn(async move {
                    let mut stream = BufReader::new(stream);
                    while let Some(request) = read(&mut stream).await {
                        let n = {
                            let mut seen = seen.lock().unwrap();
                            let n = seen.iter().filter(|it| it.line == request.line).count();
                            seen.push(request.clone());
                            n
                        };
                        write(&mut stream, &route(&request, n)).await;
                    }
                });
            }
        });
        Self { port, asked, _tasks: tasks }
    }

    pub(crate) fn base_url(&self) -> String {
        format!("http://127.0.0.1:{}/v1", self.port)
    }

    pub(crate) fn asked(&self) -> Vec<Asked> {
        self.asked.lock().unwrap().clone()
    }

    /// Returns when so many requests have come, or fails after a while.
    pub(crate) async fn until_asked(&self, count: usize) {
        for _ in 0..500 {
            if self.asked.lock().unwrap().len() >= count {
                return;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        panic!("only {} of {count} requests came", self.asked().len());
    }
}

fn unexpected() -> Answer {
    Answer::json(500, json!({"error": {"message": "the script has no answer left", "type": "server_error"}}))
}

async fn read(stream: &mut BufReader<TcpStream>) -> Option<Asked> {
    let mut head = Vec::new();
    loop {
        let mut line = String::new();
        if stream.read_line(&mut line).await.ok()? == 0 {
            return None;
        }
        if line == "\r\n" {
            break;
        }
        head.push(line.trim_end().to_owned());
    }
    let header = |name: &str| {
        head.iter()
            .filter_map(|it| it.split_once(": "))
            .find(|it| it.0.eq_ignore_ascii_case(name))
            .map(|it| it.1.to_owned())
    };
    let length = header("content-length").and_then(|it| it.parse().ok()).unwrap_or(0);
    let mut body = vec![0; length];
    stream.read_exact(&mut body).await.ok()?;
    Some(Asked {
        line: head.first()?.trim_end_matches(" HTTP/1.1").to_owned(),
        authorization: header("authorization").unwrap_or_default(),
        body: serde_json::from_slice(&body).unwrap_or(Value::Null),
    })
}

async fn write(stream: &mut BufReader<TcpStream>, answer: &Answer) {
    let head = format!(
        "HTTP/1.1 {} \r\ncontent-type: {}\r\ncontent-length: {}\r\n\r\n",
        answer.status,
        answer.content_type,
        answer.body.len() + usize::from(answer.cut)
    );
    let _ = stream.write_all(head.as_bytes()).await;
    let _ = stream.write_all(answer.body.as_bytes()).await;
}

/// An endpoint as a dedi server shows it.
pub(crate) fn endpoint(state: &str) -> Value {
    json!({
        "object": "endpoint", "id": ID, "name": "local/dedi/demo-a32b82a1", "display_name": "My demo",
        "model": "dedi/demo", "hardware": "1x_cpu_8gb", "type": "dedicated", "owner": "local", "state": state,
        "autoscaling": {"min_replicas": 1, "max_replicas": 1}, "created_at": "2026-11-21T07:00:00.123Z",
        "inactive_timeout": 60,
        "status": {"reason": "loading", "message": "the engine loads the model", "next_step": null,
            "since": "2026-11-21T07:00:02.000Z", "ready_replicas": 0, "wanted_replicas": 1,
            "progress": {"stage": "loading", "percent": 40, "elapsed_secs": 3, "expected_secs": 8},
            "next_retry_at": null, "first_failure": null, "last_failure": null,
            "generation": 1, "observed_generation": 1}
    })
}
