//! Connections that say nothing, or never finish a word, in numbers.

use std::io::{Read, Write};
use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use rustix::net::{AddressFamily, SocketType, bind, connect, socket};
use serde_json::json;

use crate::fakes;
use crate::plane::{TestPlane, until};

/// A connection from an address of one's own.
fn from(ip: [u8; 4], to: SocketAddr) -> TcpStream {
    let fd = socket(AddressFamily::INET, SocketType::STREAM, None).unwrap();
    bind(&fd, &SocketAddr::new(IpAddr::V4(Ipv4Addr::from(ip)), 0)).unwrap();
    connect(&fd, &to).unwrap();
    TcpStream::from(fd)
}

fn address(plane: &TestPlane) -> SocketAddr {
    plane.address().parse().unwrap()
}

/// Whether the server has closed it.
fn is_closed(mut stream: &TcpStream) -> bool {
    stream.set_nonblocking(true).unwrap();
    match stream.read(&mut [0; 1024]) {
        Ok(n) => n == 0,
        Err(err) => err.kind() != std::io::ErrorKind::WouldBlock,
    }
}

#[test]
fn silent_connections_take_nothing_from_anybody() {
    let plane = fakes::plane_with(
        "[http]\nconnections_max = 64\nconnections_per_ip_max = 16\nheader_timeout_secs = 600\n",
        "",
        "",
    );
    let id = fakes::create(&plane, "ok");
    plane.until_state(&id, "STARTED");
    let to = address(&plane);
    let mut held = Vec::new();
    for n in 0..400_u16 {
        // From 32 addresses, the operator's own among them, and some with the first letter of HTTP/2's preface.
        let mut stream = from([127, 0, 0, u8::try_from(n % 32).unwrap() + 1], to);
        if n % 2 == 0 {
            stream.write_all(b"P").unwrap();
        }
        held.push(stream);
        if n % 40 == 39 {
            assert_eq!(plane.anonymous("/healthz").status, 200, "after {n}");
            assert_eq!(plane.get("/endpoints").status, 200, "after {n}");
            assert_eq!(plane.chat(&id, "hello").status, 200, "after {n}");
        }
    }
    let n_open = held.iter().filter(|it| !is_closed(it)).count();
    assert!(n_open <= 64, "{n_open}");
    assert!(
        plane.log().contains("connections that asked nothing were closed to make room"),
        "{}",
        plane.log()
    );
}

#[test]
fn heads_that_never_end_are_cut_in_time() {
    let plane = TestPlane::start_with("[http]\nheader_timeout_secs = 1\nkeep_alive_secs = 2\n");
    let to = address(&plane);
    let start = Instant::now();
    let cases: [(&str, &[u8]); 6] = [
        ("nothing", b""),
        ("a letter of the preface", b"P"),
        ("half of the preface", b"PRI * HTTP/2.0\r\n\r\nSM"),
        ("the whole preface and no more", b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"),
        ("half a head", b"GET /healthz HTTP/1.1\r\nHost: local"),
        ("a head that grows", b"GET /healthz HTTP/1.1\r\n"),
    ];
    let mut streams: Vec<_> = cases
        .iter()
        .map(|(name, bytes)| {
            let mut stream = TcpStream::connect(to).unwrap();
            stream.write_all(bytes).unwrap();
            (*name, stream)
        })
        .collect();
    until("the last cut", || {
        // Byte by byte is no progress.
        if let Some((_, grows)) = streams.iter_mut().find(|it| it.0 == "a head that grows") {
            let _cut = grows.write_all(b"x");
        }
        streams.retain(|(_, stream)| !is_closed(stream));
        streams.is_empty().then_some(())
    });
    assert!(start.elapsed() < Duration::from_secs(10), "{:?}", start.elapsed());

    // One that is kept alive has longer, and then the next head's limit.
    let mut kept = TcpStream::connect(to).unwrap();
    let mut ask = || {
        kept.set_nonblocking(false).unwrap();
        kept.write_all(b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n").unwrap();
        let mut answer = [0; 1024];
        let n = kept.read(&mut answer).unwrap();
        assert!(answer[..n].starts_with(b"HTTP/1.1 200"), "{:?}", String::from_utf8_lossy(&answer[..n]));
    };
    ask();
    // Longer than a head may take, by the server's own clock.
    let late = TcpStream::connect(to).unwrap();
    until("the end of one that never asks", || is_closed(&late).then_some(()));
    ask();
    let start = Instant::now();
    until("the end of an idle connection", || is_closed(&kept).then_some(()));
    assert!(start.elapsed() > Duration::from_millis(1_500), "{:?}", start.elapsed());
}

#[test]
fn busy_connections_of_one_address_leave_room_to_manage() {
    let plane = fakes::plane_with("[http]\nconnections_per_ip_max = 4\n", "", "");
    let id = fakes::create(&plane, "slow-tokens.200");
    plane.until_state(&id, "STARTED");
    let body = json!({"model": id, "stream": true, "max_tokens": 1000,
        "messages": [{"role": "user", "content": "x ".repeat(1000)}]})
    .to_string();
    let request = format!(
        "POST /v1/chat/completions HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {}\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}",
        plane.key(),
        body.len()
    );
    // A connection of before may hold one of the four for a moment; the stream gets one in the reserve then, and no chat.
    let streams: Vec<_> = (0..4)
        .map(|_| {
            until("a stream", || {
                let mut stream = TcpStream::connect(address(&plane)).unwrap();
                stream.write_all(request.as_bytes()).unwrap();
                let mut first = [0; 12];
                stream.read_exact(&mut first).unwrap();
                (first == *b"HTTP/1.1 200").then_some(stream)
            })
        })
        .collect();
    assert_eq!(plane.anonymous("/healthz").status, 200);
    assert_eq!(plane.get("/endpoints").status, 200);
    let refused = plane.chat(&id, "hello");
    assert_eq!(refused.status, 503, "{}", refused.body);
    assert!(refused.error().1.contains("is busy"), "{}", refused.body);
    let (code, said, _) = plane.cli(&["endpoints", "list"]);
    assert!(code == Some(0) && said.contains(&id), "{said}");
    drop(streams);
    until("a chat", || (plane.chat(&id, "hello").status == 200).then_some(()));
}

#[test]
fn wrong_keys_behind_a_trusted_proxy_count_for_the_client_it_names() {
    let plane = TestPlane::start_with("[http]\ntrusted_proxies = [\"127.0.0.2\"]\n");
    let to = address(&plane);
    let status = |client: &str, key: &str| {
        let mut stream = from([127, 0, 0, 2], to);
        let request = format!(
            "GET /v1/endpoints HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nX-Forwarded-For: {client}\r\nAuthorization: Bearer {key}\r\n\r\n"
        );
        stream.write_all(request.as_bytes()).unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        answer.split(' ').nth(1).unwrap().to_owned()
    };
    until("a client that guesses too much", || (status("1.2.3.4", "wrong") == "429").then_some(()));
    assert_eq!(status("9.9.9.9, 1.2.3.4", "wrong"), "429", "what a client wrote itself is not believed");
    assert_eq!(status("4.3.2.1", "wrong"), "403");
    assert_eq!(status("1.2.3.4", plane.key()), "200");
}
