//! What is asked for and can't be had: refused with the field's name and what would work, never skipped in silence.

use dedi_api::inference::{GenerateRequest, ResponseFormat, Text};

use super::job::Kind;
use super::{check, engine};
use crate::error::ApiError;

/// What nobody here does, whatever the route: check the texts, vouch for a regime, pick the best of several, fill a gap,
/// read functions in their old form.
pub(super) fn never_given(request: &GenerateRequest<'_>) -> Result<(), ApiError> {
    let word =
        |it: &Option<Text<'_>>| it.as_ref().map(|it| it.as_str().to_owned()).filter(|it| !it.is_empty());
    if let Some(model) = word(&request.safety_model).filter(|it| it != "none") {
        let message = format!(
            "no model here checks prompts and answers, so `{}` can't; leave `safety_model` out, and check them yourself",
            check::short(&model)
        );
        return Err(ApiError::field("safety_model", message));
    }
    if let Some(regime) = word(&request.compliance) {
        let message = format!(
            "this server can't promise `{}`: what its operator's hosts comply with is for the operator to say; \
             leave `compliance` out",
            check::short(&regime)
        );
        return Err(ApiError::field("compliance", message));
    }
    if request.best_of.is_some_and(|it| it != 1) {
        let message = "nothing here picks the best of several answers; leave `best_of` out, ask for `n` with \
                       `logprobs`, and pick one yourself";
        return Err(ApiError::field("best_of", message));
    }
    if word(&request.suffix).is_some() {
        let message = "no model here is asked for what stands before a `suffix`; leave it out, or put what the model \
                       needs to know into the prompt";
        return Err(ApiError::field("suffix", message));
    }
    if request.functions.is_some_and(|it| it.get() != "[]") {
        let message =
            "`functions` is the old form; send `tools`, each {\"type\":\"function\",\"function\":{…}}";
        return Err(ApiError::field("functions", message));
    }
    Ok(())
}

/// A field that asks a completion for something only a chat can give.
pub(super) fn only_for_chat(request: &GenerateRequest<'_>) -> Result<(), ApiError> {
    if request.top_logprobs.is_some() {
        let message =
            "`top_logprobs` is for conversations; a completion takes the number of candidates in `logprobs`";
        return Err(ApiError::field("top_logprobs", message));
    }
    let is_text = |it: &ResponseFormat<'_>| it.kind.as_ref().is_some_and(|kind| kind.as_str() == "text");
    let fields = [
        ("messages", request.messages.is_some()),
        ("tools", request.tools.as_ref().is_some_and(|it| !it.is_empty())),
        ("tool_choice", request.tool_choice.is_some()),
        ("function_call", request.function_call.is_some()),
        ("response_format", request.response_format.as_ref().is_some_and(|it| !is_text(it))),
        ("reasoning_effort", request.reasoning_effort.is_some()),
        (
            "reasoning",
            request.reasoning.as_ref().is_some_and(|it| it.enabled.is_some() || it.effort.is_some()),
        ),
        ("chat_template_kwargs", request.chat_template_kwargs.is_some()),
        ("continue_final_message", request.continue_final_message == Some(true)),
        ("add_generation_prompt", request.add_generation_prompt == Some(true)),
    ];
    match fields.into_iter().find(|(_, is_there)| *is_there) {
        None => Ok(()),
        Some((field, _)) => {
            let message = format!("`{field}` is for conversations; send it to {}", Kind::Chat.path());
            Err(ApiError::field(field, message))
        }
    }
}

/// A reply that must be a call has the call's form, and so can't have another one.
pub(super) fn two_forms(body: &engine::Generate<'_>) -> Result<(), ApiError> {
    let has_form = match &body.response_format {
        None | Some(engine::ResponseFormat::Text) => false,
        Some(
            engine::ResponseFormat::JsonObject
            | engine::ResponseFormat::JsonSchema { .. }
            | engine::ResponseFormat::Regex { .. },
        ) => true,
    };
    let must_call = match &body.tool_choice {
        None => false,
        Some(engine::ToolChoice::Mode(word)) => *word == "required",
        Some(engine::ToolChoice::Function { .. }) => true,
    };
    if has_form && must_call {
        let message = "a reply that must be a call has the form of its function's `parameters`, and no \
                       `response_format` beside it; leave one out, or send `tool_choice` auto";
        return Err(ApiError::field("response_format", message));
    }
    Ok(())
}
