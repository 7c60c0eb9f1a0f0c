//! Whole commands against a scripted HTTP server: what is sent, what is printed, how it ends.

#![expect(clippy::unwrap_used, clippy::panic, reason = "helpers of tests fail the test they serve")]

mod server;

use std::io::Cursor;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};

use clap::{CommandFactory, Parser};
use dedi_cli::console::{Console, Terminals};
use dedi_cli::{Command, Exit, Globals, run_on};
use serde_json::json;
use tokio::sync::Notify;

use crate::server::{Answer, Server, endpoint};

/// A program with the shape of `dedi`.
#[derive(Debug, Parser)]
#[command(name = "dedi")]
struct Program {
    #[command(flatten)]
    globals: Globals,
    #[command(subcommand)]
    command: Commands,
}

#[derive(Debug, clap::Subcommand)]
enum Commands {
    Down {
        #[arg(long, env = "DEDI_DATA_DIR")]
        data_dir: Option<PathBuf>,
        #[arg(long, default_value_t = 60)]
        timeout: u64,
    },
    #[command(flatten)]
    Client(Command),
}

const ID: &str = "endpoint-11111111-2222-4333-8444-555555555555";

#[derive(Debug)]
struct Ended {
    exit: Exit,
    out: String,
    err: String,
}

/// How a command is run.
#[derive(Default)]
struct Run {
    input: String,
    terminals: Terminals,
    interrupt: Arc<Notify>,
}

impl Run {
    async fn line(self, base_url: &str, line: &[&str]) -> Ended {
        let args = ["dedi", "--base-url", base_url, "--api-key", "dedi_test"];
        let program = Program::try_parse_from(args.iter().chain(line)).unwrap();
        let Commands::Client(command) = program.command else { panic!("not a client command") };
        let (out, err) = (Shared::default(), Shared::default());
        let mut console = Console::scripted(
            Box::new(Cursor::new(self.input)),
            Box::new(out.clone()),
            Box::new(err.clone()),
            self.terminals,
            self.interrupt,
        );
        let exit = run_on(command, &program.globals, &mut Program::command(), &mut console).await;
        drop(console);
        Ended { exit, out: out.text(), err: err.text() }
    }
}

async fn run(server: &Server, line: &[&str]) -> Ended {
    Run::default().line(&server.base_url(), line).await
}

#[derive(Clone, Default)]
struct Shared(Arc<Mutex<Vec<u8>>>);

impl Shared {
    fn text(&self) -> String {
        String::from_utf8(self.0.lock().unwrap().clone()).unwrap()
    }
}

impl std::io::Write for Shared {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

#[test]
fn the_command_line_is_well_formed_beside_commands_with_the_same_options() {
    Program::command().debug_assert();
    // What flattened types say of themselves must not replace what the program says.
    assert_eq!(Program::command().get_about().unwrap().to_string(), "A program with the shape of `dedi`");
    let down = Program::try_parse_from(["dedi", "down", "--data-dir", "/d", "--timeout", "5"]).unwrap();
    let Commands::Down { data_dir, timeout } = down.command else { panic!("not down") };
    assert_eq!((data_dir, timeout), (Some(PathBuf::from("/d")), 5));
    let client = Program::try_parse_from(["dedi", "endpoints", "list", "--json", "--timeout", "7"]).unwrap();
    assert!(client.globals.json && client.globals.timeout == Some(7));
}

#[tokio::test]
async fn create_sends_the_contracts_body_and_prints_the_endpoint() {
    let server = Server::start(vec![Answer::json(200, endpoint("PENDING"))]).await;
    let done =
        run(&server, &["endpoints", "create", "--model", "dedi/demo", "--hardware", "1x_cpu_8gb"]).await;
    assert_eq!(done.exit, Exit::Done, "{done:?}");
    assert!(done.out.contains(&format!("ID:           {ID}")), "{done:?}");
    assert!(done.err.starts_with(&format!("Created {ID} as local/dedi/demo-a32b82a1.")), "{done:?}");
    let asked = server.asked();
    assert_eq!(asked[0].line, "POST /v1/endpoints");
    assert_eq!(asked[0].authorization, "Bearer dedi_test");
    assert_eq!(
        asked[0].body,
        json!({"model": "dedi/demo", "hardware": "1x_cpu_8gb", "state": "STARTED",
            "autoscaling": {"min_replicas": 1, "max_replicas": 1}})
    );
}

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
    failed["status"]["message"] = json!("5 attempt(s) failed");
    failed["status"]["next_step"] = json!("see the logs");
    let server = Server::start(vec![Answer::json(200, endpoint("PENDING")), Answer::json(200, failed)]).await;
    let done = run(&server, &["endpoints", "start", ID, "--wait"]).await;
    assert_eq!(done.exit, Exit::Refused, "{done:?}");
    assert!(done.err.contains("failed: 5 attempt(s) failed (loading)\nhint: see the logs\n"), "{done:?}");
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

#[tokio::test]
async fn a_display_name_is_found_through_the_list() {
    let mut item = endpoint("STARTED");
    item.as_object_mut().unwrap().remove("display_name");
    let server = Server::start(vec![
        Answer::json(200, json!({"object": "list", "data": [item]})),
        Answer::json(200, endpoint("STARTED")), // the item lists no display name, so the endpoint is asked
        Answer::json(200, endpoint("STARTED")),
    ])
    .await;
    let done = run(&server, &["endpoints", "get", "My demo"]).await;
    assert_eq!(done.exit, Exit::Done, "{done:?}");
    assert_eq!(server.asked()[2].line, format!("GET /v1/endpoints/{ID}"));
}

#[tokio::test]
async fn delete_takes_no_beginning_of_a_name() {
    let list = json!({"object": "list", "data": [endpoint("STARTED")]});
    let server = Server::start(vec![Answer::json(200, list)]).await;
    let done = run(&server, &["endpoints", "delete", "My"]).await;
    assert_eq!(done.exit, Exit::Refused);
    assert!(done.err.starts_with("error: `My`: no endpoint has exactly this id"), "{done:?}");
    assert!(server.asked().iter().all(|it| it.line.starts_with("GET")));
}

#[tokio::test]
async fn no_server_is_3_and_says_how_to_start_one() {
    let done = Run::default().line("http://127.0.0.1:9/v1", &["endpoints", "list"]).await;
    assert_eq!(done.exit, Exit::Unreachable);
    assert_eq!(
        done.err,
        "error: no dedi server answers at http://127.0.0.1:9/v1\n\
         hint: start one with `dedi serve` or `make up`, or say where it is with --base-url\n"
    );
}

#[tokio::test]
async fn a_refused_key_says_where_it_came_from() {
    let refusal = json!({"id": "req_1", "error": {"message": "Invalid API key provided; authentication failed",
        "type": "invalid_request_error", "param": null, "code": "invalid_api_key"}});
    let server = Server::start(vec![Answer::json(403, refusal)]).await;
    let done = run(&server, &["endpoints", "list", "--json"]).await;
    assert_eq!(done.exit, Exit::Refused);
    assert!(done.err.contains("hint: the key was read from --api-key"), "{done:?}");
    let printed: serde_json::Value = serde_json::from_str(&done.out).unwrap();
    assert_eq!(printed["error"]["code"], "invalid_api_key");
}

#[tokio::test]
async fn something_else_on_the_port_is_called_that() {
    let server = Server::start(vec![Answer::text(404, "text/html", "<html>")]).await;
    let done = run(&server, &["whoami"]).await;
    assert_eq!(done.exit, Exit::Refused);
    assert!(
        done.err.contains("is not a dedi server: it answered 404 Not Found without an error object"),
        "{done:?}"
    );
}

#[tokio::test]
async fn a_chat_streams_its_text() {
    let server = Server::start(vec![Answer::text(200, "text/event-stream", CHAT)]).await;
    let done = run(&server, &["chat", "local/dedi/demo-a32b82a1", "hello", "--max-tokens", "5"]).await;
    assert_eq!(done.exit, Exit::Done, "{done:?}");
    assert_eq!(done.out, "Hi there\n");
    assert_eq!(
        server.asked()[0].body,
        json!({"model": "local/dedi/demo-a32b82a1", "stream": true, "max_tokens": 5,
            "messages": [{"role": "user", "content": "hello"}]})
    );
}

#[tokio::test]
async fn a_chat_that_breaks_off_is_not_a_success() {
    let cut = CHAT.split("data: [DONE]").next().unwrap();
    let server = Server::start(vec![Answer::text(200, "text/event-stream", cut)]).await;
    let done = run(&server, &["chat", ID, "hello"]).await;
    assert_eq!(done.exit, Exit::Refused, "{done:?}");
    assert!(done.err.contains("error: the answer broke off"), "{done:?}");
}

#[tokio::test]
async fn an_error_in_a_stream_is_told() {
    let stream = "data: {\"error\":{\"message\":\"the replica was lost\",\"type\":\"server_error\",\"param\":null,\"code\":null}}\n\n";
    let server = Server::start(vec![Answer::text(200, "text/event-stream", stream)]).await;
    let done = run(&server, &["chat", ID, "hello"]).await;
    assert_eq!(done.exit, Exit::Refused);
    assert!(done.err.contains("error: the replica was lost"), "{done:?}");
}

#[tokio::test]
async fn a_pipe_is_one_question() {
    let server = Server::start(vec![Answer::text(200, "text/event-stream", CHAT)]).await;
    let run = Run { input: "from a pipe\n".to_owned(), ..Run::default() };
    let done = run.line(&server.base_url(), &["chat", ID]).await;
    assert_eq!(done.exit, Exit::Done, "{done:?}");
    assert_eq!(server.asked()[0].body["messages"], json!([{"role": "user", "content": "from a pipe"}]));
}

#[tokio::test]
async fn a_conversation_remembers_what_was_said() {
    let server = Server::start(vec![Answer::text(200, "text/event-stream", CHAT).again()]).await;
    let run = Run {
        input: "one\n\ntwo\n".to_owned(),
        terminals: Terminals { input: true, ..Terminals::default() },
        ..Run::default()
    };
    let done = run.line(&server.base_url(), &["chat", ID, "--system", "be brief"]).await;
    assert_eq!(done.exit, Exit::Done, "{done:?}");
    assert_eq!(
        server.asked()[1].body["messages"],
        json!([
            {"role": "system", "content": "be brief"},
            {"role": "user", "content": "one"},
            {"role": "assistant", "content": "Hi there"},
            {"role": "user", "content": "two"},
        ])
    );
}

#[tokio::test]
async fn hardware_shows_what_is_free_and_who_has_the_rest() {
    let hardware = json!({"object": "list", "data": [
        {"object": "hardware", "id": "1x_cpu_8gb", "pricing": {"cents_per_minute": 0.0}, "updated_at": "2026-11-21T07:00:00Z",
         "specs": {"gpu_type": "cpu-8gb", "gpu_link": "", "gpu_memory": 8.0, "gpu_count": 1},
         "availability": {"status": "available"}, "usage": {"devices": 2, "free": 1, "used_by": ["local/dedi/demo-1"]}},
        {"object": "hardware", "id": "2x_cpu_8gb", "pricing": {"cents_per_minute": 5.42}, "updated_at": "2026-11-21T07:00:00Z",
         "specs": {"gpu_type": "cpu-8gb", "gpu_link": "", "gpu_memory": 8.0, "gpu_count": 2},
         "availability": {"status": "insufficient"}}]});
    let server = Server::start(vec![Answer::json(200, hardware).again()]).await;
    let all = run(&server, &["endpoints", "hardware", "--model", "dedi/demo"]).await;
    insta::assert_snapshot!(all.out, @r"
    HARDWARE    DEVICE   COUNT  MEMORY EACH  PER MINUTE  NOW           FREE    USED BY
    1x_cpu_8gb  cpu-8gb  1      8 GB         $0.00       available     1 of 2  local/dedi/demo-1
    2x_cpu_8gb  cpu-8gb  2      8 GB         $0.05       insufficient  -
    ");
    let free =
        run(&server, &["endpoints", "hardware", "--model", "dedi/demo", "--available", "--json"]).await;
    let printed: serde_json::Value = serde_json::from_str(&free.out).unwrap();
    assert_eq!(printed.as_array().unwrap().len(), 1);
    assert_eq!(server.asked()[0].line, "GET /v1/hardware?model=dedi%2Fdemo");
}

#[tokio::test]
async fn a_plan_that_says_no_ends_with_1_and_creates_nothing() {
    let plan = json!({"object": "endpoint.plan", "model": "m", "hardware": "h", "fits": false, "can_start_now": false,
        "message": "h is too small", "needed_bytes": 2, "needed_bytes_per_device": 2, "weights_bytes": 1,
        "kv_cache_bytes": 1, "compute_bytes": 0, "margin_bytes": 0, "available_bytes": 0, "devices_needed": 1,
        "devices_free": 0, "context_tokens": 1, "slots": 1, "nearest_hardware": null});
    let server = Server::start(vec![Answer::json(200, plan)]).await;
    let done = run(&server, &["endpoints", "create", "--model", "m", "--hardware", "h", "--plan"]).await;
    assert_eq!(done.exit, Exit::Refused, "{done:?}");
    assert!(done.out.contains("Fits:       no – h is too small") && done.err.is_empty(), "{done:?}");
    assert_eq!(server.asked()[0].line, "POST /v1/endpoints?dry_run=true");
}

#[tokio::test]
async fn a_log_is_printed_as_it_is() {
    let server = Server::start(vec![Answer::text(200, "text/plain", "one\ntwo ä\nunfinished").again()]).await;
    let done = run(&server, &["endpoints", "logs", ID, "--attempt", "2", "--tail", "5", "--follow"]).await;
    assert_eq!((done.exit, done.out.as_str()), (Exit::Done, "one\ntwo ä\nunfinished"), "{done:?}");
    assert_eq!(server.asked()[0].line, format!("GET /v1/endpoints/{ID}/logs?attempt=2&tail=5&follow=true"));
}

#[tokio::test]
async fn a_replica_that_never_was_is_told_with_those_that_were() {
    let replica = "replica-99999999-2222-4333-8444-555555555555";
    let message = format!("There is no launch of that number or replica: attempt 1 was {replica}");
    let refusal = json!({"id": "req_1", "error": {"message": message, "type": "not_found", "param": null, "code": "not_found"}});
    let server =
        Server::start(vec![Answer::json(404, refusal), Answer::text(200, "text/plain", "one\n").again()])
            .await;
    let done = run(&server, &["endpoints", "logs", ID, "--replica", "replica-9/9"]).await;
    assert_eq!(done.exit, Exit::Refused, "{done:?}");
    assert_eq!(
        done.err,
        format!("error: {message}\nhint: `dedi endpoints events {ID}` shows its launches\n")
    );
    assert_eq!(server.asked()[0].line, format!("GET /v1/endpoints/{ID}/logs?replica=replica-9%2F9"));

    let done = run(&server, &["endpoints", "logs", ID, "--replica", replica, "--json"]).await;
    assert_eq!(done.exit, Exit::Done, "{done:?}");
    let printed: serde_json::Value = serde_json::from_str(&done.out).unwrap();
    assert_eq!(printed, json!({"id": ID, "attempt": null, "replica": replica, "log": "one\n"}));
}

#[tokio::test]
async fn events_are_read_to_the_last_page() {
    let event = |id: i64| json!({"id": id, "at": "2026-11-21T07:00:00.123Z", "kind": "created", "replica": null, "message": "made"});
    let full: Vec<_> = (1..=1_000).map(event).collect();
    let server = Server::start(vec![
        Answer::json(200, json!({"object": "list", "data": full})),
        Answer::json(200, json!({"object": "list", "data": [event(1_001)]})),
    ])
    .await;
    let done = run(&server, &["endpoints", "events", ID]).await;
    assert_eq!(done.out.lines().count(), 1_001, "{:?}", done.exit);
    assert_eq!(server.asked()[1].line, format!("GET /v1/endpoints/{ID}/events?after=1000&limit=1000"));
}

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
        done.err.contains("error: x.gguf: nothing came for 60 s\nhint: run the command again"),
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
    assert!(done.err.contains("interrupted: the server goes on fetching"), "{done:?}");
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
    assert_eq!(done.err, "Being fetched: org/x: 12 %, 120.0 MiB of 1000.0 MiB\n");

    let server = Server::start(vec![Answer::text(204, "text/plain", "")]).await;
    let done = run(&server, &["models", "rm", "org/x"]).await;
    assert_eq!((done.exit, done.err.as_str()), (Exit::Done, "Removed org/x.\n"), "{done:?}");
    assert_eq!(server.asked()[0].line, "DELETE /v1/models/org%2Fx");
}

#[tokio::test]
async fn completions_need_no_server() {
    for shell in ["bash", "zsh", "fish", "powershell", "elvish"] {
        let done = Run::default().line("http://127.0.0.1:9/v1", &["completions", shell]).await;
        assert_eq!(done.exit, Exit::Done, "{shell}");
        assert!(done.out.contains("availability-zones"), "{shell}");
    }
}

const CHAT: &str = concat!(
    ": ping\n\n",
    "data: {\"id\":\"c\",\"choices\":[{\"index\":0,\"finish_reason\":null,\"delta\":{\"role\":\"assistant\",\"content\":\"Hi \"}}]}\n\n",
    "data: {\"id\":\"c\",\"choices\":[{\"index\":0,\"finish_reason\":\"stop\",\"delta\":{\"role\":\"assistant\",\"content\":\"there\"}}],",
    "\"usage\":{\"prompt_tokens\":5,\"completion_tokens\":2,\"total_tokens\":7}}\n\n",
    "data: [DONE]\n\n",
);
