//! Requests that flow while something else is done: each must be answered in full.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use serde_json::{Value, json};

use crate::plane::TestPlane;

/// Says stop when it goes, so that a failed step ends the clients too.
pub(crate) struct OnDrop<'a>(pub(crate) &'a AtomicBool);

impl Drop for OnDrop<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// A body that asks for a stream.
pub(crate) fn streamed(id: &str, n_tokens: u32) -> Value {
    json!({"model": id, "stream": true, "temperature": 0, "max_tokens": n_tokens,
        "messages": [{"role": "user", "content": "Tell me a story."}]})
}

/// Does `work` while clients chat with the endpoint, with and without keeping connections, and read streams. None of
/// them may be refused or cut.
pub(crate) fn under_load(plane: &mut TestPlane, id: &str, work: impl FnOnce(&mut TestPlane)) {
    let (stop, plain, streams) = (AtomicBool::new(false), AtomicUsize::new(0), AtomicUsize::new(0));
    let (client, keeping) = (plane.client(), plane.keeping_connections());
    std::thread::scope(|scope| {
        let _stopping = OnDrop(&stop);
        for client in [&client, &keeping] {
            let (stop, plain) = (&stop, &plain);
            scope.spawn(move || {
                while !stop.load(Ordering::Relaxed) {
                    let reply = client.chat(id, "What is 2 + 3?");
                    assert_eq!(reply.status, 200, "{}", reply.body);
                    plain.fetch_add(1, Ordering::Relaxed);
                }
            });
        }
        scope.spawn(|| {
            let body = streamed(id, 600);
            while !stop.load(Ordering::Relaxed) {
                let events = keeping.stream(&body, |_| true);
                let n_events = events.len();
                assert_eq!(events.last().map(String::as_str), Some("[DONE]"), "cut after {n_events} events");
                streams.fetch_add(1, Ordering::Relaxed);
            }
        });
        work(plane);
    });
    assert!(plain.into_inner() > 0 && streams.into_inner() > 0);
}
