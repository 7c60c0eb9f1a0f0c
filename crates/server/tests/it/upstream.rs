//! What engines are asked, and when they are not.

use std::time::{Duration, Instant};

use serde_json::json;

use crate::fakes;
use crate::plane::until;

/// The spec says 100 ms; a busy host may take longer, a wait for some timeout takes much longer.
const HANG_UP_SEEN_MAX: Duration = Duration::from_secs(1);

#[test]
fn an_engine_sees_at_once_that_its_client_has_hung_up() {
    let plane = fakes::plane("", "");
    let id = fakes::create(&plane, "slow-tokens.20");
    plane.until_state(&id, "STARTED");
    let body = json!({"model": id, "stream": true, "max_tokens": 1_000,
        "messages": [{"role": "user", "content": "Tell me a story."}]});
    let mut took = Vec::new();
    for n in 1..=5 {
        assert!(!plane.stream(&body, |_| false).is_empty());
        let left = Instant::now();
        while fakes::stat(&plane, "cancelled") < n {
            assert!(left.elapsed() < HANG_UP_SEEN_MAX * 10, "hang-up {n} was never seen");
            std::thread::sleep(Duration::from_millis(1));
        }
        took.push(left.elapsed());
    }
    took.sort();
    eprintln!("a hang-up was seen after {took:?}");
    assert!(took[2] < HANG_UP_SEEN_MAX, "{took:?}");
    assert_eq!(fakes::stat(&plane, "running"), 0);
}

#[test]
fn engines_that_refuse_everything_are_not_stormed_with_retries() {
    const THREADS: u32 = 8;
    const EACH: u32 = 50;
    // Ejected replicas would not be asked a second time at all.
    let plane = fakes::plane_with("[gateway]\nejection_failures = 1000000\n", "", "");
    fakes::add_model(&plane, "busy.1");
    let made = plane.post(
        "/endpoints",
        &json!({"model": "fake/busy.1", "hardware": "1x_cpu_1gb",
            "autoscaling": {"min_replicas": 2, "max_replicas": 2}}),
    );
    let id = made.body["id"].as_str().unwrap().to_owned();
    plane.until_state(&id, "STARTED");
    until("both replicas", || {
        let it = plane.get(&format!("/endpoints/{id}")).body;
        (it["status"]["ready_replicas"] == 2).then_some(())
    });
    let began = Instant::now();
    std::thread::scope(|scope| {
        for _ in 0..THREADS {
            scope.spawn(|| {
                let client = plane.client();
                for _ in 0..EACH {
                    let said = client.chat(&id, "hello");
                    assert_eq!(said.status, 503, "{}", said.body);
                }
            });
        }
    });
    let secs = began.elapsed().as_secs() + 1;
    // Looks at an engine ask for a completion, and are not the gateway's.
    let n_upstream = fakes::stat(&plane, "chats");
    let n = u64::from(THREADS * EACH);
    // A fifth of them, and ten each second: what the gateway allows itself.
    let most = n + n / 5 + 10 * (secs + 1);
    eprintln!("{n} requests came to engines {n_upstream} times in {secs} s; at most {most}");
    assert!(n_upstream > n, "it is tried on the other replica now and then");
    assert!(n_upstream <= most, "{n_upstream} of at most {most}");
}

#[test]
fn a_request_to_a_stopped_endpoint_starts_nothing() {
    let plane = fakes::plane("", "");
    fakes::add_model(&plane, "ok");
    let made = plane.post(
        "/endpoints",
        &json!({"model": "fake/ok", "hardware": "1x_cpu_1gb", "autoscaling": {"min_replicas": 0, "max_replicas": 1}}),
    );
    let id = made.body["id"].as_str().unwrap().to_owned();
    plane.patch(&format!("/endpoints/{id}"), &json!({"state": "STOPPED"}));
    plane.until_state(&id, "STOPPED");
    let n_before = fakes::n_events(&plane, &id, "replica_launched");
    let other = fakes::create(&plane, "ok");
    plane.until_state(&other, "STARTED");
    for state in ["STOPPED", "STARTED", "STOPPED"] {
        let refused = plane.chat(&id, "wake up");
        assert_eq!(
            (refused.status, refused.error().0),
            (400, "dedicated_endpoint_not_running"),
            "{}",
            refused.body
        );
        // Another endpoint takes several passes, each of which would have woken this one.
        plane.patch(&format!("/endpoints/{other}"), &json!({"state": state}));
        plane.until_state(&other, state);
    }
    assert_eq!(plane.get(&format!("/endpoints/{id}")).body["state"], "STOPPED");
    assert_eq!(fakes::n_events(&plane, &id, "replica_launched"), n_before);
    assert!(plane.engines().is_empty());
}
