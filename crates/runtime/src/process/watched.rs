//! Waiting for a process's end without polling, whoever's child it is.

use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::process::Child;

use rustix::process::{Pid, PidfdFlags, Signal, WaitId, WaitIdOptions, pidfd_open, pidfd_send_signal};
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;

use dedi_shim::identity::Held;

/// A process whose end can be awaited.
#[derive(Debug)]
pub(crate) struct Watched {
    fd: AsyncFd<OwnedFd>,
}

impl Watched {
    /// A verified process.
    pub(crate) fn held(held: Held) -> io::Result<Self> {
        Self::new(held.into_fd())
    }

    /// A child of ours: its pid is its own until it is reaped.
    pub(crate) fn child(child: &Child) -> io::Result<Self> {
        let pid = i32::try_from(child.id()).ok().and_then(Pid::from_raw);
        let pid = pid.ok_or_else(|| io::Error::other("a child without a pid"))?;
        Self::new(pidfd_open(pid, PidfdFlags::empty())?)
    }

    #[expect(
        deprecated,
        reason = "warns of types whose descriptor may change under it; an OwnedFd's does not, and the replacement is unsafe"
    )]
    fn new(fd: OwnedFd) -> io::Result<Self> {
        Ok(Self { fd: AsyncFd::with_interest(fd, Interest::READABLE)? })
    }

    /// Returns when it has ended, and reaps it if it is our child, so that no zombie stays.
    pub(crate) async fn ended(&self) -> io::Result<()> {
        self.fd.readable().await?.retain_ready();
        // Others' children are left to them, and one that is reaped already is not there.
        let _ = self.wait(WaitIdOptions::EXITED | WaitIdOptions::NOHANG);
        Ok(())
    }

    /// Whether it has ended, as far as a child of ours goes.
    pub(crate) fn has_ended(&self) -> bool {
        match self.wait(WaitIdOptions::EXITED | WaitIdOptions::NOHANG | WaitIdOptions::NOWAIT) {
            Ok(has_status) => has_status,
            Err(err) => err == rustix::io::Errno::CHILD,
        }
    }

    /// Sends SIGKILL. Succeeds if the process has already ended.
    pub(crate) fn kill(&self) -> io::Result<()> {
        match pidfd_send_signal(self.fd.get_ref(), Signal::KILL) {
            Ok(()) | Err(rustix::io::Errno::SRCH) => Ok(()),
            Err(err) => Err(err.into()),
        }
    }

    fn wait(&self, options: WaitIdOptions) -> rustix::io::Result<bool> {
        let status = rustix::process::waitid(WaitId::PidFd(self.fd.get_ref().as_fd()), options)?;
        Ok(status.is_some())
    }
}
