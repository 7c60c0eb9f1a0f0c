//! GPUs that the engine program can't use: nothing is reserved on them, and everything says so first.

use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use serde_json::{Value, json};

use crate::gpus::{ONE, h100s};
use crate::plane::{TestPlane, until};

fn body(hardware: &str) -> Value {
    json!({"model": "dedi/demo", "hardware": hardware, "autoscaling": {"min_replicas": 1, "max_replicas": 1}})
}

#[test]
fn engine_without_a_gpu_backend_is_told_first_and_refused_before_anything_is_reserved() {
    const COMMAND: &str = "`make engine GPU=cuda`";
    let plane = TestPlane::start_with_gpus_beside("", &h100s(4));
    let (code, said, _) = plane.cli(&["doctor"]);
    let bad = said.lines().skip_while(|it| !it.starts_with("BAD   engine: ")).take(2).collect::<Vec<_>>();
    assert_eq!(code, Some(1), "{said}");
    assert!(bad[0].contains("without a GPU back-end") && bad[0].contains("4 GPUs"), "{said}");
    assert!(bad[1].contains(COMMAND), "{said}");

    let list = plane.get("/hardware?model=dedi/demo").body;
    let one = list["data"].as_array().unwrap().iter().find(|it| it["id"] == ONE).unwrap();
    assert_eq!(one["availability"]["status"], "unavailable");
    assert_eq!((&one["usage"]["free"], &one["usage"]["devices"]), (&json!(0), &json!(4)));
    let why = one["usage"]["unusable"].as_str().unwrap();
    assert!(why.starts_with("4 of 4: dedi-engine was built without") && why.contains(COMMAND), "{why}");
    let (_, out, err) = plane.cli(&["endpoints", "hardware"]);
    assert!(out.contains("0 of 4") && err.contains("nvidia_h100_80gb_sxm can't be used"), "{out}{err}");

    let planned = plane.post("/endpoints?dry_run=true", &body(ONE)).body;
    assert_eq!((&planned["fits"], &planned["can_start_now"]), (&json!(false), &json!(false)), "{planned:#}");
    assert!(planned["message"].as_str().unwrap().contains(COMMAND), "{planned:#}");
    assert_eq!(planned["nearest_hardware"], "1x_cpu_1gb");
    let refused = plane.post("/endpoints", &body(ONE));
    let error = &refused.body["error"];
    assert_eq!((refused.status, &error["code"]), (400, &json!("engine_lacks_gpu")), "{}", refused.body);
    assert_eq!(error["param"], "hardware");
    assert!(error["message"].as_str().unwrap().contains(COMMAND), "{}", refused.body);
    assert_eq!(plane.get("/endpoints").body["data"], json!([]));

    let made = plane.create("1x_cpu_1gb", 1, 1);
    plane.until_state(made["id"].as_str().unwrap(), "STARTED");
}

/// An engine program that says of itself what `backends` lists, and is the fake one else.
fn write_engine(program: &Path, backends: &str) {
    let fake = dedi_testing::fake_engine();
    let script = format!(
        "#!/bin/sh\n[ \"$1\" = --backends=json ] && echo '{{\"backends\":[{backends}]}}' && exit\n\
         exec {} \"$@\"\n",
        fake.display()
    );
    let new = program.with_extension("new");
    std::fs::write(&new, script).unwrap();
    std::fs::set_permissions(&new, std::fs::Permissions::from_mode(0o755)).unwrap();
    std::fs::rename(new, program).unwrap();
}

#[test]
fn engine_that_is_replaced_by_one_without_gpus_costs_no_replica_and_starts_none() {
    const CUDA: &str = r#"{"name":"cuda","is_gpu":true,"devices":[{},{}]}"#;
    const CPU: &str = r#"{"name":"cpu","is_gpu":false,"devices":[{}]}"#;
    let folder = tempfile::tempdir().unwrap();
    let program = folder.path().join("engine");
    write_engine(&program, CUDA);
    let plane =
        TestPlane::start_with_gpus(&format!("engine = {:?}\n", program.display().to_string()), &h100s(2));
    let made = plane.create(ONE, 1, 1);
    let id = made["id"].as_str().unwrap();
    plane.until_state(id, "STARTED");
    let before = plane.engines();

    write_engine(&program, CPU);
    let path = format!("/endpoints/{id}");
    until("no free GPU", || (plane.get("/hardware").body["data"][0]["usage"]["free"] == 0).then_some(()));
    assert_eq!(plane.chat(id, "hello").status, 200);
    assert_eq!(plane.engines(), before);

    assert_eq!(plane.patch(&path, &json!({"state": "STOPPED"})).status, 200);
    plane.until_state(id, "STOPPED");
    assert_eq!(plane.patch(&path, &json!({"state": "STARTED"})).status, 200);
    let waiting = until("the reason", || {
        Some(plane.get(&path).body).filter(|it| it["status"]["reason"] == "engine_lacks_gpu")
    });
    assert_eq!(waiting["state"], "PENDING", "{waiting:#}");
    let told = &waiting["status"];
    assert!(told["message"].as_str().unwrap().contains("without a GPU back-end"), "{told:#}");
    assert!(told["next_step"].as_str().unwrap().contains("make engine GPU=cuda"), "{told:#}");
    assert_eq!(plane.engines(), Vec::<u32>::new());

    write_engine(&program, CUDA);
    plane.until_state(id, "STARTED");
}
