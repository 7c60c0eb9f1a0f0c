//! What a request hears that no route takes: where it went, and what to change where that is known.

use http::Method;

/// Characters of a path that are repeated.
const PATH_CHARS_MAX: usize = 256;
/// What a base URL without its `/v1` leads to.
const WITHOUT_VERSION: [&str; 6] =
    ["/chat/completions", "/completions", "/embeddings", "/models", "/endpoints", "/hardware"];

/// The sentence. Command lines of the official SDKs search it for words, so it says what there is not in other words
/// than of an endpoint.
pub(super) fn no_route(method: &Method, path: &str) -> String {
    let shown: String = path.escape_debug().take(PATH_CHARS_MAX).collect();
    let is_at =
        |it: &&str| path.strip_prefix(*it).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'));
    let step = if path.starts_with("/v1/v1/") {
        "the base URL has /v1 twice. `together` 3 and later adds it by itself: set its base URL without /v1, or install `together>=2,<3`"
    } else if path == "/v2" || path.starts_with("/v2/") {
        "it is of the API that `together` 3 and later uses, and this server has the classic one: install `together>=2,<3` (or npm's `together-ai@0.52`) and set a base URL that ends in /v1"
    } else if WITHOUT_VERSION.iter().any(is_at) {
        "set a base URL that ends in /v1"
    } else {
        "GET /openapi.json lists what there is"
    };
    format!("There is no route {method} {shown}: {step}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_route_says_method_and_path_and_what_to_change() {
        for (path, step) in [
            ("/v2/projects/p/endpoints", "install `together>=2,<3`"),
            ("/v1/v1/chat/completions", "has /v1 twice"),
            ("/chat/completions", "ends in /v1"),
            ("/endpoints/endpoint-1", "ends in /v1"),
            ("/v1/responses", "/openapi.json"),
            ("/", "/openapi.json"),
        ] {
            let said = no_route(&Method::POST, path);
            assert!(said.starts_with(&format!("There is no route POST {path}: ")), "{said}");
            assert!(said.contains(step), "{said}");
            let lower = said.to_lowercase();
            for word in
                ["not found", "invalid", "permission", "authentication", "not supported", "does not exist"]
            {
                assert!(!lower.contains(word), "{said}");
            }
        }
        assert!(no_route(&Method::GET, &"/x".repeat(10_000)).len() < 400);
    }
}
