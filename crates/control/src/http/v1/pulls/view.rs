//! A download as answers show it.

use dedi_api::ModelPull;
use dedi_domain::fetch::percent;
use dedi_domain::plural::count;

use crate::clock::Clock;
use crate::hub::{Phase, Pull};
use crate::service::pulls::ModelPulls;

pub(super) fn shown(pull: &Pull, pulls: &ModelPulls, clock: &Clock) -> ModelPull {
    let (state, commit, failure, ended_at) = match &pull.phase {
        Phase::Queued => ("queued", None, None, None),
        Phase::Running => ("running", None, None, None),
        Phase::Done { commit, at } => ("done", Some(commit.clone()), None, Some(*at)),
        Phase::Failed { what, code, at, .. } => ("failed", None, Some((what.clone(), *code)), Some(*at)),
    };
    let waits = match (&pull.phase, &pull.held_off) {
        (Phase::Queued, _) => {
            let ahead = pulls.ahead(pull);
            Some(format!(
                "waits for {}; the running one has {} of {} MiB",
                count(ahead.n, "other download"),
                ahead.bytes_done >> 20,
                ahead.bytes_total >> 20
            ))
        }
        (Phase::Running, Some((what, wait))) => {
            Some(format!("{what}; it is asked again in {} s", wait.as_millis().div_ceil(1_000)))
        }
        (Phase::Running | Phase::Done { .. } | Phase::Failed { .. }, _) => None,
    };
    let is_done = matches!(pull.phase, Phase::Done { .. });
    let (message, code) = failure.unzip();
    ModelPull {
        object: "model.pull".to_owned(),
        model: pull.source.model.to_string(),
        revision: pull.source.revision.clone(),
        file: pull.source.file.clone(),
        state: state.to_owned(),
        percent: if is_done { Some(100) } else { pull.bytes_total.map(|it| percent(pull.bytes_done, it)) },
        bytes_done: pull.bytes_done,
        bytes_total: pull.bytes_total,
        bytes_kept: failure_is_told(&pull.phase).then_some(pull.bytes_kept),
        commit,
        code: code.map(|it| it.to_string()),
        message: message.or(waits),
        started_at: clock.show(pull.started_at),
        ended_at: ended_at.map(|at| clock.show(at)),
    }
}

fn failure_is_told(phase: &Phase) -> bool {
    match phase {
        Phase::Failed { .. } => true,
        Phase::Queued | Phase::Running | Phase::Done { .. } => false,
    }
}
