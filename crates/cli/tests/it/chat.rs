//! `dedi chat`: a streamed answer, whole or broken off, to one question or a conversation.

use dedi_cli::Exit;
use dedi_cli::console::Terminals;
use serde_json::json;

use crate::program::{Run, run};
use crate::server::{Answer, ID, Server};

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
async fn an_endpoint_that_does_not_run_is_named_in_the_hint() {
    let message = "The dedicated endpoint for x is not running. It is PENDING: no device is free";
    let refusal = json!({"error": {"message": message, "type": "invalid_request_error", "param": "model",
        "code": "dedicated_endpoint_not_running"}});
    let server = Server::start(vec![Answer::json(400, refusal)]).await;
    let done = run(&server, &["chat", ID, "hello"]).await;
    assert_eq!(done.exit, Exit::Refused);
    assert!(done.err.contains(&format!("see what it waits for with `dedi endpoints why {ID}`")), "{done:?}");
    assert!(!done.err.contains("ENDPOINT"), "{done:?}");
}

const CHAT: &str = concat!(
    ": ping\n\n",
    "data: {\"id\":\"c\",\"choices\":[{\"index\":0,\"finish_reason\":null,\"delta\":{\"role\":\"assistant\",\"content\":\"Hi \"}}]}\n\n",
    "data: {\"id\":\"c\",\"choices\":[{\"index\":0,\"finish_reason\":\"stop\",\"delta\":{\"role\":\"assistant\",\"content\":\"there\"}}],",
    "\"usage\":{\"prompt_tokens\":5,\"completion_tokens\":2,\"total_tokens\":7}}\n\n",
    "data: [DONE]\n\n",
);
