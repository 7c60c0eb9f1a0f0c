//! What this host has to offer: hardware, zones, and what of it could hold a model now.

mod capacity;
mod list;
mod offered;
mod parts;

pub(crate) use capacity::Capacity;
pub(crate) use list::{Availability, Offer};
pub(super) use offered::{must_be_usable, unlisted};
pub(crate) use parts::Hardware;
