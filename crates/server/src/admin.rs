//! The admin listener: a unix socket in the data folder, so only this user reaches it. Metrics, and the
//! orders that end the server or copy its database.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::extract::State;
use axum::routing::{get, post};
use dedi_control::ControlPlane;
use http::StatusCode;
use http_body_util::{BodyExt, Full};
use hyper_util::rt::TokioIo;
use prometheus_client::registry::Registry;
use tokio::net::{UnixListener, UnixStream};
use tokio_util::sync::CancellationToken;

/// What the admin routes need.
#[derive(Clone)]
pub(crate) struct Admin {
    /// Ends the server when cancelled.
    pub stop: CancellationToken,
    /// What a scrape reads.
    pub metrics: Arc<Registry>,
    /// Copies its database.
    pub control: ControlPlane,
}

/// Serves until `cancel`; the socket file goes with it.
pub(crate) async fn serve(socket: PathBuf, admin: Admin, cancel: CancellationToken) -> io::Result<()> {
    let _ = std::fs::remove_file(&socket);
    let listener = UnixListener::bind(&socket)?;
    let app = Router::new()
        .route(
            "/metrics",
            get(|State(admin): State<Admin>| async move { dedi_http::metrics(&admin.metrics) }),
        )
        .route("/healthz", get(|| async { "ok" }))
        .route(
            "/stop",
            post(|State(admin): State<Admin>| async move {
                tracing::info!("asked to stop over the admin socket");
                admin.stop.cancel();
                StatusCode::ACCEPTED
            }),
        )
        .route("/backup", post(backup))
        .with_state(admin);
    let served = axum::serve(listener, app).with_graceful_shutdown(async move { cancel.cancelled().await });
    let result = tokio::time::timeout(Duration::MAX, served).await;
    let _ = std::fs::remove_file(&socket);
    result.unwrap_or(Ok(()))
}

/// The body is the absolute path of the file to be; the answer its size, or a sentence.
async fn backup(State(admin): State<Admin>, to: String) -> (StatusCode, String) {
    match admin.control.backup(Path::new(&to)).await {
        Ok(n_bytes) => {
            tracing::info!("backed up the database to {to}, {n_bytes} bytes");
            (StatusCode::OK, n_bytes.to_string())
        }
        Err(err) => {
            tracing::warn!("no backup to {to} was made: {err}");
            (StatusCode::UNPROCESSABLE_ENTITY, err.to_string())
        }
    }
}

/// Asks a running server to stop and waits until it has taken the order. `Ok(false)` when none listens.
pub(crate) async fn ask_to_stop(socket: &Path, wait: Duration) -> Result<bool, String> {
    match ask(socket, http::Method::POST, "/stop", String::new(), wait).await? {
        None => Ok(false),
        Some((StatusCode::ACCEPTED, _)) => Ok(true),
        Some((status, _)) => Err(format!("the server did not take the order to stop: {status}")),
    }
}

/// Asks a running server to copy its database to `to`; answers the size. `Ok(None)` when none listens.
pub(crate) async fn ask_to_back_up(socket: &Path, to: &str, wait: Duration) -> Result<Option<u64>, String> {
    match ask(socket, http::Method::POST, "/backup", to.to_owned(), wait).await? {
        None => Ok(None),
        Some((StatusCode::OK, said)) => {
            said.parse().map(Some).map_err(|_| format!("the server answered `{said}` and not a size"))
        }
        Some((StatusCode::NOT_FOUND, _)) => {
            Err("the running server is of a version without backups; stop it first".to_owned())
        }
        Some((StatusCode::UNPROCESSABLE_ENTITY, said)) => Err(said),
        Some((status, _)) => Err(format!("the server made no backup: {status}")),
    }
}

/// A running server's metrics; `Ok(None)` when none listens.
pub(crate) async fn metrics(socket: &Path, wait: Duration) -> Result<Option<String>, String> {
    match ask(socket, http::Method::GET, "/metrics", String::new(), wait).await? {
        Some((StatusCode::OK, said)) => Ok(Some(said)),
        Some((status, _)) => Err(format!("the server did not tell its metrics: {status}")),
        None => Ok(None),
    }
}

async fn ask(
    socket: &Path,
    method: http::Method,
    path: &str,
    body: String,
    wait: Duration,
) -> Result<Option<(StatusCode, String)>, String> {
    let stream = match UnixStream::connect(socket).await {
        Ok(stream) => stream,
        Err(err) if matches!(err.kind(), io::ErrorKind::NotFound | io::ErrorKind::ConnectionRefused) => {
            return Ok(None);
        }
        Err(err) => return Err(format!("{} can't be reached: {err}", socket.display())),
    };
    let failed = |err: &dyn std::fmt::Display| format!("the server did not answer {path}: {err}");
    let (mut sender, connection) =
        hyper::client::conn::http1::handshake(TokioIo::new(stream)).await.map_err(|err| failed(&err))?;
    let request = http::Request::builder()
        .method(method)
        .uri(path)
        .header(http::header::HOST, "localhost")
        .body(Full::<bytes::Bytes>::from(body))
        .map_err(|err| failed(&err))?;
    // Owns the sender, so that the connection ends when the answer is there.
    let asking = async move {
        let answer = sender.send_request(request).await.map_err(|err| failed(&err))?;
        let status = answer.status();
        let said = answer.into_body().collect().await.map_err(|err| failed(&err))?.to_bytes();
        Ok::<_, String>((status, String::from_utf8_lossy(&said).into_owned()))
    };
    let both = async { tokio::join!(asking, connection) };
    match tokio::time::timeout(wait, both).await {
        Ok((answer, _ended)) => answer.map(Some),
        Err(_elapsed) => Err(failed(&format_args!("no answer within {} s", wait.as_secs()))),
    }
}
