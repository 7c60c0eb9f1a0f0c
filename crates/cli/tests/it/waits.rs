//! `--wait`: follows a launch or a stop to its end, over restarts, and can be left.

use std::sync::Arc;

use dedi_cli::Exit;
use serde_json::json;
use tokio::sync::Notify;

use crate::program::{Run, run};
use crate::server::{Answer, ID, Server, endpoint};

#[tokio::test]
async fn create_and_wait_follows_the_launch_and_prints_the_last_object_once() {
    let server = Server::start(vec![
        Answer::json(200, endpoint("PENDING")),
        Answer::json(200, endpoint("STARTING")),
        Answer::json(200, endpoint("STARTED")),
    ])
    .await;
    let line = ["endpoints", "create", "--model", "m", "--hardware", "h", "--wait", "--json"];
    let done = run(&server, &line).await;
    assert_eq!(done.exit, Exit::Done, "{done:?}");
    let printed: serde_json::Value = serde_json::from_str(&done.out).unwrap();
    assert_eq!(printed["state"], "STARTED");
    assert!(done.err.contains("STARTING: loading 40 %, 3 s of about 8 s"), "{done:?}");
}

#[tokio::test]
async fn a_wait_that_ends_in_error_says_why_and_ends_with_1() {
    let mut failed = endpoint("ERROR");
    failed["status"]["message"] = json!("5 attempts failed");
    failed["status"]["next_step"] = json!("see the logs");
    let server = Server::start(vec![Answer::json(200, endpoint("PENDING")), Answer::json(200, failed)]).await;
    let done = run(&server, &["endpoints", "start", ID, "--wait"]).await;
    assert_eq!(done.exit, Exit::Refused, "{done:?}");
    assert!(done.err.contains("failed: 5 attempts failed (loading)\nhint: see the logs\n"), "{done:?}");
}

#[tokio::test]
async fn a_wait_outlives_a_restart_of_the_server() {
    let server = Server::start(vec![
        Answer::json(200, endpoint("STOPPING")),
        Answer::hang_up(),
        Answer::json(503, json!({"error": {"message": "starting", "type": "server_error"}})),
        Answer::json(200, endpoint("STOPPED")),
    ])
    .await;
    let done = run(&server, &["endpoints", "stop", ID, "--wait"]).await;
    assert_eq!(done.exit, Exit::Done, "{done:?}");
    assert!(done.err.contains("still trying"), "{done:?}");
}

#[tokio::test]
async fn a_wait_has_an_end_and_says_how_to_resume() {
    let server = Server::start(vec![Answer::json(200, endpoint("STARTING")).again()]).await;
    let done = run(&server, &["endpoints", "start", ID, "--wait", "--wait-timeout", "1"]).await;
    assert_eq!(done.exit, Exit::Refused, "{done:?}");
    assert!(done.err.contains("it is STARTING after 1 s; the endpoint is unaffected"), "{done:?}");
    assert!(done.err.contains(&format!("resume with `dedi endpoints start {ID} --wait`")), "{done:?}");
}

#[tokio::test]
async fn ctrl_c_in_a_wait_leaves_the_endpoint_alone_and_ends_with_130() {
    let server = Server::start(vec![Answer::json(200, endpoint("STARTING")).again()]).await;
    let interrupt = Arc::new(Notify::new());
    let run = Run { interrupt: interrupt.clone(), ..Run::default() };
    let base_url = server.base_url();
    let line = ["endpoints", "start", ID, "--wait"];
    let (done, ()) = tokio::join!(run.line(&base_url, &line), async {
        server.until_asked(3).await;
        interrupt.notify_one();
    });
    assert_eq!(done.exit, Exit::Interrupted, "{done:?}");
    assert_eq!(done.exit.code(), 130);
    assert!(
        done.err.contains("interrupted: the endpoint is unaffected\nhint: resume with `dedi endpoints start")
    );
    assert!(server.asked().iter().skip(1).all(|it| it.line == format!("GET /v1/endpoints/{ID}")));
}
