//! `dedi serve`: opens everything in order, joins control plane and gateway, and closes in the reverse order.

mod successor;

use std::io;
use std::net::SocketAddr;
use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use dedi_control::models::ModelStore;
use dedi_control::store::{DataLock, LockError};
use dedi_control::{Clock, ControlError, ControlPlane, DataPaths};
use dedi_domain::keys::KeyText;
use dedi_domain::{EndpointState, LoadReport, Owner};
use dedi_failpoint as failpoint;
use dedi_gateway::Gateway;
use dedi_runtime_api::Runtime;
use dedi_shim::clock;
use rustix::io::Errno;
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::config::{Config, DEFAULT_LISTEN};
use crate::exit::{EXIT_HELD, EXIT_USAGE, Refusal};
use crate::folder::Folder;
use crate::paths::{DataDir, write_atomically};
use crate::print::fail;
use crate::replicas::Replicas;
use crate::running::Server;
use crate::signals::{Asked, Signals};
use crate::stop::{self, StopSocket};
use crate::{demo, descriptors, load_reports, logging, runtime, unused};

/// Longest wait for replicas of an earlier server to be found ready.
const REPLICAS_WAIT: Duration = Duration::from_secs(3);
/// Longest wait for a data folder that its server has just let go of: a backup may hold it for a moment.
const RELEASED_LOCK_WAIT: Duration = Duration::from_secs(2);

/// A new server that is to take over from the running one.
pub(crate) struct TakesOver {
    /// The address that was asked for by a flag or a variable.
    pub listen: Option<SocketAddr>,
}

/// Runs the server until a signal or an order to stop.
pub(crate) async fn serve(data: DataDir, config: Config, takeover: Option<TakesOver>) -> ExitCode {
    if let Err(message) = logging::start(&config.log, config.log_format) {
        return fail(EXIT_USAGE, &message);
    }
    descriptors::raise();
    let asked = Asked::default();
    let mut signals = JoinSet::new();
    match Signals::listen() {
        Ok(it) => _ = signals.spawn(it.run(asked.clone())),
        // The signals keep ending the process as usual.
        Err(err) => tracing::warn!("signals can't be listened for: {err}"),
    }
    let ended = run(&data, config, takeover, asked).await;
    if let Err(refusal) = &ended {
        logging::say(&format!("error: {}", refusal.message));
    }
    logging::finish();
    ended.map_or_else(|refusal| ExitCode::from(refusal.code), |()| ExitCode::SUCCESS)
}

async fn run(
    data: &DataDir,
    config: Config,
    takes_over: Option<TakesOver>,
    asked: Asked,
) -> Result<(), Refusal> {
    // Nothing is made where there is nothing to take over.
    if takes_over.is_some() && !data.root().exists() {
        let message = format!(
            "can't take over: no server runs on {}, which does not exist; start without --takeover",
            data.root().display()
        );
        return Err(Refusal { code: EXIT_HELD, message });
    }
    data.create().map_err(|err| {
        Refusal::usage(format!("the data folder {} can't be used: {err}", data.root().display()))
    })?;
    let stop = asked.end;
    // Until everything has been let go of.
    let _hears = StopSocket::open(&data.servers(), stop.clone())
        .map_err(|err| Refusal::broken(format!("{} can't be used: {err}", data.servers().display())))?;
    match start(data, config, takes_over, stop).await? {
        Some(server) => server.until_end(asked.at_once).await,
        None => {
            tracing::info!("stopped before it served");
            Ok(())
        }
    }
}

/// Opens everything. `None` if it was asked to stop meanwhile, with everything closed again.
async fn start(
    data: &DataDir,
    config: Config,
    takes_over: Option<TakesOver>,
    stop: CancellationToken,
) -> Result<Option<Server>, Refusal> {
    // The lock before anything of the folder is touched: what another server has under way is not to be tidied up.
    let (lock, listener, predecessor) = match takes_over {
        Some(asked) => {
            // What is wrong here must not be found out after the running server has let go.
            successor::check(data).await?;
            let (listener, stream) = successor::take_over(data, asked.listen).await?;
            let kept = listener.local_addr().unwrap_or(config.listen);
            if asked.listen.is_none() && ![DEFAULT_LISTEN, kept].contains(&config.listen) {
                tracing::warn!(
                    "a takeover keeps the address {kept}; `listen = \"{}\"` holds from the next start without --takeover",
                    config.listen
                );
            }
            (lock(data, RELEASED_LOCK_WAIT).await?, listener, Some(stream))
        }
        // Before the address is asked for: that it is taken says less than that this folder has a server.
        None => (lock(data, Duration::ZERO).await?, bind(&config).await?, None),
    };
    if stop.is_cancelled() {
        return Ok(None);
    }
    stop::tidy(&data.servers()).await;
    let runtime = runtime::open(data, &config).await?;
    if let Err(err) = demo::install(data).await {
        // A store that can only be read has models all the same.
        tracing::warn!(
            "the demo model can't be written: {err}; the server starts with what the model store has"
        );
    }
    let replicas = Arc::new(Replicas::new(runtime));
    tell_odd_models(data);
    let control = open_control(lock, data, &config, replicas.clone()).await?;
    warn(&config, &control, replicas.as_ref()).await;
    first_passes(&control, &stop).await;
    let folder = Folder { data: data.clone(), config, control, replicas };
    if stop.is_cancelled() {
        folder.close().await;
        return Ok(None);
    }
    if predecessor.is_some() {
        failpoint::hit("takeover.before", "serving");
    }
    let (loads, loads_seen) = watch::channel(LoadReport::default());
    // After the first passes, so that the first request meets their table and not an empty one.
    let settings = folder.config.gateway.clone();
    let clocks = folder.control.clock().judging();
    let gateway = Gateway::new(settings, folder.control.routes(), loads, clocks);

    let loads = load_reports::Loads { own: loads_seen, predecessor };
    Server::start(folder, &gateway, loads, listener, stop).map(Some)
}

/// The data folder, for this server alone.
async fn lock(data: &DataDir, wait: Duration) -> Result<DataLock, Refusal> {
    let path = DataPaths::below(data.root()).lock;
    let deadline = Instant::now() + wait;
    loop {
        match DataLock::acquire(&path) {
            Err(LockError::Held { .. }) if Instant::now() < deadline => {
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
            done => return done.map_err(|err| ControlError::from(err).into()),
        }
    }
}

/// Looks at the world until the replicas that ran before this server are found ready again, so that the first
/// requests are not refused for no reason; not for long, since some may be gone.
async fn first_passes(control: &ControlPlane, stop: &CancellationToken) {
    let routes = control.routes();
    let deadline = Instant::now() + REPLICAS_WAIT;
    loop {
        control.first_pass().await;
        let table = routes.borrow().clone();
        let all_routed = table.version > 0
            && table.routes.iter().all(|it| {
                it.state != EndpointState::Started || it.wakes_on_request || !it.replicas.is_empty()
            });
        if all_routed || stop.is_cancelled() || Instant::now() >= deadline {
            return;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

/// What to do about the usual reasons why an address can't be listened on.
const HINTS: [(io::ErrorKind, &str); 3] = [
    (io::ErrorKind::AddrInUse, ": another program listens there; end it, or choose another with --listen"),
    (io::ErrorKind::PermissionDenied, ": ports below 1024 need a privilege; choose another with --listen"),
    (io::ErrorKind::AddrNotAvailable, ": this host has no such address"),
];

async fn bind(config: &Config) -> Result<TcpListener, Refusal> {
    TcpListener::bind(config.listen).await.map_err(|err| {
        Refusal::usage(format!("can't listen on {}{} ({err})", config.listen, hint(config.listen, &err)))
    })
}

fn hint(listen: SocketAddr, err: &io::Error) -> &'static str {
    let no_ipv6 = [Errno::AFNOSUPPORT, Errno::ADDRNOTAVAIL];
    match Errno::from_io_error(err) {
        Some(errno) if listen.is_ipv6() && no_ipv6.contains(&errno) => {
            ": this host has no such address, or its IPv6 is off; 127.0.0.1 and 0.0.0.0 need none"
        }
        Some(_) | None => HINTS.iter().find(|(kind, _)| *kind == err.kind()).map_or("", |(_, hint)| hint),
    }
}

/// The control plane on this data folder, with its first key written down.
async fn open_control(
    lock: DataLock,
    data: &DataDir,
    config: &Config,
    runtime: Arc<dyn Runtime>,
) -> Result<ControlPlane, Refusal> {
    let paths = DataPaths::below(data.root());
    let clocks = Clock::new(clock::now, clock::uptime, clock::begin_not_before, clock::wall);
    let (control, hub) = (config.control.clone(), config.hub.clone());
    let control = ControlPlane::open_locked(lock, control, hub, paths, runtime, clocks).await?;
    let owner = Owner::parse(&config.owner).map_err(|err| Refusal::usage(format!("owner: {err}")))?;
    let file = data.admin_key();
    let made = control.first_key(&owner, kept_key(&file)?, |text| keep_key(&file, text)).await?;
    if made {
        tracing::info!(
            "made an admin key for `{owner}` and wrote it to {}; the command line reads it",
            file.display()
        );
    }
    Ok(control)
}

/// Tells what lies in the model store and can't be used. Nobody waits for it: the store's disk may hang.
fn tell_odd_models(data: &DataDir) {
    let store = ModelStore::new(data.models());
    drop(tokio::task::spawn_blocking(move || {
        for it in store.oddities() {
            tracing::warn!("{}", it.sentence());
        }
    }));
}

/// Tells what of the config does nothing here.
async fn warn(config: &Config, control: &ControlPlane, runtime: &dyn Runtime) {
    let unused = unused::owner(&config.owner, &control.owners());
    // Hardware that can't be looked at is told by whoever needs it.
    let inventory = runtime.inventory().await.ok();
    let prices = inventory.map(|it| unused::prices(&config.control.cents_per_device_minute, &it));
    for warning in unused.into_iter().chain(prices.into_iter().flatten()) {
        tracing::warn!("{warning}");
    }
}

/// The first key that an earlier start wrote down, which may have ended before it was in the database. It is never
/// written over: it may be the only copy of a key that is in a backup.
fn kept_key(file: &Path) -> Result<Option<KeyText>, Refusal> {
    match std::fs::read_to_string(file) {
        Ok(text) => Ok(KeyText::parse(text.trim()).ok()),
        Err(err) if err.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(err) => Err(Refusal::broken(format!("{} can't be read: {err}", file.display()))),
    }
}

/// Writes the first key down where there is no file yet.
fn keep_key(file: &Path, text: &str) -> io::Result<()> {
    if file.symlink_metadata().is_ok() {
        let said = format!("{} holds something else than a key; move it away", file.display());
        return Err(io::Error::new(io::ErrorKind::AlreadyExists, said));
    }
    write_atomically(file, format!("{text}\n").as_bytes(), 0o600)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_of_ipv6_on_a_host_without_it_is_refused_by_that_name() {
        let said = |listen: &str, errno: Errno| hint(listen.parse().unwrap(), &io::Error::from(errno));
        assert!(said("[::]:1", Errno::AFNOSUPPORT).contains("its IPv6 is off"));
        assert!(said("[::1]:1", Errno::ADDRNOTAVAIL).contains("its IPv6 is off"));
        assert_eq!(said("10.0.0.1:1", Errno::ADDRNOTAVAIL), ": this host has no such address");
        assert!(said("[::]:1", Errno::ADDRINUSE).contains("another program"));
    }
}
