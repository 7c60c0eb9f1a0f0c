//! A new server takes over from the running one while requests flow: none is dropped, whatever is ordered meanwhile.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::mpsc;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::fakes;
use crate::plane::{TestPlane, until};

/// Takeovers under load. Each costs about a second, and the waits for replicas.
const TAKEOVERS: usize = 4;

/// Says stop when it goes, so that a failed step ends the clients too.
struct OnDrop<'a>(&'a AtomicBool);

impl Drop for OnDrop<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

fn streamed(id: &str, n_tokens: u32) -> Value {
    json!({"model": id, "stream": true, "temperature": 0, "max_tokens": n_tokens,
        "messages": [{"role": "user", "content": "Tell me a story."}]})
}

#[test]
fn no_request_is_dropped_while_servers_take_over_from_each_other() {
    let mut plane = TestPlane::start_with("[control]\nscale_down_delay_secs = 0\n");
    let made = plane.create("1x_cpu_1gb", 1, 2);
    let id = made["id"].as_str().unwrap().to_owned();
    plane.until_state(&id, "STARTED");
    let engines = plane.engines();

    let (stop, plain, streams) = (AtomicBool::new(false), AtomicUsize::new(0), AtomicUsize::new(0));
    let (client, keeping) = (plane.client(), plane.keeping_connections());
    std::thread::scope(|scope| {
        let _stopping = OnDrop(&stop);
        for client in [&client, &keeping] {
            let (stop, plain, id) = (&stop, &plain, &id);
            scope.spawn(move || {
                while !stop.load(Ordering::Relaxed) {
                    let reply = client.chat(id, "What is 2 + 3?");
                    assert_eq!(reply.status, 200, "{}", reply.body);
                    plain.fetch_add(1, Ordering::Relaxed);
                }
            });
        }
        scope.spawn(|| {
            let body = streamed(&id, 600);
            while !stop.load(Ordering::Relaxed) {
                let events = keeping.stream(&body, |_| true);
                assert_eq!(
                    events.last().map(String::as_str),
                    Some("[DONE]"),
                    "cut after {} events",
                    events.len()
                );
                streams.fetch_add(1, Ordering::Relaxed);
            }
        });
        for n in 0..TAKEOVERS {
            let mut old = plane.begin_take_over();
            // One replica more, one fewer, and again: those that go may still have requests of the old server.
            let min = 2 - n % 2;
            let range = json!({"autoscaling": {"min_replicas": min, "max_replicas": min}});
            let scaled = client.patch(&format!("/endpoints/{id}"), &range);
            assert_eq!(scaled.status, 200, "{}", scaled.body);
            assert!(until("the old server's end", || old.try_wait().unwrap()).success());
            until("its replicas", || {
                let it = client.get(&format!("/endpoints/{id}")).body;
                let replicas = it["replicas"].as_array()?;
                let n_ready = replicas.iter().filter(|it| it["phase"] == "ready").count();
                (n_ready == min && replicas.len() == min).then_some(())
            });
        }
    });
    assert!(plain.into_inner() > 0 && streams.into_inner() > 0);
    assert_eq!(plane.engines(), engines, "the first replica was started anew");
}

#[test]
fn what_is_ordered_after_a_takeover_waits_for_the_old_servers_streams() {
    let mut plane = fakes::plane("", "");
    let ids: Vec<String> =
        ["slow-tokens.100", "slow-tokens.101"].iter().map(|it| fakes::create(&plane, it)).collect();
    for id in &ids {
        plane.until_state(id, "STARTED");
    }
    let client = plane.client();
    std::thread::scope(|scope| {
        let (begun, have_begun) = mpsc::channel();
        let streams: Vec<_> = ids
            .iter()
            .map(|id| {
                let (client, mut begun) = (&client, Some(begun.clone()));
                scope.spawn(move || {
                    let said = client
                        .stream(&streamed(id, 70), |_| begun.take().is_none_or(|it| it.send(()).is_ok()));
                    (said, Instant::now())
                })
            })
            .collect();
        for _ in &ids {
            have_begun.recv_timeout(Duration::from_secs(30)).unwrap();
        }
        let mut old = plane.begin_take_over();
        let stopped = client.patch(&format!("/endpoints/{}", ids[0]), &json!({"state": "STOPPED"}));
        assert_eq!(stopped.status, 200, "{}", stopped.body);
        assert_eq!(client.delete(&format!("/endpoints/{}", ids[1])).status, 204);
        until("the old server's stream in the new one's answer", || {
            let shown = client.get(&format!("/endpoints/{}", ids[0])).body;
            (shown["replicas"][0]["in_flight"] == 1).then_some(())
        });

        for stream in streams {
            let (events, ended_at) = stream.join().unwrap();
            assert_eq!(events.last().map(String::as_str), Some("[DONE]"), "{:?}", events.last());
            assert!(events.len() > 70, "cut after {} events", events.len());
            // Nobody waits longer than for the streams themselves.
            plane.until_state(&ids[0], "STOPPED");
            assert!(ended_at.elapsed() < Duration::from_secs(15));
        }
        assert!(until("the old server's end", || old.try_wait().unwrap()).success());
    });
}
