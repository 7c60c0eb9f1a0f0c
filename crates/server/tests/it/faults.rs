//! Engines that crash, never get ready, eat memory, fork, cling and flood, each beside a well-behaved endpoint
//! that must not notice.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use dedi_runtime::process::{IsolationSetting, isolation_level};
use dedi_testing::host::has;
use serde_json::{Value, json};

use crate::fakes;
use crate::plane::{Client, TestPlane, signal, until};

/// Asked at least so often, also where the fault is over in a moment.
const ANSWERS_MIN: u32 = 10;

/// Asks an endpoint without pause until told to end.
struct Neighbour {
    stop: Arc<AtomicBool>,
    asking: JoinHandle<(u32, Vec<Value>)>,
}

impl Neighbour {
    fn start(plane: &TestPlane) -> Self {
        let id = fakes::create(plane, "ok");
        plane.until_state(&id, "STARTED");
        let (stop, client) = (Arc::new(AtomicBool::new(false)), plane.client());
        let told = stop.clone();
        let asking = std::thread::spawn(move || ask(&client, &id, &told));
        Self { stop, asking }
    }

    fn must_have_been_answered(self) {
        self.stop.store(true, Ordering::Relaxed);
        let (n_answered, refused) = self.asking.join().unwrap();
        assert_eq!(refused, [json!(null); 0], "{n_answered} were answered");
        assert!(n_answered >= ANSWERS_MIN, "{n_answered}");
    }
}

fn ask(client: &Client, id: &str, told: &AtomicBool) -> (u32, Vec<Value>) {
    let (mut n_answered, mut refused) = (0, Vec::new());
    while !told.load(Ordering::Relaxed) || (n_answered < ANSWERS_MIN && refused.is_empty()) {
        let answer = client.chat(id, "are you there?");
        if answer.status == 200 {
            n_answered += 1
        } else {
            refused.push(answer.body)
        }
        std::thread::sleep(Duration::from_millis(20));
    }
    (n_answered, refused)
}

/// The reason, and that the sentence has each of these words.
fn must_say(endpoint: &Value, reason: &str, words: &[&str]) {
    assert_eq!(endpoint["status"]["reason"], reason, "{endpoint:#}");
    let said = endpoint["status"]["message"].as_str().unwrap();
    assert!(words.iter().all(|it| said.contains(it)), "{said}");
}

#[test]
fn an_engine_that_serves_and_gives_no_token_is_told_while_it_starts_and_in_its_verdict() {
    let plane = fakes::plane("", "startup_deadline_secs = 4\n");
    let id = fakes::create(&plane, "error-500");
    let starting = until("the engine's answer", || {
        let it = plane.get(&format!("/endpoints/{id}")).body;
        it["status"]["message"].as_str().is_some_and(|it| it.contains("no first token")).then_some(it)
    });
    must_say(&starting, "loading", &["500 Internal Server Error without a token"]);
    let broken = plane.until_state(&id, "ERROR");
    must_say(&broken, "startup_deadline", &["it serves, but POST", "500 Internal Server Error"]);
}

#[test]
fn a_request_that_was_taken_is_told_that_its_replica_failed_though_the_endpoint_stops_meanwhile() {
    let plane = fakes::plane("", "");
    // The number is that of the first token, which is answered.
    for (mode, is_deleted) in [("hang.1", false), ("hang.1", true)] {
        let id = fakes::create(&plane, mode);
        let path = format!("/endpoints/{id}");
        plane.until_state(&id, "STARTED");
        let client = plane.client();
        let answer = std::thread::scope(|scope| {
            let asked = scope.spawn(|| client.chat(&id, "hello"));
            until("the request on its replica", || {
                (plane.get(&path).body["replicas"][0]["in_flight"] == 1).then_some(())
            });
            let engines = plane.engines();
            if is_deleted {
                assert_eq!(plane.delete(&path).status, 204);
            } else {
                assert_eq!(plane.patch(&path, &json!({"state": "STOPPED"})).status, 200);
                until("its replica to be drained", || {
                    (plane.get(&path).body["replicas"][0]["phase"] == "draining").then_some(())
                });
            }
            engines.iter().for_each(|it| signal(*it, "KILL"));
            asked.join().unwrap()
        });
        assert_eq!(
            (answer.status, answer.body["error"]["code"].as_str()),
            (502, Some("replica_failed")),
            "{}",
            answer.body
        );
        if !is_deleted {
            plane.until_state(&id, "STOPPED");
            let (_, told, _) = plane.cli(&["endpoints", "events", &id]);
            assert!(
                told.contains("it ended") && told.contains("killed by a signal that dedi did not send"),
                "{told}"
            );
            assert_eq!(plane.delete(&path).status, 204);
        }
    }
}

#[test]
fn a_crash_loop_is_bounded_and_keeps_first_and_last_cause_and_each_log() {
    let plane = fakes::plane("", "backoff_cap_secs = 60\nfailures_max = 3\n");
    let neighbour = Neighbour::start(&plane);
    let begun = Instant::now();
    let id = fakes::create(&plane, "crash-at-start.7");
    let waiting = until("a back-off", || {
        let it = plane.get(&format!("/endpoints/{id}")).body;
        (it["status"]["reason"] == "backing_off").then_some(it)
    });
    must_say(&waiting, "backing_off", &["attempt", "the engine exited with an error", "the next one is in"]);
    assert!(waiting["status"]["next_retry_at"].is_string(), "{waiting:#}");

    let broken = plane.until_state(&id, "ERROR");
    must_say(&broken, "engine_exited", &["it failed 3 times", "exit code 7", "line 150", "next try is in"]);
    assert!(begun.elapsed() >= Duration::from_millis(2_400), "waits of 1 s and 2 s, less their jitter");
    let status = &broken["status"];
    assert_eq!(
        (&status["first_failure"]["attempt"], &status["last_failure"]["attempt"]),
        (&json!(1), &json!(3))
    );
    assert!(status["next_retry_at"].is_string() && status["next_step"].is_string(), "{broken:#}");
    until("its last replica's end", || {
        let it = plane.get(&format!("/endpoints/{id}")).body;
        it["replicas"].as_array().unwrap().is_empty().then_some(())
    });
    for attempt in 1..=3 {
        let log = plane.text(&format!("/endpoints/{id}/logs?attempt={attempt}&tail=100"));
        assert_eq!(log.lines().count(), 100);
        assert!(log.starts_with("line 51 ") && log.ends_with("line 150 before the crash\n"), "{log}");
    }
    assert_eq!(fakes::n_events(&plane, &id, "replica_launched"), 3, "spawns are bounded");
    neighbour.must_have_been_answered();

    let (code, said, _) = plane.cli(&["endpoints", "why", &id]);
    assert_eq!(code, Some(0));
    assert!(
        said.contains("exit code 7") && said.contains("attempt 1") && said.contains("attempt 3"),
        "{said}"
    );
    let (code, said, _) = plane.cli(&["endpoints", "logs", &id, "--attempt", "2", "--tail", "1"]);
    assert_eq!((code, said.as_str()), (Some(0), "line 150 before the crash\n"));
    let (code, said, _) = plane.cli(&["endpoints", "events", &id, "--json"]);
    let events: Vec<Value> = serde_json::from_str(&said).unwrap();
    assert_eq!(code, Some(0));
    assert_eq!(events.iter().filter(|it| it["kind"] == "replica_failed").count(), 3, "{said}");
}

#[test]
fn an_engine_that_never_gets_ready_is_an_error_with_its_last_lines() {
    let plane = fakes::plane("", "startup_deadline_secs = 2\n");
    let neighbour = Neighbour::start(&plane);
    let id = fakes::create(&plane, "never-ready");
    let broken = plane.until_state(&id, "ERROR");
    must_say(
        &broken,
        "startup_deadline",
        &["did not become ready in time", "no progress for 2 s", "NeverReady"],
    );
    assert!(broken["status"]["next_retry_at"].is_null(), "it would fail the same way: {broken:#}");
    let log = plane.text(&format!("/endpoints/{id}/logs?attempt=1"));
    assert!(log.contains("fake engine: ") && log.contains("NeverReady"), "{log}");
    until("free devices", || {
        let it = plane.get(&format!("/endpoints/{id}")).body;
        it["replicas"].as_array().unwrap().is_empty().then_some(())
    });
    assert_eq!(plane.engines().len(), 1, "the neighbour's");
    assert_eq!(fakes::n_events(&plane, &id, "replica_launched"), 1, "no loop");
    neighbour.must_have_been_answered();
}

#[test]
fn an_engine_that_stops_answering_is_ended_and_named() {
    let runtime = "probe_interval_ms = 100\nprobe_timeout_ms = 1000\n";
    let plane = fakes::plane(runtime, "failures_max = 1\nunresponsive_limit_secs = 1\n");
    let neighbour = Neighbour::start(&plane);
    let id = fakes::create(&plane, "hang-health.30");
    plane.until_state(&id, "STARTED");
    let broken = plane.until_state(&id, "ERROR");
    must_say(&broken, "unresponsive", &["the engine stopped answering", "no answer for ", "HangHealth"]);
    assert!(plane.text(&format!("/endpoints/{id}/logs?attempt=1")).contains("HangHealth"));
    neighbour.must_have_been_answered();
}

#[test]
fn an_engine_that_answers_probes_but_no_request_is_replaced() {
    let gateway = "[gateway]\nfirst_byte_timeout_ms = 500\n";
    let plane = fakes::plane_with(gateway, "", "");
    // Its first token makes it ready; requests after that hang.
    let id = fakes::create(&plane, "hang.1");
    plane.until_state(&id, "STARTED");
    let first = plane.engines();
    std::thread::scope(|scope| {
        for _ in 0..3 {
            scope.spawn(|| assert_eq!(plane.chat(&id, "are you there?").status, 504));
        }
    });
    let it = until("its failure", || {
        let it = plane.get(&format!("/endpoints/{id}")).body;
        (it["status"]["last_failure"]["attempt"] == 1).then_some(it)
    });
    let failure = &it["status"]["last_failure"];
    assert_eq!(failure["reason"], "unresponsive", "{it:#}");
    assert!(failure["message"].as_str().unwrap().contains("3 requests got no byte"), "{it:#}");
    until("another engine", || {
        let now = plane.engines();
        (now.len() == 1 && now != first).then_some(())
    });
    plane.until_state(&id, "STARTED");
}

#[test]
fn an_engine_that_eats_the_memory_of_its_device_is_ended_and_named() {
    if !has(isolation_level(IsolationSetting::Auto).limits_memory, "memory limits that it may set") {
        return;
    }
    let plane = fakes::plane("", "failures_max = 1\n");
    let neighbour = Neighbour::start(&plane);
    let id = fakes::create(&plane, "eat-memory.1200");
    let broken = plane.until_state(&id, "ERROR");
    must_say(&broken, "out_of_memory", &["the engine ran out of memory", "signal 9"]);
    assert!(plane.text(&format!("/endpoints/{id}/logs?attempt=1")).contains("EatMemory"));
    neighbour.must_have_been_answered();
}

#[test]
fn a_full_device_at_load_is_an_error_at_once_and_no_loop() {
    let plane = fakes::plane("", "");
    let neighbour = Neighbour::start(&plane);
    let id = fakes::create(&plane, "device-full");
    let broken = plane.until_state(&id, "ERROR");
    must_say(
        &broken,
        "device_out_of_memory",
        &["too little free memory", "CUDA error: out of memory", "not tried again"],
    );
    assert_eq!(plane.text(&format!("/endpoints/{id}/logs?attempt=1&tail=1")), "CUDA error: out of memory\n");
    assert_eq!(fakes::n_events(&plane, &id, "replica_launched"), 1, "no loop");
    neighbour.must_have_been_answered();
}

#[test]
fn an_engine_that_forks_without_end_meets_its_limit_and_leaves_no_child() {
    if !has(isolation_level(IsolationSetting::Auto).limits_processes, "limits of processes that it may set") {
        return;
    }
    let plane = fakes::plane("pids_max = 16\n", "failures_max = 1\n");
    let neighbour = Neighbour::start(&plane);
    let id = fakes::create(&plane, "fork.100");
    let broken = plane.until_state(&id, "ERROR");
    must_say(&broken, "process_limit", &["hit its limit of processes", "no child"]);
    assert!(plane.text(&format!("/endpoints/{id}/logs?attempt=1")).contains("no child: "));
    until("the end of its children", || (fakes::n_children(&plane) == 0).then_some(()));
    neighbour.must_have_been_answered();
}

#[test]
fn an_engine_that_ignores_term_and_hides_its_children_is_gone_before_stopped_is_said() {
    for mode in ["ignore-term", "fork.3"] {
        let plane = fakes::plane("", "");
        let neighbour = Neighbour::start(&plane);
        let id = fakes::create(&plane, mode);
        plane.until_state(&id, "STARTED");
        let asked = plane.patch(&format!("/endpoints/{id}"), &json!({"state": "STOPPED"}));
        assert_eq!(asked.body["state"], "STOPPING");
        let ending = until("the end's beginning", || {
            let it = plane.get(&format!("/endpoints/{id}")).body;
            (it["status"]["reason"] != "draining").then_some(it)
        });
        let stopped = plane.until_state(&id, "STOPPED");
        // Looked at right after the first answer that says so.
        assert_eq!(
            (plane.engines().len(), fakes::n_children(&plane)),
            (1, 0),
            "{mode}: only the neighbour's"
        );
        must_say(&stopped, "stopped_by_user", &["stopped on request"]);
        let log = plane.text(&format!("/endpoints/{id}/logs?attempt=1"));
        if mode == "ignore-term" {
            must_say(&ending, "terminating", &["1 replica is being ended"]);
            assert!(log.contains("asked to end") && log.contains("still running after the grace"), "{log}");
        }
        assert_eq!(fakes::n_events(&plane, &id, "replica_released"), 1);
        neighbour.must_have_been_answered();
    }
}

#[test]
fn a_flood_of_log_blocks_nobody_and_is_bounded_on_disk() {
    let plane = fakes::plane("log_bytes_max = 262144\n", "");
    let neighbour = Neighbour::start(&plane);
    let id = fakes::create(&plane, "flood-log.256");
    let flooded = plane.until_state(&id, "STARTED");
    must_say(&flooded, "ready", &["1 of 1"]);
    assert_eq!(plane.text(&format!("/endpoints/{id}/logs?attempt=1&tail=1")), "flood is over\n");
    let sizes: Vec<u64> = std::fs::read_dir(plane.data().join("logs").join(&id))
        .unwrap()
        .map(|it| it.unwrap().metadata().unwrap().len())
        .collect();
    assert!(sizes.len() <= 3 && sizes.iter().all(|it| *it <= 262_144), "{sizes:?}");
    let all = plane.text(&format!("/endpoints/{id}/logs?attempt=1&tail=100000"));
    assert_eq!((sizes.len(), all.len() as u64), (3, sizes.iter().sum()), "the log is read across its files");
    assert_eq!(plane.chat(&id, "hello").status, 200);
    neighbour.must_have_been_answered();
}

#[test]
fn a_request_that_outlasts_the_drain_is_told_so_and_counted() {
    let plane = fakes::plane("", "drain_timeout_secs = 1\n");
    let id = fakes::create(&plane, "slow-tokens.100");
    plane.until_state(&id, "STARTED");
    let client = plane.client();
    let body = json!({"model": id, "stream": true, "max_tokens": 600,
        "messages": [{"role": "user", "content": "Tell me a story."}]});
    let mut is_stopped = false;
    let events = client.stream(&body, |_| {
        if !std::mem::replace(&mut is_stopped, true) {
            assert_eq!(plane.patch(&format!("/endpoints/{id}"), &json!({"state": "STOPPED"})).status, 200);
        }
        true
    });
    let last: Value = serde_json::from_str(events.last().unwrap()).unwrap();
    assert_eq!(last["error"]["code"], "drain_timeout", "{last}");
    plane.until_state(&id, "STOPPED");
    let events = plane.get(&format!("/endpoints/{id}/events?limit=1000")).body.to_string();
    assert!(
        events.contains(
            "being ended: a request stopped the endpoint; 1 request was not finished within 1 s and is cut"
        ),
        "{events}"
    );
}
