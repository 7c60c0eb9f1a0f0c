//! The three routes, and what every answer of theirs has in common.

pub(crate) mod auth;
pub(crate) mod body;
pub(crate) mod error;

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::Arc;

use axum::Router;
use axum::body::Body;
use axum::extract::{ConnectInfo, Request, State};
use axum::response::Response;
use axum::routing::post;
use dedi_domain::Principal;
use http::{HeaderValue, StatusCode, header};
use uuid::Uuid;

use self::error::ApiError;
use crate::Core;
use crate::admission::Place;
use crate::attempt::Accepted;
use crate::metrics::{Ended, Record};
use crate::request::{Kind, Parsed};
use crate::route::Target;
use crate::waiting::ready_replica;

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
    match answer(core, kind, request, &id).await {
        Ok(response) => response,
        Err(error) => {
            tracing::debug!(request.id = %id, path = kind.path(), status = error.status().as_u16(), "refused: {error}");
            error.respond(&id)
        }
    }
}

async fn answer(core: Arc<Core>, kind: Kind, request: Request, id: &RequestId) -> Result<Response, ApiError> {
    let (head, body) = request.into_parts();
    let peer = head.extensions.get::<ConnectInfo<SocketAddr>>().map(|it| it.0.ip());
    let peer = peer.unwrap_or(IpAddr::V4(Ipv4Addr::UNSPECIFIED));
    core.catch_up();
    let table = core.fleet.table();
    let caller: Principal = auth::check(&table.keys, &core.failures, &head.headers, peer, core.clock.now())?;
    body::check_headers(&head.headers, &core.config)?;
    let (body, held) = body::read(body, &core.memory, &core.config).await?;

    let parsed = Parsed::read(kind, &body)?;
    let model = parsed.model()?.to_owned();
    let (route, endpoint) = core.fleet.resolve(&model, &caller.owner)?;
    let place = Place::take(&endpoint, &caller.key, held, &core.config)?;
    let target = Target { endpoint: route.endpoint, model };
    // An endpoint that is not running is told before a field that would have to change for it.
    core.fleet.may_run(&target)?;
    let mut job = parsed.translate(route.context_tokens)?;
    let agent = head.headers.get(header::USER_AGENT).and_then(|it| it.to_str().ok());
    job.is_openai = dedi_api::clients::is_openai(agent);
    drop(body);

    let (metrics, clock) = (core.metrics.clone(), core.clock.clone());
    let mut record = Record::new(metrics, clock, id.clone(), route.endpoint, caller.key, kind);
    // Waited for here, with nothing sent: however long it takes, its failure is a status.
    let ready = tokio::select! {
        biased;
        () = core.kill.cancelled() => Err(ApiError::ShuttingDown),
        ready = ready_replica(&core.fleet, &target, &endpoint, &core.config) => ready,
    };
    let in_flight = ready.inspect_err(|error| record.end(Ended::Failed(error)))?;
    let accepted = Accepted { id: id.clone(), target, place, job };
    if accepted.job.stream {
        crate::stream::respond(core, accepted, in_flight, record).await
    } else {
        crate::respond::respond(core, accepted, in_flight, record).await
    }
}
