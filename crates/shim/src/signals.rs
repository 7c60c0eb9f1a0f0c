//! The signals that the shim hears, and those that it outlives.

use std::io;
use std::os::unix::net::UnixStream;
use std::sync::Arc;

/// Signals that ask the shim to end its replica.
const STOP_SIGNALS: [i32; 4] = [
    signal_hook::consts::SIGTERM,
    signal_hook::consts::SIGINT,
    signal_hook::consts::SIGHUP,
    signal_hook::consts::SIGQUIT,
];

/// Signals that would end the shim and leave its engine alone: a file may not grow, or somebody takes the shim for
/// another program. The engine has its own.
const OUTLIVED_SIGNALS: [i32; 4] = [
    signal_hook::consts::SIGXFSZ,
    signal_hook::consts::SIGUSR1,
    signal_hook::consts::SIGUSR2,
    signal_hook::consts::SIGALRM,
];

/// Signals as bytes in sockets, so that one poll waits for everything.
pub(crate) struct Signals {
    pub(crate) stop: UnixStream,
    pub(crate) child: UnixStream,
}

impl Signals {
    pub(crate) fn listen() -> io::Result<Self> {
        let (stop, stop_in) = UnixStream::pair()?;
        let (child, child_in) = UnixStream::pair()?;
        for signal in STOP_SIGNALS {
            signal_hook::low_level::pipe::register(signal, stop_in.try_clone()?)?;
        }
        for signal in OUTLIVED_SIGNALS {
            signal_hook::flag::register(signal, Arc::default())?;
        }
        signal_hook::low_level::pipe::register(signal_hook::consts::SIGCHLD, child_in)?;
        // Handled, a log that would exceed a file-size limit is a write that fails, and no end of the shim.
        signal_hook::flag::register(signal_hook::consts::SIGXFSZ, Arc::default())?;
        stop.set_nonblocking(true)?;
        child.set_nonblocking(true)?;
        Ok(Self { stop, child })
    }
}
