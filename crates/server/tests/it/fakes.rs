//! Servers whose engine is the fake one: a model's name says how its engine behaves.

use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};

use serde_json::{Value, json};

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
    let folder = plane.data().join("models/fake").join(mode);
    std::fs::create_dir_all(&folder).unwrap();
    std::fs::copy(dedi_testing::demo_model(), folder.join("model.gguf")).unwrap();
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

/// The engines' sockets, of live and dead ones.
pub(crate) fn sockets(plane: &TestPlane) -> Vec<PathBuf> {
    let folders = std::fs::read_dir(plane.data().join("run")).unwrap().flatten();
    folders.map(|it| it.path().join("own/engine.sock")).filter(|it| it.exists()).collect()
}

/// What a unix socket answers to a GET, head and all.
pub(crate) fn ask(socket: &Path, path: &str) -> String {
    let mut stream = UnixStream::connect(socket).unwrap();
    write!(stream, "GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n").unwrap();
    let mut text = String::new();
    stream.read_to_string(&mut text).unwrap();
    text
}

/// The sum of one number of all fake engines' statistics.
pub(crate) fn stat(plane: &TestPlane, name: &str) -> u64 {
    let sockets = sockets(plane);
    assert!(!sockets.is_empty(), "no engine has a socket");
    let each = sockets.into_iter().map(|socket| {
        let answer = ask(&socket, "/fake/stats");
        let (_, body) = answer.split_once("\r\n\r\n").unwrap();
        serde_json::from_str::<Value>(body).unwrap()[name].as_u64().unwrap()
    });
    each.sum()
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
