//! Names have slashes, and clients send them raw or encoded. Before a request is routed they are encoded in what names
//! an endpoint, so that each route below one is a line of its own in the router's table. No name or id ends like one of
//! those routes.

use http::uri::PathAndQuery;
use http::{Request, Uri};

use super::routes::ROUTES;

const ENDPOINTS: &str = "/v1/endpoints/";
const ENDPOINT: &str = "/v1/endpoints/{id}";

pub(crate) fn encode_slashes<B>(mut request: Request<B>) -> Request<B> {
    let Some(path) = encoded(request.uri().path()) else { return request };
    let query = request.uri().query().map(|it| format!("?{it}")).unwrap_or_default();
    let mut parts = request.uri().clone().into_parts();
    if let Ok(whole) = PathAndQuery::try_from(format!("{path}{query}")) {
        parts.path_and_query = Some(whole);
        if let Ok(uri) = Uri::from_parts(parts) {
            *request.uri_mut() = uri;
        }
    }
    request
}

/// The path with one segment for the name; `None` where it has that.
fn encoded(path: &str) -> Option<String> {
    let rest = path.strip_prefix(ENDPOINTS)?.replace("%2F", "/").replace("%2f", "/");
    let mut endings = ROUTES.iter().filter_map(|(_, route)| route.strip_prefix(ENDPOINT));
    let split = endings.find_map(|it| Some((rest.strip_suffix(it)?, it)).filter(|_| !it.is_empty()));
    let (name, ending) = split.unwrap_or((&rest, ""));
    name.contains('/').then(|| format!("{ENDPOINTS}{}{ending}", name.replace('/', "%2F")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn endings_are_told_from_names_with_slashes() {
        for (path, routed) in [
            ("/v1/endpoints/a/b/c-a32b82a1", "/v1/endpoints/a%2Fb%2Fc-a32b82a1"),
            ("/v1/endpoints/a%2fb%2Fc-a32b82a1/events", "/v1/endpoints/a%2Fb%2Fc-a32b82a1/events"),
            ("/v1/endpoints/a/logs-a32b82a1?x=/", "/v1/endpoints/a%2Flogs-a32b82a1?x=/"),
            ("/v1/endpoints/a/b/logs?tail=1", "/v1/endpoints/a%2Fb/logs?tail=1"),
            ("/v1/endpoints/endpoint-1/adapters", "/v1/endpoints/endpoint-1/adapters"),
            ("/v1/endpoints/events", "/v1/endpoints/events"),
            ("/v1/endpoints/", "/v1/endpoints/"),
            ("/v1/endpoints", "/v1/endpoints"),
            ("/v1/models/a/b", "/v1/models/a/b"),
        ] {
            let request = Request::builder().uri(path).body(()).unwrap();
            assert_eq!(encode_slashes(request).uri().to_string(), routed);
        }
    }
}
