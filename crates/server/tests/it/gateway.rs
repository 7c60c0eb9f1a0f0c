//! Inference through the real server: hang-ups, several clients at once.

use serde_json::json;

use crate::plane::{TestPlane, until};

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
