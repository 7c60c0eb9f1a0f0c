//! Streams: their bytes, and every way they end.

use std::time::Duration;

use dedi_gateway::GatewayConfig;

use crate::engine::{Engine, Step, end, event, finishes, json, says, short_stream, stream_head};
use crate::plane::{NAME, Plane, endpoint_id, replica_id};

#[tokio::test]
async fn a_stream_has_the_contracts_shape_to_the_byte() {
    let logprobs = r#"{"choices":[{"index":0,"delta":{"content":" you"},"logprobs":{"content":[{"token":" you","logprob":-0.5,"top_logprobs":[{"token":" you","logprob":-0.5}]}]},"finish_reason":null}]}"#;
    let steps = [
        vec![
            stream_head(),
            event(
                r#"{"choices":[{"index":0,"delta":{"role":"assistant","content":""},"finish_reason":null}]}"#,
            ),
        ],
        vec![says("Hi \\\"🦀"), event(logprobs)],
        finishes(),
    ];
    let engine = Engine::start(steps.concat());
    let plane = Plane::with(&[&engine]).await;
    let body = format!(
        r#"{{"model":"{NAME}","messages":[{{"role":"user","content":"x"}}],"stream":true,"seed":42}}"#
    );
    let answer = plane.chat(&body).await.answer().await;
    assert_eq!((answer.status, answer.complete), (200, true));
    assert_eq!(answer.header("content-type"), Some("text/event-stream"));
    assert_eq!(answer.header("x-content-type-options"), Some("nosniff"));
    assert_eq!(answer.header("cache-control"), Some("no-store"));
    assert_eq!((answer.header("server"), answer.header("set-cookie")), (None, None));
    let created = answer.body.split("\"created\":").nth(1).unwrap().split(',').next().unwrap();
    let said = answer
        .body_without_id()
        .replace(&format!("\"created\":{created}"), "\"created\":T")
        .replace(NAME, "M");
    let chunk = |choice: &str, usage: &str| {
        format!(
            "data: {{\"id\":\"ID\",\"object\":\"chat.completion.chunk\",\"created\":T,\"model\":\"M\",\"choices\":[{{\"index\":0,{choice}}}],\"usage\":{usage}}}\n\n"
        )
    };
    let expected = [
        chunk(
            r#""text":"","logprobs":null,"finish_reason":null,"seed":null,"delta":{"role":"assistant","content":""}"#,
            "null",
        ),
        chunk(
            r#""text":"Hi \"🦀","logprobs":null,"finish_reason":null,"seed":null,"delta":{"role":"assistant","content":"Hi \"🦀"}"#,
            "null",
        ),
        chunk(
            r#""text":" you","logprobs":-0.5,"top_logprobs":{" you":-0.5},"finish_reason":null,"seed":null,"delta":{"role":"assistant","content":" you"}"#,
            "null",
        ),
        chunk(
            r#""text":"","logprobs":null,"finish_reason":"stop","seed":42,"delta":{"role":"assistant","content":""}"#,
            r#"{"prompt_tokens":5,"completion_tokens":2,"total_tokens":7}"#,
        ),
        "data: [DONE]\n\n".to_owned(),
    ];
    assert_eq!(said, expected.concat());
    let sent = &engine.requests()[0];
    assert_eq!(sent["body"]["model"], "engine-model");
    assert_eq!(sent["body"]["stream_options"]["include_usage"], true);
    assert!(!sent["head"].as_str().unwrap().to_lowercase().contains("authorization"));
}

#[tokio::test]
async fn however_an_engines_bytes_are_cut_its_client_gets_the_same() {
    let steps = [vec![stream_head(), says("né\\u00e9🦀"), says(" you"), says("!")], finishes()].concat();
    let bytes: Vec<_> = steps.iter().flat_map(Step::bytes).collect();
    let engine = Engine::start(steps);
    let plane = Plane::with(&[&engine]).await;
    let created = |body: &str| body.split("\"created\":").nth(1).unwrap()[..10].to_owned();
    let whole = plane.ask(true).await.answer().await;
    let expected = whole.body_without_id().replace(&created(&whole.body), "T");
    assert!(whole.complete && expected.ends_with("data: [DONE]\n\n"), "{expected}");
    for size in [1, 2, 3, 7, 50, 200, bytes.len()] {
        let pieces: Vec<_> = bytes.chunks(size).map(|it| Step::Raw(it.to_vec())).collect();
        engine.then(pieces);
        let answer = plane.ask(true).await.answer().await;
        assert!(answer.complete, "cut into {size}: {}", answer.body);
        let said = answer.body_without_id().replace(&created(&answer.body), "T");
        assert_eq!(said, expected, "cut into {size}");
    }
}

#[tokio::test]
async fn an_event_alone_leaves_at_once_and_those_that_came_together_leave_together() {
    let rest = [vec![says("you"); 100], finishes()].concat();
    let rest = Step::Raw(rest.iter().flat_map(Step::bytes).collect());
    let engine = Engine::start(vec![stream_head(), says("Hi"), Step::Gate, rest]);
    let plane = Plane::with(&[&engine]).await;
    let mut client = plane.ask(true).await;
    client.until("Hi").await;
    engine.open_gate();
    let answer = client.slowly().await;
    let (_, body) = answer.split_once("\r\n\r\n").unwrap();
    assert_eq!(body.matches("data: ").count(), 103);
    let chunks = body.matches("\r\n").count() / 2;
    assert!(chunks < 20, "{chunks} chunks");
}

#[tokio::test]
async fn a_client_that_is_slower_than_its_engine_gets_every_event() {
    let events = 10_000; // more bytes than all buffers between here and there have room for
    let engine = Engine::start([vec![stream_head(), Step::Flood(events)], finishes()].concat());
    let plane = Plane::with(&[&engine]).await;
    let answer = plane.ask(true).await.slowly().await;
    assert_eq!(answer.matches("data: {").count(), events + 1);
    assert!(answer.contains("\"finish_reason\":\"stop\"") && answer.contains("data: [DONE]\n\n"));
}

#[tokio::test]
async fn an_engine_that_dies_in_the_middle_gives_an_error_and_a_cut_never_a_shorter_answer() {
    let ways = [
        vec![Step::Cut],
        vec![end()],
        vec![event("[DONE]"), end()],
        vec![event("not json")],
        vec![event(r#"{"error":{"message":"out of memory","code":500}}"#)],
        vec![event(r#"{"choices":[{"index":7,"delta":{"content":"x"}}]}"#)],
        vec![Step::Chunk("x".repeat(2_000_000)), Step::UntilHangUp],
    ];
    for way in ways {
        let shown = format!("{way:?}").chars().take(80).collect::<String>();
        let engine = Engine::start([vec![stream_head(), says("Hi")], way].concat());
        let plane = Plane::with(&[&engine]).await;
        let answer = plane.ask(true).await.answer().await;
        assert_eq!((answer.status, answer.complete), (200, false), "{shown}");
        let last = answer.body.trim_end().rsplit("\n\n").next().unwrap();
        assert!(last.starts_with("data: {\"error\":{\"message\":"), "{shown}: {last}");
        assert!(
            last.contains("\"type\":\"server_error\",\"param\":null,\"code\":\"replica_failed\""),
            "{last}"
        );
        assert!(!answer.body.contains("[DONE]"), "{shown}");
        assert!(answer.body.contains("\"content\":\"Hi\""), "{shown}");
        plane.until_load(|it| it.in_flight.is_empty()).await;
    }
}

#[tokio::test]
async fn a_client_that_hangs_up_stops_the_engine() {
    let engine = Engine::start(vec![stream_head(), says("Hi"), Step::UntilHangUp]);
    let plane = Plane::with(&[&engine]).await;
    let mut client = plane.ask(true).await;
    client.until("Hi").await;
    plane.until_load(|it| it.in_flight.get(&replica_id(1)) == Some(&1)).await;
    drop(client);
    engine.until_hang_ups(1).await;
    plane.until_load(|it| it.in_flight.is_empty()).await;

    // So does one that has no answer yet, streamed or not.
    for (stream, n) in [(true, 2), (false, 3)] {
        engine.then(vec![Step::UntilHangUp]);
        let client = plane.ask(stream).await;
        engine.until_requests(usize::try_from(n).unwrap()).await;
        drop(client);
        engine.until_hang_ups(n).await;
    }
    plane.until_load(|it| it.in_flight.is_empty()).await;
    let line =
        format!("dedi_gateway_requests_total{{endpoint=\"{}\",outcome=\"cancelled\"}} 3", endpoint_id(10));
    let metrics = plane.metrics();
    assert!(metrics.lines().any(|it| it == line), "{line} in {metrics}");
}

#[tokio::test]
async fn an_error_before_the_first_event_is_a_status() {
    let long = r#"{"error":{"message":"this is 9000 tokens, the context is 4096","type":"x","param":"messages","code":400}}"#;
    let engine = Engine::start(json("400 Bad Request", long));
    let plane = Plane::with(&[&engine]).await;
    let answer = plane.ask(true).await.answer().await;
    assert_eq!(answer.status, 400);
    let error = &answer.json()["error"];
    assert_eq!(error["message"], "this is 9000 tokens, the context is 4096");
    assert_eq!((&error["type"], &error["param"]), (&"invalid_request_error".into(), &"messages".into()));
    assert_eq!(error["code"], "engine_refused", "a number is no code");
    engine.then(vec![stream_head(), event(r#"{"error":{"message":"no memory"}}"#)]);
    assert_eq!(plane.ask(true).await.answer().await.status, 502);
}

#[tokio::test]
async fn a_stream_that_is_slow_to_begin_is_kept_alive_and_its_error_is_an_event() {
    let config =
        GatewayConfig { stream_head_wait_ms: 10, keep_alive_interval_ms: 20, ..GatewayConfig::default() };
    let engine = Engine::start(vec![Step::Gate, Step::Cut]);
    let plane = Plane::configured(config, &[&engine]).await;
    let mut client = plane.ask(true).await;
    client.until(": keep-alive\n\n\r\n").await;
    engine.open_gate();
    let answer = client.answer().await;
    assert_eq!((answer.status, answer.complete), (200, false));
    assert!(answer.body.contains("data: {\"error\":"), "{}", answer.body);
}

#[tokio::test]
async fn comments_are_not_progress_and_an_idle_engine_is_given_up() {
    let config =
        GatewayConfig { idle_timeout_ms: 200, keep_alive_interval_ms: 30, ..GatewayConfig::default() };
    let engine = Engine::start(vec![stream_head(), says("Hi"), Step::UntilHangUp]);
    let plane = Plane::configured(config, &[&engine]).await;
    let answer = plane.ask(true).await.answer().await;
    assert!(!answer.complete && answer.body.contains(": keep-alive\n\n"), "{}", answer.body);
    assert!(answer.body.contains("\"code\":\"idle_timeout\""), "{}", answer.body);
    engine.until_hang_ups(1).await;
}

#[tokio::test]
async fn a_silent_engine_is_a_504_that_sdks_do_not_repeat() {
    let config = GatewayConfig { first_byte_timeout_ms: 50, ..GatewayConfig::default() };
    let engine = Engine::start(vec![Step::UntilHangUp]);
    let plane = Plane::configured(config, &[&engine]).await;
    for stream in [true, false] {
        let answer = plane.ask(stream).await.answer().await;
        assert_eq!((answer.status, answer.header("x-should-retry")), (504, Some("false")));
    }
    engine.until_hang_ups(2).await;
}

#[tokio::test]
async fn a_client_that_reads_nothing_is_cut_and_memory_stays_bounded() {
    let config = GatewayConfig { write_stall_timeout_ms: 100, ..GatewayConfig::default() };
    let engine = Engine::start(vec![stream_head(), Step::Flood(100_000)]);
    let plane = Plane::configured(config, &[&engine]).await;
    let client = plane.ask(true).await;
    // Far fewer than the flood's bytes fit into the buffers between here and there.
    engine.until_hang_ups(1).await;
    plane.until_load(|it| it.in_flight.is_empty() && it.endpoints.values().all(|e| e.in_flight == 0)).await;
    drop(client);
}

#[tokio::test]
async fn draining_waits_for_streams_and_then_ends_them_with_a_word() {
    let engine = Engine::start(vec![stream_head(), says("Hi"), Step::UntilHangUp]);
    let plane = Plane::with(&[&engine]).await;
    let mut client = plane.ask(true).await;
    client.until("Hi").await;
    assert_eq!(plane.gateway.in_flight(), 1);
    assert_eq!(plane.gateway.drain(Duration::from_millis(50)).await, 1);
    let answer = client.answer().await;
    assert!(!answer.complete && answer.body.contains("\"code\":\"shutting_down\""), "{}", answer.body);
    assert_eq!(plane.gateway.drain(Duration::from_secs(5)).await, 0);
}

#[tokio::test]
async fn connections_are_used_again_and_dead_ones_are_not_the_clients_trouble() {
    let engine = Engine::start(short_stream());
    let plane = Plane::with(&[&engine]).await;
    for _ in 0..3 {
        assert!(plane.ask(true).await.answer().await.complete);
        plane.until_load(|it| it.in_flight.is_empty()).await;
    }
    assert_eq!(engine.connections(), 1);
    // The engine closes after its answer; the next request finds a closed connection.
    engine.then([short_stream(), vec![Step::Cut]].concat());
    for _ in 0..2 {
        assert!(plane.ask(true).await.answer().await.complete);
    }
    assert!(plane.metrics().contains("replica_failures_total 0"));
}

#[tokio::test]
async fn requests_in_a_row_without_a_byte_are_reported_until_one_is_answered() {
    let engine = Engine::start(vec![Step::UntilHangUp]);
    let config = GatewayConfig { first_byte_timeout_ms: 100, ..GatewayConfig::default() };
    let plane = Plane::configured(config, &[&engine]).await;
    for _ in 0..2 {
        assert_eq!(plane.ask(false).await.answer().await.status, 504);
    }
    plane.until_load(|it| it.unanswered.get(&replica_id(1)) == Some(&2)).await;
    engine.then(short_stream());
    assert_eq!(plane.ask(true).await.answer().await.status, 200);
    plane.until_load(|it| it.unanswered.is_empty()).await;
}
