//! What people do to the files of running replicas: remove them, or copy the data folder they lie in.

use std::path::PathBuf;
use std::process::Command;

use crate::gpus::{ONE, h100s};
use crate::plane::{TestPlane, until};

/// A plane whose one replica runs on its one GPU, the endpoint's id, and the engine.
fn running() -> (TestPlane, String, u32) {
    let plane = TestPlane::start_with_gpus("", &h100s(1));
    let id = plane.create(ONE, 1, 1)["id"].as_str().unwrap().to_owned();
    plane.until_state(&id, "STARTED");
    let engine = plane.engines()[0];
    (plane, id, engine)
}

/// The folder of the only replica.
fn replica_folder(plane: &TestPlane) -> PathBuf {
    let entries = std::fs::read_dir(plane.data().join("run")).unwrap().map(|it| it.unwrap());
    let mut folders = entries.filter(|it| it.file_type().unwrap().is_dir()).map(|it| it.path());
    let found = folders.next().unwrap();
    assert_eq!(folders.next(), None);
    found
}

#[test]
fn a_replica_whose_folder_is_removed_is_ended_before_another_one_starts() {
    let (plane, id, first) = running();
    std::fs::remove_dir_all(replica_folder(&plane)).unwrap();
    until("another engine", || {
        let engines = plane.engines();
        assert!(engines.len() <= 1, "two on one GPU: {engines:?}");
        engines.first().is_some_and(|it| *it != first).then_some(())
    });
    plane.until_state(&id, "STARTED");
    assert_eq!((plane.shims().len(), plane.engines().len()), (1, 1));
}

#[test]
fn down_ends_replicas_whose_folders_were_removed_while_no_server_ran() {
    let (mut plane, _, _) = running();
    plane.kill_server();
    std::fs::remove_dir_all(replica_folder(&plane)).unwrap();
    let (code, _, said) = plane.cli(&["down"]);
    assert_eq!(code, Some(0), "{said}");
    assert!(said.contains("1 replica ended"), "{said}");
    assert_eq!(plane.processes(), [0; 0]);
}

#[test]
fn down_on_a_copy_of_the_data_folder_ends_nothing_of_the_original() {
    let (plane, id, engine) = running();
    let copy = tempfile::Builder::new().prefix("dedi-it-").tempdir_in("/tmp").unwrap();
    let data = copy.path().join("d");
    assert!(Command::new("cp").arg("-a").arg(plane.data()).arg(&data).status().unwrap().success());
    let on_copy = |word: &str| {
        let output = plane.command(&[word]).env("DEDI_DATA_DIR", &data).output().unwrap();
        String::from_utf8_lossy(if word == "down" { &output.stderr } else { &output.stdout }).into_owned()
    };
    let said = on_copy("down");
    assert!(said.contains("0 replicas ended"), "{said}");
    let said = on_copy("doctor");
    assert!(said.contains("records of 1 replica of another installation"), "{said}");
    let (_, said, _) = plane.cli(&["doctor"]);
    assert!(!said.contains("another installation"), "{said}");
    assert_eq!((plane.engines(), plane.shims().len()), (vec![engine], 1));
    assert_eq!(plane.chat(&id, "hello").status, 200);
}
