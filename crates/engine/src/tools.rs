//! Function calls in text.
//!
//! One form is spoken, the one most chat models that know functions were trained on:
//! `<tool_call>` line `{"name": …, "arguments": {…}}` line `</tool_call>`. Templates that know tools ask for it
//! themselves; for the others a system message does. With `tool_choice` required or named a grammar enforces it.

use dedi_api::engine::{CalledFunction, Tool, ToolCall, ToolChoice};
use serde_json::{Map, Value, json};

use crate::constrain::{Form, compact};
use crate::http::ApiError;

const OPEN: &str = "<tool_call>";
const CLOSE: &str = "</tool_call>";
const TOOLS_MAX: usize = 128;

/// The functions of a request, checked.
#[derive(Clone, Debug)]
pub struct Tools {
    tools: Vec<Tool>,
    must_call: bool,
}

impl Tools {
    /// The functions the model may call; nothing when there are none or none may be called.
    ///
    /// # Errors
    /// When a name is unusable or `tool_choice` names no function.
    pub fn check(tools: Option<Vec<Tool>>, choice: Option<ToolChoice>) -> Result<Option<Self>, ApiError> {
        let mut tools = tools.unwrap_or_default();
        if tools.len() > TOOLS_MAX {
            let message = format!("`tools` has {} functions, and {TOOLS_MAX} are the most.", tools.len());
            return Err(ApiError::invalid("tools", message));
        }
        for (place, tool) in tools.iter().enumerate() {
            check_tool(place, tool)?;
        }
        let named = match choice {
            None => return Ok(Self::unless_empty(tools, false)),
            Some(ToolChoice::Word(word)) => match word.as_str() {
                "none" => return Ok(None),
                "auto" => return Ok(Self::unless_empty(tools, false)),
                "required" if tools.is_empty() => {
                    let message = "`tool_choice` is required and `tools` has no function.";
                    return Err(ApiError::invalid("tool_choice", message));
                }
                "required" => return Ok(Self::unless_empty(tools, true)),
                _ => word,
            },
            Some(ToolChoice::Named { function }) => function.name,
        };
        tools.retain(|it| it.function.name == named);
        if tools.is_empty() {
            let message = format!("`tool_choice` names {named}, which is not among `tools`.");
            return Err(ApiError::invalid("tool_choice", message));
        }
        Ok(Self::unless_empty(tools, true))
    }

    fn unless_empty(tools: Vec<Tool>, must_call: bool) -> Option<Self> {
        (!tools.is_empty()).then_some(Self { tools, must_call })
    }

    /// The functions as templates take them.
    #[must_use]
    pub fn for_template(&self) -> Value {
        json!(self.tools)
    }

    /// What a model whose template does not know tools is told.
    #[must_use]
    pub fn as_instructions(&self) -> String {
        let mut text = String::from("You can call these functions, each given as JSON:\n");
        for tool in &self.tools {
            text.push_str(&json!(tool.function).to_string());
            text.push('\n');
        }
        text.push_str("To call a function, write nothing but\n");
        text.push_str(OPEN);
        text.push_str("\n{\"name\": \"the function's name\", \"arguments\": {the arguments as JSON}}\n");
        text.push_str(CLOSE);
        text
    }

    /// The form a reply must have when a function must be called.
    #[must_use]
    pub fn form(&self) -> Option<Form> {
        if !self.must_call {
            return None;
        }
        let mut definitions = Map::new();
        let calls: Vec<Value> = self.tools.iter().map(|it| call_schema(it, &mut definitions)).collect();
        let mut schema = json!({ "anyOf": calls });
        for (name, those) in definitions {
            schema[name] = those;
        }
        let schema = compact(schema);
        Some(Form::Lark(format!("start: \"{OPEN}\\n\" call \"\\n{CLOSE}\"\ncall: %json {schema}\n")))
    }

    fn knows(&self, name: &str) -> bool {
        self.tools.iter().any(|it| it.function.name == name)
    }
}

fn check_tool(place: usize, tool: &Tool) -> Result<(), ApiError> {
    if tool.kind != "function" {
        let message = format!("`tools[{place}].type` is \"{}\" and can be function.", tool.kind);
        return Err(ApiError::invalid(format!("tools[{place}].type"), message));
    }
    let name = &tool.function.name;
    let usable = |it: char| it.is_ascii_alphanumeric() || "_-.".contains(it);
    if name.is_empty() || name.len() > 64 || !name.chars().all(usable) {
        let message = format!(
            "`tools[{place}].function.name` must be 1 to 64 letters, digits, dots, dashes or underscores."
        );
        return Err(ApiError::invalid(format!("tools[{place}].function.name"), message));
    }
    match &tool.function.parameters {
        None | Some(Value::Null | Value::Object(_)) => Ok(()),
        Some(Value::Bool(_) | Value::Number(_) | Value::String(_) | Value::Array(_)) => {
            let message = format!("`tools[{place}].function.parameters` must be a JSON schema, an object.");
            Err(ApiError::invalid(format!("tools[{place}].function.parameters"), message))
        }
    }
}

/// The schema of one call. References in it start at the schema's root, so definitions move there.
fn call_schema(tool: &Tool, definitions: &mut Map<String, Value>) -> Value {
    let mut parameters = match &tool.function.parameters {
        Some(Value::Object(schema)) if !schema.is_empty() => schema.clone(),
        _ => Map::from_iter([("type".to_owned(), json!("object"))]),
    };
    for place in ["$defs", "definitions"] {
        if let Some(Value::Object(those)) = parameters.remove(place) {
            let all = definitions.entry(place).or_insert_with(|| json!({}));
            for (name, schema) in those {
                all[name] = schema;
            }
        }
    }
    json!({
        "type": "object",
        "properties": { "name": { "const": tool.function.name }, "arguments": parameters },
        "required": ["name", "arguments"],
        "additionalProperties": false,
    })
}

/// A part of a reply.
#[derive(Debug, PartialEq, Eq)]
pub enum Part {
    /// Text for the reader.
    Text(String),
    /// A call.
    Call(ToolCall),
}

/// Finds calls in a reply that comes piece by piece.
#[derive(Debug)]
pub struct CallFinder {
    tools: Tools,
    held: String,
    calls: u32,
    place: Place,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Place {
    /// Nothing but white space came yet. Some models write a bare JSON object as their whole reply.
    Start,
    Bare,
    Text,
    Call,
}

impl CallFinder {
    /// A finder for one reply.
    #[must_use]
    pub fn new(tools: Tools) -> Self {
        Self { tools, held: String::new(), calls: 0, place: Place::Start }
    }

    /// Whether the reply had a call.
    #[must_use]
    pub fn found_any(&self) -> bool {
        self.calls > 0
    }

    /// Takes a piece and gives what is sure.
    pub fn push(&mut self, piece: &str) -> Vec<Part> {
        self.held.push_str(piece);
        let mut parts = Vec::new();
        loop {
            match self.place {
                Place::Start => match self.held.trim_start().chars().next() {
                    None => return parts,
                    Some('{') => self.place = Place::Bare,
                    Some(_) => self.place = Place::Text,
                },
                Place::Bare => return parts,
                Place::Text => {
                    if let Some(at) = self.held.find(OPEN) {
                        put_text(&mut parts, self.held[..at].trim_end());
                        self.held.drain(..at + OPEN.len());
                        self.place = Place::Call;
                    } else {
                        // White space before a call is not text, so it waits for what follows.
                        let marker = self.held.len() - beginning_of(OPEN, &self.held);
                        let sure = self.held[..marker].trim_end().len();
                        put_text(&mut parts, &self.held[..sure]);
                        self.held.drain(..sure);
                        return parts;
                    }
                }
                Place::Call => {
                    let Some(at) = self.held.find(CLOSE) else { return parts };
                    let inside: String = self.held.drain(..at + CLOSE.len()).collect();
                    self.put_call(&mut parts, &inside[..at], &format!("{OPEN}{inside}"));
                    self.place = Place::Start;
                }
            }
        }
    }

    /// The end: gives what is left.
    pub fn finish(&mut self) -> Vec<Part> {
        let mut parts = Vec::new();
        let rest = std::mem::take(&mut self.held);
        match self.place {
            Place::Start if self.found_any() => {}
            Place::Start | Place::Text => put_text(&mut parts, &rest),
            Place::Bare => self.put_call(&mut parts, &rest, &rest),
            Place::Call => self.put_call(&mut parts, &rest, &format!("{OPEN}{rest}")),
        }
        self.place = Place::Text;
        parts
    }

    fn put_call(&mut self, parts: &mut Vec<Part>, inside: &str, written: &str) {
        let Some((name, arguments)) = self.read_call(inside) else {
            put_text(parts, written);
            return;
        };
        let id = format!("call_{}", uuid::Uuid::new_v4().simple());
        let function = CalledFunction { name, arguments };
        parts.push(Part::Call(ToolCall { index: self.calls, id, kind: "function".to_owned(), function }));
        self.calls += 1;
    }

    fn read_call(&self, inside: &str) -> Option<(String, String)> {
        let call: Value = serde_json::from_str(inside.trim()).ok()?;
        let name = call.get("name")?.as_str()?;
        let arguments = call.get("arguments").or_else(|| call.get("parameters"))?;
        let arguments = arguments.as_str().map_or_else(|| arguments.to_string(), str::to_owned);
        self.tools.knows(name).then(|| (name.to_owned(), arguments))
    }
}

fn put_text(parts: &mut Vec<Part>, text: &str) {
    if !text.is_empty() {
        parts.push(Part::Text(text.to_owned()));
    }
}

/// How many bytes at the end of `text` could be the beginning of `marker`.
fn beginning_of(marker: &str, text: &str) -> usize {
    (1..marker.len().min(text.len() + 1)).rev().find(|&len| text.ends_with(&marker[..len])).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tools() -> Tools {
        let tool = json!({"type": "function", "function": {"name": "add", "parameters": {"type": "object"}}});
        Tools::check(Some(vec![serde_json::from_value(tool).unwrap()]), None).unwrap().unwrap()
    }

    /// Text, then calls as name and arguments; a character at a time.
    fn found(reply: &str) -> (String, Vec<(String, String)>) {
        let mut finder = CallFinder::new(tools());
        let mut parts: Vec<Part> =
            reply.chars().flat_map(|it| finder.push(it.encode_utf8(&mut [0; 4]))).collect();
        parts.extend(finder.finish());
        let mut text = String::new();
        let mut calls = Vec::new();
        for part in parts {
            match part {
                Part::Text(more) => text.push_str(&more),
                Part::Call(call) => calls.push((call.function.name, call.function.arguments)),
            }
        }
        (text, calls)
    }

    #[test]
    fn calls_and_text_are_told_apart() {
        let call = |arguments: &str| ("add".to_owned(), arguments.to_owned());
        assert_eq!(found("2 < 3, é"), ("2 < 3, é".into(), vec![]));
        let reply = "Wait.\n<tool_call>\n{\"name\": \"add\", \"arguments\": {\"a\": 1}}\n</tool_call>";
        assert_eq!(found(reply), ("Wait.".into(), vec![call("{\"a\":1}")]));
        assert_eq!(found("{\"name\":\"add\",\"parameters\":{}}"), (String::new(), vec![call("{}")]));
        assert_eq!(found("{\"a\": 1}"), ("{\"a\": 1}".into(), vec![]));
        assert_eq!(
            found("<tool_call>nonsense</tool_call>"),
            ("<tool_call>nonsense</tool_call>".into(), vec![])
        );
    }

    #[test]
    fn a_choice_must_be_among_the_tools() {
        let tool = json!({"type": "function", "function": {"name": "add"}});
        let tools: Vec<Tool> = vec![serde_json::from_value(tool).unwrap()];
        let word = |it: &str| Some(ToolChoice::Word(it.to_owned()));
        assert!(Tools::check(Some(tools.clone()), word("none")).unwrap().is_none());
        assert!(Tools::check(Some(tools.clone()), word("auto")).unwrap().unwrap().form().is_none());
        assert!(Tools::check(Some(tools.clone()), word("add")).unwrap().unwrap().form().is_some());
        let said = Tools::check(Some(tools), word("sub")).unwrap_err().body().error;
        assert_eq!(said.message, "`tool_choice` names sub, which is not among `tools`.");
    }
}
