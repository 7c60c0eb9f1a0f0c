//! What `dedi doctor` says of this host, and of the replicas that run on it.

use dedi_runtime::process::{IsolationSetting, isolation_level};
use dedi_testing::host::has;

use crate::fakes;
use crate::plane::TestPlane;

fn isolation(plane: &TestPlane) -> Vec<String> {
    let (code, said, err) = plane.cli(&["doctor"]);
    assert!(code.is_some(), "{said}{err}");
    said.lines().filter(|it| it.contains("isolation: ")).map(str::to_owned).collect()
}

#[test]
fn the_real_engine_answers_a_chat_at_level_1_and_doctor_counts_it() {
    if !has(
        isolation_level(IsolationSetting::Auto).level() == Some(1),
        "Landlock and a filter of system calls",
    ) {
        return;
    }
    let plane = TestPlane::start_with("[runtime]\nisolation = 1\n");
    let made = plane.create("1x_cpu_1gb", 1, 1);
    let id = made["id"].as_str().unwrap();
    plane.until_state(id, "STARTED");
    let said = plane.chat(id, "What is the capital of France?");
    assert_eq!(said.status, 200, "{}", said.body);
    assert!(said.body["choices"][0]["message"]["content"].as_str().is_some_and(|it| !it.is_empty()));

    let events = plane.get(&format!("/endpoints/{id}/events")).body;
    let ready = events["data"].as_array().unwrap().iter().find(|it| it["kind"] == "replica_ready").unwrap();
    assert!(ready["message"].as_str().unwrap().ends_with(", isolation level 1"), "{ready}");
    let lines = isolation(&plane);
    assert!(
        lines.iter().any(|it| it.starts_with("ok ") && it.contains("isolation: level 1: ")),
        "{lines:#?}"
    );
    assert!(lines.iter().any(|it| it.ends_with("running at level 1: 1 replica")), "{lines:#?}");
    assert!(lines.iter().any(|it| it.contains("level 2 needs ")), "{lines:#?}");
}

#[test]
fn isolation_0_is_the_way_out_and_doctor_says_what_that_costs() {
    let plane = fakes::plane("isolation = 0\n", "");
    let id = fakes::create(&plane, "ok");
    plane.until_state(&id, "STARTED");
    let lines = isolation(&plane);
    assert!(lines.iter().any(|it| it.contains("isolation: level 0: ")), "{lines:#?}");
    assert!(lines.iter().any(|it| it.ends_with("running at level 0: 1 replica")), "{lines:#?}");
    let off = lines.iter().find(|it| it.contains("runtime.isolation = 0")).unwrap();
    assert!(off.starts_with("note ") && off.contains("an engine can read what"), "{off}");
}

#[test]
fn doctor_says_that_a_server_runs_and_what_a_server_would_refuse() {
    let mut plane = TestPlane::start();
    let doctor = |plane: &TestPlane| {
        let (code, said, _) = plane.cli(&["doctor"]);
        let lines: Vec<String> = said.lines().map(str::to_owned).collect();
        (code, lines)
    };
    let (code, lines) = doctor(&plane);
    let pid = plane.server_pid();
    assert!(lines.contains(&format!("ok    server: process {pid} runs on this data folder")), "{lines:#?}");
    assert!(lines.iter().any(|it| it.starts_with("ok    database: ")), "{lines:#?}");
    assert_eq!(code, Some(0), "{lines:#?}");
    let last = lines.last().unwrap();
    assert!(last.contains("its server runs") && !last.contains("dedi serve"), "{last}");

    let (database, aside) = (plane.data().join("state.db"), plane.data().join("aside"));
    std::fs::rename(&database, &aside).unwrap();
    let (code, lines) = doctor(&plane);
    assert_eq!(code, Some(1), "{lines:#?}");
    let at = lines.iter().position(|it| it.starts_with("BAD   database: ")).unwrap();
    assert!(lines[at].contains("was removed while a server uses it"), "{lines:#?}");
    assert!(lines[at + 1].contains("`dedi backup FILE`"), "{lines:#?}");
    std::fs::rename(&aside, &database).unwrap();

    assert_eq!(plane.stop_server(), Some(0));
    let (code, lines) = doctor(&plane);
    assert_eq!(code, Some(0), "{lines:#?}");
    assert!(!lines.iter().any(|it| it.contains("server: ")), "{lines:#?}");
    assert!(lines.last().unwrap().contains("try `dedi serve`"), "{lines:#?}");
    for (what, said) in [(Some("no database"), "is damaged"), (None, "is missing, but there was one")] {
        match what {
            Some(text) => std::fs::write(&database, text).unwrap(),
            None => std::fs::remove_file(&database).unwrap(),
        }
        let (code, lines) = doctor(&plane);
        assert_eq!(code, Some(1), "{lines:#?}");
        let bad = lines.iter().find(|it| it.starts_with("BAD   database: ")).unwrap();
        assert!(bad.contains(said) && bad.contains("`dedi backup`"), "{bad}");
        assert!(what.is_some() || !database.exists(), "doctor made a database");
    }
}
