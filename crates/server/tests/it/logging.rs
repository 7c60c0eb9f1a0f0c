//! A log that can't be written, or that nobody reads: lines are lost and counted, and nothing else changes.

use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::process::Command;
use std::time::{Duration, Instant};

use serde_json::json;

use crate::fakes;
use crate::plane::{TestPlane, dedi, until};

/// Nothing that a server does meanwhile may take longer.
const SOON: Duration = Duration::from_secs(10);

/// Restarts the server with its stderr changed, and everything it could log logged.
fn relaunch(plane: &mut TestPlane, change: impl FnOnce(&mut Command)) {
    plane.stop_server();
    let mut command = plane.serve(Command::new(dedi()), "127.0.0.1:0");
    command.env("DEDI_LOG", "trace");
    change(&mut command);
    plane.launch_by(command);
}

/// A create, a chat, reads, and an orderly end.
fn works(plane: &mut TestPlane) {
    let start = Instant::now();
    let id = fakes::create(plane, "ok");
    plane.until_state(&id, "STARTED");
    for _ in 0..20 {
        assert_eq!(plane.chat(&id, "hello").status, 200);
        assert_eq!(plane.anonymous("/healthz").status, 200);
    }
    assert!(plane.is_running());
    assert!(start.elapsed() < SOON, "{:?}", start.elapsed());
}

/// One number of the admin socket's metrics.
fn metric(plane: &TestPlane, name: &str) -> u64 {
    let mut stream = UnixStream::connect(plane.data().join("admin.sock")).unwrap();
    write!(stream, "GET /metrics HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n").unwrap();
    let mut text = String::new();
    stream.read_to_string(&mut text).unwrap();
    let line =
        text.lines().find(|it| it.starts_with(&format!("{name} "))).unwrap_or_else(|| panic!("{text}"));
    line.split(' ').nth(1).unwrap().parse().unwrap()
}

#[test]
fn log_whose_reader_left_changes_nothing() {
    let mut plane = fakes::plane("", "");
    relaunch(&mut plane, |command| {
        let (reader, writer) = std::io::pipe().unwrap();
        command.stdout(writer.try_clone().unwrap()).stderr(writer);
        drop(reader);
    });
    works(&mut plane);
    assert!(metric(&plane, "dedi_log_lines_dropped_total") > 0);
    assert_eq!(plane.stop_server(), Some(0));
}

#[test]
fn log_on_a_full_device_changes_nothing() {
    let mut plane = fakes::plane("", "");
    relaunch(&mut plane, |command| {
        let full = std::fs::File::options().write(true).open("/dev/full").unwrap();
        command.stdout(full.try_clone().unwrap()).stderr(full);
    });
    works(&mut plane);
    let dropped = metric(&plane, "dedi_log_lines_dropped_total");
    assert!(dropped > 0);
    let (_, said, _) = plane.cli(&["doctor"]);
    assert!(said.contains(" log lines since its start could not be written"), "{said}");
    assert_eq!(plane.stop_server(), Some(0));
}

#[test]
fn log_whose_reader_stopped_delays_nothing_and_comes_once_it_goes_on() {
    let mut plane = fakes::plane("", "");
    let mut reader = None;
    relaunch(&mut plane, |command| {
        let (from, to) = std::io::pipe().unwrap();
        rustix::pipe::fcntl_setpipe_size(&to, 4096).unwrap();
        command.stderr(to);
        reader = Some(from);
    });
    works(&mut plane);
    let mut reader = reader.unwrap();
    let reading = std::thread::spawn(move || {
        let mut text = String::new();
        reader.read_to_string(&mut text).unwrap();
        text
    });
    assert_eq!(plane.stop_server(), Some(0));
    let text = reading.join().unwrap();
    assert!(text.len() > 8192 && text.ends_with("stopped\n"), "{text}");
}

#[test]
fn log_whose_reader_stopped_does_not_keep_a_server_from_ending() {
    let mut plane = fakes::plane("", "");
    let mut reader = None;
    relaunch(&mut plane, |command| {
        let (from, to) = std::io::pipe().unwrap();
        rustix::pipe::fcntl_setpipe_size(&to, 4096).unwrap();
        command.stderr(to);
        reader = Some(from);
    });
    works(&mut plane);
    let start = Instant::now();
    assert_eq!(plane.stop_server(), Some(0));
    assert!(start.elapsed() < SOON, "{:?}", start.elapsed());
    drop(reader);
}

#[test]
fn log_and_disk_both_full_still_answer_a_create() {
    let mut disk = None;
    let config = fakes::config("", "log_bytes_max = 268435456\n", "");
    let mut plane = TestPlane::start_after(&config, |folder| disk = crate::disk::SmallDisk::mount(folder));
    if !dedi_testing::host::has(disk.is_some(), "disks that it may mount") {
        return;
    }
    let log = std::fs::File::options().create(true).append(true).open(plane.data().join("log")).unwrap();
    relaunch(&mut plane, |command| {
        command.stdout(log.try_clone().unwrap()).stderr(log).env("DEDI_LOG", "debug");
    });
    let filler = plane.data().join("filler");
    let mut file = std::fs::File::create(&filler).unwrap();
    while file.write_all(&[0; 4096]).is_ok() {}
    let body = json!({"model": "dedi/demo", "hardware": "1x_cpu_1gb", "state": "STOPPED",
        "autoscaling": {"min_replicas": 1, "max_replicas": 1}});
    let refused = until("a refusal", || {
        let answer = plane.post("/endpoints", &body);
        (answer.status != 200).then_some(answer)
    });
    assert_eq!((refused.status, refused.error().0), (503, "temporarily_unavailable"), "{}", refused.body);
    drop(file); // or it keeps its room
    std::fs::remove_file(&filler).unwrap();
    until("a create", || (plane.post("/endpoints", &body).status == 200).then_some(()));
    assert!(metric(&plane, "dedi_log_lines_dropped_total") > 0);
}
