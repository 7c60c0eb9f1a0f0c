//! The clock of a server, read in one place, so that stamps of the runtime, the control plane and the gateway can be
//! compared.

use std::sync::LazyLock;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use dedi_domain::Timestamp;
use rustix::time::{ClockId, clock_gettime};

/// Wall time less time since boot, when this was first asked.
static BOOTED_AT: LazyLock<i64> = LazyLock::new(|| wall_ms() - since_boot_ms());
/// How far the clock was moved on.
static AHEAD_MS: AtomicI64 = AtomicI64::new(0);

/// Now: the wall clock as it was when the program started, and on from there by the time that has truly passed,
/// suspension included. Setting the wall clock changes no wait.
pub fn now() -> Timestamp {
    Timestamp(*BOOTED_AT + since_boot_ms() + AHEAD_MS.load(Ordering::Relaxed))
}

/// Moves the clock on, for good, if it reads earlier than `then`: the newest stamp written before, under a wall
/// clock that has been set back since.
pub fn begin_not_before(then: Timestamp) {
    let behind = then.0 - now().0;
    if behind > 0 {
        AHEAD_MS.fetch_add(behind, Ordering::Relaxed);
    }
}

/// How long the host has been up, suspension included: the one time that nobody can set, the same for every process.
pub fn uptime() -> Duration {
    Duration::from_millis(u64::try_from(since_boot_ms()).unwrap_or(0))
}

/// How long the host had been up, in milliseconds, when this clock read `then`.
pub(crate) fn uptime_ms_at(then: Timestamp) -> i64 {
    then.0.saturating_sub(*BOOTED_AT + AHEAD_MS.load(Ordering::Relaxed))
}

/// What this clock read, or would have read, when the host had been up for so many milliseconds.
pub(crate) fn at_uptime_ms(uptime_ms: i64) -> Timestamp {
    Timestamp(uptime_ms.saturating_add(*BOOTED_AT + AHEAD_MS.load(Ordering::Relaxed)))
}

/// The wall clock, which anybody may set at any time.
pub fn wall() -> Timestamp {
    Timestamp(wall_ms())
}

fn wall_ms() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |it| it.as_millis());
    i64::try_from(since).unwrap_or(i64::MAX / 2)
}

fn since_boot_ms() -> i64 {
    let time = clock_gettime(ClockId::Boottime);
    time.tv_sec * 1_000 + time.tv_nsec / 1_000_000
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_never_reads_earlier_than_what_was_written() {
        let first = now();
        assert!((first.0 - wall_ms()).abs() < 60_000, "it begins at the wall clock");
        begin_not_before(Timestamp(first.0 - 5_000));
        assert!(now().0 - first.0 < 60_000, "an older stamp moves nothing");
        begin_not_before(Timestamp(first.0 + 3_600_000));
        assert!(now().0 >= first.0 + 3_600_000);
    }
}
