//! Writes events in the contract's shape, byte for byte as `dedi_api`'s types are written, which a test holds
//! against it. Those write each name letter by letter; what is the same in every event is copied here instead.

use dedi_api::inference::{ChunkChoice, Delta, PromptPart};
use serde::Serialize;

/// Writes the events of one stream.
#[derive(Debug)]
pub(super) struct Writer {
    /// How each event begins.
    head: Vec<u8>,
}

impl Writer {
    pub(super) fn new(id: &str, object: &str, created: i64, model: &str) -> Self {
        let mut head = b"data: {\"id\":".to_vec();
        value(id, &mut head);
        field(",\"object\":", object, &mut head);
        field(",\"created\":", &created, &mut head);
        field(",\"model\":", model, &mut head);
        Self { head }
    }

    /// Writes an event up to the value of its usage.
    pub(super) fn event(
        &self,
        prompt: Option<&PromptPart<'_>>,
        choices: &[ChunkChoice<'_>],
        out: &mut Vec<u8>,
    ) {
        out.extend_from_slice(&self.head);
        if let Some(prompt) = prompt {
            field(",\"prompt\":", &[prompt], out);
        }
        out.extend_from_slice(b",\"choices\":[");
        for (at, it) in choices.iter().enumerate() {
            if at > 0 {
                out.push(b',');
            }
            choice(it, out);
        }
        out.extend_from_slice(b"],\"usage\":");
    }
}

fn choice(it: &ChunkChoice<'_>, out: &mut Vec<u8>) {
    let ChunkChoice { index, text, logprobs, top_logprobs, finish_reason, seed, delta } = it;
    field("{\"index\":", index, out);
    field(",\"text\":", text, out);
    nullable(",\"logprobs\":", logprobs.as_ref(), out);
    if let Some(tops) = top_logprobs {
        field(",\"top_logprobs\":", tops, out);
    }
    nullable(",\"finish_reason\":", finish_reason.as_ref(), out);
    nullable(",\"seed\":", seed.as_ref(), out);
    let Delta { token_id, role, content, tool_calls, reasoning } = delta;
    out.extend_from_slice(b",\"delta\":{");
    if let Some(id) = token_id {
        field("\"token_id\":", id, out);
        out.push(b',');
    }
    if let Some(role) = role {
        field("\"role\":", role, out);
        out.push(b',');
    }
    field("\"content\":", content, out);
    if !tool_calls.is_empty() {
        field(",\"tool_calls\":", tool_calls, out);
    }
    if let Some(thought) = reasoning {
        field(",\"reasoning\":", thought, out);
    }
    out.extend_from_slice(b"}}");
}

fn field(name: &str, it: &(impl Serialize + ?Sized), out: &mut Vec<u8>) {
    out.extend_from_slice(name.as_bytes());
    value(it, out)
}

fn nullable(name: &str, it: Option<&impl Serialize>, out: &mut Vec<u8>) {
    out.extend_from_slice(name.as_bytes());
    match it {
        Some(it) => value(it, out),
        None => out.extend_from_slice(b"null"),
    }
}

fn value(it: &(impl Serialize + ?Sized), out: &mut Vec<u8>) {
    let written = serde_json::to_writer(out, it);
    debug_assert!(written.is_ok(), "memory takes all, and the keys of all maps are texts or numbers");
}

#[cfg(test)]
mod tests {
    use std::borrow::Cow;

    use dedi_api::inference::{FinishReason, LogprobLists, StreamChunk, ToolCall, ToolCallFunction};
    use proptest::option;
    use proptest::prelude::*;

    use super::*;

    fn text() -> impl Strategy<Value = Cow<'static, str>> {
        prop_oneof![".{0,8}", any::<String>()].prop_map(Cow::Owned)
    }

    fn number() -> impl Strategy<Value = f64> {
        prop_oneof![-20.0..0.0, any::<f64>()]
    }

    fn call() -> impl Strategy<Value = ToolCall<'static>> {
        (any::<u32>(), text(), text(), text()).prop_map(|(index, id, name, arguments)| ToolCall {
            index,
            id,
            kind: Cow::Borrowed("function"),
            function: ToolCallFunction { name, arguments },
        })
    }

    fn delta() -> impl Strategy<Value = Delta<'static>> {
        let calls = proptest::collection::vec(call(), 0..3);
        (option::of(any::<i64>()), option::of(text()), text(), calls, option::of(text())).prop_map(
            |(token_id, role, content, tool_calls, reasoning)| Delta {
                token_id,
                role,
                content,
                tool_calls,
                reasoning,
            },
        )
    }

    fn any_choice() -> impl Strategy<Value = ChunkChoice<'static>> {
        let reasons = [FinishReason::Stop, FinishReason::Eos, FinishReason::Length, FinishReason::ToolCalls];
        let end = (option::of(proptest::sample::select(reasons.to_vec())), option::of(any::<i64>()));
        let tops = option::of(proptest::collection::btree_map(text(), number(), 0..3));
        (any::<u32>(), text(), option::of(number()), tops, end, delta()).prop_map(
            |(index, text, logprobs, top_logprobs, (finish_reason, seed), delta)| ChunkChoice {
                index,
                text,
                logprobs,
                top_logprobs,
                finish_reason,
                seed,
                delta,
            },
        )
    }

    fn any_prompt() -> impl Strategy<Value = PromptPart<'static>> {
        let lists = proptest::collection::vec((text(), option::of(number())), 0..3).prop_map(|it| {
            let (tokens, token_logprobs) = it.into_iter().unzip();
            LogprobLists { tokens, token_logprobs, token_ids: None, top_logprobs: None }
        });
        (text(), option::of(lists)).prop_map(|(text, logprobs)| PromptPart { text, logprobs })
    }

    proptest! {
        #[test]
        fn event_has_the_bytes_of_its_type(
            (id, object, created, model) in (text(), text(), any::<i64>(), text()),
            prompt in option::of(any_prompt()),
            choices in proptest::collection::vec(any_choice(), 0..4),
        ) {
            let writer = Writer::new(&id, &object, created, &model);
            let mut out = Vec::new();
            writer.event(prompt.as_ref(), &choices, &mut out);
            out.extend_from_slice(b"null}");
            let prompt = prompt.into_iter().collect();
            let chunk = StreamChunk { id, object, created, model, prompt, choices, usage: None };
            let typed = format!("data: {}", serde_json::to_string(&chunk).unwrap());
            prop_assert_eq!(String::from_utf8(out).unwrap(), typed);
        }
    }
}
