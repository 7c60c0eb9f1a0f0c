//! `/v1/hardware` and the zones.

mod list;
mod zones;

pub(super) use list::list;
pub(super) use zones::zones;
