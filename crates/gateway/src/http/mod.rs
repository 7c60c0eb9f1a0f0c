//! The three routes, and what every answer of theirs has in common.

pub(crate) mod auth;
mod body;
mod early;
pub(crate) mod error;
pub(crate) mod memory;
mod strict;

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::Arc;

use axum::Router;
use axum::body::Body;
use axum::extract::{ConnectInfo, Request, State};
use axum::response::Response;
use axum::routing::post;
use bytes::Bytes;
use dedi_domain::{Principal, RouteTable};
use http::{HeaderMap, HeaderValue, StatusCode, header};
use http_body::Body as _;
use uuid::Uuid;

use self::error::ApiError;
use self::memory::HeldBytes;
use crate::Core;
use crate::admission::Place;
use crate::attempt::Accepted;
use crate::config::{GatewayConfig, ms};
use crate::metrics::{Ended, Record};
use crate::request::{Kind, Parsed};
use crate::route::{self, Target};
use crate::waiting::{Patience, ready_replica};

/// One request, in its answer, in the log and at the engine.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct RequestId(String);

impl fmt::Display for RequestId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl RequestId {
    pub(crate) fn random() -> Self {
        Self(format!("req_{}", Uuid::new_v4().simple()))
    }

    /// As a header.
    pub(crate) fn header(&self) -> HeaderValue {
        HeaderValue::from_str(&self.0).unwrap_or(HeaderValue::from_static("req"))
    }
}

/// The routes; to be merged with the control plane's. A peer's address is read from the extension
/// `ConnectInfo<SocketAddr>`.
pub(crate) fn router(core: Arc<Core>) -> Router {
    let route = |kind: Kind| {
        let serve = move |State(core): State<Arc<Core>>, request: Request| serve(core, kind, request);
        post(serve).fallback(wrong_method)
    };
    let routes = Kind::ALL.into_iter().fold(Router::new(), |all, kind| all.route(kind.path(), route(kind)));
    routes.with_state(core)
}

/// An answer with the headers that each of them has.
pub(crate) fn response(
    status: StatusCode,
    content_type: &'static str,
    body: Body,
    id: &RequestId,
) -> Response {
    let mut response = Response::new(body);
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(content_type));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    headers.insert("x-request-id", id.header());
    response
}

async fn wrong_method(request: Request) -> Response {
    let (method, path) = (request.method().to_string(), request.uri().path().to_owned());
    ApiError::Method { method, path }.respond(&RequestId::random())
}

async fn serve(core: Arc<Core>, kind: Kind, request: Request) -> Response {
    let id = RequestId::random();
    let mut is_read = false;
    match answer(core, kind, request, &id, &mut is_read).await {
        Ok(response) => response,
        Err(error) => {
            tracing::debug!(request.id = %id, path = kind.path(), status = error.status().as_u16(), "refused: {error}");
            let mut response = error.respond(&id);
            if !is_read {
                // What is left of the body would be read as the next request.
                response.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("close"));
            }
            response
        }
    }
}

/// Longest body that is read of a key that has no endpoint, to tell it which model it asked for.
const BODY_WITHOUT_ENDPOINT_MAX: usize = 64 << 10;

async fn answer(
    core: Arc<Core>,
    kind: Kind,
    request: Request,
    id: &RequestId,
    is_read: &mut bool,
) -> Result<Response, ApiError> {
    let (head, body) = request.into_parts();
    *is_read = body.is_end_stream();
    let peer = head.extensions.get::<ConnectInfo<SocketAddr>>().map(|it| it.0.ip());
    let peer = peer.unwrap_or(IpAddr::V4(Ipv4Addr::UNSPECIFIED));
    core.catch_up();
    let table = core.fleet.table();
    let caller: Principal = auth::check(&table.keys, &core.failures, &head.headers, peer, core.clock.wall())?;
    core.fleet.key_used(&caller.key);
    let body = tokio::select! {
        biased;
        () = core.fleet.key_ended(&caller.key) => return Err(ApiError::KeyEnded),
        body = read_body(&core, &table, &caller, &head.headers, body) => body,
    };
    *is_read = *is_read || body.is_ok();
    let (body, held) = body?;

    let parsed = Parsed::read(kind, &body)?;
    strict::check(&body)?;
    let model = parsed.model()?.to_owned();
    let (route, endpoint) = core.fleet.resolve(&model, &caller)?;
    // An endpoint that is not running is told before a field that would have to change for it.
    route::may_run(&route, &model)?;
    let mut job = parsed.translate(route.context_tokens)?;
    let agent = head.headers.get(header::USER_AGENT).and_then(|it| it.to_str().ok());
    job.is_openai = dedi_api::clients::is_openai(agent);
    drop(body);
    // Texts are embedded one after the other, choices are generated side by side.
    let weight = if kind == Kind::Embeddings { 1 } else { job.n };
    let place = Place::take(&endpoint, &caller.key, weight, held, &core.config)?;
    // Last: what is refused for another reason is none of the few requests that a slowed key has.
    let suspect = (caller.key.clone(), route.endpoint);
    let entered = core.strikes.lock().enter(&suspect, core.clock.now());
    entered.map_err(|retry_after| ApiError::KeySlowed { retry_after })?;
    let target = Target { endpoint: route.endpoint, model, weight };

    let (metrics, clock) = (core.metrics.clone(), core.clock.clone());
    let mut record = Record::new(metrics, clock, id.clone(), route.endpoint, caller.key.clone(), kind);
    let patience = Patience::new(ms(core.config.cold_start_wait_ms));
    // Waited for here, with nothing sent: however long it takes, its failure is a status.
    let ready = tokio::select! {
        biased;
        () = core.kill.cancelled() => Err(ApiError::ShuttingDown),
        () = core.fleet.key_ended(&caller.key) => Err(ApiError::KeyEnded),
        ready = ready_replica(&core.fleet, &target, &endpoint, patience, None) => ready,
    };
    let in_flight = ready.inspect_err(|error| record.end(Ended::Failed(error)))?;
    let accepted = Accepted { id: id.clone(), target, key: caller.key, place, job, patience };
    if accepted.job.stream {
        crate::stream::respond(core, accepted, in_flight, record).await
    } else {
        crate::respond::respond(core, accepted, in_flight, record).await
    }
}

/// The body of a request that may be served, as far as its head and the first bytes show.
async fn read_body(
    core: &Core,
    table: &RouteTable,
    caller: &Principal,
    headers: &HeaderMap,
    body: Body,
) -> Result<(Bytes, HeldBytes), ApiError> {
    body::check_headers(headers, &core.config)?;
    let mut held = core.memory.begin(&caller.owner, &caller.key);
    let known = |model: &str| {
        let (route, _) = core.fleet.resolve(model, caller)?;
        route::may_run(&route, model)
    };
    if table.routes.iter().any(|it| it.owner == caller.owner) {
        let body = body::read(body, &mut held, &core.config, known).await?;
        return Ok((body, held));
    }
    let body_bytes_max = core.config.body_bytes_max.min(BODY_WITHOUT_ENDPOINT_MAX);
    let short = GatewayConfig { body_bytes_max, ..(*core.config).clone() };
    if body.size_hint().lower() > body_bytes_max as u64 {
        return Err(ApiError::NoEndpoint);
    }
    let read = body::read(body, &mut held, &short, known).await;
    let is_long = matches!(read, Err(ApiError::TooLarge { .. }));
    if is_long { Err(ApiError::NoEndpoint) } else { read.map(|it| (it, held)) }
}
