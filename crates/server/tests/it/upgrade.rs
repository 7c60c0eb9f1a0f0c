//! A new server takes over from the running one while requests flow: none is dropped.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use serde_json::json;

use crate::plane::TestPlane;

/// Takeovers under load. Each costs about a second.
const TAKEOVERS: usize = 4;

#[test]
fn no_request_is_dropped_while_servers_take_over_from_each_other() {
    let mut plane = TestPlane::start();
    let made = plane.create("1x_cpu_1gb", 1, 1);
    let id = made["id"].as_str().unwrap().to_owned();
    plane.until_state(&id, "STARTED");
    let engines = plane.engines();

    let (stop, plain, streamed) = (AtomicBool::new(false), AtomicUsize::new(0), AtomicUsize::new(0));
    let client = plane.client();
    std::thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| {
                while !stop.load(Ordering::Relaxed) {
                    let reply = client.chat(&id, "What is 2 + 3?");
                    assert_eq!(reply.status, 200, "{}", reply.body);
                    plain.fetch_add(1, Ordering::Relaxed);
                }
            });
        }
        scope.spawn(|| {
            let body = json!({"model": id, "stream": true, "temperature": 0, "max_tokens": 600,
                "messages": [{"role": "user", "content": "Tell me a story."}]});
            while !stop.load(Ordering::Relaxed) {
                let events = client.stream(&body, |_| true);
                assert_eq!(
                    events.last().map(String::as_str),
                    Some("[DONE]"),
                    "cut after {} events",
                    events.len()
                );
                streamed.fetch_add(1, Ordering::Relaxed);
            }
        });
        for _ in 0..TAKEOVERS {
            plane.take_over();
        }
        stop.store(true, Ordering::Relaxed);
    });
    assert!(plain.into_inner() > 0 && streamed.into_inner() > 0);
    assert_eq!(plane.engines(), engines, "a replica was started anew");
}
