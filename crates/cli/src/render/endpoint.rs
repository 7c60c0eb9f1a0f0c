//! One endpoint: what it is, and why it is in its state.

use dedi_api::{DedicatedEndpoint, EndpointEvent, EndpointStatus, FailureInfo, LaunchProgress, ReplicaInfo};

use super::layout::{block, one_line, paragraph, state_style};
use super::rows::{events, replicas};
use super::units::{bytes, duration, moment};
use super::view::View;
use crate::console::paint;

/// One endpoint: what it is.
pub(crate) fn endpoint(it: &DedicatedEndpoint, view: &View) -> String {
    block(&facts(it, view), view)
}

/// One endpoint on a page: what it is, why it is in its state, its replicas, and the last things that happened.
pub(crate) fn describe(it: &DedicatedEndpoint, last: &[EndpointEvent], view: &View) -> String {
    let mut rows = facts(it, view);
    if let Some(status) = &it.status {
        // The message and the next step are among the facts.
        rows.push(("Reason", one_line(&status.reason)));
        rows.push(("Since", moment(&status.since)));
        rows.extend(causes(it, status));
    }
    let mut text = block(&rows, view);
    if let Some(list) = it.replicas.as_ref().filter(|it| !it.is_empty()) {
        text.push_str(&format!("\nReplicas\n{}", replicas_and_ends(list, view)));
    }
    if !last.is_empty() {
        text.push_str(&format!("\nLast events\n{}", events(last, view)));
    }
    text
}

fn facts(it: &DedicatedEndpoint, view: &View) -> Vec<(&'static str, String)> {
    let status = it.status.as_ref();
    let reason = status.map_or(String::new(), |status| format!(" – {}", one_line(&status.message)));
    let counts = status.map_or(String::new(), |status| {
        format!("{}/{} ready; ", status.ready_replicas, status.wanted_replicas)
    });
    vec![
        ("ID", one_line(&it.id)),
        ("Name", one_line(&it.name)),
        ("Display name", one_line(&it.display_name)),
        ("State", format!("{}{reason}", state(it, view))),
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
    ]
}

fn state(it: &DedicatedEndpoint, view: &View) -> String {
    paint(&one_line(&it.state), state_style(&it.state), view.colours)
}

/// What is known about why an endpoint is in its state.
pub(crate) fn why(it: &DedicatedEndpoint, view: &View) -> String {
    let Some(status) = &it.status else {
        let rows = [
            ("ID", one_line(&it.id)),
            ("State", state(it, view)),
            ("Reason", "this server gives no reasons".to_owned()),
        ];
        return block(&rows, view);
    };
    let mut rows = vec![
        ("ID", one_line(&it.id)),
        ("Name", one_line(&it.name)),
        ("State", format!("{} since {}", state(it, view), moment(&status.since))),
        ("Reason", format!("{} – {}", one_line(&status.reason), one_line(&status.message))),
        ("Next step", status.next_step.as_deref().map(one_line).unwrap_or_default()),
        ("Replicas", format!("{}/{} ready", status.ready_replicas, status.wanted_replicas)),
    ];
    rows.extend(causes(it, status));
    let mut text = block(&rows, view);
    if let Some(list) = it.replicas.as_ref().filter(|it| !it.is_empty()) {
        text.push('\n');
        text.push_str(&replicas_and_ends(list, view));
    }
    text
}

/// The replicas, and why those end that do.
fn replicas_and_ends(list: &[ReplicaInfo], view: &View) -> String {
    let ending = list.iter().filter_map(|it| Some((it, it.message.as_deref()?)));
    let why = ending.map(|(it, why)| {
        let said = format!("attempt {} is {}: {}", it.attempt, one_line(&it.phase), one_line(why));
        paragraph(&said, view)
    });
    std::iter::once(replicas(list, view)).chain(why).collect()
}

/// What stands behind the reason, as far as there is something.
fn causes(it: &DedicatedEndpoint, status: &EndpointStatus) -> [(&'static str, String); 5] {
    [
        ("Progress", status.progress.as_ref().map(progress).unwrap_or_default()),
        ("Next retry", next_retry(&it.state, status)),
        ("First failure", status.first_failure.as_ref().map(failure).unwrap_or_default()),
        ("Last failure", last_failure(status)),
        ("Change", generation(status)),
    ]
}

fn next_retry(state: &str, status: &EndpointStatus) -> String {
    match &status.next_retry_at {
        Some(at) => moment(at),
        None if state == "ERROR" => "none until you run `start`".to_owned(),
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
    format!("generation {} requested, {} observed", status.generation, status.observed_generation)
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
