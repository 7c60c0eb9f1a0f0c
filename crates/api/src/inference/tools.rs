//! Functions a model may call, and which of them it shall.

use std::borrow::Cow;
use std::fmt;

use serde::de::{self, Visitor};
use serde::{Deserialize, Deserializer, Serialize};
use serde_json::value::RawValue;
use utoipa::ToSchema;

use super::Text;
use crate::enums::FunctionKind;
use crate::read::object;

/// A tool the model may call.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct Tool<'a> {
    /// `function`.
    #[serde(rename = "type", borrow, default = "function")]
    #[schema(value_type = FunctionKind)]
    pub kind: Text<'a>,
    /// The callable function.
    #[serde(borrow, deserialize_with = "object")]
    pub function: ToolFunction<'a>,
}

pub(super) fn function<'a>() -> Text<'a> {
    Text(Cow::Borrowed("function"))
}

/// A function that the model may call.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct ToolFunction<'a> {
    /// The function's name.
    #[serde(borrow)]
    #[schema(value_type = String, pattern = "^[A-Za-z0-9_.-]{1,64}$")]
    pub name: Text<'a>,
    /// Description for the model.
    #[serde(borrow, default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>)]
    pub description: Option<Text<'a>>,
    /// JSON schema of its arguments.
    #[serde(borrow, default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<Object>)]
    pub parameters: Option<&'a RawValue>,
}

/// `auto`, `required`, `none`, a tool's name, or an object that names one.
#[derive(Clone, Debug)]
pub enum ToolChoice<'a> {
    /// `auto`, `required`, `none` or a tool's name.
    Mode(Text<'a>),
    /// The name in `{"type":"function","function":{"name"}}` or `{"name"}`.
    Named(Text<'a>),
}

impl<'de: 'a, 'a> Deserialize<'de> for ToolChoice<'a> {
    fn deserialize<D: Deserializer<'de>>(input: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        struct Name<'a> {
            #[serde(borrow)]
            name: Text<'a>,
        }
        struct Visit;
        impl<'de> Visitor<'de> for Visit {
            type Value = ToolChoice<'de>;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a string or {\"type\":\"function\",\"function\":{\"name\":…}}")
            }
            fn visit_borrowed_str<E: de::Error>(self, text: &'de str) -> Result<ToolChoice<'de>, E> {
                Ok(ToolChoice::Mode(Text(Cow::Borrowed(text))))
            }
            fn visit_str<E: de::Error>(self, text: &str) -> Result<ToolChoice<'de>, E> {
                Ok(ToolChoice::Mode(Text(Cow::Owned(text.to_owned()))))
            }
            fn visit_map<A: de::MapAccess<'de>>(self, mut fields: A) -> Result<ToolChoice<'de>, A::Error> {
                let mut name = None;
                while let Some(key) = fields.next_key::<Text<'de>>()? {
                    match key.as_str() {
                        "name" => name = Some(fields.next_value::<Text<'de>>()?),
                        "function" => name = Some(fields.next_value::<Name<'de>>()?.name),
                        _ => {
                            fields.next_value::<de::IgnoredAny>()?;
                        }
                    }
                }
                name.map(ToolChoice::Named).ok_or_else(|| de::Error::missing_field("function"))
            }
        }
        input.deserialize_any(Visit)
    }
}
