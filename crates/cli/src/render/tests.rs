//! What people read, as snapshots.

use dedi_api::{DedicatedEndpoint, EndpointPlan};

use crate::resolve::Item;

use super::layout::{Cell, table};
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
fn why_says_of_each_replica_that_ends_why_it_does() {
    let mut it = sample("STARTED");
    let mut draining = it.replicas.as_ref().unwrap()[0].clone();
    draining.phase = "draining".to_owned();
    draining.reason = Some("scaled_down".to_owned());
    draining.message = Some("one replica fewer is wanted (2 -> 1)\n".to_owned());
    it.replicas.as_mut().unwrap().push(draining);
    let text = why(&it, false);
    let said: Vec<&str> = text.lines().skip_while(|it| !it.starts_with("REPLICA")).skip(3).collect();
    assert_eq!(said, ["attempt 2 is draining: one replica fewer is wanted (2 -> 1) "]);
}

#[test]
fn the_list_has_display_names_and_colours_do_not_move_columns() {
    let item = |id: &str, display_name: Option<&str>, state: &str, created: &str| -> Item {
        serde_json::from_value(serde_json::json!({
            "object": "endpoint", "id": id, "display_name": display_name, "name": "o/m-1", "model": "m", "type": "dedicated",
            "owner": "o", "state": state, "created_at": created
        }))
        .unwrap()
    };
    let list = [
        item("b", None, "ERROR", "2026-01-02T00:00:00Z"),
        item("a", Some("My demo"), "STARTED", "2026-01-01T00:00:00Z"),
    ];
    insta::assert_snapshot!(endpoints(&list, false), @r"
    ID  DISPLAY NAME  NAME   STATE    MODEL  CREATED
    b   -             o/m-1  ERROR    m      2026-01-02T00:00:00Z
    a   My demo       o/m-1  STARTED  m      2026-01-01T00:00:00Z
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
