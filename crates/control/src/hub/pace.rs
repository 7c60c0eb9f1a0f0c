//! Whether a download moves at all. A hub that sends a byte now and then keeps every single wait short and would
//! still hold up whoever is next in the queue for ever.

use std::time::Duration;

use tokio::time::Instant;

/// The stretch that is looked at.
const STRETCH: Duration = Duration::from_secs(300);
/// Bytes that must come in it: a kilobyte a second, slower than any line that could bring a model.
const BYTES_MIN: u64 = 300 << 10;

/// Bytes since the stretch began.
#[derive(Debug)]
pub(super) struct Pace {
    begun: Instant,
    bytes: u64,
}

impl Pace {
    pub(super) fn new(now: Instant) -> Self {
        Self { begun: now, bytes: 0 }
    }

    /// So many more came; the end of a sentence when that is too slow.
    pub(super) fn came(&mut self, bytes: u64, now: Instant) -> Result<(), String> {
        self.bytes = self.bytes.saturating_add(bytes);
        if now.duration_since(self.begun) < STRETCH {
            return Ok(());
        }
        let came = std::mem::take(&mut self.bytes);
        self.begun = now;
        if came >= BYTES_MIN {
            return Ok(());
        }
        Err(format!("only {came} bytes came in {} s", STRETCH.as_secs()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_trickle_is_no_download() {
        let start = Instant::now();
        let at = |secs| start + Duration::from_secs(secs);
        let mut trickle = Pace::new(start);
        assert!((0..300).all(|secs| trickle.came(1, at(secs)).is_ok()));
        assert_eq!(trickle.came(1, at(300)).unwrap_err(), "only 301 bytes came in 300 s");
        let mut slow = Pace::new(start);
        assert!((1..2_000).all(|secs| slow.came(2_048, at(secs)).is_ok()));
    }
}
