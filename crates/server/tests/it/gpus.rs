//! GPUs as a driver shows them, on a host that has none: the driver's library is pretended, and the engine.
//! Named, counted, measured, and told the same everywhere.

use serde_json::{Value, json};

use crate::plane::{Client, TestPlane, until};

pub(crate) const H100: &str = "NVIDIA H100 80GB HBM3";
pub(crate) const ONE: &str = "1x_nvidia_h100_80gb_sxm";
pub(crate) const TWO: &str = "2x_nvidia_h100_80gb_sxm";
const MIB: u64 = 1 << 20;

pub(crate) fn gpu(uuid: &str, name: &str, memory_mib: u64) -> Value {
    json!({"uuid": uuid, "name": name, "memory_mib": memory_mib})
}

/// So many H100, `GPU-0` and on.
pub(crate) fn h100s(n: usize) -> Value {
    let gpus: Vec<Value> = (0..n).map(|at| gpu(&format!("GPU-{at}"), H100, 81_559)).collect();
    json!({ "gpus": gpus })
}

/// The hardware list by id; `query` is `?model=…` or nothing.
fn hardware(client: &Client, query: &str) -> Vec<(String, Value)> {
    let list = client.get(&format!("/hardware{query}"));
    assert_eq!(list.status, 200, "{}", list.body);
    let data = list.body["data"].as_array().unwrap().clone();
    data.into_iter().map(|it| (it["id"].as_str().unwrap().to_owned(), it)).collect()
}

/// The availability of each hardware id for the demo model.
fn availability(client: &Client) -> Vec<(String, String)> {
    hardware(client, "?model=dedi/demo")
        .into_iter()
        .map(|(id, it)| (id, it["availability"]["status"].as_str().unwrap().to_owned()))
        .collect()
}

fn plan(client: &Client, hardware: &str) -> Value {
    let plan = client.post("/endpoints?dry_run=true", &body(hardware));
    assert_eq!(plan.status, 200, "{}", plan.body);
    plan.body
}

fn body(hardware: &str) -> Value {
    json!({"model": "dedi/demo", "hardware": hardware, "autoscaling": {"min_replicas": 1, "max_replicas": 1}})
}

fn pairs(list: &[(&str, &str)]) -> Vec<(String, String)> {
    list.iter().map(|(a, b)| ((*a).to_owned(), (*b).to_owned())).collect()
}

#[test]
fn gpus_are_offered_by_the_contracts_names_with_prices_and_zones() {
    let mut world = h100s(2);
    world["gpus"].as_array_mut().unwrap().push(gpu("GPU-8", "NVIDIA RTX 6000 Ada Generation", 49_140));
    world["gpus"].as_array_mut().unwrap().push(gpu("GPU-9", "NVIDIA A100-PCIE-40GB", 40_960));
    let config = "[control]\nzones = [\"attic\", \"cellar\"]\n\
                  [control.cents_per_device_minute]\nnvidia_h100_80gb_sxm = 5.5\n";
    let plane = TestPlane::start_with_gpus(config, &world);

    let list = hardware(&plane, "");
    let ids: Vec<&str> = list.iter().map(|it| it.0.as_str()).collect();
    assert_eq!(ids, ["1x_nvidia_a100_40gb_pcie", ONE, TWO, "1x_nvidia_rtx_6000_ada_48gb_pcie"]);
    assert!(list.iter().all(|it| it.1.get("availability").is_none_or(Value::is_null)), "{list:?}");
    let two = &list[2].1;
    assert_eq!(two["pricing"]["cents_per_minute"], 11.0);
    let specs = json!({"gpu_type": "h100-80gb", "gpu_link": "sxm", "gpu_memory": 80.0, "gpu_count": 2});
    assert_eq!(two["specs"], specs);
    assert_eq!(list[0].1["pricing"]["cents_per_minute"], 0.0);
    let zones = plane.get("/clusters/availability-zones").body;
    assert_eq!(zones, json!({"avzones": ["attic", "cellar"]}));
    let (_, out, _) = plane.cli(&["doctor"]);
    assert!(out.contains("devices: 2 of nvidia_h100_80gb_sxm"), "{out}");
}

#[test]
fn a_strangers_memory_is_counted_and_the_stranger_named() {
    let mut world = h100s(2);
    let me = std::process::id();
    let plane = TestPlane::start_with_gpus("", &world);
    assert_eq!(availability(&plane), pairs(&[(ONE, "available"), (TWO, "available")]));

    // Room for the model is left, and the device is somebody else's all the same.
    world["gpus"][1]["processes"] = json!([{"pid": me, "mib": 73_728}]);
    plane.set_gpus(&world);
    until("the second GPU to be short", || {
        (availability(&plane) == pairs(&[(ONE, "available"), (TWO, "insufficient")])).then_some(())
    });
    assert_eq!(hardware(&plane, "")[0].1["usage"]["free"], 1);
    // One that draws counts like one that computes, and one that does both counts once.
    world["gpus"][0]["processes"] = json!([{"pid": me, "mib": 2_048}]);
    world["gpus"][0]["graphics"] = json!([{"pid": me, "mib": 2_048}, {"pid": 1, "mib": 7_168}]);
    plane.set_gpus(&world);
    until("both GPUs to be short", || {
        (availability(&plane) == pairs(&[(ONE, "unavailable"), (TWO, "unavailable")])).then_some(())
    });

    let named = std::fs::read_to_string(format!("/proc/{me}/comm")).unwrap();
    let stranger = format!("72 GiB used by {} (pid {me})", named.trim());
    let list = hardware(&plane, "");
    let used_by = list[0].1["usage"]["used_by"].as_array().unwrap();
    assert!(used_by.contains(&json!(stranger)), "{used_by:?}");
    let (_, out, _) = plane.cli(&["doctor"]);
    assert!(out.contains(&format!("device GPU-1: {stranger}, so nothing is placed on it")), "{out}");

    let planned = plan(&plane, ONE);
    assert_eq!((&planned["fits"], &planned["can_start_now"]), (&json!(true), &json!(false)), "{planned:#}");
    let made = plane.create(ONE, 1, 1);
    let id = made["id"].as_str().unwrap();
    let path = format!("/endpoints/{id}");
    let waiting = until("the reason", || {
        Some(plane.get(&path).body).filter(|it| it["status"]["reason"] == "memory_in_use")
    });
    assert_eq!(waiting["state"], "PENDING");
    let message = waiting["status"]["message"].as_str().unwrap();
    assert!(message.contains(&format!("other programs use a free device: {stranger}")), "{message}");
    assert_eq!(plane.engines(), Vec::<u32>::new());

    plane.set_gpus(&h100s(2));
    plane.until_state(id, "STARTED");
}

#[test]
fn strangers_that_cannot_be_seen_count_by_the_devices_total() {
    let mut world = h100s(4);
    for at in [0, 1] {
        world["gpus"][at]["held_mib"] = json!(73_728);
        // A driver in a container that names no processes.
        world["gpus"][at]["errors"] =
            json!({"processes": 3, "processes_v2": 3, "graphics": 3, "graphics_v2": 3});
    }
    let plane = TestPlane::start_with_gpus("", &world);
    let list = hardware(&plane, "");
    let usage = &list[0].1["usage"];
    assert_eq!((&usage["free"], &usage["devices"]), (&json!(2), &json!(4)), "{usage}");
    assert_eq!(usage["used_by"], json!(["72 GiB used by processes that can't be seen from here"]));
}

#[test]
fn the_plan_says_what_placement_does() {
    // As much as is needed, to the MiB, and then one less: both say yes, both say no. On small devices, since much less
    // than a tenth of a large one is left then.
    const SMALL: u64 = 1_024;
    let smalls = || json!({"gpus": [gpu("GPU-0", "Quadro P400", SMALL), gpu("GPU-1", "Quadro P400", SMALL)]});
    let plane = TestPlane::start_with_gpus("", &smalls());
    let two = hardware(&plane, "")[1].0.clone();
    let needed = plan(&plane, &two)["needed_bytes_per_device"].as_u64().unwrap().div_ceil(MIB);
    let with_use = |used: u64| {
        let mut world = smalls();
        world["gpus"][1]["processes"] = json!([{"pid": std::process::id(), "mib": used}]);
        world
    };
    plane.set_gpus(&with_use(SMALL - needed + 1));
    until("a plan that waits", || (plan(&plane, &two)["can_start_now"] == false).then_some(()));
    let made = plane.create(&two, 1, 1);
    let id = made["id"].as_str().unwrap();
    let waiting = until("the wait", || {
        let shown = plane.get(&format!("/endpoints/{id}")).body;
        (shown["status"]["reason"] == "memory_in_use").then_some(shown)
    });
    let (message, planned) = (waiting["status"]["message"].as_str().unwrap(), plan(&plane, &two));
    assert!(
        message
            .contains(&format!("needs {} MiB", planned["needed_bytes_per_device"].as_u64().unwrap() / MIB))
    );
    assert!(message.contains(&format!("(pid {})", std::process::id())), "{message}");
    assert_eq!(plane.engines(), Vec::<u32>::new());
    plane.set_gpus(&with_use(SMALL - needed));
    plane.until_state(id, "STARTED");
    let statuses: Vec<String> = availability(&plane).into_iter().map(|it| it.1).collect();
    assert_eq!(statuses, ["unavailable", "unavailable"]);
    let planned = plan(&plane, &two);
    assert_eq!((&planned["can_start_now"], &planned["devices_free"]), (&json!(false), &json!(0)));
}

#[test]
fn the_plan_knows_who_asked_earlier() {
    let plane = TestPlane::start_with_gpus("", &h100s(2));
    let first = plane.create(ONE, 1, 1);
    plane.until_state(first["id"].as_str().unwrap(), "STARTED");
    assert_eq!(plan(&plane, ONE)["can_start_now"], true);
    let second = plane.create(TWO, 1, 1);
    let waits = |id: &Value, reason: &str| {
        let path = format!("/endpoints/{}", id.as_str().unwrap());
        until(reason, || (plane.get(&path).body["status"]["reason"] == reason).then_some(()));
    };
    waits(&second["id"], "no_capacity");
    // One is free, and it is the second endpoint's.
    let planned = plan(&plane, ONE);
    assert_eq!((&planned["fits"], &planned["can_start_now"]), (&json!(true), &json!(false)), "{planned:#}");
    assert_eq!(planned["devices_free"], 1);
    assert!(planned["message"].as_str().unwrap().contains("asked earlier"), "{planned:#}");
    assert_eq!(availability(&plane), pairs(&[(ONE, "insufficient"), (TWO, "insufficient")]));
    let third = plane.create(ONE, 1, 1);
    waits(&third["id"], "waiting_turn");
}

#[test]
fn hardware_that_can_never_hold_the_model_is_refused_with_the_plans_numbers() {
    let world = json!({"gpus": [gpu("GPU-s", "Quadro P400", 24), gpu("GPU-0", H100, 81_559)]});
    let plane = TestPlane::start_with_gpus("", &world);
    let small = hardware(&plane, "")[1].0.clone();
    assert_eq!(small, "1x_nvidia_p400_2gb_pcie");
    assert_eq!(availability(&plane), pairs(&[(ONE, "available")]));
    let planned = plan(&plane, &small);
    assert_eq!((&planned["fits"], &planned["nearest_hardware"]), (&json!(false), &json!(ONE)));
    let refused = plane.post("/endpoints", &body(&small));
    assert_eq!(refused.status, 404, "{}", refused.body);
    let needs = planned["message"].as_str().unwrap().split_once("needs ").unwrap().1.to_owned();
    let message = refused.error().1;
    assert!(
        message.contains(&format!("needs {needs}; the smallest that fits is {ONE}")),
        "{message} {needs}"
    );
    let unknown = plane.post("/endpoints", &body("3x_nvidia_h100_80gb_sxm"));
    assert!((400..500).contains(&unknown.status), "{}", unknown.body);
    let (code, out, _) =
        plane.cli(&["endpoints", "create", "--model", "dedi/demo", "--hardware", &small, "--plan"]);
    assert_ne!(code, Some(0), "{out}");
}
