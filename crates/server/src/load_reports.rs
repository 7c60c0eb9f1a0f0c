//! Load reports between servers during a takeover. Requests of the old server finish there, on replicas that the new
//! server manages: the old one reports its requests in flight until the last has finished, so that no replica is ended
//! under a stream of another process.

use std::time::Duration;

use dedi_domain::LoadReport;
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::net::UnixStream;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use crate::takeover::SERVING;

/// Sources of load reports.
pub(crate) struct Loads {
    /// This server's gateway.
    pub own: watch::Receiver<LoadReport>,
    /// The server that this one took over from; it reports its requests still in flight.
    pub predecessor: Option<UnixStream>,
}

/// Announces to the predecessor that this server serves, and publishes both servers' combined load. Until the
/// predecessor's first report it may have any request in flight: its report counts as one without a routing table. Runs
/// until it is dropped.
pub(crate) async fn join(loads: Loads, all: watch::Sender<LoadReport>) {
    let Loads { mut own, predecessor } = loads;
    if let Some(mut stream) = predecessor {
        // It stops accepting when it has heard this. If it has gone meanwhile, reading says so.
        let _gone = stream.write_all(SERVING.as_bytes()).await;
        let mut lines = BufReader::new(stream).lines();
        let mut theirs = LoadReport::default();
        loop {
            all.send_replace(own.borrow_and_update().with(&theirs));
            tokio::select! {
                Ok(()) = own.changed() => {}
                line = lines.next_line() => match line {
                    Ok(Some(line)) => match serde_json::from_str(&line) {
                        Ok(report) => theirs = report,
                        Err(err) => {
                            tracing::debug!(error = %err, "the server before this one said something unknown");
                        }
                    },
                    Ok(None) | Err(_) => break,
                },
            }
        }
        tracing::info!("the server before this one has ended: nothing is carried there any more");
    }
    loop {
        all.send_replace(own.borrow_and_update().clone());
        if own.changed().await.is_err() {
            return std::future::pending().await;
        }
    }
}

/// Reports this server's load, and every change of it, until the successor closes the connection.
pub(crate) async fn report_to(
    mut successor: UnixStream,
    mut loads: watch::Receiver<LoadReport>,
    closed: CancellationToken,
) {
    loop {
        let mut report = loads.borrow_and_update().clone();
        // This server's table is of a control plane that is gone: either requests are still routed by it, or
        // none is any more, here and in servers before this one.
        let routes_none = closed.is_cancelled() && report.routes_version > 0;
        report.routes_version = if routes_none { u64::MAX } else { 0 };
        let Ok(mut line) = serde_json::to_vec(&report) else { return };
        line.push(b'\n');
        if successor.write_all(&line).await.is_err() {
            return;
        }
        tokio::select! {
            changed = loads.changed() => if changed.is_err() { return },
            () = closed.cancelled(), if !closed.is_cancelled() => {}
        }
    }
}

/// Waits until no request is in flight here or in earlier servers, at most for `limit`.
pub(crate) async fn until_idle(loads: &mut watch::Receiver<LoadReport>, limit: Duration) {
    let none = loads.wait_for(|it| it.in_flight.is_empty());
    let _elapsed = tokio::time::timeout(limit, none).await;
}
