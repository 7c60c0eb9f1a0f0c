//! Emits calls: numbers them, gives them ids, and keeps each one's raw text while it may turn out to be no call.

use std::sync::Arc;

use dedi_api::engine::{CalledFunction, ToolCall};

use super::body::Event;
use super::callable::Callable;
use super::fragment::{Ending, Fragment};
use super::value::{Step, Value};

/// Turns what was found into fragments.
#[derive(Debug)]
pub(super) struct Emitter {
    callable: Arc<Callable>,
    /// Calls so far, the current one not counted.
    calls: u32,
    /// The call's raw text, emitted as text where it turns out to be no call.
    raw: String,
    /// What is known of the call, until it is emitted.
    waiting: Vec<Fragment>,
    call: Option<Progress>,
    fragments: Vec<Fragment>,
}

/// What is known of a call that has begun.
#[derive(Clone, Copy, Debug, Default)]
struct Progress {
    has_arguments: bool,
}

impl Emitter {
    pub(super) fn new(callable: Arc<Callable>, calls: u32) -> Self {
        Self { callable, calls, raw: String::new(), waiting: Vec::new(), call: None, fragments: Vec::new() }
    }

    pub(super) fn calls(&self) -> u32 {
        self.calls
    }

    pub(super) fn is_in_call(&self) -> bool {
        self.call.is_some()
    }

    /// Takes the fragments that can be emitted now.
    pub(super) fn take(&mut self) -> Vec<Fragment> {
        std::mem::take(&mut self.fragments)
    }

    /// What may be a call begins with `text`.
    pub(super) fn begin(&mut self, text: String) {
        self.raw = text;
    }

    /// A character of the call. In a stream the text of a call that was emitted already is not needed.
    pub(super) fn keep(&mut self, c: char) {
        if !(self.callable.in_fragments && self.call.is_some()) {
            self.raw.push(c);
        }
    }

    pub(super) fn take_raw(&mut self) -> String {
        std::mem::take(&mut self.raw)
    }

    pub(super) fn text(&mut self, text: &str) {
        match self.fragments.last_mut() {
            Some(Fragment::Text(before)) => before.push_str(text),
            Some(Fragment::Call(_) | Fragment::Called) | None => {
                self.fragments.push(Fragment::Text(text.to_owned()))
            }
        }
    }

    pub(super) fn emit(&mut self, event: Event) {
        match event {
            Event::Begin(function) => {
                let id = format!("call_{}", uuid::Uuid::new_v4().simple());
                let function = CalledFunction {
                    name: self.callable.name(function).to_owned(),
                    arguments: String::new(),
                };
                self.waiting.push(Fragment::Call(ToolCall {
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
                self.waiting.push(Fragment::Called);
                self.emit_all();
            }
        }
        if self.callable.in_fragments && self.call.is_some() {
            self.fragments.append(&mut self.waiting);
            self.raw.clear();
        }
    }

    /// Emits the call as far as it is known; the next one has the next number.
    pub(super) fn emit_all(&mut self) {
        self.fragments.append(&mut self.waiting);
        self.call = None;
        self.calls += 1;
        self.raw.clear();
    }

    /// It is no call: returns its text, as far as it was not emitted as a call.
    pub(super) fn give_up(&mut self) -> String {
        if self.call.take().is_some() && self.callable.in_fragments {
            self.calls += 1;
        }
        self.waiting.clear();
        self.take_raw()
    }

    /// More arguments: with what was not sent of the call, if there is any.
    fn arguments(&mut self, more: String) {
        let fragments = if self.waiting.is_empty() { &mut self.fragments } else { &mut self.waiting };
        if let Some(Fragment::Call(call)) = fragments.last_mut()
            && call.index == self.calls
        {
            call.function.arguments.push_str(&more);
            return;
        }
        let function = CalledFunction { name: String::new(), arguments: more };
        self.waiting.push(Fragment::Call(ToolCall {
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
    emitter: Emitter,
    value: Value,
    is_over: bool,
}

impl NamedArguments {
    /// The `index`th call of a reply; nothing where no such function is offered.
    #[must_use]
    pub fn new(callable: Arc<Callable>, name: &str, index: u32) -> Option<Self> {
        let function = callable.find(name)?;
        let mut emitter = Emitter::new(callable, index);
        emitter.emit(Event::Begin(function));
        Some(Self { emitter, value: Value::new(), is_over: false })
    }

    /// How many calls the reply has now.
    #[must_use]
    pub fn calls(&self) -> u32 {
        self.emitter.calls()
    }

    /// Takes a chunk; returns the fragments that are certain.
    pub fn push(&mut self, chunk: &str) -> Vec<Fragment> {
        for c in chunk.chars() {
            if self.is_over {
                if !(self.emitter.calls() > 0 && c.is_whitespace()) {
                    self.emitter.text(c.encode_utf8(&mut [0; 4]));
                }
                continue;
            }
            let mut more = String::new();
            let step = if !self.value.has_begun() && !c.is_whitespace() && c != '{' {
                Step::Wrong
            } else {
                self.value.push(c, &mut more)
            };
            self.emitter.keep(c);
            if !more.is_empty() {
                self.emitter.emit(Event::Arguments(more));
            }
            match step {
                Step::More => {}
                Step::Done => {
                    self.is_over = true;
                    self.emitter.emit(Event::End);
                }
                Step::Before | Step::Wrong => {
                    self.is_over = true;
                    let mut raw = self.emitter.give_up();
                    if raw.is_empty() {
                        raw.push(c);
                    }
                    self.emitter.text(&raw);
                }
            }
        }
        self.emitter.take()
    }

    /// The end: gives what is left.
    pub fn finish(&mut self, ending: Ending) -> Vec<Fragment> {
        if !self.is_over {
            self.is_over = true;
            if !self.value.has_begun() && ending == Ending::Whole {
                self.emitter.emit(Event::End);
            } else if ending == Ending::Cut {
                self.emitter.emit_all();
            } else {
                let raw = self.emitter.give_up();
                if !raw.is_empty() {
                    self.emitter.text(&raw);
                }
            }
        }
        self.emitter.take()
    }
}
