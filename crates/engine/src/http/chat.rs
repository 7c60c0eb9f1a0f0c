//! `POST /v1/chat/completions`.

use std::borrow::Cow;
use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use dedi_api::engine::{
    ChatChoice, ChatChunk, ChatChunkChoice, ChatCompletion, ChatLogprobs, Delta, EchoedPrompt,
    GenerateRequest, ReplyMessage, TextLogprobs, ToolCall, Usage,
};

use crate::conversation;
use crate::request;
use crate::template::{Conversation, TemplateError};
use crate::tools::{CallFinder, Part, Tools};
use crate::worker::TokenEvent;

use super::generate::{self, Accepted, Echo};
use super::replies::{self, Dialect, Head, event};
use super::{ApiError, AppState, Ready};

// Longer texts are cut into tokens on another thread.
const LONG_BYTES: usize = 16 << 10;

pub(super) async fn chat(State(state): State<Arc<AppState>>, body: Bytes) -> Result<Response, ApiError> {
    state.ready()?;
    let request: GenerateRequest = request::parse(&body)?;
    let is_long = body.len() > LONG_BYTES || request.response_format.is_some() || request.tools.is_some();
    let (accepted, tools) = generate::prepare(is_long, move || accept(&state, request)).await?;
    let finder = || tools.clone().map(CallFinder::new);
    let finders: Vec<_> = (0..accepted.choices).map(|_| finder()).collect();
    if accepted.stream {
        return replies::stream(accepted, ChatStream { finders, prompt: None }).await;
    }
    whole(accepted, finders).await
}

fn accept(
    state: &Arc<AppState>,
    mut request: GenerateRequest,
) -> Result<(Accepted, Option<Tools>), ApiError> {
    let ready = state.ready()?;
    let parameters = request::check(&mut request, ready.pieces.count())?;
    let tools = Tools::check(request.tools.take(), request.tool_choice.take())?;
    let form = tools.as_ref().and_then(Tools::form).or_else(|| parameters.form.clone());
    let messages =
        conversation::messages(request.messages.take(), tools.as_ref(), ready.template.knows_tools)?;
    let more = template_variables(ready, &mut request)?;
    let tools_json = tools.as_ref().filter(|_| ready.template.knows_tools).map(Tools::for_template);
    let conversation = Conversation {
        messages: &messages,
        tools: tools_json.as_ref(),
        add_generation_prompt: true,
        more: &more,
    };
    let prompt = ready.template.render(&conversation).map_err(|error| match error {
        TemplateError::Unusable(_) => ApiError::Internal(generate::sentence(&error.to_string())),
        TemplateError::Refused(_) | TemplateError::Failed(_) | TemplateError::Limit(_) => {
            ApiError::invalid("messages", generate::sentence(&error.to_string()))
        }
    })?;
    let tokens = generate::tokenize(ready, &prompt, true);
    let accepted = generate::submit(state, &parameters, tokens, prompt, form, request.model, "chatcmpl")?;
    Ok((accepted, tools))
}

/// The request's variables for the template, each of which it reads.
fn template_variables(
    ready: &Ready,
    request: &mut GenerateRequest,
) -> Result<serde_json::Map<String, serde_json::Value>, ApiError> {
    let mut all = request.chat_template_kwargs.take().unwrap_or_default();
    if let Some(effort) = request.reasoning_effort.take() {
        all.entry("reasoning_effort").or_insert(effort.into());
    }
    let Some(name) = ready.template.ignores(&all) else { return Ok(all) };
    let param = match name {
        "reasoning_effort" => name.to_owned(),
        name => format!("chat_template_kwargs.{name}"),
    };
    let also = if name == "enable_thinking" { " (which `reasoning` sets)" } else { "" };
    let message = format!(
        "`{param}`{also}: this model's chat template does not read it, so it would change nothing; leave it out."
    );
    Err(ApiError::Lacks { param, message })
}

#[derive(Default)]
struct Reply {
    content: String,
    calls: Vec<ToolCall>,
    logprobs: ChatLogprobs,
    token_ids: Vec<u32>,
    finish_reason: &'static str,
}

async fn whole(mut accepted: Accepted, mut finders: Vec<Option<CallFinder>>) -> Result<Response, ApiError> {
    let mut replies: Vec<Reply> = finders.iter().map(|_| Reply::default()).collect();
    let state = Arc::clone(&accepted.state);
    let usage = accepted
        .collect(|token| {
            let place = token.choice as usize;
            let (Some(reply), Some(finder)) = (replies.get_mut(place), finders.get_mut(place)) else {
                return;
            };
            reply.token_ids.push(token.token);
            if let (Some(probabilities), Some(ready)) = (&token.logprobs, state.ready.get()) {
                reply.logprobs.content.push(generate::token_logprob(ready, token.token, probabilities));
            }
            let (parts, reason) = parts(finder, token);
            for part in parts {
                match part {
                    Part::Text(text) => reply.content.push_str(&text),
                    Part::Call(call) => reply.calls.push(call),
                }
            }
            reply.finish_reason = reason.unwrap_or_default();
        })
        .await?;
    let choices = (0..).zip(replies).map(|(index, reply)| {
        let content =
            if reply.calls.is_empty() || !reply.content.is_empty() { Some(reply.content) } else { None };
        ChatChoice {
            index,
            message: ReplyMessage { role: "assistant".to_owned(), content, tool_calls: reply.calls },
            finish_reason: reply.finish_reason.to_owned(),
            logprobs: accepted.logprobs.then_some(reply.logprobs),
            token_ids: reply.token_ids,
        }
    });
    let logprobs = accepted.echoed_logprobs();
    Ok(Json(ChatCompletion {
        prompt: accepted.echo.take().map(|it| echoed(it, logprobs)),
        choices: choices.collect(),
        id: accepted.id,
        object: "chat.completion".to_owned(),
        created: accepted.created,
        model: accepted.model,
        usage,
    })
    .into_response())
}

/// What a token adds to its reply, and the reason when it is the last.
fn parts(finder: &mut Option<CallFinder>, token: TokenEvent) -> (Vec<Part>, Option<&'static str>) {
    let reason = token.finish.map(generate::finish_reason);
    let Some(finder) = finder else {
        return (vec![Part::Text(token.text)], reason);
    };
    let mut parts = finder.push(&token.text);
    if reason.is_some() {
        parts.extend(finder.finish());
    }
    let called = finder.found_any();
    (parts, reason.map(|it| if called && it == "stop" { "tool_calls" } else { it }))
}

fn echoed(echo: Echo, logprobs: Option<TextLogprobs>) -> EchoedPrompt {
    EchoedPrompt { text: echo.text, logprobs, token_ids: echo.tokens }
}

struct ChatStream {
    finders: Vec<Option<CallFinder>>,
    /// What the first event repeats.
    prompt: Option<EchoedPrompt>,
}

impl ChatStream {
    fn put(
        &mut self,
        head: &Head,
        choices: Vec<ChatChunkChoice<'_>>,
        usage: Option<Usage>,
        out: &mut Vec<u8>,
    ) {
        event(
            out,
            &ChatChunk {
                id: Cow::Borrowed(&head.id),
                object: Cow::Borrowed("chat.completion.chunk"),
                created: head.created,
                model: Cow::Borrowed(&head.model),
                prompt: self.prompt.take(),
                choices,
                usage,
            },
        );
    }
}

impl Dialect for ChatStream {
    fn echo(&mut self, echo: Echo, logprobs: Option<TextLogprobs>) {
        self.prompt = Some(echoed(echo, logprobs));
    }

    fn begin(&mut self, head: &Head, choice: u32, out: &mut Vec<u8>) {
        let delta = Delta {
            role: Some(Cow::Borrowed("assistant")),
            content: Some(Cow::Borrowed("")),
            tool_calls: Vec::new(),
        };
        let first = ChatChunkChoice { index: choice, delta, ..ChatChunkChoice::default() };
        self.put(head, vec![first], None, out);
    }

    fn token(&mut self, head: &Head, ready: &Ready, token: TokenEvent, out: &mut Vec<u8>) {
        let Some(finder) = self.finders.get_mut(token.choice as usize) else { return };
        let (index, id) = (token.choice, token.token);
        let logprobs = token.logprobs.as_ref().map(|probabilities| ChatLogprobs {
            content: vec![generate::token_logprob(ready, token.token, probabilities)],
        });
        let has_text = token.finish != Some(crate::worker::Finish::EndOfGeneration);
        let (parts, reason) = parts(finder, token);
        let (mut content, mut tool_calls) = (String::new(), Vec::new());
        for part in parts {
            match part {
                Part::Text(text) => content.push_str(&text),
                Part::Call(call) => tool_calls.push(call),
            }
        }
        let mut choice = ChatChunkChoice {
            index,
            delta: Delta::default(),
            finish_reason: None,
            logprobs,
            token_id: Some(id),
        };
        // The token that ends a generation has no text of its own, so it comes with the end.
        if has_text || !content.is_empty() || !tool_calls.is_empty() {
            choice.delta = Delta { role: None, content: Some(Cow::Owned(content)), tool_calls };
            self.put(head, vec![std::mem::take(&mut choice)], None, out);
            choice.index = index;
        }
        if let Some(reason) = reason {
            choice.delta = Delta::default();
            choice.finish_reason = Some(Cow::Borrowed(reason));
            self.put(head, vec![choice], None, out);
        }
    }

    fn usage(&mut self, head: &Head, usage: Usage, out: &mut Vec<u8>) {
        self.put(head, Vec::new(), Some(usage), out);
    }
}
