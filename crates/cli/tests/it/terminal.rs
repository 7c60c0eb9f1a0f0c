//! What a person at a terminal gets: questions before what can't be undone, tables that fit, what changes as it
//! changes; and what programs get in place of it.

use std::sync::Arc;

use dedi_cli::Exit;
use dedi_cli::console::Terminals;
use serde_json::{Value, json};
use tokio::sync::Notify;

use crate::program::{Run, run};
use crate::server::{Answer, Asked, ID, Server, endpoint};

const PERSON: Terminals = Terminals { input: true, out: true, err: true, columns: None };

fn list(data: Value) -> Answer {
    Answer::json(200, json!({"object": "list", "data": data}))
}

fn replica(n: u32, phase: &str) -> Value {
    json!({"id": format!("replica-{n}9999999-2222-4333-8444-555555555555"), "attempt": n, "phase": phase,
        "devices": ["cpu-0"], "in_flight": 0, "created_at": "2026-11-21T07:00:02.000Z", "ready_at": null})
}

fn event(id: i64) -> Value {
    json!({"id": id, "at": "2026-11-21T07:00:00.123Z", "kind": "created", "replica": null, "message": "made"})
}

/// Runs a line that goes on until Ctrl-C, which comes once `count` requests were answered.
async fn until_asked(server: &Server, count: usize, line: &[&str]) -> crate::program::Ended {
    let interrupt = Arc::new(Notify::new());
    let run = Run { interrupt: interrupt.clone(), ..Run::default() };
    let base_url = server.base_url();
    let (done, ()) = tokio::join!(run.line(&base_url, line), async {
        server.until_asked(count).await;
        interrupt.notify_one();
    });
    done
}

#[tokio::test]
async fn delete_asks_at_a_terminal_and_nowhere_else() {
    let line = &["endpoints", "delete", ID];
    let question = "Delete endpoint My demo (local/dedi/demo-a32b82a1, STARTED)? [y/N] ";
    for input in ["n\n", "\n", ""] {
        let server = Server::start(vec![Answer::json(200, endpoint("STARTED"))]).await;
        let run = Run { input: input.to_owned(), terminals: PERSON, ..Run::default() };
        let done = run.line(&server.base_url(), line).await;
        assert_eq!(done.exit, Exit::Refused, "{done:?}");
        assert!(
            done.err.starts_with(question) && done.err.contains("error: not confirmed; nothing was changed")
        );
        assert_eq!(server.asked().len(), 1, "{:?}", server.asked());
    }
    let answers = || vec![Answer::json(200, endpoint("STARTED")), Answer::text(204, "text/plain", "")];
    let server = Server::start(answers()).await;
    let run = Run { input: "y\n".to_owned(), terminals: PERSON, ..Run::default() };
    let done = run.line(&server.base_url(), line).await;
    assert_eq!((done.exit, done.err), (Exit::Done, format!("{question}Deleted {ID}.\n")));

    let gone = || vec![Answer::text(204, "text/plain", "")];
    let (with_yes, scripted) = (Server::start(gone()).await, Server::start(gone()).await);
    let run = Run { terminals: PERSON, ..Run::default() };
    let done = run.line(&with_yes.base_url(), &[line, &["--yes"][..]].concat()).await;
    assert_eq!((done.exit, done.err), (Exit::Done, format!("Deleted {ID}.\n")));
    let run = Run { terminals: Terminals { input: false, ..PERSON }, ..Run::default() };
    let done = run.line(&scripted.base_url(), line).await;
    assert_eq!((done.exit, done.err), (Exit::Done, format!("Deleted {ID}.\n")));
}

#[tokio::test]
async fn removing_a_model_asks_at_a_terminal() {
    let server = Server::start(vec![]).await;
    let run = Run { input: "no\n".to_owned(), terminals: PERSON, ..Run::default() };
    let done = run.line(&server.base_url(), &["models", "rm", "org/x"]).await;
    assert_eq!(done.exit, Exit::Refused);
    assert!(done.err.starts_with("Remove model org/x and its files? [y/N] "), "{done:?}");
    assert!(server.asked().is_empty());
}

#[tokio::test]
async fn a_terminal_that_does_not_say_its_width_has_80_columns_and_a_pipe_has_none() {
    let mut item = endpoint("STARTED");
    item["name"] = json!("research/meta-llama/Llama-3.3-70B-Instruct-a32b82a1");
    let server = Server::start(vec![list(json!([item])).again()]).await;
    let run_with = |terminals| Run { terminals, ..Run::default() };
    let on_terminal = run_with(PERSON).line(&server.base_url(), &["list"]).await.out;
    insta::assert_snapshot!(on_terminal, @r"
    ID                 DISPLAY NAME  STATE     MODEL      AGE
    endpoint-11111111  My demo       STARTED   dedi/demo  2h
    ");
    let wide = Terminals { columns: Some(160), ..PERSON };
    let piped = run_with(Terminals { input: true, ..Terminals::default() });
    let piped = piped.line(&server.base_url(), &["list"]).await.out;
    assert!(piped.contains(ID) && piped.contains("research/meta-llama"), "{piped}");
    assert_eq!(run_with(wide).line(&server.base_url(), &["list"]).await.out, piped);
}

#[tokio::test]
async fn a_list_is_names_yaml_or_wide() {
    let server = Server::start(vec![list(json!([endpoint("STARTED")])).again()]).await;
    let done = run(&server, &["endpoints", "list", "-o", "name"]).await;
    assert_eq!(done.out, format!("{ID}\n"));
    let done = run(&server, &["endpoints", "list", "--output", "yaml"]).await;
    assert!(done.out.contains(&format!("id: {ID}")) && done.out.contains("state: STARTED"), "{done:?}");
    let done = run(&server, &["-o", "wide", "endpoints", "list"]).await;
    assert!(done.out.contains("CREATED") && done.out.contains("2026-11-21T07:00:00Z"), "{done:?}");
    let refusal = json!({"error": {"message": "no", "type": "t", "param": null, "code": "c"}});
    let server = Server::start(vec![Answer::json(403, refusal)]).await;
    let done = run(&server, &["endpoints", "list", "-o", "yaml"]).await;
    assert!(done.out.starts_with("error:\n") && done.out.contains("code: c"), "{done:?}");
}

#[tokio::test]
async fn a_command_that_says_a_sentence_prints_json_where_that_is_asked_for() {
    let pull = json!({"object": "model.pull", "model": "org/x", "revision": "main", "file": null, "state": "running",
        "percent": 1, "bytes_done": 1, "bytes_total": 100, "commit": null, "code": null, "message": null,
        "started_at": "2026-11-21T07:00:00.000Z", "ended_at": null});
    let check = json!({"object": "model.check", "model": "org/x", "state": "done", "percent": 100, "bytes_done": 1,
        "bytes_total": 1, "files": 1, "message": null, "started_at": "", "ended_at": null});
    let held = json!({"object": "model.holders", "model": "org/x", "holders": null});
    let none = Answer::text(204, "text/plain", "");
    let lines: [(&[&str], Answer); 8] = [
        (&["keys", "revoke", "abc"], none.clone()),
        (&["delete", ID], none.clone()),
        (&["models", "rm", "org/x"], none),
        (&["pull", "org/x", "--no-wait"], Answer::json(200, pull)),
        (&["models", "verify", "org/x"], Answer::json(200, check)),
        (&["models", "share", "org/x"], Answer::json(200, held)),
        (&["wait", ID], Answer::json(200, endpoint("STARTED"))),
        (&["events", ID], list(json!([]))),
    ];
    for (line, answer) in lines {
        let server = Server::start(vec![answer.again()]).await;
        let done = run(&server, &[line, &["--json"][..]].concat()).await;
        assert_eq!(done.exit, Exit::Done, "{line:?}: {done:?}");
        assert!(serde_json::from_str::<Value>(&done.out).is_ok(), "{line:?}: {done:?}");
        let text = run(&server, line).await;
        assert_eq!(text.out, "", "{line:?} says its sentence on stderr");
    }
}

#[tokio::test]
async fn wait_ends_with_the_state_with_the_deletion_or_with_its_time() {
    let server =
        Server::start(vec![Answer::json(200, endpoint("STOPPING")), Answer::json(200, endpoint("STOPPED"))])
            .await;
    let done = run(&server, &["endpoints", "wait", ID, "--for", "state=STOPPED"]).await;
    assert_eq!(done.exit, Exit::Done, "{done:?}");
    assert!(done.err.ends_with(&format!("{ID} is STOPPED.\n")), "{done:?}");
    assert!(server.asked().iter().all(|it| it.line.starts_with("GET ")), "it changes nothing");

    let gone = json!({"error": {"message": "gone", "type": "not_found", "param": null, "code": "not_found"}});
    let server = Server::start(vec![Answer::json(200, endpoint("STOPPED")), Answer::json(404, gone)]).await;
    let done = run(&server, &["endpoints", "wait", ID, "--for", "deleted"]).await;
    assert_eq!(done.exit, Exit::Done, "{done:?}");
    assert!(done.err.ends_with(&format!("{ID} is deleted.\n")), "{done:?}");

    let server = Server::start(vec![Answer::json(200, endpoint("PENDING")).again()]).await;
    let done = run(&server, &["wait", ID, "--timeout", "1s"]).await;
    assert_eq!(done.exit, Exit::Refused, "{done:?}");
    assert!(done.err.contains("it is PENDING after 1 s; the endpoint is unaffected"), "{done:?}");
}

#[tokio::test]
async fn a_watched_list_adds_a_row_for_what_changed() {
    let server = Server::start(vec![
        list(json!([endpoint("STARTED")])),
        list(json!([endpoint("STARTED")])),
        list(json!([endpoint("STOPPED")])),
        list(json!([])).again(),
    ])
    .await;
    let done = until_asked(&server, 5, &["list", "--watch"]).await;
    assert_eq!(done.exit, Exit::Interrupted);
    insta::assert_snapshot!(done.out, @r"
    ID                                             DISPLAY NAME  NAME                      STATE     MODEL      AGE
    endpoint-11111111-2222-4333-8444-555555555555  My demo       local/dedi/demo-a32b82a1  STARTED   dedi/demo  2h
    endpoint-11111111-2222-4333-8444-555555555555  My demo       local/dedi/demo-a32b82a1  STOPPED   dedi/demo  2h
    endpoint-11111111-2222-4333-8444-555555555555  My demo       local/dedi/demo-a32b82a1  deleted   dedi/demo  2h
    ");

    let server = Server::start(vec![list(json!([endpoint("STARTED")])), list(json!([])).again()]).await;
    let done = until_asked(&server, 3, &["list", "-w", "--json"]).await;
    let states: Vec<Value> =
        done.out.lines().map(|it| serde_json::from_str::<Value>(it).unwrap()["state"].clone()).collect();
    assert_eq!(states, ["STARTED", "deleted"], "{}", done.out);
}

#[tokio::test]
async fn followed_events_come_once_each_over_a_restart() {
    let busy = json!({"error": {"message": "not now", "type": "server_error", "param": null, "code": "x"}});
    let server = Server::start(vec![
        list(json!([event(1), event(2)])),
        Answer::json(503, busy),
        Answer::hang_up(),
        list(json!([event(3)])),
        list(json!([])).again(),
    ])
    .await;
    let done = until_asked(&server, 6, &["events", ID, "--follow"]).await;
    assert_eq!(done.exit, Exit::Interrupted);
    insta::assert_snapshot!(done.out, @r"
    1  2026-11-21T07:00:00Z  created           made
    2  2026-11-21T07:00:00Z  created           made
    3  2026-11-21T07:00:00Z  created           made
    ");
    assert_eq!(done.err, "the server does not answer; still trying\n");
    assert_eq!(
        server.asked().last().unwrap().line,
        format!("GET /v1/endpoints/{ID}/events?after=3&limit=1000")
    );
}

#[tokio::test]
async fn logs_of_all_replicas_are_followed_and_told_apart() {
    let server = Server::routed(|asked: &Asked, n| {
        let line = asked.line.as_str();
        if line.ends_with("/replicas") {
            // The second is launched while the first is followed.
            let all = [replica(1, "ready"), replica(2, "ready"), replica(3, "exited")];
            return list(json!(if n == 0 { &all[..1] } else { &all[..] }));
        }
        assert!(line.contains("follow=true&marks=true"), "{line}");
        let text = if line.contains("replica-1") { "one\n\u{1e}1.a\n" } else { "two\n\u{1e}2.a\nunended" };
        Answer::text(200, "text/plain", text)
    })
    .await;
    let done = run(&server, &["logs", ID, "--follow", "--tail", "5"]).await;
    assert_eq!(done.exit, Exit::Done, "{done:?}");
    assert_eq!(done.out, "one\nreplica-29999999 | two\nreplica-29999999 | unended\n");
    assert!(
        done.err.contains("replica-29999999 was launched") && done.err.contains("All replicas have ended.")
    );
    let logs: Vec<String> =
        server.asked().into_iter().map(|it| it.line).filter(|it| it.contains("/logs")).collect();
    assert!(
        logs[0].contains("tail=5") && !logs[1].contains("tail="),
        "a new one from its first line on: {logs:?}"
    );
}

#[tokio::test]
async fn a_replica_is_named_as_a_narrow_table_names_it() {
    let mut launched = event(1);
    launched["replica"] = replica(1, "ready")["id"].clone();
    let server = Server::start(vec![list(json!([launched])), Answer::text(200, "text/plain", "one\n")]).await;
    let done = run(&server, &["logs", ID, "--replica", "replica-19999999"]).await;
    assert_eq!(done.out, "one\n", "{done:?}");
    assert!(server.asked()[1].line.ends_with("logs?replica=replica-19999999-2222-4333-8444-555555555555"));
}

#[tokio::test]
async fn a_description_is_the_endpoint_and_its_last_events() {
    let events: Vec<Value> = (1..=12).map(event).collect();
    let server = Server::routed(move |asked: &Asked, _| {
        if asked.line.contains("/events") {
            list(json!(events))
        } else {
            Answer::json(200, endpoint("STARTED"))
        }
    })
    .await;
    let done = run(&server, &["describe", ID, "--json"]).await;
    let printed: Value = serde_json::from_str(&done.out).unwrap();
    assert_eq!((&printed["endpoint"]["id"], &printed["events"][0]["id"]), (&json!(ID), &json!(3)));
    assert_eq!(printed["events"].as_array().unwrap().len(), 10);
    let done = run(&server, &["endpoints", "describe", ID]).await;
    assert!(done.out.contains("Reason:") && done.out.contains("\nLast events\n"), "{done:?}");
}

#[tokio::test]
async fn man_pages_are_written_one_per_command() {
    let temp = tempfile::tempdir().unwrap();
    let dir = temp.path().join("man1");
    let done = Run::default().line("http://127.0.0.1:9/v1", &["man", "--dir", dir.to_str().unwrap()]).await;
    assert_eq!(done.exit, Exit::Done, "{done:?}");
    let page = std::fs::read_to_string(dir.join("dedi-endpoints-create.1")).unwrap();
    assert!(page.contains("Examples:") && page.contains("scale to zero"), "{page}");
    assert!(dir.join("dedi.1").exists() && !dir.join("dedi-create.1").exists(), "no page for a short form");
    let done = Run::default().line("http://127.0.0.1:9/v1", &["man"]).await;
    assert!(done.out.contains(".TH dedi 1"), "{done:?}");
}
