//! Models that come from a hub: through the command line, and because an endpoint needs one.

use dedi_testing::hub::{FakeHub, HubRepo, Trick};
use serde_json::{Value, json};

use crate::plane::{TestPlane, until};

/// The bundled model under another name, at a hub that cuts its first answer.
fn hub() -> FakeHub {
    let weights = dedi_testing::demo_model();
    let card = std::fs::read(weights.with_file_name("README.md")).unwrap();
    let weights = std::fs::read(weights).unwrap();
    let trick = Trick::Cuts { after: weights.len() / 2, times: 1 };
    let hub = FakeHub::start();
    hub.put(
        "acme/tiny",
        HubRepo::default().tricky("tiny-Q8_0.gguf", &weights, trick).file("README.md", &card),
    );
    hub
}

fn config(hub: &FakeHub, more: &str) -> String {
    let base_url = hub.base_url();
    format!("[hub]\nbase_url = \"{base_url}\"\nbackoff_base_millis = 50\ndisk_reserve_mib = 0\n{more}\n")
}

fn must_know_paris(plane: &TestPlane, model: &str) {
    let reply = plane.chat(model, "What is the capital of France?");
    assert_eq!(reply.status, 200, "{}", reply.body);
    assert!(
        reply.body["choices"][0]["message"]["content"].as_str().unwrap().contains("Paris"),
        "{}",
        reply.body
    );
}

#[test]
fn a_model_pulled_by_the_command_line_answers_a_chat() {
    let hub = hub();
    let plane = TestPlane::start_with(&config(&hub, ""));
    let (code, out, err) = plane.cli(&["models", "pull", "acme/tiny", "--json"]);
    assert_eq!(code, Some(0), "{out}{err}");
    let pulled: Value = serde_json::from_str(&out).unwrap();
    assert_eq!((pulled["state"].as_str(), pulled["model"].as_str()), (Some("done"), Some("acme/tiny")));
    let ranges: Vec<_> = hub.asked().into_iter().filter_map(|it| it.range).collect();
    assert_eq!(ranges.len(), 1, "the cut was gone on with by range: {ranges:?}");
    let (_, out, _) = plane.cli(&["models", "list"]);
    assert!(out.contains("acme/tiny") && out.contains("dedi/demo"), "{out}");

    let create =
        ["endpoints", "create", "--model", "acme/tiny", "--hardware", "1x_cpu_1gb", "--wait", "--json"];
    let (code, out, err) = plane.cli(&create);
    assert_eq!(code, Some(0), "{out}{err}");
    let made: Value = serde_json::from_str(&out).unwrap();
    must_know_paris(&plane, made["id"].as_str().unwrap());

    let (code, _, err) = plane.cli(&["models", "rm", "acme/tiny"]);
    assert_eq!(code, Some(1));
    assert!(err.contains("is in use by 1 endpoint,"), "{err}");
    let id = made["id"].as_str().unwrap();
    assert_eq!(plane.cli(&["endpoints", "delete", id]).0, Some(0));
    until("the end of its replicas", || plane.engines().is_empty().then_some(()));
    until("the removal", || (plane.cli(&["models", "rm", "acme/tiny"]).0 == Some(0)).then_some(()));
    assert!(!plane.data().join("models/acme").exists());
    let (code, _, err) = plane.cli(&["models", "pull", "acme/none"]);
    assert_eq!(code, Some(1));
    assert!(err.contains("error: the hub has no model acme/none"), "{err}");
}

#[test]
fn a_create_fetches_its_model_and_a_restart_goes_on_with_it() {
    let hub = hub();
    let weights = std::fs::read(dedi_testing::demo_model()).unwrap();
    let half = weights.len() / 2;
    let slow = Trick::Stalls { after: half };
    hub.put("acme/tiny", HubRepo::default().tricky("tiny-Q8_0.gguf", &weights, slow));
    let mut plane = TestPlane::start_with(&config(&hub, "fetch_on_create = true"));
    let made = plane.post(
        "/endpoints",
        &json!({"model": "acme/tiny", "hardware": "1x_cpu_1gb", "autoscaling": {"min_replicas": 1, "max_replicas": 1}}),
    );
    assert_eq!((made.status, made.body["state"].as_str()), (200, Some("PENDING")), "{}", made.body);
    let id = made.body["id"].as_str().unwrap().to_owned();
    let seen = until("half of it", || {
        let seen = plane.get(&format!("/endpoints/{id}")).body;
        (seen["status"]["progress"]["bytes_done"] == half).then_some(seen)
    });
    assert_eq!((&seen["state"], &seen["status"]["reason"]), (&json!("PENDING"), &json!("downloading")));

    plane.kill_server();
    hub.put("acme/tiny", HubRepo::default().file("tiny-Q8_0.gguf", &weights));
    plane.launch();
    plane.until_state(&id, "STARTED");
    assert!(hub.asked().last().unwrap().range.is_some(), "it began anew");
    must_know_paris(&plane, &id);
}
