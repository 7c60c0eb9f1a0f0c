//! The fake engine speaks the dialect, and tells when it is left alone in the middle.

#![expect(clippy::unwrap_used, reason = "a test ends where something is not as it should be")]

use std::io::{BufRead, BufReader, Read, Write};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::process::{Child, Command};
use std::time::{Duration, Instant};

struct Engine {
    child: Child,
    dir: std::path::PathBuf,
}

impl Engine {
    fn start(mode: &str) -> Self {
        let dir = std::env::temp_dir().join(format!("dedi-fake-{mode}-{}", std::process::id()));
        std::fs::create_dir_all(&dir).unwrap();
        let socket = dir.join("s");
        let child = Command::new(env!("CARGO_BIN_EXE_dedi-fake-engine"))
            .args(["serve", "--model", "x", "--model-name", mode, "--socket"])
            .arg(&socket)
            .spawn()
            .unwrap();
        let started = Instant::now();
        while UnixStream::connect(&socket).is_err() {
            assert!(started.elapsed() < Duration::from_secs(10));
            std::thread::sleep(Duration::from_millis(5));
        }
        Self { child, dir }
    }

    fn send(&self, method: &str, path: &str, body: &str) -> UnixStream {
        let mut stream = UnixStream::connect(self.dir.join("s")).unwrap();
        let n_bytes = body.len();
        let head = format!(
            "{method} {path} HTTP/1.1\r\nhost: x\r\nconnection: close\r\ncontent-type: application/json\r\ncontent-length: {n_bytes}\r\n\r\n{body}"
        );
        stream.write_all(head.as_bytes()).unwrap();
        stream
    }

    fn ask(&self, method: &str, path: &str, body: &str) -> String {
        let mut answer = Vec::new();
        self.send(method, path, body).read_to_end(&mut answer).unwrap();
        String::from_utf8_lossy(&answer).into_owned()
    }
}

impl Drop for Engine {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        let _ = std::fs::remove_dir_all::<&Path>(&self.dir);
    }
}

#[test]
fn a_stream_ends_with_usage_and_done() {
    let engine = Engine::start("ok");
    let body = r#"{"stream":true,"max_tokens":2,"messages":[],"stream_options":{"include_usage":true}}"#;
    let answer = engine.ask("POST", "/v1/chat/completions", body);
    assert!(answer.contains("text/event-stream") && answer.contains(r#""content":"Hello""#), "{answer}");
    assert!(answer.contains(r#""completion_tokens":2"#) && answer.contains("data: [DONE]"), "{answer}");
}

#[test]
fn a_client_that_leaves_is_counted() {
    let engine = Engine::start("slow-tokens.20");
    let stream = engine.send("POST", "/v1/completions", r#"{"stream":true,"max_tokens":1000,"prompt":"x"}"#);
    let mut line = String::new();
    BufReader::new(stream).read_line(&mut line).unwrap();
    let started = Instant::now();
    while !engine.ask("GET", "/fake/stats", "").contains(r#""cancelled":1"#) {
        assert!(started.elapsed() < Duration::from_secs(10));
        std::thread::sleep(Duration::from_millis(5));
    }
}
