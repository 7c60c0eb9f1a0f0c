//! A data folder on a disk that gets full: nothing is acknowledged that is not kept, requests and reads go on, and
//! with room it goes on without a restart.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use dedi_testing::host::has;
use serde_json::json;

use crate::fakes;
use crate::plane::{TestPlane, until};

/// A small disk of its own on a folder; gone with this value.
pub(crate) struct SmallDisk(PathBuf);

impl SmallDisk {
    pub(crate) fn mount(folder: &Path) -> Option<Self> {
        let mounted = Command::new("mount")
            .args(["-t", "tmpfs", "-o", "size=24m,mode=700", "tmpfs"])
            .arg(folder)
            .output()
            .is_ok_and(|it| it.status.success());
        mounted.then(|| Self(folder.to_owned()))
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("-l").arg(&self.0).output();
        let _ = std::fs::remove_dir_all(self.0.parent().unwrap());
    }
}

#[test]
fn a_flood_of_log_that_fills_the_disk_stops_no_request_and_loses_nothing() {
    // Dropped last.
    let mut disk = None;
    // A log that may grow far beyond the disk.
    let config = fakes::config("", "log_bytes_max = 268435456\n", "");
    let plane = TestPlane::start_after(&config, |folder| disk = SmallDisk::mount(folder));
    if !has(disk.is_some(), "disks that it may mount") {
        return;
    }
    let neighbour = fakes::create(&plane, "ok");
    plane.until_state(&neighbour, "STARTED");
    let flood = fakes::create(&plane, "flood-log.64");
    let body = json!({"model": "fake/ok", "hardware": "1x_cpu_1gb", "state": "STOPPED",
        "autoscaling": {"min_replicas": 1, "max_replicas": 1}});
    let mut made = vec![neighbour.clone(), flood.clone()];
    let refused = until("a refusal", || {
        std::thread::sleep(Duration::from_millis(100));
        let answer = plane.post("/endpoints", &body);
        if answer.status == 200 {
            made.push(answer.body["id"].as_str().unwrap().to_owned());
        }
        (answer.status != 200).then_some(answer)
    });
    assert_eq!((refused.status, refused.error().0), (503, "temporarily_unavailable"), "{}", refused.body);
    assert!(refused.error().1.contains("nothing was changed; free some room there"), "{}", refused.body);
    for _ in 0..10 {
        assert_eq!(plane.chat(&neighbour, "are you there?").status, 200);
        assert_eq!(plane.get(&format!("/endpoints/{neighbour}")).body["state"], "STARTED");
    }

    // Its log costs the engine nothing: it answers, though that can't be recorded.
    until("the end of the flood", || {
        let it = plane.get(&format!("/endpoints/{flood}")).body;
        (it["replicas"][0]["phase"] == "ready").then_some(())
    });
    // Somebody makes room.
    for entry in std::fs::read_dir(plane.data().join("logs").join(&flood)).unwrap() {
        std::fs::File::options().write(true).open(entry.unwrap().path()).unwrap().set_len(0).unwrap();
    }
    plane.until_state(&flood, "STARTED");
    assert_eq!(plane.post("/endpoints", &body).status, 200, "without a restart");
    let listed = plane.get("/endpoints").body["data"].as_array().unwrap().len();
    assert_eq!(listed, made.len() + 1, "what was acknowledged is there, what was refused is not");
    assert_eq!(plane.chat(&flood, "hello").status, 200);
}
