//! Chat and completions: checks every field and writes the engine's request.

use dedi_api::inference::{Content, GenerateRequest, Logprobs, Message, Text};

use super::job::{Echo, Job, Kind};
use super::{check, engine, format, refuse};
use crate::error::ApiError;

const MESSAGES_MAX: usize = 4_096;
const TOOLS_MAX: usize = 128;
/// OpenAI's 4 are too few for what editors send, which is a dozen markers of a file's parts. Each is searched for in
/// every chunk of every reply.
const STOPS_MAX: usize = 64;
const STOP_CHARS_MAX: usize = 256;
const CHOICES_MAX: i64 = 128;
const LOGPROBS_MAX: i64 = 20;
const BIASES_MAX: usize = 1_024;
const ROLES: [&str; 6] = ["system", "developer", "user", "assistant", "tool", "function"];

pub(super) fn translate(
    kind: Kind,
    model: String,
    request: &GenerateRequest<'_>,
    context_tokens: u32,
) -> Result<Job, ApiError> {
    let chat = kind == Kind::Chat;
    refuse::never_given(request)?;
    let stream = request.stream.unwrap_or(false);
    let n = check::int("n", request.n, 1, CHOICES_MAX)?.and_then(|it| u32::try_from(it).ok());
    let (logprobs, top_logprobs) = logprobs(chat, request)?;
    let mut body = engine::Generate {
        stream,
        stream_options: stream.then_some(engine::StreamOptions { include_usage: true }),
        max_tokens: max_tokens(request, context_tokens)?,
        temperature: check::number("temperature", request.temperature, 0.0, 5.0)?,
        top_p: check::number("top_p", request.top_p, 0.0, 1.0)?,
        top_k: check::int("top_k", request.top_k, -1, i64::from(i32::MAX))?,
        min_p: check::number("min_p", request.min_p, 0.0, 1.0)?,
        repetition_penalty: check::number("repetition_penalty", request.repetition_penalty, 0.01, 10.0)?,
        presence_penalty: check::number("presence_penalty", request.presence_penalty, -2.0, 2.0)?,
        frequency_penalty: check::number("frequency_penalty", request.frequency_penalty, -2.0, 2.0)?,
        logit_bias: logit_bias(request)?,
        seed: request.seed,
        n: n.filter(|it| *it != 1),
        logprobs,
        top_logprobs,
        echo: request.echo.filter(|it| *it),
        context_length_exceeded_behavior: check::one_of(
            "context_length_exceeded_behavior",
            request.context_length_exceeded_behavior.as_ref().map(|it| it.as_str()),
            &["error", "truncate"],
        )?,
        ..engine::Generate::default()
    };
    if let Some(stop) = &request.stop {
        check::count("stop", stop.0.len(), STOPS_MAX)?;
        if stop.0.iter().any(|it| it.as_str().is_empty()) {
            return Err(ApiError::field(
                "stop",
                "`stop` has an empty text in it, which would end every answer at once",
            ));
        }
        if stop.0.iter().any(|it| it.as_str().chars().count() > STOP_CHARS_MAX) {
            let message = format!("`stop` has a text of more than {STOP_CHARS_MAX} characters in it");
            return Err(ApiError::field("stop", message));
        }
        body.stop = &stop.0;
    }
    if chat {
        chat_fields(&mut body, request)?;
    } else {
        refuse::only_for_chat(request)?;
        body.prompt = Some(prompt(request)?);
    }
    let echo = body.echo.map(|_| match body.prompt {
        Some(prompt) => Echo::Text(prompt.to_owned()),
        None => Echo::Rendered,
    });
    let mut job = Job::new(kind, model, &body)?;
    (job.stream, job.n, job.seed, job.echo) = (stream, n.unwrap_or(1), request.seed, echo);
    Ok(job)
}

/// The text of a completion. One answer belongs to one prompt here, so a list may have one.
fn prompt<'a>(request: &'a GenerateRequest<'a>) -> Result<&'a str, ApiError> {
    match request.prompt.as_ref().map(|it| &it.0[..]) {
        Some([text]) => Ok(text.as_str()),
        None | Some([]) => Err(ApiError::field("prompt", "`prompt` is missing; send the text to go on from")),
        Some(several) => {
            let message = format!(
                "`prompt` has {} texts in it and can have one; send a request for each",
                several.len()
            );
            Err(ApiError::field("prompt", message))
        }
    }
}

/// Whether the reply begins a message or goes on in the last one, which must then be the assistant's.
fn reply_start(body: &mut engine::Generate<'_>, request: &GenerateRequest<'_>) -> Result<(), ApiError> {
    const FIELD: &str = "continue_final_message";
    body.add_generation_prompt = request.add_generation_prompt.filter(|it| !it);
    if request.continue_final_message != Some(true) {
        return Ok(());
    }
    if request.add_generation_prompt == Some(true) {
        let message = "a reply can't go on in the last message (`continue_final_message`) and begin a new one \
                       (`add_generation_prompt`); send false for one of them";
        return Err(ApiError::field(FIELD, message));
    }
    let last = request.messages.as_deref().unwrap_or_default().last();
    let is_open = last.is_some_and(|it| {
        it.role.as_ref().is_some_and(|role| role.as_str() == "assistant")
            && it.content.is_some()
            && it.tool_calls.as_ref().is_none_or(Vec::is_empty)
    });
    if !is_open {
        let message = "`continue_final_message` goes on in the last message, which must be an assistant's, with a `content` \
                       and without `tool_calls`; send one, or leave the field out";
        return Err(ApiError::field(FIELD, message));
    }
    (body.continue_final_message, body.add_generation_prompt) = (Some(true), Some(false));
    Ok(())
}

fn chat_fields<'a>(
    body: &mut engine::Generate<'a>,
    request: &'a GenerateRequest<'a>,
) -> Result<(), ApiError> {
    let messages = request.messages.as_deref().unwrap_or_default();
    if messages.is_empty() {
        return Err(ApiError::field("messages", "`messages` is missing or empty; send one message or more"));
    }
    check::count("messages", messages.len(), MESSAGES_MAX)?;
    for (index, message) in messages.iter().enumerate() {
        check_message(index, message)?;
    }
    body.messages = Some(messages);
    let tools = request.tools.as_deref().unwrap_or_default();
    check::count("tools", tools.len(), TOOLS_MAX)?;
    for (index, tool) in tools.iter().enumerate() {
        check::one_of(&format!("tools[{index}].type"), Some(tool.kind.as_str()), &["function"])?;
        if tool.function.parameters.is_some_and(|it| !format::is_object(it)) {
            let field = format!("tools[{index}].function.parameters");
            return Err(ApiError::field(field, "`parameters` must be a JSON schema, an object"));
        }
    }
    body.tools = (!tools.is_empty()).then_some(tools);
    body.tool_choice = match (&request.tool_choice, &request.function_call) {
        (Some(choice), _) => Some(format::tool_choice("tool_choice", choice, tools)?),
        (None, Some(choice)) => Some(format::tool_choice("function_call", choice, tools)?),
        (None, None) => None,
    };
    body.parallel_tool_calls = request.parallel_tool_calls.filter(|_| !tools.is_empty());
    body.response_format = request.response_format.as_ref().map(format::response_format).transpose()?;
    refuse::two_forms(body)?;
    body.reasoning_effort = effort(request)?;
    body.chat_template_kwargs = template_arguments(request)?;
    reply_start(body, request)
}

/// The reasoning effort: `reasoning_effort`, or else `reasoning.effort`.
fn effort<'a>(request: &'a GenerateRequest<'a>) -> Result<Option<&'a str>, ApiError> {
    const EFFORTS: [&str; 5] = ["none", "minimal", "low", "medium", "high"];
    let own = request.reasoning_effort.as_ref().map(|it| it.as_str());
    let nested = request.reasoning.as_ref().and_then(|it| it.effort.as_ref()).map(|it| it.as_str());
    let own = check::one_of("reasoning_effort", own, &EFFORTS)?;
    let nested = check::one_of("reasoning.effort", nested, &EFFORTS)?;
    Ok(own.or(nested))
}

/// The template's variables; the switch of reasoning is one of them.
fn template_arguments<'a>(
    request: &GenerateRequest<'a>,
) -> Result<Option<engine::TemplateArguments<'a>>, ApiError> {
    let mut all = match request.chat_template_kwargs {
        None => engine::TemplateArguments::new(),
        Some(given) => serde_json::from_str(given.get()).map_err(|_| {
            ApiError::field("chat_template_kwargs", "`chat_template_kwargs` must be an object")
        })?,
    };
    if let Some(enabled) = request.reasoning.as_ref().and_then(|it| it.enabled) {
        let text = if enabled { "true" } else { "false" };
        let switch = serde_json::from_str(text).map_err(|_| ApiError::Internal)?;
        all.entry(Text("enable_thinking".into())).or_insert(switch);
    }
    Ok(Some(all).filter(|it| !it.is_empty()))
}

fn check_message(index: usize, message: &Message<'_>) -> Result<(), ApiError> {
    let role = message.role.as_ref().map(|it| it.as_str());
    if role.is_none() {
        let field = format!("messages[{index}].role");
        return Err(ApiError::field(field, "each message needs a `role`: system, user, assistant or tool"));
    }
    check::one_of(&format!("messages[{index}].role"), role, &ROLES)?;
    if message.function_call.is_some() {
        let message = "`function_call` is the old form of a call; send it in `tool_calls`, and its result as a \
                       message with the role tool and its `tool_call_id`";
        return Err(ApiError::field(format!("messages[{index}].function_call"), message));
    }
    match &message.content {
        Some(Content::Text(_)) => Ok(()),
        Some(Content::Parts(parts)) => {
            let other = parts.iter().position(|it| {
                it.text.is_none() || it.kind.as_ref().is_none_or(|kind| kind.as_str() != "text")
            });
            match other {
                None => Ok(()),
                Some(part) => Err(ApiError::field(
                    format!("messages[{index}].content[{part}]"),
                    "this server takes parts of the form {\"type\":\"text\",\"text\":…} only; no image, video or audio",
                )),
            }
        }
        None if role == Some("assistant") => Ok(()),
        None => Err(ApiError::field(
            format!("messages[{index}].content"),
            "`content` is missing; only an assistant's message may have none",
        )),
    }
}

fn max_tokens(request: &GenerateRequest<'_>, context_tokens: u32) -> Result<Option<i64>, ApiError> {
    let tokens = check::int("max_tokens", request.max_tokens, 1, i64::MAX)?;
    let completion_tokens = check::int("max_completion_tokens", request.max_completion_tokens, 1, i64::MAX)?;
    let (field, value) = match tokens {
        Some(_) => ("max_tokens", tokens),
        None => ("max_completion_tokens", completion_tokens),
    };
    let context = i64::from(context_tokens);
    let truncate =
        request.context_length_exceeded_behavior.as_ref().is_some_and(|it| it.as_str() == "truncate");
    match value {
        Some(it) if context > 0 && it > context && truncate => Ok(Some(context)),
        Some(it) if context > 0 && it > context => Err(ApiError::field(
            field,
            format!("`{field}` must be {context} or less, the context of this endpoint, got {it}"),
        )),
        value => Ok(value),
    }
}

/// Chat engines read a boolean and a count, completions engines a count.
fn logprobs(
    chat: bool,
    request: &GenerateRequest<'_>,
) -> Result<(Option<engine::Logprobs>, Option<u32>), ApiError> {
    let beside = check::int("top_logprobs", request.top_logprobs, 0, LOGPROBS_MAX)?;
    let top = match (request.logprobs, beside) {
        (Some(Logprobs::Wanted(false)), Some(1..)) => {
            let message =
                "`top_logprobs` tells nothing while `logprobs` is false; send true, or leave both out";
            return Err(ApiError::field("top_logprobs", message));
        }
        (None, None) | (Some(Logprobs::Wanted(false)), _) => return Ok((None, None)),
        (None | Some(Logprobs::Wanted(true)), Some(top)) => top,
        (Some(Logprobs::Wanted(true)), None) => 1,
        (Some(Logprobs::Top(top)), beside) => {
            let top = check::int("logprobs", Some(top), 0, LOGPROBS_MAX)?.unwrap_or(0);
            top.max(beside.unwrap_or(0))
        }
    };
    let top = u32::try_from(top).unwrap_or(0);
    if chat {
        Ok((Some(engine::Logprobs::Wanted(true)), Some(top)))
    } else {
        Ok((Some(engine::Logprobs::Top(top)), None))
    }
}

fn logit_bias<'a>(
    request: &'a GenerateRequest<'a>,
) -> Result<Option<&'a std::collections::BTreeMap<dedi_api::inference::Text<'a>, f64>>, ApiError> {
    let Some(biases) = &request.logit_bias else { return Ok(None) };
    check::count("logit_bias", biases.len(), BIASES_MAX)?;
    for (token, bias) in biases {
        let field = format!("logit_bias.{}", check::short(token.as_str()));
        if token.as_str().parse::<u32>().is_err() {
            return Err(ApiError::field(
                "logit_bias",
                "the keys of `logit_bias` must be token ids, such as \"50256\"",
            ));
        }
        check::number(&field, Some(*bias), -100.0, 100.0)?;
    }
    Ok(Some(biases))
}
