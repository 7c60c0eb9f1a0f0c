//! Schemas of the types that read several shapes.

use utoipa::openapi::schema::{AnyOf, ArrayBuilder, Object, ObjectBuilder, Schema, SchemaType, Type};
use utoipa::openapi::{Ref, RefOr};
use utoipa::{PartialSchema, ToSchema};

use crate::inference::{Content, ContentPart, EmbeddingInput, Logprobs, Prompt, Stop, ToolChoice};

type Schemas = Vec<(String, RefOr<Schema>)>;

fn any_of<const N: usize>(shapes: [RefOr<Schema>; N]) -> RefOr<Schema> {
    Schema::AnyOf(AnyOf { items: shapes.to_vec(), ..AnyOf::new() }).into()
}

fn text(chars_min: usize) -> Object {
    let chars_min = Some(chars_min).filter(|it| *it > 0);
    ObjectBuilder::new().schema_type(Type::String).min_length(chars_min).build()
}

fn integer(min: i64, max: i64) -> Object {
    ObjectBuilder::new().schema_type(Type::Integer).minimum(Some(min)).maximum(Some(max)).build()
}

fn list(items: impl Into<RefOr<Schema>>, min: usize, max: usize) -> RefOr<Schema> {
    let items: RefOr<Schema> = items.into();
    ArrayBuilder::new().items(items).min_items(Some(min)).max_items(Some(max)).into()
}

impl PartialSchema for Content<'_> {
    fn schema() -> RefOr<Schema> {
        let parts = ArrayBuilder::new().items(Ref::from_schema_name("ContentPart"));
        any_of([text(0).into(), parts.into()])
    }
}

impl ToSchema for Content<'_> {
    fn schemas(schemas: &mut Schemas) {
        schemas.push((ContentPart::name().into_owned(), ContentPart::schema()));
        ContentPart::schemas(schemas);
    }
}

impl PartialSchema for Stop<'_> {
    fn schema() -> RefOr<Schema> {
        let text = || ObjectBuilder::from(text(1)).max_length(Some(256)).build();
        any_of([text().into(), list(text(), 0, 64)])
    }
}

impl ToSchema for Stop<'_> {}

impl PartialSchema for Prompt<'_> {
    fn schema() -> RefOr<Schema> {
        any_of([text(1).into(), list(text(1), 1, 1)])
    }
}

impl ToSchema for Prompt<'_> {}

impl PartialSchema for Logprobs {
    fn schema() -> RefOr<Schema> {
        any_of([integer(0, 20).into(), ObjectBuilder::new().schema_type(Type::Boolean).into()])
    }
}

impl ToSchema for Logprobs {}

impl PartialSchema for ToolChoice<'_> {
    fn schema() -> RefOr<Schema> {
        let named = || ObjectBuilder::new().property("name", text(0)).required("name");
        let function = ObjectBuilder::new().property("function", named()).required("function");
        any_of([text(0).into(), function.into(), named().into()])
    }
}

impl ToSchema for ToolChoice<'_> {}

/// Token ids, as texts, and what is added to their scores.
#[derive(Clone, Copy, Debug)]
pub enum LogitBias {}

impl PartialSchema for LogitBias {
    fn schema() -> RefOr<Schema> {
        let id = ObjectBuilder::new().schema_type(Type::String).pattern(Some("^[0-9]{1,9}$"));
        let bias = ObjectBuilder::new().schema_type(Type::Number).minimum(Some(-100)).maximum(Some(100));
        let bias: RefOr<Schema> = bias.into();
        let biases = ObjectBuilder::new().property_names(Some(id)).additional_properties(Some(bias));
        biases.max_properties(Some(1_024)).into()
    }
}

impl ToSchema for LogitBias {}

impl PartialSchema for EmbeddingInput<'_> {
    fn schema() -> RefOr<Schema> {
        any_of([text(1).into(), list(text(1), 1, 2_048)])
    }
}

impl ToSchema for EmbeddingInput<'_> {}

/// A tenant's name.
pub(crate) const OWNER: &str = "^[a-z0-9-]{1,39}$";

/// A list of texts of one form, at least one and at most so many, or null.
pub(crate) fn texts(pattern: &str, most: usize) -> Schema {
    let text = ObjectBuilder::new().schema_type(Type::String).pattern(Some(pattern));
    let kind = SchemaType::from_iter([Type::Array, Type::Null]);
    let list = ArrayBuilder::new().schema_type(kind).items(text);
    Schema::Array(list.min_items(Some(1)).max_items(Some(most)).build())
}
