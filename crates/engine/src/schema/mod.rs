//! A JSON schema before it is compiled: what constrains nothing is taken out, what can't be followed is named with its
//! property and the cause, and what is larger than the limits goes no further.

use std::collections::HashSet;
use std::fmt;

use serde_json::{Map, Value};

mod keywords;
mod recursion;
#[cfg(test)]
mod tests;

/// Bytes of a schema as JSON. The largest published ones, such as FHIR's resources one by one, have some tens of thousands.
pub const BYTES_MAX: usize = 256 << 10;
/// Schemas within a schema, each property's counted: compiling takes a stack frame and a few rules of grammar for each.
pub const PARTS_MAX: usize = 4_096;
/// Schemas within each other. Clients' libraries write some ten.
pub const DEPTH_MAX: usize = 48;
/// Values of all `enum`s and `const`s. OpenAI takes 1,000.
pub const VALUES_MAX: usize = 8_192;
/// The largest `minItems`, `maxItems`, `minProperties` or `maxProperties`: each item is a rule of grammar of its own.
pub const ITEMS_MAX: u64 = 10_000;
/// The largest `minLength`: so much has to be written before the text may end. An upper bound beyond it is none.
pub const LENGTH_MAX: u64 = 1 << 20;

/// Why a schema can't be followed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fault {
    /// Where, from the root on: `properties.size`. Empty at the root.
    pub path: String,
    /// A clause with the cause and what would work.
    pub cause: String,
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.path.is_empty() {
            return f.write_str(&self.cause);
        }
        write!(f, "`{}`: {}", self.path, self.cause)
    }
}

/// The schema without what constrains nothing.
///
/// # Errors
/// When it is larger than the limits, or something in it can't be followed.
pub fn tidy(mut schema: Value) -> Result<Value, Fault> {
    let at_root = |cause: String| Fault { path: String::new(), cause };
    if !schema.is_object() && !schema.is_boolean() {
        return Err(at_root("it must be a JSON schema, an object".to_owned()));
    }
    let n_bytes = schema.to_string().len();
    if n_bytes > BYTES_MAX {
        return Err(at_root(format!("it has {n_bytes} bytes, and {BYTES_MAX} are the most")));
    }
    recursion::make_local(&mut schema);
    let mut walk = Walk::default();
    walk.to_do.push(String::new());
    while let Some(pointer) = walk.to_do.pop() {
        let depth = pointer.matches('/').count() / 2;
        let Some(part) = schema.pointer_mut(&pointer) else {
            let cause = format!("a `$ref` names `#{pointer}`, which is not in the schema");
            return Err(at_root(cause));
        };
        walk.schema(part, &pointer, depth)?;
    }
    recursion::check(&schema)?;
    Ok(schema)
}

/// Bytes of a pattern.
const PATTERN_BYTES_MAX: usize = 16 << 10;

/// Checks a pattern that a whole reply shall match.
///
/// # Errors
/// A clause with the cause, when the pattern is invalid or larger than the limit.
pub fn pattern(pattern: &str) -> Result<(), String> {
    if pattern.len() > PATTERN_BYTES_MAX {
        return Err(format!("it has {} bytes, and {PATTERN_BYTES_MAX} are the most", pattern.len()));
    }
    keywords::bad_pattern(pattern).map_or(Ok(()), Err)
}

/// The schema as a part of a larger one, in which it stands at `pointer`: its references start at the larger one's root.
#[must_use]
pub fn moved(mut schema: Value, pointer: &str) -> Value {
    recursion::rename(&mut schema, &|target| {
        let rest = target.strip_prefix('#')?;
        Some(format!("#{pointer}{}", rest.trim_end_matches('/')))
    });
    if let Some(fields) = schema.as_object_mut() {
        fields.remove("$schema");
    }
    schema
}

/// One way through a schema, along references, past what nothing refers to.
#[derive(Default)]
struct Walk {
    /// Where schemas are that were seen.
    seen: HashSet<String>,
    /// Where schemas are that something refers to.
    to_do: Vec<String>,
    values: usize,
}

impl Walk {
    fn schema(&mut self, part: &mut Value, pointer: &str, depth: usize) -> Result<(), Fault> {
        if !self.seen.insert(pointer.to_owned()) {
            return Ok(());
        }
        let fault = |cause: String| Fault { path: path(pointer), cause };
        if self.seen.len() > PARTS_MAX {
            return Err(Fault {
                path: String::new(),
                cause: format!(
                    "it has more than {PARTS_MAX} properties and other schemas in it, which are the most"
                ),
            });
        }
        if depth > DEPTH_MAX {
            return Err(fault(format!(
                "schemas stand within each other more than {DEPTH_MAX} deep, which is the most"
            )));
        }
        let fields = match part {
            Value::Bool(_) => return Ok(()),
            Value::Object(fields) => fields,
            Value::Null | Value::Number(_) | Value::String(_) | Value::Array(_) => {
                return Err(fault("a schema must be an object, true or false".to_owned()));
            }
        };
        keywords::drop_neutral(fields);
        keywords::check(fields)
            .map_err(|(name, cause)| Fault { path: path(&below(pointer, name)), cause })?;
        self.values += keywords::values(fields);
        if self.values > VALUES_MAX {
            let cause = format!("its `enum`s have more than {VALUES_MAX} values, which are the most");
            return Err(Fault { path: String::new(), cause });
        }
        if let Some(target) = recursion::target(fields) {
            self.to_do.push(target.map_err(|cause| Fault { path: path(&below(pointer, "$ref")), cause })?);
        }
        self.parts(fields, pointer, depth + 1)
    }

    fn parts(&mut self, fields: &mut Map<String, Value>, pointer: &str, depth: usize) -> Result<(), Fault> {
        for (name, it) in fields.iter_mut() {
            let here = below(pointer, name);
            match (name.as_str(), it) {
                ("properties" | "patternProperties", Value::Object(named)) => {
                    for (name, part) in named.iter_mut() {
                        self.schema(part, &below(&here, name), depth)?;
                    }
                }
                ("allOf" | "anyOf" | "oneOf" | "prefixItems" | "items", Value::Array(listed)) => {
                    for (index, part) in listed.iter_mut().enumerate() {
                        self.schema(part, &below(&here, &index.to_string()), depth)?;
                    }
                }
                ("items" | "additionalItems" | "additionalProperties", part) => {
                    self.schema(part, &here, depth)?;
                }
                (_, _) => {}
            }
        }
        Ok(())
    }
}

/// A JSON pointer one step down.
fn below(pointer: &str, name: &str) -> String {
    format!("{pointer}/{}", name.replace('~', "~0").replace('/', "~1"))
}

/// A JSON pointer as people write paths.
fn path(pointer: &str) -> String {
    let steps = pointer.split('/').skip(1).map(|it| it.replace("~1", "/").replace("~0", "~"));
    let mut out = String::new();
    for step in steps {
        if !step.is_empty() && step.bytes().all(|it| it.is_ascii_digit()) {
            out.push('[');
            out.push_str(&step);
            out.push(']');
            continue;
        }
        if !out.is_empty() {
            out.push('.');
        }
        out.extend(step.chars().take(80));
    }
    out
}
