//! `dedi down` ends every server of its folder, whatever that is about: one that starts, that waits for a successor, that
//! can't take its folder back, or that still finishes requests after a takeover.

use std::io::Read;
use std::net::TcpListener;

use sqlx::sqlite::SqliteConnectOptions;
use sqlx::{ConnectOptions, Connection};

use crate::failed_takeover::{ask_for_folder, started};
use crate::fakes;
use crate::held::Held;
use crate::load::streamed;
use crate::plane::{PATIENCE, TestPlane, signal, until};

/// Ends everything, says that there was a server, and leaves nothing.
fn ends_all(plane: &mut TestPlane, n_replicas: &str) {
    let (code, _, said) = plane.cli(&["down", "--wait", "30"]);
    assert_eq!(said.trim(), format!("the server has stopped; {n_replicas} ended"));
    assert_eq!(code, Some(0));
    plane.forget_server();
    assert_eq!(plane.processes(), [0; 0]);
    TcpListener::bind(plane.client().address()).unwrap();
    let (code, _, said) = plane.cli(&["down"]);
    assert!(code == Some(0) && said.contains("no server was running; 0 replicas"), "{said}");
}

#[test]
fn a_server_that_waits_for_its_successor_is_ended() {
    let (mut plane, _) = started();
    let mut stalled = ask_for_folder(&plane);
    ends_all(&mut plane, "1 replica");
    // What is carried, and the end.
    stalled.read_to_end(&mut Vec::new()).unwrap();
    assert!(!plane.log().contains("has its data folder again"), "{}", plane.log());
}

#[test]
fn a_server_that_cannot_take_its_folder_back_is_ended() {
    let (mut plane, _) = started();
    let successor = ask_for_folder(&plane);
    // As a later version leaves it that dies after it has changed the schema.
    let options = SqliteConnectOptions::new().filename(plane.data().join("state.db"));
    let change = async {
        let mut database = options.connect().await?;
        let step = "INSERT INTO _sqlx_migrations (version, description, success, checksum, execution_time) \
                    VALUES (9000, 'later', 1, x'00', 0)";
        sqlx::query(step).execute(&mut database).await?;
        database.close().await
    };
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(change).unwrap();
    drop(successor);
    until("the word that it can't", || {
        plane.log().contains("the data folder can't be taken back").then_some(())
    });
    ends_all(&mut plane, "1 replica");
}

#[test]
fn a_server_that_still_starts_is_asked_to_stop_and_does() {
    let (mut plane, _) = started();
    assert_eq!(plane.stop_server(), Some(0));
    let held = Held::new(&plane);
    let mut server = plane.spawn("127.0.0.1:0", &[]);
    let written = held.until_held(&plane, &mut server);
    let (code, _, said) = plane.cli(&["down", "--wait", "1"]);
    let named = format!("process {}, which has not ended yet", server.id());
    assert!(code == Some(1) && said.contains(&named), "{said}");
    held.let_go(written);
    assert!(until("the server's end", || server.try_wait().unwrap()).success());
    assert!(plane.log().contains("stopped before it served"), "{}", plane.log());
    assert_eq!(plane.log().matches("listening on http://").count(), 1, "{}", plane.log());
    let (code, _, said) = plane.cli(&["down"]);
    assert!(code == Some(0) && said.contains("no server was running; 1 replica"), "{said}");
}

#[test]
fn of_two_servers_both_end_or_the_one_that_is_left_is_named() {
    let (mut plane, _) = started();
    let held = Held::new(&plane);
    let mut successor = plane.spawn("127.0.0.1:0", &["--takeover"]);
    let written = held.until_held(&plane, &mut successor);
    signal(successor.id(), "STOP");
    let (code, _, said) = plane.cli(&["down", "--wait", "3"]);
    let named = format!("process {0}, which a signal has stopped; `kill -CONT {0}`", successor.id());
    assert!(code == Some(1) && said.contains(&named), "{said}");
    assert!(!said.contains(&plane.server_pid().to_string()), "it has ended: {said}");
    plane.forget_server();
    assert_eq!(plane.engines().len(), 1, "a replica was ended beside a server");

    // The order waits in its socket.
    signal(successor.id(), "CONT");
    held.let_go(written);
    assert!(until("the successor's end", || successor.try_wait().unwrap()).success());
    assert_eq!(plane.log().matches("listening on http://").count(), 1, "{}", plane.log());
    let (code, _, said) = plane.cli(&["down"]);
    assert!(code == Some(0) && said.contains("1 replica ended"), "{said}");
}

#[test]
fn the_requests_that_a_server_finishes_after_a_takeover_are_waited_for() {
    let mut plane = fakes::plane("", "");
    let id = fakes::create(&plane, "slow-tokens.100");
    plane.until_state(&id, "STARTED");
    let client = plane.client();
    std::thread::scope(|scope| {
        let (begun, has_begun) = std::sync::mpsc::channel();
        let mut begun = Some(begun);
        let stream = scope.spawn(move || {
            client.stream(&streamed(&id, 70), |_| begun.take().is_none_or(|it| it.send(()).is_ok()))
        });
        has_begun.recv_timeout(PATIENCE).unwrap();
        let mut old = plane.begin_take_over();
        ends_all(&mut plane, "1 replica");
        assert!(until("the old server's end", || old.try_wait().unwrap()).success());
        let events = stream.join().unwrap();
        assert_eq!(events.last().map(String::as_str), Some("[DONE]"), "cut after {} events", events.len());
    });
}
