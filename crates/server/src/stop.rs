//! Orders to stop. Every server process of a data folder listens for them on a socket of its own in `<data dir>/servers`,
//! from before it asks for the folder until it has let go of everything: while it starts, while it waits for a successor,
//! and while it can't take the folder back. So `dedi down` reaches each, whichever of them has the folder.
//!
//! A connection stands for the process: it ends when that one does.

use std::io::{self, Read};
use std::os::unix::net::{UnixListener as StdUnixListener, UnixStream as StdUnixStream};
use std::path::{Path, PathBuf};
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt, copy, sink};
use tokio::net::{UnixListener, UnixStream};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

/// The only command the socket accepts.
const STOP: &[u8; 5] = b"stop\n";

/// A server's side: hears orders as long as the value lives.
pub(crate) struct StopSocket {
    path: PathBuf,
    /// Aborted on drop.
    _task: JoinSet<()>,
}

impl StopSocket {
    /// Listens in `folder`; an order cancels `stop`.
    pub(crate) fn open(folder: &Path, stop: CancellationToken) -> io::Result<Self> {
        // A name that no other server has had, so that nobody removes what is another's.
        let path = folder.join(format!("{:016x}.sock", rand::random::<u64>()));
        let draft = path.with_extension("new");
        let listener = StdUnixListener::bind(&draft)?;
        listener.set_nonblocking(true)?;
        // Whoever sees it can connect: one that refuses is of a server that has gone.
        std::fs::rename(&draft, &path)?;
        let mut task = JoinSet::new();
        task.spawn(listen(UnixListener::from_std(listener)?, stop));
        Ok(Self { path, _task: task })
    }
}

impl Drop for StopSocket {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.path);
    }
}

async fn listen(listener: UnixListener, stop: CancellationToken) {
    let mut heard = JoinSet::new();
    loop {
        tokio::select! {
            accepted = listener.accept() => match accepted {
                Ok((stream, _)) => {
                    heard.spawn(hear(stream, stop.clone()));
                }
                Err(_no_descriptor) => tokio::time::sleep(Duration::from_millis(100)).await,
            },
            Some(_) = heard.join_next() => {}
        }
    }
}

/// Keeps the connection until the other side has had enough.
async fn hear(mut stream: UnixStream, stop: CancellationToken) {
    let mut word = [0; STOP.len()];
    if stream.read_exact(&mut word).await.is_ok() && &word == STOP {
        tracing::info!("asked to stop by `dedi down`");
        stop.cancel();
    }
    let _hung_up = copy(&mut stream, &mut sink()).await;
}

/// A server process that was asked to stop.
pub(crate) struct Asked {
    stream: StdUnixStream,
    /// Which, where this process may see it.
    pub pid: Option<u32>,
}

impl Asked {
    pub(crate) fn has_ended(&self) -> bool {
        match (&self.stream).read(&mut [0; 16]) {
            Ok(n_bytes) => n_bytes == 0,
            Err(err) => !matches!(err.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted),
        }
    }
}

/// The sockets of all servers of a data folder, of those that were killed too.
pub(crate) fn sockets(folder: &Path) -> io::Result<Vec<PathBuf>> {
    let entries = match std::fs::read_dir(folder) {
        Err(err) if err.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        entries => entries?,
    };
    let mut paths = Vec::new();
    for entry in entries {
        let path = entry?.path();
        if path.extension().is_some_and(|it| it == "sock") {
            paths.push(path);
        }
    }
    Ok(paths)
}

/// Asks a server to stop, without waiting for what it does about it. `None` where it has gone; its socket is removed.
pub(crate) async fn ask(socket: &Path) -> io::Result<Option<Asked>> {
    let mut stream = match UnixStream::connect(socket).await {
        Ok(stream) => stream,
        Err(err) if err.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(err) if err.kind() == io::ErrorKind::ConnectionRefused => {
            let _ = std::fs::remove_file(socket);
            return Ok(None);
        }
        Err(err) => return Err(err),
    };
    let pid = stream.peer_cred()?.pid().and_then(|it| u32::try_from(it).ok()).filter(|it| *it > 0);
    // The word fits the socket's buffer. A server that has gone meanwhile is seen when the connection is read.
    let _gone = stream.write_all(STOP).await;
    Ok(Some(Asked { stream: stream.into_std()?, pid }))
}

/// The processes of the folder's other servers that live, where this one may see them.
pub(crate) async fn others(folder: &Path) -> Vec<u32> {
    let mut pids = Vec::new();
    for socket in sockets(folder).unwrap_or_default() {
        let Ok(stream) = UnixStream::connect(&socket).await else { continue };
        let pid = stream.peer_cred().ok().and_then(|it| it.pid()).and_then(|it| u32::try_from(it).ok());
        pids.extend(pid.filter(|it| *it != std::process::id()));
    }
    pids
}

/// Removes the sockets of servers that were killed.
pub(crate) async fn tidy(folder: &Path) {
    for socket in sockets(folder).unwrap_or_default() {
        let connected = UnixStream::connect(&socket).await;
        if connected.is_err_and(|err| err.kind() == io::ErrorKind::ConnectionRefused) {
            let _ = std::fs::remove_file(&socket);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn stop_request_is_received_and_its_connection_ends_with_the_server() {
        let folder = tempfile::tempdir().unwrap();
        let stop = CancellationToken::new();
        let server = StopSocket::open(folder.path(), stop.clone()).unwrap();
        tidy(folder.path()).await;
        let found = sockets(folder.path()).unwrap();
        assert_eq!(found.len(), 1, "{found:?}");
        let asked = ask(&found[0]).await.unwrap().unwrap();
        assert_eq!(asked.pid, Some(std::process::id()));
        stop.cancelled().await;
        assert!(!asked.has_ended(), "it was only asked");
        drop(server);
        while !asked.has_ended() {
            tokio::task::yield_now().await;
        }
        assert!(sockets(folder.path()).unwrap().is_empty());
    }

    #[tokio::test]
    async fn stop_socket_of_a_killed_server_is_removed() {
        let folder = tempfile::tempdir().unwrap();
        for by_asking in [true, false] {
            let path = folder.path().join("killed.sock");
            drop(StdUnixListener::bind(&path).unwrap());
            if by_asking {
                assert!(ask(&path).await.unwrap().is_none());
            } else {
                tidy(folder.path()).await;
            }
            assert!(!path.exists());
        }
    }
}
