//! Speaks to a server with its admin key, and waits for what it says.

use std::io::{BufRead, BufReader};
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::PATIENCE;

/// Speaks to a server with its admin key.
#[derive(Clone)]
pub(crate) struct Client {
    pub(super) base_url: String,
    pub(super) key: String,
    pub(super) agent: ureq::Agent,
}

/// An answer: status and JSON body (null if it is not JSON).
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) body: Value,
}

impl Answer {
    /// The error's code and message.
    pub(crate) fn error(&self) -> (&str, &str) {
        let text = |name: &str| self.body["error"][name].as_str().unwrap_or("");
        (text("code"), text("message"))
    }
}

impl Client {
    /// The same client with another key.
    pub(crate) fn with_key(&self, key: &str) -> Self {
        Self { key: key.to_owned(), ..self.clone() }
    }

    /// Where the server listens.
    pub(crate) fn address(&self) -> &str {
        self.base_url.trim_start_matches("http://").trim_end_matches("/v1")
    }

    /// The same client, but one that keeps connections for its next requests.
    pub(crate) fn keeping_connections(&self) -> Self {
        let agent = ureq::Agent::config_builder().http_status_as_error(false).timeout_global(Some(PATIENCE));
        Self { agent: agent.build().into(), ..self.clone() }
    }

    pub(crate) fn get(&self, path: &str) -> Answer {
        answer(
            self.agent.get(format!("{}{path}", self.base_url)).header("Authorization", self.bearer()).call(),
        )
    }

    /// An answer that is text.
    pub(crate) fn text(&self, path: &str) -> String {
        let request =
            self.agent.get(format!("{}{path}", self.base_url)).header("Authorization", self.bearer());
        let mut response = request.call().unwrap();
        let text = response.body_mut().read_to_string().unwrap();
        assert_eq!(response.status(), 200, "{text}");
        text
    }

    pub(crate) fn post(&self, path: &str, body: &Value) -> Answer {
        let request =
            self.agent.post(format!("{}{path}", self.base_url)).header("Authorization", self.bearer());
        answer(request.send_json(body))
    }

    pub(crate) fn patch(&self, path: &str, body: &Value) -> Answer {
        let request =
            self.agent.patch(format!("{}{path}", self.base_url)).header("Authorization", self.bearer());
        answer(request.send_json(body))
    }

    pub(crate) fn delete(&self, path: &str) -> Answer {
        answer(
            self.agent
                .delete(format!("{}{path}", self.base_url))
                .header("Authorization", self.bearer())
                .call(),
        )
    }

    /// Asks for a path of the root without a key.
    pub(crate) fn anonymous(&self, path: &str) -> Answer {
        answer(self.agent.get(format!("{}{path}", self.base_url.trim_end_matches("/v1"))).call())
    }

    fn bearer(&self) -> String {
        format!("Bearer {}", self.key)
    }

    /// Creates an endpoint on the demo model and returns the object.
    pub(crate) fn create(&self, hardware: &str, min: u32, max: u32) -> Value {
        let made = self.post(
            "/endpoints",
            &json!({"model": "dedi/demo", "hardware": hardware, "autoscaling": {"min_replicas": min, "max_replicas": max}}),
        );
        assert_eq!(made.status, 200, "{}", made.body);
        made.body
    }

    /// Waits until the endpoint is in `state`; the object then.
    pub(crate) fn until_state(&self, id: &str, state: &str) -> Value {
        let mut last = Value::Null;
        let start = Instant::now();
        while start.elapsed() < PATIENCE {
            last = self.get(&format!("/endpoints/{id}")).body;
            if last["state"] == state {
                return last;
            }
            std::thread::sleep(Duration::from_millis(50));
        }
        panic!("{id} did not become {state}: {last:#}");
    }

    pub(crate) fn chat(&self, model: &str, text: &str) -> Answer {
        self.post(
            "/chat/completions",
            &json!({"model": model, "messages": [{"role": "user", "content": text}], "temperature": 0, "max_tokens": 64}),
        )
    }

    /// Sends a chat and reads nothing of the answer, which ends with what is returned.
    pub(crate) fn begin(&self, body: &Value) -> http::Response<ureq::Body> {
        let url = format!("{}/chat/completions", self.base_url);
        self.agent.post(url).header("Authorization", self.bearer()).send_json(body).unwrap()
    }

    /// The events of a streamed chat, as the bytes after `data: `, until `keep_going` says no.
    pub(crate) fn stream(&self, body: &Value, mut keep_going: impl FnMut(&str) -> bool) -> Vec<String> {
        let request = self
            .agent
            .post(format!("{}/chat/completions", self.base_url))
            .header("Authorization", self.bearer())
            .send_json(body)
            .unwrap();
        assert_eq!(request.status(), 200, "{:?}", request.into_body().read_to_string());
        let mut events = Vec::new();
        for line in BufReader::new(request.into_body().into_reader()).lines() {
            let Ok(line) = line else { break };
            if let Some(data) = line.strip_prefix("data: ") {
                events.push(data.to_owned());
                if !keep_going(data) {
                    break;
                }
            }
        }
        events
    }
}

fn answer(result: Result<http::Response<ureq::Body>, ureq::Error>) -> Answer {
    let mut response = result.unwrap();
    let status = response.status().as_u16();
    let text = response.body_mut().read_to_string().unwrap_or_default();
    Answer { status, body: serde_json::from_str(&text).unwrap_or(Value::Null) }
}
