//! Bodies and queries, read strictly: wrong types and doubled keys are refused by the path of the field; fields
//! that are not known are ignored, since SDKs send some.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use axum::extract::FromRequest;
use bytes::{Bytes, BytesMut};
use dedi_api::exact_integer;
use http::header::{CONTENT_ENCODING, CONTENT_TYPE};
use http::{HeaderMap, Request};
use http_body_util::BodyExt;
use serde::de::{self, Deserialize, Deserializer, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Number, Value};
use tokio::time::{Instant, timeout};

use super::error::ApiError;
use super::layer::Sender;
use crate::config::ControlConfig;
use crate::shared::Shared;

/// Longest body of the management API.
pub(crate) const BODY_BYTES_MAX: usize = 64 << 10;

/// A request's JSON object, with the bytes it came as.
#[derive(Debug)]
pub(crate) struct JsonBody {
    pub(crate) bytes: Bytes,
    pub(crate) fields: Fields,
}

impl FromRequest<Arc<Shared>> for JsonBody {
    type Rejection = ApiError;

    async fn from_request(request: Request<Body>, shared: &Arc<Shared>) -> Result<Self, ApiError> {
        let (parts, body) = request.into_parts();
        let encoding = parts.headers.get(CONTENT_ENCODING);
        if encoding.is_some_and(|it| it != "identity") {
            return Err(ApiError::MediaType("Compressed request bodies are not accepted".to_owned()));
        }
        let bytes = read(body, &shared.config).await?;
        // A body may take its time, and its key may have been revoked meanwhile.
        let sender = parts.extensions.get::<Sender>().and_then(Sender::get);
        if sender.is_some_and(|it| !shared.is_still(it)) {
            return Err(ApiError::Unauthenticated);
        }
        // No body at all is an empty object: the v1 SDK sends that for an update of nothing, without a type.
        if bytes.iter().all(u8::is_ascii_whitespace) {
            return Ok(Self { bytes, fields: Fields::default() });
        }
        check_type(&parts.headers)?;
        let Strict(value) = serde_json::from_slice(&bytes)
            .map_err(|err| ApiError::request(format!("The request body is not valid JSON: {err}")))?;
        match value {
            Value::Object(fields) => Ok(Self { bytes, fields: Fields { fields, path: String::new() } }),
            Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) | Value::Array(_) => {
                Err(ApiError::request("The request body must be a JSON object"))
            }
        }
    }
}

/// The whole body, bounded in size and time.
async fn read(mut body: Body, config: &ControlConfig) -> Result<Bytes, ApiError> {
    let deadline = Instant::now() + Duration::from_millis(config.body_timeout_ms);
    let pause_max = Duration::from_millis(config.body_idle_timeout_ms);
    let mut bytes = BytesMut::new();
    loop {
        let left = deadline.saturating_duration_since(Instant::now());
        let frame = match timeout(left.min(pause_max), body.frame()).await {
            Ok(Some(Ok(frame))) => frame,
            Ok(Some(Err(_cut))) => return Err(ApiError::request("The request body ended too early")),
            Ok(None) => return Ok(bytes.freeze()),
            Err(_elapsed) => return Err(ApiError::BodyTimeout),
        };
        let data = frame.into_data().unwrap_or_default();
        if bytes.len() + data.len() > BODY_BYTES_MAX {
            return Err(ApiError::TooLarge);
        }
        bytes.extend_from_slice(&data);
    }
}

fn check_type(headers: &HeaderMap) -> Result<(), ApiError> {
    let Some(value) = headers.get(CONTENT_TYPE) else { return Ok(()) };
    let text = value.to_str().unwrap_or_default();
    let kind = text.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
    if kind == "application/json" || (kind.starts_with("application/") && kind.ends_with("+json")) {
        return Ok(());
    }
    Err(ApiError::MediaType(format!(
        "The request body must be JSON: send `Content-Type: application/json` instead of `{}`",
        kind.escape_debug()
    )))
}

/// The members of a JSON object, by name and type.
#[derive(Debug, Default)]
pub(crate) struct Fields {
    fields: Map<String, Value>,
    path: String,
}

impl Fields {
    fn param(&self, name: &str) -> String {
        if self.path.is_empty() { name.to_owned() } else { format!("{}.{name}", self.path) }
    }

    fn wrong(&self, name: &str, wanted: &str) -> ApiError {
        let param = self.param(name);
        let message = format!("{param} must be {wanted}");
        ApiError::field(param, message)
    }

    /// `None` when absent, `Some(None)` when null.
    pub(crate) fn text(&self, name: &str) -> Result<Option<Option<String>>, ApiError> {
        match self.fields.get(name) {
            None => Ok(None),
            Some(Value::Null) => Ok(Some(None)),
            Some(Value::String(text)) => Ok(Some(Some(text.clone()))),
            Some(Value::Bool(_) | Value::Number(_) | Value::Array(_) | Value::Object(_)) => {
                Err(self.wrong(name, "a string"))
            }
        }
    }

    /// `None` when absent, `Some(None)` when null. Numbers too large for the type are its bounds, so that the
    /// range check names the limit.
    pub(crate) fn integer(&self, name: &str) -> Result<Option<Option<i64>>, ApiError> {
        match self.fields.get(name) {
            None => Ok(None),
            Some(Value::Null) => Ok(Some(None)),
            Some(Value::Number(number)) => match (number.as_i64(), number.as_u64()) {
                (Some(it), _) => Ok(Some(Some(it))),
                (None, Some(_)) => Ok(Some(Some(i64::MAX))),
                // `60.0` is as whole as `60`, and some clients write it so.
                (None, None) => match number.as_f64().and_then(exact_integer) {
                    Some(it) => Ok(Some(Some(it))),
                    None => Err(self.wrong(name, "an integer")),
                },
            },
            Some(Value::Bool(_) | Value::String(_) | Value::Array(_) | Value::Object(_)) => {
                Err(self.wrong(name, "an integer"))
            }
        }
    }

    /// `None` when absent, `Some(None)` when null.
    pub(crate) fn boolean(&self, name: &str) -> Result<Option<Option<bool>>, ApiError> {
        match self.fields.get(name) {
            None => Ok(None),
            Some(Value::Null) => Ok(Some(None)),
            Some(Value::Bool(it)) => Ok(Some(Some(*it))),
            Some(Value::Number(_) | Value::String(_) | Value::Array(_) | Value::Object(_)) => {
                Err(self.wrong(name, "true or false"))
            }
        }
    }

    /// `None` when absent, `Some(None)` when null.
    pub(crate) fn texts(&self, name: &str) -> Result<Option<Option<Vec<String>>>, ApiError> {
        match self.fields.get(name) {
            None => Ok(None),
            Some(Value::Null) => Ok(Some(None)),
            Some(Value::Array(items)) => {
                let texts: Option<Vec<String>> =
                    items.iter().map(|it| it.as_str().map(str::to_owned)).collect();
                texts.map(|it| Some(Some(it))).ok_or_else(|| self.wrong(name, "a list of strings"))
            }
            Some(Value::Bool(_) | Value::Number(_) | Value::String(_) | Value::Object(_)) => {
                Err(self.wrong(name, "a list of strings"))
            }
        }
    }

    /// `None` when absent, `Some(None)` when null.
    pub(crate) fn object(&self, name: &str) -> Result<Option<Option<Fields>>, ApiError> {
        match self.fields.get(name) {
            None => Ok(None),
            Some(Value::Null) => Ok(Some(None)),
            Some(Value::Object(fields)) => {
                Ok(Some(Some(Fields { fields: fields.clone(), path: self.param(name) })))
            }
            Some(Value::Bool(_) | Value::Number(_) | Value::String(_) | Value::Array(_)) => {
                Err(self.wrong(name, "an object"))
            }
        }
    }
}

/// JSON in which no object has a key twice. Depth is bounded by the parser, at 128.
struct Strict(Value);

impl<'de> Deserialize<'de> for Strict {
    fn deserialize<D: Deserializer<'de>>(input: D) -> Result<Self, D::Error> {
        input.deserialize_any(StrictVisitor).map(Strict)
    }
}

struct StrictVisitor;

impl<'de> Visitor<'de> for StrictVisitor {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JSON")
    }

    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_bool<E>(self, it: bool) -> Result<Value, E> {
        Ok(Value::Bool(it))
    }

    fn visit_i64<E>(self, it: i64) -> Result<Value, E> {
        Ok(Value::Number(it.into()))
    }

    fn visit_u64<E>(self, it: u64) -> Result<Value, E> {
        Ok(Value::Number(it.into()))
    }

    fn visit_f64<E>(self, it: f64) -> Result<Value, E> {
        Ok(Number::from_f64(it).map_or(Value::Null, Value::Number))
    }

    fn visit_str<E>(self, it: &str) -> Result<Value, E> {
        Ok(Value::String(it.to_owned()))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Value, A::Error> {
        let mut items = Vec::new();
        while let Some(Strict(item)) = seq.next_element()? {
            items.push(item);
        }
        Ok(Value::Array(items))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Value, A::Error> {
        let mut fields = Map::new();
        while let Some((key, Strict(value))) = map.next_entry::<String, Strict>()? {
            if fields.contains_key(&key) {
                return Err(de::Error::custom(format_args!(
                    "the key `{}` is there twice",
                    key.escape_debug()
                )));
            }
            fields.insert(key, value);
        }
        Ok(Value::Object(fields))
    }
}

/// The query string's members. A doubled one counts with its last value, as in the original.
#[derive(Debug, Default)]
pub(crate) struct Query(Vec<(String, String)>);

impl<S: Send + Sync> axum::extract::FromRequestParts<S> for Query {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut http::request::Parts, state: &S) -> Result<Self, ApiError> {
        let read = axum::extract::Query::<Vec<(String, String)>>::from_request_parts(parts, state).await;
        let axum::extract::Query(pairs) =
            read.map_err(|_unreadable| ApiError::request("The query string could not be read"))?;
        Ok(Self(pairs))
    }
}

impl Query {
    /// The text of a member; an empty one counts as absent.
    pub(crate) fn get(&self, name: &str) -> Option<&str> {
        self.given(name).filter(|it| !it.is_empty())
    }

    /// The text of a member, also an empty one.
    pub(crate) fn given(&self, name: &str) -> Option<&str> {
        let found = self.0.iter().rev().find(|(key, _)| key == name);
        found.map(|(_, value)| value.as_str())
    }

    /// One of a few words.
    pub(crate) fn word(&self, name: &str, words: &[&str]) -> Result<Option<&str>, ApiError> {
        match self.given(name) {
            Some(it) if !words.contains(&it) => {
                Err(ApiError::field(name, format!("{name} must be {}", words.join(" or "))))
            }
            other => Ok(other),
        }
    }

    /// A boolean in any case: the v1 SDK writes `True`.
    pub(crate) fn boolean(&self, name: &str) -> Result<bool, ApiError> {
        match self.given(name).map(str::to_ascii_lowercase).as_deref() {
            None | Some("false") => Ok(false),
            Some("true") => Ok(true),
            Some(_) => Err(ApiError::field(name, format!("{name} must be true or false"))),
        }
    }

    /// A whole number of at least 0.
    pub(crate) fn number(&self, name: &str) -> Result<Option<i64>, ApiError> {
        let parsed = self.given(name).map(|it| it.parse::<i64>().ok().filter(|it| *it >= 0));
        match parsed {
            None => Ok(None),
            Some(Some(it)) => Ok(Some(it)),
            Some(None) => Err(ApiError::field(name, format!("{name} must be a whole number of at least 0"))),
        }
    }
}
