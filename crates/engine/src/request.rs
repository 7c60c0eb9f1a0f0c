//! Checks a request's numbers and choices, once; what comes out is in range.

use dedi_api::engine::{BoolOrCount, GenerateRequest, OneOrMany, ResponseFormat};
use serde_json::Value;

use crate::constrain::Form;
use crate::http::ApiError;
use crate::sample::SamplingParams;
use crate::schema;

// A choice that waits for a slot costs a few bytes; the prompt and the sampling parameters are its request's.
const CHOICES_MAX: i64 = 128;
// Editors send a dozen markers of a file's parts. Each is searched for in every chunk of every reply.
const STOPS_MAX: usize = 64;
const STOP_BYTES_MAX: usize = 1024;
const LOGPROBS_MAX: i64 = 20;
const BIASES_MAX: usize = 1024;

/// A request's parameters, checked.
#[derive(Debug)]
pub struct Parameters {
    /// How tokens are picked.
    pub sampling: SamplingParams,
    /// Texts that end a reply.
    pub stops: Vec<String>,
    /// The request's limit of a reply's tokens.
    pub max_tokens: Option<u32>,
    /// Shortens a reply that does not fit instead of refusing it.
    pub truncate: bool,
    /// How many replies.
    pub choices: u32,
    /// Whether to stream.
    pub stream: bool,
    /// Whether a stream ends with the token counts.
    pub include_usage: bool,
    /// How many candidates' log probabilities to report, if any are wanted.
    pub logprobs: Option<usize>,
    /// Whether to repeat the prompt.
    pub echo: bool,
    /// What the reply must look like.
    pub form: Option<Form>,
    /// Goes on past the model's end of generation.
    pub ignore_eos: bool,
}

/// Reads a JSON body; an error names the field.
///
/// # Errors
/// When it is not JSON or a field is of the wrong type.
pub fn parse<'de, T: serde::Deserialize<'de>>(body: &'de [u8]) -> Result<T, ApiError> {
    if body.trim_ascii_start().first() != Some(&b'{') {
        let message = "The body must be a JSON object.".to_owned();
        return Err(ApiError::Invalid { param: None, message });
    }
    let mut reader = serde_json::Deserializer::from_slice(body);
    let parsed = serde_path_to_error::deserialize(&mut reader).map_err(|error| {
        let path = error.path().to_string();
        let cause = error.into_inner();
        if cause.is_data() && path != "." {
            let error = cause.to_string();
            let error = error.split(" at line ").next().unwrap_or(&error);
            ApiError::invalid(&path, format!("`{path}` is not valid: {error}."))
        } else {
            not_json(&cause)
        }
    })?;
    reader.end().map_err(|it| not_json(&it))?;
    Ok(parsed)
}

fn not_json(error: &serde_json::Error) -> ApiError {
    ApiError::Invalid {
        param: None,
        message: format!("The body is not the JSON object it should be: {error}."),
    }
}

/// Checks what chat and completions have in common.
///
/// # Errors
/// When a value is out of range; the error names field and limits.
pub fn check(request: &mut GenerateRequest, vocabulary: usize) -> Result<Parameters, ApiError> {
    let max_tokens = match (request.max_completion_tokens, request.max_tokens) {
        (Some(it), _) => Some(whole("max_completion_tokens", it, 1, i64::from(i32::MAX))?),
        (None, Some(it)) => Some(whole("max_tokens", it, 1, i64::from(i32::MAX))?),
        (None, None) => None,
    };
    let truncate = match request.context_length_exceeded_behavior.as_deref() {
        None | Some("error") => false,
        Some("truncate") => true,
        Some(other) => {
            let message =
                format!("`context_length_exceeded_behavior` is \"{other}\" and can be error or truncate.");
            return Err(ApiError::invalid("context_length_exceeded_behavior", message));
        }
    };
    Ok(Parameters {
        sampling: sampling(request, vocabulary)?,
        stops: stops(request.stop.take())?,
        max_tokens,
        truncate,
        choices: whole("n", request.n.unwrap_or(1), 1, CHOICES_MAX)?,
        stream: request.stream.unwrap_or(false),
        include_usage: request.stream_options.and_then(|it| it.include_usage).unwrap_or(false),
        logprobs: logprobs(request)?,
        echo: request.echo.unwrap_or(false),
        form: request.response_format.take().map(form).transpose()?.flatten(),
        ignore_eos: request.ignore_eos.unwrap_or(false),
    })
}

fn sampling(request: &GenerateRequest, vocabulary: usize) -> Result<SamplingParams, ApiError> {
    let top_p = number("top_p", request.top_p.unwrap_or(1.0), 0.0, 1.0)?;
    let top_k = request.top_k.unwrap_or(0);
    let repetition_penalty =
        number("repetition_penalty", request.repetition_penalty.unwrap_or(1.0), 0.01, 10.0)?;
    Ok(SamplingParams {
        temperature: number("temperature", request.temperature.unwrap_or(1.0), 0.0, 5.0)?,
        // 0 would keep nothing; the least that can be kept is the best token.
        top_p: top_p.max(f32::MIN_POSITIVE),
        top_k: if top_k == -1 { 0 } else { whole("top_k", top_k, 0, i64::from(i32::MAX))? as usize },
        min_p: number("min_p", request.min_p.unwrap_or(0.0), 0.0, 1.0)?,
        repetition_penalty,
        presence_penalty: number("presence_penalty", request.presence_penalty.unwrap_or(0.0), -2.0, 2.0)?,
        frequency_penalty: number("frequency_penalty", request.frequency_penalty.unwrap_or(0.0), -2.0, 2.0)?,
        logit_bias: logit_bias(request, vocabulary)?,
        seed: request.seed.map_or_else(rand::random, i64::cast_unsigned),
    })
}

fn logit_bias(request: &GenerateRequest, vocabulary: usize) -> Result<Vec<(u32, f32)>, ApiError> {
    let Some(biases) = &request.logit_bias else { return Ok(Vec::new()) };
    if biases.len() > BIASES_MAX {
        let message = format!("`logit_bias` has {} entries, and {BIASES_MAX} are the most.", biases.len());
        return Err(ApiError::invalid("logit_bias", message));
    }
    let entry = |(token, bias): (&String, &f64)| {
        let param = format!("logit_bias.{token}");
        let id = token.parse::<u32>().ok().filter(|it| (*it as usize) < vocabulary).ok_or_else(|| {
            let most = vocabulary.saturating_sub(1);
            ApiError::invalid(
                &param,
                format!("`logit_bias` has the key \"{token}\"; keys are token ids, 0 to {most}."),
            )
        })?;
        Ok((id, number(&param, *bias, -100.0, 100.0)?))
    };
    biases.iter().map(entry).collect()
}

fn stops(stop: Option<OneOrMany<String>>) -> Result<Vec<String>, ApiError> {
    let stops = stop.map(OneOrMany::into_vec).unwrap_or_default();
    let wrong = |message: String| Err(ApiError::invalid("stop", message));
    if stops.len() > STOPS_MAX {
        return wrong(format!("`stop` has {} texts, and {STOPS_MAX} are the most.", stops.len()));
    }
    if stops.iter().any(String::is_empty) {
        return wrong("`stop` has an empty text; leave it out or give at least one character.".to_owned());
    }
    if stops.iter().any(|it| it.len() > STOP_BYTES_MAX) {
        return wrong(format!("`stop` has a text of more than {STOP_BYTES_MAX} bytes."));
    }
    Ok(stops)
}

fn logprobs(request: &GenerateRequest) -> Result<Option<usize>, ApiError> {
    let top = request.top_logprobs.map(|it| whole("top_logprobs", it, 0, LOGPROBS_MAX)).transpose()?;
    let top = top.map(|it| it as usize);
    Ok(match request.logprobs {
        Some(BoolOrCount::Bool(true)) => Some(top.unwrap_or(0)),
        Some(BoolOrCount::Bool(false)) => None,
        Some(BoolOrCount::Count(count)) => {
            let count = whole("logprobs", count, 0, LOGPROBS_MAX)? as usize;
            Some(top.map_or(count, |it| it.max(count)))
        }
        None => top,
    })
}

fn form(format: ResponseFormat) -> Result<Option<Form>, ApiError> {
    let schema = format.json_schema.and_then(|it| it.schema).or(format.schema);
    let checked = |schema: Value| {
        schema::tidy(schema).map(|it| Some(Form::JsonSchema(it))).map_err(|fault| {
            let message = format!("`response_format` has a schema that replies can't be held to; {fault}.");
            ApiError::invalid("response_format", message)
        })
    };
    match (format.kind.as_str(), schema) {
        ("text", _) => Ok(None),
        ("json_object", None) => Ok(Some(Form::JsonObject)),
        ("json_object" | "json_schema", Some(schema)) => checked(schema),
        ("json_schema", None) => {
            let message = "`response_format` of type json_schema needs `json_schema.schema`, a JSON schema.";
            Err(ApiError::invalid("response_format", message))
        }
        ("regex", _) => match format.pattern {
            Some(pattern) => {
                schema::pattern(&pattern).map(|()| Some(Form::Regex(pattern))).map_err(|cause| {
                    ApiError::invalid("response_format", format!("`response_format.pattern`: {cause}."))
                })
            }
            None => {
                let message = "`response_format` of type regex needs `pattern`, a regular expression.";
                Err(ApiError::invalid("response_format", message))
            }
        },
        (other, _) => {
            let message = format!(
                "`response_format.type` is \"{other}\" and can be text, json_object, json_schema or regex."
            );
            Err(ApiError::invalid("response_format", message))
        }
    }
}

fn whole(param: &str, value: i64, least: i64, most: i64) -> Result<u32, ApiError> {
    match u32::try_from(value) {
        Ok(number) if (least..=most).contains(&value) => Ok(number),
        _ => {
            Err(ApiError::invalid(param, format!("`{param}` is {value} and must be from {least} to {most}.")))
        }
    }
}

fn number(param: &str, value: f64, least: f64, most: f64) -> Result<f32, ApiError> {
    if (least..=most).contains(&value) {
        #[expect(
            clippy::cast_possible_truncation,
            reason = "in range; the sampler works in single precision"
        )]
        return Ok(value as f32);
    }
    Err(ApiError::invalid(param, format!("`{param}` is {value} and must be from {least} to {most}.")))
}

/// How many tokens a reply may have, given the prompt's.
///
/// # Errors
/// When prompt and reply do not fit into the context; the error has both numbers.
pub fn room(parameters: &Parameters, prompt: usize, context: u32) -> Result<u32, ApiError> {
    let left = u32::try_from(prompt).ok().and_then(|it| context.checked_sub(it)).unwrap_or(0);
    if left == 0 {
        return Err(ApiError::TooLong {
            message: format!(
                "The prompt has {prompt} tokens, and the context of {context} tokens must hold prompt and reply; \
                 send at most {} tokens.",
                context.saturating_sub(1)
            ),
        });
    }
    match parameters.max_tokens {
        Some(asked) if asked > left && !parameters.truncate => Err(ApiError::TooLong {
            message: format!(
                "The prompt has {prompt} tokens and `max_tokens` is {asked}, together more than the context of \
                 {context} tokens; ask for at most {left}, or set `context_length_exceeded_behavior` to truncate."
            ),
        }),
        Some(asked) => Ok(asked.min(left)),
        None => Ok(left),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn checked(body: &str) -> Result<Parameters, ApiError> {
        check(&mut parse::<GenerateRequest>(body.as_bytes())?, 100)
    }

    fn refusal(body: &str) -> (Option<String>, String) {
        let error = checked(body).unwrap_err().body().error;
        (error.param, error.message)
    }

    #[test]
    fn defaults_are_neutral() {
        let parameters = checked("{}").unwrap();
        assert_eq!(parameters.sampling.temperature, 1.0);
        assert_eq!((parameters.choices, parameters.max_tokens, parameters.logprobs), (1, None, None));
    }

    #[test]
    fn wrong_types_name_the_field() {
        let (param, message) = refusal(r#"{"temperature":"hot"}"#);
        assert_eq!(param.as_deref(), Some("temperature"));
        assert_eq!(message, "`temperature` is not valid: invalid type: string \"hot\", expected f64.");
        assert_eq!(refusal(r#"{"messages":[{"role":1}]}"#).0.as_deref(), Some("messages[0].role"));
        assert_eq!(refusal(r#"{"stop":5}"#).1, "`stop` is not valid: a text or a list of texts.");
        assert_eq!(refusal("[1,").0, None);
    }

    #[test]
    fn numbers_out_of_range_say_the_range() {
        assert_eq!(refusal(r#"{"temperature":-1}"#).1, "`temperature` is -1 and must be from 0 to 5.");
        assert_eq!(refusal(r#"{"n":129}"#).1, "`n` is 129 and must be from 1 to 128.");
        assert_eq!(refusal(r#"{"max_tokens":0}"#).0.as_deref(), Some("max_tokens"));
        assert_eq!(refusal(r#"{"top_p":1.5}"#).0.as_deref(), Some("top_p"));
        assert_eq!(refusal(r#"{"logprobs":21}"#).0.as_deref(), Some("logprobs"));
        assert!(checked(&format!(r#"{{"stop":{:?}}}"#, ["a"; 64])).is_ok());
        assert_eq!(
            refusal(&format!(r#"{{"stop":{:?}}}"#, ["a"; 65])).1,
            "`stop` has 65 texts, and 64 are the most."
        );
        assert_eq!(refusal(r#"{"stop":""}"#).0.as_deref(), Some("stop"));
        assert_eq!(refusal(r#"{"logit_bias":{"100":1}}"#).0.as_deref(), Some("logit_bias.100"));
        assert_eq!(refusal(r#"{"response_format":{"type":"yaml"}}"#).0.as_deref(), Some("response_format"));
    }

    #[test]
    fn probabilities_are_understood_in_every_form_of_asking() {
        assert_eq!(checked(r#"{"logprobs":true}"#).unwrap().logprobs, Some(0));
        assert_eq!(checked(r#"{"logprobs":true,"top_logprobs":3}"#).unwrap().logprobs, Some(3));
        assert_eq!(checked(r#"{"logprobs":2}"#).unwrap().logprobs, Some(2));
        assert_eq!(checked(r#"{"logprobs":false}"#).unwrap().logprobs, None);
    }

    #[test]
    fn schemas_are_found_wherever_clients_put_them() {
        let schema = serde_json::json!({"type": "object"});
        for body in [
            r#"{"response_format":{"type":"json_schema","json_schema":{"name":"a","schema":{"type":"object"}}}}"#,
            r#"{"response_format":{"type":"json_schema","schema":{"type":"object"}}}"#,
            r#"{"response_format":{"type":"json_object","schema":{"type":"object"}}}"#,
        ] {
            assert_eq!(checked(body).unwrap().form, Some(Form::JsonSchema(schema.clone())));
        }
        assert_eq!(
            checked(r#"{"response_format":{"type":"json_object"}}"#).unwrap().form,
            Some(Form::JsonObject)
        );
    }

    #[test]
    fn the_reply_must_fit_or_be_shortened() {
        let parameters = checked(r#"{"max_tokens":50}"#).unwrap();
        assert_eq!(room(&parameters, 40, 100).unwrap(), 50);
        let error = room(&parameters, 60, 100).unwrap_err().body().error;
        assert_eq!(error.code.as_deref(), Some("context_length_exceeded"));
        assert!(
            error.message.contains("60 tokens") && error.message.contains("at most 40"),
            "{}",
            error.message
        );
        let shortened =
            checked(r#"{"max_tokens":50,"context_length_exceeded_behavior":"truncate"}"#).unwrap();
        assert_eq!(room(&shortened, 60, 100).unwrap(), 40);
        assert!(room(&shortened, 100, 100).is_err());
        assert_eq!(room(&checked("{}").unwrap(), 60, 100).unwrap(), 40);
    }
}
