//! What helps against a refusal, by its code, its field and its sentence.

use dedi_api::ErrorDetail;
use http::StatusCode;

/// What helps against a refusal, where something does.
pub(crate) fn refused(status: StatusCode, detail: &ErrorDetail, key_source: &str) -> Option<String> {
    let code = detail.code.as_deref().unwrap_or_default();
    match (status, code, detail.param.as_deref()) {
        (_, "invalid_api_key", _) => Some(format!(
            "the key was read from {key_source}; list valid keys with `dedi keys list` and another key"
        )),
        (StatusCode::FORBIDDEN, _, _) => {
            Some(format!("the key from {key_source} is not allowed to do this; check it with `dedi whoami`"))
        }
        (_, "dedicated_endpoint_not_running", _) => Some(not_running("ENDPOINT", &detail.message)),
        (_, "model_not_available", _) => Some("list the endpoints with `dedi endpoints list`".to_owned()),
        (_, _, Some("hardware")) => {
            Some("list hardware that fits with `dedi endpoints hardware --model MODEL`".to_owned())
        }
        (_, "model_in_use", _) => {
            Some("`dedi endpoints list` shows which endpoints use the model".to_owned())
        }
        (_, "pull_in_progress", _) => Some("see running downloads with `dedi models list`".to_owned()),
        (_, _, Some("model")) => Some("list available models with `dedi models list`".to_owned()),
        (_, _, Some("availability_zone")) => {
            Some("list the zones with `dedi endpoints availability-zones`".to_owned())
        }
        (StatusCode::NOT_FOUND, _, _) if detail.message.starts_with("Model ") => {
            Some("list available models with `dedi models list`".to_owned())
        }
        (StatusCode::NOT_FOUND, _, _) => Some("list the endpoints with `dedi endpoints list`".to_owned()),
        // What passes by itself, unless the message has a step of its own, as it has where somebody must act.
        (
            StatusCode::TOO_MANY_REQUESTS | StatusCode::SERVICE_UNAVAILABLE,
            "endpoint_full"
            | "memory_full"
            | "cold_start"
            | "dedicated_endpoint_starting"
            | "replicas_busy"
            | "shutting_down"
            | "temporarily_unavailable"
            | "",
            _,
        ) => (!names_a_step(&detail.message)).then(|| "try again in a moment".to_owned()),
        (StatusCode::TOO_MANY_REQUESTS | StatusCode::SERVICE_UNAVAILABLE, _, _) => None,
        (status, _, _) if status.is_server_error() => Some("see the server's log".to_owned()),
        (_, _, _) => None,
    }
}

/// Whether a sentence has a command, or proposes another try itself.
fn names_a_step(message: &str) -> bool {
    message.contains('`') || message.to_lowercase().contains("try again")
}

/// What helps against an endpoint that does not run, by the state that the message tells.
pub(crate) fn not_running(endpoint: &str, message: &str) -> String {
    let why = format!("`dedi endpoints why {endpoint}`");
    let is = |state: &str| message.contains(&format!(" It is {state}"));
    if is("PENDING") || is("STARTING") {
        return format!(
            "it starts automatically as soon as it can; wait for it with `dedi endpoints wait {endpoint}`, see what it waits for with {why}"
        );
    }
    format!("start it with `dedi endpoints start {endpoint} --wait`; see why it is not running with {why}")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hint(status: u16, code: &str, param: Option<&str>, message: &str) -> Option<String> {
        let detail = ErrorDetail {
            message: message.to_owned(),
            kind: "server_error".to_owned(),
            param: param.map(str::to_owned),
            code: Some(code.to_owned()),
        };
        refused(StatusCode::from_u16(status).unwrap(), &detail, "--api-key")
    }

    #[test]
    fn hint_for_a_passing_error_is_to_retry_and_given_once() {
        let again = Some("try again in a moment".to_owned());
        assert_eq!(hint(503, "replicas_busy", None, "All are busy"), again);
        assert_eq!(hint(503, "shutting_down", None, "The server is shutting down"), again);
        assert_eq!(hint(503, "replicas_busy", None, "All are busy; try again in a moment"), None);
        let locked = "The server can't do this now: the database is locked; nothing was changed";
        assert_eq!(hint(503, "temporarily_unavailable", None, locked), again);
        let gone = "The server can't do this now: the database was removed; copy it with `dedi backup FILE`";
        assert_eq!(hint(503, "temporarily_unavailable", None, gone), None);
        let full = "The server can't do this now: the disk is full; free some room there, then try again";
        assert_eq!(hint(503, "temporarily_unavailable", None, full), None);
        assert_eq!(hint(429, "too_many_failed_attempts", None, "Too many failed attempts"), None);
    }

    #[test]
    fn hint_for_a_model_in_use_says_how_to_find_the_endpoints() {
        let said = hint(400, "model_in_use", Some("model"), "t/two is in use by endpoint-1").unwrap();
        assert_eq!(said, "`dedi endpoints list` shows which endpoints use the model");
        let said = hint(400, "invalid_value", Some("model"), "model is required").unwrap();
        assert_eq!(said, "list available models with `dedi models list`");
    }

    #[test]
    fn hint_for_a_stopped_endpoint_is_to_start_it() {
        let message = |state| format!("The dedicated endpoint for m is not running. It is {state}: because");
        let stopped = not_running("endpoint-1", &message("STOPPED"));
        assert!(stopped.starts_with("start it with `dedi endpoints start endpoint-1 --wait`"), "{stopped}");
        for state in ["PENDING", "STARTING"] {
            let said = not_running("endpoint-1", &message(state));
            assert!(said.starts_with("it starts automatically as soon as it can"), "{said}");
            assert!(said.contains("`dedi endpoints why endpoint-1`"), "{said}");
        }
    }

    #[test]
    fn hint_for_a_refused_key_names_its_source() {
        let detail = ErrorDetail {
            message: "Invalid API key".to_owned(),
            kind: "invalid_request_error".to_owned(),
            param: None,
            code: Some("invalid_api_key".to_owned()),
        };
        let hint = refused(StatusCode::FORBIDDEN, &detail, "TOGETHER_API_KEY").unwrap();
        assert!(hint.starts_with("the key was read from TOGETHER_API_KEY"), "{hint}");
    }
}
