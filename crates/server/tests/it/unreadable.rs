//! One replica's launch record is damaged: the others go on, the server starts and goes, and everybody is told which
//! file it is.

use std::fs;
use std::path::PathBuf;

use crate::fakes;
use crate::plane::{TestPlane, until};

/// The launch record of an endpoint's only replica.
fn record_of(plane: &TestPlane, id: &str) -> PathBuf {
    let told = plane.get(&format!("/endpoints/{id}")).body;
    let replica = told["replicas"][0]["id"].as_str().unwrap().replace("replica-", "").replace('-', "");
    plane.data().join("run").join(&replica[..12]).join("launch.json")
}

#[test]
fn a_damaged_launch_record_holds_up_nobody_else() {
    let mut plane = fakes::plane("", "");
    let (bad, good) = (fakes::create(&plane, "ok"), fakes::create(&plane, "ok"));
    for id in [&bad, &good] {
        plane.until_state(id, "STARTED");
    }
    let path = record_of(&plane, &bad);
    let whole = fs::read(&path).unwrap();
    fs::write(&path, &whole[..whole.len() / 2]).unwrap();
    let unobserved = |plane: &TestPlane| {
        until("the damage to be told", || {
            let told = plane.get(&format!("/endpoints/{bad}")).body;
            (told["status"]["reason"] == "unobserved").then_some(told)
        })
    };
    let told = unobserved(&plane);
    let message = told["status"]["message"].as_str().unwrap();
    assert!(message.contains("launch.json is no launch record"), "{message}");
    assert!(!message.contains(plane.data().to_str().unwrap()), "{message}");
    assert_eq!((&told["state"], &told["replicas"][0]["phase"]), (&"STARTED".into(), &"unknown".into()));
    assert_eq!(plane.chat(&bad, "hello").status, 200, "it is routed as before");

    let stop = serde_json::json!({"state": "STOPPED"});
    assert_eq!(plane.patch(&format!("/endpoints/{good}"), &stop).status, 200);
    plane.until_state(&good, "STOPPED");
    plane.stop_server();
    plane.launch();
    unobserved(&plane);
    assert_eq!(
        plane.patch(&format!("/endpoints/{good}"), &serde_json::json!({"state": "STARTED"})).status,
        200
    );
    plane.until_state(&good, "STARTED");

    let (code, _, said) = plane.cli(&["down"]);
    assert_eq!(code, Some(1), "{said}");
    assert!(said.contains("1 replica ended") && said.contains("launch.json is no launch record"), "{said}");
    assert_eq!(plane.engines().len(), 1, "the one that nothing is known of");
    plane.forget_server();
    fs::write(&path, whole).unwrap();
    plane.launch();
    plane.until_state(&bad, "STARTED");
    assert_eq!(plane.chat(&bad, "hello").status, 200);
}
