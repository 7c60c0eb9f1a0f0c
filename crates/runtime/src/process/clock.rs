//! The wall clock, read in one place.

use std::time::{SystemTime, UNIX_EPOCH};

use dedi_domain::Timestamp;

/// Now, for records that people and other boots read. Waits use monotonic time.
pub(crate) fn now() -> Timestamp {
    let millis = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |it| it.as_millis());
    Timestamp(i64::try_from(millis).unwrap_or(i64::MAX))
}
