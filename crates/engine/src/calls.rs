//! Function calls in a reply's text.
//!
//! One form is spoken, the one most chat models that know functions were trained on:
//! `<tool_call>` line `{"name": …, "arguments": {…}}` line `</tool_call>`. None of it is for the reader: a call
//! that the longest reply cuts off is told as far as it came, never as text.

use std::sync::Arc;

use dedi_api::engine::{CalledFunction, ToolCall};
use serde_json::Value;

/// What a call begins with.
pub const OPEN: &str = "<tool_call>";
/// What it ends with.
pub const CLOSE: &str = "</tool_call>";

/// What may be called.
#[derive(Debug)]
pub struct Callable {
    /// The functions' names.
    pub names: Vec<String>,
    /// Whether the reply is a call whatever it says, because a grammar makes it one.
    pub must_call: bool,
    /// Whether a reply ends with its first call.
    pub only_one: bool,
}

/// A part of a reply.
#[derive(Debug, PartialEq, Eq)]
pub enum Part {
    /// Text for the reader.
    Text(String),
    /// A call.
    Call(ToolCall),
}

/// How a reply ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ending {
    /// The model was done.
    Whole,
    /// It is as long as it may be; the model would have gone on.
    Cut,
}

/// Finds calls in a reply that comes piece by piece.
#[derive(Debug)]
pub struct CallFinder {
    callable: Arc<Callable>,
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
    pub fn new(callable: Arc<Callable>) -> Self {
        Self { callable, held: String::new(), calls: 0, place: Place::Start }
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
                    match self.read_call(&inside[..at]) {
                        Some(call) => self.put_call(&mut parts, call),
                        None => put_text(&mut parts, &format!("{OPEN}{inside}")),
                    }
                    self.place = Place::Start;
                }
            }
        }
    }

    /// The end: gives what is left.
    pub fn finish(&mut self, ending: Ending) -> Vec<Part> {
        let mut parts = Vec::new();
        let rest = std::mem::take(&mut self.held);
        let place = std::mem::replace(&mut self.place, Place::Text);
        let call = match place {
            Place::Start | Place::Text => None,
            Place::Bare | Place::Call => {
                self.read_call(&rest).or_else(|| self.read_cut_call(&rest).filter(|_| ending == Ending::Cut))
            }
        };
        // Where there is but one function to call, its name is known before it is written.
        let only = match &self.callable.names[..] {
            [only] if self.callable.must_call && self.calls == 0 && ending == Ending::Cut => {
                Some(only.clone())
            }
            _ => None,
        };
        if let Some(call) = call.or_else(|| only.map(|name| (name, String::new()))) {
            self.put_call(&mut parts, call);
        } else if ending == Ending::Cut && (place == Place::Call || self.callable.must_call) {
            // The beginning of a call, with not even a name in it.
        } else {
            match place {
                Place::Start if self.calls > 0 => {}
                Place::Start | Place::Bare => put_text(&mut parts, &rest),
                Place::Text => {
                    let marker = beginning_of(OPEN, &rest);
                    let is_call = ending == Ending::Cut && marker > "<tool".len();
                    put_text(
                        &mut parts,
                        if is_call { rest[..rest.len() - marker].trim_end() } else { &rest },
                    );
                }
                Place::Call => put_text(&mut parts, &format!("{OPEN}{rest}")),
            }
        }
        parts
    }

    fn put_call(&mut self, parts: &mut Vec<Part>, (name, arguments): (String, String)) {
        let id = format!("call_{}", uuid::Uuid::new_v4().simple());
        let function = CalledFunction { name, arguments };
        parts.push(Part::Call(ToolCall { index: self.calls, id, kind: "function".to_owned(), function }));
        self.calls += 1;
    }

    /// A call's name and arguments.
    fn read_call(&self, inside: &str) -> Option<(String, String)> {
        let call: Value = serde_json::from_str(inside.trim()).ok()?;
        let name = call.get("name")?.as_str()?;
        let arguments = call.get("arguments").or_else(|| call.get("parameters"))?;
        self.knows(name).then(|| (name.to_owned(), as_text(arguments)))
    }

    /// The same of a call that breaks off, as far as it came.
    fn read_cut_call(&self, inside: &str) -> Option<(String, String)> {
        let (mut name, mut arguments) = (None, None);
        let mut rest = inside.trim_start().strip_prefix('{')?;
        while let Some((Value::String(key), after)) = value(rest.trim_start_matches([',', ' ', '\n', '\t'])) {
            let Some(begun) = after.trim_start().strip_prefix(':').map(str::trim_start) else { break };
            let is_arguments = key == "arguments" || key == "parameters";
            let Some((read, after)) = value(begun) else {
                arguments = arguments.or_else(|| is_arguments.then(|| cut_text(begun)));
                break;
            };
            if key == "name" {
                name = read.as_str().map(str::to_owned);
            } else if is_arguments {
                arguments = Some(as_text(&read));
            }
            rest = after;
        }
        let name = name.filter(|it| self.knows(it))?;
        Some((name, arguments.unwrap_or_default()))
    }

    fn knows(&self, name: &str) -> bool {
        self.callable.names.iter().any(|it| it == name)
    }
}

/// The value that a text begins with, and what follows it.
fn value(text: &str) -> Option<(Value, &str)> {
    let mut values = serde_json::Deserializer::from_str(text).into_iter::<Value>();
    let value = values.next()?.ok()?;
    Some((value, text.get(values.byte_offset()..)?))
}

/// Arguments as JSON text; some models write them as one already.
fn as_text(arguments: &Value) -> String {
    arguments.as_str().map_or_else(|| arguments.to_string(), str::to_owned)
}

/// The same of a value that breaks off; an escape that does is left out.
fn cut_text(begun: &str) -> String {
    if !begun.starts_with('"') {
        return begun.to_owned();
    }
    let shorter = (0..8).filter_map(|it| begun.get(..begun.len().checked_sub(it)?));
    shorter.filter_map(|it| serde_json::from_str(&format!("{it}\"")).ok()).next().unwrap_or_default()
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

    /// Text, then calls as name and arguments; a character at a time.
    fn found(reply: &str, must_call: bool, ending: Ending) -> (String, Vec<(String, String)>) {
        let callable = Callable { names: vec!["add".to_owned()], must_call, only_one: false };
        let mut finder = CallFinder::new(Arc::new(callable));
        let mut parts: Vec<Part> =
            reply.chars().flat_map(|it| finder.push(it.encode_utf8(&mut [0; 4]))).collect();
        parts.extend(finder.finish(ending));
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

    fn call(arguments: &str) -> Vec<(String, String)> {
        vec![("add".to_owned(), arguments.to_owned())]
    }

    #[test]
    fn calls_and_text_are_told_apart() {
        let found = |reply| found(reply, false, Ending::Whole);
        assert_eq!(found("2 < 3, é"), ("2 < 3, é".into(), vec![]));
        let reply = "Wait.\n<tool_call>\n{\"name\": \"add\", \"arguments\": {\"a\": 1}}\n</tool_call>";
        assert_eq!(found(reply), ("Wait.".into(), call("{\"a\":1}")));
        assert_eq!(found("{\"name\":\"add\",\"parameters\":{}}"), (String::new(), call("{}")));
        assert_eq!(found("{\"a\": 1}"), ("{\"a\": 1}".into(), vec![]));
        assert_eq!(
            found("<tool_call>nonsense</tool_call>"),
            ("<tool_call>nonsense</tool_call>".into(), vec![])
        );
    }

    #[test]
    fn a_call_that_is_cut_off_is_no_text() {
        let cut = |reply| found(reply, false, Ending::Cut);
        let said = |text: &str, arguments| (text.to_owned(), call(arguments));
        assert_eq!(cut("Wait.\n<tool_call>\n{\"name\": \"add\", \"arg"), said("Wait.", ""));
        assert_eq!(cut("<tool_call>{\"name\":\"add\",\"arguments\": {\"a\": \"é"), said("", "{\"a\": \"é"));
        assert_eq!(cut("<tool_call>{\"arguments\":{\"a\":1},\"name\":\"add\""), said("", "{\"a\":1}"));
        assert_eq!(cut("<tool_call>{\"name\":\"add\",\"arguments\":\"{\\\"a\\"), said("", "{\"a"));
        assert_eq!(cut("{\"name\": \"add\", \"parameters\": {\"a\""), said("", "{\"a\""));
        assert_eq!(cut("Wait. <tool_call>{\"na"), ("Wait.".into(), vec![]));
        assert_eq!(cut("Wait. <tool_c"), ("Wait.".into(), vec![]));
    }

    #[test]
    fn text_that_is_cut_off_stays_text() {
        for reply in ["1 <", "see <t", "{\"name\": \"ad", "{\"a\": 1", " \n"] {
            assert_eq!(found(reply, false, Ending::Cut), (reply.to_owned(), vec![]));
        }
    }

    #[test]
    fn a_forced_call_is_never_text() {
        for reply in ["", "<", "<tool_call>\n{\"na", "<tool_call>\n{\"name\": \"add\", "] {
            assert_eq!(found(reply, true, Ending::Cut), (String::new(), call("")), "{reply}");
        }
    }
}
