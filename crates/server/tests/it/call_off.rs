//! A start is called off in each stage that it can be in: nothing of it goes on, and nothing comes back.

use dedi_testing::hub::{FakeHub, HubRepo, Trick};
use serde_json::{Value, json};

use crate::fakes;
use crate::plane::{TestPlane, until};

/// Waits until the endpoint gives this reason.
fn until_reason(plane: &TestPlane, id: &str, reason: &str) -> Value {
    until(reason, || {
        let it = plane.get(&format!("/endpoints/{id}")).body;
        assert_ne!(it["state"], "STARTED", "{it:#}");
        (it["status"]["reason"] == reason).then_some(it)
    })
}

/// Stops it, or deletes it, and waits until that is done; `n_engines` live ones are left.
fn call_off(plane: &TestPlane, id: &str, n_engines: usize, deletes: bool) {
    let path = format!("/endpoints/{id}");
    if deletes {
        assert_eq!(plane.delete(&path).status, 204);
        until("the end of what it started", || (plane.engines().len() == n_engines).then_some(()));
        assert_eq!(plane.get(&path).status, 404);
    } else {
        assert_eq!(plane.patch(&path, &json!({"state": "STOPPED"})).status, 200);
        let stopped = plane.until_state(id, "STOPPED");
        assert_eq!(plane.engines().len(), n_engines, "looked at right after it was said");
        assert_eq!(stopped["status"]["reason"], "stopped_by_user", "{stopped:#}");
        assert!(stopped["replicas"].as_array().unwrap().is_empty(), "{stopped:#}");
        assert!(stopped["status"]["progress"].is_null(), "{stopped:#}");
    }
}

fn never_started(plane: &TestPlane, id: &str) {
    let events = plane.get(&format!("/endpoints/{id}/events")).body;
    let words: Vec<&str> =
        events["data"].as_array().unwrap().iter().map(|it| it["message"].as_str().unwrap()).collect();
    assert!(!words.iter().any(|it| it.contains("-> STARTED")), "{words:?}");
}

#[test]
fn a_start_is_called_off_while_it_waits_for_a_device() {
    let plane = fakes::plane("", "");
    let first = fakes::create(&plane, "ok");
    let second = fakes::create(&plane, "ok");
    plane.until_state(&first, "STARTED");
    plane.until_state(&second, "STARTED");
    for deletes in [false, true] {
        let id = fakes::create(&plane, "slow-load.100");
        let queued = until_reason(&plane, &id, "no_capacity");
        assert!(queued["status"]["message"].as_str().unwrap().contains("none is free"), "{queued:#}");
        call_off(&plane, &id, 2, deletes);
        if !deletes {
            never_started(&plane, &id);
            assert_eq!(fakes::n_events(&plane, &id, "replica_launched"), 0);
        }
    }
    assert_eq!(plane.chat(&first, "hello").status, 200);
    assert_eq!(plane.chat(&second, "hello").status, 200);
}

#[test]
fn a_start_is_called_off_while_its_model_is_fetched() {
    let weights = std::fs::read(dedi_testing::demo_model()).unwrap();
    let hub = FakeHub::start();
    for name in ["acme/one", "acme/two"] {
        let stalls = Trick::Stalls { after: weights.len() / 2 };
        hub.put(name, HubRepo::default().tricky("m-Q8_0.gguf", &weights, stalls));
    }
    let tables = format!(
        "[hub]\nbase_url = \"{}\"\nbackoff_base_millis = 50\ndisk_reserve_mib = 0\nfetch_on_create = true\n",
        hub.base_url()
    );
    let plane = fakes::plane_with(&tables, "", "");
    for (name, deletes) in [("acme/one", false), ("acme/two", true)] {
        let made = plane.post(
            "/endpoints",
            &json!({"model": name, "hardware": "1x_cpu_1gb", "autoscaling": {"min_replicas": 1, "max_replicas": 1}}),
        );
        assert_eq!(made.status, 200, "{}", made.body);
        let id = made.body["id"].as_str().unwrap().to_owned();
        until_reason(&plane, &id, "downloading");
        call_off(&plane, &id, 0, deletes);
        if !deletes {
            never_started(&plane, &id);
        }
    }
}

#[test]
fn a_start_is_called_off_while_its_engine_is_launched_and_while_it_loads() {
    let plane = fakes::plane("", "");
    // One that never listens, and one that says how far it is.
    for (mode, word) in [("deaf", "loading"), ("slow-load.60000", "%")] {
        for deletes in [false, true] {
            let id = fakes::create(&plane, mode);
            let loading = until("its loading", || {
                let it = plane.get(&format!("/endpoints/{id}")).body;
                let says = it["status"]["message"].as_str().is_some_and(|it| it.contains(word));
                (it["state"] == "STARTING" && says).then_some(it)
            });
            assert_eq!(loading["replicas"][0]["phase"], "launching", "{loading:#}");
            call_off(&plane, &id, 0, deletes);
            if !deletes {
                never_started(&plane, &id);
                assert_eq!(fakes::n_events(&plane, &id, "replica_failed"), 0, "called off is no failure");
            }
        }
    }
}
