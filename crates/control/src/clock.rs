//! Where the time comes from: a steady clock for stamps, the wall clock for people and for the expiry of keys, and how the
//! two are told apart where somebody sets the wall clock.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use dedi_domain::Timestamp;
use dedi_domain::time::{ClockNews, Span, Timeline};
use parking_lot::RwLock;

use crate::store::Moment;
use crate::text;

/// Both clocks. Clones are the same ones.
#[derive(Clone)]
pub struct Clock {
    read: dedi_domain::Clock,
    uptime: Arc<dyn Fn() -> Duration + Send + Sync>,
    begin_not_before: Arc<dyn Fn(Timestamp) + Send + Sync>,
    times: Arc<RwLock<Timeline>>,
}

impl Clock {
    /// A clock that reads `now`, and is moved on by `begin_not_before` when the store has a newer stamp. It must not
    /// be set while this runs, as it may be before the next start; `uptime`, how long the host has been up, never is.
    /// `wall` may be set at any time.
    pub fn new(
        now: impl Fn() -> Timestamp + Send + Sync + 'static,
        uptime: impl Fn() -> Duration + Send + Sync + 'static,
        begin_not_before: impl Fn(Timestamp) + Send + Sync + 'static,
        wall: impl Fn() -> Timestamp + Send + Sync + 'static,
    ) -> Self {
        Self {
            read: dedi_domain::Clock::new(now).with_wall(wall),
            uptime: Arc::new(uptime),
            begin_not_before: Arc::new(begin_not_before),
            times: Arc::default(),
        }
    }

    /// A stamp of now.
    pub fn now(&self) -> Timestamp {
        self.read.now()
    }

    /// What time it is for people and for keys.
    pub fn judged(&self) -> Timestamp {
        self.times.read().judged(self.now(), self.read.wall())
    }

    /// The same for those who do not know the two apart: its wall clock is the one that is judged right.
    pub fn judging(&self) -> dedi_domain::Clock {
        let (now, wall) = (self.read.clone(), self.clone());
        dedi_domain::Clock::new(move || now.now()).with_wall(move || wall.judged())
    }

    /// Why the wall clock can't be right, as a sentence.
    pub(crate) fn trouble(&self) -> Option<String> {
        let wall = self.read.wall();
        let record = self.times.read().behind(wall)?;
        Some(format!(
            "{}; times and the expiry of keys are counted on from that record. Set the clock right, or, if it is right and \
             that record was written under a wrong one, start once with control.clock_is_right = true",
            said(wall, record)
        ))
    }

    /// A stamp as it is shown.
    pub(crate) fn show(&self, stamp: Timestamp) -> String {
        text::time(self.times.read().shown(stamp))
    }

    /// How stamps are shown now.
    pub(crate) fn times(&self) -> Timeline {
        self.times.read().clone()
    }

    /// The moment at which this clock read `then`.
    pub(crate) fn moment(&self, then: Timestamp) -> Moment {
        let uptime_ms = i64::try_from((self.uptime)().as_millis()).unwrap_or(i64::MAX);
        let ago_ms = self.now().0.saturating_sub(then.0);
        Moment { at: then, uptime_ms: uptime_ms.saturating_sub(ago_ms) }
    }

    /// Begins after earlier runs, whose newest stamp this is. `is_right` takes the wall clock for right also before it.
    pub(crate) fn begin(&self, spans: Vec<Span>, newest: Timestamp, is_right: bool) {
        (self.begin_not_before)(newest);
        let last = (!is_right && newest > Timestamp::default()).then_some(newest);
        let times = Timeline::begin(spans, last, self.now(), self.read.wall());
        *self.times.write() = times;
        if let Some(trouble) = self.trouble() {
            tracing::warn!("{trouble}");
        }
    }

    /// Looks at both clocks; answers what has changed.
    pub(crate) fn observe(&self) -> Option<ClockNews> {
        let (now, wall) = (self.now(), self.read.wall());
        self.times.write().observe(now, wall)
    }
}

/// That the host's clock is before the last record, and can't be right; `None` where it is not.
pub fn clock_trouble(wall: Timestamp, record: Timestamp) -> Option<String> {
    let times = Timeline::begin(Vec::new(), Some(record), record, wall);
    times.behind(wall).map(|record| said(wall, record))
}

fn said(wall: Timestamp, record: Timestamp) -> String {
    format!(
        "the host's clock says {}, which is before the last record of this server, {}",
        text::time(wall),
        text::time(record)
    )
}

impl fmt::Debug for Clock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Clock({})", self.now().0)
    }
}
