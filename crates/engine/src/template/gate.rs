//! How many conversations are rendered at a time: each may take the memory that its fuel pays for.

use std::time::Duration;

use parking_lot::{Condvar, Mutex};

// Rendering takes a fraction of a millisecond; two keep the model busy, and bound the memory of templates that take all
// they may.
const PLACES: usize = 2;
// Templates that take all they may have it done in a second.
const WAIT_MAX: Duration = Duration::from_secs(10);

/// Lets a few in and holds the others.
#[derive(Debug, Default)]
pub(super) struct Gate {
    inside: Mutex<usize>,
    left: Condvar,
}

/// A place inside, until it is dropped.
pub(super) struct Place<'a>(&'a Gate);

impl Gate {
    /// A place, unless there was none for long.
    pub(super) fn enter(&self) -> Option<Place<'_>> {
        let mut inside = self.inside.lock();
        if self.left.wait_while_for(&mut inside, |it| *it >= PLACES, WAIT_MAX).timed_out() {
            return None;
        }
        *inside += 1;
        Some(Place(self))
    }
}

impl Drop for Place<'_> {
    fn drop(&mut self) {
        let mut inside = self.0.inside.lock();
        *inside = inside.saturating_sub(1);
        self.0.left.notify_one();
    }
}
