//! What the gateway costs: the same load straight at an engine, through a relay that only copies bytes, which is
//! a limit, and through the gateway, in turns in one run, so that the noise of the machine meets all three. Prints
//! throughput, latency, processor time for each event, and the ratios; loopback only.
//!
//! Processor time is that of this process, so clients and engine are in it; what is more than straight at the
//! engine is the relay's or the gateway's own.
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
mod relay;
mod source;

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use dedi_domain::Address;
use dedi_gateway::GatewayConfig;
use memchr::memmem::find_iter;
use rustix::time::{ClockId, clock_gettime};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::Semaphore;
use tokio::task::JoinSet;

use crate::plane::{NAME, Plane, chat_body, key, route};
use crate::relay::Relay;
use crate::source::{CLIENT, Pace, Source};

/// Events in a stream.
const EVENTS: usize = 200;
const CLIENTS: usize = 8;
/// What an event begins with.
const MARK: &[u8] = b"data: ";

/// What one load at one address came to.
struct Round {
    streams_per_sec: f64,
    /// Until the first event.
    first: Duration,
    /// Of the processor, for each event.
    busy: Duration,
}

#[tokio::main]
async fn main() {
    let short = std::env::args().any(|it| it == "--test");
    for (pace, requests, name) in [
        (Pace::AtOnce, 100, "the events of a stream written at once"),
        (Pace::InTurns, 20, "each event written when the client has the one before"),
    ] {
        let (rounds, requests) = if short { (1, 4) } else { (10, requests) };
        println!(
            "{CLIENTS} clients, streams of {EVENTS} events, medians of {rounds} rounds taken in turns; {name}"
        );
        compare(pace, rounds, requests, !short).await;
    }
}

async fn compare(pace: Pace, rounds: usize, requests: usize, warm_up: bool) {
    let source = Source::start(pace, EVENTS, CLIENTS).await;
    let relay = Relay::start(source.unix.clone()).await;
    let routes = vec![route(&[Address::Unix(source.unix.clone())])];
    let plane = Plane::start(GatewayConfig::default(), routes).await;
    let ways = [("direct", source.tcp), ("copied", relay.address), ("through the gateway", plane.address)];
    let mut results = ways.map(|_| Vec::new());
    for round in 0..rounds + usize::from(warm_up) {
        for ((_, address), rounds) in ways.iter().zip(&mut results) {
            let result = load(*address, requests, &source.got).await;
            if round > 0 || !warm_up {
                rounds.push(result);
            }
        }
    }
    let medians = results.map(|mut it| median(&mut it));
    let [direct, copied, through] = &medians;
    for ((name, _), it) in ways.iter().zip(&medians) {
        println!(
            "{name:20} {:8.0} streams/s {:10.0} events/s   first event {:6.2} ms   {:6.2} µs busy for each event",
            it.streams_per_sec,
            it.streams_per_sec * EVENTS as f64,
            it.first.as_secs_f64() * 1e3,
            it.busy.as_secs_f64() * 1e6,
        );
    }
    println!(
        "of the gateway itself {:.2} µs for each event, of the copying {:.2} µs",
        (through.busy.as_secs_f64() - direct.busy.as_secs_f64()) * 1e6,
        (copied.busy.as_secs_f64() - direct.busy.as_secs_f64()) * 1e6
    );
    for (name, peer) in [("direct", direct), ("copied", copied)] {
        println!(
            "ratio to {name:11} throughput {:.2}   first event {:.2}   busy {:.2}",
            through.streams_per_sec / peer.streams_per_sec,
            through.first.as_secs_f64() / peer.first.as_secs_f64(),
            through.busy.as_secs_f64() / peer.busy.as_secs_f64()
        );
    }
}

fn median(rounds: &mut [Round]) -> Round {
    let middle = rounds.len() / 2;
    rounds.sort_by(|a, b| a.streams_per_sec.total_cmp(&b.streams_per_sec));
    let streams_per_sec = rounds[middle].streams_per_sec;
    rounds.sort_by_key(|it| it.first);
    let first = rounds[middle].first;
    rounds.sort_by_key(|it| it.busy);
    Round { streams_per_sec, first, busy: rounds[middle].busy }
}

/// One round: each client sends its requests one after the other on one connection.
async fn load(address: SocketAddr, requests: usize, got: &Arc<[Semaphore]>) -> Round {
    let (began, busy) = (Instant::now(), busy());
    let mut clients = JoinSet::new();
    for number in 0..CLIENTS {
        let got = got.clone();
        clients.spawn(async move { client(address, requests, number, &got[number]).await });
    }
    let mut firsts = clients.join_all().await.concat();
    firsts.sort();
    let streams = CLIENTS * requests;
    Round {
        streams_per_sec: streams as f64 / began.elapsed().as_secs_f64(),
        first: firsts[firsts.len() / 2],
        busy: (self::busy() - busy) / u32::try_from(streams * EVENTS).unwrap(),
    }
}

/// Processor time of this process so far.
fn busy() -> Duration {
    clock_gettime(ClockId::ProcessCPUTime).try_into().unwrap()
}

async fn client(address: SocketAddr, requests: usize, number: usize, got: &Semaphore) -> Vec<Duration> {
    let mut stream = TcpStream::connect(address).await.unwrap();
    stream.set_nodelay(true).unwrap();
    let body = chat_body(NAME, true).replace("hello", &format!("{CLIENT}{number}"));
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
        let (mut first, mut events, mut tail) = (None, 0, Vec::new());
        while !tail.ends_with(b"\r\n0\r\n\r\n") {
            let n = stream.read(&mut buffer).await.unwrap();
            assert!(n > 0, "the connection ended early");
            // A mark may be cut in two; a seam is too short for a whole one on either side.
            let seam = [&tail[tail.len().saturating_sub(MARK.len() - 1)..], &buffer[..n.min(MARK.len() - 1)]];
            let new = find_iter(&seam.concat(), MARK).count() + find_iter(&buffer[..n], MARK).count();
            if new > 0 && first.is_none() {
                first = Some(asked.elapsed());
            }
            events += new;
            got.add_permits(new);
            tail.extend_from_slice(&buffer[n.saturating_sub(16)..n]);
            tail.drain(..tail.len().saturating_sub(16));
        }
        assert!(events >= EVENTS, "events are missing: {events}");
        got.forget_permits(usize::MAX); // those that nothing was written for
        firsts.push(first.expect("an event"));
    }
    firsts
}
