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
use crate::reading::Expect;
use crate::request;
use crate::template::{Conversation, TAKEN, TemplateError};
use crate::tools::Tools;
use crate::worker::{Finish, TokenEvent};

use super::generate::{self, Accepted, Echo, Expected};
use super::reasoning::{self, Effort};
use super::replies::{self, Dialect, Head, event};
use super::{ApiError, AppState, Ready};

// Longer texts are cut into tokens on another thread.
const LONG_BYTES: usize = 16 << 10;

pub(super) async fn chat(State(state): State<Arc<AppState>>, body: Bytes) -> Result<Response, ApiError> {
    state.ready()?;
    let request: GenerateRequest = request::parse(&body)?;
    let is_long = body.len() > LONG_BYTES || request.response_format.is_some() || request.tools.is_some();
    let (accepted, must_call) = generate::prepare(is_long, move || accept(&state, request)).await?;
    if accepted.stream {
        let called = vec![false; accepted.choices as usize];
        return replies::stream(accepted, ChatStream { called, prompt: None }).await;
    }
    whole(accepted, must_call).await
}

/// The running job, and whether its replies are calls and nothing else.
fn accept(state: &Arc<AppState>, mut request: GenerateRequest) -> Result<(Accepted, bool), ApiError> {
    let ready = state.ready()?;
    let parameters = request::check(&mut request, ready.pieces.count())?;
    let tools = Tools::check(request.tools.take(), request.tool_choice.take())?;
    let only_one = request.parallel_tool_calls == Some(false);
    let callable = tools.as_ref().map(|it| it.callable(only_one, parameters.stream));
    let must_call = callable.as_ref().is_some_and(|it| it.must_call);
    let form = tools.as_ref().and_then(Tools::form).or_else(|| parameters.form.clone());
    let messages =
        conversation::messages(request.messages.take(), tools.as_ref(), ready.template.knows_tools)?;
    let effort = request.reasoning_effort.take().map(|it| Effort::read(&it)).transpose()?;
    let more = template_variables(ready, &mut request, effort)?;
    let tools_json = tools.as_ref().filter(|_| ready.template.knows_tools).map(Tools::for_template);
    let conversation = Conversation {
        messages: &messages,
        tools: tools_json.as_ref(),
        add_generation_prompt: true,
        more: &more,
    };
    let mut prompt = ready.template.render(&conversation).map_err(|error| match error {
        TemplateError::Unusable(_) => ApiError::Internal(generate::sentence(&error.to_string())),
        TemplateError::Refused(_) | TemplateError::Failed(_) | TemplateError::Limit(_) => {
            ApiError::invalid("messages", generate::sentence(&error.to_string()))
        }
    })?;
    let without =
        || ready.template.render(&Conversation { add_generation_prompt: false, ..conversation }).ok();
    let open_tag = reasoning::open_tag(&mut prompt, without, &messages, form.as_ref(), effort);
    let tokens = generate::tokenize(ready, &prompt, true);
    let habits = reasoning::habits(ready.habits, form.as_ref());
    let expected = Expected { form, expect: Some(Expect { habits, open_tag, callable }) };
    let accepted = generate::submit(state, &parameters, tokens, prompt, expected, request.model, "chatcmpl")?;
    Ok((accepted, must_call))
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

/// The word for a reply's end; what was cut off stays that, also in the middle of a call.
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
