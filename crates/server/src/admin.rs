//! The admin listener: a unix socket in the data folder, so only this user reaches it. Metrics, and the
//! orders that end the server.

use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use axum::Router;
use axum::extract::State;
use axum::routing::{get, post};
use http::StatusCode;
use http_body_util::{BodyExt, Empty};
use hyper_util::rt::TokioIo;
use tokio::net::{UnixListener, UnixStream};
use tokio_util::sync::CancellationToken;

/// What the admin routes need.
#[derive(Clone)]
pub(crate) struct Admin {
    /// Ends the server when cancelled.
    pub stop: CancellationToken,
    /// Makes the metrics' text.
    pub metrics: std::sync::Arc<dyn Fn() -> String + Send + Sync>,
}

/// Serves until `cancel`; the socket file goes with it.
pub(crate) async fn serve(socket: PathBuf, admin: Admin, cancel: CancellationToken) -> io::Result<()> {
    let _ = std::fs::remove_file(&socket);
    let listener = UnixListener::bind(&socket)?;
    let app = Router::new()
        .route("/metrics", get(|State(admin): State<Admin>| async move { (admin.metrics)() }))
        .route("/healthz", get(|| async { "ok" }))
        .route(
            "/stop",
            post(|State(admin): State<Admin>| async move {
                tracing::info!("asked to stop over the admin socket");
                admin.stop.cancel();
                StatusCode::ACCEPTED
            }),
        )
        .with_state(admin);
    let served = axum::serve(listener, app).with_graceful_shutdown(async move { cancel.cancelled().await });
    let result = tokio::time::timeout(Duration::MAX, served).await;
    let _ = std::fs::remove_file(&socket);
    result.unwrap_or(Ok(()))
}

/// Asks a running server to stop. `Ok(false)` when none listens.
pub(crate) async fn ask_to_stop(socket: &Path) -> Result<bool, String> {
    let stream = match UnixStream::connect(socket).await {
        Ok(stream) => stream,
        Err(err) if matches!(err.kind(), io::ErrorKind::NotFound | io::ErrorKind::ConnectionRefused) => {
            return Ok(false);
        }
        Err(err) => return Err(format!("{} can't be reached: {err}", socket.display())),
    };
    let failed = |err: &dyn std::fmt::Display| format!("the server did not take the order to stop: {err}");
    let (mut sender, connection) =
        hyper::client::conn::http1::handshake(TokioIo::new(stream)).await.map_err(|err| failed(&err))?;
    let request = http::Request::post("/stop")
        .header(http::header::HOST, "localhost")
        .body(Empty::<bytes::Bytes>::new())
        .map_err(|err| failed(&err))?;
    // Owns the sender, so that the connection ends when the answer is there.
    let asking = async move {
        let answer = sender.send_request(request).await.map_err(|err| failed(&err))?;
        let status = answer.status();
        let _ = answer.into_body().collect().await;
        Ok::<_, String>(status)
    };
    let both = async { tokio::join!(asking, connection) };
    let (answer, _ended) =
        tokio::time::timeout(Duration::from_secs(5), both).await.map_err(|err| failed(&err))?;
    match answer? {
        StatusCode::ACCEPTED => Ok(true),
        status => Err(failed(&status)),
    }
}
