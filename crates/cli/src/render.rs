//! Answers as text for people. Pure: values in, text out; foreign text is made harmless here.

use anstyle::{AnsiColor, Effects, Style};
use dedi_api::{
    DedicatedEndpoint, EndpointEvent, EndpointPlan, EndpointStatus, FailureInfo, Hardware, KeyInfo,
    LaunchProgress, ListEndpoint, Model, ReplicaInfo,
};

use crate::console::{harmless, paint};

/// `Label: value` lines, values aligned. Empty values are left out.
pub(crate) fn block(rows: &[(&str, String)]) -> String {
    let rows: Vec<_> = rows.iter().filter(|(_, value)| !value.is_empty()).collect();
    let width = rows.iter().map(|(label, _)| label.len() + 1).max().unwrap_or(0);
    rows.iter().map(|(label, value)| format!("{:<width$} {value}\n", format!("{label}:"))).collect()
}

/// A table with upper-case heads. Widths count characters, and colours not at all.
pub(crate) fn table(heads: &[&str], rows: &[Vec<Cell>]) -> String {
    let widths: Vec<usize> = heads
        .iter()
        .enumerate()
        .map(|(column, head)| {
            let cells = rows.iter().filter_map(|row| row.get(column)).map(|it| it.text.chars().count());
            cells.chain([head.len()]).max().unwrap_or(0)
        })
        .collect();
    let mut out = line(&heads.iter().map(|it| Cell::plain(it)).collect::<Vec<_>>(), &widths, false);
    for row in rows {
        out.push_str(&line(row, &widths, true));
    }
    out
}

fn line(cells: &[Cell], widths: &[usize], styled: bool) -> String {
    let mut out = String::new();
    for (cell, width) in cells.iter().zip(widths) {
        if !out.is_empty() {
            out.push_str("  ");
        }
        let gap = " ".repeat(width.saturating_sub(cell.text.chars().count()));
        out.push_str(&paint(&cell.text, cell.style, styled && cell.styled));
        out.push_str(&gap);
    }
    format!("{}\n", out.trim_end())
}

/// One cell of a table.
pub(crate) struct Cell {
    text: String,
    style: Style,
    styled: bool,
}

impl Cell {
    pub(crate) fn plain(text: &str) -> Self {
        Self { text: one_line(text), style: Style::new(), styled: false }
    }

    fn state(state: &str, colours: bool) -> Self {
        Self { text: one_line(state), style: state_style(state), styled: colours }
    }
}

fn one_line(text: &str) -> String {
    harmless(text).replace(['\n', '\t'], " ")
}

fn state_style(state: &str) -> Style {
    match state {
        "STARTED" => AnsiColor::Green.on_default(),
        "PENDING" | "STARTING" | "STOPPING" => AnsiColor::Yellow.on_default(),
        "ERROR" => AnsiColor::Red.on_default().bold(),
        _ => Style::new().effects(Effects::DIMMED),
    }
}

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

/// The list, newest first.
pub(crate) fn endpoints(list: &[ListEndpoint], colours: bool) -> String {
    let mut list: Vec<&ListEndpoint> = list.iter().collect();
    list.sort_by(|a, b| b.created_at.cmp(&a.created_at));
    let rows: Vec<Vec<Cell>> = list
        .into_iter()
        .map(|it| {
            vec![
                Cell::plain(&it.id),
                Cell::plain(&it.name),
                Cell::state(&it.state, colours),
                Cell::plain(&it.model),
                Cell::plain(&moment(&it.created_at)),
            ]
        })
        .collect();
    table(&["ID", "NAME", "STATE", "MODEL", "CREATED"], &rows)
}

/// Hardware configurations; what is free and who has the rest where the server says so.
pub(crate) fn hardware(list: &[Hardware]) -> String {
    let rows: Vec<Vec<Cell>> = list
        .iter()
        .map(|it| {
            let usage = it.usage.as_ref();
            vec![
                Cell::plain(&it.id),
                Cell::plain(&it.specs.gpu_type),
                Cell::plain(&it.specs.gpu_count.to_string()),
                Cell::plain(&format!("{} GB", it.specs.gpu_memory)),
                Cell::plain(&format!("${:.2}", it.pricing.cents_per_minute / 100.0)),
                Cell::plain(it.availability.as_ref().map_or("-", |it| it.status.as_str())),
                Cell::plain(&usage.map_or("-".to_owned(), |it| format!("{} of {}", it.free, it.devices))),
                Cell::plain(&usage.map_or(String::new(), |it| it.used_by.join(", "))),
            ]
        })
        .collect();
    table(&["HARDWARE", "DEVICE", "COUNT", "MEMORY EACH", "PER MINUTE", "NOW", "FREE", "USED BY"], &rows)
}

/// What happened, oldest first as the server sends it.
pub(crate) fn events(list: &[EndpointEvent]) -> String {
    list.iter()
        .map(|it| {
            let replica = it.replica.as_deref().map(|it| format!(" [{}]", short(it))).unwrap_or_default();
            format!("{}  {:<16}  {}{replica}\n", moment(&it.at), one_line(&it.kind), one_line(&it.message))
        })
        .collect()
}

/// Replicas with what they hold and do.
pub(crate) fn replicas(list: &[ReplicaInfo]) -> String {
    let rows: Vec<Vec<Cell>> = list
        .iter()
        .map(|it| {
            vec![
                Cell::plain(&it.id),
                Cell::plain(&it.attempt.to_string()),
                Cell::plain(&it.phase),
                Cell::plain(&it.in_flight.to_string()),
                Cell::plain(&it.devices.join(",")),
                Cell::plain(&it.ready_at.as_deref().map_or("-".to_owned(), moment)),
            ]
        })
        .collect();
    table(&["REPLICA", "ATTEMPT", "PHASE", "IN FLIGHT", "DEVICES", "READY SINCE"], &rows)
}

/// Models, as the server sorts them.
pub(crate) fn models(list: &[Model]) -> String {
    let rows: Vec<Vec<Cell>> = list
        .iter()
        .map(|it| {
            vec![
                Cell::plain(&it.id),
                Cell::plain(&it.kind),
                Cell::plain(&it.context_length.to_string()),
                Cell::plain(if it.license.is_empty() { "-" } else { &it.license }),
            ]
        })
        .collect();
    table(&["MODEL", "TYPE", "CONTEXT", "LICENSE"], &rows)
}

/// Keys without their secrets.
pub(crate) fn keys(list: &[KeyInfo]) -> String {
    let rows: Vec<Vec<Cell>> = list
        .iter()
        .map(|it| {
            vec![
                Cell::plain(&it.id),
                Cell::plain(if it.name.is_empty() { "-" } else { &it.name }),
                Cell::plain(&it.owner),
                Cell::plain(&it.role),
                Cell::plain(&moment(&it.created_at)),
                Cell::plain(&it.expires_at.as_deref().map_or("never".to_owned(), moment)),
            ]
        })
        .collect();
    table(&["ID", "NAME", "OWNER", "ROLE", "CREATED", "EXPIRES"], &rows)
}

/// What a create would do, with the arithmetic.
pub(crate) fn plan(it: &EndpointPlan) -> String {
    let verdict = match (it.fits, it.can_start_now) {
        (true, true) => "yes, now",
        (true, false) => "yes, but not now",
        (false, _) => "no",
    };
    let nearest = it.nearest_hardware.as_deref().filter(|_| !it.fits);
    block(&[
        ("Model", one_line(&it.model)),
        ("Hardware", one_line(&it.hardware)),
        ("Fits", format!("{verdict} – {}", one_line(&it.message))),
        (
            "Needs",
            format!(
                "{} = weights {} + KV cache {} + compute {} + margin {}",
                bytes(it.needed_bytes),
                bytes(it.weights_bytes),
                bytes(it.kv_cache_bytes),
                bytes(it.compute_bytes),
                bytes(it.margin_bytes)
            ),
        ),
        ("Per device", format!("{} on each of {}", bytes(it.needed_bytes_per_device), it.devices_needed)),
        (
            "Free now",
            format!(
                "{} on {} of {}",
                bytes(it.available_bytes),
                it.devices_free,
                count(it.devices_needed, "device")
            ),
        ),
        (
            "Serves",
            format!("{} at once, {} tokens of context each", count(it.slots, "request"), it.context_tokens),
        ),
        ("Would fit on", nearest.map(one_line).unwrap_or_default()),
    ])
}

/// `1.5 GiB`, the units of the server's sentences.
pub(crate) fn bytes(n: u64) -> String {
    let scaled = [(40, "TiB"), (30, "GiB"), (20, "MiB"), (10, "KiB")];
    match scaled.into_iter().find(|(shift, _)| n >> shift > 0) {
        // Tenths, rounded down: what is shown as needed or done is never more than it is.
        Some((shift, unit)) => {
            let tenths = ((n >> (shift - 10)) * 10) >> 10;
            format!("{}.{} {unit}", tenths / 10, tenths % 10)
        }
        None => format!("{n} B"),
    }
}

/// `42 s`, `3 min 5 s`, `2 h 0 min`.
pub(crate) fn duration(secs: u64) -> String {
    match secs {
        0..60 => format!("{secs} s"),
        60..3_600 => format!("{} min {} s", secs / 60, secs % 60),
        _ => format!("{} h {} min", secs / 3_600, secs % 3_600 / 60),
    }
}

/// A wire time without its fraction of a second.
pub(crate) fn moment(text: &str) -> String {
    let text = one_line(text);
    match text.split_once('.') {
        Some((whole, fraction)) if fraction.ends_with('Z') => format!("{whole}Z"),
        Some(_) | None => text,
    }
}

/// The first eight characters of an id's uuid: enough to tell two replicas apart in a line.
fn short(id: &str) -> String {
    let id = one_line(id);
    match id.split_once('-') {
        Some((kind, uuid)) => format!("{kind}-{}", uuid.chars().take(8).collect::<String>()),
        None => id,
    }
}

/// `1 device`, `2 devices`.
fn count(n: u32, noun: &str) -> String {
    let s = if n == 1 { "" } else { "s" };
    format!("{n} {noun}{s}")
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    /// An endpoint that is being loaded for the second time.
    pub(crate) fn sample(state: &str) -> DedicatedEndpoint {
        serde_json::from_value(serde_json::json!({
            "object": "endpoint", "id": "endpoint-11111111-2222-4333-8444-555555555555",
            "name": "local/dedi/demo-a32b82a1", "display_name": "demo", "model": "dedi/demo",
            "hardware": "1x_cpu_8gb", "type": "dedicated", "owner": "local", "state": state,
            "autoscaling": {"min_replicas": 1, "max_replicas": 2},
            "created_at": "2026-11-21T07:00:00.123Z", "inactive_timeout": 60,
            "status": {
                "reason": "loading", "message": "the engine loads the model: 40 % after 3 s", "next_step": null,
                "since": "2026-11-21T07:00:02.000Z", "ready_replicas": 0, "wanted_replicas": 1,
                "progress": {"stage": "loading", "percent": 40, "bytes_done": 800u64 << 20,
                    "bytes_total": 2u64 << 30, "elapsed_secs": 3, "expected_secs": 8},
                "next_retry_at": null,
                "first_failure": {"attempt": 1, "reason": "engine_exited", "message": "the engine exited with code 1",
                    "at": "2026-11-21T07:00:01.000Z"},
                "last_failure": null, "generation": 2, "observed_generation": 1
            },
            "replicas": [{"id": "replica-99999999-2222-4333-8444-555555555555", "attempt": 2, "phase": "launching",
                "devices": ["cpu-0"], "in_flight": 0, "created_at": "2026-11-21T07:00:02.000Z", "ready_at": null}]
        }))
        .unwrap()
    }

    #[test]
    fn an_endpoint_is_a_block_with_its_reason() {
        insta::assert_snapshot!(endpoint(&sample("STARTING"), false), @r"
        ID:           endpoint-11111111-2222-4333-8444-555555555555
        Name:         local/dedi/demo-a32b82a1
        Display name: demo
        State:        STARTING – the engine loads the model: 40 % after 3 s
        Model:        dedi/demo
        Hardware:     1x_cpu_8gb
        Replicas:     0 ready, 1 wanted; min 1, max 2
        Auto-stop:    after 60 min without requests
        Owner:        local
        Created:      2026-11-21T07:00:00Z
        ");
    }

    #[test]
    fn why_tells_progress_failures_and_replicas() {
        insta::assert_snapshot!(why(&sample("STARTING"), false), @r"
        ID:            endpoint-11111111-2222-4333-8444-555555555555
        Name:          local/dedi/demo-a32b82a1
        State:         STARTING since 2026-11-21T07:00:02Z
        Reason:        loading – the engine loads the model: 40 % after 3 s
        Progress:      loading 40 %, 800.0 MiB of 2.0 GiB, 3 s of about 8 s
        Replicas:      0 ready, 1 wanted
        First failure: attempt 1 at 2026-11-21T07:00:01Z: engine_exited – the engine exited with code 1
        Change:        2 requested, 1 carried out

        REPLICA                                       ATTEMPT  PHASE      IN FLIGHT  DEVICES  READY SINCE
        replica-99999999-2222-4333-8444-555555555555  2        launching  0          cpu-0    -
        ");
    }

    #[test]
    fn the_list_is_newest_first_and_colours_do_not_move_columns() {
        let item = |id: &str, state: &str, created: &str| -> ListEndpoint {
            serde_json::from_value(serde_json::json!({
                "object": "endpoint", "id": id, "name": "o/m-1", "model": "m", "type": "dedicated",
                "owner": "o", "state": state, "created_at": created
            }))
            .unwrap()
        };
        let list = [item("a", "STARTED", "2026-01-01T00:00:00Z"), item("b", "ERROR", "2026-01-02T00:00:00Z")];
        insta::assert_snapshot!(endpoints(&list, false), @r"
        ID  NAME   STATE    MODEL  CREATED
        b   o/m-1  ERROR    m      2026-01-02T00:00:00Z
        a   o/m-1  STARTED  m      2026-01-01T00:00:00Z
        ");
        assert!(endpoints(&list, true).contains("\u{1b}[32mSTARTED\u{1b}[0m  m"));
    }

    #[test]
    fn foreign_text_stays_in_its_cell() {
        let rows = [vec![Cell::plain("a\nb\u{1b}[31m"), Cell::plain("c")]];
        assert_eq!(table(&["X", "Y"], &rows), "X         Y\na b\u{fffd}[31m  c\n");
    }

    #[test]
    fn a_plan_shows_its_arithmetic_and_what_would_fit() {
        let no: EndpointPlan = serde_json::from_value(serde_json::json!({
            "object": "endpoint.plan", "model": "org/big", "hardware": "1x_cpu_1gb", "fits": false,
            "can_start_now": false, "message": "1x_cpu_1gb is too small: a replica needs 3.0 GiB, it has 1.0 GiB",
            "needed_bytes": 3u64 << 30, "needed_bytes_per_device": 3u64 << 30, "weights_bytes": 2u64 << 30,
            "kv_cache_bytes": 512u64 << 20, "compute_bytes": 256u64 << 20, "margin_bytes": 256u64 << 20,
            "available_bytes": 1u64 << 30, "devices_needed": 1, "devices_free": 1, "context_tokens": 4096,
            "slots": 4, "nearest_hardware": "4x_cpu_1gb"
        }))
        .unwrap();
        insta::assert_snapshot!(plan(&no), @r"
        Model:        org/big
        Hardware:     1x_cpu_1gb
        Fits:         no – 1x_cpu_1gb is too small: a replica needs 3.0 GiB, it has 1.0 GiB
        Needs:        3.0 GiB = weights 2.0 GiB + KV cache 512.0 MiB + compute 256.0 MiB + margin 256.0 MiB
        Per device:   3.0 GiB on each of 1
        Free now:     1.0 GiB on 1 of 1 device
        Serves:       4 requests at once, 4096 tokens of context each
        Would fit on: 4x_cpu_1gb
        ");
    }

    #[test]
    fn numbers_read_well() {
        assert_eq!([bytes(1_023), bytes(1_536), bytes(3_300_000_000)], ["1023 B", "1.5 KiB", "3.0 GiB"]);
        assert_eq!([duration(59), duration(61), duration(7_260)], ["59 s", "1 min 1 s", "2 h 1 min"]);
    }
}
