//! `dedi endpoints`: what each command asks the server and prints of its answer.

use dedi_cli::Exit;
use serde_json::json;

use crate::program::run;
use crate::server::{Answer, ID, Server, endpoint};

#[tokio::test]
async fn create_sends_the_contracts_body_and_prints_the_endpoint() {
    let server = Server::start(vec![Answer::json(200, endpoint("PENDING"))]).await;
    let done =
        run(&server, &["endpoints", "create", "--model", "dedi/demo", "--hardware", "1x_cpu_8gb"]).await;
    assert_eq!(done.exit, Exit::Done, "{done:?}");
    assert!(done.out.contains(&format!("ID:           {ID}")), "{done:?}");
    assert!(done.err.starts_with(&format!("Created {ID} (local/dedi/demo-a32b82a1).")), "{done:?}");
    let asked = server.asked();
    assert_eq!(asked[0].line, "POST /v1/endpoints");
    assert_eq!(asked[0].authorization, "Bearer dedi_test");
    assert_eq!(
        asked[0].body,
        json!({"model": "dedi/demo", "hardware": "1x_cpu_8gb", "state": "STARTED",
            "autoscaling": {"min_replicas": 1, "max_replicas": 1}})
    );
}

#[tokio::test]
async fn get_finds_a_display_name_through_the_list() {
    let mut item = endpoint("STARTED");
    item.as_object_mut().unwrap().remove("display_name");
    let server = Server::start(vec![
        Answer::json(200, json!({"object": "list", "data": [item]})),
        Answer::json(200, endpoint("STARTED")), // the item lists no display name, so the endpoint is asked
        Answer::json(200, endpoint("STARTED")),
    ])
    .await;
    let done = run(&server, &["endpoints", "get", "My demo"]).await;
    assert_eq!(done.exit, Exit::Done, "{done:?}");
    assert_eq!(server.asked()[2].line, format!("GET /v1/endpoints/{ID}"));
}

#[tokio::test]
async fn delete_takes_no_beginning_of_a_name() {
    let list = json!({"object": "list", "data": [endpoint("STARTED")]});
    let server = Server::start(vec![Answer::json(200, list)]).await;
    let done = run(&server, &["endpoints", "delete", "My"]).await;
    assert_eq!(done.exit, Exit::Refused);
    assert!(done.err.starts_with("error: `My`: no endpoint has exactly this id"), "{done:?}");
    assert!(server.asked().iter().all(|it| it.line.starts_with("GET")));
}

#[tokio::test]
async fn hardware_shows_what_is_free_and_who_has_the_rest() {
    let hardware = json!({"object": "list", "data": [
        {"object": "hardware", "id": "1x_cpu_8gb", "pricing": {"cents_per_minute": 0.0}, "updated_at": "2026-11-21T07:00:00Z",
         "specs": {"gpu_type": "cpu-8gb", "gpu_link": "", "gpu_memory": 8.0, "gpu_count": 1},
         "availability": {"status": "available"}, "usage": {"devices": 2, "free": 1, "used_by": ["local/dedi/demo-1"]}},
        {"object": "hardware", "id": "2x_cpu_8gb", "pricing": {"cents_per_minute": 5.42}, "updated_at": "2026-11-21T07:00:00Z",
         "specs": {"gpu_type": "cpu-8gb", "gpu_link": "", "gpu_memory": 8.0, "gpu_count": 2},
         "availability": {"status": "insufficient"}}]});
    let mut item = endpoint("STARTED");
    item["name"] = json!("local/dedi/demo-1");
    item.as_object_mut().unwrap().remove("display_name");
    let server = Server::start(vec![
        Answer::json(200, hardware.clone()),
        Answer::json(200, json!({"object": "list", "data": [item]})),
        Answer::json(200, endpoint("STARTED")),
        Answer::json(200, hardware).again(),
    ])
    .await;
    let all = run(&server, &["endpoints", "hardware", "--model", "dedi/demo"]).await;
    insta::assert_snapshot!(all.out, @r"
    HARDWARE    MEMORY EACH  PER MINUTE  NOW           FREE    USED BY
    1x_cpu_8gb  8 GB         $0.00       available     1 of 2  local/dedi/demo-1 (My demo)
    2x_cpu_8gb  8 GB         $0.05       insufficient  -
    ");
    let free =
        run(&server, &["endpoints", "hardware", "--model", "dedi/demo", "--available", "--json"]).await;
    let printed: serde_json::Value = serde_json::from_str(&free.out).unwrap();
    assert_eq!(printed.as_array().unwrap().len(), 1);
    assert_eq!(server.asked()[0].line, "GET /v1/hardware?model=dedi%2Fdemo");
    let refused = run(&server, &["endpoints", "hardware", "--available"]).await;
    assert_eq!(refused.exit, Exit::Usage);
    assert!(refused.err.starts_with("error: --available needs --model MODEL"), "{refused:?}");
}

#[tokio::test]
async fn list_shows_display_names() {
    let mut item = endpoint("STARTED");
    item.as_object_mut().unwrap().remove("display_name");
    let list = json!({"object": "list", "data": [item]});
    let server =
        Server::start(vec![Answer::json(200, list.clone()), Answer::json(200, endpoint("STARTED"))]).await;
    let done = run(&server, &["endpoints", "list"]).await;
    assert_eq!(done.exit, Exit::Done, "{done:?}");
    assert!(done.out.contains("DISPLAY NAME") && done.out.contains("  My demo  "), "{done:?}");
    // What programs read stays the server's answer.
    let server = Server::start(vec![Answer::json(200, list.clone())]).await;
    let done = run(&server, &["endpoints", "list", "--json"]).await;
    assert_eq!(server.asked().len(), 1, "{done:?}");
    let printed: serde_json::Value = serde_json::from_str(&done.out).unwrap();
    assert!(printed[0].get("display_name").is_none() && printed[0]["id"] == ID, "{printed}");
}

#[tokio::test]
async fn list_shows_display_names_of_the_newest_50_only() {
    let list: Vec<_> = (0..51)
        .map(|n| {
            let mut item = endpoint("STARTED");
            item.as_object_mut().unwrap().remove("display_name");
            item["created_at"] = json!(format!("2026-11-21T07:00:{n:02}.000Z"));
            item
        })
        .collect();
    let server = Server::start(vec![
        Answer::json(200, json!({"object": "list", "data": list})),
        Answer::json(200, endpoint("STARTED")).again(),
    ])
    .await;
    let done = run(&server, &["endpoints", "list", "-o", "wide"]).await;
    assert_eq!((done.exit, server.asked().len()), (Exit::Done, 51), "{done:?}");
    assert_eq!(done.err, "Display names are shown for the newest 50 only.\n");
    let oldest = done.out.lines().last().unwrap();
    assert!(oldest.contains("07:00:00Z") && !oldest.contains("My demo"), "{oldest}");
}

#[tokio::test]
async fn exact_names_match_no_prefix() {
    let mut other = endpoint("STOPPED");
    other["display_name"] = json!("My demo in production");
    let list = json!({"object": "list", "data": [other]});
    let server = Server::start(vec![Answer::json(200, list).again()]).await;
    for command in ["get", "start", "stop", "why", "events", "logs", "replicas"] {
        let done = run(&server, &["endpoints", command, "My demo", "--exact"]).await;
        assert_eq!(done.exit, Exit::Refused, "{command}: {done:?}");
        assert!(done.err.starts_with("error: `My demo`: no endpoint has exactly this id"), "{done:?}");
    }
    assert!(server.asked().iter().all(|it| it.line == "GET /v1/endpoints"));
}

#[tokio::test]
async fn logs_that_are_empty_say_why() {
    let event = |replica: Option<&str>| {
        json!({"object": "list", "data": [{"id": 7, "at": "2026-11-21T07:00:00.123Z", "kind": "created",
            "replica": replica, "message": "made"}]})
    };
    for (replica, said) in [
        (
            None,
            format!(
                "{ID} has not been launched yet, so it has no log; see why with `dedi endpoints why {ID}`.\n"
            ),
        ),
        (
            Some("replica-1"),
            format!("The log is empty; see what happened with `dedi endpoints events {ID}`.\n"),
        ),
    ] {
        for follow in [&["--follow"][..], &[]] {
            let mut answers = vec![Answer::text(200, "text/plain", ""), Answer::json(200, event(replica))];
            if !follow.is_empty() {
                answers.insert(0, no_replicas());
            }
            let server = Server::start(answers).await;
            let done = run(&server, &[&["endpoints", "logs", ID], follow].concat()).await;
            assert_eq!((done.exit, done.out.as_str(), done.err.as_str()), (Exit::Done, "", said.as_str()));
        }
    }
}

#[tokio::test]
async fn plan_that_does_not_fit_exits_with_1_and_creates_nothing() {
    let plan = json!({"object": "endpoint.plan", "model": "m", "hardware": "h", "fits": false, "can_start_now": false,
        "message": "h is too small", "needed_bytes": 2, "needed_bytes_per_device": 2, "weights_bytes": 1,
        "kv_cache_bytes": 1, "compute_bytes": 0, "margin_bytes": 0, "available_bytes": 0, "devices_needed": 1,
        "devices_free": 0, "context_tokens": 1, "slots": 1, "nearest_hardware": null});
    let server = Server::start(vec![Answer::json(200, plan)]).await;
    let done = run(&server, &["endpoints", "create", "--model", "m", "--hardware", "h", "--plan"]).await;
    assert_eq!(done.exit, Exit::Refused, "{done:?}");
    assert!(done.out.contains("Fits:       no – h is too small") && done.err.is_empty(), "{done:?}");
    assert_eq!(server.asked()[0].line, "POST /v1/endpoints?dry_run=true");
}

fn no_replicas() -> Answer {
    Answer::json(200, json!({"object": "list", "data": []}))
}

#[tokio::test]
async fn logs_are_printed_verbatim() {
    let server = Server::start(vec![Answer::text(200, "text/plain", "one\ntwo ä\nunfinished").again()]).await;
    let done = run(&server, &["endpoints", "logs", ID, "--attempt", "2", "--tail", "5", "--follow"]).await;
    assert_eq!((done.exit, done.out.as_str()), (Exit::Done, "one\ntwo ä\nunfinished"), "{done:?}");
    assert_eq!(
        server.asked()[0].line,
        format!("GET /v1/endpoints/{ID}/logs?attempt=2&tail=5&follow=true&marks=true")
    );
}

#[tokio::test]
async fn logs_resume_from_their_last_cursor() {
    let first = Answer::text(200, "text/plain", "one\n\u{1e}3.a\ntwo\n\u{1e}3.b\nthr").cut();
    let busy = json!({"error": {"message": "not now", "type": "server_error", "param": null, "code": "x"}});
    let rest = Answer::text(200, "text/plain", "\u{1e}3.b\nthree\n\u{1e}3.c\n");
    let server =
        Server::start(vec![no_replicas(), first, Answer::hang_up(), Answer::json(503, busy), rest]).await;
    let done = run(&server, &["endpoints", "logs", ID, "--follow"]).await;
    assert_eq!((done.exit, done.out.as_str()), (Exit::Done, "one\ntwo\nthree\n"), "{done:?}");
    assert_eq!(done.err.matches("the server closed the connection").count(), 1, "{done:?}");
    let asked = server.asked();
    assert_eq!(asked.len(), 5);
    assert!(
        done.err.contains(&format!(
            "Attempt 3 has ended. Follow the next one with `dedi endpoints logs {ID} --follow`"
        )),
        "{done:?}"
    );
    assert_eq!(asked[4].line, format!("GET /v1/endpoints/{ID}/logs?follow=true&marks=true&from=3.b"));
}

#[tokio::test]
async fn logs_of_an_unknown_replica_name_the_known_ones() {
    let replica = "replica-99999999-2222-4333-8444-555555555555";
    let message = format!("There is no launch of that number or replica: attempt 1 was {replica}");
    let refusal = json!({"id": "req_1", "error": {"message": message, "type": "not_found", "param": null, "code": "not_found"}});
    let server =
        Server::start(vec![Answer::json(404, refusal), Answer::text(200, "text/plain", "one\n").again()])
            .await;
    let done = run(&server, &["endpoints", "logs", ID, "--replica", "replica-9/9"]).await;
    assert_eq!(done.exit, Exit::Refused, "{done:?}");
    assert_eq!(
        done.err,
        format!("error: {message}\nhint: list its launches with `dedi endpoints events {ID}`\n")
    );
    assert_eq!(server.asked()[0].line, format!("GET /v1/endpoints/{ID}/logs?replica=replica-9%2F9"));

    let done = run(&server, &["endpoints", "logs", ID, "--replica", replica, "--json"]).await;
    assert_eq!(done.exit, Exit::Done, "{done:?}");
    let printed: serde_json::Value = serde_json::from_str(&done.out).unwrap();
    assert_eq!(printed, json!({"id": ID, "attempt": null, "replica": replica, "log": "one\n"}));
}

#[tokio::test]
async fn events_are_read_to_the_last_page() {
    let event = |id: i64| json!({"id": id, "at": "2026-11-21T07:00:00.123Z", "kind": "created", "replica": null, "message": "made"});
    let full: Vec<_> = (1..=1_000).map(event).collect();
    let server = Server::start(vec![
        Answer::json(200, json!({"object": "list", "data": full})),
        Answer::json(200, json!({"object": "list", "data": [event(1_001)]})),
    ])
    .await;
    let done = run(&server, &["endpoints", "events", ID]).await;
    assert_eq!(done.out.lines().count(), 1_002, "{:?}", done.exit);
    // The number that `--after` takes.
    assert_eq!(done.out.lines().nth(1), Some("1     2h    created  -        made"));
    assert_eq!(server.asked()[1].line, format!("GET /v1/endpoints/{ID}/events?after=1000&limit=1000"));
}
