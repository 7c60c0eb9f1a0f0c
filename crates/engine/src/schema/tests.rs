use serde_json::{Value, json};

use super::*;

fn fault(schema: Value) -> (String, String) {
    let fault = tidy(schema.clone()).expect_err(&format!("{schema} is taken"));
    (fault.path, fault.cause)
}

#[test]
fn schema_that_constrains_nothing_is_taken() {
    let notes = json!({"title": "a", "$comment": "b", "default": 1, "examples": [1], "readOnly": true, "deprecated": true});
    for (given, left) in [
        (json!({"type": "array", "uniqueItems": false}), json!({"type": "array"})),
        (
            json!({"type": "array", "uniqueItems": true, "maxItems": 1}),
            json!({"type": "array", "maxItems": 1}),
        ),
        (json!({"type": "string", "format": "binary"}), json!({"type": "string"})),
        (json!({"type": "integer", "format": "int32"}), json!({"type": "integer"})),
        (json!({"type": "string", "format": "date"}), json!({"type": "string", "format": "date"})),
        (json!({"type": "string", "minLength": 0}), json!({"type": "string"})),
        (json!({"type": "string", "maxLength": 2_147_483_647}), json!({"type": "string"})),
        (json!({"type": "array", "minItems": 0, "contains": {}, "minContains": 0}), json!({"type": "array"})),
        (json!({"maxContains": 3, "minContains": 3}), json!({})),
        (json!({"not": false}), json!({})),
        (json!({"if": {"type": "string"}}), json!({})),
        (json!({"then": {"type": "string"}}), json!({})),
        (json!({"if": {"type": "string"}, "then": true, "else": {}}), json!({})),
        (json!({"propertyNames": {"type": "string"}}), json!({})),
        (
            json!({"dependencies": {}, "dependentRequired": {"a": []}, "dependentSchemas": {"a": true}}),
            json!({}),
        ),
        (json!({"unevaluatedProperties": {}, "unevaluatedItems": true}), json!({})),
        (
            json!({"type": "object", "unevaluatedProperties": false}),
            json!({"type": "object", "additionalProperties": false}),
        ),
        (json!({"$schema": "https://example.com/mine", "type": "null"}), json!({"type": "null"})),
        (json!({"$dynamicAnchor": "node", "required": []}), json!({})),
        (
            json!({"nullable": true, "x-order": 1, "contentEncoding": "base64"}),
            json!({"nullable": true, "x-order": 1, "contentEncoding": "base64"}),
        ),
        (notes.clone(), notes),
        (
            json!({"properties": {"a": {"items": {"anyOf": [{"format": "int64"}]}}}}),
            json!({"properties": {"a": {"items": {"anyOf": [{}]}}}}),
        ),
        // What nothing refers to constrains nothing.
        (json!({"$defs": {"a": {"not": {}}}}), json!({"$defs": {"a": {"not": {}}}})),
        (json!(true), json!(true)),
    ] {
        assert_eq!(tidy(given.clone()).unwrap_or_else(|it| panic!("{given}: {it}")), left, "{given}");
    }
}

#[test]
fn schema_that_can_not_be_followed_is_named_by_path_and_cause() {
    let inner = |it: Value| json!({"type": "object", "properties": {"a": {"type": "array", "items": it}}});
    for (keyword, value, cause) in [
        ("uniqueItems", json!(true), "items that all differ"),
        ("not", json!({"type": "string"}), "`not`"),
        ("contains", json!({"type": "string"}), "`contains`"),
        ("propertyNames", json!({"pattern": "^a"}), "`propertyNames`"),
        ("dependentRequired", json!({"a": ["b"]}), "`dependentRequired`"),
        ("unevaluatedItems", json!(false), "`unevaluatedItems`"),
        ("type", json!("strnig"), "null, boolean"),
        ("type", json!([]), "null, boolean"),
        ("enum", json!([]), "one or more"),
        ("anyOf", json!([]), "one or more"),
        ("pattern", json!("(a"), "unclosed group"),
        ("pattern", json!("(?=a)b"), "look-around"),
        ("pattern", json!(5), "a text"),
        ("required", json!("a"), "property names"),
        ("properties", json!([]), "an object"),
        ("multipleOf", json!(0), "greater than 0"),
        ("minItems", json!(-1), "from 0 to 10000"),
        ("maxItems", json!(10_001), "from 0 to 10000"),
        ("minLength", json!(LENGTH_MAX + 1), "from 0 to 1048576"),
        ("$ref", json!("https://example.com/a.json"), "out of the schema"),
        ("$ref", json!("#node"), "anchors"),
    ] {
        let (path, error) = fault(inner(json!({ keyword: value })));
        assert_eq!(path, format!("properties.a.items.{keyword}"), "{error}");
        assert!(error.contains(cause), "{keyword}: {error}");
    }
    let (path, error) = fault(inner(json!({"if": {"type": "string"}, "then": {"minLength": 1}})));
    assert_eq!((path.as_str(), error.contains("can't be held to")), ("properties.a.items.if", true));
    assert_eq!(fault(json!({"minLength": 3, "maxLength": 2})).0, "minLength");
    assert_eq!(
        fault(json!({"$ref": "#/$defs/a", "$defs": {"a": {"items": {"not": {}}}}})).0,
        "$defs.a.items.not"
    );
    assert!(fault(json!({"items": {"$ref": "#/$defs/none"}})).1.contains("not in the schema"));
    assert!(fault(json!(["a"])).1.contains("an object"));
    assert_eq!(fault(json!({"anyOf": [true, {"items": 5}]})).0, "anyOf[1].items");
}

#[test]
fn schema_reference_that_leads_back_to_itself_is_named() {
    for (schema, path) in [
        (json!({"$ref": "#"}), ""),
        (json!({"$ref": "#/$defs/A", "$defs": {"A": {"$ref": "#/$defs/A"}}}), "$defs.A"),
        (
            json!({"$ref": "#/$defs/A", "$defs": {"A": {"$ref": "#/$defs/B"}, "B": {"$ref": "#/$defs/A"}}}),
            "$defs.A",
        ),
        (json!({"anyOf": [{"type": "null"}, {"$ref": "#"}]}), ""),
        (json!({"allOf": [{"$ref": "#"}]}), ""),
        (json!({"$id": "https://e.com/a", "$ref": "https://e.com/a"}), ""),
        (
            json!({"properties": {"a": {"$ref": "#/$defs/A"}}, "$defs": {"A": {"oneOf": [{"$ref": "#/$defs/A"}]}}}),
            "$defs.A",
        ),
    ] {
        let (at, cause) = fault(schema.clone());
        assert_eq!(at, path, "{schema}: {cause}");
        assert!(cause.contains("back to itself"), "{schema}: {cause}");
    }
}

#[test]
fn schema_recursion_that_consumes_is_taken_and_one_without_an_end_is_not() {
    for schema in [
        json!({"type": "object", "properties": {"next": {"$ref": "#"}}}),
        json!({"type": "object", "properties": {"next": {"anyOf": [{"$ref": "#"}, {"type": "null"}]}}, "required": ["next"]}),
        json!({"type": "object", "properties": {"children": {"type": "array", "items": {"$ref": "#"}}}, "required": ["children"]}),
        json!({"$ref": "#/$defs/a", "$defs": {"a": {"type": "array", "items": {"$ref": "#/$defs/b"}}, "b": {"anyOf": [{"type": "null"}, {"$ref": "#/$defs/a"}]}}}),
    ] {
        assert!(tidy(schema.clone()).is_ok(), "{schema}: {:?}", tidy(schema.clone()));
    }
    for schema in [
        json!({"type": "object", "properties": {"next": {"$ref": "#"}}, "required": ["next"]}),
        json!({"type": "array", "minItems": 1, "items": {"$ref": "#"}}),
        json!({"$ref": "#/$defs/a", "$defs": {"a": {"type": "array", "minItems": 1, "items": {"$ref": "#/$defs/b"}}, "b": {"anyOf": [{"$ref": "#/$defs/a"}]}}}),
    ] {
        assert!(fault(schema.clone()).1.contains("without an end"), "{schema}");
    }
}

#[test]
fn schema_beyond_a_limit_is_refused_before_it_is_compiled() {
    let properties = |n: usize| {
        let all: Map<String, Value> = (0..n).map(|it| (format!("p{it}"), json!({"type": "null"}))).collect();
        json!({"type": "object", "properties": all})
    };
    assert!(tidy(properties(PARTS_MAX - 1)).is_ok());
    assert!(fault(properties(PARTS_MAX)).1.contains("4096"));
    let nested = |n: usize| (0..n).fold(json!({"type": "null"}), |inner, _| json!({"items": inner}));
    assert!(tidy(nested(DEPTH_MAX)).is_ok());
    assert!(fault(nested(DEPTH_MAX + 1)).1.contains("48"));
    let values = |n: usize| json!({"enum": (0..n).collect::<Vec<_>>()});
    assert!(tidy(values(VALUES_MAX - 1)).is_ok());
    assert!(fault(values(VALUES_MAX)).1.contains("8192"));
    let long = |n: usize| json!({"description": "x".repeat(n - r#"{"description":""}"#.len())});
    assert!(tidy(long(BYTES_MAX)).is_ok());
    assert!(fault(long(BYTES_MAX + 1)).1.contains("262144"));
}

#[test]
fn schema_within_another_keeps_its_references() {
    let schema = json!({"$schema": "x", "items": {"$ref": "#"}, "enum": [{"$ref": "#"}],
        "properties": {"enum": {"$ref": "#/$defs/a"}, "$ref": {"anyOf": [{"$ref": "#/"}]}}});
    assert_eq!(
        moved(schema, "/properties/arguments"),
        json!({"items": {"$ref": "#/properties/arguments"}, "enum": [{"$ref": "#"}],
            "properties": {"enum": {"$ref": "#/properties/arguments/$defs/a"},
                "$ref": {"anyOf": [{"$ref": "#/properties/arguments"}]}}})
    );
}
