//! The database's disk fails in other ways than by being full: each is a 503 that names its cause, the endpoint says that
//! its next step can't be recorded, and it goes on by itself when the disk is mended.

use std::path::{Path, PathBuf};
use std::process::Command;

use dedi_testing::host::has;
use rustix::process::{Pid, Resource, Rlimit, prlimit};
use serde_json::json;

use crate::fakes;
use crate::plane::{TestPlane, signal, until};

/// Makes each write to the database and beside it fail with the errno that the file named by `DEDI_FAIL_WITH` holds.
const FAULTS: &str = r#"
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/types.h>
#include <unistd.h>

static int fault(int fd) {
    char link[64], path[4096];
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    ssize_t n = readlink(link, path, sizeof path - 1);
    if (n <= 0) return 0;
    path[n] = 0;
    if (!strstr(path, "/state.db") && !strstr(path, "/.probe-")) return 0;
    const char *file = getenv("DEDI_FAIL_WITH");
    int told = file ? open(file, O_RDONLY) : -1;
    if (told < 0) return 0;
    char text[16] = {0};
    ssize_t got = read(told, text, sizeof text - 1);
    close(told);
    return got > 0 ? atoi(text) : 0;
}

ssize_t write(int fd, const void *buf, size_t n) {
    static ssize_t (*real)(int, const void *, size_t);
    if (!real) real = dlsym(RTLD_NEXT, "write");
    int err = fault(fd);
    if (err) { errno = err; return -1; }
    return real(fd, buf, n);
}

ssize_t pwrite64(int fd, const void *buf, size_t n, off64_t at) {
    static ssize_t (*real)(int, const void *, size_t, off64_t);
    if (!real) real = dlsym(RTLD_NEXT, "pwrite64");
    int err = fault(fd);
    if (err) { errno = err; return -1; }
    return real(fd, buf, n, at);
}

ssize_t pwrite(int fd, const void *buf, size_t n, off_t at) {
    return pwrite64(fd, buf, n, at);
}
"#;

fn body() -> serde_json::Value {
    json!({"model": "fake/ok", "hardware": "1x_cpu_1gb", "state": "STOPPED",
        "autoscaling": {"min_replicas": 1, "max_replicas": 1}})
}

/// The library, built into `folder`.
fn faults(folder: &Path) -> Option<PathBuf> {
    let (source, library) = (folder.join("faults.c"), folder.join("faults.so"));
    std::fs::write(&source, FAULTS).unwrap();
    let mut built = Command::new("cc");
    built.args(["-shared", "-fPIC", "-O1", "-o"]).arg(&library).arg(&source).arg("-ldl");
    built.output().is_ok_and(|it| it.status.success()).then_some(library)
}

/// A create is refused with the cause, and what runs goes on.
fn is_said(plane: &TestPlane, running: &str, cause: &str) {
    let refused =
        until("a refusal", || Some(plane.post("/endpoints", &body())).filter(|it| it.status != 200));
    assert_eq!((refused.status, refused.error().0), (503, "temporarily_unavailable"), "{}", refused.body);
    let said = refused.error().1;
    assert!(said.contains("the disk that holds the database") && said.contains(cause), "{said}");
    assert!(said.contains("nothing was changed"), "{said}");
    assert_eq!(plane.chat(running, "hello").status, 200, "what runs goes on");
}

#[test]
fn disk_that_fails_is_told_by_its_cause_and_gone_on_with() {
    let aside = tempfile::tempdir().unwrap();
    let library = faults(aside.path());
    if !has(library.is_some(), "a C compiler") {
        return;
    }
    let fail_with = aside.path().join("errno");
    let variables = json!({"LD_PRELOAD": library, "DEDI_FAIL_WITH": fail_with});
    let plane = TestPlane::start_after(&fakes::config("", "", ""), |data| {
        std::fs::write(data.with_file_name("variables"), variables.to_string()).unwrap();
    });
    let id = fakes::create(&plane, "ok");
    plane.until_state(&id, "STARTED");
    for (errno, cause) in [
        (122, "disk quota of this server's user is used up"),
        (5, "input/output error"),
        (116, "stale file handle"),
        (27, "file-size limit"),
        (30, "read-only"),
    ] {
        std::fs::write(&fail_with, errno.to_string()).unwrap();
        is_said(&plane, &id, cause);
        if errno == 122 {
            for engine in plane.engines() {
                signal(engine, "KILL");
            }
            let seen = until("a word of the step that can't be recorded", || {
                let it = plane.get(&format!("/endpoints/{id}")).body;
                (it["status"]["reason"] == "unrecorded").then_some(it)
            });
            assert!(seen["status"]["message"].as_str().unwrap().contains(cause), "{seen}");
            std::fs::remove_file(&fail_with).unwrap();
            plane.until_state(&id, "STARTED");
            until("an answer", || (plane.chat(&id, "hello").status == 200).then_some(()));
        }
    }
    std::fs::remove_file(&fail_with).unwrap();
    assert_eq!(plane.post("/endpoints", &body()).status, 200, "without a restart");
}

#[test]
fn file_size_limit_ends_nothing_and_is_said() {
    let plane = TestPlane::start_with(&fakes::config("", "", ""));
    let id = fakes::create(&plane, "ok");
    plane.until_state(&id, "STARTED");
    let length = |path: &Path| std::fs::metadata(path).map_or(0, |it| it.len());
    // Room for the server's log, whose file is limited as well.
    let log = length(&plane.data().with_file_name("log")) + (64 << 10);
    let limit =
        log.max(length(&plane.data().join("state.db-wal"))).max(length(&plane.data().join("state.db")));
    let server = Pid::from_raw(plane.server_pid().try_into().unwrap()).unwrap();
    let limited = Rlimit { current: Some(limit), maximum: None };
    let before = prlimit(Some(server), Resource::Fsize, limited).unwrap();
    is_said(&plane, &id, "the file-size limit of this server (RLIMIT_FSIZE): raise LimitFSIZE");
    prlimit(Some(server), Resource::Fsize, before).unwrap();
    assert_eq!(plane.post("/endpoints", &body()).status, 200, "without a restart");
}

#[test]
fn model_store_that_is_read_only_starts_with_a_warning() {
    let mut mounted = None;
    let plane = TestPlane::start_after(&fakes::config("", "", ""), |data| {
        let models = data.join("models");
        std::fs::create_dir_all(models.join("a/b")).unwrap();
        std::fs::copy(dedi_testing::demo_model(), models.join("a/b/b.gguf")).unwrap();
        mounted = ReadOnly::mount(&models);
    });
    if !has(mounted.is_some(), "disks that it may mount") {
        return;
    }
    let log = plane.log();
    assert!(
        log.contains("the demo model can't be written") && log.contains("is read-only: mount it"),
        "{log}"
    );
    let made = plane.post(
        "/endpoints",
        &json!({"model": "a/b", "hardware": "1x_cpu_1gb",
        "autoscaling": {"min_replicas": 1, "max_replicas": 1}}),
    );
    plane.until_state(made.body["id"].as_str().unwrap(), "STARTED");
    let (code, said, why) = plane.cli(&["models", "rm", "a/b"]);
    assert!(code == Some(1) && !why.contains("internal"), "{said}{why}");
    let (_, said, _) = plane.cli(&["doctor"]);
    assert!(said.contains("note  models: the model store ") && said.contains("is read-only"), "{said}");
}

/// A folder that can only be read; as before with this value's end.
struct ReadOnly(PathBuf);

impl ReadOnly {
    fn mount(folder: &Path) -> Option<Self> {
        let mount = |args: &[&str]| {
            Command::new("mount").args(args).arg(folder).output().is_ok_and(|it| it.status.success())
        };
        let this = mount(&["--bind", folder.to_str()?]).then(|| Self(folder.to_owned()))?;
        mount(&["-o", "remount,bind,ro"]).then_some(this)
    }
}

impl Drop for ReadOnly {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("-l").arg(&self.0).output();
        // What could not be removed while it was read-only.
        let _ = self.0.ancestors().nth(2).map(std::fs::remove_dir_all);
    }
}
