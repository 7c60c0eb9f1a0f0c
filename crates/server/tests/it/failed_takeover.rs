//! Successors that come to nothing, while requests flow: the server that runs goes on, drops none, keeps its replicas
//! and can be changed and replaced afterwards.

use std::io::{Read, Write};
use std::os::unix::net::UnixStream;

use serde_json::json;

use crate::held::Held;
use crate::load::under_load;
use crate::plane::{PATIENCE, TestPlane, until};

/// A server with a started endpoint, and its id.
pub(crate) fn started() -> (TestPlane, String) {
    let plane = TestPlane::start();
    let id = plane.create("1x_cpu_1gb", 1, 1)["id"].as_str().unwrap().to_owned();
    plane.until_state(&id, "STARTED");
    (plane, id)
}

/// The server works as before: it writes, its reconciler runs, and a successor that is in order replaces it.
fn goes_on(plane: &mut TestPlane, id: &str, engines: &[u32]) {
    let client = plane.client();
    for max in [2, 1] {
        let range = json!({"autoscaling": {"min_replicas": 1, "max_replicas": max}});
        until("a change", || {
            let changed = client.patch(&format!("/endpoints/{id}"), &range);
            assert!(matches!(changed.status, 200 | 503), "{}", changed.body);
            (changed.status == 200).then_some(())
        });
        until("a pass that has seen it", || {
            let it = client.get(&format!("/endpoints/{id}")).body;
            (it["observed_generation"] == it["generation"]).then_some(())
        });
    }
    assert!(plane.is_running(), "the server ended");
    assert_eq!(plane.engines(), engines, "a replica was started anew");
    let mut old = plane.begin_take_over();
    assert!(until("the old server's end", || old.try_wait().unwrap()).success());
    assert_eq!(plane.engines(), engines, "a replica was started anew");
}

/// Asks the server as a successor does, up to the offer of its socket.
fn ask(plane: &TestPlane) -> UnixStream {
    let mut stream = until("the offer", || UnixStream::connect(plane.data().join("takeover.sock")).ok());
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    let mut offer = [0; 8];
    stream.read_exact(&mut offer).unwrap();
    assert_eq!(&offer, b"dedi-2 \n");
    stream
}

/// The same up to the data folder.
pub(crate) fn ask_for_folder(plane: &TestPlane) -> UnixStream {
    let mut stream = ask(plane);
    stream.write_all(b"take\n").unwrap();
    let mut said = [0; 9];
    stream.read_exact(&mut said).unwrap();
    assert_eq!(&said, b"released\n");
    stream
}

fn until_back(plane: &TestPlane, n: usize) {
    until("the folder to be taken back", || {
        (plane.log().matches("has its data folder again and goes on").count() == n).then_some(())
    });
}

#[test]
fn a_successor_with_a_wrong_config_says_so_and_disturbs_nobody() {
    let (mut plane, id) = started();
    let engines = plane.engines();
    let file = plane.data().join("dedi.toml");
    let good = std::fs::read_to_string(&file).unwrap();
    under_load(&mut plane, &id, |plane| {
        let lines = good.lines().filter(|it| !it.starts_with("engine")).collect::<Vec<_>>().join("\n");
        std::fs::write(&file, format!("engine = \"/nope\"\n{lines}\n")).unwrap();
        let (code, _, said) = plane.cli(&["serve", "--takeover"]);
        assert_eq!(code, Some(2), "{said}");
        assert!(said.contains("engine = \"/nope\" is not a file"), "{said}");
        std::fs::write(&file, &good).unwrap();
        assert!(!plane.log().contains("asks to take over"), "{}", plane.log());
        goes_on(plane, &id, &engines);
    });
}

#[test]
fn who_asks_and_leaves_or_stalls_gets_nothing() {
    let (mut plane, id) = started();
    let engines = plane.engines();
    under_load(&mut plane, &id, |plane| {
        drop(ask(plane));
        let silent = ask(plane);
        // Waits until the silent one is not waited for any more.
        drop(ask_for_folder(plane));
        until_back(plane, 1);
        drop(silent);
        let stalled = ask_for_folder(plane);
        until_back(plane, 2);
        drop(stalled);
        goes_on(plane, &id, &engines);
    });
}

#[test]
fn a_successor_killed_before_it_serves_gives_everything_back() {
    let (mut plane, id) = started();
    let engines = plane.engines();
    under_load(&mut plane, &id, |plane| {
        let held = Held::new(plane);
        let mut successor = plane.spawn("127.0.0.1:0", &["--takeover"]);
        let _unwritten = held.until_held(plane, &mut successor);
        // It may take its time: nobody opens the folder beside it.
        let said = format!("another server (process {}) holds it", successor.id());
        until("the word that it takes long", || plane.log().contains(&said).then_some(()));
        assert!(plane.is_running() && successor.try_wait().unwrap().is_none());
        successor.kill().unwrap();
        successor.wait().unwrap();
        until_back(plane, 1);
        goes_on(plane, &id, &engines);
    });
}
