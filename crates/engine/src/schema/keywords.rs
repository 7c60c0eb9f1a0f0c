//! What each keyword may be, which of them constrain nothing, and which can't be followed.

use serde_json::{Map, Value};

use super::{ITEMS_MAX, LENGTH_MAX};

/// Formats that replies can be held to. Any other is an annotation, as the specification has it.
const FORMATS: [&str; 10] =
    ["date-time", "time", "date", "duration", "email", "hostname", "ipv4", "ipv6", "uuid", "uri"];
const TYPES: [&str; 7] = ["null", "boolean", "number", "integer", "string", "array", "object"];
const DRAFTS: [&str; 5] = [
    "https://json-schema.org/draft/2020-12/schema",
    "https://json-schema.org/draft/2019-09/schema",
    "http://json-schema.org/draft-07/schema",
    "http://json-schema.org/draft-06/schema",
    "http://json-schema.org/draft-04/schema",
];

/// Takes out what constrains nothing.
pub(super) fn drop_neutral(fields: &mut Map<String, Value>) {
    let number = |fields: &Map<String, Value>, name: &str| fields.get(name).and_then(Value::as_u64);
    if fields.get("unevaluatedProperties") == Some(&Value::Bool(false)) && is_alone(fields) {
        // Where no other schema has a say in the properties, these are the additional ones.
        fields.entry("additionalProperties").or_insert(Value::Bool(false));
        fields.remove("unevaluatedProperties");
    }
    let at_most_one = number(fields, "maxItems").is_some_and(|it| it <= 1);
    let no_minimum = number(fields, "minContains") == Some(0) && !fields.contains_key("maxContains");
    let branches = ["then", "else"].map(|name| fields.get(name).is_some_and(|it| !constrains_nothing(it)));
    let has_branches = fields.contains_key("if") && branches.contains(&true);
    let has_contains = fields.contains_key("contains");
    fields.retain(|name, it| {
        let is_neutral = match name.as_str() {
            "uniqueItems" => *it == Value::Bool(false) || at_most_one,
            "not" => *it == Value::Bool(false),
            "contains" => no_minimum,
            "minContains" | "maxContains" => !has_contains || no_minimum,
            "propertyNames" => constrains_nothing(it) || is_any_text(it),
            "unevaluatedItems" | "unevaluatedProperties" => constrains_nothing(it),
            "if" | "then" | "else" => !has_branches,
            "dependencies" | "dependentRequired" | "dependentSchemas" => constrain_nothing(it),
            "$dynamicAnchor" | "$recursiveAnchor" => true,
            "format" => it.as_str().is_some_and(|it| !FORMATS.contains(&it)),
            "maxLength" => it.as_u64().is_some_and(|it| it > LENGTH_MAX),
            "maxItems" | "maxProperties" => it.as_u64().is_some_and(|it| it > LENGTH_MAX),
            "minLength" | "minItems" | "minProperties" => it.as_u64() == Some(0),
            "required" => it.as_array().is_some_and(Vec::is_empty),
            "$schema" => it.as_str().is_none_or(|it| !DRAFTS.contains(&it.trim_end_matches('#'))),
            "x-guidance" => true,
            _ => false,
        };
        !is_neutral
    });
}

/// No other schema describes the same object.
fn is_alone(fields: &Map<String, Value>) -> bool {
    ["allOf", "anyOf", "oneOf", "$ref", "if", "dependentSchemas"].iter().all(|it| !fields.contains_key(*it))
}

/// Any value satisfies it.
fn constrains_nothing(schema: &Value) -> bool {
    const NOTES: [&str; 8] =
        ["title", "description", "$comment", "default", "examples", "deprecated", "readOnly", "writeOnly"];
    match schema {
        Value::Bool(it) => *it,
        Value::Object(fields) => fields.keys().all(|it| NOTES.contains(&it.as_str())),
        Value::Null | Value::Number(_) | Value::String(_) | Value::Array(_) => false,
    }
}

/// Any text satisfies it, as each property's name is one.
fn is_any_text(schema: &Value) -> bool {
    schema
        .as_object()
        .is_some_and(|fields| fields.len() == 1 && fields.get("type").is_some_and(|it| it == "string"))
}

fn constrain_nothing(dependencies: &Value) -> bool {
    let nothing = |it: &Value| constrains_nothing(it) || it.as_array().is_some_and(Vec::is_empty);
    dependencies.as_object().is_some_and(|it| it.values().all(nothing))
}

/// The first keyword that can't be followed, and why.
pub(super) fn check(fields: &Map<String, Value>) -> Result<(), (&str, String)> {
    for (name, it) in fields {
        if let Some(cause) = fault(name, it) {
            return Err((name, cause));
        }
    }
    for (least, most) in [
        ("minLength", "maxLength"),
        ("minItems", "maxItems"),
        ("minProperties", "maxProperties"),
        ("minimum", "maximum"),
    ] {
        let number = |name: &str| fields.get(name).and_then(Value::as_f64);
        if let (Some(low), Some(high)) = (number(least), number(most))
            && low > high
        {
            return Err((
                least,
                format!("it is {low} and more than `{most}`, which is {high}: nothing can satisfy both"),
            ));
        }
    }
    Ok(())
}

fn fault(name: &str, it: &Value) -> Option<String> {
    let must = |is_so: bool, what: &str| (!is_so).then(|| format!("it must be {what}"));
    match name {
        "uniqueItems" => Some(
            "replies can't be held to items that all differ; leave it out, and compare them yourself"
                .to_owned(),
        ),
        "not"
        | "if"
        | "then"
        | "else"
        | "contains"
        | "minContains"
        | "maxContains"
        | "propertyNames"
        | "dependencies"
        | "dependentRequired"
        | "dependentSchemas"
        | "unevaluatedItems"
        | "unevaluatedProperties"
        | "$dynamicRef"
        | "$recursiveRef" => Some(format!(
            "replies can't be held to `{name}`; leave it out, or say the same with other keywords"
        )),
        "type" => {
            let known = |it: &Value| it.as_str().is_some_and(|it| TYPES.contains(&it));
            let listed = it.as_array().is_some_and(|all| !all.is_empty() && all.iter().all(known));
            must(known(it) || listed, &format!("{}, or a list of them", TYPES.join(", ")))
        }
        "properties" | "patternProperties" | "$defs" | "definitions" => {
            must(it.is_object(), "an object of schemas")
        }
        "allOf" | "anyOf" | "oneOf" => {
            must(it.as_array().is_some_and(|it| !it.is_empty()), "a list of schemas with one or more")
        }
        "prefixItems" => must(it.is_array(), "a list of schemas"),
        "enum" => must(it.as_array().is_some_and(|it| !it.is_empty()), "a list of values with one or more"),
        "required" => {
            let texts = it.as_array().is_some_and(|it| it.iter().all(Value::is_string));
            must(texts, "a list of property names")
        }
        "$ref" | "format" | "$id" | "$anchor" => must(it.is_string(), "a text"),
        "pattern" => match it.as_str() {
            None => must(false, "a text, a regular expression"),
            Some(pattern) => bad_pattern(pattern),
        },
        "minItems" | "maxItems" | "minProperties" | "maxProperties" => {
            let fits = it.as_u64().is_some_and(|it| it <= ITEMS_MAX);
            must(fits, &format!("a whole number from 0 to {ITEMS_MAX}"))
        }
        "minLength" | "maxLength" => {
            let fits = it.as_u64().is_some_and(|it| it <= LENGTH_MAX);
            must(fits, &format!("a whole number from 0 to {LENGTH_MAX}"))
        }
        "minimum" | "maximum" => must(it.is_number(), "a number"),
        "exclusiveMinimum" | "exclusiveMaximum" => must(it.is_number() || it.is_boolean(), "a number"),
        "multipleOf" => must(it.as_f64().is_some_and(|it| it > 0.0), "a number greater than 0"),
        _ => None,
    }
}

/// Why a pattern is none that can be followed.
pub(super) fn bad_pattern(pattern: &str) -> Option<String> {
    let error = regex_syntax::parse(pattern).err()?;
    let cause = match &error {
        regex_syntax::Error::Parse(it) => it.kind().to_string(),
        regex_syntax::Error::Translate(it) => it.kind().to_string(),
        _ => "it can't be read".to_owned(),
    };
    Some(format!("it is no regular expression that replies can be held to ({cause})"))
}

/// How many values are listed.
pub(super) fn values(fields: &Map<String, Value>) -> usize {
    fn size(value: &Value) -> usize {
        match value {
            Value::Array(items) => 1 + items.iter().map(size).sum::<usize>(),
            Value::Object(fields) => 1 + fields.values().map(size).sum::<usize>(),
            Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => 1,
        }
    }
    ["enum", "const"].iter().filter_map(|it| fields.get(*it)).map(size).sum()
}
