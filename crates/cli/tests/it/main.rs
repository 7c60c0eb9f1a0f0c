//! Whole commands against a scripted HTTP server: what is sent, what is printed, how it ends.

#![expect(clippy::unwrap_used, clippy::panic, reason = "helpers of tests fail the test they serve")]

mod chat;
mod endpoints;
mod models;
mod program;
mod server;
mod terminal;
mod up;
mod usage;
mod waits;

use std::path::PathBuf;

use clap::{CommandFactory, Parser};
use dedi_cli::Exit;
use serde_json::json;

use crate::program::{Commands, Program, Run, run};
use crate::server::{Answer, Server};

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
async fn no_server_is_3_and_says_how_to_start_one() {
    let done = Run::default().line("http://127.0.0.1:9/v1", &["endpoints", "list"]).await;
    assert_eq!(done.exit, Exit::Unreachable);
    assert_eq!(
        done.err,
        "error: no dedi server answers at http://127.0.0.1:9/v1\n\
         hint: start one with `dedi serve` or `make up`, or pass its address with --base-url\n"
    );
}

#[tokio::test]
async fn a_verified_model_is_right_or_its_file_is_named() {
    let check = |state: &str, message: Option<&str>| {
        json!({"object": "model.check", "model": "org/x", "state": state, "percent": null, "bytes_done": 0,
            "bytes_total": 2048, "files": 2, "message": message, "started_at": "", "ended_at": null})
    };
    let answers = vec![Answer::json(200, check("running", None)), Answer::json(200, check("done", None))];
    let server = Server::start(answers).await;
    let done = run(&server, &["models", "verify", "org/x"]).await;
    assert_eq!(done.exit, Exit::Done, "{done:?}");
    assert!((done.out + &done.err).contains("org/x: 2 files, 2.0 KiB, all files match their checksums."));
    let mut new = check("done", None);
    for (n_new, said) in [
        (2, "2 files, 2.0 KiB, readable as a model. There were no checksums"),
        (1, "match their checksums, except 1 "),
    ] {
        new["files_new"] = json!(n_new);
        let server = Server::start(vec![Answer::json(200, new.clone())]).await;
        let done = run(&server, &["models", "verify", "org/x"]).await;
        assert!((done.out + &done.err).contains(said), "{n_new}");
    }
    let wrong = check("failed", Some("x.gguf: its content is not what it was"));
    let server = Server::start(vec![Answer::json(200, wrong)]).await;
    let done = run(&server, &["models", "verify", "org/x", "--accept"]).await;
    assert_eq!(done.exit, Exit::Refused);
    assert!(done.err.contains("error: x.gguf: its content is not what it was"), "{done:?}");
}

#[tokio::test]
async fn an_unknown_model_points_to_the_models() {
    let refusal = json!({"error": {"message": "Model org/x not found; GET /v1/models lists those that can be deployed",
        "type": "not_found", "param": null, "code": "not_found"}});
    let server = Server::start(vec![Answer::json(404, refusal)]).await;
    let done = run(&server, &["endpoints", "create", "--model", "org/x", "--hardware", "1x_cpu_4gb"]).await;
    assert!(done.err.contains("hint: list available models with `dedi models list`"), "{done:?}");
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
async fn completions_need_no_server() {
    for shell in ["bash", "zsh", "fish", "powershell", "elvish"] {
        let done = Run::default().line("http://127.0.0.1:9/v1", &["completions", shell]).await;
        assert_eq!(done.exit, Exit::Done, "{shell}");
        assert!(done.out.contains("availability-zones"), "{shell}");
    }
}
