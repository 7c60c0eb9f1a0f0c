//! An engine that costs next to nothing: it answers each request with the same stream, on a TCP port and on a unix
//! socket.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;

use bytes::Bytes;
use tempfile::TempDir;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, UnixListener};
use tokio::sync::Semaphore;
use tokio::task::JoinSet;

use crate::engine::{Step, finishes, says, stream_head};

/// When the events of a stream are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Pace {
    /// All in one go.
    AtOnce,
    /// Each when the client has the one before.
    InTurns,
}

/// What a client says before its number.
pub(crate) const CLIENT: &str = "client ";

/// The source; ends when dropped.
pub(crate) struct Source {
    pub(crate) tcp: SocketAddr,
    pub(crate) unix: PathBuf,
    /// By client, events that it has got.
    pub(crate) got: Arc<[Semaphore]>,
    _dir: TempDir,
    _tasks: JoinSet<()>,
}

impl Source {
    /// Streams of so many events for so many clients.
    pub(crate) async fn start(pace: Pace, events: usize, clients: usize) -> Self {
        let dir = TempDir::new().unwrap();
        let path = dir.path().join("engine.sock");
        let unix = UnixListener::bind(&path).unwrap();
        let tcp = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = tcp.local_addr().unwrap();
        let got: Arc<[Semaphore]> = (0..clients).map(|_| Semaphore::new(0)).collect();
        let writer = Writer { writes: writes(pace, events).into(), got: got.clone() };
        let mut tasks = JoinSet::new();
        let of_unix = writer.clone();
        tasks.spawn(async move {
            let mut open = JoinSet::new();
            while let Ok((stream, _)) = unix.accept().await {
                open.spawn(of_unix.clone().serve(stream));
            }
        });
        tasks.spawn(async move {
            let mut open = JoinSet::new();
            while let Ok((stream, _)) = tcp.accept().await {
                stream.set_nodelay(true).unwrap();
                open.spawn(writer.clone().serve(stream));
            }
        });
        Self { tcp: address, unix: path, got, _dir: dir, _tasks: tasks }
    }
}

/// What is written at a time; before each but the first the client has got an event.
fn writes(pace: Pace, events: usize) -> Vec<Bytes> {
    let steps = [vec![stream_head()], vec![says("token"); events], finishes()].concat();
    let texts: Vec<_> = steps.iter().map(Step::bytes).collect();
    // The head comes with the first event, and what ends the stream with the last.
    let turns = match pace {
        Pace::AtOnce => vec![&texts[..]],
        Pace::InTurns => {
            let (first, rest) = texts.split_at(2);
            let (middle, last) = rest.split_at(events - 2);
            [vec![first], middle.chunks(1).collect(), vec![last]].concat()
        }
    };
    turns.into_iter().map(|it| Bytes::from(it.concat())).collect()
}

#[derive(Clone)]
struct Writer {
    writes: Arc<[Bytes]>,
    got: Arc<[Semaphore]>,
}

impl Writer {
    async fn serve(self, mut stream: impl AsyncReadExt + AsyncWriteExt + Unpin) {
        let mut request = Vec::new();
        loop {
            // A request has one line with the client's number, and it is the last.
            let client = loop {
                if let Some(client) = client_of(&request) {
                    break client;
                }
                if !matches!(stream.read_buf(&mut request).await, Ok(1..)) {
                    return;
                }
            };
            request.clear();
            for (at, bytes) in self.writes.iter().enumerate() {
                if at > 0 {
                    self.got[client].acquire().await.unwrap().forget();
                }
                if stream.write_all(bytes).await.is_err() {
                    return;
                }
            }
        }
    }
}

/// The number in a whole request, if it is whole.
fn client_of(request: &[u8]) -> Option<usize> {
    let text = std::str::from_utf8(request).ok()?;
    let (head, body) = text.split_once("\r\n\r\n")?;
    let length = head.lines().find_map(|it| it.to_lowercase().strip_prefix("content-length: ")?.parse().ok());
    if body.len() < length.unwrap_or(0) {
        return None;
    }
    let (_, number) = body.split_once(CLIENT)?;
    number.split(|it: char| !it.is_ascii_digit()).next()?.parse().ok()
}
