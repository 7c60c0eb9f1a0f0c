//! S12: how long replicas ran, as it is recorded for billing, against when their processes truly lived and against a
//! recount of the events.

use dedi_domain::reconcile::{Observation, World};
use dedi_domain::usage::{BEAT, Beat, beats};
use dedi_domain::{Intent, Nonce, ReplicaId, ReplicaPhase, ReplicaRow, Timestamp};

use crate::bug::Bug;
use crate::life::Sim;
use crate::trace::{Checked, broken};
use crate::world::store::Store;
use crate::world::store::ran::{Happened, Ran};

/// When a process truly served.
#[derive(Clone, Copy, Debug)]
struct Truth {
    nonce: Nonce,
    ready: i64,
    gone: Option<i64>,
}

/// What the check remembers.
#[derive(Clone, Debug, Default)]
pub(crate) struct Meter {
    truths: Vec<Truth>,
    /// The records at the last check.
    before: Vec<Ran>,
    /// The most that a control plane's clock has been ahead of the true time.
    ahead: i64,
    /// Up to when each replica was last listed alive, with that recorded.
    listed: Vec<(ReplicaId, Timestamp)>,
}

impl Meter {
    pub(crate) fn is_ready(&mut self, nonce: Nonce, now: i64) {
        match self.truths.iter_mut().find(|it| it.nonce == nonce) {
            // One that vanished without a trace before it was seen is started again.
            Some(it) => it.gone = None,
            None => self.truths.push(Truth { nonce, ready: now, gone: None }),
        }
    }

    pub(crate) fn is_gone(&mut self, nonce: Nonce, now: i64) {
        if let Some(it) = self.truths.iter_mut().find(|it| it.nonce == nonce) {
            it.gone.get_or_insert(now);
        }
    }

    /// `ahead` is how far a control plane's clock is ahead of the true time; `None` where it was set.
    pub(crate) fn check(&mut self, store: &Store, ahead: Option<i64>) -> Checked {
        for (at, it) in store.usage.iter().enumerate() {
            if it.until < it.from || store.usage[..at].iter().any(|other| other.replica == it.replica) {
                return broken(
                    "S12",
                    format!("the running time of {} ends before it begins, or is there twice", it.replica),
                );
            }
            let Some(before) = self.before.get(at) else { continue };
            let is_moved = it.until < before.until || it.from != before.from;
            if is_moved || (before.is_closed && before != it) {
                return broken(
                    "S12",
                    format!("the running time of {} was {before:?} and is {it:?}", it.replica),
                );
            }
        }
        if store.usage.len() < self.before.len() {
            return broken("S12", "a running time is lost");
        }
        self.ahead = self.ahead.max(ahead.unwrap_or(0));
        if self.before != store.usage {
            self.before.clone_from(&store.usage);
            recount(store)?;
            if ahead.is_some() {
                self.check_truth(store)?;
            }
        }
        let beat = i64::try_from(BEAT.as_millis()).unwrap_or(i64::MAX);
        for (replica, listed) in &self.listed {
            let known = store.usage.iter().find(|it| it.replica == *replica);
            if known.is_some_and(|it| it.until.0 + beat < listed.0) {
                return broken(
                    "S12",
                    format!("{replica} was seen alive and {BEAT:?} of that are not recorded"),
                );
            }
        }
        Ok(())
    }

    fn check_truth(&self, store: &Store) -> Checked {
        for it in &store.usage {
            let Some(truth) = self.truths.iter().find(|known| known.nonce == it.nonce) else {
                return broken("S12", format!("{} was never ready and is billed", it.replica));
            };
            let is_early = it.from.0 < truth.ready;
            // Who was seen ready for the first time may have been gone by then: that is no time at all.
            let is_late = it.until > it.from && truth.gone.is_some_and(|gone| it.until.0 - self.ahead > gone);
            if is_early || is_late {
                return broken("S12", format!("{} is billed for {it:?} and lived {truth:?}", it.replica));
            }
        }
        Ok(())
    }
}

/// The closed records' sum is that of the events.
fn recount(store: &Store) -> Checked {
    let closed = store.usage.iter().filter(|it| it.is_closed);
    let recorded: i64 = closed.map(|it| it.until.0 - it.from.0).sum();
    let mut recounted = 0;
    for (at, (replica, it)) in store.happened.iter().enumerate() {
        let Happened::Ready(from) = it else { continue };
        let end = store.happened[at..].iter().find_map(|(other, it)| match it {
            Happened::Ended { ran_until } if other == replica => Some(*ran_until),
            Happened::Ended { .. } | Happened::Ready(_) => None,
        });
        recounted += end.map_or(0, |until| until.0 - from.0);
    }
    if recorded != recounted {
        return broken("S12", format!("{recorded} ms are recorded, the events tell of {recounted}"));
    }
    Ok(())
}

impl Sim {
    /// Records how far the replicas have come that a look shows alive.
    pub(crate) fn beat(&mut self, epoch: u64, world: &World, now: Timestamp) {
        let mut due = if self.has(Bug::NoBeats) { Vec::new() } else { beats(world) };
        let credits_all = self.has(Bug::BillsUnseen) || self.has(Bug::BeatsTheDead);
        if credits_all && world.observation != Observation::Unknown {
            let is_meant = |it: &&ReplicaRow| {
                let is_open = !matches!(it.intent, Intent::Stop { .. });
                it.ready_at.is_some() && is_open == self.has(Bug::BillsUnseen)
            };
            let rows = world.endpoints.iter().flat_map(|it| &it.replicas).map(|it| &it.row);
            let each = rows.filter(is_meant).map(|it| Beat { replica: it.id, until: world.listed_at });
            due.extend(each);
        }
        if self.has(Bug::BillsLateList) {
            for it in &mut due {
                it.until = world.now;
            }
        }
        if self.store.beat(epoch, &due, now).is_ok() {
            self.note_listed(world);
        }
    }

    fn note_listed(&mut self, world: &World) {
        let Observation::Known(listed) = &world.observation else { return };
        let is_alive = |nonce: Nonce| {
            let mut own = listed.iter().filter(|it| it.nonce == nonce).peekable();
            own.peek().is_some()
                && own.all(|it| {
                    matches!(it.phase, ReplicaPhase::Ready { .. } | ReplicaPhase::Unresponsive { .. })
                })
        };
        for row in world.endpoints.iter().flat_map(|it| &it.replicas).map(|it| &it.row) {
            let is_open = row.ready_at.is_some() && !matches!(row.intent, Intent::Stop { .. });
            if !is_open || !is_alive(row.nonce) {
                continue;
            }
            match self.meter.listed.iter_mut().find(|it| it.0 == row.id) {
                Some(known) => known.1 = known.1.max(world.listed_at),
                None => self.meter.listed.push((row.id, world.listed_at)),
            }
        }
    }
}
