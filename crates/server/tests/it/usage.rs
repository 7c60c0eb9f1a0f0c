//! The running time that is billed, of real processes: never more than they ran, and at most ten seconds less,
//! whatever is killed.

use std::time::{Duration, Instant};

use crate::plane::{TestPlane, signal, until};

/// Longest that a crash may cost.
const LOST_MAX: Duration = Duration::from_secs(10);

/// What is recorded of the endpoint, and of how many replicas.
fn usage(plane: &TestPlane, id: &str) -> (Duration, u64) {
    let answer = plane.get(&format!("/usage?from=2020-01-01&endpoint={id}"));
    assert_eq!(answer.status, 200, "{}", answer.body);
    let item = &answer.body["data"][0];
    let minutes = item["minutes"].as_f64().unwrap_or(0.0);
    (Duration::from_secs_f64(minutes * 60.0), item["replicas"].as_u64().unwrap_or(0))
}

/// How long a process has run, by the kernel's clock.
fn age(pid: u32) -> Duration {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap();
    let began: u64 = stat.rsplit_once(')').unwrap().1.split_whitespace().nth(19).unwrap().parse().unwrap();
    let uptime = std::fs::read_to_string("/proc/uptime").unwrap();
    let uptime: f64 = uptime.split_whitespace().next().unwrap().parse().unwrap();
    // Start times are in hundredths of a second, as everywhere on Linux.
    Duration::from_secs_f64(uptime).saturating_sub(Duration::from_millis(began * 10))
}

#[test]
fn killing_server_and_engine_adds_nothing_and_costs_little() {
    let mut plane = TestPlane::start();
    let id = plane.create("1x_cpu_1gb", 1, 1)["id"].as_str().unwrap().to_owned();
    plane.until_state(&id, "STARTED");
    let ready = Instant::now();
    let engine = plane.engines()[0];
    until("the first beat", || (!usage(&plane, &id).0.is_zero()).then_some(()));

    // The replica runs on without a server, which counts.
    plane.kill_server();
    let alone = age(engine) + LOST_MAX + Duration::from_secs(2);
    until("a while without a server", || (age(engine) > alone).then_some(()));
    plane.launch();
    plane.until_state(&id, "STARTED");
    assert_eq!(plane.engines(), [engine], "it was started anew");
    until("the time without a server", || (usage(&plane, &id).0 > LOST_MAX).then_some(()));
    let least = ready.elapsed().saturating_sub(LOST_MAX);
    let (ran, n_replicas) = usage(&plane, &id);
    let most = age(engine);
    assert!(ran >= least && n_replicas == 1, "{ran:?} is less than {least:?}");
    assert!(ran <= most, "{ran:?} is more than {most:?}");

    // It dies while nobody looks: up to then it counts, and not a moment longer.
    plane.kill_server();
    let alone = age(engine) + Duration::from_secs(3);
    until("a while without a server", || (age(engine) > alone).then_some(()));
    let (least, most) = (ready.elapsed().saturating_sub(LOST_MAX), age(engine));
    signal(engine, "KILL");
    let killed = Instant::now();
    until("the engine's end", || plane.engines().is_empty().then_some(()));
    let slack = killed.elapsed();
    until("a while without either", || (killed.elapsed() > 2 * LOST_MAX).then_some(()));
    plane.launch();
    until("its replacement", || (usage(&plane, &id).1 == 2).then_some(()));
    let next = plane.engines()[0];
    let (ran, n_replicas) = usage(&plane, &id);
    assert_eq!(n_replicas, 2);
    assert!(ran >= least, "{ran:?} is less than {least:?}");
    let most = most + slack + age(next);
    assert!(ran <= most, "{ran:?} is more than {most:?}");
    assert!(most < ready.elapsed().saturating_sub(LOST_MAX), "the time without an engine would not show");

    // A stop and a deletion end it for good.
    assert_eq!(plane.delete(&format!("/endpoints/{id}")).status, 204);
    until("the engine's end", || plane.engines().is_empty().then_some(()));
    until("its deletion", || (plane.get(&format!("/endpoints/{id}")).status == 404).then_some(()));
    let (ended, _) = usage(&plane, &id);
    assert!(ended >= ran);
    let stopped = Instant::now();
    until("more than a beat", || (stopped.elapsed() > Duration::from_secs(6)).then_some(()));
    assert_eq!(usage(&plane, &id).0, ended);
}
