//! What signals mean to a server: the first that asks it to end lets running requests finish, a second one, unless it
//! is a HUP, does not wait for them, and none of the others ends it.
//!
//! | signal | from | does |
//! |---|---|---|
//! | TERM, INT, QUIT | a service manager, a terminal | ends it in order |
//! | HUP | a terminal that was closed | the same if it is the first; nothing where it was started with HUP ignored, as by `nohup` |
//! | USR1, USR2, ALRM, VTALRM, PROF, IO | whoever takes it for another program | nothing; USR1 and USR2 are told in the log |
//! | XFSZ, XCPU | a limit of the host | the write fails, or nothing |

use std::io;

use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio_util::sync::CancellationToken;

const HANGUP: &str = "SIGHUP";

/// What a server is asked by signals, from its first moment to its last.
#[derive(Clone, Debug, Default)]
pub(crate) struct Asked {
    /// Graceful shutdown was requested.
    pub end: CancellationToken,
    /// Immediate shutdown was requested.
    pub at_once: CancellationToken,
}

impl Asked {
    /// One of the signals that end a server has come.
    fn take(&self, name: &str) {
        if !self.end.is_cancelled() {
            tracing::info!("asked to stop by {name}");
            self.end.cancel();
        } else if name == HANGUP {
            // Nobody's second wish: a terminal that closes often sends it twice, and systemd may behind its TERM.
            tracing::info!("{name} changes nothing: the server is stopping, and running requests may finish");
        } else {
            self.at_once.cancel();
        }
    }
}

/// The handlers, installed before there is anything to be cut.
pub(crate) struct Signals {
    end: Vec<(&'static str, Signal)>,
    /// Those without a meaning here.
    other: Vec<(&'static str, Signal)>,
    /// Those that are only kept from ending the process.
    _quiet: Vec<Signal>,
}

impl Signals {
    /// Listens from now on.
    pub(crate) fn listen() -> io::Result<Self> {
        let named = |name, kind| Ok::<_, io::Error>((name, signal(kind)?));
        let mut end = vec![
            named("SIGTERM", SignalKind::terminate())?,
            named("SIGINT", SignalKind::interrupt())?,
            named("SIGQUIT", SignalKind::quit())?,
        ];
        // `nohup` asked for that, and a handler of our own would undo it.
        if !is_ignored(SignalKind::hangup()) {
            end.push(named(HANGUP, SignalKind::hangup())?);
        }
        let other = vec![
            named("SIGUSR1", SignalKind::user_defined1())?,
            named("SIGUSR2", SignalKind::user_defined2())?,
        ];
        let quiet = [SignalKind::alarm(), SignalKind::io()].into_iter();
        let by_number = QUIET.into_iter().map(SignalKind::from_raw);
        let quiet = quiet.chain(by_number).map(signal).collect::<io::Result<_>>()?;
        Ok(Self { end, other, _quiet: quiet })
    }

    /// Tells what was asked; runs until it is dropped.
    pub(crate) async fn run(mut self, asked: Asked) {
        loop {
            tokio::select! {
                name = any(&mut self.end) => asked.take(name),
                name = any(&mut self.other) => {
                    tracing::warn!("{name} has no meaning here and changes nothing; SIGTERM ends the server");
                }
            }
        }
    }
}

/// SIGXCPU, SIGXFSZ, SIGVTALRM and SIGPROF, which would end the process.
const QUIET: [i32; 4] = [
    rustix::process::Signal::XCPU.as_raw(),
    rustix::process::Signal::XFSZ.as_raw(),
    rustix::process::Signal::VTALARM.as_raw(),
    rustix::process::Signal::PROF.as_raw(),
];

/// The name of the next of these that comes.
async fn any(signals: &mut [(&'static str, Signal)]) -> &'static str {
    std::future::poll_fn(|cx| {
        for (name, signal) in signals.iter_mut() {
            if signal.poll_recv(cx).is_ready() {
                return std::task::Poll::Ready(*name);
            }
        }
        std::task::Poll::Pending
    })
    .await
}

/// Whether the process was started with this signal ignored.
fn is_ignored(kind: SignalKind) -> bool {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    ignored(&status) & (1 << (kind.as_raw_value() - 1)) != 0
}

/// The set of ignored signals in `/proc/<pid>/status`.
fn ignored(status: &str) -> u64 {
    let set = status.lines().find_map(|it| it.strip_prefix("SigIgn:"));
    set.and_then(|it| u64::from_str_radix(it.trim(), 16).ok()).unwrap_or(0)
}

/// Commands, too, fail with a sentence where a file may not grow, and don't die of it.
pub(crate) fn outlive_file_limit() {
    // Fails for signals that can't be caught only.
    let _ = signal_hook::flag::register(signal_hook::consts::SIGXFSZ, std::sync::Arc::default());
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn signals_hangup_never_aborts_and_a_second_signal_does() {
        for first in ["SIGTERM", HANGUP] {
            let asked = Asked::default();
            asked.take(first);
            asked.take(HANGUP);
            assert!(asked.end.is_cancelled() && !asked.at_once.is_cancelled(), "{first}");
            asked.take("SIGINT");
            assert!(asked.at_once.is_cancelled(), "{first}");
        }
    }

    #[test]
    fn signals_that_are_ignored_are_read_from_the_process_status() {
        let status =
            "Name:\tdedi\nSigBlk:\t0000000000000000\nSigIgn:\t0000000000001001\nSigCgt:\t0000000000000000\n";
        assert_eq!(ignored(status), 0x1001);
        assert_eq!(ignored(""), 0);
    }
}
