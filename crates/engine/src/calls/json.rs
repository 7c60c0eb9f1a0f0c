//! Calls as JSON objects, one or several, or a list of them: `{"name": …, "arguments": {…}}` and its relatives.

use serde_json::Value as Json;

use super::body::{Body, Events};
use super::callable::Callable;
use super::value::{Step, Value};

const NAME_KEYS: [&str; 2] = ["name", "tool_name"];
const ARGUMENT_KEYS: [&str; 2] = ["arguments", "parameters"];
const OTHER_KEYS: [&str; 5] = ["type", "id", "tool_call_id", "call_id", "index"];
const KEY_BYTES_MAX: usize = 400;

/// Reads such objects.
#[derive(Debug)]
pub(super) struct JsonCalls {
    /// Whether it is a call only by its own form, without a marker; then it has no other fields.
    bare: bool,
    in_list: bool,
    state: State,
    call: Call,
}

/// What is known of the call that is read.
#[derive(Debug, Default)]
struct Call {
    /// Objects that are open: the call's, and the one that a `function` field wraps it in.
    depth: u8,
    name: Option<usize>,
    /// Its arguments, while its name is not known.
    arguments: String,
    has_arguments: bool,
}

#[derive(Debug)]
enum State {
    /// The first bracket.
    Start,
    /// A call, after what separates it from the last.
    Next,
    /// After a call.
    Between,
    /// A key or the end.
    Key,
    InKey(Value, String),
    Colon(String),
    /// The value of a key.
    Value(String),
    /// The value of `name`, of `arguments` where it is a text, or of a field that nobody needs.
    Field(Field, Value, String),
    Arguments(Value),
    /// A comma or the end.
    After,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Field {
    Name,
    ArgumentsText,
    Other,
}

impl JsonCalls {
    pub(super) fn new(bare: bool) -> Self {
        Self { bare, in_list: false, state: State::Start, call: Call::default() }
    }

    /// The rest of a list that has begun.
    pub(super) fn in_list() -> Self {
        Self { bare: false, in_list: true, state: State::Next, call: Call::default() }
    }

    fn begin(&mut self) -> Step {
        self.call = Call { depth: 1, ..Call::default() };
        self.state = State::Key;
        Step::More
    }

    fn end(&mut self, events: &mut Events) -> Step {
        self.call.depth -= 1;
        self.state = State::After;
        if self.call.depth > 0 {
            return Step::More;
        }
        if self.call.name.is_none() {
            return Step::Wrong;
        }
        events.end();
        self.state = State::Between;
        Step::More
    }

    /// The key is known; `c` begins the value.
    fn value(&mut self, key: &str, c: char, callable: &Callable, events: &mut Events) -> Step {
        let is_quote = matches!(c, '"' | '\'');
        let is_name = NAME_KEYS.contains(&key) || (key == "function" && is_quote);
        if key == "function" && c == '{' && self.call.depth == 1 {
            self.call.depth = 2;
            self.state = State::Key;
            return Step::More;
        }
        if ARGUMENT_KEYS.contains(&key) {
            if self.call.has_arguments {
                return Step::Wrong;
            }
            self.call.has_arguments = true;
            if c == '{' {
                self.state = State::Arguments(Value::new());
                return self.push(c, callable, events);
            }
        }
        let field = if is_name {
            Field::Name
        } else if ARGUMENT_KEYS.contains(&key) {
            Field::ArgumentsText
        } else if !self.bare || OTHER_KEYS.contains(&key) {
            Field::Other
        } else {
            return Step::Wrong;
        };
        self.state = State::Field(field, Value::new(), String::new());
        self.push(c, callable, events)
    }

    /// A field's value is whole. False where it cannot be that field's.
    fn take(&mut self, field: Field, written: &str, callable: &Callable, events: &mut Events) -> bool {
        self.state = State::After;
        let text = || serde_json::from_str::<Json>(written).ok();
        match field {
            Field::Other => true,
            Field::Name => {
                let Some(Json::String(name)) = text() else { return false };
                let Some(function) = callable.find(&name).filter(|_| self.call.name.is_none()) else {
                    return false;
                };
                self.call.name = Some(function);
                events.begin(function);
                events.arguments(&std::mem::take(&mut self.call.arguments));
                true
            }
            Field::ArgumentsText => {
                let object = match text() {
                    Some(Json::Null) => None,
                    Some(Json::String(it)) if it.trim().is_empty() => None,
                    Some(Json::String(it)) => match object(&it) {
                        Some(object) => Some(object),
                        None => return false,
                    },
                    Some(_) | None => return false,
                };
                self.emit_arguments(&object.unwrap_or_default(), events);
                true
            }
        }
    }

    fn emit_arguments(&mut self, more: &str, events: &mut Events) {
        if self.call.name.is_some() {
            events.arguments(more);
        } else {
            self.call.arguments.push_str(more);
        }
    }
}

impl Body for JsonCalls {
    fn push(&mut self, c: char, callable: &Callable, events: &mut Events) -> Step {
        match &mut self.state {
            State::Start | State::Next | State::Between | State::Key | State::After if c.is_whitespace() => {
                Step::More
            }
            State::Start if c == '[' => {
                self.in_list = true;
                self.state = State::Next;
                Step::More
            }
            State::Start | State::Next if c == '{' => self.begin(),
            State::Start | State::Next => Step::Wrong,
            State::Between => match c {
                ',' if self.in_list => {
                    self.state = State::Next;
                    Step::More
                }
                ']' if self.in_list => Step::Done,
                _ if self.in_list => Step::Wrong,
                ';' | ',' => Step::More,
                '{' => self.begin(),
                _ => Step::Before,
            },
            State::Key if c == '}' => self.end(events),
            State::Key if c == '"' || c == '\'' => {
                self.state = State::InKey(Value::new(), String::new());
                self.push(c, callable, events)
            }
            State::Key => Step::Wrong,
            State::InKey(value, written) => {
                match value.push(c, written) {
                    Step::More if written.len() < KEY_BYTES_MAX => {}
                    Step::Done => {
                        let key = serde_json::from_str(written).unwrap_or_default();
                        self.state = State::Colon(key);
                    }
                    Step::More | Step::Before | Step::Wrong => return Step::Wrong,
                }
                Step::More
            }
            State::Colon(_) | State::Value(_) if c.is_whitespace() => Step::More,
            State::Colon(key) if c == ':' => {
                self.state = State::Value(std::mem::take(key));
                Step::More
            }
            State::Colon(_) => Step::Wrong,
            State::Value(key) => {
                let key = std::mem::take(key);
                self.value(&key, c, callable, events)
            }
            State::Field(field, value, written) => {
                let field = *field;
                let step = value.push(c, written);
                match step {
                    Step::More => Step::More,
                    Step::Wrong => Step::Wrong,
                    Step::Done | Step::Before => {
                        let written = std::mem::take(written);
                        if !self.take(field, &written, callable, events) {
                            return Step::Wrong;
                        }
                        if step == Step::Before { self.push(c, callable, events) } else { Step::More }
                    }
                }
            }
            State::Arguments(value) => {
                let mut more = String::new();
                match value.push(c, &mut more) {
                    Step::More => {}
                    Step::Done => self.state = State::After,
                    Step::Before | Step::Wrong => return Step::Wrong,
                }
                self.emit_arguments(&more, events);
                Step::More
            }
            State::After => match c {
                ',' => {
                    self.state = State::Key;
                    Step::More
                }
                '}' => self.end(events),
                _ => Step::Wrong,
            },
        }
    }

    fn finish(&mut self, _callable: &Callable, _events: &mut Events) -> bool {
        matches!(self.state, State::Between)
    }

    fn cut(&mut self, callable: &Callable, events: &mut Events) {
        let more = match &mut self.state {
            State::Arguments(value) => {
                let mut more = String::new();
                let _is_an_object = value.finish(&mut more);
                more
            }
            State::Field(Field::ArgumentsText, _, written) => begun_object(&begun_text(written)),
            State::Field(Field::Name, _, written) => {
                // Cut in its last letter's quote, it may still be whole.
                let whole = format!("{written}\"");
                let _is_known = self.take(Field::Name, &whole, callable, events);
                String::new()
            }
            State::Start
            | State::Next
            | State::Between
            | State::Key
            | State::InKey(..)
            | State::Colon(_)
            | State::Value(_)
            | State::Field(Field::Other, ..)
            | State::After => String::new(),
        };
        self.emit_arguments(&more, events);
    }
}

/// The compact JSON of a text that is an object.
fn object(text: &str) -> Option<String> {
    let (mut value, mut out) = (Value::new(), String::new());
    let mut letters = text.trim().chars();
    if !text.trim_start().starts_with('{') {
        return None;
    }
    loop {
        match value.push(letters.next()?, &mut out) {
            Step::More => {}
            Step::Done => return letters.as_str().is_empty().then_some(out),
            Step::Before | Step::Wrong => return None,
        }
    }
}

/// The same of one that breaks off, as far as it came.
fn begun_object(text: &str) -> String {
    let (mut value, mut out) = (Value::new(), String::new());
    let is_whole = text.chars().any(|it| value.push(it, &mut out) != Step::More);
    if !is_whole {
        let _is_an_object = value.finish(&mut out);
    }
    out
}

/// The text of which JSON has only the beginning; an escape that breaks off is left out.
fn begun_text(json: &str) -> String {
    let shorter = (0..8).filter_map(|it| json.get(..json.len().checked_sub(it)?));
    shorter.filter_map(|it| serde_json::from_str(&format!("{it}\"")).ok()).next().unwrap_or_default()
}
