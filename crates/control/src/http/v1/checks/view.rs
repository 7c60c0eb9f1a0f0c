//! A check as answers show it.

use dedi_api::ModelCheck;
use dedi_domain::fetch::percent;

use crate::clock::Clock;
use crate::models::Check;

pub(super) fn shown(check: &Check, clock: &Clock) -> ModelCheck {
    let (state, message, right) = match &check.ended {
        None => ("running", None, None),
        Some((_, Ok(right))) => ("done", None, Some(right)),
        Some((_, Err(wrong))) => ("failed", Some(wrong.to_string()), None),
    };
    ModelCheck {
        object: "model.check".to_owned(),
        model: check.model.to_string(),
        state: state.to_owned(),
        percent: (check.bytes_total > 0).then(|| percent(check.bytes_done, check.bytes_total)),
        bytes_done: check.bytes_done,
        bytes_total: check.bytes_total,
        files: right.map(|it| it.n_files),
        files_new: right.map(|it| it.n_new),
        message,
        started_at: clock.show(check.started_at),
        ended_at: check.ended.as_ref().map(|(at, _)| clock.show(*at)),
    }
}
