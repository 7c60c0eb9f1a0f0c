//! Handing a listening socket from a running server to a new one, so that an upgrade refuses no connection.
//!
//! The new server connects to `<data dir>/takeover.sock`. The old one sends a duplicate of its listening
//! socket, stops accepting, lets go of the data folder, and then says [`RELEASED`]. Connections made in
//! between wait in the kernel's queue of the shared socket. Requests that run on the old server finish there, and
//! until then it says over the same connection which replicas they are on (see [`crate::carried`]).

use std::io::{self, IoSlice, IoSliceMut, Read, Write};
use std::mem::MaybeUninit;
use std::net::TcpListener as StdListener;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::net::UnixStream as StdUnixStream;
use std::path::{Path, PathBuf};
use std::time::Duration;

use rustix::net::{
    RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SendAncillaryBuffer, SendAncillaryMessage,
    SendFlags, recvmsg, sendmsg,
};
use tokio::net::{UnixListener, UnixStream};
use tokio_util::sync::CancellationToken;

/// Sent with the socket; its digit is the version of this exchange.
const OFFER: &[u8; 8] = b"dedi-1 \n";
/// Sent when the data folder is free.
const RELEASED: &[u8; 9] = b"released\n";
/// Longest the new server waits for the old one to let go.
const RELEASE_WAIT: Duration = Duration::from_secs(20);

/// The old server's side: waits for a successor and gives it the listening socket. The caller then stops
/// accepting, closes what it holds, and calls [`Successor::release`].
pub(crate) struct Offer {
    socket: PathBuf,
    listener: UnixListener,
    public: OwnedFd,
}

impl Offer {
    /// Listens for a successor.
    pub(crate) fn new(socket: PathBuf, public: &impl AsFd) -> io::Result<Self> {
        let _ = std::fs::remove_file(&socket);
        let listener = UnixListener::bind(&socket)?;
        Ok(Self { socket, listener, public: public.as_fd().try_clone_to_owned()? })
    }

    /// The successor, once one has connected and has the socket; `None` when cancelled.
    pub(crate) async fn successor(self, cancel: CancellationToken) -> Option<Successor> {
        loop {
            let stream = tokio::select! {
                () = cancel.cancelled() => return None,
                accepted = self.listener.accept() => accepted.ok()?.0,
            };
            let sent = stream.into_std().and_then(|stream| {
                stream.set_nonblocking(false)?;
                send_socket(&stream, &self.public)?;
                Ok(stream)
            });
            match sent {
                Ok(stream) => return Some(Successor(stream)),
                Err(err) => {
                    tracing::warn!(error = %err, "a successor asked for the socket but could not be given it")
                }
            }
        }
    }
}

impl Drop for Offer {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.socket);
    }
}

/// A new server that has the socket and waits for the data folder.
pub(crate) struct Successor(StdUnixStream);

impl Successor {
    /// Says that the data folder is free. Gives the connection, for what is still carried here.
    pub(crate) fn release(mut self) -> io::Result<UnixStream> {
        self.0.write_all(RELEASED)?;
        for_tokio(self.0)
    }
}

/// The new server's side: the socket of the server that runs on this folder.
pub(crate) struct Takeover {
    stream: StdUnixStream,
    /// The listening socket, shared with the old server.
    pub listener: StdListener,
}

impl Takeover {
    /// Asks the running server. Blocks for a moment.
    pub(crate) fn ask(socket: &Path) -> io::Result<Self> {
        let stream = StdUnixStream::connect(socket)?;
        stream.set_read_timeout(Some(RELEASE_WAIT))?;
        let listener = StdListener::from(receive_socket(&stream)?);
        listener.set_nonblocking(true)?;
        Ok(Self { stream, listener })
    }

    /// Waits until the old server has let go of the data folder. Gives the listening socket, and the connection
    /// over which the old server says what it still carries.
    pub(crate) fn wait_released(mut self) -> io::Result<(StdListener, StdUnixStream)> {
        let mut said = [0; RELEASED.len()];
        self.stream.read_exact(&mut said)?;
        if &said == RELEASED {
            Ok((self.listener, self.stream))
        } else {
            Err(io::Error::other("the old server said something else than `released`"))
        }
    }
}

/// The same connection for a task to use.
pub(crate) fn for_tokio(stream: StdUnixStream) -> io::Result<UnixStream> {
    stream.set_nonblocking(true)?;
    UnixStream::from_std(stream)
}

fn send_socket(stream: &StdUnixStream, public: &OwnedFd) -> io::Result<()> {
    let fds = [public.as_fd()];
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
    let mut ancillary = SendAncillaryBuffer::new(&mut space);
    if !ancillary.push(SendAncillaryMessage::ScmRights(&fds)) {
        return Err(io::Error::other("no room for the socket in the message"));
    }
    sendmsg(stream, &[IoSlice::new(OFFER)], &mut ancillary, SendFlags::NOSIGNAL)?;
    Ok(())
}

fn receive_socket(stream: &StdUnixStream) -> io::Result<OwnedFd> {
    let mut text = [0; OFFER.len()];
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
    let mut ancillary = RecvAncillaryBuffer::new(&mut space);
    recvmsg(stream, &mut [IoSliceMut::new(&mut text)], &mut ancillary, RecvFlags::CMSG_CLOEXEC)?;
    let socket = ancillary.drain().find_map(|message| {
        if let RecvAncillaryMessage::ScmRights(mut fds) = message { fds.next() } else { None }
    });
    match socket {
        Some(socket) if &text == OFFER => Ok(socket),
        Some(_) | None => Err(io::Error::other("the running server speaks another version of the handover")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_socket_changes_hands_and_queued_connections_survive() {
        let temp = tempfile::tempdir().unwrap();
        let path = temp.path().join("t.sock");
        let public = StdListener::bind("127.0.0.1:0").unwrap();
        let address = public.local_addr().unwrap();
        let offer = Offer::new(path.clone(), &public).unwrap();
        let asked = tokio::task::spawn_blocking(move || Takeover::ask(&path).unwrap());
        let successor = offer.successor(CancellationToken::new()).await.unwrap();
        let takeover = asked.await.unwrap();
        drop(public);
        let _queued = std::net::TcpStream::connect(address).unwrap();
        successor.release().unwrap();
        let (listener, _carried) =
            tokio::task::spawn_blocking(move || takeover.wait_released().unwrap()).await.unwrap();
        listener.set_nonblocking(false).unwrap();
        assert!(listener.accept().is_ok());
    }
}
