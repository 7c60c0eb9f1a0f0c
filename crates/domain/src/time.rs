//! Points in time as plain numbers. The clock is read elsewhere, once, at the top of a loop.

mod clock;
mod timeline;

use std::time::Duration;

use serde::{Deserialize, Serialize};

pub use self::clock::Clock;
pub use self::timeline::{ClockNews, Span, Timeline};

/// Milliseconds since the Unix epoch, UTC. Arithmetic saturates: a clock that was set wrong
/// by ten years gives an odd answer, never a panic or a negative duration.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Timestamp(pub i64);

impl Timestamp {
    /// How long after `earlier` this is; zero when it is not after it.
    pub fn since(self, earlier: Self) -> Duration {
        Duration::from_millis(u64::try_from(self.0.saturating_sub(earlier.0)).unwrap_or(0))
    }

    /// This point moved later by `delay`.
    pub fn plus(self, delay: Duration) -> Self {
        Self(self.0.saturating_add(i64::try_from(delay.as_millis()).unwrap_or(i64::MAX)))
    }

    /// This point moved by so many milliseconds, to either side.
    fn moved(self, by_ms: i64) -> Self {
        Self(self.0.saturating_add(by_ms))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_clock_that_went_back_gives_zero_not_a_negative_duration() {
        assert_eq!(Timestamp(5).since(Timestamp(9)), Duration::ZERO);
        assert_eq!(Timestamp(i64::MAX).plus(Duration::MAX), Timestamp(i64::MAX));
    }
}
