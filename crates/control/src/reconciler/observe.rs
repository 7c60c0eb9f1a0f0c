//! Observes the world: rows, processes, devices, loads. A runtime that can't be asked makes the
//! observation unknown, and an unknown observation decides nothing.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use dedi_domain::autoscale::Scaler;
use dedi_domain::fit::bytes_per_device;
use dedi_domain::reconcile::{EndpointView, ReplicaView, World};
use dedi_domain::route::Published;
use dedi_domain::{
    EndpointId, Fetch, Intent, Inventory, LoadReport, ModelName, Observation, Owner, Quarantine, ReplicaId,
    ReplicaRow, Timestamp, with_causes,
};
use dedi_runtime_api::{Listing, Unreadable};
use tokio::time::timeout;

use super::models::{ModelObserver, ModelSnapshot, Presence};
use super::parts::Observer;
use crate::ownership;
use crate::store::{EndpointRows, Readable, StoreError, Unread};

/// Longest wait for one answer of the runtime: it reads a few files and asks a driver.
const ASK_MAX: Duration = Duration::from_secs(10);

/// What an observation gave.
pub(super) struct Seen {
    pub(super) world: World,
    /// Endpoints whose rows can't be read.
    pub(super) unread: Vec<Unread>,
    /// All models of the store.
    pub(super) models: BTreeSet<ModelName>,
    /// Tokens of context that deployed models are served with.
    pub(super) contexts: BTreeMap<ModelName, u32>,
    /// Why the world is unknown, or the models are, where they are.
    pub(super) troubles: Vec<String>,
}

pub(super) async fn observe(
    observer: &Observer,
    report: &LoadReport,
    scaler: &mut Scaler,
    model_observer: &mut ModelObserver,
    changed_models: &mut BTreeMap<EndpointId, String>,
) -> Result<Seen, StoreError> {
    let Readable { endpoints: mut rows, mut unread } = observer.store.readable().await?;
    let outcome = model_observer.observe(&rows).await;
    if outcome.is_new {
        fetch_absent(observer, &rows, model_observer).await;
    }
    let mut troubles = Vec::new();
    if outcome.is_new
        && let Err(err) = ownership::watch(
            observer.store.as_ref(),
            &observer.clock,
            &rows,
            &model_observer.last().pins(),
            changed_models,
        )
        .await
    {
        troubles.push(format!(
            "which revision of its model an endpoint is of was not recorded: {}",
            with_causes(&err)
        ));
    }
    // An endpoint that can't be read may be what a claim is for.
    if outcome.is_new
        && unread.is_empty()
        && let Err(err) = ownership::review_claims(
            observer.store.as_ref(),
            &observer.pulls,
            &observer.clock,
            &rows,
            &model_observer.last().listed,
        )
        .await
    {
        troubles.push(format!("claims to models could not be reviewed: {}", with_causes(&err)));
    }
    let shown = model_observer.last();
    let checking = match outcome.trouble {
        None => check_deployed(observer, shown).await,
        Some(_) => BTreeMap::new(),
    };
    let (needs, contexts) = needs(observer, shown);
    let published = observer.routing.published();
    let listed_at = observer.clock.now();
    let (observation, inventory, trouble) = match ask_runtime(observer).await {
        Ok((listing, inventory)) => {
            let trouble = leave_unreadable(listing.unreadable, &mut rows, &mut unread);
            (Observation::Known(listing.replicas), inventory, trouble)
        }
        // The last devices stay for those who only want to see them.
        Err(what) => (Observation::Unknown, observer.last_pass.world().inventory.clone(), Some(what)),
    };
    let quarantine = quarantine(&unread);
    let now = observer.clock.now();
    let age_max = Duration::from_secs(u64::from(observer.config.load_report_age_max_secs));
    let is_fresh = report.at != Timestamp::default() && now.since(report.at) <= age_max;
    let present: BTreeSet<EndpointId> =
        rows.iter().map(|it| it.desired.id).chain(quarantine.endpoints.iter().copied()).collect();
    scaler.keep(|id| present.contains(&id));
    let endpoints = rows
        .into_iter()
        .map(|row| {
            let bytes = needs
                .get(&row.desired.model)
                .map(|total| bytes_per_device(*total, row.desired.hardware.count()));
            let model = &row.desired.model;
            let fetch = match outcome.trouble {
                // Nothing is launched on what may be long ago.
                Some(why) => Some(Fetch::Unreadable { what: why.to_string() }),
                None => match shown.presence(model) {
                    Presence::Here => checking.get(model).cloned(),
                    Presence::Absent => Some(observer.pulls.fetch(model).unwrap_or(Fetch::Absent)),
                    Presence::Unreadable(what) => Some(Fetch::Unreadable { what }),
                },
            };
            let loads = Loads { fresh: is_fresh.then_some(report), report };
            EndpointView {
                bytes_per_device: bytes,
                fetch,
                ..view(observer, row, loads, scaler, &published, now)
            }
        })
        .collect();
    let settings = observer.config.settings();
    let capabilities = observer.runtime.capabilities();
    let world =
        World { now, endpoints, quarantine, observation, listed_at, inventory, capabilities, settings };
    let models_trouble = outcome.trouble.map(|why| {
        format!("the models can't be looked at, so nothing is launched; everything else goes on: {why}")
    });
    troubles.extend(trouble.into_iter().chain(models_trouble));
    Ok(Seen { world, unread, models: shown.listed.clone(), contexts, troubles })
}

/// Takes the endpoints out of `rows` that have a replica the runtime can't read. Answers what no endpoint has.
fn leave_unreadable(
    unreadable: Vec<Unreadable>,
    rows: &mut Vec<EndpointRows>,
    unread: &mut Vec<Unread>,
) -> Option<String> {
    let mut trouble = None;
    for it in unreadable {
        let why = format!("its replica {} can't be read: {}", it.name, it.why);
        let of_it = rows.extract_if(.., |row| row.replicas.iter().any(|known| it.is(known.id)));
        let left: Vec<Unread> = of_it
            .map(|row| Unread {
                id: row.desired.id.to_string(),
                why: why.clone(),
                replicas: row.replicas.iter().map(|it| it.id.to_string()).collect(),
                devices: row.replicas.into_iter().flat_map(|it| it.devices).collect(),
            })
            .collect();
        let is_known = !left.is_empty()
            || unread.iter().flat_map(|it| &it.replicas).any(|id| id.parse().is_ok_and(|id| it.is(id)));
        unread.extend(left);
        if !is_known {
            trouble = Some(format!("a replica that no endpoint has can't be read: {}", it.why));
        }
    }
    trouble
}

/// What endpoints that can't be read hold.
fn quarantine(unread: &[Unread]) -> Quarantine {
    let replicas = || unread.iter().flat_map(|it| &it.replicas).map(|it| it.parse::<ReplicaId>());
    Quarantine {
        endpoints: unread.iter().filter_map(|it| it.id.parse().ok()).collect(),
        why: unread.iter().filter_map(|it| Some((it.id.parse().ok()?, it.why.clone()))).collect(),
        replicas: replicas().filter_map(Result::ok).collect(),
        devices: unread.iter().flat_map(|it| &it.devices).cloned().collect(),
        has_nameless: replicas().any(|it| it.is_err()),
    }
}

/// Models that endpoints wait for and the store lacks are on their way from here on, and no others. One that was
/// here once is not fetched again by itself: the disk that it is on may be away, and it would come to lie below.
async fn fetch_absent(observer: &Observer, rows: &[EndpointRows], model_observer: &mut ModelObserver) {
    if !observer.pulls.fetches_on_create() {
        return;
    }
    let present: BTreeSet<EndpointId> = rows.iter().map(|it| it.desired.id).collect();
    model_observer.launched.retain(|it| present.contains(it));
    let mut wanted: BTreeMap<ModelName, (Timestamp, Owner)> = BTreeMap::new();
    for row in rows {
        let desired = &row.desired;
        if desired.wants_replicas()
            && row.replicas.is_empty()
            && model_observer.last().presence(&desired.model) == Presence::Absent
            && !was_launched(observer, row, &mut model_observer.launched).await
        {
            let first = (desired.started_at, desired.owner.clone());
            let (since, _) = wanted.entry(desired.model.clone()).or_insert(first);
            *since = desired.started_at.max(*since);
        }
    }
    observer.pulls.want(&wanted);
}

/// Whether anything was ever launched for an endpoint. Where that can't be read, it counts as launched.
async fn was_launched(observer: &Observer, row: &EndpointRows, known: &mut BTreeSet<EndpointId>) -> bool {
    let id = row.desired.id;
    if known.contains(&id) {
        return true;
    }
    let was = match row.failures.is_empty() {
        true => observer.store.was_launched(id).await,
        false => Ok(true),
    };
    if let Ok(true) = was {
        known.insert(id);
    }
    was.unwrap_or(true)
}

/// Files of deployed models that have changed since they were right are read again before anything loads them; how
/// far that is.
async fn check_deployed(observer: &Observer, shown: &ModelSnapshot) -> BTreeMap<ModelName, Fetch> {
    observer.checks.keep(&shown.changed().map(|(model, _)| model).collect());
    let mut checking = BTreeMap::new();
    for (model, stamps) in shown.changed() {
        if let Some(far) = observer.checks.look(model, stamps).await {
            checking.insert(model.clone(), far);
        }
    }
    checking
}

/// The gateway's report, as it is and as far as it is fresh.
struct Loads<'a> {
    fresh: Option<&'a LoadReport>,
    report: &'a LoadReport,
}

/// What rows and loads say; not yet the model's part of it.
fn view(
    observer: &Observer,
    row: EndpointRows,
    loads: Loads<'_>,
    scaler: &mut Scaler,
    published: &Published,
    now: Timestamp,
) -> EndpointView {
    let Loads { fresh, .. } = loads;
    let EndpointRows { desired, replicas, failures } = row;
    let load = fresh.map(|it| it.endpoints.get(&desired.id).copied().unwrap_or_default());
    let n_running = replicas.iter().filter(|it| it.intent == Intent::Run).count();
    let n_running = u32::try_from(n_running).unwrap_or(u32::MAX);
    let target = scaler.target(&observer.config.policy(), &desired, n_running, load, now);
    let last_activity = replicas
        .iter()
        .filter_map(|it| it.ready_at)
        .chain(load.and_then(|it| it.last_finished_at))
        .chain([desired.published_at, desired.started_at, observer.opened_at])
        .max()
        .unwrap_or(now);
    let replicas = replicas.into_iter().map(|row| replica_view(row, &loads, published)).collect();
    EndpointView {
        desired,
        replicas,
        failures,
        target,
        load,
        last_activity,
        bytes_per_device: None,
        fetch: None,
    }
}

/// A report that routes by a table without the replica counts every request it still has, so its two
/// numbers are right together however old it is: no new request can come.
fn replica_view(row: ReplicaRow, loads: &Loads<'_>, published: &Published) -> ReplicaView {
    let Loads { fresh, report } = loads;
    let out_of_routing =
        published.absent_since(row.id).is_some_and(|version| report.routes_version >= version);
    let in_flight = report.in_flight.get(&row.id).copied().unwrap_or(0);
    let unanswered = fresh.and_then(|it| it.unanswered.get(&row.id)).copied().unwrap_or(0);
    ReplicaView { row, out_of_routing, in_flight, unanswered }
}

async fn ask_runtime(observer: &Observer) -> Result<(Listing, Inventory), String> {
    let late = |what: &str| format!("the runtime did not {what} within {} s", ASK_MAX.as_secs());
    let listing = timeout(ASK_MAX, observer.runtime.list())
        .await
        .map_err(|_elapsed| late("list its replicas"))?
        .map_err(|err| format!("the runtime can't list its replicas: {}", with_causes(&err)))?;
    let inventory = timeout(ASK_MAX, observer.runtime.inventory())
        .await
        .map_err(|_elapsed| late("measure the devices"))?
        .map_err(|err| format!("the runtime can't measure the devices: {}", with_causes(&err)))?;
    Ok((listing, inventory))
}

type Needs = BTreeMap<ModelName, dedi_domain::fit::MemoryNeed>;
/// By model, the tokens of context it is served with.
type Contexts = BTreeMap<ModelName, u32>;

/// What each deployed model needs and is served with, as far as is known.
fn needs(observer: &Observer, shown: &ModelSnapshot) -> (Needs, Contexts) {
    let (mut needs, mut contexts) = (Needs::new(), Contexts::new());
    for (model, facts) in shown.facts() {
        let (serving, need) = observer.config.need(facts);
        contexts.insert(model.clone(), serving.context_tokens);
        needs.insert(model.clone(), need);
    }
    (needs, contexts)
}
