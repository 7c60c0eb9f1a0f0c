//! A hub on loopback that speaks Hugging Face's protocol and can be made to misbehave: it lies about sizes, cuts
//! connections, sends elsewhere, flips bytes, wants tokens. It remembers every request.

mod answer;

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;

use axum::Router;
use axum::extract::{Request, State};
use parking_lot::Mutex;
use sha1::Sha1;
use sha2::{Digest, Sha256};
use tokio::net::TcpListener;
use tokio::sync::oneshot;

/// How the hub misbehaves for a file.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Trick {
    /// Serves it correctly.
    #[default]
    None,
    /// The list gives this many bytes.
    ListsBytes(u64),
    /// The list gives this many bytes and the answer does not say how long it is.
    ListsBytesAndHidesLength(u64),
    /// The connection is cut after so many bytes, the first so many times.
    Cuts {
        /// Bytes until the cut.
        after: usize,
        /// Answers that are cut.
        times: u32,
    },
    /// As [`Trick::Cuts`] from a mirror that gives this ETag or none, and may send all where a part is asked for.
    CutsAsMirror {
        /// Bytes until the cut.
        after: usize,
        /// Answers that are cut.
        times: u32,
        /// The ETag; none for the empty one.
        etag: &'static str,
        /// Whether it sends a part where one is asked for.
        gives_parts: bool,
    },
    /// The first so many answers are this status, with this `Retry-After` unless it is empty.
    Busy {
        /// The HTTP status.
        status: u16,
        /// The `Retry-After` header; none if empty.
        retry_after: String,
        /// Number of such answers.
        times: u32,
    },
    /// As [`Trick::Cuts`], once, and then the file is another one of the same length.
    CutsAndChanges {
        /// Bytes until the cut.
        after: usize,
    },
    /// The first so many answers have this byte flipped.
    Flips {
        /// Index of the flipped byte.
        at: usize,
        /// Answers that have it flipped.
        times: u32,
    },
    /// The answer sends to this base URL, at which the same path is asked for.
    Redirects(String),
    /// No byte comes after the first so many.
    Stalls {
        /// Bytes that are sent before.
        after: usize,
    },
    /// Answers with this status.
    Status(u16),
}

/// A file of a repository.
#[derive(Clone, Debug)]
pub(crate) struct HubFile {
    pub(crate) path: String,
    pub(crate) bytes: Vec<u8>,
    pub(crate) trick: Trick,
}

/// A repository.
#[derive(Clone, Debug, Default)]
pub struct HubRepo {
    pub(crate) files: Vec<HubFile>,
    pub(crate) token: Option<String>,
    pub(crate) tags: Vec<String>,
    /// What is wrong with the list of files: [`Trick::Busy`] or nothing.
    pub(crate) list: Trick,
}

impl HubRepo {
    /// Adds a file.
    #[must_use]
    pub fn file(self, path: &str, bytes: &[u8]) -> Self {
        self.tricky(path, bytes, Trick::None)
    }

    /// With one more file that something is wrong with.
    #[must_use]
    pub fn tricky(mut self, path: &str, bytes: &[u8], trick: Trick) -> Self {
        self.files.push(HubFile { path: path.to_owned(), bytes: bytes.to_vec(), trick });
        self
    }

    /// Whose list of files is answered so.
    #[must_use]
    pub fn busy_list(mut self, status: u16, retry_after: &str, times: u32) -> Self {
        self.list = Trick::Busy { status, retry_after: retry_after.to_owned(), times };
        self
    }

    /// Only for who has this token.
    #[must_use]
    pub fn gated(mut self, token: &str) -> Self {
        self.token = Some(token.to_owned());
        self
    }

    /// The commit its one revision is: changes with what is in it.
    pub(crate) fn commit(&self) -> String {
        let mut all = Sha1::new();
        for it in &self.files {
            all.update(&it.path);
            all.update(&it.bytes);
        }
        hex(&all.finalize())
    }
}

/// A request that the hub received.
#[derive(Clone, Debug)]
pub struct HubRequest {
    /// Path and query.
    pub path: String,
    /// The `Host` header.
    pub host: String,
    /// The `Authorization` header.
    pub authorization: Option<String>,
    /// The `Range` header.
    pub range: Option<String>,
}

#[derive(Default)]
pub(crate) struct Shelf {
    repos: BTreeMap<String, HubRepo>,
    asked: Vec<HubRequest>,
    /// Answers given of each path that tricks count.
    given: BTreeMap<String, u32>,
}

/// A running hub. It ends when it is dropped.
pub struct FakeHub {
    address: SocketAddr,
    shelf: Arc<Mutex<Shelf>>,
    stop: Option<oneshot::Sender<()>>,
}

impl FakeHub {
    /// A hub without models on a free port.
    ///
    /// # Panics
    /// If it can't listen.
    pub fn start() -> Self {
        Self::listen("127.0.0.1:0")
    }

    /// The same at an address.
    ///
    /// # Panics
    /// If it can't listen there.
    #[expect(clippy::expect_used, reason = "for tests, which end here")]
    pub fn listen(address: &str) -> Self {
        let listener = std::net::TcpListener::bind(address).expect("a loopback port can be listened on");
        listener.set_nonblocking(true).expect("a socket can be made non-blocking");
        let address = listener.local_addr().expect("a listening socket has an address");
        let shelf = Arc::new(Mutex::new(Shelf::default()));
        let (stop, stopped) = oneshot::channel::<()>();
        let app = Router::new().fallback(dispatch).with_state(shelf.clone());
        // A thread of its own: tests that block and tests that await can both use it.
        std::thread::spawn(move || {
            let runtime =
                tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime starts");
            runtime.block_on(async move {
                let listener = TcpListener::from_std(listener).expect("the socket is usable");
                tokio::select! {
                    _ = axum::serve(listener, app) => {}
                    _ = stopped => {}
                }
            });
        });
        Self { address, shelf, stop: Some(stop) }
    }

    /// `http://127.0.0.1:<port>`.
    pub fn base_url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// The same hub under the name `localhost`.
    pub fn other_url(&self) -> String {
        format!("http://localhost:{}", self.address.port())
    }

    /// Adds or replaces a repository.
    pub fn put(&self, name: &str, repo: HubRepo) {
        let mut shelf = self.shelf.lock();
        shelf.given.clear();
        shelf.repos.insert(name.to_owned(), repo);
    }

    /// Every request so far.
    pub fn asked(&self) -> Vec<HubRequest> {
        self.shelf.lock().asked.clone()
    }
}

impl Drop for FakeHub {
    fn drop(&mut self) {
        if let Some(stop) = self.stop.take() {
            let _ = stop.send(());
        }
    }
}

async fn dispatch(State(shelf): State<Arc<Mutex<Shelf>>>, request: Request) -> axum::response::Response {
    let header = |name: &str| request.headers().get(name).and_then(|it| it.to_str().ok()).map(str::to_owned);
    let asked = HubRequest {
        path: request.uri().to_string(),
        host: header("host").unwrap_or_default(),
        authorization: header("authorization"),
        range: header("range"),
    };
    let if_range = header("if-range");
    let mut shelf = shelf.lock();
    shelf.asked.push(asked.clone());
    answer::answer(&mut shelf, &asked, if_range.as_deref())
}

pub(crate) fn sha256(bytes: &[u8]) -> String {
    hex(&Sha256::digest(bytes))
}

pub(crate) fn git_blob(bytes: &[u8]) -> String {
    let mut hash = Sha1::new();
    hash.update(format!("blob {}\0", bytes.len()));
    hash.update(bytes);
    hex(&hash.finalize())
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|it| format!("{it:02x}")).collect()
}
