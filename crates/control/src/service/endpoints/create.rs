//! Creates an endpoint: what was asked for is checked against the rules, the model store and the host, so that what is
//! recorded could run here. The answer waits for the row and for the route table, which is given the endpoint from that
//! row: neither the runtime nor a driver is asked for it.

use dedi_domain::endpoint::RunCause;
use dedi_domain::fit::{Fit, ModelFacts};
use dedi_domain::idle::{IdleRule, TimeoutBy, default_timeout};
use dedi_domain::model_rights::ModelAct;
use dedi_domain::{
    Desired, EndpointId, EndpointName, EndpointState, EngineKind, HardwareConfig, HardwareId, Inventory,
    ModelName, ReplicaRange, Run, Timestamp,
};

use super::replies::Reply;
use super::{Described, Endpoints, Repeat, repeat, rules};
use crate::config::ControlConfig;
use crate::random::random_uuid;
use crate::service::caller::Caller;
use crate::service::error::{Absent, Conflict, ServiceError};
use crate::service::hardware::{must_be_usable, unlisted};
use crate::store::{Actor, EndpointKey, EndpointRows, Inserted, NewEndpoint};

/// Times an insert is tried again because the same request made another endpoint meanwhile.
const TRIES: u32 = 32;

/// An endpoint that is asked for.
pub(crate) struct EndpointRequest {
    pub(crate) model: ModelName,
    pub(crate) hardware: HardwareId,
    pub(crate) replicas: ReplicaRange,
    /// By default the model's name with a random end.
    pub(crate) display_name: Option<String>,
    pub(crate) run: Run,
    /// Minutes; `None` asks for the default, `Some(None)` is what the operator has a null stand for.
    pub(crate) inactive_timeout: Option<Option<i64>>,
    pub(crate) zone: Option<String>,
    pub(crate) disable_speculative_decoding: bool,
}

/// The endpoint of a create, with what tells a lost answer from one that got out.
pub(crate) struct Created {
    pub(crate) endpoint: Described,
    pub(crate) reply: Reply,
}

/// A request whose values are in order by themselves.
pub(super) struct Checked {
    pub(super) model: ModelName,
    pub(super) hardware: HardwareId,
    pub(super) replicas: ReplicaRange,
    display_name: Option<String>,
    run: Run,
    pub(super) inactive_timeout_minutes: Option<u32>,
    pub(super) timeout_by: TimeoutBy,
    zone: Option<String>,
    disable_speculative_decoding: bool,
}

impl Endpoints {
    /// Refuses a zone that this server does not have.
    pub(crate) fn check_zone(&self, asked: Option<&str>) -> Result<(), ServiceError> {
        rules::zone(&self.config, asked.map(str::to_owned)).map(drop)
    }

    pub(crate) async fn create(
        &self,
        caller: &Caller,
        request: EndpointRequest,
        repeat: Repeat,
    ) -> Result<Created, ServiceError> {
        caller.must_change()?;
        let checked = check(&self.config, request)?;
        let now = self.clock.now();
        let (hardware, pin) = self.deploy(caller, &checked).await?;
        let id = EndpointId::from_uuid(random_uuid());
        let window = repeat::window(&self.config, now);
        let reply = self.replies.begin(id, now, window);
        let mut new = NewEndpoint {
            desired: desired(id, caller, Checked { hardware, ..checked }, now),
            idempotency: repeat.known_by(&self.config, &caller.0.key, now),
            quota: self.config.endpoints_per_owner_max,
            pin,
            by: Actor::from(&caller.0),
        };
        let repeats = |of: EndpointId| repeat.is_retry || self.replies.is_lost(of);
        let mut inserted = self.store.insert_endpoint(&new, now).await?;
        for _ in 0..TRIES {
            // A mark of ours whose answer arrived: the request is meant as another endpoint.
            match (&inserted, &mut new.idempotency) {
                (Inserted::Before(before), Some(it)) if it.is_ours && !repeats(*before) => {
                    it.instead_of = Some(*before);
                }
                (_, _) => break,
            }
            inserted = self.store.insert_endpoint(&new, now).await?;
        }
        match inserted {
            Inserted::New => {
                let desired = new.desired;
                tracing::info!(endpoint.id = %desired.id, owner = %desired.owner, "created an endpoint for {}", desired.model);
                self.routing.publish_new(&desired, now);
                self.barrier.wake();
                // The row that was just written is all there is of it.
                let rows = EndpointRows { desired, replicas: Vec::new(), failures: Vec::new() };
                Ok(Created { endpoint: self.describe_rows(rows, None).await, reply })
            }
            Inserted::Before(before) => {
                tracing::info!(endpoint.id = %before, "answered a repeated create with the endpoint it made");
                let found = self.store.endpoint(caller.owner(), &EndpointKey::Id(before)).await;
                let found = found.map_err(|err| ServiceError::of_lookup(err, &before.to_string()))?;
                if !caller.shows(&found) {
                    return Err(ServiceError::no_endpoint(&before.to_string()));
                }
                let reply = self.replies.begin(before, now, window);
                Ok(Created { endpoint: self.describe(found).await?, reply })
            }
            Inserted::OtherBody => Err(ServiceError::Conflict {
                with: Conflict::IdempotencyKey,
                message: "This Idempotency-Key was used with another request body".to_owned(),
            }),
            Inserted::QuotaFull => Err(ServiceError::Quota {
                what: "endpoints",
                n: self.config.endpoints_per_owner_max as usize,
            }),
        }
    }

    /// Makes sure that the caller may deploy the model and that it fits, or is fetched first; answers the hardware by its
    /// whole name, and which revision of the model the endpoint is to serve, where that is known.
    async fn deploy(
        &self,
        caller: &Caller,
        checked: &Checked,
    ) -> Result<(HardwareId, Option<String>), ServiceError> {
        let model = &checked.model;
        let fetches = self.models.pulls.fetches_on_create();
        let holding = match self.models.must(caller, model, ModelAct::Deploy).await {
            Err(ServiceError::NotFound(_)) if fetches && self.models.may_join(caller, model).await? => None,
            holding => Some(holding?),
        };
        let facts = match self.models.deployable(model).await {
            // What it needs shows when it is here.
            Err(ServiceError::NotFound(_)) if fetches => None,
            facts => Some(facts?),
        };
        let inventory = self.hardware.inventory().await?;
        let hardware = hardware(&checked.hardware, &inventory)?;
        must_be_usable(&hardware, &inventory)?;
        if let Some(facts) = &facts {
            self.must_fit(facts, &hardware, &inventory)?;
        }
        if fetches && (holding.is_none() || facts.is_none()) {
            self.models.claim(caller, model).await?;
        }
        Ok((hardware.id, self.models.pin(model).await?))
    }

    fn must_fit(
        &self,
        facts: &ModelFacts,
        hardware: &HardwareConfig,
        inventory: &Inventory,
    ) -> Result<(), ServiceError> {
        let (_, need) = self.config.need(facts);
        let capacity = self.hardware.capacity(inventory);
        match capacity.fit(need, hardware) {
            Fit::Fits { .. } => Ok(()),
            Fit::TooSmall { total_bytes } => Err(ServiceError::NotFound(Absent::Capacity {
                hardware: hardware.id.clone(),
                needed_bytes: need.total_bytes(),
                total_bytes,
                nearest: capacity.nearest(need, hardware),
            })),
        }
    }
}

/// What hardware of that name is here.
pub(super) fn hardware(id: &HardwareId, inventory: &Inventory) -> Result<HardwareConfig, ServiceError> {
    inventory.config(id).ok_or_else(|| unlisted(id, inventory))
}

pub(super) fn check(config: &ControlConfig, request: EndpointRequest) -> Result<Checked, ServiceError> {
    let display_name = request.display_name.as_deref().map(rules::display_name).transpose()?;
    let min = request.replicas.min();
    let null = ControlConfig::timeout(config.null_inactive_timeout_minutes);
    let (inactive_timeout_minutes, timeout_by) =
        match rules::inactive_timeout(request.inactive_timeout, null)? {
            None => (config.default_timeout(min), TimeoutBy::Default),
            // Only where the operator has a null stand for a default: otherwise it says never.
            Some(of_null @ Some(_)) if request.inactive_timeout == Some(None) => {
                (default_timeout(of_null, min), TimeoutBy::Default)
            }
            Some(asked) => (asked, TimeoutBy::Create),
        };
    Ok(Checked {
        zone: rules::zone(config, request.zone)?,
        model: request.model,
        hardware: request.hardware,
        replicas: request.replicas,
        display_name,
        run: request.run,
        inactive_timeout_minutes,
        timeout_by,
        disable_speculative_decoding: request.disable_speculative_decoding,
    })
}

fn desired(id: EndpointId, caller: &Caller, checked: Checked, now: Timestamp) -> Desired {
    let owner = caller.owner().clone();
    let [suffix @ .., _, _, _, _, _, _, _, _, _, _, _, _] = random_uuid().into_bytes();
    let suffix = u32::from_be_bytes(suffix);
    let display_name =
        checked.display_name.unwrap_or_else(|| format!("{}-{suffix:08x}", checked.model.base()));
    Desired {
        id,
        name: EndpointName::compose(&owner, &checked.model, suffix),
        owner,
        display_name,
        model: checked.model,
        engine: EngineKind::default(),
        hardware: checked.hardware,
        replicas: checked.replicas,
        run: checked.run,
        run_cause: RunCause::User,
        deleted: false,
        inactive_timeout_minutes: checked.inactive_timeout_minutes,
        idle: IdleRule { set_by: checked.timeout_by, ..IdleRule::default() },
        availability_zone: checked.zone,
        disable_speculative_decoding: checked.disable_speculative_decoding,
        generation: 1,
        observed_generation: 0,
        published: match checked.run {
            Run::Started => EndpointState::Pending,
            Run::Stopped => EndpointState::Stopped,
        },
        published_at: now,
        created_at: now,
        started_at: now,
    }
}
