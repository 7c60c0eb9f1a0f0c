//! `dedi usage`: a row for each endpoint and the sum, or nothing to tell.

use dedi_cli::Exit;
use serde_json::json;

use crate::program::run;
use crate::server::{Answer, ID, Server, endpoint};

fn report(data: serde_json::Value, minutes: f64) -> serde_json::Value {
    json!({"object": "list", "from": "2026-11-01T00:00:00.000Z", "to": "2026-11-21T07:00:00.123Z", "data": data,
        "total_minutes": minutes, "total_cents": minutes * 4.0})
}

fn item(name: &str, minutes: f64, running: bool) -> serde_json::Value {
    let id = if running { ID } else { "endpoint-gone" };
    json!({"object": "usage", "endpoint": id, "name": name, "model": "dedi/demo", "hardware": "1x_cpu_8gb",
        "replicas": 2, "minutes": minutes, "cents": minutes * 4.0, "running": running})
}

#[tokio::test]
async fn usage_is_a_table_with_its_sum() {
    let answer =
        report(json!([item("local/dedi/demo-1", 90.5, true), item("local/b-2", 1.25, false)]), 91.75);
    let gone = json!({"error": {"message": "gone", "type": "not_found", "param": null, "code": "not_found"}});
    let server = Server::start(vec![
        Answer::json(200, answer.clone()),
        Answer::json(200, endpoint("STARTED")),
        Answer::json(404, gone),
    ])
    .await;
    let done = run(&server, &["usage"]).await;
    assert_eq!(done.exit, Exit::Done, "{done:?}");
    assert_eq!(done.err, "Usage from 2026-11-01T00:00:00Z to 2026-11-21T07:00:00Z:\n");
    insta::assert_snapshot!(done.out, @r"
    ENDPOINT           DISPLAY NAME  HARDWARE    REPLICAS  MINUTES  COST   NOW
    local/dedi/demo-1  My demo       1x_cpu_8gb  2         90.50    $3.62  running
    local/b-2          -             1x_cpu_8gb  2         1.25     $0.05  -
    total                                                  91.75    $3.67
    ");
    assert_eq!(server.asked()[0].line, "GET /v1/usage");

    let none = json!({"object": "list", "data": []});
    let server = Server::start(vec![Answer::json(200, none), Answer::json(200, answer.clone())]).await;
    let done = run(
        &server,
        &[
            "usage",
            "--from",
            "2026-11-01",
            "--to",
            "2026-11-21T07:00:00+01:00",
            "--endpoint",
            "a/b",
            "--json",
        ],
    )
    .await;
    assert_eq!(serde_json::from_str::<serde_json::Value>(&done.out).unwrap(), answer);
    assert_eq!(
        server.asked()[1].line,
        "GET /v1/usage?from=2026-11-01&to=2026-11-21T07%3A00%3A00%2B01%3A00&endpoint=a%2Fb"
    );
}

#[tokio::test]
async fn usage_of_an_endpoint_takes_its_display_name() {
    let list = json!({"object": "list", "data": [endpoint("STARTED")]});
    let answers = vec![Answer::json(200, list), Answer::json(200, report(json!([]), 0.0))];
    let server = Server::start(answers).await;
    let done = run(&server, &["usage", "--endpoint", "My demo"]).await;
    assert_eq!(done.exit, Exit::Done, "{done:?}");
    assert_eq!(server.asked()[1].line, format!("GET /v1/usage?endpoint={ID}"));
}

#[tokio::test]
async fn usage_without_runs_says_so_and_a_wrong_time_is_refused() {
    let server = Server::start(vec![Answer::json(200, report(json!([]), 0.0))]).await;
    let done = run(&server, &["usage"]).await;
    assert_eq!((done.exit, done.out.as_str()), (Exit::Done, ""), "{done:?}");
    assert!(done.err.contains("No usage from 2026-11-01T00:00:00Z to 2026-11-21T07:00:00Z."), "{done:?}");
    let refusal = json!({"error": {"message": "from must be a time", "type": "invalid_request_error",
        "param": "from", "code": "invalid_value"}});
    let server = Server::start(vec![Answer::json(400, refusal)]).await;
    let done = run(&server, &["usage", "--from", "yesterday"]).await;
    assert_eq!(done.exit, Exit::Refused);
    assert!(done.err.contains("error: from must be a time"), "{done:?}");
}
