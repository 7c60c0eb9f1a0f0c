//! A file-size limit (`ulimit -f`, `LimitFSIZE`) ends a process without a word at the first byte beyond it, unless it
//! handles the signal. Then the write fails, and who wrote says so.

use tokio::signal::unix::{SignalKind, signal};

/// SIGXFSZ on Linux, but for MIPS, which dedi does not run on.
const SIGXFSZ: i32 = 25;

/// From here on a write beyond the limit is an error. Programs that are started have the signal's usual meaning again.
pub(crate) fn make_it_an_error() {
    // Handled for the rest of the process's life, also when nobody listens any more.
    if let Err(err) = signal(SignalKind::from_raw(SIGXFSZ)) {
        tracing::debug!(error = %err, "a file-size limit would end this process");
    }
}
