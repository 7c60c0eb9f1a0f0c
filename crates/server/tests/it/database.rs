//! The database is copied, damaged, lost and put back, while a replica runs that must not notice.

use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Command;

use serde_json::json;
use sqlx::sqlite::SqliteConnectOptions;
use sqlx::{ConnectOptions, Connection};

use crate::plane::{TestPlane, dedi, until};

/// Starts a server that must refuse, and returns its sentence.
fn refusal(data: &Path) -> String {
    let output = Command::new(dedi())
        .args(["serve", "--listen", "127.0.0.1:0", "--data-dir"])
        .arg(data)
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(1), "{said}");
    let last = said.lines().last().unwrap_or_default();
    assert!(last.starts_with("error: the database "), "{said}");
    last.to_owned()
}

fn remove_log(data: &Path) {
    for name in ["state.db-wal", "state.db-shm"] {
        let _ = std::fs::remove_file(data.join(name));
    }
}

#[test]
fn a_backup_brings_a_damaged_or_lost_database_back_and_no_replica_ends_meanwhile() {
    let mut plane = TestPlane::start();
    let id = plane.create("1x_cpu_1gb", 1, 1)["id"].as_str().unwrap().to_owned();
    plane.until_state(&id, "STARTED");
    let engines = plane.engines();
    assert_eq!(engines.len(), 1);

    let (data, copy) = (plane.data(), plane.data().with_file_name("copy.db"));
    let file = copy.to_str().unwrap();
    let (code, said, why) = plane.cli(&["backup", file]);
    assert_eq!(code, Some(0), "{why}");
    let meta = std::fs::metadata(&copy).unwrap();
    assert!(said.contains(file) && said.contains(&format!("{} bytes", meta.len())), "{said}");
    assert_eq!(meta.permissions().mode() & 0o777, 0o600);
    let (code, _, said) = plane.cli(&["backup", file]);
    assert!(code == Some(1) && said.contains("exists already"), "{said}");

    plane.kill_server();
    let database = data.join("state.db");
    let mut bytes = std::fs::read(&database).unwrap();
    for page in 1..bytes.len() / 4_096 {
        bytes[page * 4_096..page * 4_096 + 16].fill(0xa5);
    }
    std::fs::write(&database, &bytes).unwrap();
    remove_log(&data);
    let said = refusal(&data);
    assert!(said.contains("damaged") && said.contains("`dedi backup`"), "{said}");
    assert_eq!(std::fs::read(&database).unwrap(), bytes, "a refused file is left as it is");
    assert_eq!(plane.engines(), engines, "a replica was ended over a damaged database");

    std::fs::remove_file(&database).unwrap();
    remove_log(&data);
    let said = refusal(&data);
    assert!(said.contains("missing") && said.contains("replicas of it still run (1)"), "{said}");
    assert!(!database.exists(), "an empty database was made");
    assert_eq!(plane.engines(), engines, "a replica was ended over a missing database");

    remove_log(&data);
    std::fs::copy(&copy, &database).unwrap();
    plane.launch();
    plane.until_state(&id, "STARTED");
    until("an answer", || (plane.chat(&id, "hello").status == 200).then_some(()));
    assert_eq!(plane.engines(), engines, "the replica was started anew");
}

#[test]
fn a_launch_after_a_restore_has_a_log_of_its_own() {
    let mut plane = TestPlane::start();
    let id = plane.create("1x_cpu_1gb", 1, 1)["id"].as_str().unwrap().to_owned();
    plane.until_state(&id, "STARTED");
    let (data, copy) = (plane.data(), plane.data().with_file_name("copy.db"));
    assert_eq!(plane.cli(&["backup", copy.to_str().unwrap()]).0, Some(0));
    // A launch that the copy does not know, and whose process still runs when the copy is put back.
    for state in ["STOPPED", "STARTED"] {
        assert_eq!(plane.patch(&format!("/endpoints/{id}"), &json!({"state": state})).status, 200);
        plane.until_state(&id, state);
    }
    plane.kill_server();
    remove_log(&data);
    std::fs::copy(&copy, data.join("state.db")).unwrap();
    let logs = data.join("logs").join(&id);
    let read = |name| std::fs::read_to_string(logs.join(name)).unwrap();
    let second = read("attempt-2.log");
    plane.launch();
    until("the next launch", || logs.join("attempt-3.log").exists().then_some(()));
    plane.until_state(&id, "STARTED");
    until("an answer", || (plane.chat(&id, "hello").status == 200).then_some(()));
    let (now, third) = (read("attempt-2.log"), read("attempt-3.log"));
    assert!(now.starts_with(&second) && !third.is_empty());
    // Each line has its time: the old launch's log has its end besides, and nothing of the new one.
    assert!(third.lines().all(|it| !now.contains(it)), "{now}\n---\n{third}");
    let shown = plane.text(&format!("/endpoints/{id}/logs?tail=1000"));
    assert!(shown.starts_with(&third), "{shown}");
}

#[test]
fn a_backup_needs_no_server() {
    let mut plane = TestPlane::start();
    let id = plane.create("1x_cpu_1gb", 1, 1)["id"].as_str().unwrap().to_owned();
    assert_eq!(plane.stop_server(), Some(0));
    let copy = plane.data().with_file_name("copy.db");
    let (code, _, said) = plane.cli(&["backup", copy.to_str().unwrap()]);
    assert_eq!(code, Some(0), "{said}");
    let (code, _, said) = plane.cli(&["down"]);
    assert_eq!(code, Some(0), "{said}");
    std::fs::rename(&copy, plane.data().join("state.db")).unwrap();
    plane.launch();
    assert_eq!(plane.get(&format!("/endpoints/{id}")).status, 200);
}

#[test]
fn a_database_that_is_removed_or_replaced_under_a_server_takes_no_write_and_is_not_lost() {
    let mut plane = TestPlane::start();
    let id = plane.create("1x_cpu_1gb", 1, 1)["id"].as_str().unwrap().to_owned();
    plane.until_state(&id, "STARTED");
    let engines = plane.engines();
    let (data, copy) = (plane.data(), plane.data().with_file_name("copy.db"));
    let (database, aside) = (data.join("state.db"), data.join("aside"));
    let body = json!({"model": "dedi/demo", "hardware": "1x_cpu_1gb", "state": "STOPPED",
        "autoscaling": {"min_replicas": 1, "max_replicas": 1}});
    let is_refused = |plane: &TestPlane| {
        let answer = plane.post("/endpoints", &body);
        assert_eq!(answer.status, 503, "{}", answer.body);
        let said = answer.error().1;
        assert!(said.contains(database.to_str().unwrap()) && said.contains("`dedi backup FILE`"), "{said}");
        assert_eq!(plane.chat(&id, "hello").status, 200);
        assert_eq!(plane.get(&format!("/endpoints/{id}")).status, 200);
    };
    std::fs::rename(&database, &aside).unwrap();
    is_refused(&plane);
    std::fs::copy(&aside, &database).unwrap();
    is_refused(&plane);
    until("the word of it", || plane.log().contains("was removed or replaced").then_some(()));
    std::fs::rename(&aside, &database).unwrap();
    assert_eq!(plane.post("/endpoints", &body).status, 200, "it is in its place again");
    let all = plane.get("/endpoints").body["data"].as_array().unwrap().len();

    std::fs::remove_file(&database).unwrap();
    is_refused(&plane);
    let (code, _, why) = plane.cli(&["backup", copy.to_str().unwrap()]);
    assert_eq!(code, Some(0), "{why}");
    assert_eq!(plane.stop_server(), Some(0));
    remove_log(&data);
    std::fs::rename(&copy, &database).unwrap();
    plane.launch();
    plane.until_state(&id, "STARTED");
    assert_eq!(
        plane.get("/endpoints").body["data"].as_array().unwrap().len(),
        all,
        "what was acknowledged is there"
    );
    assert_eq!(plane.engines(), engines, "a replica was started anew");
    let said = plane.log().lines().filter(|it| it.contains("ERROR")).count();
    assert!(said <= 3, "each loss is said once: {}", plane.log());
}

#[test]
fn a_lost_database_without_replicas_is_not_forgotten_and_its_key_is_kept() {
    let mut plane = TestPlane::start();
    let id = plane.create("1x_cpu_1gb", 1, 1)["id"].as_str().unwrap().to_owned();
    plane.until_state(&id, "STARTED");
    let (data, copy) = (plane.data(), plane.data().with_file_name("copy.db"));
    let (code, _, why) = plane.cli(&["backup", copy.to_str().unwrap()]);
    assert_eq!(code, Some(0), "{why}");
    let (code, _, said) = plane.cli(&["down"]);
    assert_eq!(code, Some(0), "{said}");
    plane.forget_server();
    let (database, key) = (data.join("state.db"), data.join("admin.key"));
    let kept = std::fs::read(&key).unwrap();
    std::fs::remove_file(&database).unwrap();
    remove_log(&data);

    let said = refusal(&data);
    assert!(said.contains("missing") && said.contains("`dedi backup`") && said.contains("move"), "{said}");
    assert!(
        said.contains(key.to_str().unwrap()) && said.contains(data.join("logs").to_str().unwrap()),
        "{said}"
    );
    assert_eq!((std::fs::read(&key).unwrap(), database.exists()), (kept.clone(), false));
    std::fs::rename(&key, data.join("aside")).unwrap();
    let said = refusal(&data);
    assert!(!said.contains("admin.key") && said.contains(data.join("logs").to_str().unwrap()), "{said}");
    std::fs::rename(data.join("aside"), &key).unwrap();

    std::fs::copy(&copy, &database).unwrap();
    plane.launch();
    assert_eq!(std::fs::read(&key).unwrap(), kept);
    assert_eq!(plane.get(&format!("/endpoints/{id}")).status, 200, "the key of the backup is still the key");
}

#[test]
fn a_first_key_that_was_written_down_before_the_database_had_it_becomes_valid() {
    let mut plane = TestPlane::start();
    let key = plane.data().join("admin.key");
    let kept = std::fs::read(&key).unwrap();
    assert_eq!(plane.stop_server(), Some(0));
    // As a server leaves it that ends between the two.
    let options = SqliteConnectOptions::new().filename(plane.data().join("state.db"));
    let forget = async {
        let mut database = options.connect().await?;
        sqlx::query("DELETE FROM api_keys").execute(&mut database).await?;
        database.close().await
    };
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(forget).unwrap();
    plane.launch();
    assert_eq!(std::fs::read(&key).unwrap(), kept, "the key was written over");
    assert_eq!(plane.get("/endpoints").status, 200);
}

#[test]
fn without_its_database_its_key_and_its_logs_a_server_begins_with_nothing() {
    let mut plane = TestPlane::start();
    let id = plane.create("1x_cpu_1gb", 1, 1)["id"].as_str().unwrap().to_owned();
    plane.until_state(&id, "STARTED");
    let (code, _, said) = plane.cli(&["down"]);
    assert_eq!(code, Some(0), "{said}");
    plane.forget_server();
    let data = plane.data();
    for name in ["state.db", "admin.key"] {
        std::fs::remove_file(data.join(name)).unwrap();
    }
    std::fs::remove_dir_all(data.join("logs")).unwrap();
    remove_log(&data);
    plane.launch();
    let run = plane.data().join("run");
    let n_folders = || std::fs::read_dir(&run).unwrap().flatten().filter(|it| it.path().is_dir()).count();
    until("the end of what was left", || (n_folders() == 0).then_some(()));
}
