//! How a new server comes to what the running one has: it checks what it can first, since that one goes on only as long as
//! nothing has been let go of.

use std::io;
use std::net::SocketAddr;

use dedi_control::store::{DataLock, Holder, LockError, SqliteStore};
use dedi_control::{ControlError, DataPaths};
use dedi_failpoint as failpoint;
use tokio::net::{TcpListener, UnixStream};

use crate::exit::{EXIT_HELD, Refusal};
use crate::paths::DataDir;
use crate::stop;
use crate::takeover::{self, Takeover};

/// Everything about the folder that can be known to be wrong without having it. The config was looked at before.
pub(super) async fn check(data: &DataDir) -> Result<(), Refusal> {
    std::fs::read_dir(data.run())
        .map_err(|err| Refusal::broken(format!("{} can't be read: {err}", data.run().display())))?;
    let database = DataPaths::below(data.root()).database;
    // Without a running server there need be none; that is said where the server is asked.
    if database.exists() || data.takeover_socket().exists() {
        SqliteStore::check_schema(&database).await.map_err(ControlError::from)?;
    }
    Ok(())
}

/// The listening socket of the server that runs on the data folder, once that server has let go of it, and the
/// connection to that server.
pub(super) async fn take_over(
    data: &DataDir,
    asked: Option<SocketAddr>,
) -> Result<(TcpListener, UnixStream), Refusal> {
    let path = data.takeover_socket();
    let offered = match blocking(move || Takeover::ask(&path)).await {
        Ok(offered) => offered,
        Err(err) => return Err(no_offer(data, &err).await),
    };
    let unusable = |err| Refusal::broken(format!("the socket taken over is unusable: {err}"));
    let address = offered.listener.local_addr().map_err(unusable)?;
    if let Some(asked) = asked
        && (asked.ip() != address.ip() || ![0, address.port()].contains(&asked.port()))
    {
        return Err(Refusal::usage(format!(
            "the running server listens on {address}, which a takeover keeps: leave out --listen {asked}, or end that server with `dedi down --keep-replicas` and start one without --takeover"
        )));
    }
    let (listener, stream) = match blocking(move || offered.wait_released()).await {
        Ok(released) => released,
        Err(err) => return Err(no_offer(data, &err).await),
    };
    failpoint::hit("takeover.after", "released");
    Ok((TcpListener::from_std(listener).map_err(unusable)?, takeover::for_tokio(stream).map_err(unusable)?))
}

/// Why the running server gave nothing: there is none, or it has another thing to do.
async fn no_offer(data: &DataDir, err: &io::Error) -> Refusal {
    use io::ErrorKind::{BrokenPipe, ConnectionRefused, ConnectionReset, NotFound, UnexpectedEof};
    let socket = data.takeover_socket();
    let is_absent = matches!(err.kind(), NotFound | ConnectionRefused);
    // A server that hands over to another one has the lock no more, and hangs up on who asks second.
    let hung_up = is_absent || matches!(err.kind(), BrokenPipe | ConnectionReset | UnexpectedEof);
    let holder = match DataLock::acquire(&DataPaths::below(data.root()).lock) {
        Err(LockError::Held { holder, .. }) => Some(holder),
        Ok(_) | Err(LockError::Io { .. }) => None,
    };
    let others = stop::others(&data.servers()).await;
    let message = match (holder, others.first()) {
        (Some(holder), _) if hung_up => format!("can't take over now: the data folder has {}", busy(&holder)),
        (None, Some(pid)) if hung_up => format!(
            "can't take over now: server process {pid} starts, ends or hands over to another one; try again in a moment"
        ),
        (None, None) if is_absent => {
            "can't take over: no server runs on this data folder; start without --takeover".to_owned()
        }
        (_, _) => format!("can't take over through {}: {err}", socket.display()),
    };
    Refusal { code: EXIT_HELD, message }
}

async fn blocking<T: Send + 'static>(step: impl FnOnce() -> io::Result<T> + Send + 'static) -> io::Result<T> {
    tokio::task::spawn_blocking(step).await.map_err(io::Error::other).and_then(|it| it)
}

/// What a server is about that hands nothing over, and what to do.
fn busy(holder: &Holder) -> String {
    match holder.pid {
        Some(pid) if holder.ends_in.is_none() && !holder.is_stopped => {
            format!("process {pid}, which is just starting or hands over to another; try again in a moment")
        }
        Some(_) => holder.to_string(),
        None => format!("{holder}; try again in a moment"),
    }
}
