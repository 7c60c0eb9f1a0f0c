//! The generated description against the contract's facts: each field of the contract is there, with the same type,
//! the same words and the same necessity. Ours may have more fields.

#![expect(clippy::unwrap_used, clippy::panic, reason = "a test")]

use std::collections::BTreeSet;

use serde_json::{Map, Value};

/// Which way a value travels: what clients send may be read more widely, what they get is exact.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Way {
    Sent,
    Answered,
}

struct Contract {
    facts: Value,
    document: Value,
    /// Places where this operation may take more, and those where it did.
    wider: Map<String, Value>,
    used: BTreeSet<String>,
}

#[test]
fn the_description_says_what_the_contract_says() {
    let facts: Value = serde_json::from_str(include_str!("contract/endpoints.json")).unwrap();
    let document = dedi_api::openapi::document("0");
    assert_eq!(document["openapi"], "3.1.0");
    assert_eq!(document["security"][0]["bearerAuth"], serde_json::json!([]));
    let scheme = &document["components"]["securitySchemes"]["bearerAuth"];
    assert_eq!((&scheme["type"], &scheme["scheme"]), (&"http".into(), &"bearer".into()));
    let mut contract = Contract { facts, document, wider: Map::new(), used: BTreeSet::new() };
    let operations = contract.facts["operations"].as_object().unwrap().clone();
    assert_eq!(operations.len(), 7);
    for (name, facts) in &operations {
        contract.operation(name, facts);
    }
}

impl Contract {
    fn operation(&mut self, name: &str, facts: &Value) {
        let (method, path) = name.split_once(' ').unwrap();
        let ours = self.document["paths"][format!("/v1{path}")][method.to_ascii_lowercase()].clone();
        assert_eq!(ours["operationId"], facts["id"], "{name}");
        self.wider = facts["wider"].as_object().cloned().unwrap_or_default();
        self.used.clear();
        let parameters = ours["parameters"].as_array().cloned().unwrap_or_default();
        let find = |place: &str, wanted: &str| {
            let found = parameters.iter().find(|it| it["in"] == place && it["name"] == wanted);
            found.unwrap_or_else(|| panic!("{name} has no {wanted}")).clone()
        };
        if path.contains("{endpointId}") {
            assert_eq!(find("path", "endpointId")["required"], true);
        }
        for (wanted, fact) in facts["query"].as_object().into_iter().flatten() {
            let found = find("query", wanted);
            assert_eq!(found["required"], false, "{name} {wanted}");
            self.compare(&format!("{name} {wanted}"), fact, &found["schema"], Way::Answered, "");
        }
        if facts["body"].is_object() {
            let body = &ours["requestBody"];
            if body["required"] != true {
                self.allow(name, "body");
            }
            let schema = &body["content"]["application/json"]["schema"];
            self.compare(&format!("{name} body"), &facts["body"], schema, Way::Sent, "body");
        } else {
            assert!(ours["requestBody"].is_null(), "{name}");
        }
        for (status, fact) in facts["answers"].as_object().unwrap() {
            let answer = self.resolve(&ours["responses"][status]);
            let place = format!("{name} {status}");
            assert!(answer["description"].is_string(), "{place}");
            if fact == "nothing" {
                assert!(answer["content"].is_null(), "{place}");
                continue;
            }
            let schema = &answer["content"]["application/json"]["schema"];
            // A create may also be only planned; the contract's answer comes first.
            let schema = schema["anyOf"].get(0).unwrap_or(schema);
            self.compare(&place, fact, schema, Way::Answered, "");
        }
        let unused: Vec<_> = self.wider.keys().filter(|it| !self.used.contains(*it)).collect();
        assert!(unused.is_empty(), "{name} is as narrow as the contract here: {unused:?}");
    }

    /// Accepts that `path` is read more widely than the contract says.
    fn allow(&mut self, place: &str, path: &str) {
        assert!(self.wider.contains_key(path), "{place} is wider than the contract");
        self.used.insert(path.to_owned());
    }

    fn resolve(&self, schema: &Value) -> Value {
        match schema["$ref"].as_str() {
            Some(reference) => self.resolve(self.document.pointer(&reference[1..]).unwrap()),
            None => schema.clone(),
        }
    }

    /// The schema without its alternative null, and whether it has that.
    fn without_null(&self, schema: &Value) -> (Value, bool) {
        let mut schema = self.resolve(schema);
        if let Some(shapes) = schema["oneOf"].as_array() {
            let shape = shapes.iter().find(|it| it["type"] != "null").unwrap();
            return (self.resolve(shape), shapes.len() == 2);
        }
        let nullable = schema["type"][1] == "null";
        if nullable {
            schema["type"] = schema["type"][0].clone();
        }
        (schema, nullable)
    }

    fn compare(&mut self, place: &str, fact: &Value, ours: &Value, way: Way, path: &str) {
        let (ours, nullable) = self.without_null(ours);
        match fact {
            Value::String(word) => {
                if self.facts["shapes"][word].is_object() {
                    let shape = self.facts["shapes"][word].clone();
                    return self.compare(place, &shape, &ours, way, path);
                }
                let (kind, may_be_null) =
                    word.strip_suffix("|null").map_or((word.as_str(), false), |it| (it, true));
                assert!(!may_be_null || nullable, "{place} can't be null");
                let (kind, format) = match kind {
                    "int32" => ("integer", Some("int32")),
                    "date-time" => ("string", Some("date-time")),
                    other => (other, None),
                };
                assert_eq!(ours["type"], kind, "{place}");
                assert!(ours["enum"].is_null(), "{place}");
                if let Some(format) = format {
                    assert_eq!(ours["format"], format, "{place}");
                }
            }
            Value::Array(words) if words[0] == "list of" => {
                assert_eq!(ours["type"], "array", "{place}");
                self.compare(&format!("{place}[]"), &words[1], &ours["items"], way, path);
            }
            Value::Array(words) => {
                let set = |it: &[Value]| it.iter().map(ToString::to_string).collect::<BTreeSet<_>>();
                assert_eq!(ours["type"], "string", "{place}");
                assert_eq!(set(ours["enum"].as_array().unwrap()), set(words), "{place}");
            }
            Value::Object(fields) => {
                assert_eq!(ours["type"], "object", "{place}");
                self.compare_fields(place, fields, &ours, way, path);
            }
            Value::Null | Value::Bool(_) | Value::Number(_) => panic!("{place}: {fact}"),
        }
    }

    fn compare_fields(
        &mut self,
        place: &str,
        facts: &Map<String, Value>,
        ours: &Value,
        way: Way,
        path: &str,
    ) {
        let required = ours["required"].as_array().cloned().unwrap_or_default();
        let known: BTreeSet<&str> = facts.keys().map(|it| it.trim_end_matches('!')).collect();
        let surplus = required.iter().find(|it| !known.contains(it.as_str().unwrap()));
        assert!(way == Way::Answered || surplus.is_none(), "{place} needs {surplus:?}");
        for (name, fact) in facts {
            let (field, needed) = name.strip_suffix('!').map_or((name.as_str(), false), |it| (it, true));
            let (place, path) = (format!("{place}.{field}"), format!("{path}.{field}"));
            let found = &ours["properties"][field];
            assert!(found.is_object(), "{place} is missing");
            match (needed, required.iter().any(|it| it == field), way) {
                (true, true, _) | (false, false, _) => {}
                (true, false, Way::Sent) => self.allow(&place, &path),
                (true, false, Way::Answered) => panic!("{place} may be absent"),
                // An answer may always have it; a request need not.
                (false, true, Way::Answered) => {}
                (false, true, Way::Sent) => panic!("{place} is required"),
            }
            let (_, nullable) = self.without_null(found);
            let is_exact = way == Way::Answered && needed;
            assert!(!(is_exact && nullable), "{place} may be null");
            self.compare(&place, fact, found, way, &path);
        }
    }
}
