//! What stands between a family's markers, read character by character.

use std::fmt;

use super::callable::Callable;
use super::value::Step;

/// Reads the calls behind one marker.
///
/// A name is emitted once it is known to be one that is offered, and arguments as they come; [`Step::Wrong`] is the first
/// character that no call can have there.
pub(super) trait Body: fmt::Debug + Send {
    /// Takes a character.
    fn push(&mut self, c: char, callable: &Callable, events: &mut Events) -> Step;

    /// Nothing more comes, because the model was done. Whether all that was begun is whole.
    fn finish(&mut self, callable: &Callable, events: &mut Events) -> bool;

    /// Nothing more comes, because the reply is as long as it may be: emits what is known of the call.
    fn cut(&mut self, callable: &Callable, events: &mut Events);
}

/// A part of a call.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Event {
    /// A call begins: the function's index among the callable ones.
    Begin(usize),
    /// More of its arguments, as compact JSON.
    Arguments(String),
    /// It is whole.
    End,
}

/// What a body found, in order.
#[derive(Debug, Default)]
pub(super) struct Events(Vec<Event>);

impl Events {
    pub(super) fn begin(&mut self, function: usize) {
        self.0.push(Event::Begin(function));
    }

    pub(super) fn arguments(&mut self, more: &str) {
        if more.is_empty() {
            return;
        }
        match self.0.last_mut() {
            Some(Event::Arguments(before)) => before.push_str(more),
            Some(Event::Begin(_) | Event::End) | None => self.0.push(Event::Arguments(more.to_owned())),
        }
    }

    pub(super) fn end(&mut self) {
        self.0.push(Event::End);
    }

    pub(super) fn take(&mut self) -> Vec<Event> {
        std::mem::take(&mut self.0)
    }
}
