//! Gets an answer to begin: a replica, a connection, a status, the first bytes. As long as none of those bytes
//! has come, a second replica may be tried, within the retry budget.

use bytes::Bytes;
use dedi_domain::KeyId;
use http::StatusCode;
use serde::Deserialize;
use tokio::time::timeout;

use crate::Core;
use crate::admission::{InFlight, Place};
use crate::config::ms;
use crate::http::RequestId;
use crate::http::error::ApiError;
use crate::request::Job;
use crate::route::{Target, Turn};
use crate::upstream::{Connection, Exchange, UpstreamError, request};

/// Bytes of an engine's refusal that are read.
const REFUSAL_BYTES_MAX: usize = 64 * 1024;
/// Characters of an engine's own words that are passed on.
const WORDS_MAX: usize = 1_024;

/// An answer that has begun.
#[derive(Debug)]
pub(crate) struct Begun {
    pub(crate) in_flight: InFlight,
    pub(crate) exchange: Exchange,
    /// Its first bytes; empty if it has none.
    pub(crate) first: Bytes,
}

/// Why one replica gave none.
struct Failure {
    error: ApiError,
    /// Another replica may do better.
    retryable: bool,
    /// It speaks against the replica.
    blame: bool,
}

impl Failure {
    fn of_replica(error: ApiError) -> Self {
        Self { error, retryable: true, blame: true }
    }

    fn of_request(error: ApiError) -> Self {
        Self { error, retryable: false, blame: false }
    }
}

/// A request that has been understood and has its place.
#[derive(Debug)]
pub(crate) struct Accepted {
    pub(crate) id: RequestId,
    pub(crate) target: Target,
    /// Whose request it is; it ends with the key.
    pub(crate) key: KeyId,
    pub(crate) place: Place,
    pub(crate) job: Job,
}

/// The beginning of an answer from the replica picked first, or from another.
pub(crate) async fn begin(
    core: &Core,
    accepted: &Accepted,
    mut in_flight: InFlight,
) -> Result<Begun, ApiError> {
    let Accepted { id, target, place, job, .. } = accepted;
    core.retries().request();
    let mut tried = None;
    loop {
        let replica = in_flight.replica().clone();
        let failure = match ask(core, id, job, in_flight).await {
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
        let may_retry = failure.retryable && tried.is_none() && core.retries().take(core.clock.now());
        if !may_retry {
            return Err(failure.error);
        }
        tried = Some(replica.id);
        in_flight = match core.fleet.turn(target, place.endpoint(), tried) {
            Ok(Turn::Go(other)) => other,
            // Also where the endpoint is stopped or deleted by now: the request had been taken, and what became of it
            // is no fault of the client's.
            Ok(Turn::Wait { .. }) | Err(_) => return Err(failure.error),
        };
        core.metrics.retries.add(1);
    }
}

async fn ask(core: &Core, id: &RequestId, job: &Job, in_flight: InFlight) -> Result<Begun, Failure> {
    let limit = ms(core.config.first_byte_timeout_ms);
    let replica = in_flight.replica().clone();
    let wait = replica.wait();
    let done = tokio::select! {
        biased;
        () = replica.ended() => Err(Failure::of_replica(ApiError::failed("it was ended"))),
        done = timeout(limit, first_bytes(core, id, job, in_flight)) => match done {
            Ok(done) => done,
            // Not retried: it may be the request that takes so long, and the client has waited enough.
            Err(_elapsed) => {
                replica.unanswered(wait);
                let error = ApiError::FirstByteTimeout { after: limit };
                Err(Failure { error, retryable: false, blame: true })
            }
        },
    };
    done.map_err(|failure| match core.ended(&replica).filter(|_| failure.blame) {
        // No fault of the replica, whatever it looks like.
        Some(error) => Failure { retryable: matches!(error, ApiError::Drained(_)), error, blame: false },
        None => failure,
    })
}

async fn first_bytes(core: &Core, id: &RequestId, job: &Job, in_flight: InFlight) -> Result<Begun, Failure> {
    let body = job.body_for(&in_flight.replica().engine_model);
    let mut exchange = send(core, id, job, &in_flight, body).await.map_err(|err| {
        let cause = std::error::Error::source(&err).map(ToString::to_string).unwrap_or_default();
        tracing::debug!(request.id = %id, replica.id = %in_flight.replica().id, "{err}: {cause}");
        Failure::of_replica(ApiError::failed("it could not be reached"))
    })?;
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
            Some(Err(_)) => {
                return Err(Failure::of_replica(ApiError::failed("the connection to it broke")));
            }
            None => break Bytes::new(),
        }
    };
    in_flight.replica().heard();
    Ok(Begun { in_flight, exchange, first })
}

async fn send(
    core: &Core,
    id: &RequestId,
    job: &Job,
    in_flight: &InFlight,
    body: Bytes,
) -> Result<Exchange, UpstreamError> {
    let replica = in_flight.replica();
    let path = job.kind.path();
    if let Some(connection) = replica.pool.take(ms(core.config.idle_connection_ms)) {
        match connection.send(request(path, id, body.clone())).await {
            Ok(exchange) => return Ok(exchange),
            // The engine may have closed it while it was idle; that says nothing about the engine.
            Err(UpstreamError::Broken(_)) => {}
            Err(other @ (UpstreamError::Connect(_) | UpstreamError::ConnectTimeout)) => return Err(other),
        }
    }
    let fresh = Connection::open(&replica.address, ms(core.config.connect_timeout_ms)).await?;
    fresh.send(request(path, id, body)).await
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
        // The engine's words help only where the request is at fault.
        400 | 413 | 422 => Failure::of_request(refused(&body)),
        429 | 503 => Failure { error: ApiError::EngineBusy, retryable: true, blame: false },
        501 => Failure::of_request(ApiError::EngineRefused {
            status: StatusCode::BAD_REQUEST,
            message: "The engine of this endpoint does not offer this".to_owned(),
            param: None,
            code: None,
        }),
        500.. => Failure::of_replica(ApiError::failed("it answered with an error")),
        _ => Failure { retryable: false, ..Failure::of_replica(ApiError::failed("it refused the request")) },
    }
}

fn refused(body: &[u8]) -> ApiError {
    let parsed = serde_json::from_slice::<EngineError>(body).ok();
    let (detail, outer) = parsed.map_or((None, None), |it| (it.error, it.message));
    let (message, param, code) = detail.map_or((None, None, None), |it| (it.message, it.param, it.code));
    let message = message.or(outer).unwrap_or_else(|| "The engine refused the request".to_owned());
    ApiError::EngineRefused {
        status: StatusCode::BAD_REQUEST,
        message: words(&message),
        param: param.map(|it| words(&it)),
        code: code.map(|it| words(&it)),
    }
}

/// An engine's words, short and without control characters.
pub(crate) fn words(text: &str) -> String {
    text.chars().filter(|it| !it.is_control()).take(WORDS_MAX).collect()
}

/// Gives the connection of a finished exchange back, if its body really has ended.
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
