//! One endpoint: what it is, and why it is in its state.

use dedi_api::{DedicatedEndpoint, EndpointStatus, FailureInfo, LaunchProgress};

use super::layout::{block, one_line, state_style};
use super::rows::replicas;
use super::units::{bytes, duration, moment};
use crate::console::paint;

/// One endpoint, whole.
pub(crate) fn endpoint(it: &DedicatedEndpoint, colours: bool) -> String {
    let status = it.status.as_ref();
    let reason = status.map_or(String::new(), |status| format!(" – {}", one_line(&status.message)));
    let counts = status.map_or(String::new(), |status| {
        format!("{} ready, {} wanted; ", status.ready_replicas, status.wanted_replicas)
    });
    block(&[
        ("ID", one_line(&it.id)),
        ("Name", one_line(&it.name)),
        ("Display name", one_line(&it.display_name)),
        ("State", format!("{}{reason}", paint(&one_line(&it.state), state_style(&it.state), colours))),
        ("Next step", status.and_then(|it| it.next_step.as_deref()).map(one_line).unwrap_or_default()),
        ("Model", one_line(&it.model)),
        ("Hardware", one_line(&it.hardware)),
        (
            "Replicas",
            format!("{counts}min {}, max {}", it.autoscaling.min_replicas, it.autoscaling.max_replicas),
        ),
        (
            "Auto-stop",
            match it.inactive_timeout {
                Some(minutes) if minutes > 0 => format!("after {minutes} min without requests"),
                Some(_) | None => "never".to_owned(),
            },
        ),
        ("Zone", it.availability_zone.as_deref().map(one_line).unwrap_or_default()),
        ("Owner", one_line(&it.owner)),
        ("Created", moment(&it.created_at)),
    ])
}

/// What is known about why an endpoint is in its state.
pub(crate) fn why(it: &DedicatedEndpoint, colours: bool) -> String {
    let state = paint(&one_line(&it.state), state_style(&it.state), colours);
    let Some(status) = &it.status else {
        return block(&[
            ("ID", one_line(&it.id)),
            ("State", state),
            ("Reason", "this server gives no reasons".to_owned()),
        ]);
    };
    let mut text = block(&[
        ("ID", one_line(&it.id)),
        ("Name", one_line(&it.name)),
        ("State", format!("{state} since {}", moment(&status.since))),
        ("Reason", format!("{} – {}", one_line(&status.reason), one_line(&status.message))),
        ("Next step", status.next_step.as_deref().map(one_line).unwrap_or_default()),
        ("Progress", status.progress.as_ref().map(progress).unwrap_or_default()),
        ("Replicas", format!("{} ready, {} wanted", status.ready_replicas, status.wanted_replicas)),
        ("Next try", next_try(&it.state, status)),
        ("First failure", status.first_failure.as_ref().map(failure).unwrap_or_default()),
        ("Last failure", last_failure(status)),
        ("Change", generation(status)),
    ]);
    if let Some(list) = it.replicas.as_ref().filter(|it| !it.is_empty()) {
        text.push('\n');
        text.push_str(&replicas(list));
        let ending = list.iter().filter_map(|it| Some((it, it.message.as_deref()?)));
        for (it, why) in ending {
            text.push_str(&format!("attempt {} is {}: {}\n", it.attempt, one_line(&it.phase), one_line(why)));
        }
    }
    text
}

fn next_try(state: &str, status: &EndpointStatus) -> String {
    match &status.next_retry_at {
        Some(at) => moment(at),
        None if state == "ERROR" => "not before you act".to_owned(),
        None => String::new(),
    }
}

fn last_failure(status: &EndpointStatus) -> String {
    match (&status.first_failure, &status.last_failure) {
        (Some(first), Some(last)) if first == last => String::new(),
        (_, Some(last)) => failure(last),
        (_, None) => String::new(),
    }
}

fn generation(status: &EndpointStatus) -> String {
    if status.generation == status.observed_generation {
        return String::new();
    }
    format!("{} requested, {} carried out", status.generation, status.observed_generation)
}

fn failure(it: &FailureInfo) -> String {
    format!(
        "attempt {} at {}: {} – {}",
        it.attempt,
        moment(&it.at),
        one_line(&it.reason),
        one_line(&it.message)
    )
}

/// How far a launch is: stage, percent, bytes, time, and the time such a launch takes.
pub(crate) fn progress(it: &LaunchProgress) -> String {
    let mut text = one_line(&it.stage);
    if let Some(percent) = it.percent {
        text.push_str(&format!(" {percent} %"));
    }
    match (it.bytes_done, it.bytes_total) {
        (Some(done), Some(total)) => text.push_str(&format!(", {} of {}", bytes(done), bytes(total))),
        (Some(done), None) => text.push_str(&format!(", {}", bytes(done))),
        (None, _) => {}
    }
    text.push_str(&format!(", {}", duration(it.elapsed_secs)));
    if let Some(expected) = it.expected_secs {
        let word = if it.elapsed_secs > expected { ", usually" } else { " of" };
        text.push_str(&format!("{word} about {}", duration(expected)));
    }
    text
}
