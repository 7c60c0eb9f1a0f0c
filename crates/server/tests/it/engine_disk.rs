//! An engine that writes without end to the folder it works in.

use crate::fakes;
use crate::plane::until;

#[test]
fn engine_that_fills_its_folder_is_ended_by_name_and_the_others_go_on() {
    let plane = fakes::plane("engine_disk_mib = 8\n", "");
    let neighbour = fakes::create(&plane, "ok");
    plane.until_state(&neighbour, "STARTED");
    let before = plane.engines();
    let id = fakes::create(&plane, "fill-disk.32");
    let failure = until("the failure", || {
        let it = plane.get(&format!("/endpoints/{id}")).body;
        it["status"]["first_failure"].is_object().then(|| it["status"]["first_failure"].clone())
    });
    assert_eq!(failure["reason"], "disk_limit", "{failure}");
    assert!(
        failure["message"].as_str().unwrap().contains("wrote more to its folder than it may"),
        "{failure}"
    );
    let logs = plane.text(&format!("/endpoints/{id}/logs"));
    assert!(logs.contains("more than runtime.engine_disk_mib, 8: ended"), "{logs}");
    assert_eq!(plane.chat(&neighbour, "hello").status, 200);
    assert!(before.iter().all(|it| plane.engines().contains(it)));
    assert_eq!(plane.delete(&format!("/endpoints/{id}")).status, 204);
}

#[test]
fn engine_may_write_no_file_longer_than_its_folder_may_be() {
    let plane = fakes::plane("engine_disk_mib = 8\n", "");
    let id = fakes::create(&plane, "ok");
    plane.until_state(&id, "STARTED");
    let limits = std::fs::read_to_string(format!("/proc/{}/limits", plane.engines()[0])).unwrap();
    let line = limits.lines().find(|it| it.starts_with("Max file size")).unwrap();
    assert_eq!(line.split_whitespace().nth(3), Some("8388608"), "{line}");
}
