use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::*;

#[test]
fn the_usual_limit_of_descriptors_is_enough_for_the_default() {
    assert!(good_for(20_000) >= ListenConfig::default().connections_max);
}

/// Longest any condition is waited for.
const PATIENCE: Duration = Duration::from_secs(30);

/// A body of pieces without an end.
struct Endless;

impl hyper::body::Body for Endless {
    type Data = bytes::Bytes;
    type Error = std::convert::Infallible;

    fn poll_frame(
        self: std::pin::Pin<&mut Self>,
        _: &mut std::task::Context<'_>,
    ) -> std::task::Poll<Option<Result<hyper::body::Frame<bytes::Bytes>, Self::Error>>> {
        let piece = bytes::Bytes::from_static(&[b'x'; 16 << 10]);
        std::task::Poll::Ready(Some(Ok(hyper::body::Frame::data(piece))))
    }
}

/// Asks for `path` and reads nothing until the server has cut the connection.
async fn must_be_cut(address: SocketAddr, path: &str) {
    let client = TcpStream::connect(address).await.unwrap();
    let request = format!("GET {path} HTTP/1.1\r\nhost: x\r\n\r\n");
    client.writable().await.unwrap();
    assert_eq!(client.try_write(request.as_bytes()).unwrap(), request.len());
    let cut = async {
        loop {
            match client.take_error().unwrap() {
                Some(err) => return err,
                None => tokio::time::sleep(Duration::from_millis(10)).await,
            }
        }
    };
    let err = tokio::time::timeout(PATIENCE, cut).await.expect("the connection ends");
    assert_eq!(err.kind(), io::ErrorKind::ConnectionReset);
}

#[tokio::test]
async fn a_client_that_takes_nothing_is_cut_whatever_its_answer_is() {
    // More than both kernels' buffers hold.
    const LONG: usize = 64 << 20;
    let app = Router::new()
        .route("/plain", axum::routing::get(|| async { vec![b'x'; LONG] }))
        .route("/stream", axum::routing::get(|| async { axum::body::Body::new(Endless) }));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let (stop, stall_max) = (CancellationToken::new(), Duration::from_millis(200));
    let mut server = JoinSet::new();
    server.spawn(serve(
        listener,
        app,
        ListenConfig::default(),
        stall_max,
        stop.clone(),
        CancellationToken::new(),
    ));
    tokio::join!(must_be_cut(address, "/plain"), must_be_cut(address, "/stream"));
    stop.cancel();
    server.join_next().await.unwrap().unwrap();
}

/// A frame of HTTP/2.
fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).unwrap().to_be_bytes();
    let mut bytes = length[1..].to_vec();
    bytes.extend([kind, flags]);
    bytes.extend(stream.to_be_bytes());
    bytes.extend(payload);
    bytes
}

const HEADERS: u8 = 1;
const RST_STREAM: u8 = 3;
const SETTINGS: u8 = 4;
const CONTINUATION: u8 = 9;
const END_STREAM: u8 = 1;
const END_HEADERS: u8 = 4;

/// Preface and settings, these among them.
fn preface(settings: &[u8]) -> Vec<u8> {
    let mut bytes = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_vec();
    bytes.extend(frame(SETTINGS, 0, 0, settings));
    bytes
}

/// The head of a GET, its fields written out.
fn get(path: &str) -> Vec<u8> {
    let mut block = Vec::new();
    let fields = [(":method", "GET"), (":scheme", "http"), (":path", path), (":authority", "localhost")];
    for text in fields.iter().flat_map(|(name, value)| [(0, *name), (1, *value)]) {
        if text.0 == 0 {
            block.push(0); // a field with a name of its own
        }
        block.push(u8::try_from(text.1.len()).unwrap());
        block.extend(text.1.as_bytes());
    }
    block
}

/// A server of `app` with a stall limit of 200 ms; its address.
async fn served(app: Router, server: &mut JoinSet<()>) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let (stop, stall_max) = (CancellationToken::new(), Duration::from_millis(200));
    let config = ListenConfig::default();
    server.spawn(serve(listener, app, config, stall_max, stop, CancellationToken::new()));
    address
}

/// Writes and reads until the server has closed the connection.
async fn must_be_closed(mut client: TcpStream, mut writes: impl FnMut() -> Vec<u8>) {
    let closed = async {
        let mut chunk = vec![0; 64 << 10];
        loop {
            let more = writes();
            if !more.is_empty() && client.write_all(&more).await.is_err() {
                return;
            }
            let read = tokio::time::timeout(Duration::from_millis(1), client.read(&mut chunk)).await;
            if let Ok(Ok(0) | Err(_)) = read {
                return;
            }
        }
    };
    tokio::time::timeout(PATIENCE, closed).await.expect("the connection ends");
}

#[tokio::test]
async fn a_client_of_http_2_that_opens_no_window_is_cut() {
    let app = Router::new().route("/stream", axum::routing::get(|| async { axum::body::Body::new(Endless) }));
    let mut server = JoinSet::new();
    let mut client = TcpStream::connect(served(app, &mut server).await).await.unwrap();
    // SETTINGS_INITIAL_WINDOW_SIZE is 0.
    let mut bytes = preface(&[0, 4, 0, 0, 0, 0]);
    bytes.extend(frame(HEADERS, END_STREAM | END_HEADERS, 1, &get("/stream")));
    client.write_all(&bytes).await.unwrap();
    must_be_closed(client, Vec::new).await;
}

#[tokio::test]
async fn a_client_of_http_2_that_resets_its_requests_at_once_is_cut() {
    let app = Router::new().route("/", axum::routing::get(std::future::pending::<()>));
    let mut server = JoinSet::new();
    let mut client = TcpStream::connect(served(app, &mut server).await).await.unwrap();
    client.write_all(&preface(&[])).await.unwrap();
    let mut stream = 1;
    must_be_closed(client, || {
        let mut bytes = Vec::new();
        for _ in 0..200 {
            bytes.extend(frame(HEADERS, END_STREAM | END_HEADERS, stream, &get("/")));
            bytes.extend(frame(RST_STREAM, 0, stream, &8_u32.to_be_bytes()));
            stream += 2;
        }
        bytes
    })
    .await;
}

/// The next frame: its kind, its stream and its payload.
async fn read_frame(client: &mut TcpStream) -> (u8, u32, Vec<u8>) {
    let mut head = [0; 9];
    let read = async {
        client.read_exact(&mut head).await.unwrap();
        let mut payload = vec![0; u32::from_be_bytes([0, head[0], head[1], head[2]]) as usize];
        client.read_exact(&mut payload).await.unwrap();
        payload
    };
    let payload = tokio::time::timeout(PATIENCE, read).await.expect("a frame comes");
    (head[3], u32::from_be_bytes([head[5], head[6], head[7], head[8]]), payload)
}

#[tokio::test]
async fn a_client_of_http_2_that_has_more_requests_at_once_than_it_may_is_refused_the_next_one() {
    let begun = Arc::new(std::sync::atomic::AtomicU32::new(0));
    let counts = begun.clone();
    let app = Router::new().route(
        "/",
        axum::routing::get(move || {
            counts.fetch_add(1, std::sync::atomic::Ordering::SeqCst);
            std::future::pending::<()>()
        }),
    );
    let mut server = JoinSet::new();
    let mut client = TcpStream::connect(served(app, &mut server).await).await.unwrap();
    let mut bytes = preface(&[]);
    let nth = |n: u32| 2 * n + 1;
    for n in 0..=HTTP2_STREAMS_MAX {
        bytes.extend(frame(HEADERS, END_STREAM | END_HEADERS, nth(n), &get("/")));
    }
    client.write_all(&bytes).await.unwrap();
    let refused = loop {
        let (kind, stream, payload) = read_frame(&mut client).await;
        if kind == RST_STREAM {
            break (stream, payload);
        }
    };
    const REFUSED_STREAM: u32 = 7;
    assert_eq!(refused, (nth(HTTP2_STREAMS_MAX), REFUSED_STREAM.to_be_bytes().to_vec()));
    let all_others = async {
        while begun.load(std::sync::atomic::Ordering::SeqCst) < HTTP2_STREAMS_MAX {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(PATIENCE, all_others).await.expect("the others are handled");
    assert_eq!(begun.load(std::sync::atomic::Ordering::SeqCst), HTTP2_STREAMS_MAX);
}

#[tokio::test]
async fn a_head_of_http_2_that_goes_on_for_ever_is_cut() {
    let mut server = JoinSet::new();
    let mut client = TcpStream::connect(served(Router::new(), &mut server).await).await.unwrap();
    let mut bytes = preface(&[]);
    bytes.extend(frame(HEADERS, END_STREAM, 1, &get("/")));
    client.write_all(&bytes).await.unwrap();
    must_be_closed(client, || frame(CONTINUATION, 0, 1, &[0, 1, b'x', 1, b'y'].repeat(1_000))).await;
}

#[tokio::test]
async fn an_answer_that_is_slow_by_itself_is_not_cut() {
    let app = Router::new().route(
        "/",
        axum::routing::get(|| async {
            let pieces = futures_util::stream::unfold(0, |n| async move {
                tokio::time::sleep(Duration::from_millis(500)).await;
                (n < 3).then(|| (Ok::<_, io::Error>("piece"), n + 1))
            });
            axum::body::Body::from_stream(pieces)
        }),
    );
    let mut server = JoinSet::new();
    let mut client = TcpStream::connect(served(app, &mut server).await).await.unwrap();
    client.write_all(b"GET / HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n").await.unwrap();
    let mut answer = String::new();
    tokio::time::timeout(PATIENCE, client.read_to_string(&mut answer)).await.unwrap().unwrap();
    assert_eq!(answer.matches("piece").count(), 3, "{answer}");
    assert!(answer.ends_with("0\r\n\r\n"), "{answer}");
}
