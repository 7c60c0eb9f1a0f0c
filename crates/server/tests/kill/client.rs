//! HTTP with the admin key, where no reply is an outcome and not a failed test.

use std::time::Duration;

use serde_json::Value;

/// Longest wait for a reply.
const REPLY_MAX: Duration = Duration::from_secs(10);

/// What a request came to.
#[derive(Clone, Debug)]
pub(crate) enum Reply {
    /// Status and body.
    Answer(u16, Value),
    /// The server went away first: whether it was done is unknown.
    None,
}

/// Speaks to one run of a server.
#[derive(Clone)]
pub(crate) struct Client {
    base_url: String,
    key: String,
    agent: ureq::Agent,
}

impl Client {
    pub(crate) fn new(address: &str, key: &str) -> Self {
        let agent = ureq::Agent::config_builder()
            .http_status_as_error(false)
            .timeout_global(Some(REPLY_MAX))
            .max_idle_connections(0)
            .build()
            .into();
        Self { base_url: format!("http://{address}/v1"), key: key.to_owned(), agent }
    }

    pub(crate) fn get(&self, path: &str) -> Reply {
        reply(self.agent.get(self.url(path)).header("Authorization", self.bearer()).call())
    }

    pub(crate) fn post(&self, path: &str, body: &Value) -> Reply {
        reply(self.agent.post(self.url(path)).header("Authorization", self.bearer()).send_json(body))
    }

    pub(crate) fn patch(&self, path: &str, body: &Value) -> Reply {
        reply(self.agent.patch(self.url(path)).header("Authorization", self.bearer()).send_json(body))
    }

    pub(crate) fn delete(&self, path: &str) -> Reply {
        reply(self.agent.delete(self.url(path)).header("Authorization", self.bearer()).call())
    }

    fn url(&self, path: &str) -> String {
        format!("{}{path}", self.base_url)
    }

    fn bearer(&self) -> String {
        format!("Bearer {}", self.key)
    }
}

/// A status without its whole body is no reply: the client can't know what it said.
fn reply(result: Result<http::Response<ureq::Body>, ureq::Error>) -> Reply {
    let Ok(mut response) = result else { return Reply::None };
    let status = response.status().as_u16();
    let Ok(text) = response.body_mut().read_to_string() else { return Reply::None };
    if text.is_empty() {
        return Reply::Answer(status, Value::Null);
    }
    serde_json::from_str(&text).map_or(Reply::None, |body| Reply::Answer(status, body))
}
