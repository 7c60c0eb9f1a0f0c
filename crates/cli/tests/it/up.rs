//! `scripts/up` with a `dedi` and a `curl` that are scripts: what it asks them.

use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;

/// What `dedi endpoints get demo --exact` says where no endpoint is called so.
const NONE: &str = "error: `demo`: no endpoint has exactly this id, name or display name";

fn script(path: &Path, body: &str) {
    std::fs::create_dir_all(path.parent().unwrap()).unwrap();
    std::fs::write(path, format!("#!/bin/sh\n{body}\n")).unwrap();
    std::fs::set_permissions(path, PermissionsExt::from_mode(0o755)).unwrap();
}

/// Runs it beside a server that is ready; what `dedi` was asked, how it ended, and what it said.
fn up(get: &str, port: Option<&str>) -> (String, bool, String) {
    let temp = tempfile::tempdir().unwrap();
    let asked = temp.path().join("asked");
    script(
        &temp.path().join("release/dedi"),
        &format!(
            "echo \"$*\" >>'{}'\ncase \"$*\" in\n*hardware*) echo 1x_cpu_8gb ;;\n'endpoints get demo --exact') {get} ;;\nesac",
            asked.display()
        ),
    );
    script(&temp.path().join("bin/curl"), "exit 0");
    std::fs::write(temp.path().join("address"), "127.0.0.1:7437").unwrap();
    let up = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../scripts/up");
    let path = format!("{}:{}", temp.path().join("bin").display(), std::env::var("PATH").unwrap());
    let mut command = Command::new(up);
    command.env("PATH", path).env("CARGO_TARGET_DIR", temp.path()).env("DEDI_DATA_DIR", temp.path());
    match port {
        Some(port) => command.env("DEDI_PORT", port),
        None => command.env_remove("DEDI_PORT"),
    };
    let done = command.output().unwrap();
    let err = String::from_utf8(done.stderr).unwrap();
    (std::fs::read_to_string(asked).unwrap(), done.status.success(), err)
}

#[test]
fn only_an_endpoint_with_that_very_name_is_started() {
    let (asked, done, err) = up("exit 0", None);
    assert!(done, "{err}");
    assert!(asked.contains("endpoints start demo --exact --wait"), "{asked}");
    assert!(!asked.contains("endpoints create"), "{asked}");

    let (asked, done, err) = up(&format!("echo '{NONE}' >&2; exit 1"), None);
    assert!(done, "{err}");
    assert!(!asked.contains("endpoints start"), "{asked}");
    assert!(asked.contains("endpoints create --model dedi/demo --hardware 1x_cpu_8gb --display-name demo"));
}

#[test]
fn two_endpoints_of_that_name_are_told_and_no_third_is_made() {
    let (asked, done, err) = up("echo 'error: `demo` matches 2 endpoints' >&2; exit 1", None);
    assert!(!done && err.contains("matches 2 endpoints"), "{err}");
    assert!(!asked.contains("endpoints create") && !asked.contains("endpoints start"), "{asked}");
}

#[test]
fn a_port_that_has_no_effect_is_told() {
    let (_, done, err) = up("exit 0", Some("7555"));
    assert!(done && err.contains("DEDI_PORT=7555 has no effect") && err.contains("127.0.0.1:7437"), "{err}");
    let (_, _, err) = up("exit 0", Some("7437"));
    assert!(!err.contains("has no effect"), "{err}");
}
