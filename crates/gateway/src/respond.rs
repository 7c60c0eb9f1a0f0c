//! A whole answer: read within its bounds, understood, and written again in the contract's shape.

use std::borrow::Cow;
use std::sync::Arc;

use axum::response::{IntoResponse, Response};
use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use bytes::{Bytes, BytesMut};
use dedi_api::inference::{
    ChatChoice, ChatCompletion, Completion, CompletionChoice, Embedding, EmbeddingUsage, EmbeddingVector,
    Embeddings, EncodingFormat, FinishReason, LogprobLists, PromptPart, ReplyMessage, Usage,
};
use http::header;
use serde::Deserialize;
use serde_json::value::RawValue;
use tokio::time::timeout;

use crate::admission::InFlight;
use crate::attempt::{Accepted, Begun, begin, give_back};
use crate::config::ms;
use crate::core::Core;
use crate::error::ApiError;
use crate::record::{Ended, Record};
use crate::request::{Echo, Job, Kind};
use crate::stream::dialect::{self, Prompt, Whole};
use crate::upstream::Exchange;
use dedi_http::RequestId;

/// The answer, or why there is none.
pub(crate) async fn respond(
    core: Arc<Core>,
    accepted: Accepted,
    in_flight: InFlight,
    mut record: Record,
) -> Result<Response, ApiError> {
    let limit = ms(core.config.total_timeout_ms);
    let done = tokio::select! {
        biased;
        () = core.kill.cancelled() => Err(ApiError::ShuttingDown),
        () = core.fleet.key_ended(&accepted.key) => Err(ApiError::KeyEnded),
        done = timeout(limit, read(&core, &accepted, in_flight)) => {
            done.unwrap_or(Err(ApiError::TotalTimeout { after: limit }))
        }
    };
    let Accepted { id, job, .. } = &accepted;
    let answered = done.and_then(|(bytes, created)| rewrite(&bytes, id, created, job));
    match answered {
        Ok((body, usage)) => {
            record.usage = usage;
            record.end(Ended::Whole);
            Ok(([(header::CONTENT_TYPE, "application/json")], body).into_response())
        }
        Err(error) => {
            record.end(Ended::Failed(&error));
            Err(error)
        }
    }
}

/// The engine's whole body, and when it began, in Unix seconds.
async fn read(core: &Core, accepted: &Accepted, in_flight: InFlight) -> Result<(BytesMut, i64), ApiError> {
    let Begun { in_flight, mut exchange, first } = begin(core, accepted, in_flight).await?;
    let created = core.clock.wall().0.div_euclid(1_000);
    let replica = in_flight.replica();
    let whole = tokio::select! {
        biased;
        () = replica.ended() => Err(ApiError::failed("it was ended")),
        whole = read_whole(core, &in_flight, &mut exchange, first) => whole,
    };
    match whole {
        Ok(bytes) => {
            give_back(core, &in_flight, exchange).await;
            Ok((bytes, created))
        }
        Err(failure) => {
            if let Some(ended) = core.ended(replica) {
                return Err(ended);
            }
            core.blame(replica);
            core.broke_begun(&accepted.suspect(), replica).await;
            Err(failure)
        }
    }
}

async fn read_whole(
    core: &Core,
    in_flight: &InFlight,
    exchange: &mut Exchange,
    first: Bytes,
) -> Result<BytesMut, ApiError> {
    let mut bytes = BytesMut::from(first);
    let idle = ms(core.config.idle_timeout_ms);
    loop {
        let wait = in_flight.replica().wait();
        let failure = match timeout(idle, exchange.chunk()).await {
            Ok(None) => return Ok(bytes),
            Ok(Some(Ok(chunk))) if bytes.len() + chunk.len() <= core.config.response_bytes_max => {
                in_flight.replica().received();
                bytes.extend_from_slice(&chunk);
                continue;
            }
            Ok(Some(Ok(_))) => ApiError::failed("its answer is longer than the limit"),
            Ok(Some(Err(_))) => ApiError::failed("its connection broke"),
            Err(_elapsed) => {
                in_flight.replica().unanswered(wait);
                ApiError::IdleTimeout { after: idle }
            }
        };
        return Err(failure);
    }
}

type Answer = (Vec<u8>, Option<Usage>);

fn rewrite(bytes: &[u8], id: &RequestId, created: i64, job: &Job) -> Result<Answer, ApiError> {
    let garbage = |_| ApiError::failed("it sent what is not an answer");
    match job.kind {
        Kind::Chat => chat(serde_json::from_slice(bytes).map_err(garbage)?, id, created, job),
        Kind::Completions => completion(serde_json::from_slice(bytes).map_err(garbage)?, id, created, job),
        Kind::Embeddings => embeddings(&serde_json::from_slice(bytes).map_err(garbage)?, job),
    }
}

fn chat(whole: Whole<'_>, id: &RequestId, created: i64, job: &Job) -> Result<Answer, ApiError> {
    let usage = whole.usage.map(Usage::from);
    let prompt = match &job.echo {
        Some(_) => vec![whole.prompt.map(Prompt::into_contract).ok_or_else(ApiError::no_echo)?],
        None => Vec::new(),
    };
    let mut choices = Vec::with_capacity(whole.choices.len());
    for choice in whole.choices {
        let mut message = choice.message.unwrap_or_default();
        let tool_calls = message.take_calls();
        choices.push(ChatChoice {
            index: choice.index,
            finish_reason: finish_reason(choice.finish_reason.as_ref().map(|it| it.as_str()))?,
            seed: job.seed_of(choice.index),
            logprobs: choice.logprobs.map(|it| it.into_lists(choice.token_ids)),
            message: ReplyMessage {
                role: Cow::Borrowed("assistant"),
                reasoning: message.take_reasoning(),
                content: message.content.map(|it| it.0),
                tool_calls,
            },
        });
    }
    let answer = ChatCompletion {
        id: Cow::Owned(id.to_string()),
        object: Cow::Borrowed("chat.completion"),
        created,
        model: Cow::Borrowed(&job.model),
        prompt,
        choices,
        usage,
    };
    Ok((json(&answer)?, usage))
}

fn completion(whole: Whole<'_>, id: &RequestId, created: i64, job: &Job) -> Result<Answer, ApiError> {
    let usage = whole.usage.map(Usage::from);
    let echo = job.echo.as_ref().and_then(|it| match it {
        Echo::Text(prompt) => Some(prompt.as_str()),
        Echo::Rendered => None,
    });
    let mut choices = Vec::with_capacity(whole.choices.len());
    let mut of_prompt = None;
    for choice in whole.choices {
        let mut logprobs = choice.logprobs.map(|it| it.into_lists(choice.token_ids));
        if let (Some(prompt), Some(lists)) = (echo, &mut logprobs) {
            let tokens = usage.and_then(|it| usize::try_from(it.prompt_tokens).ok());
            of_prompt = Some(take_prompt(lists, prompt, tokens));
        }
        let text = choice.text.unwrap_or_default().0;
        choices.push(CompletionChoice {
            index: choice.index,
            text: match echo {
                Some(prompt) => dialect::without_prompt(text, prompt),
                None => text,
            },
            finish_reason: finish_reason(choice.finish_reason.as_ref().map(|it| it.as_str()))?,
            seed: job.seed_of(choice.index),
            logprobs,
        });
    }
    let answer = Completion {
        id: Cow::Owned(id.to_string()),
        object: Cow::Borrowed("text.completion"),
        created,
        model: Cow::Borrowed(&job.model),
        prompt: echo
            .map(|it| PromptPart { text: Cow::Borrowed(it), logprobs: of_prompt })
            .into_iter()
            .collect(),
        choices,
        usage,
    };
    Ok((json(&answer)?, usage))
}

/// Splits the tokens of an echoed prompt off the lists: as many as the engine counted, or as make up its text.
fn take_prompt<'a>(lists: &mut LogprobLists<'a>, prompt: &str, counted: Option<usize>) -> LogprobLists<'a> {
    let mut bytes = 0;
    let n = counted.filter(|it| *it <= lists.tokens.len()).unwrap_or_else(|| {
        let within = lists.tokens.iter().take_while(|it| {
            bytes += it.len();
            bytes <= prompt.len()
        });
        within.count()
    });
    let rest = LogprobLists {
        tokens: lists.tokens.split_off(n),
        token_logprobs: lists.token_logprobs.split_off(n.min(lists.token_logprobs.len())),
        token_ids: lists.token_ids.as_mut().map(|it| it.split_off(n.min(it.len()))),
        top_logprobs: lists.top_logprobs.as_mut().map(|it| {
            let later = it.split_off(&n);
            later.into_iter().map(|(at, tops)| (at - n, tops)).collect()
        }),
    };
    std::mem::replace(lists, rest)
}

#[derive(Debug, Deserialize)]
struct Vectors<'a> {
    #[serde(borrow)]
    data: Vec<Vector<'a>>,
    #[serde(default)]
    usage: Option<VectorUsage>,
}

#[derive(Debug, Deserialize)]
struct Vector<'a> {
    index: u32,
    #[serde(borrow)]
    embedding: &'a RawValue,
}

#[derive(Debug, Deserialize)]
struct VectorUsage {
    #[serde(default)]
    prompt_tokens: u64,
}

fn embeddings(vectors: &Vectors<'_>, job: &Job) -> Result<Answer, ApiError> {
    let n = u32::try_from(vectors.data.len()).unwrap_or(u32::MAX);
    if n != job.n || !vectors.data.iter().all(|it| it.index < n && is_numbers(it.embedding)) {
        return Err(ApiError::failed("it sent what is not an answer"));
    }
    let written = |raw| match job.encoding {
        EncodingFormat::Float => Ok(EmbeddingVector::Numbers(raw)),
        EncodingFormat::Base64 => base64(raw).map(EmbeddingVector::Base64),
    };
    let data = vectors.data.iter().map(|it| {
        let embedding = written(it.embedding)?;
        Ok(Embedding { object: "embedding", index: it.index, embedding })
    });
    let answer = Embeddings {
        object: "list",
        model: &job.model,
        data: data.collect::<Result<_, ApiError>>()?,
        usage: vectors
            .usage
            .as_ref()
            .map(|it| EmbeddingUsage { prompt_tokens: it.prompt_tokens, total_tokens: it.prompt_tokens }),
    };
    let read = vectors.usage.as_ref().map(|it| it.prompt_tokens);
    let usage = read.map(|it| Usage { prompt_tokens: it, completion_tokens: 0, total_tokens: it });
    Ok((json(&answer)?, usage))
}

/// A flat array of numbers: it is JSON already, so its alphabet is enough to tell.
fn is_numbers(raw: &RawValue) -> bool {
    let inner = raw.get().strip_prefix('[').and_then(|it| it.strip_suffix(']'));
    inner.is_some_and(|it| {
        it.bytes().all(|byte| {
            byte.is_ascii_digit()
                || byte.is_ascii_whitespace()
                || matches!(byte, b'.' | b',' | b'-' | b'+' | b'e' | b'E')
        })
    })
}

/// The numbers of an array, each four bytes, little-endian, in base64.
fn base64(raw: &RawValue) -> Result<String, ApiError> {
    let numbers: Vec<f32> =
        serde_json::from_str(raw.get()).map_err(|_| ApiError::failed("it sent what is not an answer"))?;
    let bytes: Vec<u8> = numbers.into_iter().flat_map(f32::to_le_bytes).collect();
    Ok(BASE64_STANDARD.encode(bytes))
}

fn finish_reason(word: Option<&str>) -> Result<FinishReason, ApiError> {
    dialect::finish_reason(word.unwrap_or("stop")).ok_or_else(|| ApiError::failed("it failed in the middle"))
}

fn json(answer: &impl serde::Serialize) -> Result<Vec<u8>, ApiError> {
    serde_json::to_vec(answer).map_err(|_| ApiError::Internal)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn echo_separates_the_prompts_tokens_from_the_answers() {
        let mut job = Job::streamed(Kind::Completions, 1);
        job.echo = Some(Echo::Text("ab".to_owned()));
        let reply = br#"{"choices":[{"text":"abc","finish_reason":"stop","logprobs":{"tokens":["a","b","c"],"token_logprobs":[null,-1.0,-2.0],"top_logprobs":[null,{"b":-1.0},{"c":-2.0,"d":null}]}}]}"#;
        let (body, _) = rewrite(reply, &RequestId::random(), 1, &job).unwrap();
        let answer: Completion<'_> = serde_json::from_slice(&body).unwrap();
        let prompt = answer.prompt[0].logprobs.as_ref().unwrap();
        assert_eq!(
            (&prompt.tokens[..], &prompt.token_logprobs[..]),
            (&["a".into(), "b".into()][..], &[None, Some(-1.0)][..])
        );
        let logprobs = answer.choices[0].logprobs.as_ref().unwrap();
        assert_eq!((answer.choices[0].text.as_ref(), &logprobs.tokens[..]), ("c", &[Cow::from("c")][..]));
        assert_eq!(logprobs.top_logprobs.as_ref().unwrap()[&0].len(), 1);
    }

    #[test]
    fn choices_report_their_own_seeds() {
        for (kind, reply) in [
            (Kind::Chat, r#"{"index":0,"message":{"content":"a"}},{"index":1,"message":{"content":"b"}}"#),
            (Kind::Completions, r#"{"index":0,"text":"a"},{"index":1,"text":"b"}"#),
        ] {
            let mut job = Job::streamed(kind, 2);
            job.seed = Some(-1);
            let reply = format!(r#"{{"choices":[{reply}]}}"#);
            let (body, _) = rewrite(reply.as_bytes(), &RequestId::random(), 1, &job).unwrap();
            let answer: serde_json::Value = serde_json::from_slice(&body).unwrap();
            assert_eq!([0, 1].map(|it| answer["choices"][it]["seed"].as_i64()), [Some(-1), Some(0)]);
        }
    }

    #[test]
    fn echo_with_tokens_that_are_no_text_is_split_by_the_engines_count() {
        let mut job = Job::streamed(Kind::Completions, 1);
        job.echo = Some(Echo::Text("\u{e9}".to_owned()));
        let reply = "{\"choices\":[{\"text\":\"\u{e9}c\",\"finish_reason\":\"stop\",\"logprobs\":{\"tokens\":[\"\u{fffd}\",\"\u{fffd}\",\"c\"],\"token_logprobs\":[null,-1.0,-2.0]}}],\"usage\":{\"prompt_tokens\":2,\"completion_tokens\":1}}";
        let (body, _) = rewrite(reply.as_bytes(), &RequestId::random(), 1, &job).unwrap();
        let answer: Completion<'_> = serde_json::from_slice(&body).unwrap();
        assert_eq!(answer.prompt[0].logprobs.as_ref().unwrap().tokens.len(), 2);
        assert_eq!(answer.choices[0].logprobs.as_ref().unwrap().tokens, ["c"]);
    }
}
