//! A chat's prompt: what the model's template makes of the conversation, as text and in tokens.

use dedi_api::engine::GenerateRequest;
use llama_cpp_2::token::LlamaToken;
use serde_json::{Map, Value};

use crate::constrain::Form;
use crate::special::Specials;
use crate::template::{Conversation, TemplateError};

use super::error::ApiError;
use super::generate::sentence;
use super::reasoning::{self, Effort};
use super::state::Ready;

/// Where the reply stands in the conversation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Turn {
    /// It begins a message of the assistant's.
    Begins,
    /// It comes after the last message, without a header for a new one.
    Follows,
    /// It goes on in the last message.
    GoesOn,
}

impl Turn {
    pub(super) fn check(request: &GenerateRequest) -> Result<Self, ApiError> {
        const FIELD: &str = "continue_final_message";
        match (request.continue_final_message, request.add_generation_prompt) {
            (Some(true), Some(true)) => {
                let message = "`continue_final_message` and `add_generation_prompt` are both true; a reply goes on in the \
                               last message or begins one of its own.";
                return Err(ApiError::invalid(FIELD, message));
            }
            (Some(true), _) => {}
            (_, Some(false)) => return Ok(Self::Follows),
            (_, _) => return Ok(Self::Begins),
        }
        let last = request.messages.iter().flatten().last();
        let is_open = last.is_some_and(|it| {
            it.role == "assistant" && it.content.is_some() && it.tool_calls.as_ref().is_none_or(Vec::is_empty)
        });
        if !is_open {
            let message = "`continue_final_message` needs a last message of the assistant's, with `content` and without \
                           `tool_calls`.";
            return Err(ApiError::invalid(FIELD, message));
        }
        Ok(Self::GoesOn)
    }
}

/// What a template is given of a request.
pub(super) struct Given {
    pub(super) messages: Vec<Value>,
    pub(super) tools: Option<Value>,
    /// Variables.
    pub(super) more: Map<String, Value>,
}

/// The prompt, its tokens, and the tag of thoughts that it ends within. Control tokens are the template's own only,
/// whatever the conversation spells.
pub(super) fn render(
    ready: &Ready,
    given: Given,
    turn: Turn,
    form: Option<&Form>,
    effort: Option<Effort>,
) -> Result<(String, Vec<LlamaToken>, Option<&'static str>), ApiError> {
    let Given { messages, mut tools, more } = given;
    let mut messages = Value::Array(messages);
    let mut more = Value::Object(more);
    let texts: Vec<&Value> = [Some(&messages), tools.as_ref(), Some(&more)].into_iter().flatten().collect();
    let Some(seams) = Specials::seams(&texts, ready.template.source()) else {
        let message = "`messages` use every private character there is; leave some out.";
        return Err(ApiError::invalid("messages", message));
    };
    for value in [Some(&mut messages), tools.as_mut(), Some(&mut more)].into_iter().flatten() {
        ready.specials.guard(value, seams.inside);
    }
    if turn == Turn::GoesOn {
        end_with(&mut messages, seams.end);
    }
    let messages = messages.as_array().map_or(&[][..], Vec::as_slice);
    let conversation = |add_generation_prompt| Conversation {
        messages,
        tools: tools.as_ref(),
        add_generation_prompt,
        more: more.as_object().cloned().unwrap_or_default(),
    };
    let rendered = ready.template.render(&conversation(turn == Turn::Begins));
    let mut text = rendered.map_err(|error| match error {
        TemplateError::Unusable(_) => ApiError::Internal(sentence(&error.to_string())),
        TemplateError::Busy => ApiError::Busy,
        TemplateError::Refused(_)
        | TemplateError::Failed(_)
        | TemplateError::Limit(_)
        | TemplateError::Empty => {
            ApiError::invalid("messages", sentence(&error.to_string()).replace([seams.inside, seams.end], ""))
        }
    })?;
    if turn == Turn::GoesOn {
        let Some(end) = text.rfind(seams.end) else {
            let message = "`continue_final_message`: this model's chat template does not show the last message as it is, so \
                           nothing can go on in it.";
            return Err(ApiError::invalid("continue_final_message", message));
        };
        text.truncate(end);
        text = text.replace(seams.end, "");
    }
    let without = || ready.template.render(&conversation(false)).ok();
    let open_tag = reasoning::open_tag(&mut text, without, messages, form, effort);
    let mut tokens = ready.specials.tokenize(&ready.model, &text, seams.inside);
    if let Some(bos) = ready.bos
        && tokens.first() != Some(&bos)
    {
        tokens.insert(0, bos);
    }
    Ok((text.replace(seams.inside, ""), tokens, open_tag))
}

/// Marks the end of the last message's text.
fn end_with(messages: &mut Value, mark: char) {
    let Some(content) =
        messages.as_array_mut().and_then(|it| it.last_mut()).and_then(|it| it.get_mut("content"))
    else {
        return;
    };
    let text = if content.is_array() {
        content.as_array_mut().and_then(|parts| parts.iter_mut().rev().find_map(|it| it.get_mut("text")))
    } else {
        Some(content)
    };
    if let Some(Value::String(text)) = text {
        text.push(mark);
    }
}
