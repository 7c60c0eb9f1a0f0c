use serde_json::{Value, json};

use crate::client::{self, Events};
use crate::engine::Engine;

const CHAT: &str = "/v1/chat/completions";
const TEXT: &str = "/v1/completions";

fn content(chunks: &[Value]) -> String {
    chunks.iter().filter_map(|it| it["choices"][0]["delta"]["content"].as_str()).collect()
}

#[tokio::test]
async fn streamed_chat_has_the_text_of_the_whole_one() {
    let engine = Engine::start(&[]).await;
    let mut body = json!({"model": "mine", "messages": [{"role": "user", "content": "Hello!"}], "temperature": 0,
        "max_tokens": 40});
    let (status, whole) = client::post(&engine.socket(), CHAT, &body).await;
    assert_eq!(status, 200, "{whole}");
    assert_eq!(whole["object"], "chat.completion");
    assert_eq!(whole["model"], "mine");
    let usage = &whole["usage"];
    let tokens = whole["choices"][0]["token_ids"].as_array().unwrap().len();
    assert_eq!(usage["completion_tokens"], tokens);
    assert_eq!(usage["total_tokens"].as_u64(), usage["prompt_tokens"].as_u64().map(|it| it + tokens as u64));

    body["stream"] = json!(true);
    body["stream_options"] = json!({"include_usage": true});
    let chunks = Events::open(&engine.socket(), CHAT, &body).await.chunks().await;
    assert_eq!(chunks[0]["choices"][0]["delta"], json!({"role": "assistant", "content": ""}));
    assert_eq!(content(&chunks), whole["choices"][0]["message"]["content"].as_str().unwrap());
    let [.., finish, last] = &chunks[..] else { panic!("{chunks:?}") };
    assert_eq!(finish["choices"][0]["finish_reason"], whole["choices"][0]["finish_reason"]);
    assert_eq!(last["choices"], json!([]));
    assert_eq!(&last["usage"], usage);
    let ids: Vec<_> = chunks.iter().filter_map(|it| it["choices"][0]["token_id"].as_u64()).collect();
    assert_eq!(json!(ids), whole["choices"][0]["token_ids"]);
}

#[tokio::test]
async fn two_streams_go_on_side_by_side() {
    let engine = Engine::start(&["--slots", "2"]).await;
    let body = json!({"prompt": "Once", "max_tokens": 400, "stream": true, "ignore_eos": true});
    let mut one = Events::open(&engine.socket(), TEXT, &body).await;
    let mut two = Events::open(&engine.socket(), TEXT, &body).await;
    for _ in 0..50 {
        one.next().await.unwrap();
        two.next().await.unwrap();
    }
    // Both were decoded together: far fewer batches than tokens.
    assert_eq!(one.chunks().await.last().unwrap()["choices"][0]["finish_reason"], "length");
    assert_eq!(two.chunks().await.last().unwrap()["choices"][0]["finish_reason"], "length");
    let (batches, tokens) =
        (engine.metric("decodes_total").await, engine.metric("generation_tokens_total").await);
    assert_eq!(tokens, 800);
    assert!(batches < 700, "{batches} batches for {tokens} tokens");
}

#[tokio::test]
async fn a_hang_up_frees_the_slot() {
    let engine = Engine::start(&["--slots", "1"]).await;
    let body = json!({"prompt": "Once", "max_tokens": 1000, "stream": true, "ignore_eos": true});
    let mut events = Events::open(&engine.socket(), TEXT, &body).await;
    events.next().await.unwrap();
    events.hang_up();
    engine.until("idle", async || engine.metric("requests_running").await == 0).await;
    let (status, _) = client::post(&engine.socket(), TEXT, &json!({"prompt": "Next", "max_tokens": 1})).await;
    assert_eq!(status, 200);
}

#[tokio::test]
async fn the_same_seed_gives_the_same_text() {
    let engine = Engine::start(&[]).await;
    let text = async |seed: u32| {
        let body =
            json!({"prompt": "The", "max_tokens": 40, "seed": seed, "temperature": 1.5, "ignore_eos": true});
        client::post(&engine.socket(), TEXT, &body).await.1["choices"][0]["token_ids"].clone()
    };
    let first = text(1).await;
    assert_eq!(first, text(1).await);
    assert_ne!(first, text(2).await);
}

#[tokio::test]
async fn stop_texts_end_a_reply_and_are_not_in_it() {
    let engine = Engine::start(&[]).await;
    let body = |stop: Value| json!({"prompt": "Once", "max_tokens": 60, "temperature": 0, "ignore_eos": true, "stop": stop});
    let (_, free) = client::post(&engine.socket(), TEXT, &body(json!([]))).await;
    let free = free["choices"][0]["text"].as_str().unwrap().to_owned();
    // The demo model's tokens are single bytes, so this spans several.
    let stop: String = free.chars().skip(10).take(4).collect();
    let (_, stopped) = client::post(&engine.socket(), TEXT, &body(json!(stop))).await;
    let choice = &stopped["choices"][0];
    assert_eq!(choice["finish_reason"], "stop");
    assert_eq!(choice["text"], free[..free.find(&stop).unwrap()]);
    let mut streamed = body(json!([stop]));
    streamed["stream"] = json!(true);
    let chunks = Events::open(&engine.socket(), TEXT, &streamed).await.chunks().await;
    let text: String = chunks.iter().filter_map(|it| it["choices"][0]["text"].as_str()).collect();
    assert_eq!(text, choice["text"]);
}

#[tokio::test]
async fn characters_of_several_tokens_arrive_whole() {
    let engine = Engine::start(&[]).await;
    // Every byte is a token: these three are forced to be a euro sign.
    let body = json!({"prompt": "a", "max_tokens": 12, "stream": true,
        "response_format": {"type": "regex", "pattern": "€{4}"}});
    let chunks = Events::open(&engine.socket(), TEXT, &body).await.chunks().await;
    let texts: Vec<_> = chunks.iter().filter_map(|it| it["choices"][0]["text"].as_str()).collect();
    assert_eq!(texts.concat(), "€€€€");
}

#[tokio::test]
async fn several_choices_share_one_prompt() {
    let engine = Engine::start(&["--slots", "2"]).await;
    let body = json!({"prompt": "Once upon a time", "max_tokens": 8, "n": 3, "seed": 5, "temperature": 3, "ignore_eos": true});
    let (_, answer) = client::post(&engine.socket(), TEXT, &body).await;
    let choices = answer["choices"].as_array().unwrap();
    assert_eq!(choices.iter().map(|it| it["index"].as_u64().unwrap()).collect::<Vec<_>>(), [0, 1, 2]);
    assert_eq!(answer["usage"]["completion_tokens"], 24);
    assert_ne!(choices[0]["token_ids"], choices[1]["token_ids"]);
    assert!(engine.metric("prompt_tokens_cached_total").await > 0);
}

#[tokio::test]
async fn many_choices_wait_for_few_slots() {
    let engine = Engine::start(&["--slots", "2", "--queue", "1"]).await;
    let body = json!({"prompt": "Once", "max_tokens": 2, "n": 128, "temperature": 3, "ignore_eos": true});
    let (status, answer) = client::post(&engine.socket(), TEXT, &body).await;
    assert_eq!(status, 200, "{answer}");
    let choices = answer["choices"].as_array().unwrap();
    assert!((0..128).eq(choices.iter().map(|it| it["index"].as_u64().unwrap())));
    assert_eq!(answer["usage"]["completion_tokens"], 256);
    assert_eq!(engine.metric("requests_waiting").await, 0);
}

#[tokio::test]
async fn a_conversation_goes_on_from_the_cache() {
    let engine = Engine::start(&[]).await;
    let body = json!({"prompt": "a text that is long enough", "max_tokens": 4, "temperature": 0});
    let (_, first) = client::post(&engine.socket(), TEXT, &body).await;
    let before = engine.metric("prompt_tokens_cached_total").await;
    let (_, second) = client::post(&engine.socket(), TEXT, &body).await;
    assert_eq!(first["choices"], second["choices"]);
    assert!(engine.metric("prompt_tokens_cached_total").await > before);
}

#[tokio::test]
async fn json_and_calls_have_their_form() {
    let engine = Engine::start(&[]).await;
    let schema = json!({"type": "object", "properties": {"ok": {"type": "boolean"}}, "required": ["ok"],
        "additionalProperties": false});
    let body = json!({"messages": [{"role": "user", "content": "Hi"}], "max_tokens": 100,
        "response_format": {"type": "json_schema", "json_schema": {"name": "a", "schema": schema}}});
    let (_, answer) = client::post(&engine.socket(), CHAT, &body).await;
    let text = answer["choices"][0]["message"]["content"].as_str().unwrap();
    assert!(serde_json::from_str::<Value>(text).unwrap()["ok"].is_boolean(), "{text}");

    let tools = json!([{"type": "function", "function": {"name": "set", "parameters": schema}}]);
    let mut body = json!({"messages": [{"role": "user", "content": "Hi"}], "max_tokens": 200, "tools": tools,
        "tool_choice": "required"});
    let (_, answer) = client::post(&engine.socket(), CHAT, &body).await;
    let choice = &answer["choices"][0];
    assert_eq!(choice["finish_reason"], "tool_calls", "{answer}");
    let call = &choice["message"]["tool_calls"][0];
    assert_eq!(call["function"]["name"], "set");
    let arguments: Value = serde_json::from_str(call["function"]["arguments"].as_str().unwrap()).unwrap();
    assert!(arguments["ok"].is_boolean());
    body["stream"] = json!(true);
    let chunks = Events::open(&engine.socket(), CHAT, &body).await.chunks().await;
    assert!(chunks.iter().any(|it| it["choices"][0]["delta"]["tool_calls"][0]["function"]["name"] == "set"));
    assert_eq!(content(&chunks), "");
}

#[tokio::test]
async fn probabilities_and_echo_are_reported() {
    let engine = Engine::start(&[]).await;
    let body = json!({"prompt": "On", "max_tokens": 3, "temperature": 0, "logprobs": 2, "echo": true, "ignore_eos": true});
    let (_, answer) = client::post(&engine.socket(), TEXT, &body).await;
    let choice = &answer["choices"][0];
    assert!(choice["text"].as_str().unwrap().starts_with("On"));
    let logprobs = &choice["logprobs"];
    assert_eq!(logprobs["tokens"].as_array().unwrap().len(), 5);
    assert_eq!(logprobs["token_logprobs"][0], Value::Null);
    assert!(logprobs["token_logprobs"][1].as_f64().is_some_and(|it| it <= 0.0));
    let own = logprobs["token_logprobs"][2].as_f64().unwrap();
    let best = logprobs["top_logprobs"][2]
        .as_object()
        .unwrap()
        .values()
        .filter_map(Value::as_f64)
        .fold(f64::MIN, f64::max);
    assert!(own <= 0.0 && (own - best).abs() < 1e-6, "greedy takes the best: {logprobs}");
}

#[tokio::test]
async fn a_repeated_prompt_is_as_likely_as_when_it_was_generated() {
    let engine = Engine::start(&[]).await;
    let mut tokens = vec![79, 110];
    let body =
        json!({"prompt": tokens, "max_tokens": 150, "temperature": 0, "logprobs": 2, "ignore_eos": true});
    let (_, said) = client::post(&engine.socket(), TEXT, &body).await;
    let said = &said["choices"][0];
    tokens.extend(said["token_ids"].as_array().unwrap().iter().filter_map(Value::as_u64));
    // It is in the cache now, and must be read once more to be told; in more than one step.
    let mut body =
        json!({"prompt": tokens, "max_tokens": 2, "logprobs": 2, "echo": true, "n": 2, "ignore_eos": true});
    let (_, answer) = client::post(&engine.socket(), TEXT, &body).await;
    let numbers = |of: &Value, skip: usize| -> Vec<f64> {
        let all = of["logprobs"]["token_logprobs"].as_array().unwrap();
        all.iter().skip(skip).take(150).map(|it| it.as_f64().unwrap()).collect()
    };
    for choice in answer["choices"].as_array().unwrap() {
        let logprobs = &choice["logprobs"];
        assert_eq!(logprobs["tokens"].as_array().unwrap().len(), tokens.len() + 2);
        assert_eq!(
            (&logprobs["token_logprobs"][0], &logprobs["top_logprobs"][0]),
            (&Value::Null, &Value::Null)
        );
        assert!(logprobs["top_logprobs"][1].as_object().is_some_and(|it| it.len() == 2), "{logprobs}");
        for (probability, sampled) in numbers(choice, 2).iter().zip(numbers(said, 0)) {
            // Batches of another size round otherwise.
            assert!((probability - sampled).abs() < 0.1, "{probability} was {sampled}");
        }
    }
    body["stream"] = json!(true);
    let chunks = Events::open(&engine.socket(), TEXT, &body).await.chunks().await;
    let streamed = &chunks[0]["choices"][0];
    assert_eq!(streamed["logprobs"]["tokens"].as_array().unwrap().len(), tokens.len());
    assert!((numbers(streamed, 2)[149] - numbers(said, 0)[149]).abs() < 0.1);
}

#[tokio::test]
async fn a_chat_repeats_what_its_template_made() {
    let engine = Engine::start(&[]).await;
    let question = "Hello! ".repeat(20);
    let mut body = json!({"messages": [{"role": "user", "content": question}], "max_tokens": 3, "echo": true,
        "temperature": 0, "ignore_eos": true});
    let (_, plain) = client::post(&engine.socket(), CHAT, &body).await;
    let prompt = &plain["prompt"];
    assert!(prompt["text"].as_str().unwrap().contains(question.trim()), "{prompt}");
    assert_eq!(prompt["logprobs"], Value::Null);
    body["logprobs"] = json!(true);
    let (_, probability) = client::post(&engine.socket(), CHAT, &body).await;
    let n = probability["usage"]["prompt_tokens"].as_u64().unwrap();
    assert_eq!(probability["prompt"]["token_ids"].as_array().unwrap().len() as u64, n);
    let numbers = probability["prompt"]["logprobs"]["token_logprobs"].as_array().unwrap();
    assert_eq!(numbers.len() as u64, n);
    assert!(numbers[0].is_null() && numbers[1..].iter().all(|it| it.as_f64().is_some_and(|it| it <= 0.0)));
    assert_eq!(
        probability["choices"][0]["message"], plain["choices"][0]["message"],
        "the prompt is no part of it"
    );
    body["stream"] = json!(true);
    let chunks = Events::open(&engine.socket(), CHAT, &body).await.chunks().await;
    assert_eq!(chunks[0]["prompt"]["text"], probability["prompt"]["text"]);
    assert_eq!(chunks[0]["prompt"]["logprobs"]["tokens"], probability["prompt"]["logprobs"]["tokens"]);
    assert!(chunks[1..].iter().all(|it| it["prompt"].is_null()));
    (body["echo"], body["stream"]) = (json!(false), json!(false));
    let (_, without) = client::post(&engine.socket(), CHAT, &body).await;
    assert!(without["prompt"].is_null());
}

#[tokio::test]
async fn what_the_template_does_not_read_is_refused() {
    let engine = Engine::start(&[]).await;
    for (more, param) in [
        (json!({"reasoning_effort": "low"}), "reasoning_effort"),
        (json!({"chat_template_kwargs": {"enable_thinking": true}}), "chat_template_kwargs.enable_thinking"),
        (json!({"chat_template_kwargs": {"mood": 1}}), "chat_template_kwargs.mood"),
    ] {
        let mut body = json!({"messages": [{"role": "user", "content": "Hi"}], "max_tokens": 1});
        body.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        let (status, answer) = client::post(&engine.socket(), CHAT, &body).await;
        let error = &answer["error"];
        assert_eq!((status.as_u16(), &error["param"]), (400, &param.into()), "{answer}");
        assert_eq!(error["code"], "unsupported_by_model");
    }
    let body = json!({"messages": [{"role": "user", "content": "Hi"}], "max_tokens": 1,
        "chat_template_kwargs": {"enable_thinking": false}});
    let (status, answer) = client::post(&engine.socket(), CHAT, &body).await;
    assert_eq!(status, 200, "it does not reason anyway: {answer}");
}

#[tokio::test]
async fn a_templates_own_names_are_taken() {
    let engine = Engine::start(&[]).await;
    let other = json!([{"role": "user", "content": "Say something else"}]);
    for (name, value) in [
        ("messages", other),
        ("tools", json!([])),
        ("add_generation_prompt", json!(false)),
        ("bos_token", json!("x")),
        ("eos_token", json!("x")),
        ("raise_exception", json!(1)),
        ("strftime_now", json!(1)),
    ] {
        let body = json!({"messages": [{"role": "user", "content": "Hi"}], "max_tokens": 1,
            "chat_template_kwargs": {name: value}});
        let (status, answer) = client::post(&engine.socket(), CHAT, &body).await;
        let error = &answer["error"];
        assert_eq!(
            (status.as_u16(), &error["param"]),
            (400, &format!("chat_template_kwargs.{name}").into()),
            "{answer}"
        );
        assert!(error["message"].as_str().unwrap().contains("messages, tools, "), "{error}");
    }
}

#[tokio::test]
async fn each_choice_is_the_reply_of_a_seed_of_its_own() {
    let engine = Engine::start(&["--slots", "2"]).await;
    let ask = async |seed: u32, n: u32| {
        let body = json!({"prompt": "Once", "max_tokens": 4, "n": n, "seed": seed, "temperature": 3,
            "ignore_eos": true});
        client::post(&engine.socket(), TEXT, &body).await.1["choices"].clone()
    };
    let several = ask(5, 3).await;
    for (choice, seed) in several.as_array().unwrap().iter().zip(5..) {
        assert_eq!(choice["token_ids"], ask(seed, 1).await[0]["token_ids"], "{seed}");
    }
}

#[tokio::test]
async fn a_bias_decides() {
    let engine = Engine::start(&[]).await;
    let body = json!({"prompt": "On", "max_tokens": 3, "logit_bias": {"88": 100}});
    let (_, answer) = client::post(&engine.socket(), TEXT, &body).await;
    assert_eq!(answer["choices"][0]["text"], "XXX");
}
