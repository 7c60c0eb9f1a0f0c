//! Calls as Python writes them: `[f(a=1, b="x"), g()]`, or without the brackets.

use super::body::{Body, Events};
use super::callable::Callable;
use super::value::{Step, Value};

/// Reads such calls.
#[derive(Debug)]
pub(super) struct PythonCalls {
    /// Whether it is a call only by its own form, without a marker; then it has brackets.
    bare: bool,
    in_list: bool,
    state: State,
}

#[derive(Debug)]
enum State {
    Start,
    Name(String),
    Arguments(Value),
    /// After a call.
    Between,
    /// After a comma.
    Next,
}

impl PythonCalls {
    pub(super) fn new(bare: bool) -> Self {
        Self { bare, in_list: false, state: State::Start }
    }

    fn name(&mut self, c: char) -> Step {
        if !c.is_alphabetic() && c != '_' {
            return Step::Wrong;
        }
        self.state = State::Name(c.to_string());
        Step::More
    }
}

/// `get_weather.call(…)` is how Llama 3 calls what it knows by itself.
fn function(name: &str, callable: &Callable) -> Option<usize> {
    callable.find(name).or_else(|| callable.find(name.strip_suffix(".call")?))
}

impl Body for PythonCalls {
    fn push(&mut self, c: char, callable: &Callable, events: &mut Events) -> Step {
        match &mut self.state {
            State::Start | State::Between | State::Next if c.is_whitespace() => Step::More,
            State::Start if c == '[' => {
                self.in_list = true;
                self.state = State::Next;
                Step::More
            }
            State::Start if self.bare => Step::Wrong,
            State::Start | State::Next => self.name(c),
            State::Name(name) if c == '(' => {
                let Some(function) = function(name, callable) else { return Step::Wrong };
                events.begin(function);
                let mut more = String::new();
                self.state = State::Arguments(Value::arguments(&mut more));
                events.arguments(&more);
                Step::More
            }
            State::Name(name) => {
                name.push(c);
                let stem = name.rsplit_once('.').filter(|(_, end)| "call".starts_with(end)).map(|it| it.0);
                if callable.may_begin(name) || stem.is_some_and(|it| callable.find(it).is_some()) {
                    return Step::More;
                }
                name.pop();
                Step::Wrong
            }
            State::Arguments(value) => {
                let mut more = String::new();
                let step = value.push(c, &mut more);
                events.arguments(&more);
                match step {
                    Step::Done => {
                        events.end();
                        self.state = State::Between;
                        Step::More
                    }
                    Step::More => Step::More,
                    Step::Before | Step::Wrong => Step::Wrong,
                }
            }
            State::Between => match c {
                ',' => {
                    self.state = State::Next;
                    Step::More
                }
                ']' if self.in_list => Step::Done,
                _ if self.in_list => Step::Wrong,
                ';' => Step::More,
                // A next line may have a next call; else it is over.
                c if c.is_alphabetic() => self.name(c),
                _ => Step::Before,
            },
        }
    }

    fn finish(&mut self, _callable: &Callable, _events: &mut Events) -> bool {
        matches!(self.state, State::Between)
    }

    fn cut(&mut self, _callable: &Callable, events: &mut Events) {
        if let State::Arguments(value) = &mut self.state {
            let mut more = String::new();
            let _is_an_object = value.finish(&mut more);
            events.arguments(&more);
        }
    }
}
