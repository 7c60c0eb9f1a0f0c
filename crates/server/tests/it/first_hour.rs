//! What a new user does, in that order.

use serde_json::json;

use crate::fakes;
use crate::plane::{TestPlane, until};

#[test]
fn an_endpoint_starts_chats_stops_refuses_and_starts_again() {
    let plane = TestPlane::start();
    let made = plane.create("1x_cpu_1gb", 1, 1);
    assert_eq!(made["state"], "PENDING");
    let id = made["id"].as_str().unwrap();
    let name = made["name"].as_str().unwrap();
    assert!(name.starts_with("local/dedi/demo-"), "{name}");

    let started = plane.until_state(id, "STARTED");
    assert_eq!(started["status"]["reason"], "ready", "{started:#}");
    for model in [id, name] {
        let reply = plane.chat(model, "What is the capital of France?");
        assert_eq!(reply.status, 200, "{}", reply.body);
        assert_eq!(reply.body["model"], model);
        assert!(
            reply.body["choices"][0]["message"]["content"].as_str().unwrap().contains("Paris"),
            "{}",
            reply.body
        );
        let usage = &reply.body["usage"];
        assert_eq!(
            usage["total_tokens"].as_u64().unwrap(),
            usage["prompt_tokens"].as_u64().unwrap() + usage["completion_tokens"].as_u64().unwrap()
        );
    }

    let stopping = plane.patch(&format!("/endpoints/{id}"), &json!({"state": "STOPPED"}));
    assert_eq!((stopping.status, stopping.body["state"].as_str()), (200, Some("STOPPING")));
    plane.until_state(id, "STOPPED");
    assert!(plane.engines().is_empty(), "STOPPED was said while an engine lived");
    let refused = plane.chat(id, "hi");
    assert_eq!(
        (refused.status, refused.error().0),
        (400, "dedicated_endpoint_not_running"),
        "{}",
        refused.body
    );

    let again = plane.patch(&format!("/endpoints/{id}"), &json!({"state": "STARTED"}));
    assert_eq!(again.body["state"], "PENDING");
    plane.until_state(id, "STARTED");
    assert_eq!(plane.chat(id, "hello").status, 200);

    assert_eq!(plane.delete(&format!("/endpoints/{id}")).status, 204);
    assert_eq!(plane.get(&format!("/endpoints/{id}")).status, 404);
    assert_eq!(plane.delete(&format!("/endpoints/{id}")).status, 404);
    until("the engine's end", || plane.engines().is_empty().then_some(()));
}

#[test]
fn a_stream_has_the_contracts_shape() {
    let plane = TestPlane::start();
    let made = plane.create("1x_cpu_1gb", 1, 1);
    let id = made["id"].as_str().unwrap();
    plane.until_state(id, "STARTED");
    let body = json!({"model": id, "stream": true, "temperature": 0, "max_tokens": 40,
        "messages": [{"role": "user", "content": "What is 2 + 3?"}]});
    let events = plane.stream(&body, |_| true);
    assert_eq!(events.last().unwrap(), "[DONE]");
    let chunks: Vec<serde_json::Value> =
        events[..events.len() - 1].iter().map(|it| serde_json::from_str(it).unwrap()).collect();
    let mut said = String::new();
    for chunk in &chunks {
        assert_eq!(chunk["object"], "chat.completion.chunk");
        assert_eq!(chunk["model"], id);
        assert_eq!(chunk["choices"][0]["delta"]["role"], "assistant", "{chunk}");
        said += chunk["choices"][0]["delta"]["content"].as_str().unwrap();
    }
    assert!(said.contains('5'), "{said}");
    let (last, before) = chunks.split_last().unwrap();
    assert!(before.iter().all(|it| it["usage"].is_null() && it["choices"][0]["finish_reason"].is_null()));
    assert_eq!(last["choices"][0]["finish_reason"], "stop");
    assert!(last["usage"]["completion_tokens"].as_u64().unwrap() > 0);
}

#[test]
fn two_replicas_share_the_work_and_a_third_endpoint_waits_for_a_device() {
    let plane = TestPlane::start();
    let pair = plane.create("1x_cpu_1gb", 2, 2);
    let pair_id = pair["id"].as_str().unwrap();
    until("both replicas", || {
        (plane.get(&format!("/endpoints/{pair_id}")).body["status"]["ready_replicas"] == 2).then_some(())
    });
    let waiting = plane.create("1x_cpu_1gb", 1, 1);
    let waiting_id = waiting["id"].as_str().unwrap();
    let seen = until("the reason", || {
        let seen = plane.get(&format!("/endpoints/{waiting_id}")).body;
        (seen["status"]["reason"] == "no_capacity").then_some(seen)
    });
    assert_eq!(seen["state"], "PENDING");
    // A request waits with it for the device.
    std::thread::scope(|scope| {
        let chat = scope.spawn(|| plane.chat(waiting_id, "hi"));
        until("a request that waits", || {
            let metrics = fakes::ask(&plane.data().join("admin.sock"), "/metrics");
            let is_it = |it: &str| it.starts_with("dedi_gateway_requests_waiting{") && it.ends_with("} 1");
            metrics.lines().any(is_it).then_some(())
        });
        plane.patch(
            &format!("/endpoints/{pair_id}"),
            &json!({"autoscaling": {"min_replicas": 1, "max_replicas": 1}}),
        );
        plane.until_state(waiting_id, "STARTED");
        let answered = chat.join().unwrap();
        assert_eq!(answered.status, 200, "{}", answered.body);
    });
    assert_eq!(plane.engines().len(), 2);
}

#[test]
fn the_command_line_walks_through_a_whole_life() {
    let plane = TestPlane::start();
    let (code, out, err) = plane.cli(&[
        "endpoints",
        "create",
        "--model",
        "dedi/demo",
        "--hardware",
        "1x_cpu_1gb",
        "--wait",
        "--json",
    ]);
    assert_eq!(code, Some(0), "{out}{err}");
    let made: serde_json::Value = serde_json::from_str(&out).unwrap();
    assert_eq!(made["state"], "STARTED");
    let id = made["id"].as_str().unwrap();

    let (code, out, _) = plane.cli(&["chat", id, "What is 4 + 5?"]);
    assert_eq!(code, Some(0));
    assert!(out.contains('9'), "{out}");
    let (code, out, _) = plane.cli(&["endpoints", "why", id]);
    assert_eq!(code, Some(0));
    assert!(out.contains("ready"), "{out}");
    let (code, out, _) = plane.cli(&["endpoints", "hardware"]);
    assert_eq!(code, Some(0));
    assert!(out.contains("1x_cpu_1gb") && out.contains("2x_cpu_1gb"), "{out}");
    assert_eq!(plane.cli(&["endpoints", "events", id]).0, Some(0));
    assert_eq!(plane.cli(&["endpoints", "logs", id]).0, Some(0));
    assert_eq!(plane.cli(&["endpoints", "stop", id, "--wait"]).0, Some(0));
    assert!(plane.engines().is_empty());
    let (code, _, err) = plane.cli(&["chat", id, "hi"]);
    assert_eq!(code, Some(1));
    assert!(err.contains("not running"), "{err}");
    let (code, out, err) = plane.cli(&["usage", "--endpoint", "demo"]);
    assert!(code == Some(0) && out.contains(made["name"].as_str().unwrap()), "{out}{err}");
    let (_, out, _) = plane.cli(&["endpoints", "list"]);
    assert!(out.contains("DISPLAY NAME"), "{out}");
    assert_eq!(plane.cli(&["endpoints", "delete", id]).0, Some(0));
    let (code, out, err) = plane.cli(&["usage", "--endpoint", id]);
    assert!(code == Some(0) && out.contains(made["name"].as_str().unwrap()), "{out}{err}");
    assert_eq!(plane.cli(&["endpoints", "retrieve", id]).0, Some(1));
    assert_eq!(plane.cli(&["endpoints", "frobnicate"]).0, Some(2));
}
