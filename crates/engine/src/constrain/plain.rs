//! Which forms are plainly cheap to compile: what they take grows with their size and nothing else.

use serde_json::{Map, Value};

use super::form::Form;

/// Schemas in a schema. A form of that size compiles within milliseconds.
const PARTS_MAX: usize = 256;
/// Listed values.
const VALUES_MAX: usize = 1_024;
/// `minItems` and the like: each item is a rule of grammar.
const ITEMS_MAX: u64 = 100;
/// `minLength` and `maxLength`.
const LENGTH_MAX: u64 = 1_000;
/// Bytes of a pattern without counts.
const PATTERN_BYTES_MAX: usize = 100;

pub(super) fn is_plain(form: &Form) -> bool {
    match form {
        Form::JsonObject => true,
        Form::JsonSchema(schema) => Count::default().is_plain(schema),
        // Without counts, its automaton is about as large as the pattern.
        Form::Regex(pattern) => pattern.len() <= PATTERN_BYTES_MAX && !pattern.contains(['{', '\\', '&']),
        // Embedded grammars are not examined here.
        Form::Lark(_) => false,
        Form::Either(one, other) => is_plain(one) && is_plain(other),
    }
}

#[derive(Default)]
struct Count {
    parts: usize,
    values: usize,
}

impl Count {
    fn is_plain(&mut self, schema: &Value) -> bool {
        self.parts += 1;
        if self.parts > PARTS_MAX {
            return false;
        }
        let fields = match schema {
            Value::Bool(_) => return true,
            Value::Object(fields) => fields,
            Value::Null | Value::Number(_) | Value::String(_) | Value::Array(_) => return false,
        };
        !is_mixed(fields) && fields.iter().all(|(name, it)| self.field(name, it))
    }

    fn field(&mut self, name: &str, it: &Value) -> bool {
        match (name, it) {
            ("properties" | "$defs" | "definitions", Value::Object(named)) => {
                named.values().all(|it| self.is_plain(it))
            }
            ("anyOf", Value::Array(listed)) => listed.iter().all(|it| self.is_plain(it)),
            ("items" | "additionalProperties", it) => self.is_plain(it),
            ("enum", Value::Array(listed)) => {
                self.values += listed.len();
                self.values <= VALUES_MAX && listed.iter().all(|it| !it.is_array() && !it.is_object())
            }
            ("const", it) => !it.is_array() && !it.is_object(),
            ("minItems" | "maxItems" | "minProperties" | "maxProperties", it) => {
                it.as_u64().is_some_and(|it| it <= ITEMS_MAX)
            }
            ("minLength" | "maxLength", it) => it.as_u64().is_some_and(|it| it <= LENGTH_MAX),
            ("type" | "required" | "$ref" | "format" | "minimum" | "maximum", _) => true,
            ("exclusiveMinimum" | "exclusiveMaximum", _) => true,
            ("title" | "description" | "default" | "examples" | "$comment" | "$schema", _) => true,
            _ => false,
        }
    }
}

/// Keywords that apply beside each other are multiplied out.
fn is_mixed(fields: &Map<String, Value>) -> bool {
    const NOTES: [&str; 9] = [
        "title",
        "description",
        "default",
        "examples",
        "$comment",
        "$schema",
        "$defs",
        "definitions",
        "type",
    ];
    let in_place = |name: &str| matches!(name, "anyOf" | "$ref" | "enum" | "const");
    let Some(one) = fields.keys().find(|it| in_place(it)) else { return false };
    fields.keys().any(|it| it != one && !NOTES.contains(&it.as_str()))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn form_is_plain_where_nothing_is_multiplied() {
        let schema = |it: Value| is_plain(&Form::JsonSchema(it));
        assert!(is_plain(&Form::JsonObject));
        assert!(schema(json!({"type": "object", "properties": {"a": {"type": "string", "maxLength": 3},
            "b": {"anyOf": [{"type": "null"}, {"$ref": "#/$defs/c"}], "title": "B"}}, "required": ["a"],
            "additionalProperties": false, "$defs": {"c": {"enum": ["x", "y"], "type": "string"}}})));
        for heavy in [
            json!({"allOf": [{"type": "string"}]}),
            json!({"type": "string", "pattern": "^a"}),
            json!({"anyOf": [{"type": "string"}], "minLength": 3}),
            json!({"$ref": "#/$defs/a", "properties": {"b": true}}),
            json!({"minLength": 1_001}),
            json!({"items": {"maxItems": 101}}),
            json!({"enum": (0..1_025).collect::<Vec<_>>()}),
            json!({"properties": (0..256).map(|it| (it.to_string(), json!(true))).collect::<Map<_, _>>()}),
            json!({"patternProperties": {"^a": true}}),
        ] {
            assert!(!schema(heavy.clone()), "{heavy}");
        }
        let regex = |it: &str| is_plain(&Form::Regex(it.to_owned()));
        assert!(regex("(yes|no)") && !regex("a{1,9}") && !regex(&"a".repeat(101)));
    }
}
