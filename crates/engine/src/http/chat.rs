//! `POST /v1/chat/completions`.

use std::borrow::Cow;
use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use dedi_api::engine::{
    ChatChoice, ChatChunk, ChatChunkChoice, ChatCompletion, ChatLogprobs, Delta, EchoedPrompt,
    GenerateRequest, ReplyMessage, TextLogprobs, ToolCall, Usage,
};

use crate::conversation;
use crate::reading::Expect;
use crate::request;
use crate::template::TAKEN;
use crate::tools::Tools;
use crate::worker::{Finish, Sender, TokenEvent};

use super::body::JsonBytes;
use super::error::ApiError;
use super::forms;
use super::generate::{self, Accepted, Echo, Expected, Prepared};
use super::prompt::{self, Turn};
use super::reasoning::{self, Effort};
use super::replies::{self, Dialect, Head, event};
use super::state::{AppState, Ready};

pub(super) async fn chat(
    State(state): State<Arc<AppState>>,
    sender: Sender,
    JsonBytes(body): JsonBytes,
) -> Result<Response, ApiError> {
    state.ready()?;
    let request: GenerateRequest = request::parse(&body)?;
    let ready = Arc::clone(&state);
    // A template may take as long as it is let: never on a thread that answers others.
    let (prepared, must_call) = generate::prepare(true, move || accept(&ready, sender, request)).await?;
    let accepted = generate::submit(&state, prepared).await?;
    if accepted.stream {
        let called = vec![false; accepted.choices as usize];
        return replies::stream(accepted, ChatStream { called, prompt: None }).await;
    }
    whole(accepted, must_call).await
}

/// The job, and whether its replies are calls and nothing else.
fn accept(
    state: &AppState,
    sender: Sender,
    mut request: GenerateRequest,
) -> Result<(Prepared, bool), ApiError> {
    let ready = state.ready()?;
    let parameters = request::check(&mut request, ready.token_bytes.count())?;
    let turn = Turn::check(&request)?;
    let (offered, choice) = (request.tools.take(), request.tool_choice.take());
    let parts =
        forms::of_tools(offered.as_deref().unwrap_or_default(), choice.as_ref(), parameters.form.as_ref())?;
    let tools = Tools::check(offered, choice)?;
    let only_one = request.parallel_tool_calls == Some(false);
    let callable = tools.as_ref().map(|it| it.callable(only_one, parameters.stream));
    let must_call = callable.as_ref().is_some_and(|it| it.must_call);
    let (form, parts) = forms::of_chat(tools.as_ref(), parameters.form.as_ref(), parts);
    let messages = conversation::messages(request.messages.take(), tools.as_ref(), &ready.template.habits)?;
    let effort = request.reasoning_effort.take().map(|it| Effort::read(&it)).transpose()?;
    let more = template_variables(ready, &mut request, effort)?;
    let tools_json = tools.as_ref().filter(|_| ready.template.habits.tools).map(Tools::for_template);
    let given = prompt::Given { messages, tools: tools_json, more };
    let (text, prompt, open_tag) = prompt::render(ready, given, turn, form.as_ref(), effort)?;
    let habits = reasoning::habits(ready.habits, form.as_ref());
    let expected = Expected { sender, form, parts, expect: Some(Expect { habits, open_tag, callable }) };
    Ok((
        Prepared { parameters, prompt, text, expected, model: request.model, id_prefix: "chatcmpl" },
        must_call,
    ))
}

/// The request's variables for the template, each of which it reads.
fn template_variables(
    ready: &Ready,
    request: &mut GenerateRequest,
    effort: Option<Effort>,
) -> Result<serde_json::Map<String, serde_json::Value>, ApiError> {
    let mut all = request.chat_template_kwargs.take().unwrap_or_default();
    if let Some(name) = all.keys().find(|it| TAKEN.contains(&it.as_str())) {
        let message = format!(
            "`chat_template_kwargs.{name}` would replace what the chat template is given anyway; the names {} are \
             taken, so send messages and tools in fields of their own and leave out the others.",
            TAKEN.join(", ")
        );
        return Err(ApiError::invalid(format!("chat_template_kwargs.{name}"), message));
    }
    // Families have two names for the switch.
    if !ready.template.reads("enable_thinking")
        && ready.template.reads("thinking")
        && let Some(switch) = all.remove("enable_thinking")
    {
        all.entry("thinking").or_insert(switch);
    }
    if let Some(effort) = effort {
        effort.put(&ready.template, &mut all);
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
    thoughts: String,
    content: String,
    calls: Vec<ToolCall>,
    logprobs: ChatLogprobs,
    token_ids: Vec<u32>,
    finish_reason: &'static str,
}

async fn whole(mut accepted: Accepted, must_call: bool) -> Result<Response, ApiError> {
    let mut replies: Vec<Reply> = (0..accepted.choices).map(|_| Reply::default()).collect();
    let state = Arc::clone(&accepted.state);
    let usage = accepted
        .collect(|token| {
            let Some(reply) = replies.get_mut(token.choice as usize) else { return };
            reply.token_ids.push(token.token);
            if let (Some(probabilities), Some(ready)) = (&token.logprobs, state.ready.get()) {
                reply.logprobs.content.push(generate::token_logprob(ready, token.token, probabilities));
            }
            reply.thoughts.push_str(&token.thought);
            reply.content.push_str(&token.text);
            reply.calls.extend(token.calls);
            reply.finish_reason =
                token.finish.map(|it| finish_reason(it, !reply.calls.is_empty())).unwrap_or_default();
        })
        .await?;
    let choices = (0..).zip(replies).map(|(index, reply)| {
        let is_only_calls = reply.content.is_empty() && (must_call || !reply.calls.is_empty());
        let content = (!is_only_calls).then_some(reply.content);
        ChatChoice {
            index,
            message: ReplyMessage {
                role: "assistant".to_owned(),
                content,
                reasoning: (!reply.thoughts.is_empty()).then_some(reply.thoughts),
                tool_calls: reply.calls,
            },
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

/// The finish reason; a reply that was cut off stays `length`, even in the middle of a call.
fn finish_reason(finish: Finish, called: bool) -> &'static str {
    match finish {
        Finish::EndOfGeneration | Finish::Stop if called => "tool_calls",
        Finish::EndOfGeneration | Finish::Stop | Finish::Length => generate::finish_reason(finish),
    }
}

fn echoed(echo: Echo, logprobs: Option<TextLogprobs>) -> EchoedPrompt {
    EchoedPrompt { text: echo.text, logprobs, token_ids: echo.tokens }
}

struct ChatStream {
    /// Which replies had a call.
    called: Vec<bool>,
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
            ..Delta::default()
        };
        let first = ChatChunkChoice { index: choice, delta, ..ChatChunkChoice::default() };
        self.put(head, vec![first], None, out);
    }

    fn token(&mut self, head: &Head, ready: &Ready, token: TokenEvent, out: &mut Vec<u8>) {
        let Some(called) = self.called.get_mut(token.choice as usize) else { return };
        *called |= !token.calls.is_empty();
        let (index, id) = (token.choice, token.token);
        let logprobs = token.logprobs.as_ref().map(|probabilities| ChatLogprobs {
            content: vec![generate::token_logprob(ready, token.token, probabilities)],
        });
        let has_text = token.finish != Some(Finish::EndOfGeneration);
        let reason = token.finish.map(|it| finish_reason(it, *called));
        let (content, tool_calls) = (token.text, token.calls);
        let reasoning = (!token.thought.is_empty()).then_some(Cow::Owned(token.thought));
        let mut choice = ChatChunkChoice {
            index,
            delta: Delta::default(),
            finish_reason: None,
            logprobs,
            token_id: Some(id),
        };
        // The token that ends a generation has no text of its own, so it comes with the end.
        if has_text || !content.is_empty() || !tool_calls.is_empty() || reasoning.is_some() {
            choice.delta = Delta { role: None, content: Some(Cow::Owned(content)), reasoning, tool_calls };
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
