//! A call as a name, a family's separator, and the arguments: `name[ARGS]{…}` and its relatives.

use super::body::{Body, Events};
use super::callable::Callable;
use super::value::{RAW_QUOTE, Step, Value};

// Names have 64 letters at most; with ids and separators a header stays below this.
const HEADER_BYTES_MAX: usize = 300;

/// The name that stands for no function: what follows is for the reader.
const TO_READER: &str = "all";

/// How a family writes it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Style {
    /// `name[CALL_ID]id[ARGS]{…}`, both separators optional; a list of JSON objects in older models.
    Mistral,
    /// `function<｜tool▁sep｜>name` line `` ```json `` line, or `name<｜tool▁sep｜>`.
    DeepSeek,
    /// `functions.name:0<|tool_call_argument_begin|>`.
    Kimi,
    /// `name` line; `all` line before text.
    Line,
    /// `call:name{a:<escape>x<escape>}`.
    FunctionGemma,
    /// `call:name{a:<|"|>x<|"|>}`.
    Gemma,
}

/// Reads one such call.
#[derive(Debug)]
pub(super) struct NamedCall {
    style: Style,
    header: String,
    arguments: Option<Value>,
    /// The beginning of the family's quote.
    quote: String,
}

impl Style {
    /// The name in what came before the arguments.
    fn name(self, header: &str) -> &str {
        let before = |text: &'_ str, mark: &str| text.find(mark).unwrap_or(text.len());
        let name = match self {
            Self::Mistral => &header[..before(header, "[")],
            Self::DeepSeek => {
                let header = header.trim_start();
                let header = header.strip_prefix("function<｜tool▁sep｜>").unwrap_or(header);
                let end = before(header, "<｜tool▁sep｜>").min(before(header, "```"));
                &header[..end]
            }
            Self::Kimi => {
                let header = &header[..before(header, "<|tool_call_argument_begin|>")];
                let name = header.trim().strip_prefix("functions.").unwrap_or(header);
                match name.rsplit_once(':') {
                    Some((name, number)) if number.trim().bytes().all(|it| it.is_ascii_digit()) => name,
                    Some(_) | None => name,
                }
            }
            Self::Line => header,
            Self::FunctionGemma | Self::Gemma => {
                header.trim_start().strip_prefix("call:").unwrap_or_default()
            }
        };
        name.trim()
    }

    /// What ends the header besides the arguments themselves.
    fn separator(self) -> &'static str {
        match self {
            Self::Mistral => "[ARGS]",
            Self::DeepSeek => "<｜tool▁sep｜>",
            Self::Kimi => "<|tool_call_argument_begin|>",
            Self::Line => "\n",
            Self::FunctionGemma | Self::Gemma => "{",
        }
    }

    fn quote(self) -> Option<&'static str> {
        match self {
            Self::FunctionGemma => Some("<escape>"),
            Self::Gemma => Some("<|\"|>"),
            Self::Mistral | Self::DeepSeek | Self::Kimi | Self::Line => None,
        }
    }
}

impl NamedCall {
    pub(super) fn new(style: Style) -> Self {
        Self { style, header: String::new(), arguments: None, quote: String::new() }
    }

    fn header(&mut self, c: char, callable: &Callable, events: &mut Events) -> Step {
        if c == '{' {
            let Some(function) = callable.find(self.style.name(&self.header)) else { return Step::Wrong };
            events.begin(function);
            self.arguments = Some(Value::new());
            return self.push(c, callable, events);
        }
        if self.style == Style::Line && c == '\n' && self.header == TO_READER {
            return Step::Done;
        }
        self.header.push(c);
        let is_begun = self.header.len() <= HEADER_BYTES_MAX
            && match self.style {
                // A name's first letters show whether it can become one.
                Style::Mistral => callable.may_begin(self.style.name(&self.header)),
                Style::Line => {
                    callable.may_begin(self.style.name(&self.header)) || TO_READER.starts_with(&self.header)
                }
                Style::DeepSeek | Style::Kimi | Style::FunctionGemma | Style::Gemma => true,
            };
        if is_begun {
            return Step::More;
        }
        self.header.pop();
        Step::Wrong
    }

    fn value(&mut self, c: char, events: &mut Events) -> Step {
        let Some(value) = &mut self.arguments else { return Step::Wrong };
        let mut more = String::new();
        let step = value.push(c, &mut more);
        events.arguments(&more);
        match step {
            Step::Done => {
                events.end();
                Step::Done
            }
            Step::More => Step::More,
            Step::Before | Step::Wrong => Step::Wrong,
        }
    }
}

impl Body for NamedCall {
    fn push(&mut self, c: char, callable: &Callable, events: &mut Events) -> Step {
        if self.arguments.is_none() {
            return self.header(c, callable, events);
        }
        let Some(quote) = self.style.quote() else { return self.value(c, events) };
        self.quote.push(c);
        if self.quote == quote {
            self.quote.clear();
            return self.value(RAW_QUOTE, events);
        }
        while !quote.starts_with(self.quote.as_str()) {
            let first = self.quote.remove(0);
            match self.value(first, events) {
                Step::More => {}
                step @ (Step::Done | Step::Before | Step::Wrong) => return step,
            }
        }
        Step::More
    }

    fn finish(&mut self, callable: &Callable, events: &mut Events) -> bool {
        // Nothing but a name is a call without arguments.
        if self.arguments.is_some() || !self.header.contains(self.style.separator()) {
            return false;
        }
        let Some(function) = callable.find(self.style.name(&self.header)) else { return false };
        events.begin(function);
        events.end();
        true
    }

    fn cut(&mut self, callable: &Callable, events: &mut Events) {
        match &mut self.arguments {
            Some(value) => {
                let mut more = String::new();
                let _is_an_object = value.finish(&mut more);
                events.arguments(&more);
            }
            None if self.header.contains(self.style.separator()) => {
                if let Some(function) = callable.find(self.style.name(&self.header)) {
                    events.begin(function);
                }
            }
            None => {}
        }
    }
}
