//! HTTP/2 on the public listener, by a client that has one connection for everything.

use std::collections::BTreeSet;
use std::future::poll_fn;

use bytes::Bytes;
use h2::client::{self, ResponseFuture, SendRequest};
use h2::{Reason, RecvStream};
use http::{HeaderMap, Method, Request, StatusCode};
use serde_json::{Value, json};
use tokio::net::TcpStream;
use tokio::task::JoinSet;
use tokio::time::timeout;

use crate::fakes;
use crate::plane::{PATIENCE, TestPlane, signal, until};

/// One connection.
struct Connection {
    send: SendRequest<Bytes>,
    address: String,
    key: String,
    driver: JoinSet<Result<(), h2::Error>>,
}

/// A request that was sent.
struct Sent {
    response: ResponseFuture,
    body: h2::SendStream<Bytes>,
}

impl Connection {
    async fn open(plane: &TestPlane) -> Self {
        Self::with(plane, &client::Builder::new()).await
    }

    async fn with(plane: &TestPlane, builder: &client::Builder) -> Self {
        let (address, key) = (plane.address().to_owned(), plane.key().to_owned());
        let stream = TcpStream::connect(&address).await.unwrap();
        let (send, connection) = builder.handshake(stream).await.unwrap();
        let mut driver = JoinSet::new();
        driver.spawn(connection);
        // The server's settings are in force once its acknowledgement has come, with the first answer.
        let mut it = Self { send, address, key, driver };
        assert_eq!(it.get("/healthz").await.0, StatusCode::OK);
        it
    }

    fn request(&self, method: Method, path: &str, more: HeaderMap) -> Request<()> {
        let uri = format!("http://{}{path}", self.address);
        let mut request = Request::builder().method(method).uri(uri);
        request = request.header("authorization", format!("Bearer {}", self.key));
        let mut request = request.body(()).unwrap();
        request.headers_mut().extend(more);
        request
    }

    /// Sends a head, and leaves the body open.
    async fn begin(&mut self, method: Method, path: &str, more: HeaderMap) -> Result<Sent, h2::Error> {
        poll_fn(|context| self.send.poll_ready(context)).await?;
        let request = self.request(method, path, more);
        let (response, body) = self.send.send_request(request, false)?;
        Ok(Sent { response, body })
    }

    async fn get(&mut self, path: &str) -> (StatusCode, String) {
        self.get_with(path, HeaderMap::new()).await.unwrap()
    }

    async fn get_with(&mut self, path: &str, more: HeaderMap) -> Result<(StatusCode, String), h2::Error> {
        let mut sent = self.begin(Method::GET, path, more).await?;
        // What is refused by its head may have been answered and reset by now.
        let _may_be_answered = sent.body.send_data(Bytes::new(), true);
        sent.whole().await
    }

    /// A chat whose answer comes as a stream.
    async fn chat(&mut self, model: &str, max_tokens: u32) -> Result<Sent, h2::Error> {
        let body = json!({"model": model, "stream": true, "max_tokens": max_tokens,
            "messages": [{"role": "user", "content": "a b c d e f g h i j k l m n o p q r s t u v w x y z"}]});
        let mut sent = self.begin(Method::POST, "/v1/chat/completions", json_headers()).await?;
        sent.body.send_data(body.to_string().into(), true)?;
        Ok(sent)
    }
}

impl Sent {
    async fn head(&mut self) -> Result<(StatusCode, RecvStream), h2::Error> {
        let response = timeout(PATIENCE, &mut self.response).await.unwrap()?;
        let (parts, body) = response.into_parts();
        assert_eq!(parts.version, http::Version::HTTP_2);
        Ok((parts.status, body))
    }

    async fn whole(mut self) -> Result<(StatusCode, String), h2::Error> {
        let (status, mut body) = self.head().await?;
        let mut bytes = Vec::new();
        while let Some(piece) = piece(&mut body).await {
            bytes.extend(piece?);
        }
        Ok((status, String::from_utf8(bytes).unwrap()))
    }
}

/// The next piece of a body, and room for another.
async fn piece(body: &mut RecvStream) -> Option<Result<Bytes, h2::Error>> {
    let piece = timeout(PATIENCE, body.data()).await.unwrap()?;
    if let Ok(piece) = &piece {
        body.flow_control().release_capacity(piece.len()).unwrap();
    }
    Some(piece)
}

/// Reads a stream to its end, which must be a good one; what was left of it.
async fn assert_done(body: &mut RecvStream) -> String {
    let mut bytes = Vec::new();
    while let Some(piece) = piece(body).await {
        bytes.extend(piece.unwrap());
    }
    let text = String::from_utf8(bytes).unwrap();
    assert!(text.ends_with("data: [DONE]\n\n"), "{text}");
    text
}

fn code(body: &str) -> String {
    let body: Value = serde_json::from_str(body).unwrap_or_else(|err| panic!("{err}: {body}"));
    body["error"]["code"].as_str().unwrap_or_default().to_owned()
}

/// Those of a request whose body is awaited.
fn json_headers() -> HeaderMap {
    HeaderMap::from_iter([(http::header::CONTENT_TYPE, http::HeaderValue::from_static("application/json"))])
}

fn reason(err: &h2::Error) -> Option<Reason> {
    assert!(err.is_remote(), "by the server: {err}");
    err.reason()
}

fn slow(plane: &TestPlane) -> String {
    let id = fakes::create(plane, "slow-tokens.50");
    plane.until_state(&id, "STARTED");
    id
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn http2_streams_of_one_connection_are_answered_side_by_side() {
    let plane = fakes::plane("", "");
    let id = slow(&plane);
    let mut connection = Connection::open(&plane).await;
    let mut bodies = Vec::new();
    for _ in 0..4 {
        let (status, body) = connection.chat(&id, 20).await.unwrap().head().await.unwrap();
        assert_eq!(status, StatusCode::OK);
        bodies.push(body);
    }
    // All have begun and none has ended; what is quick overtakes them.
    let first: Vec<Bytes> = {
        let mut first = Vec::new();
        for body in &mut bodies {
            first.push(piece(body).await.unwrap().unwrap());
        }
        first
    };
    assert!(first.iter().all(|it| it.starts_with(b"data: ")), "{first:?}");
    assert_eq!(connection.get("/healthz").await.0, StatusCode::OK);
    let wrong = connection.get("/v1/endpoints/nothing").await;
    assert_eq!((wrong.0, code(&wrong.1)), (StatusCode::NOT_FOUND, "not_found".to_owned()));
    assert!(bodies.iter().all(|it| !it.is_end_stream()), "a quick request waited for slow ones");
    let mut ids = BTreeSet::new();
    for (mut body, first) in bodies.into_iter().zip(first) {
        let text = String::from_utf8(first.to_vec()).unwrap() + &assert_done(&mut body).await;
        let events = text.split("\n\n").filter_map(|it| it.strip_prefix("data: {"));
        let own: BTreeSet<String> = events
            .map(|it| serde_json::from_str::<Value>(&format!("{{{it}")).unwrap()["id"].to_string())
            .collect();
        assert_eq!(own.len(), 1, "one answer's events are on one stream: {own:?}");
        ids.extend(own);
    }
    assert_eq!(ids.len(), 4);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn http2_a_stream_that_is_reset_ends_its_request_and_no_other() {
    let plane = fakes::plane("", "");
    let id = slow(&plane);
    let mut connection = Connection::open(&plane).await;
    let mut kept = connection.chat(&id, 30).await.unwrap();
    let mut reset = connection.chat(&id, 1_000).await.unwrap();
    let (_, mut kept) = kept.head().await.unwrap();
    let (_, mut body) = reset.head().await.unwrap();
    piece(&mut body).await.unwrap().unwrap();
    drop((reset, body));
    until("the engine's word that one hung up", || (fakes::stat(&plane, "cancelled") == 1).then_some(()));
    assert_done(&mut kept).await;
    assert_eq!(connection.get("/healthz").await.0, StatusCode::OK);
    assert_eq!(fakes::stat(&plane, "cancelled"), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn http2_a_stream_whose_answer_is_not_taken_holds_up_no_other() {
    let plane = fakes::plane("", "");
    let id = fakes::create(&plane, "ok");
    plane.until_state(&id, "STARTED");
    // Each stream may have little on its way, the connection much.
    let mut builder = client::Builder::new();
    builder.initial_window_size(512).initial_connection_window_size(1 << 20);
    let mut connection = Connection::with(&plane, &builder).await;
    let mut stalled = Vec::new();
    for _ in 0..3 {
        let mut sent = connection.chat(&id, 200).await.unwrap();
        let (status, body) = sent.head().await.unwrap();
        assert_eq!(status, StatusCode::OK);
        stalled.push((sent, body));
    }
    for _ in 0..10 {
        let (status, text) = connection.chat(&id, 5).await.unwrap().whole().await.unwrap();
        assert!(status == StatusCode::OK && text.ends_with("data: [DONE]\n\n"), "{status} {text}");
        assert_eq!(connection.get("/v1/models").await.0, StatusCode::OK);
    }
    // Who goes on reading gets all of it.
    for (_, mut body) in stalled {
        assert_done(&mut body).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn http2_requests_at_once_are_limited_and_the_next_one_waits_at_the_client() {
    let plane = fakes::plane("", "");
    let mut connection = Connection::open(&plane).await;
    assert_eq!(connection.send.current_max_send_streams(), 128);
    let mut open = Vec::new();
    for _ in 0..128 {
        // Their bodies never come to an end.
        open.push(connection.begin(Method::POST, "/v1/endpoints", json_headers()).await.unwrap());
    }
    // The client keeps to what the server allows, so this one is not sent before another has ended.
    let head = connection.request(Method::GET, "/healthz", HeaderMap::new());
    let (queued, _body) = connection.send.clone().send_request(head, true).unwrap();
    assert_eq!(plane.anonymous("/healthz").status, 200, "others are not held up");
    drop(open.pop());
    let answer = timeout(PATIENCE, queued).await.unwrap().unwrap();
    assert_eq!(answer.status(), StatusCode::OK);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn http2_heads_beyond_the_limits_are_told_which() {
    let plane = fakes::plane("", "");
    let mut connection = Connection::open(&plane).await;
    let many = |n: usize, bytes: usize| -> HeaderMap {
        let value: http::HeaderValue = "v".repeat(bytes).parse().unwrap();
        (0..n).map(|it| (format!("x-{it}").parse().unwrap(), value.clone())).collect::<HeaderMap>()
    };
    assert_eq!(connection.get_with("/healthz", many(62, 1)).await.unwrap().0, StatusCode::OK);
    for (more, said) in [(many(65, 1), "64 header fields"), (many(20, 1_000), "16384 bytes")] {
        let (status, body) = connection.get_with("/healthz", more).await.unwrap();
        assert_eq!(status, StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE, "{body}");
        assert_eq!(code(&body), "headers_too_large");
        assert!(body.contains(said), "{body}");
    }
    let (status, body) = connection.get(&format!("/healthz?{}", "x".repeat(9_000))).await;
    assert_eq!((status, code(&body)), (StatusCode::URI_TOO_LONG, "uri_too_long".to_owned()));
    // Beyond what is read at all the library refuses it, the stream and not the connection.
    let far = connection.get_with("/healthz", many(60, 1_000)).await;
    match far {
        Ok((status, _)) => assert_eq!(status, StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE),
        Err(err) => assert!(!err.is_go_away(), "{err}"),
    }
    assert_eq!(connection.get("/healthz").await.0, StatusCode::OK);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn http2_a_client_that_resets_without_end_is_sent_away_and_others_are_answered() {
    let plane = fakes::plane("", "");
    let mut connection = Connection::open(&plane).await;
    let err = loop {
        let sent = connection.begin(Method::POST, "/v1/endpoints", HeaderMap::new()).await;
        match sent {
            Ok(mut sent) => sent.body.send_reset(Reason::CANCEL),
            Err(err) => break err,
        }
        tokio::task::yield_now().await;
        if let Some(ended) = connection.driver.try_join_next() {
            break ended.unwrap().unwrap_err();
        }
    };
    // The reason may be lost with a connection that is closed while more resets are on their way.
    assert!(err.is_io() || reason(&err) == Some(Reason::ENHANCE_YOUR_CALM), "{err}");
    assert_eq!(plane.anonymous("/healthz").status, 200);
    assert_eq!(Connection::open(&plane).await.get("/v1/endpoints").await.0, StatusCode::OK);
}

/// Reads a stream to its end while the server says that the connection takes no further request.
async fn finishes_while_sent_away(connection: &mut Connection, mut body: RecvStream) {
    assert_done(&mut body).await;
    let refused = connection.get_with("/healthz", HeaderMap::new()).await;
    assert!(refused.is_err(), "a request was taken after the server had said that it ends: {refused:?}");
    let ended = timeout(PATIENCE, connection.driver.join_next()).await.unwrap();
    let ended = ended.unwrap().unwrap();
    assert!(ended.as_ref().is_ok_and(|()| true), "in order: {ended:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn http2_a_server_that_stops_finishes_its_streams_and_says_goaway() {
    let mut plane = fakes::plane("", "");
    let id = slow(&plane);
    let mut connection = Connection::open(&plane).await;
    let (_, mut body) = connection.chat(&id, 40).await.unwrap().head().await.unwrap();
    piece(&mut body).await.unwrap().unwrap();
    signal(plane.server_pid(), "TERM");
    finishes_while_sent_away(&mut connection, body).await;
    let mut server = plane.take_server();
    assert_eq!(until("the server's end", || server.try_wait().unwrap()).code(), Some(0), "{}", plane.log());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn http2_a_takeover_finishes_the_old_servers_streams_and_the_next_connection_is_the_new_ones() {
    let mut plane = fakes::plane("", "");
    let id = slow(&plane);
    let mut connection = Connection::open(&plane).await;
    let (_, mut body) = connection.chat(&id, 80).await.unwrap().head().await.unwrap();
    piece(&mut body).await.unwrap().unwrap();
    let mut old = plane.begin_take_over();
    let mut next = Connection::open(&plane).await;
    assert_eq!(next.get("/v1/endpoints").await.0, StatusCode::OK);
    finishes_while_sent_away(&mut connection, body).await;
    assert!(until("the old server's end", || old.try_wait().unwrap()).success());
    assert_eq!(next.get("/v1/endpoints").await.0, StatusCode::OK);
}
