//! Servers whose engine is the fake one: a model's name says how its engine behaves.

use serde_json::json;

use crate::plane::TestPlane;

/// A server with two devices, more lines for its `[runtime]` and its `[control]`.
pub(crate) fn plane(runtime: &str, control: &str) -> TestPlane {
    plane_with("", runtime, control)
}

/// The same with tables of config before them.
pub(crate) fn plane_with(tables: &str, runtime: &str, control: &str) -> TestPlane {
    TestPlane::start_with(&config(tables, runtime, control))
}

/// The config of such a server.
pub(crate) fn config(tables: &str, runtime: &str, control: &str) -> String {
    let engine = dedi_testing::fake_engine();
    format!(
        "engine = {:?}\n{tables}\n[control]\n{control}\n[runtime]\nstop_grace_secs = 1\n{runtime}",
        engine.display().to_string()
    )
}

/// The bundled model under a name that says how its engine behaves.
pub(crate) fn add_model(plane: &TestPlane, mode: &str) {
    let from = concat!(env!("CARGO_MANIFEST_DIR"), "/../../models/dedi/demo/demo.gguf");
    let folder = plane.data().join("models/fake").join(mode);
    std::fs::create_dir_all(&folder).unwrap();
    std::fs::copy(from, folder.join("model.gguf")).unwrap();
}

/// An endpoint of one replica whose engine behaves like this; its id.
pub(crate) fn create(plane: &TestPlane, mode: &str) -> String {
    add_model(plane, mode);
    let made = plane.post(
        "/endpoints",
        &json!({"model": format!("fake/{mode}"), "hardware": "1x_cpu_1gb",
            "autoscaling": {"min_replicas": 1, "max_replicas": 1}}),
    );
    assert_eq!(made.status, 200, "{}", made.body);
    made.body["id"].as_str().unwrap().to_owned()
}

/// How many events of a kind an endpoint has.
pub(crate) fn n_events(plane: &TestPlane, id: &str, kind: &str) -> usize {
    let events = plane.get(&format!("/endpoints/{id}/events?limit=1000")).body;
    events["data"].as_array().unwrap().iter().filter(|it| it["kind"] == kind).count()
}

/// Live children of fake engines of this server that try to hide.
pub(crate) fn n_children(plane: &TestPlane) -> usize {
    plane.processes_with(|args| args.get(1).is_some_and(|it| it == "child")).len()
}
