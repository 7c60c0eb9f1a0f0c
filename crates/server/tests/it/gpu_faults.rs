//! GPUs that break, on a host that has none: what ran there runs elsewhere or waits, and nothing is placed on
//! one that had a fault or whose memory a dead process still holds.

use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::gpus::{ONE, TWO, h100s};
use crate::plane::{TestPlane, signal, until};

/// `NVML_ERROR_GPU_IS_LOST`.
const LOST: u32 = 15;

/// `NVML_ERROR_LIB_RM_VERSION_MISMATCH`: the driver's files were replaced under the loaded driver.
const REPLACED: u32 = 18;

/// The GPUs that an engine was given.
fn devices_of(pid: u32) -> String {
    let env = std::fs::read(format!("/proc/{pid}/environ")).unwrap_or_default();
    let env = String::from_utf8_lossy(&env).into_owned();
    let given = env.split('\0').find_map(|it| it.strip_prefix("CUDA_VISIBLE_DEVICES="));
    given.unwrap_or_default().to_owned()
}

/// An endpoint of one replica; its id.
fn created(plane: &TestPlane, hardware: &str) -> String {
    plane.create(hardware, 1, 1)["id"].as_str().unwrap().to_owned()
}

/// A plane on these GPUs whose one endpoint runs on the first of them; the endpoint's id and its engine.
fn running_on_first(config: &str, gpus: &Value) -> (TestPlane, String, u32) {
    let plane = TestPlane::start_with_gpus(config, gpus);
    let id = created(&plane, ONE);
    plane.until_state(&id, "STARTED");
    let engine = until_on(&plane, "GPU-0");
    (plane, id, engine)
}

fn until_on(plane: &TestPlane, device: &str) -> u32 {
    until(&format!("the one engine to run on {device}"), || match plane.engines()[..] {
        [pid] if devices_of(pid) == device => Some(pid),
        _ => None,
    })
}

fn until_reason(plane: &TestPlane, id: &str, reason: &str) -> Value {
    let path = format!("/endpoints/{id}");
    until(reason, || Some(plane.get(&path).body).filter(|it| it["status"]["reason"] == reason))
}

/// All that has happened to an endpoint, as text.
fn events(plane: &TestPlane, id: &str) -> String {
    plane.get(&format!("/endpoints/{id}/events")).body.to_string()
}

#[test]
fn a_replica_on_a_lost_gpu_is_replaced_on_another_and_never_back_there() {
    let mut world = h100s(2);
    let (mut plane, id, _) = running_on_first("", &world);

    world["gpus"][0]["error"] = json!(LOST);
    plane.set_gpus(&world);
    until_on(&plane, "GPU-1");
    let after = plane.until_state(&id, "STARTED");
    assert_eq!(
        after["status"]["last_failure"],
        Value::Null,
        "a lost device is not held against it: {after:#}"
    );
    assert!(events(&plane, &id).contains("a device it ran on became faulty"), "{}", events(&plane, &id));

    // It answers again, as if nothing had been; a second replica has no place all the same.
    plane.set_gpus(&h100s(2));
    let second = created(&plane, ONE);
    let waiting = until_reason(&plane, &second, "no_capacity");
    assert_eq!(waiting["state"], "PENDING", "{waiting:#}");
    let both = created(&plane, TWO);
    let waiting = until_reason(&plane, &both, "hardware_missing");
    assert_eq!(waiting["state"], "PENDING");
    let message = waiting["status"]["message"].as_str().unwrap();
    assert!(message.contains("1 healthy"), "{message}");

    // After the reset that it needs, a new server trusts it again.
    assert_eq!(plane.delete(&format!("/endpoints/{both}")).status, 204);
    plane.kill_server();
    plane.launch();
    plane.until_state(&second, "STARTED");
}

#[test]
fn a_gpu_that_was_lost_while_no_server_looked_is_left_too() {
    let mut world = h100s(2);
    let (mut plane, id, _) = running_on_first("", &world);
    plane.kill_server();
    world["gpus"][0]["error"] = json!(LOST);
    plane.set_gpus(&world);
    plane.launch();
    until_on(&plane, "GPU-1");
    plane.until_state(&id, "STARTED");
    let told = plane.log().matches("GPU 0, which has never been seen, does not answer").count();
    assert_eq!(told, 1, "{}", plane.log());
}

#[test]
fn a_gpu_with_an_xid_is_left_unless_a_program_brought_it_about() {
    let mut world = h100s(2);
    let (plane, id, first) = running_on_first("", &world);

    world["xids"] = json!([{"gpu": 0, "number": 13}, {"gpu": 1, "number": 31}]);
    plane.set_gpus(&world);
    until("one to be free and one taken", || {
        let list = plane.get("/hardware").body;
        (list["data"][0]["usage"]["free"] == 1).then_some(())
    });
    // An uncorrectable memory error on the other one, then on ours: there is nowhere to go.
    world["xids"].as_array_mut().unwrap().push(json!({"gpu": 1, "number": 48}));
    plane.set_gpus(&world);
    until("the other one to be out of use", || {
        let list = plane.get("/hardware").body;
        (list["data"][0]["usage"]["free"] == 0).then_some(())
    });
    assert_eq!(plane.engines(), vec![first], "what programs do to themselves is no fault of the device");
    world["xids"].as_array_mut().unwrap().push(json!({"gpu": 0, "number": 79}));
    plane.set_gpus(&world);
    let waiting = until_reason(&plane, &id, "hardware_missing");
    assert_eq!(waiting["state"], "PENDING");
    assert!(waiting["status"]["message"].as_str().unwrap().contains("no healthy"), "{waiting:#}");
    until("the engine's end", || plane.engines().is_empty().then_some(()));
    assert!(plane.log().contains("Xid 79"), "{}", plane.log());
}

#[test]
fn a_driver_that_cannot_be_asked_costs_no_replica() {
    let mut world = h100s(2);
    let (mut plane, id, engine) = running_on_first("", &world);

    world["error"] = json!(REPLACED);
    plane.set_gpus(&world);
    let second = created(&plane, ONE);
    until_reason(&plane, &second, "hardware_missing");
    assert_eq!(plane.chat(&id, "hello").status, 200);
    // Not even a new server, which has never seen the driver work.
    plane.kill_server();
    plane.launch();
    plane.until_state(&id, "STARTED");
    until("an answer", || (plane.chat(&id, "hello").status == 200).then_some(()));
    let waiting = until_reason(&plane, &second, "hardware_missing");
    let message = waiting["status"]["message"].as_str().unwrap();
    assert!(
        message.contains("no healthy one of that kind; GPU-0: the GPU driver does not start"),
        "{message}"
    );
    assert_eq!(plane.engines(), vec![engine], "it was started anew");
    let (_, out, _) = plane.cli(&["doctor"]);
    assert!(out.contains("what runs on it goes on"), "{out}");
}

/// `NVML_ERROR_TIMEOUT`.
const TIMEOUT: u32 = 10;

#[test]
fn a_gpu_that_a_new_server_gets_no_answer_about_at_first_costs_no_replica() {
    let mut world = h100s(2);
    let (mut plane, id, engine) = running_on_first("", &world);
    plane.kill_server();
    world["gpus"][0]["error"] = json!(TIMEOUT);
    plane.set_gpus(&world);
    plane.launch();
    until("the new server's look", || plane.log().contains("never been seen, does not answer").then_some(()));
    // What it decides on is told by the state of another endpoint, which the second GPU has room for. An equal create
    // would be answered with the first one.
    let other = |max: u32| plane.create(ONE, 1, max)["id"].as_str().unwrap().to_owned();
    let second = other(2);
    plane.until_state(&second, "STARTED");
    assert!(plane.engines().contains(&engine), "{}", plane.log());
    assert_eq!(plane.chat(&id, "hello").status, 200);
    let third = other(3);
    let waiting = until_reason(&plane, &third, "no_capacity");
    assert_eq!(waiting["state"], "PENDING", "{waiting:#}");

    let after = plane.get(&format!("/endpoints/{id}")).body;
    let told = (&after["state"], &after["status"]["last_failure"]);
    assert_eq!(told, (&json!("STARTED"), &Value::Null), "{after:#}");
    assert!(plane.engines().contains(&engine));

    plane.set_gpus(&h100s(2));
    assert_eq!(plane.delete(&format!("/endpoints/{id}")).status, 204);
    plane.until_state(&third, "STARTED");
}

#[test]
fn memory_that_outlives_its_process_is_waited_for_and_then_quarantined() {
    let mut world = h100s(2);
    let (plane, id, engine) = running_on_first("[control]\nrelease_wait_secs = 3\n", &world);
    world["gpus"][0]["processes"] = json!([{"pid": engine, "mib": 30_000}]);
    plane.set_gpus(&world);
    let ended_at = Instant::now();
    signal(engine, "KILL");
    world["gpus"][0]["processes"] = json!([]);
    world["gpus"][0]["held_mib"] = json!(30_000);
    plane.set_gpus(&world);
    // Its replacement takes the other one; the first stays out of use.
    until_on(&plane, "GPU-1");
    until("the quarantine's event", || {
        let told = events(&plane, &id);
        (told.contains("30000 MiB are still held on GPU-0") && told.contains("nothing is placed"))
            .then_some(())
    });
    assert!(ended_at.elapsed() >= Duration::from_secs(3), "it was not waited for");
    let list = plane.get("/hardware?model=dedi/demo").body;
    let status: Vec<&str> = list["data"]
        .as_array()
        .unwrap()
        .iter()
        .map(|it| it["availability"]["status"].as_str().unwrap())
        .collect();
    assert_eq!(status, ["unavailable", "unavailable"], "{list:#}");
    assert_eq!(list["data"][0]["usage"]["free"], 0, "{list:#}");
    let other = created(&plane, ONE);
    let waiting = until_reason(&plane, &other, "memory_in_use");
    let message = waiting["status"]["message"].as_str().unwrap();
    assert!(message.contains("30000 MiB") && message.contains("at most 0 MiB"), "{message}");

    plane.set_gpus(&h100s(2));
    plane.until_state(&other, "STARTED");
}

#[test]
fn memory_under_the_pid_of_an_engine_that_has_ended_is_waited_for_and_then_quarantined() {
    let mut world = h100s(1);
    let (plane, id, engine) = running_on_first("[control]\nrelease_wait_secs = 3\n", &world);
    // A teardown that is stuck: the driver goes on naming the engine.
    world["gpus"][0]["processes"] = json!([{"pid": engine, "mib": 60_000}]);
    plane.set_gpus(&world);
    let queued = created(&plane, ONE);
    until_reason(&plane, &queued, "no_capacity");
    let stopped_at = Instant::now();
    assert_eq!(plane.patch(&format!("/endpoints/{id}"), &json!({"state": "STOPPED"})).status, 200);
    let shown = until_reason(&plane, &id, "releasing");
    assert_eq!(shown["state"], "STOPPING", "{shown:#}");
    plane.until_state(&id, "STOPPED");
    assert!(stopped_at.elapsed() >= Duration::from_secs(3), "it was not waited for");
    let told = events(&plane, &id);
    assert!(
        told.contains("60000 MiB are still held on GPU-0") && told.contains("nothing is placed"),
        "{told}"
    );
    until_reason(&plane, &queued, "memory_in_use");
    assert_eq!(plane.engines(), [0; 0], "nothing is placed on it");

    plane.set_gpus(&h100s(1));
    plane.until_state(&queued, "STARTED");
}

#[test]
fn memory_that_comes_back_in_time_is_no_quarantine() {
    let mut world = h100s(1);
    let (plane, id, engine) = running_on_first("[control]\nrelease_wait_secs = 30\n", &world);
    world["gpus"][0]["held_mib"] = json!(30_000);
    plane.set_gpus(&world);
    assert_eq!(plane.patch(&format!("/endpoints/{id}"), &json!({"state": "STOPPED"})).status, 200);
    until("the engine's end", || plane.engines().is_empty().then_some(()));
    assert!(!std::path::Path::new(&format!("/proc/{engine}/exe")).exists());
    let shown = until_reason(&plane, &id, "releasing");
    assert_eq!(shown["state"], "STOPPING", "{shown:#}");
    plane.set_gpus(&h100s(1));
    plane.until_state(&id, "STOPPED");
    assert!(events(&plane, &id).contains("its devices are free"), "{}", events(&plane, &id));
}

/// The first lines of `dedi doctor` that say so, each with what to do.
fn doctor(plane: &TestPlane) -> (Option<i32>, String) {
    let (code, out, _) = plane.cli(&["doctor"]);
    (code, out)
}

#[test]
fn driver_that_fails_from_the_start_is_told_in_its_own_words_and_never_as_no_gpu() {
    for (error, words, cure) in [
        (REPLACED, "Driver/library version mismatch (NVML error 18)", "restart the host"),
        (999, "Unknown Error (NVML error 999)", "`nvidia-smi`"),
    ] {
        let mut world = h100s(2);
        world["error"] = json!(error);
        let plane = TestPlane::start_with_gpus_beside("", &world);
        let (code, said) = doctor(&plane);
        assert_eq!(code, Some(1), "{said}");
        let bad =
            said.lines().skip_while(|it| !it.starts_with("BAD   devices: ")).take(2).collect::<Vec<_>>();
        assert!(bad[0].contains(words) && bad[1].contains(cure), "{said}");
        assert!(!said.contains("no GPU found"), "{said}");

        let body = json!({"model": "dedi/demo", "hardware": ONE,
                          "autoscaling": {"min_replicas": 1, "max_replicas": 1}});
        for query in ["", "?dry_run=true"] {
            let refused = plane.post(&format!("/endpoints{query}"), &body);
            let error = &refused.body["error"];
            assert_eq!(
                (refused.status, &error["code"]),
                (400, &json!("gpu_driver_failed")),
                "{}",
                refused.body
            );
            let message = error["message"].as_str().unwrap();
            assert!(message.contains(words) && message.contains(cure), "{message}");
            assert!(!message.contains("Invalid hardware"), "{message}");
        }
        // A name that no driver would have is wrong in any state.
        let cpu = json!({"model": "dedi/demo", "hardware": "9x_cpu_1gb",
                         "autoscaling": {"min_replicas": 1, "max_replicas": 1}});
        assert!(plane.post("/endpoints", &cpu).error().1.contains("Invalid hardware"));
        let id = created(&plane, "1x_cpu_1gb");
        plane.until_state(&id, "STARTED");
    }
}

#[test]
fn query_that_a_driver_lacks_removes_no_gpu() {
    // By the number of its error: not there, not for this product.
    for (errors, what) in [
        (json!({"memory": 13}), "a driver before 2022"),
        (json!({"memory": 3, "memory_v1": 3}), "a GPU in the host's memory"),
        (json!({"processes": 13, "graphics": 13}), "older calls"),
        (json!({"processes": 3, "processes_v2": 3, "graphics": 3, "graphics_v2": 3}), "no processes"),
        (json!({"mig_mode": 3, "events": 3}), "an old product"),
        (json!({"mig_mode": 4, "events": 4, "processes": 4, "graphics": 4}), "no permission"),
    ] {
        let mut world = h100s(2);
        world["gpus"][0]["errors"] = errors.clone();
        world["gpus"][1]["errors"] = errors;
        let plane = TestPlane::start_with_gpus("", &world);
        let list = plane.get("/hardware?model=dedi/demo").body;
        let statuses: Vec<_> =
            list["data"].as_array().unwrap().iter().map(|it| it["availability"]["status"].clone()).collect();
        assert_eq!(statuses, ["available", "available"], "{what}: {list:#}");
        let (_, said) = doctor(&plane);
        assert!(!said.contains("BAD   device"), "{what}: {said}");
        // In the host's memory, a GPU is named after that.
        let id = created(&plane, list["data"][1]["id"].as_str().unwrap());
        plane.until_state(&id, "STARTED");
    }
}

#[test]
fn gpu_whose_memory_is_unknown_is_listed_as_unknown_and_takes_nothing() {
    let mut world = h100s(1);
    world["gpus"][0]["errors"] = json!({"memory": 4});
    let plane = TestPlane::start_with_gpus("", &world);
    let list = plane.get("/hardware").body;
    assert_eq!(list["data"][0]["id"], ONE, "{list:#}");
    assert_eq!(list["data"][0]["usage"]["free"], 0, "{list:#}");
    let why = list["data"][0]["usage"]["unusable"].as_str().unwrap();
    assert!(why.contains("Insufficient Permissions (NVML error 4)"), "{why}");
    let (code, said) = doctor(&plane);
    assert!(code == Some(1) && said.contains("BAD   device GPU-0: Insufficient Permissions"), "{said}");
    plane.set_gpus(&h100s(1));
    let id = created(&plane, ONE);
    plane.until_state(&id, "STARTED");
}

#[test]
fn gpu_that_is_lost_before_it_was_seen_is_told_with_the_drivers_words() {
    let mut world = h100s(2);
    world["gpus"][1]["error"] = json!(LOST);
    let plane = TestPlane::start_with_gpus("", &world);
    let (code, said) = doctor(&plane);
    assert_eq!(code, Some(1), "{said}");
    assert!(
        said.contains("BAD   devices: GPU 1, which has never been seen, does not answer: GPU is lost"),
        "{said}"
    );
    assert!(said.contains("Xid"), "{said}");
}

#[test]
fn gpu_in_mig_mode_is_said_to_be_that_with_the_command_that_ends_it() {
    let mut world = h100s(1);
    world["gpus"][0]["is_cut"] = json!(true);
    // As without the right to look at its instances.
    world["gpus"][0]["errors"] = json!({"memory": 4, "processes": 4, "graphics": 4});
    let plane = TestPlane::start_with_gpus("", &world);
    let (code, said) = doctor(&plane);
    assert!(code == Some(1) && said.contains("BAD   device GPU-0: it is in MIG mode"), "{said}");
    assert!(said.contains("`nvidia-smi -i 0 -mig 0`") && !said.contains("replace it"), "{said}");
    let body = json!({"model": "dedi/demo", "hardware": ONE,
                      "autoscaling": {"min_replicas": 1, "max_replicas": 1}});
    let refused = plane.post("/endpoints", &body);
    assert_eq!(refused.status, 400, "{}", refused.body);
    assert!(refused.error().1.contains("MIG mode"), "{}", refused.body);
    let list = plane.get("/hardware").body;
    assert!(list["data"][0]["usage"]["unusable"].as_str().unwrap().starts_with("1 of 1: it is in MIG mode"));
}
