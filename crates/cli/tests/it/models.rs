//! `dedi models`: a download is followed in lines, fails with its sentence, and goes on without the command.

use dedi_cli::Exit;
use serde_json::json;

use crate::program::{Run, run};
use crate::server::{Answer, Server};

fn pull(state: &str, done: u64) -> serde_json::Value {
    json!({"object": "model.pull", "model": "org/x", "revision": "main", "file": null, "state": state,
        "percent": done / 10, "bytes_done": done << 20, "bytes_total": 1_000u64 << 20,
        "commit": if state == "done" { json!("0123456789abcdef") } else { json!(null) }, "code": null, "message": null,
        "started_at": "2026-11-21T07:00:00.000Z", "ended_at": null})
}

#[tokio::test]
async fn a_pull_says_a_line_for_every_tenth() {
    let seen = [0, 30, 50, 120, 125, 190, 990].map(|it| Answer::json(200, pull("running", it)));
    let answers = seen.into_iter().chain([Answer::json(200, pull("done", 1_000))]).collect();
    let server = Server::start(answers).await;
    let done = run(&server, &["models", "pull", "org/x:Q8_0"]).await;
    assert_eq!((done.exit, done.out.as_str()), (Exit::Done, ""), "{done:?}");
    insta::assert_snapshot!(done.err, @r"
    org/x: 0 %, 0 B of 1000.0 MiB
    org/x: 12 %, 120.0 MiB of 1000.0 MiB
    org/x: 99 %, 990.0 MiB of 1000.0 MiB
    org/x is in the model store (commit 0123456789ab).
    ");
    assert_eq!(server.asked()[0].body, json!({"model": "org/x:Q8_0"}));
    assert_eq!(server.asked()[1].line, "GET /v1/pulls/org%2Fx");
}

#[tokio::test]
async fn a_pull_that_fails_ends_with_1_and_its_sentence() {
    let mut failed = pull("failed", 10);
    failed["code"] = "connection".into();
    failed["message"] = "x.gguf: nothing came for 60 s".into();
    let server = Server::start(vec![Answer::json(200, pull("queued", 0)), Answer::json(200, failed)]).await;
    let done = run(&server, &["models", "pull", "org/x", "--json"]).await;
    assert_eq!(done.exit, Exit::Refused, "{done:?}");
    assert!(
        done.err.contains(
            "error: x.gguf: nothing came for 60 s\nhint: rerun the command; it starts from the beginning"
        ),
        "{done:?}"
    );
    let printed: serde_json::Value = serde_json::from_str(&done.out).unwrap();
    assert_eq!(printed["error"]["code"], "connection");
}

#[tokio::test]
async fn a_pull_outlives_a_restart_of_the_server() {
    let unknown = json!({"error": {"message": "No download of org/x is known", "type": "not_found", "param": null, "code": "not_found"}});
    let server = Server::start(vec![
        Answer::json(200, pull("running", 10)),
        Answer::json(404, unknown),
        Answer::json(200, pull("running", 10)),
        Answer::json(200, pull("done", 1_000)),
    ])
    .await;
    let done = run(&server, &["models", "pull", "org/x", "--json"]).await;
    assert_eq!(done.exit, Exit::Done, "{done:?}");
    assert_eq!(server.asked()[2].line, "POST /v1/pulls");
    let printed: serde_json::Value = serde_json::from_str(&done.out).unwrap();
    assert_eq!(printed["state"], "done");
}

#[tokio::test]
async fn an_interrupted_pull_goes_on_in_the_server() {
    let server = Server::start(vec![Answer::json(200, pull("running", 10)).again()]).await;
    let run = Run::default();
    let interrupt = run.interrupt.clone();
    let base_url = server.base_url();
    let (done, ()) = tokio::join!(run.line(&base_url, &["models", "pull", "org/x"]), async {
        server.until_asked(2).await;
        interrupt.notify_one();
    });
    assert_eq!(done.exit, Exit::Interrupted, "{done:?}");
    assert!(done.err.contains("interrupted: the download continues on the server"), "{done:?}");
    assert!(server.asked().iter().all(|it| !it.line.starts_with("DELETE")));
}

#[tokio::test]
async fn models_are_listed_with_what_is_being_fetched_and_removed() {
    let model = json!([{"id": "dedi/demo", "object": "model", "created": 0, "type": "chat", "display_name": "demo",
        "organization": "dedi", "link": "", "license": "apache-2.0", "context_length": 512,
        "pricing": {"hourly": 0.0, "input": 0.0, "output": 0.0, "base": 0.0, "finetune": 0.0}}]);
    let pulls = json!({"object": "list", "data": [pull("running", 120), pull("done", 1_000)]});
    let server = Server::start(vec![Answer::json(200, model), Answer::json(200, pulls)]).await;
    let done = run(&server, &["models", "list"]).await;
    assert!(done.out.contains("dedi/demo  chat  512      apache-2.0"), "{done:?}");
    assert_eq!(done.err, "Downloading org/x: 12 %, 120.0 MiB of 1000.0 MiB\n");

    let server = Server::start(vec![Answer::text(204, "text/plain", "")]).await;
    let done = run(&server, &["models", "rm", "org/x"]).await;
    assert_eq!((done.exit, done.err.as_str()), (Exit::Done, "Removed org/x.\n"), "{done:?}");
    assert_eq!(server.asked()[0].line, "DELETE /v1/models/org%2Fx");
}
