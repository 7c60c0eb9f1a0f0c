//! The one pass, on streams cut wherever they may be cut.

use proptest::prelude::*;
use serde_json::{Value, json};

use super::rewrite::{Broken, Rewriter};
use crate::request::{Echo, Job, Kind};

/// Rewrites a stream that comes in those pieces; what was written, and how it went.
fn rewrite<'a>(
    kind: Kind,
    n: u32,
    chunks: impl IntoIterator<Item = &'a [u8]>,
) -> (String, Result<bool, Broken>) {
    let mut rewriter = Rewriter::new("req_1", 7, &Job::streamed(kind, n));
    let mut out = Vec::new();
    for chunk in chunks {
        if let Err(broken) = rewriter.push(chunk, &mut out) {
            return (String::from_utf8(out).unwrap(), Err(broken));
        }
    }
    (String::from_utf8(out).unwrap(), Ok(rewriter.is_done()))
}

#[test]
fn stream_choices_report_their_own_seeds() {
    let mut job = Job::streamed(Kind::Chat, 2);
    job.seed = Some(i64::MAX);
    let mut rewriter = Rewriter::new("req_1", 7, &job);
    let mut out = Vec::new();
    for choice in [1, 0] {
        let event = format!(
            r#"{{"choices":[{{"index":{choice},"delta":{{"content":"a"}},"finish_reason":"stop"}}]}}"#
        );
        rewriter.push(sse(&[&event]).as_bytes(), &mut out).unwrap();
    }
    rewriter.push(b"data: [DONE]\n\n", &mut out).unwrap();
    let events = values(std::str::from_utf8(&out).unwrap());
    let seeds: Vec<_> = events.iter().map(|it| it["choices"][0]["seed"].as_i64()).collect();
    assert_eq!(seeds[..2], [Some(i64::MIN), Some(i64::MAX)], "{events:?}");
}

#[test]
fn stream_role_is_sent_once_to_clients_that_add_deltas_up() {
    let says = |text: &str| {
        format!(
            r#"{{"choices":[{{"index":0,"delta":{{"role":"assistant","content":"{text}"}},"token_id":7}}]}}"#
        )
    };
    let end = r#"{"choices":[{"index":0,"delta":{},"finish_reason":"stop"}]}"#;
    let stream = sse(&[&says(""), &says("a"), end, "[DONE]"]);
    let deltas = |is_openai| {
        let mut job = Job::streamed(Kind::Chat, 1);
        job.is_openai = is_openai;
        let mut out = Vec::new();
        Rewriter::new("req_1", 7, &job).push(stream.as_bytes(), &mut out).unwrap();
        let mut events = values(std::str::from_utf8(&out).unwrap());
        events.truncate(3);
        events.iter().map(|it| it["choices"][0]["delta"].clone()).collect::<Vec<_>>()
    };
    let roles = |deltas: &[Value]| deltas.iter().map(|it| it["role"].clone()).collect::<Vec<_>>();
    assert_eq!(roles(&deltas(false)), ["assistant"; 3]);
    assert_eq!(roles(&deltas(true)), [json!("assistant"), Value::Null, Value::Null]);
    assert_eq!(deltas(false)[1]["token_id"], 7);
    assert!(deltas(true).iter().all(|it| it.get("token_id").is_none()), "numbers would be added up");
}

fn sse(events: &[&str]) -> String {
    events.iter().map(|it| format!("data: {it}\n\n")).collect()
}

/// The events as values; `[DONE]` as a string.
fn values(out: &str) -> Vec<Value> {
    let events = out.split_terminator("\n\n").map(|it| it.strip_prefix("data: ").unwrap());
    events.map(|it| serde_json::from_str(it).unwrap_or_else(|_| it.into())).collect()
}

const USAGE: &str = r#"{"choices":[],"usage":{"prompt_tokens":3,"completion_tokens":4,"total_tokens":7}}"#;

fn delta(index: u32, text: &str, finish: &str) -> String {
    format!(
        r#"{{"choices":[{{"index":{index},"delta":{{"role":"assistant","content":"{text}"}},"finish_reason":{finish}}}]}}"#
    )
}

#[test]
fn stream_is_the_same_wherever_it_is_cut() {
    let hi = delta(0, "né\\u00e9🦀\\n", "null");
    let stop = delta(0, "", "\"stop\"");
    let stream = format!(": ping\r\n\r\n{}", sse(&[&hi, &stop, USAGE, "[DONE]", "{late"]));
    let (whole, went) = rewrite(Kind::Chat, 1, [stream.as_bytes()]);
    assert_eq!(went, Ok(true));
    let events = values(&whole);
    assert_eq!(events.len(), 3);
    assert_eq!(events[0]["choices"][0]["delta"]["content"], "néé🦀\n");
    assert_eq!(events[0]["choices"][0]["text"], "néé🦀\n");
    assert!(events[0]["usage"].is_null());
    assert_eq!(events[1]["choices"][0]["finish_reason"], "stop");
    assert_eq!(events[1]["usage"]["total_tokens"], 7);
    assert_eq!(events[2], "[DONE]");
    for at in 0..=stream.len() {
        let (left, right) = stream.as_bytes().split_at(at);
        assert_eq!(rewrite(Kind::Chat, 1, [left, right]).0, whole, "cut at {at}");
    }
    assert_eq!(rewrite(Kind::Chat, 1, stream.as_bytes().chunks(1)).0, whole);
}

#[test]
fn letters_that_are_wrong_matter_only_where_they_are_read() {
    let event = |unread: &[u8], read: &[u8]| {
        let parts: [&[u8]; 5] =
            [b"data: {\"x\":\"", unread, b"\",\"choices\":[{\"delta\":{\"content\":\"", read, b"\"}}]}\n\n"];
        rewrite(Kind::Chat, 1, [&parts.concat()[..]])
    };
    assert_eq!(values(&event(b"\xff", b"a").0)[0]["choices"][0]["text"], "a");
    assert_eq!(event(b"", b"\xff").1, Err(Broken::Garbage));
}

#[test]
fn stream_usage_comes_with_the_last_choice_to_end() {
    let events = [
        delta(1, "b", "null"),
        delta(0, "a", "\"length\""),
        delta(1, "", "\"stop\""),
        USAGE.to_owned(),
        "[DONE]".to_owned(),
    ];
    let stream = sse(&events.each_ref().map(String::as_str));
    let out = values(&rewrite(Kind::Chat, 2, [stream.as_bytes()]).0);
    let usages: Vec<_> = out.iter().map(|it| it["usage"]["total_tokens"].as_u64()).collect();
    assert_eq!(usages, [None, None, Some(7), None]);
    assert_eq!(out[1]["choices"][0]["finish_reason"], "length");
}

#[test]
fn stream_usage_may_come_with_the_end_or_never() {
    let with = r#"{"choices":[{"index":0,"delta":{},"finish_reason":"eos"}],"usage":{"prompt_tokens":1,"completion_tokens":1}}"#;
    let out = rewrite(Kind::Chat, 1, [sse(&[with]).as_bytes()]).0;
    assert_eq!(values(&out)[0]["usage"]["total_tokens"], 2, "it need not wait for [DONE]");
    let without = sse(&[&delta(0, "", "\"stop\""), "[DONE]"]);
    let out = values(&rewrite(Kind::Chat, 1, [without.as_bytes()]).0);
    assert!(out[0]["usage"].is_null() && out[1] == "[DONE]");
}

#[test]
fn calls_have_texts_where_engines_have_nothing() {
    let first = r#"{"choices":[{"index":0,"delta":{"content":null,"tool_calls":[{"index":0,"id":"c1","type":"function","function":{"name":"f","arguments":""}}]}}]}"#;
    let later =
        r#"{"choices":[{"index":0,"delta":{"tool_calls":[{"index":0,"function":{"arguments":"{\"a\""}}]}}]}"#;
    let out = values(&rewrite(Kind::Chat, 1, [sse(&[first, later]).as_bytes()]).0);
    let call = |at: usize| &out[at]["choices"][0]["delta"]["tool_calls"][0];
    let whole = |id: &str, name: &str, arguments: &str| json!({"index": 0, "id": id, "type": "function", "function": {"name": name, "arguments": arguments}});
    assert_eq!(call(0), &whole("c1", "f", ""));
    assert_eq!(call(1), &whole("", "", "{\"a\""));
    assert_eq!(out[0]["choices"][0]["delta"]["content"], "");
}

#[test]
fn stream_of_a_completion_has_deltas_and_numeric_log_probabilities() {
    let event = r#"{"choices":[{"index":0,"text":" upon","logprobs":{"tokens":[" up","on"],"token_logprobs":[-1.0,-0.5],"top_logprobs":[{" up":-1.0},null],"text_offset":[0,3]},"finish_reason":null,"token_ids":[8,9]}]}"#;
    let out = values(&rewrite(Kind::Completions, 1, [sse(&[event]).as_bytes()]).0);
    assert_eq!(out[0]["object"], "completion.chunk");
    let choice = &out[0]["choices"][0];
    assert_eq!((&choice["text"], &choice["delta"]["content"]), (&" upon".into(), &" upon".into()));
    assert_eq!((&choice["logprobs"], &choice["top_logprobs"][" up"]), (&(-1.5).into(), &(-1.0).into()));
    assert_eq!(choice["delta"]["token_id"], 8);
}

/// A stream of a job that repeats its prompt.
fn echoed(kind: Kind, n: u32, echo: Echo, events: &[&str]) -> Result<Vec<Value>, Broken> {
    let mut job = Job::streamed(kind, n);
    job.echo = Some(echo);
    let mut rewriter = Rewriter::new("req_1", 7, &job);
    let mut out = Vec::new();
    rewriter.push(sse(events).as_bytes(), &mut out)?;
    Ok(values(&String::from_utf8(out).unwrap()))
}

#[test]
fn stream_echo_of_a_chat_comes_with_the_first_event() {
    let first = r#"{"prompt":{"text":"<user>x","logprobs":{"tokens":["<user>","x"],"token_logprobs":[null,-1.5]},"token_ids":[5,6]},"choices":[{"index":0,"delta":{"role":"assistant","content":""}}]}"#;
    let events = [first, &delta(0, "a", "\"stop\""), "[DONE]"];
    let out = echoed(Kind::Chat, 1, Echo::Rendered, &events).unwrap();
    let logprobs = json!({"tokens": ["<user>", "x"], "token_logprobs": [null, -1.5], "token_ids": [5, 6]});
    assert_eq!(out[0]["prompt"], json!([{"text": "<user>x", "logprobs": logprobs}]));
    assert!(out[1].get("prompt").is_none() && out[1]["choices"][0]["text"] == "a");
    let silent = echoed(Kind::Chat, 1, Echo::Rendered, &[&delta(0, "a", "null")]);
    assert_eq!(silent, Err(Broken::NoEcho), "what was asked for is not left out without a word");
}

#[test]
fn stream_echo_of_a_completion_is_sent_once_and_is_no_part_of_its_text() {
    let text = |index: u32, text: &str, more: &str| {
        format!(r#"{{"choices":[{{"index":{index},"text":"{text}"{more}}}]}}"#)
    };
    let logprobs = r#","logprobs":{"tokens":["on","ce"],"token_logprobs":[null,-2.0]}"#;
    let events = [
        text(0, "once", logprobs),
        text(1, "on", ""),
        text(1, "ce up", ""),
        text(0, " once", r#","logprobs":{"tokens":[" once"],"token_logprobs":[-3.0]}"#),
    ];
    let echo = Echo::Text("once".to_owned());
    let out = echoed(Kind::Completions, 2, echo.clone(), &events.each_ref().map(String::as_str)).unwrap();
    assert_eq!(
        out[0]["prompt"],
        json!([{"text": "once", "logprobs": {"tokens": ["on", "ce"], "token_logprobs": [null, -2.0]}}])
    );
    let texts: Vec<_> = out.iter().map(|it| it["choices"][0]["text"].as_str().unwrap()).collect();
    assert_eq!(texts, ["", "", " up", " once"]);
    assert!(out[0]["choices"][0]["logprobs"].is_null() && out[3]["choices"][0]["logprobs"] == -3.0);
    assert!(out[1..].iter().all(|it| it.get("prompt").is_none()));
    let silent = echoed(Kind::Completions, 1, echo, &[&text(0, "upon", "")]).unwrap();
    assert_eq!(
        (&silent[0]["prompt"][0]["text"], &silent[0]["choices"][0]["text"]),
        (&"once".into(), &"upon".into())
    );
}

#[test]
fn what_does_not_end_well_is_broken() {
    let broken = |events: &[&str]| rewrite(Kind::Chat, 1, [sse(events).as_bytes()]).1.unwrap_err();
    assert_eq!(broken(&["[DONE]"]), Broken::Unfinished);
    assert_eq!(broken(&[&delta(0, "a", "null"), "[DONE]"]), Broken::Unfinished);
    assert_eq!(broken(&["{"]), Broken::Garbage);
    assert_eq!(broken(&[r#"{"choices":[{"delta":{"content":"\ud800"}}]}"#]), Broken::Garbage);
    assert_eq!(broken(&[&delta(1, "a", "null")]), Broken::Garbage);
    assert_eq!(broken(&[&delta(0, "a", "\"stop\""), &delta(0, "b", "null")]), Broken::Garbage);
    assert_eq!(broken(&[&delta(0, "a", "\"abort\"")]), Broken::Engine(String::new()));
    assert_eq!(broken(&[r#"{"error":{"message":"m"}}"#]), Broken::Engine("m".to_owned()));
    let quiet = sse(&[&delta(0, "a", "\"stop\""), &delta(0, "", "null"), USAGE]);
    assert_eq!(rewrite(Kind::Chat, 1, [quiet.as_bytes()]).1, Ok(false));
}

proptest! {
    #[test]
    fn stream_texts_in_any_chunks_arrive_whole(
        texts in proptest::collection::vec(any::<String>(), 0..8),
        size in 1_usize..64,
    ) {
        let mut stream = String::new();
        for text in &texts {
            let text = Value::from(text.as_str());
            stream += &format!("data: {{\"choices\":[{{\"index\":0,\"delta\":{{\"content\":{text}}}}}]}}\r\n\r\n");
        }
        stream += &sse(&[&delta(0, "", "\"stop\""), USAGE, "[DONE]"]);
        let (out, went) = rewrite(Kind::Chat, 1, stream.as_bytes().chunks(size));
        prop_assert_eq!(went, Ok(true));
        prop_assert_eq!(&out, &rewrite(Kind::Chat, 1, [stream.as_bytes()]).0);
        let said: String = values(&out)
            .iter()
            .filter_map(|it| it["choices"][0]["delta"]["content"].as_str().map(str::to_owned))
            .collect();
        prop_assert_eq!(said, texts.concat());
    }

    #[test]
    fn stream_never_panics(bytes in proptest::collection::vec(any::<u8>(), 0..300), tail in "\\PC{0,40}") {
        let stream = [b"data: ".as_slice(), &bytes, b"\n\ndata: ", tail.as_bytes(), b"\n\n"].concat();
        let _ = rewrite(Kind::Chat, 2, stream.chunks(7));
    }
}
