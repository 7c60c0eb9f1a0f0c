//! The three routes: from a request to what is asked of a replica.

mod body;
mod early;
mod strict;

use std::sync::Arc;

use axum::Router;
use axum::extract::{Request, State};
use axum::response::{IntoResponse, Response};
use axum::routing::post;
use dedi_domain::Principal;
use dedi_http::{RequestId, bearer, peer};
use http::header;
use http_body::Body as _;

use crate::admission::Permit;
use crate::attempt::Accepted;
use crate::config::ms;
use crate::core::Core;
use crate::error::ApiError;
use crate::record::{Ended, Record};
use crate::request::{Kind, Parsed};
use crate::route::{self, Target};
use crate::waiting::{Patience, ready_replica};

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

async fn wrong_method(request: Request) -> ApiError {
    let (method, path) = (request.method().to_string(), request.uri().path().to_owned());
    ApiError::Method { method, path }
}

async fn serve(core: Arc<Core>, kind: Kind, request: Request) -> Response {
    let id = RequestId::of(request.extensions());
    let mut is_read = false;
    match answer(core, kind, request, &id, &mut is_read).await {
        Ok(response) => response,
        Err(error) => {
            tracing::debug!(request.id = %id, path = kind.path(), status = error.status().as_u16(), "refused: {error}");
            let response = error.response();
            // What is left of the body would be read as the next request.
            if is_read { response.into_response() } else { response.closing().into_response() }
        }
    }
}

async fn answer(
    core: Arc<Core>,
    kind: Kind,
    request: Request,
    id: &RequestId,
    is_read: &mut bool,
) -> Result<Response, ApiError> {
    let (head, body) = request.into_parts();
    *is_read = body.is_end_stream();
    core.catch_up();
    let table = core.fleet.table();
    let (key, peer) = (bearer(&head.headers), peer(&head.extensions));
    let caller: Principal = core.failures.check(&table.keys, key, peer, &core.clock)?;
    if !caller.role.may_infer() {
        return Err(ApiError::RoleForbidden { role: caller.role });
    }
    core.fleet.key_used(&caller.key);
    let body = tokio::select! {
        biased;
        () = core.fleet.key_ended(&caller.key) => return Err(ApiError::KeyEnded),
        body = body::read(&core, &table, &caller, &head.headers, body) => body,
    };
    *is_read = *is_read || body.is_ok();
    let (body, held) = body?;

    let parsed = Parsed::read(kind, &body)?;
    strict::check(&body)?;
    let model = parsed.model()?.to_owned();
    let (route, endpoint) = core.fleet.resolve(&model, &caller)?;
    // A stopped endpoint is reported before an invalid field.
    route::may_run(&route, &model)?;
    let mut job = parsed.translate(route.context_tokens)?;
    let agent = head.headers.get(header::USER_AGENT).and_then(|it| it.to_str().ok());
    job.is_openai = dedi_api::clients::is_openai(agent);
    drop(body);
    // Texts are embedded one after the other, choices are generated side by side.
    let weight = if kind == Kind::Embeddings { 1 } else { job.n };
    let permit = Permit::take(&endpoint, &caller.key, weight, held, &core.config)?;
    // Last: what is refused for another reason is none of the few requests that a slowed key has.
    let suspect = (caller.key.clone(), route.endpoint);
    let entered = core.strikes.lock().enter(&suspect, core.clock.now());
    entered.map_err(|retry_after| ApiError::KeySlowed { retry_after })?;
    let target = Target { endpoint: route.endpoint, model, weight };

    let (counters, clock) = (endpoint.clone(), core.clock.clone());
    let mut record = Record::new(counters, clock, id.clone(), route.endpoint, caller.key.clone(), kind);
    let patience = Patience::new(ms(core.config.cold_start_wait_ms));
    // Waited for here, with nothing sent: however long it takes, its failure is a status.
    let ready = tokio::select! {
        biased;
        () = core.kill.cancelled() => Err(ApiError::ShuttingDown),
        () = core.fleet.key_ended(&caller.key) => Err(ApiError::KeyEnded),
        ready = ready_replica(&core.fleet, &target, &endpoint, patience, None) => ready,
    };
    let in_flight = ready.inspect_err(|error| record.end(Ended::Failed(error)))?;
    let accepted = Accepted { id: id.clone(), target, key: caller.key, permit, job, patience };
    if accepted.job.stream {
        crate::stream::respond(core, accepted, in_flight, record).await
    } else {
        crate::respond::respond(core, accepted, in_flight, record).await
    }
}
