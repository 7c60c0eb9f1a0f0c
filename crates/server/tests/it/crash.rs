//! Killing things: the server, the engine, the shim. Nothing is lost and nothing is left over.

use serde_json::json;

use crate::plane::{TestPlane, signal, until};

#[test]
fn a_killed_server_finds_its_replicas_again() {
    let mut plane = TestPlane::start();
    let made = plane.create("1x_cpu_1gb", 1, 1);
    let id = made["id"].as_str().unwrap().to_owned();
    plane.until_state(&id, "STARTED");
    let before = plane.engines();
    assert_eq!(before.len(), 1);

    plane.kill_server();
    plane.launch();
    plane.until_state(&id, "STARTED");
    until("an answer", || (plane.chat(&id, "hello").status == 200).then_some(()));
    assert_eq!(plane.engines(), before, "the replica was started anew");
}

#[test]
fn a_server_killed_right_after_create_starts_the_endpoint_once() {
    let mut plane = TestPlane::start();
    let made = plane.create("1x_cpu_1gb", 1, 1);
    let id = made["id"].as_str().unwrap().to_owned();
    plane.kill_server();
    plane.launch();
    plane.until_state(&id, "STARTED");
    assert_eq!(plane.engines().len(), 1);
}

#[test]
fn an_endpoint_deleted_while_the_server_was_down_is_gone_with_its_processes() {
    let mut plane = TestPlane::start();
    let made = plane.create("1x_cpu_1gb", 1, 1);
    let id = made["id"].as_str().unwrap().to_owned();
    plane.until_state(&id, "STARTED");
    assert_eq!(plane.delete(&format!("/endpoints/{id}")).status, 204);
    plane.kill_server();
    plane.launch();
    until("the engine's end", || plane.engines().is_empty().then_some(()));
    assert_eq!(plane.get(&format!("/endpoints/{id}")).status, 404);
}

#[test]
fn a_killed_engine_is_replaced_and_the_cause_is_told() {
    let plane = TestPlane::start();
    let made = plane.create("1x_cpu_1gb", 1, 1);
    let id = made["id"].as_str().unwrap();
    plane.until_state(id, "STARTED");
    let first = plane.engines();
    signal(first[0], "KILL");
    until("another engine", || {
        let now = plane.engines();
        (now.len() == 1 && now != first).then_some(())
    });
    let after = plane.until_state(id, "STARTED");
    assert_eq!(after["status"]["last_failure"]["reason"], "engine_killed", "{after:#}");
    until("an answer", || (plane.chat(id, "hello").status == 200).then_some(()));
}

#[test]
fn a_killed_shim_takes_its_engine_along_and_is_told_as_the_cause() {
    let plane = TestPlane::start();
    let id = plane.create("1x_cpu_1gb", 1, 1)["id"].as_str().unwrap().to_owned();
    plane.until_state(&id, "STARTED");
    let (first, shims) = (plane.engines(), plane.shims());
    assert_eq!(shims.len(), 1);
    signal(shims[0], "KILL");
    until("another engine", || {
        let now = plane.engines();
        (now.len() == 1 && now != first).then_some(())
    });
    let after = plane.until_state(&id, "STARTED");
    assert_eq!(after["status"]["last_failure"]["reason"], "supervisor_lost", "{after:#}");
    let (_, told, _) = plane.cli(&["endpoints", "events", &id]);
    assert!(told.contains("its supervisor or its folder is gone"), "{told}");
    until("an answer", || (plane.chat(&id, "hello").status == 200).then_some(()));
}

#[test]
fn sigterm_lets_a_stream_finish_and_leaves_the_replica_running() {
    let mut plane = TestPlane::start();
    let made = plane.create("1x_cpu_1gb", 1, 1);
    let id = made["id"].as_str().unwrap().to_owned();
    plane.until_state(&id, "STARTED");
    let body = json!({"model": id, "stream": true, "temperature": 0, "max_tokens": 600,
        "messages": [{"role": "user", "content": "Tell me a story."}]});
    let pid = plane.server_pid();
    let mut n_events = 0;
    let events = plane.stream(&body, |_| {
        n_events += 1;
        if n_events == 3 {
            signal(pid, "TERM");
        }
        true
    });
    assert_eq!(events.last().unwrap(), "[DONE]", "{n_events} events");
    assert_eq!(plane.stop_server(), Some(0));
    assert_eq!(plane.engines().len(), 1);
}

#[test]
fn a_damaged_model_is_an_error_with_its_reason_and_no_loop() {
    let plane = TestPlane::start();
    let folder = plane.data().join("models/broken/model");
    std::fs::create_dir_all(&folder).unwrap();
    let whole = std::fs::read(plane.data().join("models/dedi/demo/demo.gguf")).unwrap();
    std::fs::write(folder.join("model.gguf"), &whole[..whole.len() / 2]).unwrap();
    let made = plane.post(
        "/endpoints",
        &json!({"model": "broken/model", "hardware": "1x_cpu_1gb", "autoscaling": {"min_replicas": 1, "max_replicas": 1}}),
    );
    // Either create sees the damage, or the launch does; both name it.
    if made.status == 200 {
        let id = made.body["id"].as_str().unwrap();
        let broken = plane.until_state(id, "ERROR");
        assert_eq!(broken["status"]["reason"], "model_unusable", "{broken:#}");
        assert!(broken["status"]["next_retry_at"].is_null());
    } else {
        assert_eq!(made.status, 400, "{}", made.body);
        assert!(made.error().1.contains("model"), "{}", made.body);
    }
}

#[test]
fn down_ends_no_replica_while_a_server_still_has_the_folder() {
    let mut plane = TestPlane::start();
    let id = plane.create("1x_cpu_1gb", 1, 1)["id"].as_str().unwrap().to_owned();
    plane.until_state(&id, "STARTED");
    assert_eq!(plane.stop_server(), Some(0));
    // As a server has it that finishes its last pass: it would start again what is ended now.
    let held = std::fs::File::open(plane.data().join("server.lock")).unwrap();
    held.lock().unwrap();
    let (code, _, said) = plane.cli(&["down", "--wait", "1"]);
    assert_eq!((code, plane.engines().len()), (Some(1), 1), "{said}");
    drop(held);
    let (code, _, said) = plane.cli(&["down"]);
    assert_eq!((code, plane.engines().len()), (Some(0), 0), "{said}");
}

#[test]
fn down_is_no_failure_however_often_and_the_next_server_starts_anew() {
    let mut plane = TestPlane::start();
    let id = plane.create("1x_cpu_1gb", 1, 1)["id"].as_str().unwrap().to_owned();
    plane.until_state(&id, "STARTED");
    // One more than the failures that make an ERROR.
    for _ in 0..6 {
        let before = plane.engines();
        let (code, said, _) = plane.cli(&["down"]);
        assert_eq!((code, plane.engines().len()), (Some(0), 0), "{said}");
        plane.forget_server();
        plane.launch();
        until("another engine", || {
            let now = plane.engines();
            (now.len() == 1 && now != before).then_some(())
        });
    }
    let after = plane.until_state(&id, "STARTED");
    assert!(after["status"]["last_failure"].is_null(), "{after:#}");
    let (_, told, _) = plane.cli(&["endpoints", "events", &id]);
    assert!(told.contains("stopped on the host, by `dedi down`"), "{told}");
    let (_, _, said) = plane.cli(&["down"]);
    assert!(said.contains("1 replica"), "{said}");
    let (code, _, said) = plane.cli(&["down"]);
    assert!(code == Some(0) && said.contains("0 replicas"), "what has ended is not ended again: {said}");
}
