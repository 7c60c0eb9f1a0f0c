//! References: where they lead, and whether what they lead to ever ends.

use std::collections::{BTreeSet, HashMap, HashSet};

use serde_json::{Map, Value};

use super::{Fault, below, path};

/// Keywords whose members are schemas by names that people choose.
const NAMED: [&str; 5] = ["properties", "patternProperties", "$defs", "definitions", "dependentSchemas"];
/// Keywords whose value is a value.
const VALUES: [&str; 4] = ["const", "enum", "default", "examples"];

/// References to the schema's own address become references to its root, and the address goes: the schema may be put
/// into a larger one.
pub(super) fn make_local(schema: &mut Value) {
    let Some(id) = schema.as_object_mut().and_then(|it| it.remove("$id")) else { return };
    let Some(id) = id.as_str().map(|it| it.trim_end_matches('#').to_owned()) else { return };
    rename(schema, &|target| {
        let rest = target.strip_prefix(&id[..])?;
        (rest.is_empty() || rest.starts_with('#'))
            .then(|| if rest.is_empty() { "#".to_owned() } else { rest.to_owned() })
    });
}

/// Gives references the names that `new` has for them, where it has any.
pub(super) fn rename(schema: &mut Value, new: &impl Fn(&str) -> Option<String>) {
    let Some(fields) = schema.as_object_mut() else { return };
    for (name, it) in fields.iter_mut() {
        match (name.as_str(), it) {
            ("$ref", Value::String(target)) => {
                if let Some(renamed) = new(target) {
                    *target = renamed;
                }
            }
            (name, Value::Object(named)) if NAMED.contains(&name) => {
                named.values_mut().for_each(|it| rename(it, new));
            }
            // A literal value is never a reference, even if it looks like one.
            (name, _) if VALUES.contains(&name) => {}
            (_, Value::Array(listed)) => listed.iter_mut().for_each(|it| rename(it, new)),
            (_, it) => rename(it, new),
        }
    }
}

/// The pointer that a schema's `$ref` names, if it has one.
pub(super) fn target(fields: &Map<String, Value>) -> Option<Result<String, String>> {
    let reference = fields.get("$ref")?.as_str()?;
    let Some(pointer) = reference.strip_prefix('#') else {
        let cause =
            "it leads out of the schema; put what it names into `$defs` and refer to it as \"#/$defs/…\"";
        return Some(Err(cause.to_owned()));
    };
    if pointer.is_empty() || pointer == "/" {
        return Some(Ok(String::new()));
    }
    if !pointer.starts_with('/') {
        let cause = "replies can't be held to anchors; refer to it by its place, as \"#/$defs/…\"";
        return Some(Err(cause.to_owned()));
    }
    if pointer.contains('%') {
        let cause = "its name has percent signs in it; give what it names a plainer name";
        return Some(Err(cause.to_owned()));
    }
    Some(Ok(pointer.to_owned()))
}

/// Refuses references that lead back to themselves, and schemas without a value that ends.
pub(super) fn check(root: &Value) -> Result<(), Fault> {
    let mut targets = BTreeSet::new();
    collect(root, &mut targets);
    let mut states = HashMap::new();
    in_place(root, String::new(), &mut states)?;
    for pointer in &targets {
        in_place(root, pointer.clone(), &mut states)?;
    }
    // Reverse references, so that each schema is revisited only when one that it refers to is known to end.
    let mut mentioned: HashMap<String, Vec<&str>> = HashMap::new();
    for pointer in &targets {
        let mut inside = BTreeSet::new();
        root.pointer(pointer).into_iter().for_each(|it| collect(it, &mut inside));
        inside.into_iter().for_each(|it| mentioned.entry(it).or_default().push(pointer));
    }
    let mut ending: HashSet<&str> = HashSet::new();
    let mut to_look_at: Vec<&str> = targets.iter().map(String::as_str).collect();
    while let Some(pointer) = to_look_at.pop() {
        if !ending.contains(pointer) && root.pointer(pointer).is_none_or(|part| ends(part, &ending)) {
            ending.insert(pointer);
            to_look_at.extend(mentioned.get(pointer).into_iter().flatten());
        }
    }
    match targets.iter().find(|it| !ending.contains(it.as_str())) {
        None => Ok(()),
        Some(endless) => Err(Fault {
            path: path(endless),
            cause: "each value of it would have another one in it, without an end; let what repeats be absent, empty or null"
                .to_owned(),
        }),
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Visit {
    Open,
    Done,
}

enum Step {
    Enter(String),
    Leave(String),
}

/// Follows what describes the same value: references, and the schemas that apply beside each other. Without recursion:
/// references make chains as long as a schema has parts.
fn in_place(root: &Value, pointer: String, states: &mut HashMap<String, Visit>) -> Result<(), Fault> {
    let mut steps = vec![Step::Enter(pointer)];
    while let Some(step) = steps.pop() {
        let pointer = match step {
            Step::Enter(pointer) => pointer,
            Step::Leave(pointer) => {
                states.insert(pointer, Visit::Done);
                continue;
            }
        };
        match states.get(&pointer) {
            Some(Visit::Done) => continue,
            Some(Visit::Open) => {
                let cause =
                    "its references lead back to itself and say nothing on the way; describe a value there";
                return Err(Fault { path: path(&pointer), cause: cause.to_owned() });
            }
            None => {}
        }
        let Some(fields) = root.pointer(&pointer).and_then(Value::as_object) else { continue };
        states.insert(pointer.clone(), Visit::Open);
        steps.push(Step::Leave(pointer.clone()));
        for name in ["allOf", "anyOf", "oneOf"] {
            let n = fields.get(name).and_then(Value::as_array).map_or(0, Vec::len);
            steps.extend((0..n).map(|it| Step::Enter(below(&below(&pointer, name), &it.to_string()))));
        }
        steps.extend(target(fields).and_then(Result::ok).map(Step::Enter));
    }
    Ok(())
}

/// All pointers that are referred to.
fn collect(schema: &Value, into: &mut BTreeSet<String>) {
    let Some(fields) = schema.as_object() else { return };
    into.extend(target(fields).and_then(Result::ok));
    for (name, it) in fields {
        match (name.as_str(), it) {
            (name, Value::Object(named)) if NAMED.contains(&name) => {
                named.values().for_each(|it| collect(it, into));
            }
            (name, _) if VALUES.contains(&name) => {}
            (_, Value::Array(listed)) => listed.iter().for_each(|it| collect(it, into)),
            (_, it) => collect(it, into),
        }
    }
}

/// Whether a value of it ends, as far as those of `ending` do.
fn ends(part: &Value, ending: &HashSet<&str>) -> bool {
    let Some(fields) = part.as_object() else { return true };
    if fields.contains_key("const") || fields.contains_key("enum") {
        return true;
    }
    if let Some(Ok(target)) = target(fields)
        && !ending.contains(target.as_str())
    {
        return false;
    }
    let listed = |name: &str| fields.get(name).and_then(Value::as_array);
    if listed("allOf").is_some_and(|all| !all.iter().all(|it| ends(it, ending))) {
        return false;
    }
    for name in ["anyOf", "oneOf"] {
        if listed(name).is_some_and(|all| !all.iter().any(|it| ends(it, ending))) {
            return false;
        }
    }
    let types: Vec<&str> = match fields.get("type") {
        Some(Value::String(one)) => vec![one],
        Some(Value::Array(several)) => several.iter().filter_map(Value::as_str).collect(),
        Some(_) | None => return true,
    };
    types.iter().any(|it| match *it {
        "object" => {
            let properties = fields.get("properties");
            let mut required = listed("required").into_iter().flatten().filter_map(Value::as_str);
            required.all(|name| properties.and_then(|it| it.get(name)).is_none_or(|it| ends(it, ending)))
        }
        "array" => {
            let least = fields.get("minItems").and_then(Value::as_u64).unwrap_or(0);
            let least = usize::try_from(least).unwrap_or(usize::MAX);
            let first = listed("prefixItems");
            let n_first = first.map_or(0, Vec::len);
            first.into_iter().flatten().take(least).all(|it| ends(it, ending))
                && (least <= n_first || fields.get("items").is_none_or(|it| ends(it, ending)))
        }
        _ => true,
    })
}
