//! Tells calls: numbers them, gives them ids, and keeps each one's text until nobody needs it.

use std::sync::Arc;

use dedi_api::engine::{CalledFunction, ToolCall};

use super::body::Event;
use super::callable::Callable;
use super::part::{Ending, Part};
use super::value::{Step, Value};

/// Makes parts of what is found.
#[derive(Debug)]
pub(super) struct Teller {
    callable: Arc<Callable>,
    /// Calls so far, the current one not counted.
    calls: u32,
    /// The call's text, to be told where it turns out to be none.
    raw: String,
    /// What is known of the call, until it is told.
    waiting: Vec<Part>,
    call: Option<Progress>,
    parts: Vec<Part>,
}

/// What is known of a call that has begun.
#[derive(Clone, Copy, Debug, Default)]
struct Progress {
    has_arguments: bool,
}

impl Teller {
    pub(super) fn new(callable: Arc<Callable>, calls: u32) -> Self {
        Self { callable, calls, raw: String::new(), waiting: Vec::new(), call: None, parts: Vec::new() }
    }

    pub(super) fn calls(&self) -> u32 {
        self.calls
    }

    pub(super) fn is_in_call(&self) -> bool {
        self.call.is_some()
    }

    /// What can be told now.
    pub(super) fn take(&mut self) -> Vec<Part> {
        std::mem::take(&mut self.parts)
    }

    /// What may be a call begins with `text`.
    pub(super) fn begin(&mut self, text: String) {
        self.raw = text;
    }

    /// A character of the call. In a stream nobody needs the text of a call that is told already.
    pub(super) fn keep(&mut self, c: char) {
        if !(self.callable.in_fragments && self.call.is_some()) {
            self.raw.push(c);
        }
    }

    pub(super) fn take_raw(&mut self) -> String {
        std::mem::take(&mut self.raw)
    }

    pub(super) fn text(&mut self, text: &str) {
        match self.parts.last_mut() {
            Some(Part::Text(before)) => before.push_str(text),
            Some(Part::Call(_) | Part::Called) | None => self.parts.push(Part::Text(text.to_owned())),
        }
    }

    pub(super) fn tell(&mut self, event: Event) {
        match event {
            Event::Begin(function) => {
                let id = format!("call_{}", uuid::Uuid::new_v4().simple());
                let function = CalledFunction {
                    name: self.callable.name(function).to_owned(),
                    arguments: String::new(),
                };
                self.waiting.push(Part::Call(ToolCall {
                    index: self.calls,
                    id,
                    kind: "function".to_owned(),
                    function,
                }));
                self.call = Some(Progress::default());
            }
            Event::Arguments(more) => {
                self.call = Some(Progress { has_arguments: true });
                self.arguments(more);
            }
            Event::End => {
                if self.call.is_some_and(|it| !it.has_arguments) {
                    self.arguments("{}".to_owned());
                }
                self.waiting.push(Part::Called);
                self.tell_all();
            }
        }
        if self.callable.in_fragments && self.call.is_some() {
            self.parts.append(&mut self.waiting);
            self.raw.clear();
        }
    }

    /// Tells the call as far as it is known; the next one has the next number.
    pub(super) fn tell_all(&mut self) {
        self.parts.append(&mut self.waiting);
        self.call = None;
        self.calls += 1;
        self.raw.clear();
    }

    /// The call is none: gives its text, as far as it was not told as a call.
    pub(super) fn give_up(&mut self) -> String {
        if self.call.take().is_some() && self.callable.in_fragments {
            self.calls += 1;
        }
        self.waiting.clear();
        self.take_raw()
    }

    /// More arguments: with what was not sent of the call, if there is any.
    fn arguments(&mut self, more: String) {
        let parts = if self.waiting.is_empty() { &mut self.parts } else { &mut self.waiting };
        if let Some(Part::Call(call)) = parts.last_mut()
            && call.index == self.calls
        {
            call.function.arguments.push_str(&more);
            return;
        }
        let function = CalledFunction { name: String::new(), arguments: more };
        self.waiting.push(Part::Call(ToolCall {
            index: self.calls,
            id: String::new(),
            kind: String::new(),
            function,
        }));
    }
}

/// The arguments of a call whose name stands elsewhere.
#[derive(Debug)]
pub struct NamedArguments {
    teller: Teller,
    value: Value,
    is_over: bool,
}

impl NamedArguments {
    /// The `index`th call of a reply; nothing where no such function is offered.
    #[must_use]
    pub fn new(callable: Arc<Callable>, name: &str, index: u32) -> Option<Self> {
        let function = callable.find(name)?;
        let mut teller = Teller::new(callable, index);
        teller.tell(Event::Begin(function));
        Some(Self { teller, value: Value::new(), is_over: false })
    }

    /// How many calls the reply has now.
    #[must_use]
    pub fn calls(&self) -> u32 {
        self.teller.calls()
    }

    /// Takes a piece and gives what is sure.
    pub fn push(&mut self, piece: &str) -> Vec<Part> {
        for c in piece.chars() {
            if self.is_over {
                if !(self.teller.calls() > 0 && c.is_whitespace()) {
                    self.teller.text(c.encode_utf8(&mut [0; 4]));
                }
                continue;
            }
            let mut more = String::new();
            let step = if !self.value.has_begun() && !c.is_whitespace() && c != '{' {
                Step::Wrong
            } else {
                self.value.push(c, &mut more)
            };
            self.teller.keep(c);
            if !more.is_empty() {
                self.teller.tell(Event::Arguments(more));
            }
            match step {
                Step::More => {}
                Step::Done => {
                    self.is_over = true;
                    self.teller.tell(Event::End);
                }
                Step::Before | Step::Wrong => {
                    self.is_over = true;
                    let mut raw = self.teller.give_up();
                    if raw.is_empty() {
                        raw.push(c);
                    }
                    self.teller.text(&raw);
                }
            }
        }
        self.teller.take()
    }

    /// The end: gives what is left.
    pub fn finish(&mut self, ending: Ending) -> Vec<Part> {
        if !self.is_over {
            self.is_over = true;
            if !self.value.has_begun() && ending == Ending::Whole {
                self.teller.tell(Event::End);
            } else if ending == Ending::Cut {
                self.teller.tell_all();
            } else {
                let raw = self.teller.give_up();
                if !raw.is_empty() {
                    self.teller.text(&raw);
                }
            }
        }
        self.teller.take()
    }
}
