use async_trait::async_trait;
use dedi_domain::{Desired, EndpointState, Owner, Timestamp};

use super::{Idempotent, MemoryStore, Tables};
use crate::store::{
    Actor, AuditAction, AuditEntry, Change, EndpointKey, EndpointStore, EventKind, Idempotency, Inserted,
    NewEndpoint, StoreError,
};

#[async_trait]
impl EndpointStore for MemoryStore {
    async fn insert_endpoint(&self, new: &NewEndpoint, now: Timestamp) -> Result<Inserted, StoreError> {
        let mut tables = self.write()?;
        let desired = &new.desired;
        let known = new.idempotency.as_ref().and_then(|it| Some((tables.before(&desired.owner, it)?, it)));
        match known {
            Some((before, it)) if before.body_hash != it.body_hash => return Ok(Inserted::OtherBody),
            Some((before, it)) if !it.is_ours || it.instead_of != Some(before.endpoint) => {
                return Ok(Inserted::Before(before.endpoint));
            }
            Some(_) | None => {}
        }
        let owned = tables.endpoints.values().filter(|it| it.owner == desired.owner && !it.deleted);
        if owned.count() >= new.quota as usize {
            return Ok(Inserted::QuotaFull);
        }
        tables.check_new(desired)?;
        if let Some(it) = &new.idempotency {
            // Of its own sort only: the two are kept for different times.
            tables
                .idempotency
                .retain(|(_, key), old| old.at >= it.since || key.starts_with('\u{1}') != it.is_ours);
            let row = Idempotent { body_hash: it.body_hash, endpoint: desired.id, at: now };
            tables.idempotency.insert((desired.owner.clone(), it.key.clone()), row);
        }
        tables.endpoints.insert(desired.id, desired.clone());
        let message = format!("created for {} on {}", desired.model, desired.hardware);
        tables.add_event(now, desired.id, None, EventKind::Created, &message);
        if let Some(pin) = &new.pin {
            tables.pins.insert(desired.id, pin.clone());
        }
        tables.audit(&entry(&new.by, desired, AuditAction::EndpointCreate, message), now);
        Ok(Inserted::New)
    }

    async fn endpoint(&self, owner: &Owner, key: &EndpointKey) -> Result<Desired, StoreError> {
        let tables = self.read()?;
        let is_meant = |it: &&Desired| match key {
            EndpointKey::Id(id) => it.id == *id,
            EndpointKey::Name(name) => it.name == *name,
        };
        let mut own = tables.endpoints.values().filter(|it| it.owner == *owner && !it.deleted);
        own.find(is_meant).cloned().ok_or(StoreError::NotFound)
    }

    async fn endpoints(&self, owner: &Owner) -> Result<Vec<Desired>, StoreError> {
        let tables = self.read()?;
        let mut own: Vec<Desired> =
            tables.endpoints.values().filter(|it| it.owner == *owner && !it.deleted).cloned().collect();
        own.sort_by_key(|it| (std::cmp::Reverse(it.created_at), it.id.to_string()));
        Ok(own)
    }

    async fn update_endpoint(
        &self,
        before: &Desired,
        change: Change,
        by: &Actor,
        now: Timestamp,
    ) -> Result<Desired, StoreError> {
        let mut tables = self.write()?;
        let Change { mut after, kind, message } = change;
        let failed_at =
            tables.launches.iter().filter(|it| it.endpoint == before.id).filter_map(|it| it.ended_at).max();
        let row = tables.endpoints.get_mut(&before.id).ok_or(StoreError::Conflict)?;
        let seen = |it: &Desired| (it.generation, it.published, it.published_at, it.owner.clone());
        if row.deleted || seen(row) != seen(before) {
            return Err(StoreError::Conflict);
        }
        check_step(row.published, after.published)?;
        after.generation = before.generation + 1;
        row.display_name.clone_from(&after.display_name);
        row.replicas = after.replicas;
        (row.run, row.run_cause, row.deleted) = (after.run, after.run_cause, after.deleted);
        row.inactive_timeout_minutes = after.inactive_timeout_minutes;
        (row.idle.set_by, row.idle.counts_from) = (after.idle.set_by, after.idle.counts_from);
        (row.published, row.published_at) = (after.published, after.published_at);
        if row.started_at != after.started_at {
            row.started_at = after.started_at.max(Timestamp(1 + failed_at.unwrap_or_default().0));
        }
        row.generation = after.generation;
        tables.add_event(now, after.id, None, kind, &message);
        tables.audit(&entry(by, &after, asked(kind), message), now);
        Ok(after)
    }
}

/// What a request that leads to this event asked for.
fn asked(kind: EventKind) -> AuditAction {
    let asks = [
        (EventKind::StartRequested, AuditAction::EndpointStart),
        (EventKind::StopRequested, AuditAction::EndpointStop),
        (EventKind::DeleteRequested, AuditAction::EndpointDelete),
    ];
    asks.into_iter().find(|it| it.0 == kind).map_or(AuditAction::EndpointUpdate, |it| it.1)
}

fn entry(by: &Actor, of: &Desired, action: AuditAction, message: String) -> AuditEntry {
    AuditEntry { owner: Some(of.owner.clone()), by: by.clone(), action, object: of.id.to_string(), message }
}

pub(super) fn check_step(from: EndpointState, to: EndpointState) -> Result<(), StoreError> {
    if from == to || from.may_become(to) {
        return Ok(());
    }
    Err(StoreError::Value(format!("{from} may not be followed by {to}")))
}

impl Tables {
    /// The answer that counts for a create. One of our marks counts as long as its endpoint exists.
    fn before(&self, owner: &Owner, it: &Idempotency) -> Option<Idempotent> {
        let known = self.idempotency.get(&(owner.clone(), it.key.clone()))?;
        let exists = self.endpoints.get(&known.endpoint).is_some_and(|it| !it.deleted);
        (known.at >= it.since && (!it.is_ours || exists)).then_some(*known)
    }

    fn check_new(&self, new: &Desired) -> Result<(), StoreError> {
        let refuse = |why: &str| Err(StoreError::Value(why.to_owned()));
        let is_taken = |id, name| id == new.id || name == &new.name;
        if self.endpoints.values().any(|it| is_taken(it.id, &it.name)) {
            return refuse("the id or name of an endpoint is taken");
        }
        if self.erased.iter().any(|(id, name)| is_taken(*id, name)) {
            return refuse("the id or name of an erased endpoint never comes back");
        }
        if !self.owners.contains(&new.owner) {
            return refuse("the owner does not exist");
        }
        if !matches!(new.published, EndpointState::Pending | EndpointState::Stopped) {
            return refuse("an endpoint begins as PENDING or STOPPED");
        }
        Ok(())
    }
}
