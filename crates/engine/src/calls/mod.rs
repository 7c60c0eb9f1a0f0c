//! Function calls in a reply's text.
//!
//! Each family of models writes calls in a form of its own; all of them are read here, whatever the model is called.
//! A text is a call when its form says so and its function is offered; everything else stays text, so that nothing is
//! lost. Each character is examined once, so where a reply is cut into tokens makes no difference.
//!
//! A stream has a call's name as soon as it is known and its arguments as they come. Should it turn out to be no call
//! after that, what follows is emitted as text. An answer that is not streamed has all of it as text.

use std::sync::Arc;

use self::body::{Body, Event, Events};
use self::choice::Choice;
use self::emitter::Emitter;
use self::markers::{Kind, MARKERS, Marker, RECIPIENT};
use self::value::Step;

mod body;
mod callable;
mod choice;
mod emitter;
mod fragment;
mod json;
mod markers;
mod named;
mod python;
mod schema;
mod tags;
mod value;

pub use self::callable::Callable;
pub use self::emitter::NamedArguments;
pub use self::fragment::{Ending, Fragment};

/// So much white space waits for what follows it; models that write nothing else must not be examined again and again.
pub const SPACE_BYTES_MAX: usize = 1024;
// The longest mark is shorter.
const MARK_BYTES_MAX: usize = 48;

/// What a call begins with in the form that models are told and forced to use.
pub const OPEN: &str = "<tool_call>";
/// What it ends with.
pub const CLOSE: &str = "</tool_call>";

/// Whether a control token's text is a mark that calls are recognised by.
#[must_use]
pub fn is_mark(token: &str) -> bool {
    markers::is_mark(token)
}

/// Finds calls in a reply that comes in chunks.
#[derive(Debug)]
pub struct CallFinder {
    callable: Arc<Callable>,
    /// Whether parts begin with whom they are for.
    to_recipients: bool,
    state: State,
    /// Nothing but white space came since the reply or its last call. Some models write calls without a mark there.
    fresh: bool,
    /// White space and the beginning of a mark.
    held: String,
    /// What may stand behind the last call.
    closers: &'static [&'static str],
    emitter: Emitter,
}

#[derive(Debug)]
enum State {
    Text,
    Call(Choice, &'static [&'static str]),
}

impl CallFinder {
    /// A finder for one reply.
    #[must_use]
    pub fn new(callable: Arc<Callable>) -> Self {
        Self {
            emitter: Emitter::new(Arc::clone(&callable), 0),
            callable,
            to_recipients: false,
            state: State::Text,
            fresh: true,
            held: String::new(),
            closers: &[],
        }
    }

    /// The same for a reply that begins with whom it is for.
    #[must_use]
    pub fn to_recipients(callable: Arc<Callable>) -> Self {
        let mut finder = Self::new(callable);
        finder.to_recipients = true;
        finder.state = State::Call(Choice::new(RECIPIENT.kind), RECIPIENT.close);
        finder
    }

    /// Takes a chunk; returns the fragments that are certain.
    pub fn push(&mut self, chunk: &str) -> Vec<Fragment> {
        for c in chunk.chars() {
            self.take(c);
        }
        self.emitter.take()
    }

    /// The end: gives what is left.
    pub fn finish(&mut self, ending: Ending) -> Vec<Fragment> {
        let had_call = self.emitter.calls() > 0;
        match std::mem::replace(&mut self.state, State::Text) {
            State::Text => self.finish_text(ending, had_call),
            State::Call(body, _) => self.finish_call(body, ending),
        }
        // Where there is but one function to call, its name is known before it is written.
        if self.callable.must_call && ending == Ending::Cut && self.emitter.calls() == 0 {
            let _markup = self.emitter.take();
            if self.callable.functions.len() == 1 {
                self.emitter.emit(Event::Begin(0));
                self.emitter.emit_all();
            }
        }
        self.emitter.take()
    }

    fn finish_text(&mut self, ending: Ending, had_call: bool) {
        let held = std::mem::take(&mut self.held);
        let begun = held.trim_start();
        // So much of a mark is nothing else.
        let is_closer = !begun.is_empty() && self.closers.iter().any(|it| it.starts_with(begun));
        let is_mark = ending == Ending::Cut && (is_closer || begun.len() > "<tool".len());
        let is_space_behind_call = self.fresh && had_call && begun.is_empty();
        if !is_mark && !is_space_behind_call {
            self.put_text(&held);
        }
    }

    fn finish_call(&mut self, mut body: Choice, ending: Ending) {
        let mut events = Events::default();
        let is_whole = match ending {
            Ending::Whole => body.finish(&self.callable, &mut events),
            Ending::Cut => {
                body.cut(&self.callable, &mut events);
                // What has a mark is no text, however little of it came.
                !body.is_bare()
            }
        };
        for event in events.take() {
            self.emitter.emit(event);
        }
        if ending == Ending::Cut && self.emitter.is_in_call() {
            self.emitter.emit_all();
        } else if !is_whole {
            self.give_up();
            self.put_held();
        }
    }

    fn take(&mut self, c: char) {
        match &mut self.state {
            State::Text => self.text(c),
            State::Call(body, close) => {
                let mut events = Events::default();
                let close = *close;
                let step = body.push(c, &self.callable, &mut events);
                if matches!(step, Step::More | Step::Done) {
                    self.emitter.keep(c);
                }
                for event in events.take() {
                    self.emitter.emit(event);
                }
                match step {
                    Step::More => {}
                    Step::Done | Step::Before => {
                        self.state = State::Text;
                        self.closers = close;
                        self.fresh = true;
                        // What stands between the call and what ended it: white space.
                        self.held = self.emitter.take_raw();
                        if step == Step::Done {
                            self.held.clear();
                        } else {
                            self.text(c);
                        }
                    }
                    Step::Wrong => {
                        self.state = State::Text;
                        self.give_up();
                        self.text(c);
                    }
                }
            }
        }
    }

    fn text(&mut self, c: char) {
        // Most characters are those of a text without marks.
        if self.held.is_empty() && !self.fresh && !c.is_whitespace() && !may_open(c, self.to_recipients) {
            self.put_char(c);
            return;
        }
        self.held.push(c);
        loop {
            let begun = self.held.trim_start();
            if self.closers.contains(&begun) {
                self.held.clear();
                return;
            }
            if begun.is_empty() && self.held.len() > SPACE_BYTES_MAX {
                self.put_held();
                return;
            }
            if begun.is_empty() || self.is_beginning(begun) {
                return;
            }
            if let Some(marker) = self.marker(begun) {
                self.open(marker.kind, marker.close);
                return;
            }
            if self.fresh && begun.starts_with(['{', '[']) {
                let begun = begun.to_owned();
                let space = self.held.len() - begun.len();
                self.held.truncate(space);
                self.open(Kind::Bare, &[]);
                // Its letters go through the form, and come back if they are none.
                begun.chars().for_each(|it| self.take(it));
                return;
            }
            self.release();
        }
    }

    fn open(&mut self, kind: Kind, close: &'static [&'static str]) {
        self.emitter.begin(std::mem::take(&mut self.held));
        self.closers = &[];
        self.state = State::Call(Choice::new(kind), close);
    }

    fn marker(&self, text: &str) -> Option<&'static Marker> {
        let all = MARKERS.iter().chain(self.to_recipients.then_some(&RECIPIENT));
        all.into_iter().find(|it| it.open == text)
    }

    /// Whether a mark begins so, and is not whole.
    fn is_beginning(&self, text: &str) -> bool {
        let begins = |mark: &str| mark.len() > text.len() && mark.starts_with(text);
        MARKERS.iter().any(|it| begins(it.open))
            || self.closers.iter().any(|it| begins(it))
            || (self.to_recipients && begins(RECIPIENT.open))
    }

    /// Emits what is held, up to where a mark may begin.
    fn release(&mut self) {
        let space = self.held.len() - self.held.trim_start().len();
        let later = self.held[space..].char_indices().skip(1).map(|(at, _)| space + at);
        let sure = later
            .into_iter()
            .find(|at| {
                let rest = self.held[*at..].trim_start();
                rest.is_empty() || self.is_beginning(rest) || self.marker(rest).is_some()
            })
            .unwrap_or(self.held.len());
        let text: String = self.held.drain(..sure).collect();
        self.put_text(&text);
    }

    fn put_char(&mut self, c: char) {
        self.put_text(c.encode_utf8(&mut [0; 4]));
    }

    fn put_held(&mut self) {
        let held = std::mem::take(&mut self.held);
        // A little white space behind a call is no text.
        if self.emitter.calls() == 0 || held.len() > SPACE_BYTES_MAX || !held.trim().is_empty() {
            self.put_text(&held);
        }
    }

    fn put_text(&mut self, text: &str) {
        if !text.is_empty() {
            self.fresh = false;
            self.closers = &[];
            self.emitter.text(text);
        }
    }

    /// It is no call: its text is text, as far as it was not emitted as a call.
    fn give_up(&mut self) {
        let raw = self.emitter.give_up();
        self.closers = &[];
        // Its end may be the beginning of the next mark: some models begin twice.
        let from = raw.len().saturating_sub(MARK_BYTES_MAX);
        let starts = raw.char_indices().map(|(at, _)| at).filter(|at| *at >= from);
        let mark = starts.into_iter().find(|at| self.is_beginning(&raw[*at..])).unwrap_or(raw.len());
        let text = raw[..mark].trim_end();
        self.held = raw[text.len()..].to_owned();
        self.put_text(text);
        self.fresh = false;
    }
}

/// Whether a mark begins with this character.
fn may_open(c: char, to_recipients: bool) -> bool {
    matches!(c, '<' | '[' | '`' | 'f') || (c == '>' && to_recipients)
}
