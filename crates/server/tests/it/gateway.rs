//! Inference through the real server: hang-ups, several clients at once.

use serde_json::json;

use crate::plane::{TestPlane, signal, until};

#[test]
fn a_clients_hang_up_frees_the_engine() {
    let plane = TestPlane::start();
    let made = plane.create("1x_cpu_1gb", 1, 1);
    let id = made["id"].as_str().unwrap();
    plane.until_state(id, "STARTED");
    let body = json!({"model": id, "stream": true, "max_tokens": 900, "temperature": 0,
        "messages": [{"role": "user", "content": "Tell me a story."}]});
    let events = plane.stream(&body, |_| false);
    assert_eq!(events.len(), 1);
    until("zero in flight", || {
        (plane.get(&format!("/endpoints/{id}")).body["replicas"][0]["in_flight"] == 0).then_some(())
    });
}

#[test]
fn several_clients_at_once_each_get_their_own_answer() {
    let plane = TestPlane::start();
    let made = plane.create("1x_cpu_1gb", 2, 2);
    let id = made["id"].as_str().unwrap();
    plane.until_state(id, "STARTED");
    std::thread::scope(|scope| {
        for (country, city) in
            [("France", "Paris"), ("Italy", "Rome"), ("Japan", "Tokyo"), ("Egypt", "Cairo"), ("Peru", "Lima")]
        {
            let plane = &plane;
            scope.spawn(move || {
                for _ in 0..4 {
                    let reply = plane.chat(id, &format!("What is the capital of {country}?"));
                    assert_eq!(reply.status, 200, "{}", reply.body);
                    let said = reply.body["choices"][0]["message"]["content"].as_str().unwrap();
                    assert!(said.contains(city), "{country}: {said}");
                }
            });
        }
    });
}

#[test]
fn an_unknown_model_and_a_model_without_endpoint_are_told_apart() {
    let plane = TestPlane::start();
    let known = plane.chat("dedi/demo", "hi");
    assert_eq!((known.status, known.error().0), (400, "model_not_available"), "{}", known.body);
    let unknown = plane.chat("nobody/nothing", "hi");
    assert_eq!(unknown.status, 404, "{}", unknown.body);
}

#[test]
fn waiting_chats_outlast_a_create_and_a_restart() {
    let plane = TestPlane::start();
    let made = plane.create("1x_cpu_1gb", 1, 1);
    let id = made["id"].as_str().unwrap();
    // Nothing runs yet.
    let first = plane.chat(id, "hello");
    assert_eq!(first.status, 200, "{}", first.body);
    signal(plane.engines()[0], "KILL");
    for _ in 0..3 {
        let reply = plane.chat(id, "hello");
        assert_eq!(reply.status, 200, "{}", reply.body);
    }
    assert_eq!(plane.patch(&format!("/endpoints/{id}"), &json!({"state": "STOPPED"})).status, 200);
    assert_eq!(plane.chat(id, "hello").error().0, "dedicated_endpoint_not_running");
}

#[test]
fn fairness_a_key_with_many_choices_leaves_another_its_turn() {
    let plane = TestPlane::start();
    let made = plane.create("1x_cpu_1gb", 1, 1);
    let id = made["id"].as_str().unwrap();
    plane.until_state(id, "STARTED");
    let key = plane.post("/keys", &json!({"name": "other", "role": "inference"})).body;
    let other = plane.client().with_key(key["key"].as_str().unwrap());
    let greedy = json!({"model": id, "stream": true, "max_tokens": 100, "temperature": 0, "n": 64,
        "messages": [{"role": "user", "content": "Tell me a story."}]});
    let done = std::sync::atomic::AtomicBool::new(false);
    std::thread::scope(|scope| {
        let (done, greedy, plane) = (&done, &greedy, &plane);
        for _ in 0..12 {
            scope.spawn(move || {
                let agent = plane.client().keeping_connections();
                let answer = agent.begin(greedy);
                until("the other's answers", || done.load(std::sync::atomic::Ordering::SeqCst).then_some(()));
                drop(answer);
            });
        }
        until("a busy engine", || {
            let waiting = plane.get(&format!("/endpoints/{id}")).body["replicas"][0]["in_flight"].as_u64();
            waiting.filter(|it| *it >= 4)
        });
        for _ in 0..3 {
            let reply = other.post(
                "/chat/completions",
                &json!({"model": id, "max_tokens": 8, "messages": [{"role": "user", "content": "hi"}]}),
            );
            if reply.status != 200 {
                done.store(true, std::sync::atomic::Ordering::SeqCst);
            }
            assert_eq!(reply.status, 200, "{}", reply.body);
        }
        done.store(true, std::sync::atomic::Ordering::SeqCst);
    });
}
