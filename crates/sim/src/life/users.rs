//! Users: they create, change and delete, lose replies and ask again, and change one thing at the same time.

use dedi_domain::endpoint::RunCause;
use dedi_domain::reconcile::EndpointView;
use dedi_domain::{Desired, EndpointId, EndpointState, HardwareId, Owner, ReplicaRange, Run, Timestamp};

use crate::bug::Bug;
use crate::check::ledger::Told;
use crate::life::Sim;
use crate::life::fault::Fault;
use crate::trace::{Checked, broken};
use crate::world::devices::{NEEDED_BYTES, PRODUCTS};

/// What a user asks of an endpoint.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Wish {
    Start,
    Stop,
    Range(ReplicaRange),
    Idle(Option<u32>),
    Delete,
}

/// A change that was read and is not written yet.
#[derive(Clone, Debug)]
pub(crate) struct Racing {
    caller: Owner,
    wish: Wish,
    after: Desired,
    read: (u64, EndpointState),
}

const ENDPOINTS_MAX: usize = 4;

impl Sim {
    /// One request of some user.
    pub(crate) fn user(&mut self) -> Checked {
        if let Some(racing) = self.racing.take() {
            return self.finish(racing);
        }
        let n = self.store.endpoints.len();
        if n == 0 || (n < ENDPOINTS_MAX && self.rng.percent(25)) {
            return self.create();
        }
        let at = self.rng.below(n);
        let id = self.store.endpoints[at].desired.id;
        let caller = self.tenants.both[self.rng.below(2)].owner.clone();
        let wish = match self.rng.below(10) {
            0..=2 => Wish::Start,
            3 | 4 => Wish::Stop,
            5 | 6 => Wish::Range(self.draw_range()),
            7 => Wish::Idle(self.rng.percent(70).then_some(1)),
            _ => Wish::Delete,
        };
        let Some((after, read)) = self.read(&caller, id, wish) else { return Ok(()) };
        let racing = Racing { caller, wish, after, read };
        if self.faults.has(Fault::RacingChange) && self.rng.percent(50) {
            self.trace.note(self.now, || format!("a user reads {id} to {wish:?} it"));
            self.racing = Some(racing);
            return Ok(());
        }
        self.finish(racing)
    }

    fn draw_range(&mut self) -> ReplicaRange {
        let max = self.rng.between(1, 3);
        let min = self.rng.between(0, max);
        ReplicaRange::new(min, max).unwrap_or(self.first_range)
    }

    /// The endpoint as it would be after `wish`; `None` when it is not there or nothing would change.
    fn read(
        &mut self,
        caller: &Owner,
        id: EndpointId,
        wish: Wish,
    ) -> Option<(Desired, (u64, EndpointState))> {
        let now = self.api_clock();
        let before = &self.store.view_of(caller, id).filter(|it| !it.desired.deleted)?.desired;
        let after = applied(before, wish, now);
        (after != *before).then_some((after, (before.generation, before.published)))
    }

    /// The write of a change; on a conflict it is read anew, as often as it takes.
    fn finish(&mut self, racing: Racing) -> Checked {
        let Racing { caller, wish, mut after, mut read } = racing;
        let id = after.id;
        loop {
            let now = self.api_clock();
            let before = self.store.view(id).map(|it| it.desired.clone());
            let started_at = after.started_at;
            let shown = after.published;
            if self.store.change(after, read, now).is_ok() {
                self.trace.note(self.now, || format!("a user of {caller} does {wish:?} to {id}"));
                if before.as_ref().is_some_and(|it| it.owner != caller) {
                    return broken("S13", format!("{caller} has changed {id}, which is another's"));
                }
                self.ledger.acknowledge(id, wish);
                if let Some(before) = before {
                    crate::check::check_step(before.published, shown, &before)?;
                    if before.started_at != started_at {
                        self.watch.worked(id);
                    }
                }
                return Ok(());
            }
            if self.bug == Some(Bug::LostDelete) && wish == Wish::Delete {
                self.ledger.acknowledge(id, wish);
                return Ok(());
            }
            match self.read(&caller, id, wish) {
                Some(again) => (after, read) = again,
                None => return Ok(()),
            }
        }
    }

    fn create(&mut self) -> Checked {
        let id = EndpointId::from_uuid(self.rng.uuid());
        self.insert(id)?;
        if self.faults.has(Fault::LostReply) && self.rng.percent(50) && self.bug == Some(Bug::CreateTwice) {
            // The same request again: with its idempotency key it would find the endpoint that is there.
            let again = EndpointId::from_uuid(self.rng.uuid());
            self.insert(again)?;
            self.ledger.told.retain(|it| it.id != again);
        }
        Ok(())
    }

    fn insert(&mut self, id: EndpointId) -> Checked {
        let now = self.api_clock();
        let range = self.draw_range();
        let kind = usize::from(self.rng.percent(30));
        let count = [1, 1, 1, 2, 2, 3][self.rng.below(6)];
        let run = if self.rng.percent(85) { Run::Started } else { Run::Stopped };
        let idle_minutes = self.rng.percent(25).then_some(1);
        let Ok(hardware) = HardwareId::parse(&format!("{count}x_{}_80gb", PRODUCTS[kind])) else {
            return broken("sim", "hardware name");
        };
        let tenant = &self.tenants.both[self.rng.below(2)];
        let display_name = if self.has(Bug::KeepsKey) { tenant.key.reveal() } else { "" };
        let desired = Desired {
            id,
            name: tenant.endpoint.clone(),
            owner: tenant.owner.clone(),
            display_name: display_name.to_owned(),
            model: self.tenants.model.clone(),
            engine: Default::default(),
            hardware,
            replicas: range,
            run,
            run_cause: RunCause::User,
            deleted: false,
            inactive_timeout_minutes: idle_minutes,
            availability_zone: None,
            idle: Default::default(),
            disable_speculative_decoding: false,
            generation: 1,
            observed_generation: 0,
            published: match run {
                Run::Started => EndpointState::Pending,
                Run::Stopped => EndpointState::Stopped,
            },
            published_at: now,
            created_at: now,
            started_at: now,
        };
        self.trace.note(self.now, || {
            let hardware = &desired.hardware;
            format!("a user creates {id}: {hardware}, {range:?}, {run:?}, idle {idle_minutes:?}")
        });
        let fetch = self.fetch(id);
        self.store.endpoints.push(EndpointView {
            desired,
            replicas: Vec::new(),
            failures: Vec::new(),
            target: 0,
            load: None,
            last_activity: now,
            bytes_per_device: fetch.is_none().then_some(NEEDED_BYTES),
            fetch,
        });
        self.store.newest = self.store.newest.max(now);
        self.ledger.told.push(Told { id, generation: 1, run, range, idle_minutes, deleted: false });
        Ok(())
    }

    /// Requests are stamped by a control plane that runs, leading or not.
    fn api_clock(&mut self) -> Timestamp {
        let who = self.controllers.iter().position(|it| it.is_up).unwrap_or(0);
        self.read_clock(who)
    }
}

fn applied(before: &Desired, wish: Wish, now: Timestamp) -> Desired {
    let mut after = before.clone();
    match wish {
        Wish::Start => {
            let is_again = before.run == Run::Started && before.published != EndpointState::Error;
            if !is_again {
                after.run = Run::Started;
                after.run_cause = RunCause::User;
                after.started_at = now;
                show(&mut after, EndpointState::Pending, now);
            }
        }
        Wish::Stop => {
            if before.run == Run::Started {
                after.run = Run::Stopped;
                after.run_cause = RunCause::User;
                show(&mut after, EndpointState::Stopping, now);
            }
        }
        Wish::Range(range) => after.replicas = range,
        Wish::Idle(minutes) => after.inactive_timeout_minutes = minutes,
        Wish::Delete => {
            after.deleted = true;
            show(&mut after, EndpointState::Stopping, now);
        }
    }
    after
}

/// Shows `state` at once where it may follow; a start while replicas of the last run stop is not shown yet.
fn show(after: &mut Desired, state: EndpointState, now: Timestamp) {
    let waits = after.published == EndpointState::Stopping && state == EndpointState::Pending;
    if after.published.may_become(state) && !waits {
        after.published = state;
        after.published_at = now;
    }
}
