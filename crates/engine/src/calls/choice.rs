//! Decides which form stands behind a marker that several families share, and takes markers that stand within others.

use super::body::{Body, Events};
use super::callable::Callable;
use super::json::JsonCalls;
use super::markers::Kind;
use super::named::{NamedCall, Style};
use super::python::PythonCalls;
use super::tags::TagCalls;
use super::value::Step;

/// A body whose first characters say which one it is.
#[derive(Debug)]
pub(super) struct Choice {
    kind: Kind,
    /// White space and brackets that say nothing yet.
    held: String,
    body: Option<Box<dyn Body>>,
}

impl Choice {
    pub(super) fn new(kind: Kind) -> Self {
        Self { kind, held: String::new(), body: None }
    }

    /// Whether it has no marker.
    pub(super) fn is_bare(&self) -> bool {
        self.kind == Kind::Bare
    }

    /// The body that begins with what is held and `c`, if that is clear.
    fn choose(&self, c: char) -> Option<Box<dyn Body>> {
        let is_list = self.held.contains('[');
        Some(match self.kind {
            Kind::ToolCall => match c {
                '{' | '[' => Box::new(JsonCalls::new(false)),
                '<' => Box::new(TagCalls::new()),
                _ => Box::new(TagCalls::with_name()),
            },
            Kind::Mistral if matches!(c, '{' | '[') => Box::new(JsonCalls::new(false)),
            Kind::Mistral => Box::new(NamedCall::new(Style::Mistral)),
            Kind::Either | Kind::Bare if c == '[' && !is_list => return None,
            Kind::Either | Kind::Bare if c == '{' => Box::new(JsonCalls::new(self.kind == Kind::Bare)),
            Kind::Either | Kind::Bare => Box::new(PythonCalls::new(self.kind == Kind::Bare)),
            Kind::Json => Box::new(JsonCalls::new(false)),
            Kind::JsonList => Box::new(JsonCalls::in_list()),
            Kind::Tags => Box::new(TagCalls::new()),
            Kind::Function => Box::new(TagCalls::in_tag("function=")),
            Kind::Named(style) => Box::new(NamedCall::new(style)),
            Kind::Section(marker, style) => {
                Box::new(Section { marker, held: String::new(), call: NamedCall::new(style) })
            }
        })
    }
}

impl Body for Choice {
    fn push(&mut self, c: char, callable: &Callable, events: &mut Events) -> Step {
        if let Some(body) = &mut self.body {
            return body.push(c, callable, events);
        }
        if c.is_whitespace() {
            self.held.push(c);
            return Step::More;
        }
        let Some(mut body) = self.choose(c) else {
            self.held.push(c);
            return Step::More;
        };
        for before in self.held.chars().chain([c]) {
            match body.push(before, callable, events) {
                Step::More => {}
                step @ (Step::Done | Step::Before | Step::Wrong) => return step,
            }
        }
        self.body = Some(body);
        Step::More
    }

    fn finish(&mut self, callable: &Callable, events: &mut Events) -> bool {
        self.body.as_mut().is_some_and(|it| it.finish(callable, events))
    }

    fn cut(&mut self, callable: &Callable, events: &mut Events) {
        if let Some(body) = &mut self.body {
            body.cut(callable, events);
        }
    }
}

/// A call with a marker of its own inside the marker of all calls.
#[derive(Debug)]
struct Section {
    marker: &'static str,
    held: String,
    call: NamedCall,
}

impl Body for Section {
    fn push(&mut self, c: char, callable: &Callable, events: &mut Events) -> Step {
        if self.held == self.marker {
            return self.call.push(c, callable, events);
        }
        if self.held.is_empty() && c.is_whitespace() {
            return Step::More;
        }
        self.held.push(c);
        if self.marker.starts_with(&self.held) {
            return Step::More;
        }
        self.held.pop();
        Step::Wrong
    }

    fn finish(&mut self, callable: &Callable, events: &mut Events) -> bool {
        self.held == self.marker && self.call.finish(callable, events)
    }

    fn cut(&mut self, callable: &Callable, events: &mut Events) {
        self.call.cut(callable, events);
    }
}
