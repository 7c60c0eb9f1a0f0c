//! Of which type an argument is, for the forms in which all of them are written as plain text.

use serde_json::Value;

// References may go in a circle.
const REFERENCES_MAX: usize = 8;

/// What a function takes.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Parameters(Option<Value>);

/// The types that an argument may have.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Types {
    text: bool,
    number: bool,
    boolean: bool,
    null: bool,
    object: bool,
    list: bool,
}

const ANY: Types = Types { text: true, number: true, boolean: true, null: true, object: true, list: true };

impl Parameters {
    pub(super) fn new(schema: Option<Value>) -> Self {
        Self(schema)
    }

    /// The types of the argument `name`.
    pub(super) fn types(&self, name: &str) -> Types {
        let Some(root) = &self.0 else { return ANY };
        let property = root.get("properties").and_then(|it| it.get(name));
        let found = property.map(|it| types(root, it, REFERENCES_MAX)).unwrap_or_default();
        if found == Types::default() { ANY } else { found }
    }
}

impl Types {
    /// A text.
    pub(super) fn text() -> Self {
        Self { text: true, ..Self::default() }
    }

    /// Anything but a text.
    pub(super) fn no_text() -> Self {
        Self { text: false, ..ANY }
    }

    /// Whether every text is meant as it stands.
    pub(super) fn is_text(self) -> bool {
        self == Self::text()
    }

    /// A plain text as the JSON of what it stands for.
    pub(super) fn read(self, plain: &str) -> String {
        let trimmed = plain.trim();
        let literal = match trimmed {
            "True" => "true",
            "False" => "false",
            "None" => "null",
            other => other,
        };
        let written = whole(literal);
        match written {
            Some(json) if self.takes(&json) || !self.text => json,
            Some(_) | None => Value::String(plain.to_owned()).to_string(),
        }
    }

    fn takes(self, json: &str) -> bool {
        match json.chars().next() {
            Some('{') => self.object,
            Some('[') => self.list,
            Some('t' | 'f') => self.boolean,
            Some('n') => self.null,
            // A text that has quotes of its own where a text is wanted keeps them.
            Some('"') | None => false,
            Some(_) => self.number,
        }
    }

    fn or(self, other: Self) -> Self {
        Self {
            text: self.text || other.text,
            number: self.number || other.number,
            boolean: self.boolean || other.boolean,
            null: self.null || other.null,
            object: self.object || other.object,
            list: self.list || other.list,
        }
    }
}

/// The compact JSON of a text that is one value, as JSON or as Python writes it.
fn whole(text: &str) -> Option<String> {
    use super::value::{Step, Value};
    let (mut value, mut out) = (Value::new(), String::new());
    let mut letters = text.chars();
    while let Some(c) = letters.next() {
        match value.push(c, &mut out) {
            Step::More => {}
            Step::Done => return letters.as_str().trim().is_empty().then_some(out),
            Step::Before | Step::Wrong => return None,
        }
    }
    value.finish(&mut out).then_some(out)
}

fn types(root: &Value, schema: &Value, references: usize) -> Types {
    let one = |name: &str| match name {
        "string" => Types { text: true, ..Types::default() },
        "number" | "integer" => Types { number: true, ..Types::default() },
        "boolean" => Types { boolean: true, ..Types::default() },
        "null" => Types { null: true, ..Types::default() },
        "object" => Types { object: true, ..Types::default() },
        "array" => Types { list: true, ..Types::default() },
        _ => Types::default(),
    };
    let of_value = |it: &Value| match it {
        Value::String(_) => one("string"),
        Value::Number(_) => one("number"),
        Value::Bool(_) => one("boolean"),
        Value::Null => one("null"),
        Value::Object(_) => one("object"),
        Value::Array(_) => one("array"),
    };
    let all = |found: Types, more: Types| found.or(more);
    match schema.get("type") {
        Some(Value::String(name)) => return one(name),
        Some(Value::Array(names)) => {
            return names.iter().filter_map(Value::as_str).map(one).fold(Types::default(), all);
        }
        Some(_) | None => {}
    }
    if let Some(target) = schema.get("$ref").and_then(Value::as_str) {
        let target = target.strip_prefix('#').and_then(|it| root.pointer(it));
        return match (target, references.checked_sub(1)) {
            (Some(target), Some(left)) => types(root, target, left),
            _ => Types::default(),
        };
    }
    if let Some(values) = schema.get("enum").and_then(Value::as_array) {
        return values.iter().map(of_value).fold(Types::default(), all);
    }
    if let Some(value) = schema.get("const") {
        return of_value(value);
    }
    let Some(left) = references.checked_sub(1) else { return Types::default() };
    let choices = ["anyOf", "oneOf", "allOf"].iter().filter_map(|it| schema.get(it)?.as_array()).flatten();
    choices.map(|it| types(root, it, left)).fold(Types::default(), all)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn read(schema: Value, plain: &str) -> String {
        Parameters::new(Some(json!({"properties": {"a": schema}, "$defs": {"n": {"type": "integer"}}})))
            .types("a")
            .read(plain)
    }

    #[test]
    fn arguments_have_the_types_of_the_schema() {
        for (schema, plain, json) in [
            (json!({"type": "string"}), "5", "\"5\""),
            (json!({"type": "string"}), " é ", "\" é \""),
            (json!({"enum": ["1", "2"]}), "1", "\"1\""),
            (json!({"type": "integer"}), " 5 ", "5"),
            (json!({"$ref": "#/$defs/n"}), "5", "5"),
            (json!({"$ref": "#/properties/a"}), "5", "5"),
            (json!({"type": "boolean"}), "True", "true"),
            (json!({"type": ["string", "null"]}), "null", "null"),
            (json!({"type": ["string", "null"]}), "5", "\"5\""),
            (json!({"anyOf": [{"type": "integer"}, {"type": "string"}]}), "5", "5"),
            (json!({"anyOf": [{"type": "integer"}, {"type": "string"}]}), "five", "\"five\""),
            (json!({"type": "object"}), "{'a': None}", "{\"a\":null}"),
            (json!({"type": "array"}), "[1, 2]", "[1,2]"),
            (json!({"type": "integer"}), "many", "\"many\""),
            (json!({}), "5", "5"),
            (json!({}), "Paris", "\"Paris\""),
        ] {
            assert_eq!(read(schema.clone(), plain), json, "{plain} as {schema}");
        }
        assert_eq!(Parameters::default().types("a").read("[1]"), "[1]");
    }
}
