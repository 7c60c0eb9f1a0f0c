//! Handing a listening socket and a data folder from a running server to a new one, so that an upgrade refuses no
//! connection, and one that fails ends no service.
//!
//! The new server has checked what can be checked when it connects to `<data dir>/takeover.sock`. The old one sends a
//! duplicate of its listening socket and goes on accepting. The new one says [`TAKE`], the old one lets go of the
//! data folder and says [`RELEASED`], and the new one opens everything and says [`SERVING`]. Only then the old
//! one stops accepting: connections wait in the kernel's queue of the shared socket. Requests that run on it finish
//! there, and until then it says over the same connection which replicas they are on (see [`crate::load_reports`]).
//!
//! The new server may vanish or stall at any step: the old one then takes the folder back (see [`crate::running`]).
//! Who has the folder is decided by its lock alone.

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
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader, Lines};
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio::time::timeout;

/// Sent with the socket; its digit is the version of this exchange.
const OFFER: &[u8; 8] = b"dedi-2 \n";
/// Said by the new server that wants the data folder.
const TAKE: &str = "take\n";
/// Sent when the data folder is free.
const RELEASED: &[u8; 9] = b"released\n";
/// Said by the new server that serves.
pub(crate) const SERVING: &str = "serving\n";
/// Longest the new server waits for the old one to let go.
const RELEASE_WAIT: Duration = Duration::from_secs(30);
/// Longest the old server waits for the new one to say that it wants the folder, which it does at once.
const TAKE_WAIT: Duration = Duration::from_secs(5);

/// The old server's side: waits for successors and gives each the listening socket, without ceasing to use it.
pub(crate) struct Offer {
    socket: PathBuf,
    wanted: mpsc::Receiver<Successor>,
    /// Aborted on drop.
    _task: JoinSet<()>,
}

impl Offer {
    /// Listens for a successor.
    pub(crate) fn new(socket: PathBuf, public: &impl AsFd) -> io::Result<Self> {
        let _ = std::fs::remove_file(&socket);
        let listener = UnixListener::bind(&socket)?;
        let public = public.as_fd().try_clone_to_owned()?;
        let (wants, wanted) = mpsc::channel(1);
        let mut task = JoinSet::new();
        task.spawn(async move {
            loop {
                let asked = match listener.accept().await {
                    Ok((stream, _)) => give(stream, &public).await,
                    Err(err) => {
                        tokio::time::sleep(Duration::from_millis(100)).await;
                        Err(err)
                    }
                };
                match asked {
                    Ok(successor) => {
                        if wants.send(successor).await.is_err() {
                            return;
                        }
                    }
                    Err(err) => tracing::warn!(
                        "a new server asked to take over and did not go on ({err}); this one serves on"
                    ),
                }
            }
        });
        Ok(Self { socket, wanted, _task: task })
    }

    /// The next successor that has the socket and wants the data folder. May be dropped and called again.
    pub(crate) async fn successor(&mut self) -> Successor {
        match self.wanted.recv().await {
            Some(it) => it,
            None => std::future::pending().await,
        }
    }
}

/// Gives the listening socket to who asks, and waits for the word that the folder is wanted too.
async fn give(stream: UnixStream, public: &OwnedFd) -> io::Result<Successor> {
    let stream = stream.into_std()?;
    stream.set_nonblocking(false)?;
    send_socket(&stream, public)?;
    let mut successor = Successor(BufReader::new(for_tokio(stream)?).lines());
    match timeout(TAKE_WAIT, successor.says(TAKE)).await {
        Ok(said) => said.map(|()| successor),
        Err(_elapsed) => Err(io::Error::other(format!("it said nothing for {} s", TAKE_WAIT.as_secs()))),
    }
}

impl Drop for Offer {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.socket);
    }
}

/// A new server that has the socket and wants the data folder.
pub(crate) struct Successor(Lines<BufReader<UnixStream>>);

impl Successor {
    /// Says that the data folder is free.
    pub(crate) async fn release(&mut self) -> io::Result<()> {
        self.0.get_mut().get_mut().write_all(RELEASED).await
    }

    /// Returns when it serves. An error: it has gone. May be dropped and called again.
    pub(crate) async fn serves(&mut self) -> io::Result<()> {
        self.says(SERVING).await
    }

    /// The connection, for what is still carried here.
    pub(crate) fn into_stream(self) -> UnixStream {
        self.0.into_inner().into_inner()
    }

    async fn says(&mut self, expected: &str) -> io::Result<()> {
        match self.0.next_line().await? {
            Some(line) if line == expected.trim_end() => Ok(()),
            Some(_) => Err(io::Error::other("it said something unknown")),
            None => Err(io::Error::other("it hung up")),
        }
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

    /// Asks for the data folder and waits until the old server has let go of it. Gives the listening socket, and the
    /// connection over which the new server says that it serves, and the old one what it still carries.
    pub(crate) fn wait_released(mut self) -> io::Result<(StdListener, StdUnixStream)> {
        self.stream.write_all(TAKE.as_bytes())?;
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
    async fn takeover_keeps_queued_connections() {
        let temp = tempfile::tempdir().unwrap();
        let path = temp.path().join("t.sock");
        let public = StdListener::bind("127.0.0.1:0").unwrap();
        let address = public.local_addr().unwrap();
        let mut offer = Offer::new(path.clone(), &public).unwrap();
        let taken =
            tokio::task::spawn_blocking(move || Takeover::ask(&path).unwrap().wait_released().unwrap());
        let mut successor = offer.successor().await;
        drop((offer, public));
        let _queued = std::net::TcpStream::connect(address).unwrap();
        successor.release().await.unwrap();
        let (listener, mut stream) = taken.await.unwrap();
        listener.set_nonblocking(false).unwrap();
        assert!(listener.accept().is_ok());
        stream.write_all(SERVING.as_bytes()).unwrap();
        successor.serves().await.unwrap();
    }

    #[tokio::test]
    async fn takeover_ignores_a_successor_that_leaves() {
        let temp = tempfile::tempdir().unwrap();
        let path = temp.path().join("t.sock");
        let public = StdListener::bind("127.0.0.1:0").unwrap();
        let mut offer = Offer::new(path.clone(), &public).unwrap();
        let (leaves, asks) = (path.clone(), path);
        tokio::task::spawn_blocking(move || drop(Takeover::ask(&leaves).unwrap())).await.unwrap();
        let asked =
            tokio::task::spawn_blocking(move || Takeover::ask(&asks).unwrap().wait_released().is_ok());
        let mut successor = offer.successor().await;
        successor.release().await.unwrap();
        assert!(asked.await.unwrap());
        assert!(successor.serves().await.is_err(), "it has gone");
    }
}
