//! Gets a response started: a replica, a connection, a status, the first bytes. A request that never reached an engine
//! is sent to any replica that can be reached. One that did is retried on at most one other replica, within the retry
//! budget and before the first byte, and not at all if it may have crashed the first.

use std::time::Duration;

use bytes::Bytes;
use dedi_domain::KeyId;
use http::StatusCode;
use serde::Deserialize;
use tokio::time::timeout;

use crate::admission::{InFlight, Permit};
use crate::config::ms;
use crate::core::Core;
use crate::error::ApiError;
use crate::request::Job;
use crate::route::{Pick, Target};
use crate::strikes::Suspect;
use crate::upstream::{Connection, Exchange, UpstreamError, is_alive, queue_of, request};
use crate::waiting::{Patience, ready_replica};
use dedi_http::RequestId;

/// Bytes of an engine's refusal that are read.
const REFUSAL_BYTES_MAX: usize = 64 * 1024;
/// Longest excerpt of an engine's error message that is passed on, in characters.
const EXCERPT_CHARS_MAX: usize = 1_024;

/// Delay before the third attempt to reach a replica; each further attempt adds as much.
const UNSENT_PAUSE: Duration = Duration::from_millis(50);
/// Upper bound of that delay.
const UNSENT_PAUSE_MAX: Duration = Duration::from_secs(1);

/// A response that has begun.
#[derive(Debug)]
pub(crate) struct Begun {
    pub(crate) in_flight: InFlight,
    pub(crate) exchange: Exchange,
    /// Its first bytes; empty if it has none.
    pub(crate) first: Bytes,
}

/// Why a replica gave no response.
struct Failure {
    error: ApiError,
    again: Again,
    /// Whether it counts as a failure of the replica.
    blame: bool,
}

/// Whether and where the request may be retried.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Again {
    /// Nobody.
    No,
    /// It did not reach the engine in a harmful form: any replica, waiting for one if there is none.
    Unsent,
    /// The replica gave no response but is alive; another one may succeed.
    Innocent,
    /// The replica exited while it held this many requests, this one included.
    Suspect { n_on_it: u32 },
}

impl Failure {
    fn of_replica(error: ApiError) -> Self {
        Self { error, again: Again::Innocent, blame: true }
    }

    fn of_request(error: ApiError) -> Self {
        Self { error, again: Again::No, blame: false }
    }
}

/// A validated request that holds its admission permit.
#[derive(Debug)]
pub(crate) struct Accepted {
    pub(crate) id: RequestId,
    pub(crate) target: Target,
    /// The caller's key; the request is aborted when the key becomes invalid.
    pub(crate) key: KeyId,
    pub(crate) permit: Permit,
    pub(crate) job: Job,
    /// Total time it may wait for a replica, before it is first sent and before each retry.
    pub(crate) patience: Patience,
}

impl Accepted {
    /// The request that may have crashed a replica.
    pub(crate) fn suspect(&self) -> Suspect {
        (self.key.clone(), self.target.endpoint)
    }
}

/// Starts the response on the replica picked first, or on another one.
pub(crate) async fn begin(
    core: &Core,
    accepted: &Accepted,
    mut in_flight: InFlight,
) -> Result<Begun, ApiError> {
    let Accepted { id, target, permit, patience, .. } = accepted;
    core.retries.lock().request();
    let (mut was_repeated, mut n_unsent) = (false, 0_u32);
    loop {
        let replica = in_flight.replica().clone();
        let failure = match ask(core, accepted, in_flight).await {
            Ok(begun) => {
                replica.succeeded();
                return Ok(begun);
            }
            Err(failure) => failure,
        };
        if failure.blame {
            tracing::warn!(request.id = %id, replica.id = %replica.id, "a replica failed: {}", failure.error);
            core.blame(&replica);
        }
        let may_repeat = match failure.again {
            Again::No => false,
            Again::Unsent => {
                // All of an endpoint's replicas may be gone, and the table not know it yet.
                let pause = UNSENT_PAUSE.saturating_mul(n_unsent).min(UNSENT_PAUSE_MAX);
                tokio::time::sleep(pause.min(patience.left())).await;
                n_unsent = n_unsent.saturating_add(1);
                let has_patience = !patience.left().is_zero();
                let found =
                    ready_replica(&core.fleet, target, permit.endpoint(), *patience, Some(replica.id));
                in_flight = found.await?;
                // Somebody is found as long as two are listed. However short the patience is, as many are tried as have
                // not failed lately.
                let n_left = u32::try_from(core.fleet.n_others(target, replica.id)).unwrap_or(u32::MAX);
                if !has_patience && n_unsent > n_left.max(1) {
                    return Err(failure.error);
                }
                core.metrics.retries.inc();
                continue;
            }
            Again::Innocent => true,
            // What ended one replica would end the next. Where it was most likely another request that did, and more
            // than one replica is left, it gets one more chance.
            Again::Suspect { n_on_it } => {
                let is_slowed = core.suspect(&accepted.suspect(), &replica, n_on_it);
                n_on_it > 1 && !is_slowed && core.fleet.n_others(target, replica.id) > 1
            }
        };
        if !may_repeat || was_repeated || !core.retries.lock().take(core.clock.now()) {
            return Err(failure.error);
        }
        was_repeated = true;
        in_flight = match core.fleet.pick(target, permit.endpoint(), Some(replica.id)) {
            Ok(Pick::Go(other)) => other,
            // Also where the endpoint is stopped or deleted by now: the request had been taken, and what became of it
            // is no fault of the client's.
            Ok(Pick::Wait(_)) | Err(_) => return Err(failure.error),
        };
        core.metrics.retries.inc();
    }
}

async fn ask(core: &Core, accepted: &Accepted, in_flight: InFlight) -> Result<Begun, Failure> {
    let limit = ms(core.config.first_byte_timeout_ms);
    let replica = in_flight.replica().clone();
    let wait = replica.wait();
    let done = tokio::select! {
        biased;
        () = replica.ended() => Err(Failure::of_replica(ApiError::failed("it was ended"))),
        done = timeout(limit, first_bytes(core, accepted, in_flight)) => match done {
            Ok(done) => done,
            // Not retried: it may be the request that takes so long, and the client has waited enough.
            Err(_elapsed) => {
                replica.unanswered(wait);
                let error = ApiError::FirstByteTimeout { after: limit };
                Err(Failure { error, again: Again::No, blame: true })
            }
        },
    };
    done.map_err(|failure| match core.ended(&replica).filter(|_| failure.blame) {
        // The request is at fault, not the replica.
        Some(error) => {
            let again = if matches!(error, ApiError::Drained(_)) { Again::Innocent } else { Again::No };
            Failure { again, error, blame: false }
        }
        None => failure,
    })
}

async fn first_bytes(core: &Core, accepted: &Accepted, in_flight: InFlight) -> Result<Begun, Failure> {
    let job = &accepted.job;
    let body = job.body_for(&in_flight.replica().engine_model);
    let mut exchange = match send(core, accepted, &in_flight, body).await {
        Ok(exchange) => exchange,
        Err(err) => {
            let cause = std::error::Error::source(&err).map(ToString::to_string).unwrap_or_default();
            tracing::debug!(request.id = %accepted.id, replica.id = %in_flight.replica().id, "{err}: {cause}");
            return Err(match err {
                UpstreamError::Broken(_) => broken(core, in_flight).await,
                UpstreamError::Connect(_) | UpstreamError::ConnectTimeout | UpstreamError::Unsent(_) => {
                    let error = ApiError::failed("it could not be reached");
                    Failure { error, again: Again::Unsent, blame: true }
                }
            });
        }
    };
    let status = exchange.status();
    if !status.is_success() {
        return Err(refusal(status, &mut exchange).await);
    }
    if job.stream && !exchange.is_event_stream() {
        return Err(Failure::of_replica(ApiError::failed("it did not answer with a stream")));
    }
    let first = loop {
        match exchange.chunk().await {
            Some(Ok(chunk)) if chunk.is_empty() => {}
            Some(Ok(chunk)) => break chunk,
            Some(Err(_)) => return Err(broken(core, in_flight).await),
            None => break Bytes::new(),
        }
    };
    in_flight.replica().received();
    Ok(Begun { in_flight, exchange, first })
}

/// What it means that the connection broke after the request was sent: an engine that is gone may have been ended by
/// it.
async fn broken(core: &Core, in_flight: InFlight) -> Failure {
    let replica = in_flight.replica().clone();
    let n_on_it = replica.broke(core.clock.now());
    // Not counted as running any more: the engine has let go of it.
    drop(in_flight);
    if is_alive(&replica.address, ms(core.config.connect_timeout_ms)).await {
        return Failure::of_replica(ApiError::failed("the connection to it broke"));
    }
    let error = match n_on_it {
        0 | 1 => ApiError::EngineCrashed,
        _ => ApiError::failed("it crashed with several requests on it"),
    };
    Failure { error, again: Again::Suspect { n_on_it }, blame: true }
}

async fn send(
    core: &Core,
    accepted: &Accepted,
    in_flight: &InFlight,
    body: Bytes,
) -> Result<Exchange, UpstreamError> {
    let replica = in_flight.replica();
    let queue = queue_of(&accepted.key);
    let written = |body: Bytes| request(accepted.job.kind.path(), &accepted.id, &queue, body);
    if let Some(connection) = replica.pool.take(ms(core.config.idle_connection_ms)) {
        match connection.send(written(body.clone())).await {
            // The engine may have closed it while it was idle, which is no failure.
            Err(UpstreamError::Unsent(_)) => {}
            done => return done,
        }
    }
    let fresh = Connection::open(&replica.address, ms(core.config.connect_timeout_ms)).await?;
    fresh.send(written(body)).await
}

/// The part of an engine's error body that may be shown.
#[derive(Deserialize)]
struct EngineError {
    error: Option<EngineErrorDetail>,
    message: Option<String>,
}

#[derive(Deserialize)]
struct EngineErrorDetail {
    message: Option<String>,
    #[serde(default, deserialize_with = "text_or_nothing")]
    param: Option<String>,
    #[serde(default, deserialize_with = "text_or_nothing")]
    code: Option<String>,
}

/// Engines put numbers where texts belong.
fn text_or_nothing<'de, D: serde::Deserializer<'de>>(input: D) -> Result<Option<String>, D::Error> {
    let value = serde_json::Value::deserialize(input)?;
    Ok(value.as_str().map(str::to_owned))
}

async fn refusal(status: StatusCode, exchange: &mut Exchange) -> Failure {
    let mut body = Vec::new();
    while let Some(Ok(chunk)) = exchange.chunk().await {
        if body.len() + chunk.len() > REFUSAL_BYTES_MAX {
            break;
        }
        body.extend_from_slice(&chunk);
    }
    match status.as_u16() {
        // The engine's message helps only where the request is at fault.
        400 | 413 | 422 => Failure::of_request(refused(&body)),
        429 | 503 => Failure { error: ApiError::EngineBusy, again: Again::Innocent, blame: false },
        501 => Failure::of_request(ApiError::EngineRefused {
            status: StatusCode::BAD_REQUEST,
            message: "The engine of this endpoint does not offer this".to_owned(),
            param: None,
            code: None,
        }),
        500.. => Failure::of_replica(ApiError::failed("it answered with an error")),
        _ => Failure { again: Again::No, ..Failure::of_replica(ApiError::failed("it refused the request")) },
    }
}

fn refused(body: &[u8]) -> ApiError {
    let parsed = serde_json::from_slice::<EngineError>(body).ok();
    let (detail, outer) = parsed.map_or((None, None), |it| (it.error, it.message));
    let (message, param, code) = detail.map_or((None, None, None), |it| (it.message, it.param, it.code));
    let message = message.or(outer).unwrap_or_else(|| "The engine refused the request".to_owned());
    ApiError::EngineRefused {
        status: StatusCode::BAD_REQUEST,
        message: excerpt(&message),
        param: param.map(|it| excerpt(&it)),
        code: code.map(|it| excerpt(&it)),
    }
}

/// The beginning of an engine's message, without control characters.
pub(crate) fn excerpt(text: &str) -> String {
    text.chars().filter(|it| !it.is_control()).take(EXCERPT_CHARS_MAX).collect()
}

/// Returns the connection of a finished exchange to the pool, if its body has ended.
pub(crate) async fn give_back(core: &Core, in_flight: &InFlight, mut exchange: Exchange) {
    let ended = timeout(ms(100), async {
        loop {
            match exchange.chunk().await {
                None => return true,
                Some(Ok(chunk)) if chunk.is_empty() => {}
                Some(Ok(_) | Err(_)) => return false,
            }
        }
    })
    .await;
    if ended == Ok(true)
        && let Some(connection) = exchange.finish()
    {
        in_flight.replica().pool.put(connection, core.config.idle_connections_per_replica_max);
    }
}
