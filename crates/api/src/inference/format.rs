//! What a reply must look like.

use serde::Deserialize;
use serde_json::value::RawValue;
use utoipa::ToSchema;

use super::Text;
use crate::enums::ResponseFormatType;
use crate::read::object_or_null;

/// Form of the reply, in any of the shapes that are sent.
#[derive(Clone, Debug, Deserialize, ToSchema)]
pub struct ResponseFormat<'a> {
    /// `text`, `json_object`, `json_schema` or `regex`.
    #[serde(rename = "type", borrow, default)]
    #[schema(value_type = ResponseFormatType, required = true)]
    pub kind: Option<Text<'a>>,
    /// OpenAI's field for the schema.
    #[serde(borrow, default, deserialize_with = "object_or_null")]
    pub json_schema: Option<NamedSchema<'a>>,
    /// The schema as older clients send it.
    #[serde(borrow, default)]
    #[schema(value_type = Option<Object>)]
    pub schema: Option<&'a RawValue>,
    /// The pattern of `regex`.
    #[serde(borrow, default)]
    #[schema(value_type = Option<String>)]
    pub pattern: Option<Text<'a>>,
}

/// A JSON schema with its name.
#[derive(Clone, Debug, Deserialize, ToSchema)]
pub struct NamedSchema<'a> {
    /// The schema's name, for the model.
    #[serde(borrow, default)]
    #[schema(value_type = Option<String>)]
    pub name: Option<Text<'a>>,
    /// The JSON schema itself.
    #[serde(borrow, default)]
    #[schema(value_type = Option<Object>)]
    pub schema: Option<&'a RawValue>,
    /// Whether to follow it to the letter.
    #[serde(default)]
    pub strict: Option<bool>,
}
