//! How far a model is on its way to where an engine can load it: from the hub to this host's model store, and read there.

use serde::{Deserialize, Serialize};

use crate::time::Timestamp;

/// What a model waits for that can't be loaded now.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Fetch {
    /// The downloads of others are first. Which ones is not said: they may be another tenant's.
    Queued {
        /// How many, the running one included.
        n_ahead: u64,
        /// Bytes of the running one that are here.
        bytes_done: u64,
        /// Bytes of that one in all; 0 until the hub has said.
        bytes_total: u64,
    },
    /// Bytes flow.
    Running {
        /// Bytes that are here.
        bytes_done: u64,
        /// Bytes in all; `None` until the hub has said.
        bytes_total: Option<u64>,
        /// Since when.
        since: Timestamp,
    },
    /// The hub has told dedi to wait, as the sentence says.
    HeldOff {
        /// What it answered.
        what: String,
        /// When it is asked again.
        until: Timestamp,
    },
    /// The model is here, and the files of others are read first. Which ones is not said: they may be another tenant's.
    CheckQueued {
        /// Checks that are before this one, the running ones included.
        n_ahead: u64,
        /// Bytes that those have read.
        bytes_done: u64,
        /// Bytes that those read in all.
        bytes_total: u64,
    },
    /// The model is here, and its files are read to see whether they are what they must be.
    Checking {
        /// Bytes that were read.
        bytes_done: u64,
        /// Bytes in all; 0 until they were counted.
        bytes_total: u64,
        /// Since when.
        since: Timestamp,
    },
    /// It ended without the model.
    Failed {
        /// Why, as a sentence.
        what: String,
        /// Tries in a row that failed.
        n_failures: u32,
        /// When it is tried again.
        retry_at: Timestamp,
        /// Trying again mends it only if somebody changes something.
        is_final: bool,
    },
    /// The model store has nothing of it, and nobody fetches it. It is looked for again in each pass.
    Absent,
    /// It is here as far as is known, and can't be read now. It is looked at again in each pass.
    Unreadable {
        /// Why, as a sentence.
        what: String,
    },
}

impl Fetch {
    /// Percent done, once the size is known. 100 only when all bytes are here.
    pub fn percent(&self) -> Option<u8> {
        match self {
            Self::Running { bytes_done, bytes_total: Some(total), .. } => Some(percent(*bytes_done, *total)),
            Self::Checking { bytes_done, bytes_total, .. } => {
                (*bytes_total > 0).then(|| percent(*bytes_done, *bytes_total))
            }
            Self::Running { bytes_total: None, .. }
            | Self::Queued { .. }
            | Self::HeldOff { .. }
            | Self::CheckQueued { .. }
            | Self::Failed { .. }
            | Self::Absent
            | Self::Unreadable { .. } => None,
        }
    }

    /// When it is tried again, if it failed.
    pub fn retry_at(&self) -> Option<Timestamp> {
        match self {
            Self::Failed { retry_at, .. } => Some(*retry_at),
            Self::HeldOff { until, .. } => Some(*until),
            Self::Queued { .. }
            | Self::CheckQueued { .. }
            | Self::Running { .. }
            | Self::Checking { .. }
            | Self::Absent
            | Self::Unreadable { .. } => None,
        }
    }
}

/// `done` of `total` in whole percent, rounded down.
pub fn percent(done: u64, total: u64) -> u8 {
    if total == 0 {
        return 100;
    }
    let percent = u128::from(done.min(total)) * 100 / u128::from(total);
    u8::try_from(percent).unwrap_or(100)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percent_is_rounded_down_and_never_overflows() {
        assert_eq!([percent(0, 3), percent(2, 3), percent(3, 3), percent(9, 3)], [0, 66, 100, 100]);
        assert_eq!([percent(u64::MAX - 1, u64::MAX), percent(0, 0)], [99, 100]);
    }
}
