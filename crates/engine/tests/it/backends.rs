//! What the program says that it can compute on, and that it computes on nothing else than it was told to.

use std::process::{Command, Output};

use serde_json::Value;

#[cfg(not(feature = "gpu"))]
use crate::engine::{Engine, demo_model};

fn engine(args: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_dedi-engine")).args(args).output().unwrap()
}

#[test]
fn backends_are_listed_for_people_and_for_programs() {
    let output = engine(&["--backends"]);
    let text = String::from_utf8(output.stdout).unwrap();
    assert_eq!(output.status.code(), Some(0), "{text}");
    assert!(text.starts_with("cpu: CPU, "), "{text}");

    let output = engine(&["--backends=json"]);
    assert_eq!(output.status.code(), Some(0));
    let json: Value = serde_json::from_slice(&output.stdout).unwrap();
    let cpu = &json["backends"][0];
    assert_eq!((&cpu["name"], &cpu["is_gpu"]), (&Value::from("cpu"), &Value::from(false)), "{json}");
    assert!(cpu["devices"][0]["memory_total_bytes"].as_u64().unwrap() > 0, "{json}");

    for wrong in [&["--backends=xml"][..], &["--backends", "serve"], &[]] {
        assert_eq!(engine(wrong).status.code(), Some(2), "{wrong:?}");
    }
}

#[cfg(not(feature = "gpu"))]
#[tokio::test]
async fn gpu_layers_without_a_gpu_backend_end_the_engine_with_the_command_that_helps() {
    let mut engine = Engine::launch(&demo_model(), &["--gpu-layers", "999"]);
    assert_eq!(engine.exit().await.code(), Some(9), "{}", engine.log());
    let log = engine.log();
    assert!(log.contains("no GPU back-end") && log.contains("`make engine GPU=cuda`"), "{log}");
    // It is what CPU hardware is run with.
    Engine::start(&["--gpu-layers", "0"]).await;
}
