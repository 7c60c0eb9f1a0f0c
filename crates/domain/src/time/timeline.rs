//! Two clocks. Stamps are read from a steady one, which nobody can set while a server runs: what is ordered, waited for
//! and billed by them never jumps. People, and the expiry of keys, go by the wall clock, which may be years off when a
//! server starts and be corrected later. A timeline knows how far the two are apart in each server's time.

use super::Timestamp;

/// How far the wall clock may be before the last record and still be taken for right: what a time service sets back
/// when it begins.
const SLACK_MS: i64 = 5_000;
/// Steps of the wall clock up to this do not move what is shown, so that a time that was shown stays the same text.
const STEP_MS: i64 = 2_000;

/// From `begins_at` on, what a stamp is shown as is so much later.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Span {
    /// The first stamp that it counts for.
    pub begins_at: Timestamp,
    /// Milliseconds to add; negative where the steady clock is ahead.
    pub offset_ms: i64,
}

/// What is to be told of the wall clock.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ClockNews {
    /// What to write down.
    pub span: Span,
    /// How far the times of this server's run have moved.
    pub moved_ms: i64,
}

/// How stamps are shown.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Timeline {
    /// Earlier runs', ascending.
    spans: Vec<Span>,
    /// This run's.
    own: Option<Span>,
    /// What the last record of earlier runs is shown as. The wall clock can't be right before it.
    last_record: Option<Timestamp>,
}

impl Timeline {
    /// Earlier runs' times only, as one reads them who begins no run.
    pub fn of(mut spans: Vec<Span>) -> Self {
        spans.sort_by_key(|it| it.begins_at);
        Self { spans, own: None, last_record: None }
    }

    /// A run that begins now, at `steady` on the one clock and `wall` on the other, after earlier ones with their
    /// newest stamp, if there is one that counts.
    pub fn begin(spans: Vec<Span>, newest: Option<Timestamp>, steady: Timestamp, wall: Timestamp) -> Self {
        let mut it = Self::of(spans);
        it.last_record = newest.map(|newest| it.shown(newest));
        let begins_at = newest.map_or(steady, |newest| steady.max(newest.moved(1)));
        it.own = Some(Span { begins_at, offset_ms: 0 });
        let offset_ms = it.measured(steady, wall);
        let offset_ms = if offset_ms.abs() > STEP_MS { offset_ms } else { 0 };
        it.own = Some(Span { begins_at, offset_ms });
        it
    }

    /// This run's span.
    pub fn own(&self) -> Option<Span> {
        self.own
    }

    /// This run's span, if earlier ones do not say the same already.
    pub fn unwritten(&self) -> Option<Span> {
        let before = self.spans.last().map_or(0, |it| it.offset_ms);
        self.own.filter(|it| it.offset_ms != before)
    }

    /// The wall-clock time of a stamp, as far as it is known by now.
    pub fn shown(&self, stamp: Timestamp) -> Timestamp {
        let all = self.own.iter().chain(self.spans.iter().rev());
        let of = all.into_iter().find(|it| it.begins_at <= stamp);
        stamp.moved(of.map_or(0, |it| it.offset_ms))
    }

    /// The stamp that is shown as this time; of several, the latest.
    pub fn stamp_of(&self, shown: Timestamp) -> Timestamp {
        let all = self.own.iter().chain(self.spans.iter().rev());
        let stamp = |it: &Span| shown.moved(it.offset_ms.saturating_neg());
        all.into_iter().find(|it| it.begins_at <= stamp(it)).map_or(shown, stamp)
    }

    /// What time it is for people and for keys: the wall clock's, unless that is before the last record. Then it is
    /// counted from that record: a key that has expired does not come to life again.
    pub fn judged(&self, steady: Timestamp, wall: Timestamp) -> Timestamp {
        match (self.behind(wall), self.last_record, self.own) {
            (Some(_), Some(record), Some(own)) => record.plus(steady.since(own.begins_at)),
            (_, _, _) => wall,
        }
    }

    /// The last record, if the wall clock is before it.
    pub fn behind(&self, wall: Timestamp) -> Option<Timestamp> {
        self.last_record.filter(|it| wall.moved(SLACK_MS) < *it)
    }

    /// Looks at both clocks; answers what has changed. All of this run's times move together: the later the clock is
    /// read, the likelier somebody has set it right.
    pub fn observe(&mut self, steady: Timestamp, wall: Timestamp) -> Option<ClockNews> {
        let offset_ms = self.measured(steady, wall);
        let own = self.own.as_mut()?;
        let moved_ms = offset_ms.saturating_sub(own.offset_ms);
        if moved_ms.saturating_abs() <= STEP_MS {
            return None;
        }
        own.offset_ms = offset_ms;
        Some(ClockNews { span: *own, moved_ms })
    }

    fn measured(&self, steady: Timestamp, wall: Timestamp) -> i64 {
        self.judged(steady, wall).0.saturating_sub(steady.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const DAY: i64 = 86_400_000;
    const TODAY: Timestamp = Timestamp(20_000 * DAY);
    const WRONG: Timestamp = Timestamp(24_000 * DAY);

    #[test]
    fn timeline_of_a_clock_that_was_right_shows_stamps_as_they_are() {
        let mut it = Timeline::begin(Vec::new(), Some(TODAY), TODAY.moved(DAY), TODAY.moved(DAY));
        assert_eq!(it.unwritten(), None);
        assert_eq!(it.observe(TODAY.moved(2 * DAY), TODAY.moved(2 * DAY + STEP_MS)), None);
        assert_eq!(it.shown(TODAY), TODAY);
        assert_eq!(it.shown(TODAY.moved(2 * DAY)), TODAY.moved(2 * DAY));
    }

    #[test]
    fn timeline_of_a_run_that_began_years_ahead_follows_the_correction() {
        // The first run begins in a wrong future, and the clock is set right after an hour.
        let mut first = Timeline::begin(Vec::new(), None, WRONG, WRONG);
        let hour = 3_600_000;
        let news = first.observe(WRONG.moved(hour), TODAY.moved(hour)).unwrap();
        assert_eq!(news.moved_ms, TODAY.0 - WRONG.0);
        assert_eq!(first.shown(WRONG.moved(5)), TODAY.moved(5), "what was written before, too");
        assert_eq!(first.judged(WRONG.moved(hour), TODAY.moved(hour)), TODAY.moved(hour));
        // The next one's stamps go on from the first one's, and are shown right.
        let steady = WRONG.moved(2 * hour);
        let next = Timeline::begin(vec![news.span], Some(WRONG.moved(hour)), steady, TODAY.moved(2 * hour));
        assert_eq!(next.behind(TODAY.moved(2 * hour)), None);
        assert_eq!(next.unwritten(), None, "the span before says the same");
        assert_eq!(next.shown(WRONG.moved(5)), TODAY.moved(5));
        assert_eq!(next.shown(steady), TODAY.moved(2 * hour));
        assert_eq!(next.stamp_of(TODAY.moved(2 * hour)), steady);
    }

    #[test]
    fn timeline_of_a_clock_before_the_last_record_counts_from_that_record() {
        let steady = TODAY.moved(1);
        let mut it = Timeline::begin(Vec::new(), Some(TODAY), steady, Timestamp(0));
        assert_eq!(it.behind(Timestamp(0)), Some(TODAY));
        assert_eq!(it.judged(steady.moved(DAY), Timestamp(DAY)), TODAY.moved(DAY), "no key comes to life");
        let right = TODAY.moved(30 * DAY);
        let news = it.observe(steady.moved(DAY), right).unwrap();
        assert_eq!((it.behind(right), it.judged(steady.moved(DAY), right)), (None, right));
        assert_eq!(it.shown(steady.moved(DAY)), right);
        assert_eq!(it.unwritten(), Some(news.span));
        assert_eq!(it.shown(TODAY), TODAY, "earlier runs' times stay");
    }

    #[test]
    fn timeline_takes_a_small_step_back_for_right() {
        let it = Timeline::begin(Vec::new(), Some(TODAY), TODAY, TODAY.moved(-SLACK_MS));
        assert_eq!(it.behind(TODAY.moved(-SLACK_MS)), None);
        assert_eq!(it.behind(TODAY.moved(-SLACK_MS - 1)), Some(TODAY));
    }
}
