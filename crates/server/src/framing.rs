//! Whether everybody on the way agrees where a request ends. The HTTP library takes one of two lengths and forgets the
//! other, so each connection's bytes are looked at before it gets them: a proxy in front may have taken the other one,
//! and what it passed on as a body would be the next request here.

use std::sync::Arc;

use axum::extract::Request;
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use dedi_api::RefusalCode;
use dedi_http::ErrorResponse;
use http::header::TRANSFER_ENCODING;
use http::{StatusCode, Version};
use parking_lot::Mutex;

use crate::limits::HEAD_BYTES_READ_MAX;

#[cfg(any(test, feature = "fuzzing"))]
#[path = "framing/fuzzing.rs"]
pub(crate) mod fuzzing;

const TWO_LENGTHS: &str = "the request has both Content-Length and Transfer-Encoding; send one of them";
const LENGTHS: &str = "the request has more than one Content-Length header; send one";
const ENCODING: &str = "Transfer-Encoding may be `chunked`, once, and nothing else; send the body as it is";
const BARE_LINE: &str = "a line of the request's head ends without a carriage return; end each with CR LF";
const TOO_LONG: &str = "the request's head is too long";

/// What is wrong with the requests of one connection. Clones are handles to the same.
#[derive(Clone, Debug, Default)]
pub(crate) struct Heads(Arc<Mutex<Faults>>);

#[derive(Debug, Default)]
struct Faults {
    n_read: u64,
    n_asked: u64,
    /// The first one and its request's number: nothing behind it is looked at.
    fault: Option<(u64, &'static str)>,
}

impl Heads {
    fn read(&self, fault: Option<&'static str>) {
        let mut all = self.0.lock();
        let n = all.n_read;
        all.n_read += 1;
        if let (Some(fault), None) = (fault, all.fault) {
            all.fault = Some((n, fault));
        }
    }

    /// What is wrong with the next request, in the order in which they came. Whatever follows a faulty one is wrong for
    /// the same reason: nobody knows where it begins.
    fn next(&self) -> Option<&'static str> {
        let mut all = self.0.lock();
        let n = all.n_asked;
        all.n_asked += 1;
        all.fault.filter(|it| it.0 <= n).map(|it| it.1)
    }
}

/// Follows the bytes of one connection from its first on.
#[derive(Debug)]
pub(crate) struct Framing {
    heads: Heads,
    state: State,
    line: Vec<u8>,
    head: Head,
}

/// What comes next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// Lines of a head.
    Head,
    /// So many bytes of a body.
    Body(u64),
    /// The line with a chunk's size.
    ChunkSize,
    /// So many bytes of a chunk.
    Chunk(u64),
    /// The line's end behind a chunk.
    ChunkEnd,
    /// Lines behind the last chunk.
    Trailers,
    /// Another protocol, or what the HTTP library refuses: nothing more is looked at.
    Lost,
}

/// What was seen of a head.
#[derive(Debug, Default)]
struct Head {
    has_begun: bool,
    bytes: usize,
    n_lengths: u32,
    length: u64,
    n_encodings: u32,
    is_chunked: bool,
    has_bare_line: bool,
}

impl Framing {
    /// Of a connection that begins; what is wrong is told to `heads`.
    pub(crate) fn new(heads: Heads) -> Self {
        Self { heads, state: State::Head, line: Vec::new(), head: Head::default() }
    }

    /// Takes the next bytes.
    pub(crate) fn push(&mut self, mut bytes: &[u8]) {
        while !bytes.is_empty() {
            bytes = match self.state {
                State::Lost => return,
                State::Body(left) => self.skip(bytes, left, State::Body, State::Head),
                State::Chunk(left) => self.skip(bytes, left, State::Chunk, State::ChunkEnd),
                State::Head | State::ChunkSize | State::ChunkEnd | State::Trailers => self.read_line(bytes),
            };
        }
    }

    fn skip<'a>(&mut self, bytes: &'a [u8], left: u64, more: fn(u64) -> State, then: State) -> &'a [u8] {
        let n = usize::try_from(left).unwrap_or(usize::MAX).min(bytes.len());
        let left = left - n as u64;
        self.state = if left == 0 { then } else { more(left) };
        bytes.get(n..).unwrap_or_default()
    }

    fn read_line<'a>(&mut self, bytes: &'a [u8]) -> &'a [u8] {
        let end = bytes.iter().position(|it| *it == b'\n');
        let (part, rest) = bytes.split_at(end.map_or(bytes.len(), |it| it + 1));
        self.head.bytes += part.len();
        if self.head.bytes > HEAD_BYTES_READ_MAX {
            // The library refuses most of these, but not one whose end it read together with the excess.
            self.lose(TOO_LONG);
            return rest;
        }
        self.line.extend_from_slice(part);
        if end.is_some() {
            let line = std::mem::take(&mut self.line);
            let line = line.strip_suffix(b"\n").unwrap_or(&line);
            let (line, is_bare) = line.strip_suffix(b"\r").map_or((line, true), |it| (it, false));
            self.take_line(line, is_bare);
        }
        rest
    }

    fn take_line(&mut self, line: &[u8], is_bare: bool) {
        match self.state {
            State::Head => {
                self.head.has_bare_line |= is_bare && (self.head.has_begun || !line.is_empty());
                match (line.is_empty(), self.head.has_begun) {
                    // Empty lines before a request mean nothing.
                    (true, false) => {}
                    (true, true) => self.end_head(),
                    (false, false) => {
                        self.head.has_begun = true;
                        if line.starts_with(b"PRI * HTTP/2") {
                            self.state = State::Lost;
                        }
                    }
                    (false, true) => self.head.field(line),
                }
            }
            State::ChunkSize => {
                let digits = line.split(|it| matches!(it, b';' | b' ' | b'\t')).next().unwrap_or_default();
                let size = std::str::from_utf8(digits).ok().and_then(|it| u64::from_str_radix(it, 16).ok());
                self.state = match size {
                    Some(0) => State::Trailers,
                    Some(n) => State::Chunk(n),
                    None => State::Lost,
                };
                self.head.bytes = 0;
            }
            State::ChunkEnd => self.state = if line.is_empty() { State::ChunkSize } else { State::Lost },
            // The library takes it for a part of the line, so it sees the next request elsewhere.
            State::Trailers if is_bare => self.lose(BARE_LINE),
            State::Trailers if line.is_empty() => (self.state, self.head) = (State::Head, Head::default()),
            State::Trailers | State::Body(_) | State::Chunk(_) | State::Lost => {}
        }
    }

    /// Looks at nothing more, and says that the request which is read, or the next one, is wrong.
    fn lose(&mut self, fault: &'static str) {
        self.heads.read(Some(fault));
        self.state = State::Lost;
    }

    fn end_head(&mut self) {
        let head = std::mem::take(&mut self.head);
        let fault = head.fault();
        self.heads.read(fault);
        self.state = match (fault, head.is_chunked, head.length) {
            // Its answer is the connection's last.
            (Some(_), _, _) => State::Lost,
            (None, true, _) => State::ChunkSize,
            (None, false, 0) => State::Head,
            (None, false, n) => State::Body(n),
        };
    }
}

impl Head {
    fn field(&mut self, line: &[u8]) {
        let Some(colon) = line.iter().position(|it| *it == b':') else { return };
        let (name, value) = line.split_at(colon);
        let value = value.get(1..).unwrap_or_default().trim_ascii();
        if name.eq_ignore_ascii_case(b"content-length") {
            self.n_lengths += 1;
            self.length = std::str::from_utf8(value).ok().and_then(|it| it.parse().ok()).unwrap_or(0);
        } else if name.eq_ignore_ascii_case(b"transfer-encoding") {
            self.n_encodings += 1;
            self.is_chunked = value.eq_ignore_ascii_case(b"chunked");
        }
    }

    fn fault(&self) -> Option<&'static str> {
        if self.n_lengths > 0 && self.n_encodings > 0 {
            Some(TWO_LENGTHS)
        } else if self.n_lengths > 1 {
            Some(LENGTHS)
        } else if self.n_encodings > 1 || (self.n_encodings == 1 && !self.is_chunked) {
            Some(ENCODING)
        } else if self.has_bare_line {
            Some(BARE_LINE)
        } else {
            None
        }
    }
}

/// Refuses requests whose end others may see elsewhere, on whatever route, and closes the connection.
pub(crate) async fn check(request: Request, next: Next) -> Response {
    if request.version() >= Version::HTTP_2 {
        return next.run(request).await;
    }
    let fault = request.extensions().get::<Heads>().and_then(Heads::next);
    let Some(fault) = fault else { return next.run(request).await };
    let param = matches!(fault, TWO_LENGTHS | ENCODING).then_some(TRANSFER_ENCODING.as_str());
    let (status, code) = match fault {
        TOO_LONG => (StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE, RefusalCode::HeadersTooLarge),
        _ => (StatusCode::BAD_REQUEST, RefusalCode::InvalidRequest),
    };
    ErrorResponse::refused(status, code, fault).param(param.map(str::to_owned)).closing().into_response()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What is wrong with each request of a connection, however its bytes are cut.
    fn faults(bytes: &str, n: usize) -> Vec<Option<&'static str>> {
        let cut = |size: usize| {
            let heads = Heads::default();
            let mut framing = Framing::new(heads.clone());
            bytes.as_bytes().chunks(size).for_each(|it| framing.push(it));
            assert!(framing.line.capacity() <= 2 * HEAD_BYTES_READ_MAX);
            (0..n).map(|_| heads.next()).collect::<Vec<_>>()
        };
        let whole = cut(usize::MAX);
        for size in [1, 2, 7] {
            assert_eq!(cut(size), whole, "{bytes:?} in pieces of {size}");
        }
        whole
    }

    fn post(headers: &str, body: &str) -> String {
        format!("POST / HTTP/1.1\r\nHost: x\r\n{headers}\r\n\r\n{body}")
    }

    #[test]
    fn framing_what_is_read_in_two_ways_is_told() {
        for (headers, fault) in [
            ("Content-Length: 5\r\nTransfer-Encoding: chunked", TWO_LENGTHS),
            ("transfer-encoding: chunked\r\ncontent-length: 5", TWO_LENGTHS),
            ("Content-Length: 5\r\nContent-Length: 5", LENGTHS),
            ("Content-Length: 5\r\nContent-Length: 6", LENGTHS),
            ("Transfer-Encoding: chunked, chunked", ENCODING),
            ("Transfer-Encoding: gzip, chunked", ENCODING),
            ("Transfer-Encoding: gzip\r\nTransfer-Encoding: chunked", ENCODING),
            ("Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked", ENCODING),
            ("Transfer-Encoding: identity", ENCODING),
            ("Content-Type: a\nContent-Length: 5", BARE_LINE),
        ] {
            assert_eq!(faults(&post(headers, "0\r\n\r\n"), 1), [Some(fault)], "{headers}");
        }
    }

    #[test]
    fn framing_the_next_request_is_found_behind_every_body() {
        let bad = post("Content-Length: 1\r\nTransfer-Encoding: chunked", "");
        for good in [
            post("Accept: a", ""),
            post("Content-Length: 0", ""),
            post("Content-Length: 70", &post("Transfer-Encoding: x", "")[..].repeat(2)[..70]),
            post("Transfer-Encoding: Chunked", "5\r\nhello\r\nA;x=y\r\n0123\r\n6789\r\n0\r\n\r\n"),
            post("Transfer-Encoding: chunked", "0\r\nTransfer-Encoding: x\r\nContent-Length: 3\r\n\r\n"),
            format!("\r\n\n{}", post("X-Content-Length: 5", "")),
        ] {
            assert_eq!(
                faults(&format!("{good}{good}{bad}"), 4),
                [None, None, Some(TWO_LENGTHS), Some(TWO_LENGTHS)],
                "{good}"
            );
        }
    }

    #[test]
    fn framing_what_follows_trailers_that_end_in_two_ways_is_refused() {
        for trailers in ["\n", "x: y\n\r\n", "x: y\r\n\n"] {
            let first = post("Transfer-Encoding: chunked", &format!("0\r\n{trailers}"));
            let bytes = format!("{first}{}", post("Accept: a", ""));
            assert_eq!(faults(&bytes, 3), [None, Some(BARE_LINE), Some(BARE_LINE)], "{trailers:?}");
        }
    }

    #[test]
    fn framing_a_head_that_is_too_long_is_told() {
        let good = post("Accept: a", "");
        let long = format!("{good}GET / HTTP/1.1\r\nx: {}", "y".repeat(3 * HEAD_BYTES_READ_MAX));
        assert_eq!(faults(&long, 2), [None, Some(TOO_LONG)]);
    }

    #[test]
    fn framing_what_the_library_refuses_is_left_to_it() {
        for bytes in [
            "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\nTransfer-Encoding: x\r\n\r\n",
            &post("Transfer-Encoding: chunked", "zz\r\n"),
        ] {
            assert_eq!(faults(bytes, 1), [None], "{bytes:.60}");
        }
    }
}
