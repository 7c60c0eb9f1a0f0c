//! Calls as Python writes them: `[f(a=1, b="x"), g()]`, or without the brackets.

use super::body::{Body, Told};
use super::callable::Callable;
use super::value::{Step, Value};

/// Reads such calls.
#[derive(Debug)]
pub(super) struct PythonCalls {
    /// Whether nothing but its own look says that it is a call; then it has brackets.
    bare: bool,
    in_list: bool,
    place: Place,
}

#[derive(Debug)]
enum Place {
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
        Self { bare, in_list: false, place: Place::Start }
    }

    fn name(&mut self, c: char) -> Step {
        if !c.is_alphabetic() && c != '_' {
            return Step::Wrong;
        }
        self.place = Place::Name(c.to_string());
        Step::More
    }
}

/// `get_weather.call(…)` is how Llama 3 calls what it knows by itself.
fn function(name: &str, callable: &Callable) -> Option<usize> {
    callable.find(name).or_else(|| callable.find(name.strip_suffix(".call")?))
}

impl Body for PythonCalls {
    fn push(&mut self, c: char, callable: &Callable, told: &mut Told) -> Step {
        match &mut self.place {
            Place::Start | Place::Between | Place::Next if c.is_whitespace() => Step::More,
            Place::Start if c == '[' => {
                self.in_list = true;
                self.place = Place::Next;
                Step::More
            }
            Place::Start if self.bare => Step::Wrong,
            Place::Start | Place::Next => self.name(c),
            Place::Name(name) if c == '(' => {
                let Some(function) = function(name, callable) else { return Step::Wrong };
                told.begin(function);
                let mut more = String::new();
                self.place = Place::Arguments(Value::arguments(&mut more));
                told.arguments(&more);
                Step::More
            }
            Place::Name(name) => {
                name.push(c);
                let stem = name.rsplit_once('.').filter(|(_, end)| "call".starts_with(end)).map(|it| it.0);
                if callable.may_begin(name) || stem.is_some_and(|it| callable.find(it).is_some()) {
                    return Step::More;
                }
                name.pop();
                Step::Wrong
            }
            Place::Arguments(value) => {
                let mut more = String::new();
                let step = value.push(c, &mut more);
                told.arguments(&more);
                match step {
                    Step::Done => {
                        told.end();
                        self.place = Place::Between;
                        Step::More
                    }
                    Step::More => Step::More,
                    Step::Before | Step::Wrong => Step::Wrong,
                }
            }
            Place::Between => match c {
                ',' => {
                    self.place = Place::Next;
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

    fn finish(&mut self, _callable: &Callable, _told: &mut Told) -> bool {
        matches!(self.place, Place::Between)
    }

    fn cut(&mut self, _callable: &Callable, told: &mut Told) {
        if let Place::Arguments(value) = &mut self.place {
            let mut more = String::new();
            let _is_an_object = value.finish(&mut more);
            told.arguments(&more);
        }
    }
}
