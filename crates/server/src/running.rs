//! The server while it runs: its tasks, what ends it, and the order of the end. The public side ends first, so
//! that requests finish while everything behind it still works.

mod handover;

use std::io;
use std::net::SocketAddr;
use std::os::fd::{AsFd, OwnedFd};
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use dedi_domain::LoadReport;
use dedi_gateway::Gateway;
use prometheus_client::registry::Registry;
use tokio::net::{TcpListener, UnixStream};
use tokio::sync::watch;
use tokio::task::{JoinError, JoinSet};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::admin::{self, Admin};
use crate::cors::{self, Cors};
use crate::exit::Refusal;
use crate::folder::Folder;
use crate::gate::{self, Gate};
use crate::health::{self, Ready};
use crate::hosts::{self, Hosts};
use crate::load_reports::{self, Loads};
use crate::paths::{DataDir, write_atomically};
use crate::takeover::{Offer, Successor};
use crate::{framing, limits, listener, logging, openapi};

/// Longest wait for the tasks behind the public side.
const BEHIND_GRACE: Duration = Duration::from_secs(10);

type Ended = (&'static str, Result<(), String>);

/// A started server.
pub(crate) struct Server {
    folder: Folder,
    ready: Ready,
    /// Ends the public side and then the server; cancelled by who wants that.
    stop: CancellationToken,
    public: JoinSet<()>,
    /// The public side's socket, to be offered to successors.
    listening: Option<OwnedFd>,
    address: SocketAddr,
    admin: Admin,
    /// Keeps management requests while the folder is given away.
    gate: Gate,
    /// Ends the control plane and what else acts on the data folder.
    behind: CancellationToken,
    tasks: JoinSet<Ended>,
    /// What running requests need, to the last of them.
    data_plane_tasks: JoinSet<Ended>,
    loads: watch::Receiver<LoadReport>,
    /// No connection takes a further request.
    closed: CancellationToken,
    offer: Option<Offer>,
    /// Has the data folder, or may have it soon.
    successor: Option<Successor>,
    /// Set while the data folder was given away: when it is next tried to take it back.
    take_back_at: Option<Instant>,
    /// Why it could not be taken back, said once.
    not_back: String,
    gateway: Gateway,
    /// Longest wait for running requests.
    grace: Duration,
}

/// What ends the server's work.
enum Reason {
    Asked,
    /// A successor serves; over the connection it is told what is carried here.
    Replaced(UnixStream),
    Broken(String),
}

/// What happens while the server works.
enum Event {
    End(Reason),
    Asked(Successor),
    Serves(io::Result<()>),
    TakeBack,
}

impl Server {
    /// Opens the doors; `stop` closes them.
    pub(crate) fn start(
        folder: Folder,
        gateway: &Gateway,
        loads: Loads,
        listener: TcpListener,
        stop: CancellationToken,
    ) -> Result<Self, Refusal> {
        let Folder { data, config, control, .. } = &folder;
        let unusable = |err| Refusal::broken(format!("the listening socket can't be used: {err}"));
        let address = listener.local_addr().map_err(unusable)?;
        let listening = listener.as_fd().try_clone_to_owned().map_err(unusable)?;
        let ready = Ready::default();
        let gate = Gate::new();
        let managed = axum::middleware::from_fn_with_state(gate.clone(), gate::answer);
        let app = Router::new()
            .merge(health::router(ready.clone()))
            .merge(openapi::router())
            .merge(gateway.router())
            .merge(control.router(gateway.key_failures()).layer(managed))
            .layer(axum::middleware::from_fn_with_state(Hosts::new(&config.hostnames), hosts::check))
            .layer(axum::middleware::from_fn(limits::check))
            .layer(axum::middleware::from_fn_with_state(Cors::new(&config.cors_origins), cors::answer))
            // Around all that answers by itself, such as preflights: it counts the requests.
            .layer(axum::middleware::from_fn(listener::keep_reserve))
            .layer(axum::middleware::from_fn(framing::check))
            .layer(axum::middleware::from_fn(dedi_http::assign_request_id));
        let mut metrics = Registry::default();
        gateway.register_metrics(&mut metrics);
        logging::register_metrics(&mut metrics);
        let admin = Admin { stop: stop.clone(), metrics: Arc::new(metrics), control: control.clone() };
        say_address(data, address).map_err(Refusal::broken)?;
        let (all_loads, loads_seen) = watch::channel(LoadReport::default());
        let mut data_plane_tasks = JoinSet::new();
        let carrying = gateway.clone();
        let gateway_run = async move { carrying.run(CancellationToken::new()).await };
        data_plane_tasks.spawn(named("the gateway", endless(gateway_run)));
        let closed = CancellationToken::new();
        let mut public = JoinSet::new();
        let stall_max = Duration::from_millis(config.gateway.write_stall_timeout_ms);
        let http = config.http.clone();
        public.spawn(listener::serve(listener, app, http, stall_max, stop.clone(), closed.clone()));
        let grace = Duration::from_secs(config.http.shutdown_grace_secs);
        tracing::info!("listening on http://{address}/v1, data in {}", data.root().display());
        let mut server = Self {
            folder,
            ready,
            stop,
            public,
            listening: Some(listening),
            address,
            admin,
            gate,
            behind: CancellationToken::new(),
            tasks: JoinSet::new(),
            data_plane_tasks,
            loads: loads_seen,
            closed,
            offer: None,
            successor: None,
            take_back_at: None,
            not_back: String::new(),
            gateway: gateway.clone(),
            grace,
        };
        server.begin_behind();
        server.offer();
        // Last, since a predecessor hears from it that this server serves.
        server
            .data_plane_tasks
            .spawn(named("the load reports", endless(load_reports::join(loads, all_loads))));
        server.ready.set(true);
        Ok(server)
    }

    /// Serves until an order, a successor or a failure; then ends in order, without waiting for running requests once
    /// it is to end `at_once`.
    pub(crate) async fn until_end(mut self, at_once: CancellationToken) -> Result<(), Refusal> {
        let reason = loop {
            match self.next().await {
                Event::End(reason) => break reason,
                Event::Asked(successor) => self.hand_over(successor).await,
                Event::Serves(said) => {
                    if let Some(stream) = self.has_successor(said) {
                        break Reason::Replaced(stream);
                    }
                }
                Event::TakeBack => self.take_back().await,
            }
        };
        self.end(reason, at_once).await
    }

    /// May be dropped and called again: nothing is lost.
    async fn next(&mut self) -> Event {
        let (has_folder, has_successor) = (self.take_back_at.is_none(), self.successor.is_some());
        let wants = async {
            match &mut self.offer {
                Some(offer) => offer.successor().await,
                None => std::future::pending().await,
            }
        };
        let serves = async {
            match &mut self.successor {
                Some(successor) => successor.serves().await,
                None => std::future::pending().await,
            }
        };
        let due = self.take_back_at.unwrap_or_else(Instant::now);
        let broken = |ended| Event::End(Reason::Broken(what_ended(ended)));
        tokio::select! {
            biased; // an order to stop also ends the listener: the order is the reason then
            () = self.stop.cancelled() => Event::End(Reason::Asked),
            said = serves, if has_successor => Event::Serves(said),
            successor = wants, if !has_successor => Event::Asked(successor),
            ended = self.tasks.join_next(), if has_folder => broken(ended),
            ended = self.data_plane_tasks.join_next() => broken(ended),
            _ = self.public.join_next() => {
                Event::End(Reason::Broken("the listener ended by itself".to_owned()))
            }
            () = tokio::time::sleep_until(due), if !has_folder => Event::TakeBack,
        }
    }

    fn begin_behind(&mut self) {
        self.behind = CancellationToken::new();
        let (socket, control) = (self.folder.data.admin_socket(), self.folder.control.clone());
        self.tasks.spawn(named(
            "the admin listener",
            admin::serve(socket, self.admin.clone(), self.behind.clone()),
        ));
        let run = control.run(self.loads.clone(), self.behind.clone());
        self.tasks.spawn(named("the control plane", endless(run)));
    }

    async fn end(mut self, reason: Reason, at_once: CancellationToken) -> Result<(), Refusal> {
        self.ready.set(false);
        self.stop.cancel();
        self.folder.control.cut_streams();
        self.folder.control.say_ending(listener::grace(&self.folder.config.http));
        // The last copies here: the socket is closed with the listener.
        (self.offer, self.listening) = (None, None);
        // One that was given the data folder may serve yet, and drains by what is said here.
        let mut successor = self.successor.take().map(Successor::into_stream);
        let mut broken = None;
        match reason {
            Reason::Asked => tracing::info!("stopping: running requests may finish, replicas go on"),
            Reason::Broken(what) => broken = Some(what),
            Reason::Replaced(stream) => {
                tracing::info!("a new server has taken over: running requests finish here");
                successor = Some(stream);
            }
        }
        let has_successor = successor.is_some();
        if let Some(stream) = successor {
            let reporting = load_reports::report_to(stream, self.loads.clone(), self.closed.clone());
            self.data_plane_tasks.spawn(named("the load reports to the new server", endless(reporting)));
            self.gate.pass_on(self.address).await;
            self.folder.close().await;
        }
        // What outlasts the grace ends with an error event, not with a cut.
        let finished = async {
            // Idle for a moment is not done: connections that are kept alive may send one more request.
            self.closed.cancelled().await;
            self.gateway.drain(self.grace).await;
            self.public.join_next().await;
            if has_successor {
                load_reports::until_idle(&mut self.loads, self.grace).await;
            }
        };
        tokio::select! {
            () = finished => {}
            () = at_once.cancelled() => tracing::warn!("asked twice: not waiting for running requests"),
        }
        self.public.shutdown().await;
        self.data_plane_tasks.shutdown().await;
        self.end_behind().await;
        if self.take_back_at.is_none() {
            let _ = std::fs::remove_file(self.folder.data.address());
        }
        self.folder.close().await;
        match broken {
            Some(what) => Err(Refusal::broken(what)),
            None => {
                tracing::info!("stopped");
                Ok(())
            }
        }
    }

    async fn end_behind(&mut self) {
        self.behind.cancel();
        let all = async { while self.tasks.join_next().await.is_some() {} };
        if tokio::time::timeout(BEHIND_GRACE, all).await.is_err() {
            tracing::warn!("some tasks did not end within {} s and are dropped", BEHIND_GRACE.as_secs());
            self.tasks.shutdown().await;
        }
    }
}

/// Writes down where the server listens.
fn say_address(data: &DataDir, address: SocketAddr) -> Result<(), String> {
    write_atomically(&data.address(), format!("{address}\n").as_bytes(), 0o600)
        .map_err(|err| format!("{} can't be written: {err}", data.address().display()))
}

async fn named<E: std::fmt::Display>(name: &'static str, task: impl Future<Output = Result<(), E>>) -> Ended {
    (name, task.await.map_err(|err| err.to_string()))
}

async fn endless(task: impl Future<Output = ()>) -> Result<(), io::Error> {
    task.await;
    Ok(())
}

fn what_ended(ended: Option<Result<Ended, JoinError>>) -> String {
    match ended {
        Some(Ok((name, Ok(())))) => format!("{name} ended by itself"),
        Some(Ok((name, Err(err)))) => format!("{name} failed: {err}"),
        Some(Err(err)) => format!("a task of the server failed: {err}"),
        None => "all tasks of the server ended".to_owned(),
    }
}
