//! What the gateway costs: the same load straight at an engine and through the gateway, in turns in one run, so
//! that the noise of the machine meets both. Prints throughput, latency and their ratios; loopback only.
//!
//! `cargo bench -p dedi-gateway`; `--test` makes it one short round.

#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::print_stdout,
    dead_code,
    reason = "a program for people, on the tests' helpers"
)]

#[path = "../../crates/gateway/tests/it/engine.rs"]
mod engine;
#[path = "../../crates/gateway/tests/it/plane.rs"]
mod plane;

use std::time::{Duration, Instant};

use dedi_domain::Address;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpStream, UnixStream};
use tokio::task::JoinSet;

use crate::engine::{Engine, finishes, says, stream_head};
use crate::plane::{NAME, Plane, chat_body, key};

/// Events in a stream.
const EVENTS: usize = 200;
const CLIENTS: usize = 8;

/// Where a client sends its requests.
#[derive(Clone)]
enum Way {
    Direct(Address),
    Through(std::net::SocketAddr),
}

struct Round {
    streams_per_sec: f64,
    /// Until the first event.
    first: Duration,
}

#[tokio::main]
async fn main() {
    let short = std::env::args().any(|it| it == "--test");
    let (rounds, requests) = if short { (1, 4) } else { (10, 100) };
    let events = vec![says("token"); EVENTS];
    let engine = Engine::start([vec![stream_head()], events, finishes()].concat());
    let plane = Plane::with(&[&engine]).await;
    let ways = [Way::Direct(engine.address()), Way::Through(plane.address)];
    let mut results = [Vec::new(), Vec::new()];
    for round in 0..=rounds {
        for (way, rounds) in ways.iter().zip(&mut results) {
            let result = load(way, requests).await;
            if round > 0 || short {
                rounds.push(result); // the first is a warm-up
            }
        }
    }
    println!(
        "{CLIENTS} clients, streams of {EVENTS} events, medians of {} rounds taken in turns",
        results[0].len()
    );
    let direct = median(&mut results[0]);
    let through = median(&mut results[1]);
    for (name, (rate, first)) in [("direct", direct), ("through the gateway", through)] {
        println!(
            "{name:20} {rate:8.0} streams/s {:10.0} events/s   first event {first:6.2} ms",
            rate * EVENTS as f64
        );
    }
    println!(
        "ratio                throughput {:.2}   first event {:.2}",
        through.0 / direct.0,
        through.1 / direct.1
    );
}

fn median(rounds: &mut [Round]) -> (f64, f64) {
    let middle = rounds.len() / 2;
    rounds.sort_by(|a, b| a.streams_per_sec.total_cmp(&b.streams_per_sec));
    let rate = rounds[middle].streams_per_sec;
    rounds.sort_by_key(|it| it.first);
    (rate, rounds[middle].first.as_secs_f64() * 1_000.0)
}

/// One round: each client sends its requests one after the other on one connection.
async fn load(way: &Way, requests: usize) -> Round {
    let began = Instant::now();
    let mut clients = JoinSet::new();
    for _ in 0..CLIENTS {
        let way = way.clone();
        clients.spawn(async move {
            match way {
                Way::Direct(Address::Unix(path)) => {
                    client(UnixStream::connect(path).await.unwrap(), requests).await
                }
                Way::Direct(Address::Tcp(address)) | Way::Through(address) => {
                    let stream = TcpStream::connect(address).await.unwrap();
                    stream.set_nodelay(true).unwrap();
                    client(stream, requests).await
                }
            }
        });
    }
    let mut firsts = clients.join_all().await.concat();
    firsts.sort();
    let streams = (CLIENTS * requests) as f64;
    Round { streams_per_sec: streams / began.elapsed().as_secs_f64(), first: firsts[firsts.len() / 2] }
}

async fn client(mut stream: impl AsyncReadExt + AsyncWriteExt + Unpin, requests: usize) -> Vec<Duration> {
    let body = chat_body(NAME, true);
    let request = format!(
        "POST /v1/chat/completions HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {}\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n{body}",
        key(1),
        body.len()
    );
    let mut firsts = Vec::with_capacity(requests);
    let mut buffer = vec![0; 64 * 1024];
    for _ in 0..requests {
        let asked = Instant::now();
        stream.write_all(request.as_bytes()).await.unwrap();
        let (mut first, mut tail) = (None, Vec::new());
        while !tail.ends_with(b"\r\n0\r\n\r\n") {
            let n = stream.read(&mut buffer).await.unwrap();
            assert!(n > 0, "the connection ended early");
            if first.is_none() && buffer[..n].windows(6).any(|it| it == b"data: ") {
                first = Some(asked.elapsed());
            }
            tail.extend_from_slice(&buffer[n.saturating_sub(16)..n]);
            tail.drain(..tail.len().saturating_sub(16));
        }
        firsts.push(first.expect("an event"));
    }
    firsts
}
