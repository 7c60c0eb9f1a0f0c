//! Calls in tags, their arguments as plain text: `<function=name><parameter=key>value</parameter></function>` and its
//! relatives. Of which type an argument is says the function's schema.

use super::body::{Body, Told};
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
    place: Place,
    function: Option<usize>,
    /// Whether the call has an argument already.
    has_arguments: bool,
    /// The key of an argument whose value comes in a tag of its own.
    key: String,
    calls: u32,
}

#[derive(Debug)]
enum Place {
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
    /// What is not told: a value that is no text, a line break or a tag that may end it.
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
        Self::at(Place::Outside)
    }

    /// A call whose first tag is read up to its name.
    pub(super) fn in_tag(begun: &str) -> Self {
        Self::at(Place::Tag(begun.to_owned()))
    }

    /// A call that begins with its name.
    pub(super) fn with_name() -> Self {
        Self::at(Place::Name(String::new()))
    }

    fn at(place: Place) -> Self {
        Self { place, function: None, has_arguments: false, key: String::new(), calls: 0 }
    }

    fn begin(&mut self, name: &str, callable: &Callable, told: &mut Told) -> Step {
        let Some(function) = callable.find(name) else { return Step::Wrong };
        self.function = Some(function);
        self.has_arguments = false;
        told.begin(function);
        self.place = Place::Inside;
        Step::More
    }

    fn end(&mut self, told: &mut Told) -> Step {
        if self.function.take().is_none() {
            return Step::Wrong;
        }
        if self.has_arguments {
            told.arguments("}");
        }
        told.end();
        self.calls += 1;
        self.place = Place::Outside;
        Step::More
    }

    fn tag(&mut self, tag: &str, callable: &Callable, told: &mut Told) -> Step {
        let (is_end, name) = tag.strip_prefix('/').map_or((false, tag), |it| (true, it));
        let (is_dsml, name) = name.strip_prefix(DSML).map_or((false, name), |it| (true, it));
        if is_end {
            return match name.trim() {
                "parameter" | "arg_key" | "arg_value" if self.function.is_some() => {
                    self.place = Place::Inside;
                    Step::More
                }
                "function" | "invoke" => self.end(told),
                name if self.function.is_none() && self.calls > 0 && OUTER.contains(&name) => Step::Done,
                // Of a call that began with its name, nothing else shows the end.
                "tool_call" if self.end(told) == Step::More => Step::Done,
                _ => Step::Wrong,
            };
        }
        if self.function.is_none() {
            if self.calls > 0 && OUTER.contains(&name) {
                self.place = Place::Outside;
                return Step::More;
            }
            let name =
                name.strip_prefix("function=").or_else(|| attribute(name.strip_prefix("invoke ")?, "name"));
            return match name {
                Some(name) => self.begin(unquoted(name), callable, told),
                None => Step::Wrong,
            };
        }
        if let Some(key) = name.strip_prefix("parameter=") {
            let key = unquoted(key).to_owned();
            return self.argument(&key, Style::Lines, None, callable, told);
        }
        if let Some(attributes) = name.strip_prefix("parameter ") {
            let Some(key) = attribute(attributes, "name").map(str::to_owned) else { return Step::Wrong };
            let is_text = attribute(attributes, "string").map(|it| it == "true");
            let style = if is_dsml { Style::Dsml } else { Style::Attribute };
            return self.argument(&key, style, is_text, callable, told);
        }
        match name {
            "arg_key" => {
                self.place = Place::Key(String::new());
                Step::More
            }
            "arg_value" => {
                let key = std::mem::take(&mut self.key);
                self.argument(&key, Style::Pair, None, callable, told)
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
        told: &mut Told,
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
        told.arguments(&written);
        let at_start = style == Style::Lines;
        self.place = Place::Argument(Argument { style, types, held: String::new(), at_start });
        Step::More
    }

    fn key(&mut self, c: char) -> Step {
        let Place::Key(key) = &mut self.place else { return Step::Wrong };
        key.push(c);
        if let Some(whole) = key.strip_suffix("</arg_key>") {
            self.key = whole.trim().to_owned();
            self.place = Place::Inside;
        } else if key.len() > TAG_BYTES_MAX {
            return Step::Wrong;
        }
        Step::More
    }

    fn value(&mut self, c: char, callable: &Callable, told: &mut Told) -> Step {
        let Place::Argument(argument) = &mut self.place else { return Step::Wrong };
        argument.push(c, told);
        let Some(end) = argument.end() else { return Step::More };
        argument.close(told);
        self.place = Place::Inside;
        match end.strip_prefix('<').map(|it| it.trim_end_matches('>')) {
            // The value's end was forgotten, and what ends it is a tag of its own.
            Some("parameter=") => {
                self.place = Place::Tag("parameter=".to_owned());
                Step::More
            }
            Some(tag) => self.tag(tag, callable, told),
            None => Step::More,
        }
    }
}

impl Argument {
    /// Takes a character; tells what of a text is sure.
    fn push(&mut self, c: char, told: &mut Told) {
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
        told.arguments(&written);
    }

    /// The tag that has just ended it.
    fn end(&self) -> Option<&'static str> {
        self.style.ends().iter().find(|it| self.held.ends_with(**it)).copied()
    }

    /// Tells what was held, without the tag at its end.
    fn close(&mut self, told: &mut Told) {
        let end = self.end().unwrap_or_default().len();
        let text = &self.held[..self.held.len() - end];
        let text = if self.style == Style::Lines { text.strip_suffix('\n').unwrap_or(text) } else { text };
        if self.types.is_text() {
            let mut written = String::new();
            text.chars().for_each(|it| put(it, &mut written));
            written.push('"');
            told.arguments(&written);
        } else {
            told.arguments(&self.types.read(text));
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
    fn push(&mut self, c: char, callable: &Callable, told: &mut Told) -> Step {
        match &mut self.place {
            Place::Outside | Place::Inside | Place::AfterObject if c.is_whitespace() => Step::More,
            Place::Outside | Place::Inside | Place::AfterObject if c == '<' => {
                self.place = Place::Tag(String::new());
                Step::More
            }
            Place::Outside if self.calls > 0 => Step::Before,
            Place::Outside | Place::AfterObject => Step::Wrong,
            Place::Inside if c == '{' && !self.has_arguments => {
                self.place = Place::Object(Value::new());
                self.push(c, callable, told)
            }
            Place::Inside => Step::Wrong,
            Place::Name(name) if c == '\n' || c == '<' => {
                let name = std::mem::take(name);
                if self.begin(name.trim(), callable, told) == Step::Wrong {
                    return Step::Wrong;
                }
                self.push(c, callable, told)
            }
            Place::Name(name) => {
                name.push(c);
                if callable.may_begin(name.trim()) { Step::More } else { Step::Wrong }
            }
            Place::Tag(tag) if c == '>' => {
                let tag = std::mem::take(tag);
                self.tag(&tag, callable, told)
            }
            Place::Tag(tag) => {
                tag.push(c);
                let is_one = tag.len() <= TAG_BYTES_MAX && c != '<';
                let is_offered =
                    tag.strip_prefix("function=").is_none_or(|it| callable.may_begin(unquoted(it)));
                if is_one && is_offered { Step::More } else { Step::Wrong }
            }
            Place::Key(_) => self.key(c),
            Place::Argument(_) => self.value(c, callable, told),
            Place::Object(value) => {
                let mut more = String::new();
                let step = value.push(c, &mut more);
                told.arguments(&more);
                match step {
                    Step::Done => {
                        self.place = Place::AfterObject;
                        Step::More
                    }
                    Step::More => Step::More,
                    Step::Before | Step::Wrong => Step::Wrong,
                }
            }
        }
    }

    fn finish(&mut self, callable: &Callable, told: &mut Told) -> bool {
        match &mut self.place {
            Place::Outside => self.calls > 0,
            Place::Inside | Place::AfterObject => self.end(told) == Step::More,
            Place::Name(name) => {
                let name = std::mem::take(name);
                self.begin(name.trim(), callable, told) == Step::More && self.end(told) == Step::More
            }
            Place::Tag(_) | Place::Key(_) | Place::Argument(_) | Place::Object(_) => false,
        }
    }

    fn cut(&mut self, callable: &Callable, told: &mut Told) {
        match &mut self.place {
            Place::Object(value) => {
                let mut more = String::new();
                let _is_an_object = value.finish(&mut more);
                told.arguments(&more);
            }
            Place::Name(name) => {
                let name = std::mem::take(name);
                let _is_known = self.begin(name.trim(), callable, told);
            }
            Place::Outside
            | Place::Inside
            | Place::Tag(_)
            | Place::Key(_)
            | Place::Argument(_)
            | Place::AfterObject => {}
        }
    }
}
