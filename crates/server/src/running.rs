//! The server while it runs: its tasks, what ends it, and the order of the end. The public side ends first, so
//! that requests finish while everything behind it still works.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use dedi_control::ControlPlane;
use dedi_domain::LoadReport;
use dedi_gateway::Gateway;
use dedi_runtime::failpoint;
use tokio::net::TcpListener;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::watch;
use tokio::task::{JoinError, JoinSet};
use tokio_util::sync::CancellationToken;

use crate::carried::{self, Loads};
use crate::config::Config;
use crate::health::{self, Ready};
use crate::hosts::{self, Hosts};
use crate::paths::{DataDir, write_atomically};
use crate::serve::Refusal;
use crate::takeover::{Offer, Successor};
use crate::{admin, limits, listener, openapi};

/// Longest wait for the tasks behind the public side.
const BEHIND_GRACE: Duration = Duration::from_secs(10);

type Ended = (&'static str, Result<(), String>);

/// A started server.
pub(crate) struct Server {
    ready: Ready,
    /// Ends the public side.
    stop: CancellationToken,
    control: ControlPlane,
    public: JoinSet<()>,
    /// Ends the control plane and what else works for the public side.
    behind: CancellationToken,
    tasks: JoinSet<Ended>,
    /// What running requests need, to the last of them.
    carriers: JoinSet<Ended>,
    loads: watch::Receiver<LoadReport>,
    /// No connection takes a further request.
    closed: CancellationToken,
    offer: Option<Offer>,
    gateway: Gateway,
    /// Longest wait for running requests.
    grace: Duration,
}

/// What ended the server's work.
enum Reason {
    Asked,
    Successor(Successor),
    Broken(String),
}

impl Server {
    /// Opens the doors.
    pub(crate) fn start(
        data: &DataDir,
        config: &Config,
        control: &ControlPlane,
        gateway: &Gateway,
        loads: Loads,
        listener: TcpListener,
    ) -> Result<Self, Refusal> {
        let address = listener.local_addr().map_err(|err| Refusal::broken(format!("no address: {err}")))?;
        let offer = Offer::new(data.takeover_socket(), &listener)
            .inspect_err(|err| tracing::warn!(error = %err, "a later server will not be able to take over"))
            .ok();
        let ready = Ready::default();
        let app = Router::new()
            .merge(health::router(ready.clone()))
            .merge(openapi::router())
            .merge(gateway.router())
            .merge(control.router(gateway.key_failures()))
            .layer(axum::middleware::from_fn_with_state(Hosts::new(&config.hostnames), hosts::check))
            .layer(axum::middleware::from_fn(limits::check));
        let (stop, behind) = (CancellationToken::new(), CancellationToken::new());
        let metrics = gateway.clone();
        let admin = admin::Admin {
            stop: stop.clone(),
            metrics: Arc::new(move || metrics.metrics()),
            control: control.clone(),
        };
        let mut tasks = JoinSet::new();
        tasks.spawn(named("the admin listener", admin::serve(data.admin_socket(), admin, behind.clone())));
        let (all_loads, loads_seen) = watch::channel(LoadReport::default());
        tasks.spawn(named(
            "the control plane",
            endless(control.clone().run(loads_seen.clone(), behind.clone())),
        ));
        let mut carriers = JoinSet::new();
        let carrying = gateway.clone();
        let gateway_run = async move { carrying.run(CancellationToken::new()).await };
        carriers.spawn(named("the gateway", endless(gateway_run)));
        carriers.spawn(named("the load reports", endless(carried::join(loads, all_loads))));
        let closed = CancellationToken::new();
        let mut public = JoinSet::new();
        let stall_max = Duration::from_millis(config.gateway.write_stall_timeout_ms);
        let http = config.http.clone();
        public.spawn(listener::serve(listener, app, http, stall_max, stop.clone(), closed.clone()));
        write_atomically(&data.address(), format!("{address}\n").as_bytes(), 0o600).map_err(|err| {
            Refusal::broken(format!("{} can't be written: {err}", data.address().display()))
        })?;
        ready.set(true);
        tracing::info!("listening on http://{address}/v1, data in {}", data.root().display());
        let grace = Duration::from_secs(config.http.shutdown_grace_secs);
        let (gateway, loads) = (gateway.clone(), loads_seen);
        let control = control.clone();
        Ok(Self {
            ready,
            stop,
            control,
            public,
            behind,
            tasks,
            carriers,
            loads,
            closed,
            offer,
            gateway,
            grace,
        })
    }

    /// Serves until a signal, an order, a successor or a failure; then ends in order. `let_go` closes what a
    /// successor needs.
    pub(crate) async fn until_end(mut self, let_go: impl AsyncFnOnce()) -> Result<(), Refusal> {
        let reason = self.wait().await;
        self.ready.set(false);
        self.stop.cancel();
        self.control.cut_streams();
        let mut let_go = Some(let_go);
        let mut broken = None;
        let mut has_successor = false;
        match reason {
            Reason::Asked => tracing::info!("stopping: running requests may finish, replicas go on"),
            Reason::Broken(what) => broken = Some(what),
            Reason::Successor(successor) => {
                tracing::info!("a new server takes over: running requests finish here");
                // The successor decides from now on; this control plane must not act any more.
                failpoint::hit("takeover.before", "let-go");
                self.end_behind().await;
                failpoint::hit("takeover.half-way", "let-go");
                if let Some(let_go) = let_go.take() {
                    let_go().await;
                }
                failpoint::hit("takeover.before", "release");
                match successor.release() {
                    Ok(stream) => {
                        has_successor = true;
                        let telling = carried::tell(stream, self.loads.clone(), self.closed.clone());
                        self.carriers.spawn(named("the word to the new server", endless(telling)));
                    }
                    Err(err) => {
                        tracing::warn!(error = %err, "the new server did not wait for the data folder");
                    }
                }
                failpoint::hit("takeover.after", "release");
            }
        }
        // What outlasts the grace ends with an error event, not with a cut.
        let finished = async {
            // Idle for a moment is not done: connections that are kept alive may send one more request.
            self.closed.cancelled().await;
            self.gateway.drain(self.grace).await;
            self.public.join_next().await;
            if has_successor {
                carried::until_none(&mut self.loads, self.grace).await;
            }
        };
        tokio::select! {
            () = finished => {}
            () = asked_to_end() => tracing::warn!("asked twice: not waiting for running requests"),
        }
        self.public.shutdown().await;
        self.carriers.shutdown().await;
        if let Some(let_go) = let_go.take() {
            self.end_behind().await;
            let_go().await;
        }
        match broken {
            Some(what) => Err(Refusal::broken(what)),
            None => {
                tracing::info!("stopped");
                Ok(())
            }
        }
    }

    async fn wait(&mut self) -> Reason {
        let offer = self.offer.take();
        let cancelled = self.stop.clone();
        let successor = async {
            match offer {
                Some(offer) => match offer.successor(cancelled.clone()).await {
                    Some(successor) => successor,
                    None => std::future::pending().await,
                },
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            biased; // an order to stop also ends the listener: the order is the reason then
            () = asked_to_end() => Reason::Asked,
            () = self.stop.cancelled() => Reason::Asked,
            successor = successor => Reason::Successor(successor),
            ended = self.tasks.join_next() => Reason::Broken(what_ended(ended)),
            ended = self.carriers.join_next() => Reason::Broken(what_ended(ended)),
            _ = self.public.join_next() => Reason::Broken("the listener ended by itself".to_owned()),
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

/// Ends with the first SIGTERM or SIGINT.
async fn asked_to_end() {
    let (Ok(mut term), Ok(mut int)) = (signal(SignalKind::terminate()), signal(SignalKind::interrupt()))
    else {
        return std::future::pending().await;
    };
    tokio::select! {
        _ = term.recv() => {}
        _ = int.recv() => {}
    }
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
