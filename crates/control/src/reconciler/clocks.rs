//! What a pass does about the clocks: a wall clock that somebody has set is told, and written down so that times are
//! shown right after the next start too. And what it writes down of the uses of keys.

use dedi_domain::{LoadReport, with_causes};

use super::Reconciler;

impl Reconciler {
    /// Looks at both clocks.
    pub(super) async fn tell_clocks(&mut self) {
        let clock = &self.clock;
        if let Some(news) = clock.observe() {
            tracing::warn!(
                moved_ms = news.moved_ms,
                "the host's clock was set: times of this run are shown {} s {} from now on, and keys expire by it",
                news.moved_ms.unsigned_abs() / 1_000,
                if news.moved_ms < 0 { "earlier" } else { "later" }
            );
        }
        let trouble = clock.trouble();
        let had_trouble = std::mem::replace(&mut self.clock_trouble, trouble.is_some());
        match trouble {
            Some(trouble) if !had_trouble => tracing::warn!("{trouble}"),
            None if had_trouble => tracing::info!("the host's clock is after the last record again"),
            Some(_) | None => {}
        }
        let times = clock.times();
        let span = times.unwritten().or_else(|| times.own().filter(|_| self.written_span.is_some()));
        if let Some(span) = span.filter(|it| self.written_span != Some(*it)) {
            match self.store.write_clock_span(span).await {
                Ok(()) => self.written_span = Some(span),
                Err(err) => {
                    tracing::debug!("how the clocks differ was not written down: {}", with_causes(&err))
                }
            }
        }
    }

    /// Writes down when keys were last used, once a minute.
    pub(super) async fn note_uses(&self, report: &LoadReport) {
        for (key, at) in &report.keys_used {
            self.keys.uses.note(key, *at);
        }
        let due = self.keys.uses.due(self.clock.now());
        if due.is_empty() {
            return;
        }
        // What is lost is a minute's precision.
        if let Err(err) = self.store.keys_used(&due).await {
            tracing::debug!("when keys were last used was not written down: {}", with_causes(&err));
        }
    }
}
