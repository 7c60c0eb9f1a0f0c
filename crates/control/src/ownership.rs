//! What follows when a download has come, and when a model is another than endpoints were created with.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use dedi_domain::{EndpointId, ModelName, Owner};

use crate::clock::Clock;
use crate::hub::{Due, Pulls};
use crate::models::{BlockingReader, READ_MAX, mismatch, revision};
use crate::store::{EndpointRows, Store, StoreError};

/// Does what is due for downloads that have come. What fails here is said; whoever asked may ask again.
pub(crate) async fn settle(pulls: &Pulls, reader: &BlockingReader, store: &dyn Store, clock: &Clock) {
    for (model, due) in pulls.take_dues() {
        let done = match &due {
            Due::Hold(tenant) => store.hold_model(&model, Some(tenant), None, clock.now()).await,
            Due::Repin(of) => repin(store, reader, clock, &model, of.as_ref()).await,
        };
        if let Err(err) = done {
            tracing::warn!(%model, "what was due for a download was not recorded: {err}");
        }
    }
}

/// How long a claim is kept that neither an endpoint nor a download stands for: longer than it takes to begin either.
const CLAIM_WAIT: Duration = Duration::from_secs(60);

/// Keeps the claims to models that have come, and gives up those that nothing is done about any more, or what somebody puts
/// there later would be hidden from everybody else: at once where the download has failed, otherwise (after a restart,
/// for an endpoint that was deleted or never made) after a while. `listed` are the models of the store as just seen,
/// `rows` all endpoints.
pub(crate) async fn review_claims(
    store: &dyn Store,
    pulls: &Pulls,
    clock: &Clock,
    rows: &[EndpointRows],
    listed: &BTreeSet<ModelName>,
) -> Result<(), StoreError> {
    let now = clock.now();
    for claim in store.claims().await? {
        if listed.contains(&claim.model) {
            store.keep_claim(&claim).await?;
            continue;
        }
        let waits = rows
            .iter()
            .map(|it| &it.desired)
            .any(|it| !it.deleted && it.model == claim.model && it.owner == claim.tenant);
        let has_failed = pulls.has_failed(&claim.model, claim.at);
        if !waits && has_failed.unwrap_or(now.since(claim.at) >= CLAIM_WAIT) {
            tracing::info!(model = %claim.model, tenant = %claim.tenant, "a claim to a model that did not come is given up");
            store.drop_claim(&claim).await?;
        }
    }
    Ok(())
}

/// Gives the endpoints of a tenant, or of all, the revision that is here.
async fn repin(
    store: &dyn Store,
    reader: &BlockingReader,
    clock: &Clock,
    model: &ModelName,
    of: Option<&Owner>,
) -> Result<(), StoreError> {
    let name = model.clone();
    let read = reader.ask(READ_MAX, move |models| models.pin(&name)).await;
    let Ok(Ok(Some(pin))) = read else { return Ok(()) };
    let message =
        format!("{model} is {} from the next launch on, as was asked for with its download", revision(&pin));
    for row in store.snapshot().await? {
        let desired = &row.desired;
        if desired.model == *model && !desired.deleted && of.is_none_or(|it| *it == desired.owner) {
            store.repin_model(desired.id, &pin, &message, clock.now()).await?;
        }
    }
    Ok(())
}

/// Pins endpoints whose revision nobody has said yet, and tells those whose model is another by now. `here` has the
/// revisions that the last look at the store found.
pub(crate) async fn watch(
    store: &dyn Store,
    clock: &Clock,
    rows: &[EndpointRows],
    here: &BTreeMap<ModelName, Option<String>>,
    told: &mut BTreeMap<EndpointId, String>,
) -> Result<(), StoreError> {
    let pins = store.model_pins().await?;
    told.retain(|id, _| pins.contains_key(id));
    for desired in rows.iter().map(|it| &it.desired).filter(|it| !it.deleted) {
        let Some(here) = here.get(&desired.model) else { continue };
        match (pins.get(&desired.id), here) {
            (None, Some(here)) => store.pin_model(desired.id, here).await?,
            (None, None) => {}
            (Some(pinned), here) => match mismatch(&desired.model, pinned, here.as_deref()) {
                Some(message) if told.get(&desired.id) != Some(&message) => {
                    tracing::warn!(endpoint.id = %desired.id, "{message}");
                    store.tell_model_changed(desired.id, &message, clock.now()).await?;
                    told.insert(desired.id, message);
                }
                Some(_) => {}
                None => {
                    told.remove(&desired.id);
                }
            },
        }
    }
    Ok(())
}
