//! Parses a body into a contract type; an error names the field.

use dedi_api::inference::{EmbeddingsRequest, GenerateRequest};
use serde::Deserialize;

use crate::error::ApiError;

/// Deepest nesting of a body.
const DEPTH_MAX: usize = 128;

/// The body of chat and completions.
pub(crate) fn generate(body: &[u8]) -> Result<GenerateRequest<'_>, ApiError> {
    read(body)
}

/// The body of embeddings.
pub(crate) fn embeddings(body: &[u8]) -> Result<EmbeddingsRequest<'_>, ApiError> {
    read(body)
}

fn read<'a, T: Deserialize<'a>>(body: &'a [u8]) -> Result<T, ApiError> {
    // Before anything else: what is skipped as unknown would otherwise be nested without a limit.
    if deeper_than(body, DEPTH_MAX) {
        return Err(invalid(None, format!("The JSON is nested deeper than {DEPTH_MAX} levels")));
    }
    if body.iter().find(|it| !it.is_ascii_whitespace()) != Some(&b'{') {
        return Err(invalid(None, "The request body must be a JSON object".to_owned()));
    }
    // Only a refused body is read a second time, with the path to the fault.
    serde_json::from_slice(body).map_err(|first| {
        let mut input = serde_json::Deserializer::from_slice(body);
        match serde_path_to_error::deserialize::<_, T>(&mut input) {
            Ok(_) => invalid(None, format!("The request body is not valid JSON: {first}")),
            Err(err) => explain(&err),
        }
    })
}

fn explain(err: &serde_path_to_error::Error<serde_json::Error>) -> ApiError {
    let inner = err.inner();
    if !inner.is_data() {
        return invalid(None, format!("The request body is not valid JSON: {inner}"));
    }
    let text = inner.to_string();
    let text = text.rsplit_once(" at line ").map_or(text.as_str(), |(it, _)| it);
    let text = without_value(text);
    let text = text.as_str();
    let path = err.path().to_string();
    let quoted = text.split('`').nth(1);
    let field = match (path.as_str(), quoted) {
        (".", Some(name)) => Some(name.to_owned()), // duplicate and missing fields are named in the text only
        (".", None) => None,
        (path, Some(name)) if text.starts_with("missing field") => Some(format!("{path}.{name}")),
        (path, _) => Some(path.to_owned()),
    };
    match field {
        Some(field) => invalid(Some(field.clone()), format!("`{field}`: {text}")),
        None => invalid(None, format!("The request body does not fit: {text}")),
    }
}

/// The same sentence without the value that was sent: it may be a prompt, and errors end in the logs of clients.
fn without_value(text: &str) -> String {
    const SENT: [(&str, &str, &str); 3] = [
        ("invalid type: string \"", "\", expected ", "invalid type: a string, expected "),
        ("invalid value: string \"", "\", expected ", "invalid value, expected "),
        ("unknown variant `", "`, expected ", "unknown variant, expected "),
    ];
    for (before, after, instead) in SENT {
        if let Some((_, expected)) = text.strip_prefix(before).and_then(|it| it.rsplit_once(after)) {
            return format!("{instead}{expected}");
        }
    }
    text.to_owned()
}

fn invalid(param: Option<String>, message: String) -> ApiError {
    ApiError::Invalid { param, message }
}

/// Whether brackets outside of texts nest deeper than `max`.
fn deeper_than(body: &[u8], max: usize) -> bool {
    let (mut depth, mut in_text, mut escaped) = (0_usize, false, false);
    for byte in body {
        match (in_text, byte) {
            (true, _) if escaped => escaped = false,
            (true, b'\\') => escaped = true,
            (_, b'"') => in_text = !in_text,
            (false, b'{' | b'[') => {
                depth += 1;
                if depth > max {
                    return true;
                }
            }
            (false, b'}' | b']') => depth = depth.saturating_sub(1),
            (true | false, _) => {}
        }
    }
    false
}

#[cfg(test)]
mod tests {
    use super::super::{Kind, Parsed};
    use super::*;

    fn refusal(body: &str) -> (Option<String>, String) {
        let refused = generate(body.as_bytes()).unwrap_err();
        let ApiError::Invalid { param, message } = refused else { panic!("{refused:?}") };
        (param, message)
    }

    #[test]
    fn json_wrong_type_names_its_field() {
        let cases = [
            (r#"{"max_tokens":"ten"}"#, "max_tokens"),
            (r#"{"tools":[{"function":{"name":"f","parameters":{}}}],"n":1.5}"#, "n"),
            (r#"{"messages":[{"role":"user","content":7}]}"#, "messages[0].content"),
            (r#"{"messages":[{"role":"user","content":[{"type":1}]}]}"#, "messages[0].content[0].type"),
            (r#"{"temperature":[]}"#, "temperature"),
            (r#"{"logprobs":"many"}"#, "logprobs"),
            (r#"{"tools":[{"type":"function"}]}"#, "tools[0].function"),
            (r#"{"model":"a","model":"b"}"#, "model"),
            (r#"{"stop":[1]}"#, "stop[0]"),
            (r#"{"seed":99999999999999999999}"#, "seed"),
        ];
        for (body, field) in cases {
            assert_eq!(refusal(body).0.as_deref(), Some(field), "{body}: {}", refusal(body).1);
        }
    }

    #[test]
    fn json_refusal_repeats_no_text_of_the_request() {
        for (body, param) in [
            (r#"{"temperature":"SECRET"}"#, Some("temperature")),
            (r#"{"temperature":"SECRET\", expected `SECRET`"}"#, Some("temperature")),
            (r#"{"messages":"SECRET"}"#, Some("messages")),
            (
                r#"{"messages":[{"role":"user","content":[{"type":7,"SECRET":"SECRET"}]}]}"#,
                Some("messages[0].content[0].type"),
            ),
            (r#"{"stop":{"SECRET":1}}"#, Some("stop")),
            (r#"{"messages":[{"role":"user","content":"SECRET"}"#, None),
        ] {
            let (refused, message) = refusal(body);
            assert_eq!(refused.as_deref(), param, "{body}: {message}");
            assert!(!message.contains("SECRET"), "{body}: {message}");
        }
        // The reader takes these, and the check behind it refuses the odd word and repeats nothing else.
        for (fields, param) in [
            (r#""messages":[{"role":"odd","content":"SECRET"}]"#, "messages[0].role"),
            (
                r#""messages":[{"role":"user","content":[{"type":"odd","text":"SECRET"}]}]"#,
                "messages[0].content[0]",
            ),
            (r#""messages":[{"role":"user","content":"SECRET"}],"tool_choice":"odd""#, "tool_choice"),
            (
                r#""messages":[{"role":"user","content":"SECRET"}],"response_format":{"type":"odd"}"#,
                "response_format.type",
            ),
        ] {
            let body = format!(r#"{{"model":"m",{fields}}}"#);
            let parsed = Parsed::read(Kind::Chat, body.as_bytes()).unwrap();
            let refused = parsed.translate(4_096).unwrap_err();
            let ApiError::Invalid { param: named, message } = refused else { panic!("{body}: {refused:?}") };
            assert_eq!(named.as_deref(), Some(param), "{body}: {message}");
            assert!(!message.contains("SECRET"), "{body}: {message}");
        }
        assert_eq!(
            refusal(r#"{"temperature":"SECRET"}"#).1,
            "`temperature`: invalid type: a string, expected f64"
        );
    }

    #[test]
    fn json_that_is_invalid_or_too_deep_is_refused() {
        for body in
            ["", "[]", "7", "{", r#"{"temperature":1e999}"#, r#"{"temperature":NaN}"#, r#"{"stop":"\ud800"}"#]
        {
            let (_, message) = refusal(body);
            assert!(message.contains("JSON") || message.contains("range"), "{body}: {message}");
        }
        let deep = |n: usize| format!(r#"{{"x":{}{}}}"#, "[".repeat(n), "]".repeat(n));
        assert!(generate(deep(127).as_bytes()).is_ok());
        assert!(refusal(&deep(128)).1.contains("128"));
        assert!(refusal(&deep(100_000)).1.contains("128"));
        let brackets_in_text = format!(r#"{{"x":"{}\""}}"#, "[".repeat(1_000));
        assert!(generate(brackets_in_text.as_bytes()).is_ok());
    }

    #[test]
    fn unknown_fields_and_nulls_are_nothing() {
        let request =
            generate(br#"{"user":"me","stream_options":{"include_usage":true},"n":null,"model":"m\u0041"}"#)
                .unwrap();
        assert_eq!(request.model.unwrap().as_str(), "mA");
        assert_eq!(request.n, None);
    }
}
