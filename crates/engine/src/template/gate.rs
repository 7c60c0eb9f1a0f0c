//! How many conversations are rendered at a time: each may take the memory that its fuel pays for.

use std::time::Duration;

use parking_lot::{Condvar, Mutex};

// Rendering takes a fraction of a millisecond; two keep the model busy, and bound the memory of templates that take all
// they may.
const PERMITS: usize = 2;
// Templates that take all they may have it done in a second.
const WAIT_MAX: Duration = Duration::from_secs(10);

/// Limits concurrent rendering; further callers block.
#[derive(Debug, Default)]
pub(super) struct Gate {
    inside: Mutex<usize>,
    left: Condvar,
}

/// One conversation may be rendered while this is held.
pub(super) struct Permit<'a>(&'a Gate);

impl Gate {
    /// `None` when no permit became free within [`WAIT_MAX`].
    pub(super) fn enter(&self) -> Option<Permit<'_>> {
        let mut inside = self.inside.lock();
        if self.left.wait_while_for(&mut inside, |it| *it >= PERMITS, WAIT_MAX).timed_out() {
            return None;
        }
        *inside += 1;
        Some(Permit(self))
    }
}

impl Drop for Permit<'_> {
    fn drop(&mut self) {
        let mut inside = self.0.inside.lock();
        *inside = inside.saturating_sub(1);
        self.0.left.notify_one();
    }
}
