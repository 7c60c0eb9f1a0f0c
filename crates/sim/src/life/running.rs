//! A plan that is being carried out by the control plane's own code, up to its next call.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use dedi_control::carry_out;
use dedi_domain::reconcile::World;
use dedi_domain::{Action, ReplicaId, Timestamp};

use crate::world::devices::{DeviceSet, set_of};
use crate::world::handle::{Answer, Call, Handle};

pub(crate) struct Running {
    steps: Pin<Box<dyn Future<Output = ()>>>,
    handle: Arc<Handle>,
    actions: Arc<[Action]>,
    /// What is asked next.
    next: Option<Call>,
    /// The devices that were measured when this was decided.
    pub(crate) measured: DeviceSet,
}

impl Running {
    /// Begins, up to the first call. `seed` is of the ids that it gives.
    pub(crate) fn start(
        world: World,
        actions: Vec<Action>,
        measured: DeviceSet,
        seed: u64,
        now: Timestamp,
    ) -> Self {
        let handle = Arc::new(Handle::new(seed));
        let actions: Arc<[Action]> = actions.into();
        let (own, plan) = (handle.clone(), actions.clone());
        let steps = Box::pin(async move {
            carry_out(&*own, &world, &plan, None).await;
        });
        let mut it = Self { steps, handle, actions, next: None, measured };
        it.go_on(now, None);
        it
    }

    fn go_on(&mut self, now: Timestamp, answer: Option<Answer>) {
        self.handle.go_on(now, answer);
        self.next = match self.steps.as_mut().poll(&mut Context::from_waker(Waker::noop())) {
            Poll::Ready(()) => None,
            Poll::Pending => self.handle.take_call(),
        };
    }

    pub(crate) fn next(&self) -> Option<&Call> {
        self.next.as_ref()
    }

    pub(crate) fn take(&mut self) -> Option<Call> {
        self.next.take()
    }

    /// Goes on with the answer to the call that was taken, up to the next one; whether there is one.
    pub(crate) fn answer(&mut self, now: Timestamp, answer: Answer) -> bool {
        self.go_on(now, Some(answer));
        self.next.is_some()
    }

    /// What the decision says of a replica that is released: bytes left, and devices that were not measured.
    pub(crate) fn release_of(&self, replica: ReplicaId) -> (u64, DeviceSet) {
        let said = self.actions.iter().find_map(|it| {
            let Action::Release { replica: of, leftover_bytes, unmeasured } = it else { return None };
            (*of == replica).then(|| (*leftover_bytes, set_of(unmeasured)))
        });
        said.unwrap_or_default()
    }
}
