//! The messages of a conversation.

use std::borrow::Cow;
use std::fmt;

use serde::de::{self, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize};
use serde_json::value::RawValue;
use utoipa::ToSchema;

use super::Text;
use super::tools::function;
use crate::enums::{MessageRole, TextKind};
use crate::read::{Object, object, objects};

/// One message of a conversation.
#[derive(Clone, Debug, Default, Serialize, Deserialize, ToSchema)]
pub struct Message<'a> {
    /// `system`, `user`, `assistant`, `tool` or, of old, `function`.
    #[serde(borrow, default)]
    #[schema(value_type = MessageRole, required = true)]
    pub role: Option<Text<'a>>,
    /// The content; null beside `tool_calls`.
    #[serde(borrow, default)]
    pub content: Option<Content<'a>>,
    /// Name of the author.
    #[serde(borrow, default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>)]
    pub name: Option<Text<'a>>,
    /// Calls an assistant made.
    #[serde(borrow, default, skip_serializing_if = "Option::is_none", deserialize_with = "objects")]
    pub tool_calls: Option<Vec<RequestToolCall<'a>>>,
    /// The old form of `tool_calls`, refused.
    #[serde(borrow, default, skip_serializing)]
    #[schema(ignore)]
    pub function_call: Option<&'a RawValue>,
    /// The call a tool message answers.
    #[serde(borrow, default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>)]
    pub tool_call_id: Option<Text<'a>>,
    /// The assistant's reasoning before this message.
    #[serde(borrow, default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>)]
    pub reasoning_content: Option<Text<'a>>,
}

/// A message's content: a text, or parts.
#[derive(Clone, Debug, Serialize)]
#[serde(untagged)]
pub enum Content<'a> {
    /// A string.
    Text(Text<'a>),
    /// A list of parts.
    Parts(Vec<ContentPart<'a>>),
}

/// A part of a message's content.
#[derive(Clone, Debug, Default, Serialize, Deserialize, ToSchema)]
pub struct ContentPart<'a> {
    /// `text`, or a kind of media.
    #[serde(rename = "type", borrow, default)]
    #[schema(value_type = TextKind, required = true)]
    pub kind: Option<Text<'a>>,
    /// The text of a `text` part.
    #[serde(borrow, default)]
    #[schema(value_type = String, required = true)]
    pub text: Option<Text<'a>>,
}

/// A call an earlier reply made, as clients send it back.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct RequestToolCall<'a> {
    /// The call's id.
    #[serde(borrow, default)]
    #[schema(value_type = String)]
    pub id: Text<'a>,
    /// `function`.
    #[serde(rename = "type", borrow, default = "function")]
    #[schema(value_type = String)]
    pub kind: Text<'a>,
    /// The called function.
    #[serde(borrow, deserialize_with = "object")]
    pub function: CalledFunction<'a>,
}

/// A called function.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct CalledFunction<'a> {
    /// The function's name.
    #[serde(borrow)]
    #[schema(value_type = String)]
    pub name: Text<'a>,
    /// Its arguments as JSON text.
    #[serde(borrow, default)]
    #[schema(value_type = String)]
    pub arguments: Text<'a>,
}

impl<'de: 'a, 'a> Deserialize<'de> for Content<'a> {
    fn deserialize<D: Deserializer<'de>>(input: D) -> Result<Self, D::Error> {
        struct Visit;
        impl<'de> Visitor<'de> for Visit {
            type Value = Content<'de>;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a string or an array of parts")
            }
            fn visit_borrowed_str<E: de::Error>(self, text: &'de str) -> Result<Content<'de>, E> {
                Ok(Content::Text(Text(Cow::Borrowed(text))))
            }
            fn visit_str<E: de::Error>(self, text: &str) -> Result<Content<'de>, E> {
                Ok(Content::Text(Text(Cow::Owned(text.to_owned()))))
            }
            fn visit_seq<A: SeqAccess<'de>>(self, mut parts: A) -> Result<Content<'de>, A::Error> {
                let mut all = Vec::new();
                while let Some(Object(part)) = parts.next_element()? {
                    all.push(part);
                }
                Ok(Content::Parts(all))
            }
        }
        input.deserialize_any(Visit)
    }
}
