//! A control plane on a temporary folder with a runtime that is only pretended: what a replica does is written
//! into its script.

mod fifo;
mod gguf;
mod plane;
mod rights;
mod runtime;

use std::collections::BTreeSet;

pub(crate) use self::fifo::Hang;
pub(crate) use self::gguf::{Gguf, gguf};
pub(crate) use self::plane::{Answer, Plane, entry, open};
pub(crate) use self::rights::obey_modes;
pub(crate) use self::runtime::{FakeRuntime, Script};

/// Texts without doubles.
pub(crate) fn unique<T: Ord>(all: impl IntoIterator<Item = T>) -> usize {
    all.into_iter().collect::<BTreeSet<T>>().len()
}
