//! What people read, as snapshots.

use dedi_api::{DedicatedEndpoint, EndpointPlan};

use crate::resolve::Item;

use super::layout::{Cell, Table, text};
use super::*;

fn view(width: Option<usize>) -> View {
    let now = "2026-11-21T10:00:00Z".parse().unwrap();
    View { width, colours: false, is_wide: false, now }
}

/// What a pipe gets.
fn piped() -> View {
    view(None)
}

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
    insta::assert_snapshot!(endpoint(&sample("STARTING"), &piped()), @r"
    ID:           endpoint-11111111-2222-4333-8444-555555555555
    Name:         local/dedi/demo-a32b82a1
    Display name: demo
    State:        STARTING – the engine loads the model: 40 % after 3 s
    Model:        dedi/demo
    Hardware:     1x_cpu_8gb
    Replicas:     0/1 ready; min 1, max 2
    Auto-stop:    after 60 min without requests
    Owner:        local
    Created:      2026-11-21T07:00:00Z
    ");
}

#[test]
fn why_tells_progress_failures_and_replicas() {
    insta::assert_snapshot!(why(&sample("STARTING"), &piped()), @r"
    ID:            endpoint-11111111-2222-4333-8444-555555555555
    Name:          local/dedi/demo-a32b82a1
    State:         STARTING since 2026-11-21T07:00:02Z
    Reason:        loading – the engine loads the model: 40 % after 3 s
    Replicas:      0/1 ready
    Progress:      loading 40 %, 800.0 MiB of 2.0 GiB, 3 s of about 8 s
    First failure: attempt 1 at 2026-11-21T07:00:01Z: engine_exited – the engine exited with code 1
    Change:        generation 2 requested, 1 observed

    REPLICA                                       ATTEMPT  PHASE      IN FLIGHT  READY FOR  DEVICES
    replica-99999999-2222-4333-8444-555555555555  2        launching  0          -          cpu-0
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
    let text = why(&it, &piped());
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
        item("b", None, "ERROR", "2026-11-02T00:00:00Z"),
        item("a", Some("My demo"), "STARTED", "2026-11-03T00:00:00Z"),
    ];
    insta::assert_snapshot!(endpoints(&list, &piped()).render(&piped()), @r"
    ID  DISPLAY NAME  NAME   STATE     MODEL  AGE
    b   -             o/m-1  ERROR     m      19d
    a   My demo       o/m-1  STARTED   m      18d
    ");
    let coloured = View { colours: true, ..piped() };
    assert!(endpoints(&list, &coloured).render(&coloured).contains("\u{1b}[32mSTARTED\u{1b}[0m   m"));
    let wide = View { is_wide: true, ..piped() };
    insta::assert_snapshot!(endpoints(&list, &wide).render(&wide), @r"
    ID  DISPLAY NAME  NAME   STATE     MODEL  CREATED               OWNER
    b   -             o/m-1  ERROR     m      2026-11-02T00:00:00Z  o
    a   My demo       o/m-1  STARTED   m      2026-11-03T00:00:00Z  o
    ");
}

#[test]
fn foreign_text_stays_in_its_cell() {
    let rows = vec![vec![Cell::plain("a\nb\u{1b}[31m"), Cell::plain("c")]];
    let table = Table::new([text("X"), text("Y")], rows);
    assert_eq!(table.render(&piped()), "X         Y\na b\u{fffd}[31m  c\n");
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
    insta::assert_snapshot!(plan(&no, &piped()), @r"
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
fn a_block_wraps_its_values_on_a_terminal() {
    let mut endpoint = sample("STARTING");
    endpoint.status.as_mut().unwrap().next_step = Some(
        "free a device: `dedi endpoints hardware` shows who uses them, `dedi endpoints stop ENDPOINT` frees one"
            .to_owned(),
    );
    insta::assert_snapshot!(why(&endpoint, &view(Some(80))), @r"
    ID:            endpoint-11111111-2222-4333-8444-555555555555
    Name:          local/dedi/demo-a32b82a1
    State:         STARTING since 2026-11-21T07:00:02Z
    Reason:        loading – the engine loads the model: 40 % after 3 s
    Next step:     free a device: `dedi endpoints hardware` shows who uses them,
                   `dedi endpoints stop ENDPOINT` frees one
    Replicas:      0/1 ready
    Progress:      loading 40 %, 800.0 MiB of 2.0 GiB, 3 s of about 8 s
    First failure: attempt 1 at 2026-11-21T07:00:01Z: engine_exited – the engine
                   exited with code 1
    Change:        generation 2 requested, 1 observed

    REPLICA           ATTEMPT  PHASE      IN FLIGHT  READY FOR  DEVICES
    replica-99999999  2        launching  0          -          cpu-0
    ");
}

/// Two replicas on four GPUs each, of an endpoint and a model with names as long as real ones.
fn large() -> DedicatedEndpoint {
    let replica = |n: u32, phase: &str, ready_at: Option<&str>| {
        let devices: Vec<String> =
            (0..4).map(|gpu| format!("GPU-{n}{gpu}23456a-2222-4333-8444-555555555555")).collect();
        serde_json::json!({"id": format!("replica-{n}2345678-2222-4333-8444-555555555555"), "attempt": 10 + n,
            "phase": phase, "devices": devices, "in_flight": 128, "created_at": "2026-11-21T07:00:02.000Z",
            "ready_at": ready_at})
    };
    let mut endpoint = serde_json::to_value(sample("STARTED")).unwrap();
    endpoint["name"] = "research/meta-llama/Llama-3.3-70B-Instruct-a32b82a1".into();
    endpoint["model"] = "meta-llama/Llama-3.3-70B-Instruct".into();
    endpoint["hardware"] = "4x_nvidia_h100_80gb_sxm".into();
    endpoint["replicas"] = serde_json::json!([
        replica(1, "ready", Some("2026-11-21T07:30:00.000Z")),
        replica(2, "unresponsive", None),
    ]);
    serde_json::from_value(endpoint).unwrap()
}

#[test]
fn four_gpus_of_a_replica_fit_80_columns_and_a_pipe_gets_them_whole() {
    let list = large().replicas.unwrap();
    let narrow = replicas(&list, &view(Some(80)));
    assert!(narrow.lines().all(|it| it.chars().count() <= 80), "{narrow}");
    insta::assert_snapshot!(narrow, @r"
    REPLICA           ATTEMPT  PHASE         IN FLIGHT  READY FOR  DEVICES
    replica-12345678  11       ready         128        2h         GPU-1023456a,
                                                                   GPU-1123456a,
                                                                   GPU-1223456a,
                                                                   GPU-1323456a
    replica-22345678  12       unresponsive  128        -          GPU-2023456a,
                                                                   GPU-2123456a,
                                                                   GPU-2223456a,
                                                                   GPU-2323456a
    ");
    insta::assert_snapshot!(replicas(&list, &view(Some(120))), @r"
    REPLICA           ATTEMPT  PHASE         IN FLIGHT  READY FOR  DEVICES
    replica-12345678  11       ready         128        2h         GPU-1023456a,GPU-1123456a,GPU-1223456a,GPU-1323456a
    replica-22345678  12       unresponsive  128        -          GPU-2023456a,GPU-2123456a,GPU-2223456a,GPU-2323456a
    ");
    insta::assert_snapshot!(replicas(&list, &piped()), @r"
    REPLICA                                       ATTEMPT  PHASE         IN FLIGHT  READY FOR  DEVICES
    replica-12345678-2222-4333-8444-555555555555  11       ready         128        2h         GPU-1023456a-2222-4333-8444-555555555555,GPU-1123456a-2222-4333-8444-555555555555,GPU-1223456a-2222-4333-8444-555555555555,GPU-1323456a-2222-4333-8444-555555555555
    replica-22345678-2222-4333-8444-555555555555  12       unresponsive  128        -          GPU-2023456a-2222-4333-8444-555555555555,GPU-2123456a-2222-4333-8444-555555555555,GPU-2223456a-2222-4333-8444-555555555555,GPU-2323456a-2222-4333-8444-555555555555
    ");
}

#[test]
fn a_description_is_one_page_of_80_columns() {
    let event = |id: i64, kind: &str, replica: Option<&str>, message: &str| -> dedi_api::EndpointEvent {
        serde_json::from_value(serde_json::json!({"id": id, "at": "2026-11-21T09:58:00.123Z", "kind": kind,
            "replica": replica, "message": message}))
        .unwrap()
    };
    let events = [
        event(7, "state_changed", None, "PENDING: no device is free; it waits for 4 of nvidia_h100_80gb_sxm"),
        event(1200, "replica_launched", Some("replica-12345678-2222-4333-8444-555555555555"), "attempt 11"),
    ];
    let page = describe(&large(), &events, &view(Some(80)));
    assert!(page.lines().all(|it| it.chars().count() <= 80), "{page}");
    insta::assert_snapshot!(page, @r"
    ID:            endpoint-11111111-2222-4333-8444-555555555555
    Name:          research/meta-llama/Llama-3.3-70B-Instruct-a32b82a1
    Display name:  demo
    State:         STARTED – the engine loads the model: 40 % after 3 s
    Model:         meta-llama/Llama-3.3-70B-Instruct
    Hardware:      4x_nvidia_h100_80gb_sxm
    Replicas:      0/1 ready; min 1, max 2
    Auto-stop:     after 60 min without requests
    Owner:         local
    Created:       2026-11-21T07:00:00Z
    Reason:        loading
    Since:         2026-11-21T07:00:02Z
    Progress:      loading 40 %, 800.0 MiB of 2.0 GiB, 3 s of about 8 s
    First failure: attempt 1 at 2026-11-21T07:00:01Z: engine_exited – the engine
                   exited with code 1
    Change:        generation 2 requested, 1 observed

    Replicas
    REPLICA           ATTEMPT  PHASE         IN FLIGHT  READY FOR  DEVICES
    replica-12345678  11       ready         128        2h         GPU-1023456a,
                                                                   GPU-1123456a,
                                                                   GPU-1223456a,
                                                                   GPU-1323456a
    replica-22345678  12       unresponsive  128        -          GPU-2023456a,
                                                                   GPU-2123456a,
                                                                   GPU-2223456a,
                                                                   GPU-2323456a

    Last events
    ID    AGE   EVENT             REPLICA           MESSAGE
    7     119s  state_changed     -                 PENDING: no device is free; it
                                                    waits for 4 of
                                                    nvidia_h100_80gb_sxm
    1200  119s  replica_launched  replica-12345678  attempt 11
    ");
}

#[test]
fn a_column_that_finds_no_room_goes_before_others_wrap() {
    let item = |n: u32, display_name: &str, state: &str| -> Item {
        serde_json::from_value(serde_json::json!({
            "object": "endpoint", "id": format!("endpoint-{n}2345678-2222-4333-8444-555555555555"),
            "display_name": display_name, "name": "research/meta-llama/Llama-3.3-70B-Instruct-a32b82a1",
            "model": "meta-llama/Llama-3.3-70B-Instruct", "type": "dedicated", "owner": "research", "state": state,
            "created_at": "2026-11-21T09:59:00.000Z"
        }))
        .unwrap()
    };
    let list = [item(1, "Support bot", "STARTED"), item(2, "日本語のボット (customer support)", "PENDING")];
    let at = |width| endpoints(&list, &view(Some(width))).render(&view(Some(width)));
    insta::assert_snapshot!(at(80), @r"
    ID                 DISPLAY NAME           STATE     MODEL                   AGE
    endpoint-12345678  Support bot            STARTED   meta-llama/             60s
                                                        Llama-3.3-70B-Instruct
    endpoint-22345678  日本語のボット         PENDING   meta-llama/             60s
                       (customer support)               Llama-3.3-70B-Instruct
    ");
    insta::assert_snapshot!(at(120), @r"
    ID                 DISPLAY NAME                       STATE     MODEL                              AGE
    endpoint-12345678  Support bot                        STARTED   meta-llama/Llama-3.3-70B-Instruct  60s
    endpoint-22345678  日本語のボット (customer support)  PENDING   meta-llama/Llama-3.3-70B-Instruct  60s
    ");
    insta::assert_snapshot!(endpoints(&list, &piped()).render(&piped()), @r"
    ID                                             DISPLAY NAME                       NAME                                                 STATE     MODEL                              AGE
    endpoint-12345678-2222-4333-8444-555555555555  Support bot                        research/meta-llama/Llama-3.3-70B-Instruct-a32b82a1  STARTED   meta-llama/Llama-3.3-70B-Instruct  60s
    endpoint-22345678-2222-4333-8444-555555555555  日本語のボット (customer support)  research/meta-llama/Llama-3.3-70B-Instruct-a32b82a1  PENDING   meta-llama/Llama-3.3-70B-Instruct  60s
    ");
}

#[test]
fn ages_have_one_unit_and_a_clock_that_is_behind_makes_none_negative() {
    let of = |at: &str| units::age(at, &piped());
    let ages =
        ["2026-11-21T09:59:18.5Z", "2026-11-21T09:50:00Z", "2026-11-20T10:30:00Z", "2026-11-11T10:00:00Z"];
    assert_eq!(ages.map(of), ["41s", "10m", "23h", "10d"]);
    assert_eq!([of("2026-11-21T10:00:09Z"), of("soon")], ["0s", "soon"]);
    assert_eq!(units::until("2026-11-24T10:00:00Z", &piped()), "in 3d");
    assert_eq!(units::until("2026-11-21T09:00:00Z", &piped()), "expired");
    let wide = View { is_wide: true, ..piped() };
    assert_eq!(units::age("2026-11-21T09:50:00.123Z", &wide), "2026-11-21T09:50:00Z");
}

#[test]
fn numbers_read_well() {
    assert_eq!([bytes(1_023), bytes(1_536), bytes(3_300_000_000)], ["1023 B", "1.5 KiB", "3.0 GiB"]);
    assert_eq!([duration(59), duration(61), duration(7_260)], ["59 s", "1 min 1 s", "2 h 1 min"]);
}
