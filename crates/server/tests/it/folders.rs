//! Which folders a server takes for its own, who may read what is in them, and that looking changes nothing.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::fakes;
use crate::plane::{TestPlane, dedi};

fn mode(path: &Path) -> u32 {
    fs::symlink_metadata(path).unwrap().permissions().mode() & 0o777
}

/// Everything below a folder with its mode.
fn all(folder: &Path) -> Vec<(PathBuf, u32)> {
    let mut found = vec![(folder.to_owned(), mode(folder))];
    let mut folders = vec![folder.to_owned()];
    while let Some(path) = folders.pop() {
        for entry in fs::read_dir(path).unwrap() {
            let path = entry.unwrap().path();
            found.push((path.clone(), mode(&path)));
            if fs::symlink_metadata(&path).unwrap().is_dir() {
                folders.push(path);
            }
        }
    }
    found.sort();
    found
}

#[test]
fn commands_that_look_change_nothing_in_a_folder_of_somebody_else() {
    let temp = tempfile::tempdir().unwrap();
    let folder = temp.path().join("photos");
    fs::create_dir(&folder).unwrap();
    fs::set_permissions(&folder, fs::Permissions::from_mode(0o755)).unwrap();
    fs::write(folder.join("cat.jpg"), "meow").unwrap();
    let before = all(&folder);
    for args in [
        &["doctor"] as &[&str],
        &["config"],
        &["down"],
        &["backup", "copy.db"],
        &["models", "list"],
        &["keys", "list"],
        &["serve", "--listen", "127.0.0.1:0"],
    ] {
        let done = Command::new(dedi())
            .arg("--data-dir")
            .arg(&folder)
            .args(args)
            .current_dir(temp.path())
            .env("DEDI_BASE_URL", "http://127.0.0.1:9/v1")
            .output()
            .unwrap();
        assert_eq!(all(&folder), before, "{args:?}");
        let said = String::from_utf8_lossy(&done.stderr);
        if args[0] == "serve" {
            assert_eq!(done.status.code(), Some(2), "{said}");
            assert!(said.contains("it holds cat.jpg; choose a new or an empty folder"), "{said}");
        }
        if args[0] == "doctor" {
            let said = String::from_utf8_lossy(&done.stdout);
            assert!(said.contains("BAD   data folder ") && said.contains("it holds cat.jpg"), "{said}");
        }
    }
    // Nor where there is nothing at all.
    let absent = temp.path().join("absent");
    for args in [&["doctor"] as &[&str], &["config"], &["down"]] {
        Command::new(dedi()).arg("--data-dir").arg(&absent).args(args).output().unwrap();
        assert!(!absent.exists(), "{args:?}");
    }
}

#[test]
fn folder_with_a_name_that_is_not_utf_8_is_refused_by_every_command_that_uses_it() {
    use std::os::unix::ffi::OsStrExt;
    let temp = tempfile::tempdir().unwrap();
    let folder = temp.path().join(std::ffi::OsStr::from_bytes(b"d\xff"));
    for args in [&["serve"] as &[&str], &["doctor"], &["config"], &["down"]] {
        let done = Command::new(dedi()).arg("--data-dir").arg(&folder).args(args).output().unwrap();
        let said = String::from_utf8_lossy(&done.stderr);
        assert_eq!(done.status.code(), Some(2), "{args:?} {said}");
        assert!(said.contains("is not UTF-8") && said.contains("--data-dir"), "{args:?} {said}");
    }
}

#[test]
fn what_a_server_makes_is_private_whatever_the_umask_and_older_files_become_so() {
    let mut plane = fakes::plane("", "");
    plane.stop_server();
    let data = plane.data();
    // As earlier versions left them.
    fs::set_permissions(&data, fs::Permissions::from_mode(0o755)).unwrap();
    for name in ["state.db", "server.lock"] {
        fs::set_permissions(data.join(name), fs::Permissions::from_mode(0o644)).unwrap();
    }
    let mut open = Command::new("sh");
    open.args(["-c", "umask 000; exec \"$0\" \"$@\""]).arg(dedi());
    plane.launch_by(plane.serve(open, "127.0.0.1:0"));
    let id = fakes::create(&plane, "ok");
    plane.until_state(&id, "STARTED");
    assert_eq!(plane.chat(&id, "hello").status, 200);
    let (code, _, said) = plane.cli(&["backup", data.join("copy").to_str().unwrap()]);
    assert_eq!(code, Some(0), "{said}");
    let ours = |path: &Path| path != data.join("dedi.toml") && !path.starts_with(data.join("models"));
    for (path, mode) in all(&data) {
        assert!(!ours(&path) || mode & 0o077 == 0, "{} {mode:o}", path.display());
    }
    for name in ["state.db", "state.db-wal", "state.db-shm", "admin.key", "address", "copy"] {
        assert_eq!(mode(&data.join(name)), 0o600, "{name}");
    }
}

#[test]
fn folder_that_make_up_prepares_is_taken() {
    let plane = TestPlane::start_after("", |data| fs::write(data.join("server.log"), "").unwrap());
    assert_eq!(mode(&plane.data().join("server.log")), 0o600);
}
