//! A model store on a disk that hangs, as an NFS server that is away: a file in it that nobody can open to the end.

use std::path::Path;
use std::time::{Duration, Instant};

use rustix::fs::{CWD, FileType, Mode, mknodat};
use serde_json::json;

use crate::plane::{TestPlane, signal, until};

/// Whoever opens this file waits.
fn hang_at(file: &Path) {
    mknodat(CWD, file, FileType::Fifo, Mode::from_raw_mode(0o600), 0).unwrap();
}

#[test]
fn a_model_store_that_hangs_holds_up_no_key_no_stop_and_no_end() {
    let mut plane = TestPlane::start();
    let (id, other) = (plane.create("1x_cpu_1gb", 1, 1), plane.create("1x_cpu_1gb", 1, 1));
    let (id, other) = (id["id"].as_str().unwrap().to_owned(), other["id"].as_str().unwrap().to_owned());
    plane.until_state(&id, "STARTED");
    plane.until_state(&other, "STARTED");
    let key = plane.post("/keys", &json!({"name": "guest", "role": "inference"})).body;
    let guest = plane.client().with_key(key["key"].as_str().unwrap());
    assert_eq!(guest.chat(&other, "hello").status, 200);

    let manifest = plane.data().join("models/dedi/demo/manifest.json");
    hang_at(&manifest);
    until("a word in the log", || plane.log().contains("the models can't be looked at").then_some(()));
    let revoked = plane.delete(&format!("/keys/{}", key["id"].as_str().unwrap()));
    assert_eq!(revoked.status, 204, "{}", revoked.body);
    assert_eq!(guest.chat(&other, "hello").status, 401, "a revoked key is refused at once");
    assert_eq!(plane.chat(&other, "hello").status, 200, "what runs goes on");
    plane.patch(&format!("/endpoints/{id}"), &json!({"state": "STOPPED"}));
    plane.until_state(&id, "STOPPED");
    for engine in plane.engines() {
        signal(engine, "KILL");
    }
    let waits = plane.until_state(&other, "PENDING");
    assert_eq!(waits["status"]["reason"], "model_unreadable", "{waits:#}");

    let start = Instant::now();
    assert_eq!(plane.stop_server(), Some(0));
    assert!(start.elapsed() < Duration::from_secs(20), "{:?}", start.elapsed());
    assert!(plane.log().contains("stopped"), "{}", plane.log());
    std::fs::remove_file(&manifest).unwrap();
    plane.launch();
    plane.until_state(&other, "STARTED");
}

#[test]
fn a_server_starts_and_ends_though_its_model_store_hangs() {
    let mut plane = TestPlane::start_after("", |data| {
        let demo = data.join("models/dedi/demo");
        std::fs::create_dir_all(&demo).unwrap();
        hang_at(&demo.join("demo.gguf"));
    });
    assert!(plane.log().contains("did not answer within 5 s; the server starts without"), "{}", plane.log());
    assert_eq!(plane.get("/endpoints").status, 200);
    assert_eq!(plane.stop_server(), Some(0));
}
