//! A process that is out of descriptors, or was given few.

use rustix::process::{Pid, Resource, Rlimit, prlimit};

use crate::plane::{TestPlane, until};

#[test]
fn a_server_without_descriptors_takes_no_healthy_replica_for_dead() {
    let plane = TestPlane::start_with(
        "[control]\nunresponsive_limit_secs = 1\n[runtime]\nprobe_interval_ms = 100\nprobe_failures_max = 1\n",
    );
    let id = plane.create("1x_cpu_1gb", 1, 1)["id"].as_str().unwrap().to_owned();
    plane.until_state(&id, "STARTED");
    let before = plane.engines();

    let pid = Pid::from_raw(i32::try_from(plane.server_pid()).unwrap());
    let none = Rlimit { current: Some(0), maximum: None };
    let usual = prlimit(
        pid,
        Resource::Nofile,
        Rlimit { maximum: rustix::process::getrlimit(Resource::Nofile).maximum, ..none },
    )
    .unwrap();
    // At ten looks a second, three times the longest silence that a replica may keep.
    until("thirty looks without a descriptor", || {
        (plane.log().matches("can't be asked how it is").count() >= 30).then_some(())
    });
    prlimit(pid, Resource::Nofile, usual).unwrap();

    until("an answer", || (plane.chat(&id, "hello").status == 200).then_some(()));
    assert_eq!(plane.engines(), before, "the replica was replaced");
    until("a look that shows it", || {
        (plane.until_state(&id, "STARTED")["status"]["ready_replicas"] == 1).then_some(())
    });
    assert_eq!(plane.engines(), before, "the replica was replaced");
}

#[test]
fn a_server_takes_all_descriptors_it_may_have_and_its_replicas_get_a_limit() {
    let plane = TestPlane::start();
    let id = plane.create("1x_cpu_1gb", 1, 1)["id"].as_str().unwrap().to_owned();
    plane.until_state(&id, "STARTED");
    let limits = |pid: u32, what: &str| -> (String, String) {
        let text = std::fs::read_to_string(format!("/proc/{pid}/limits")).unwrap();
        let line = text.lines().find(|it| it.starts_with(what)).unwrap();
        let mut words = line[what.len()..].split_whitespace();
        (words.next().unwrap().to_owned(), words.next().unwrap().to_owned())
    };
    let (soft, hard) = limits(plane.server_pid(), "Max open files");
    assert_eq!(soft, hard);
    let engine = plane.engines()[0];
    assert!(limits(engine, "Max open files").1.parse::<u64>().unwrap() <= 65_536);
    assert_eq!(limits(engine, "Max file size").1.parse::<u64>().unwrap(), 4 << 30);
    assert_eq!(limits(engine, "Max core file size").1, "0");
}
