//! Calls in tags, their arguments as plain text: `<function=name><parameter=key>value</parameter></function>` and its
//! relatives. An argument's type is taken from the function's schema.

use super::body::{Body, Events};
use super::callable::Callable;
use super::schema::Types;
use super::value::{Step, Value, put};

const TAG_BYTES_MAX: usize = 300;
/// What stands around calls.
const OUTER: [&str; 5] = ["tool_call", "tool_calls", "minimax:tool_call", "seed:tool_call", "function_calls"];
// DeepSeek's tags have this before their names.
const DSML: &str = "｜DSML｜";

/// Reads such calls.
#[derive(Debug)]
pub(super) struct TagCalls {
    state: State,
    function: Option<usize>,
    /// Whether the call has an argument already.
    has_arguments: bool,
    /// The key of an argument whose value comes in a tag of its own.
    key: String,
    calls: u32,
}

#[derive(Debug)]
enum State {
    /// Before a call.
    Outside,
    /// A name without a tag of its own.
    Name(String),
    /// In a call, between arguments.
    Inside,
    Tag(String),
    Key(String),
    Argument(Argument),
    /// All arguments as one JSON object.
    Object(Value),
    AfterObject,
}

#[derive(Debug)]
struct Argument {
    style: Style,
    types: Types,
    /// What is not emitted yet: a value that is no text, a line break or a tag that may end it.
    held: String,
    /// Whether a line break that the form puts before the value may still come.
    at_start: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Style {
    /// `<parameter=key>` line value line `</parameter>`.
    Lines,
    /// `<parameter name="key">value</parameter>`.
    Attribute,
    /// `<｜DSML｜parameter name="key" string="true">value</｜DSML｜parameter>`.
    Dsml,
    /// `<arg_value>value</arg_value>`.
    Pair,
}

impl Style {
    /// What ends a value; models forget the first.
    fn ends(self) -> &'static [&'static str] {
        match self {
            Self::Lines => &["</parameter>", "<parameter=", "</function>"],
            Self::Attribute => &["</parameter>", "</invoke>"],
            Self::Dsml => &["</｜DSML｜parameter>", "</｜DSML｜invoke>"],
            Self::Pair => &["</arg_value>"],
        }
    }
}

impl TagCalls {
    /// Calls in tags of their own.
    pub(super) fn new() -> Self {
        Self::at(State::Outside)
    }

    /// A call whose first tag is read up to its name.
    pub(super) fn in_tag(begun: &str) -> Self {
        Self::at(State::Tag(begun.to_owned()))
    }

    /// A call that begins with its name.
    pub(super) fn with_name() -> Self {
        Self::at(State::Name(String::new()))
    }

    fn at(state: State) -> Self {
        Self { state, function: None, has_arguments: false, key: String::new(), calls: 0 }
    }

    fn begin(&mut self, name: &str, callable: &Callable, events: &mut Events) -> Step {
        let Some(function) = callable.find(name) else { return Step::Wrong };
        self.function = Some(function);
        self.has_arguments = false;
        events.begin(function);
        self.state = State::Inside;
        Step::More
    }

    fn end(&mut self, events: &mut Events) -> Step {
        if self.function.take().is_none() {
            return Step::Wrong;
        }
        if self.has_arguments {
            events.arguments("}");
        }
        events.end();
        self.calls += 1;
        self.state = State::Outside;
        Step::More
    }

    fn tag(&mut self, tag: &str, callable: &Callable, events: &mut Events) -> Step {
        let (is_end, name) = tag.strip_prefix('/').map_or((false, tag), |it| (true, it));
        let (is_dsml, name) = name.strip_prefix(DSML).map_or((false, name), |it| (true, it));
        if is_end {
            return match name.trim() {
                "parameter" | "arg_key" | "arg_value" if self.function.is_some() => {
                    self.state = State::Inside;
                    Step::More
                }
                "function" | "invoke" => self.end(events),
                name if self.function.is_none() && self.calls > 0 && OUTER.contains(&name) => Step::Done,
                // Of a call that began with its name, nothing else shows the end.
                "tool_call" if self.end(events) == Step::More => Step::Done,
                _ => Step::Wrong,
            };
        }
        if self.function.is_none() {
            if self.calls > 0 && OUTER.contains(&name) {
                self.state = State::Outside;
                return Step::More;
            }
            let name =
                name.strip_prefix("function=").or_else(|| attribute(name.strip_prefix("invoke ")?, "name"));
            return match name {
                Some(name) => self.begin(unquoted(name), callable, events),
                None => Step::Wrong,
            };
        }
        if let Some(key) = name.strip_prefix("parameter=") {
            let key = unquoted(key).to_owned();
            return self.argument(&key, Style::Lines, None, callable, events);
        }
        if let Some(attributes) = name.strip_prefix("parameter ") {
            let Some(key) = attribute(attributes, "name").map(str::to_owned) else { return Step::Wrong };
            let is_text = attribute(attributes, "string").map(|it| it == "true");
            let style = if is_dsml { Style::Dsml } else { Style::Attribute };
            return self.argument(&key, style, is_text, callable, events);
        }
        match name {
            "arg_key" => {
                self.state = State::Key(String::new());
                Step::More
            }
            "arg_value" => {
                let key = std::mem::take(&mut self.key);
                self.argument(&key, Style::Pair, None, callable, events)
            }
            _ => Step::Wrong,
        }
    }

    fn argument(
        &mut self,
        key: &str,
        style: Style,
        is_text: Option<bool>,
        callable: &Callable,
        events: &mut Events,
    ) -> Step {
        let Some(function) = self.function.filter(|_| !key.is_empty()) else { return Step::Wrong };
        let types = match is_text {
            Some(true) => Types::text(),
            Some(false) => Types::no_text(),
            None => callable.types(function, key),
        };
        let mut written = String::from(if self.has_arguments { "," } else { "{" });
        self.has_arguments = true;
        written.push('"');
        key.chars().for_each(|it| put(it, &mut written));
        written.push_str("\":");
        if types.is_text() {
            written.push('"');
        }
        events.arguments(&written);
        let at_start = style == Style::Lines;
        self.state = State::Argument(Argument { style, types, held: String::new(), at_start });
        Step::More
    }

    fn key(&mut self, c: char) -> Step {
        let State::Key(key) = &mut self.state else { return Step::Wrong };
        key.push(c);
        if let Some(whole) = key.strip_suffix("</arg_key>") {
            self.key = whole.trim().to_owned();
            self.state = State::Inside;
        } else if key.len() > TAG_BYTES_MAX {
            return Step::Wrong;
        }
        Step::More
    }

    fn value(&mut self, c: char, callable: &Callable, events: &mut Events) -> Step {
        let State::Argument(argument) = &mut self.state else { return Step::Wrong };
        argument.push(c, events);
        let Some(end) = argument.end() else { return Step::More };
        argument.close(events);
        self.state = State::Inside;
        match end.strip_prefix('<').map(|it| it.trim_end_matches('>')) {
            // The value's end was forgotten, and what ends it is a tag of its own.
            Some("parameter=") => {
                self.state = State::Tag("parameter=".to_owned());
                Step::More
            }
            Some(tag) => self.tag(tag, callable, events),
            None => Step::More,
        }
    }
}

impl Argument {
    /// Takes a character; emits what of a text is certain.
    fn push(&mut self, c: char, events: &mut Events) {
        if std::mem::take(&mut self.at_start) && c == '\n' {
            return;
        }
        self.held.push(c);
        if !self.types.is_text() {
            return;
        }
        if self.end().is_some() {
            return;
        }
        let mut sure = 0;
        for (at, letter) in self.held.char_indices() {
            let rest = &self.held[at..];
            let tag = if self.style == Style::Lines { rest.strip_prefix('\n').unwrap_or(rest) } else { rest };
            if self.style.ends().iter().any(|it| it.starts_with(tag)) {
                break;
            }
            sure = at + letter.len_utf8();
        }
        let mut written = String::new();
        self.held.drain(..sure).for_each(|it| put(it, &mut written));
        events.arguments(&written);
    }

    /// The tag that has just ended it.
    fn end(&self) -> Option<&'static str> {
        self.style.ends().iter().find(|it| self.held.ends_with(**it)).copied()
    }

    /// Tells what was held, without the tag at its end.
    fn close(&mut self, events: &mut Events) {
        let end = self.end().unwrap_or_default().len();
        let text = &self.held[..self.held.len() - end];
        let text = if self.style == Style::Lines { text.strip_suffix('\n').unwrap_or(text) } else { text };
        if self.types.is_text() {
            let mut written = String::new();
            text.chars().for_each(|it| put(it, &mut written));
            written.push('"');
            events.arguments(&written);
        } else {
            events.arguments(&self.types.read(text));
        }
    }
}

/// A value in `name="value" other="value"`.
fn attribute<'a>(attributes: &'a str, name: &str) -> Option<&'a str> {
    let at = attributes.find(&format!("{name}="))? + name.len() + 1;
    let value = attributes.get(at..)?;
    let quote = value.chars().next()?;
    if quote == '"' || quote == '\'' {
        value[1..].split(quote).next()
    } else {
        value.split_whitespace().next()
    }
}

fn unquoted(name: &str) -> &str {
    name.trim().trim_matches(['"', '\''])
}

impl Body for TagCalls {
    fn push(&mut self, c: char, callable: &Callable, events: &mut Events) -> Step {
        match &mut self.state {
            State::Outside | State::Inside | State::AfterObject if c.is_whitespace() => Step::More,
            State::Outside | State::Inside | State::AfterObject if c == '<' => {
                self.state = State::Tag(String::new());
                Step::More
            }
            State::Outside if self.calls > 0 => Step::Before,
            State::Outside | State::AfterObject => Step::Wrong,
            State::Inside if c == '{' && !self.has_arguments => {
                self.state = State::Object(Value::new());
                self.push(c, callable, events)
            }
            State::Inside => Step::Wrong,
            State::Name(name) if c == '\n' || c == '<' => {
                let name = std::mem::take(name);
                if self.begin(name.trim(), callable, events) == Step::Wrong {
                    return Step::Wrong;
                }
                self.push(c, callable, events)
            }
            State::Name(name) => {
                name.push(c);
                if callable.may_begin(name.trim()) { Step::More } else { Step::Wrong }
            }
            State::Tag(tag) if c == '>' => {
                let tag = std::mem::take(tag);
                self.tag(&tag, callable, events)
            }
            State::Tag(tag) => {
                tag.push(c);
                let is_one = tag.len() <= TAG_BYTES_MAX && c != '<';
                let is_offered =
                    tag.strip_prefix("function=").is_none_or(|it| callable.may_begin(unquoted(it)));
                if is_one && is_offered { Step::More } else { Step::Wrong }
            }
            State::Key(_) => self.key(c),
            State::Argument(_) => self.value(c, callable, events),
            State::Object(value) => {
                let mut more = String::new();
                let step = value.push(c, &mut more);
                events.arguments(&more);
                match step {
                    Step::Done => {
                        self.state = State::AfterObject;
                        Step::More
                    }
                    Step::More => Step::More,
                    Step::Before | Step::Wrong => Step::Wrong,
                }
            }
        }
    }

    fn finish(&mut self, callable: &Callable, events: &mut Events) -> bool {
        match &mut self.state {
            State::Outside => self.calls > 0,
            State::Inside | State::AfterObject => self.end(events) == Step::More,
            State::Name(name) => {
                let name = std::mem::take(name);
                self.begin(name.trim(), callable, events) == Step::More && self.end(events) == Step::More
            }
            State::Tag(_) | State::Key(_) | State::Argument(_) | State::Object(_) => false,
        }
    }

    fn cut(&mut self, callable: &Callable, events: &mut Events) {
        match &mut self.state {
            State::Object(value) => {
                let mut more = String::new();
                let _is_an_object = value.finish(&mut more);
                events.arguments(&more);
            }
            State::Name(name) => {
                let name = std::mem::take(name);
                let _is_known = self.begin(name.trim(), callable, events);
            }
            State::Outside
            | State::Inside
            | State::Tag(_)
            | State::Key(_)
            | State::Argument(_)
            | State::AfterObject => {}
        }
    }
}
