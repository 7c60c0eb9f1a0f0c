//! Function calls in a reply's text.
//!
//! Each family of models writes calls in a form of its own; all of them are read here, whatever the model is called.
//! A text is a call when its form says so and its function is offered; everything else stays text, so that nothing is
//! lost. Every character is looked at once and alone: where a reply is cut into tokens makes no difference.
//!
//! A stream tells a call's name when it is known and its arguments as they come. Should a call turn out to be none after
//! that, what follows is told as text. An answer in one piece has such a call as text altogether.

use std::sync::Arc;

use self::body::{Body, Event, Told};
use self::choice::Choice;
use self::markers::{Kind, MARKERS, Marker, RECIPIENT};
use self::teller::Teller;
use self::value::Step;

mod body;
mod callable;
mod choice;
mod json;
mod markers;
mod named;
mod part;
mod python;
mod schema;
mod tags;
mod teller;
mod value;

pub use self::callable::Callable;
pub use self::part::{Ending, Part};
pub use self::teller::NamedArguments;

/// So much white space waits for what follows it; models that write nothing else must not be looked at again and again.
pub const SPACE_BYTES_MAX: usize = 1024;
// The longest mark is shorter.
const MARK_BYTES_MAX: usize = 48;

/// What a call begins with in the form that models are told and forced to use.
pub const OPEN: &str = "<tool_call>";
/// What it ends with.
pub const CLOSE: &str = "</tool_call>";

/// Whether a control token's text is a mark that calls are told by.
#[must_use]
pub fn is_mark(token: &str) -> bool {
    markers::is_mark(token)
}

/// Finds calls in a reply that comes piece by piece.
#[derive(Debug)]
pub struct CallFinder {
    callable: Arc<Callable>,
    /// Whether parts begin with whom they are for.
    to_recipients: bool,
    place: Place,
    /// Nothing but white space came since the reply or its last call. Some models write calls without a mark there.
    fresh: bool,
    /// White space and the beginning of a mark.
    held: String,
    /// What may stand behind the last call.
    closers: &'static [&'static str],
    teller: Teller,
}

#[derive(Debug)]
enum Place {
    Text,
    Call(Choice, &'static [&'static str]),
}

impl CallFinder {
    /// A finder for one reply.
    #[must_use]
    pub fn new(callable: Arc<Callable>) -> Self {
        Self {
            teller: Teller::new(Arc::clone(&callable), 0),
            callable,
            to_recipients: false,
            place: Place::Text,
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
        finder.place = Place::Call(Choice::new(RECIPIENT.kind), RECIPIENT.close);
        finder
    }

    /// Takes a piece and gives what is sure.
    pub fn push(&mut self, piece: &str) -> Vec<Part> {
        for c in piece.chars() {
            self.take(c);
        }
        self.teller.take()
    }

    /// The end: gives what is left.
    pub fn finish(&mut self, ending: Ending) -> Vec<Part> {
        let had_call = self.teller.calls() > 0;
        match std::mem::replace(&mut self.place, Place::Text) {
            Place::Text => self.finish_text(ending, had_call),
            Place::Call(body, _) => self.finish_call(body, ending),
        }
        // Where there is but one function to call, its name is known before it is written.
        if self.callable.must_call && ending == Ending::Cut && self.teller.calls() == 0 {
            let _markup = self.teller.take();
            if self.callable.functions.len() == 1 {
                self.teller.tell(Event::Begin(0));
                self.teller.tell_all();
            }
        }
        self.teller.take()
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
        let mut told = Told::default();
        let is_whole = match ending {
            Ending::Whole => body.finish(&self.callable, &mut told),
            Ending::Cut => {
                body.cut(&self.callable, &mut told);
                // What has a mark is no text, however little of it came.
                !body.is_bare()
            }
        };
        for event in told.take() {
            self.teller.tell(event);
        }
        if ending == Ending::Cut && self.teller.is_in_call() {
            self.teller.tell_all();
        } else if !is_whole {
            self.give_up();
            self.put_held();
        }
    }

    fn take(&mut self, c: char) {
        match &mut self.place {
            Place::Text => self.text(c),
            Place::Call(body, close) => {
                let mut told = Told::default();
                let close = *close;
                let step = body.push(c, &self.callable, &mut told);
                if matches!(step, Step::More | Step::Done) {
                    self.teller.keep(c);
                }
                for event in told.take() {
                    self.teller.tell(event);
                }
                match step {
                    Step::More => {}
                    Step::Done | Step::Before => {
                        self.place = Place::Text;
                        self.closers = close;
                        self.fresh = true;
                        // What stands between the call and what ended it: white space.
                        self.held = self.teller.take_raw();
                        if step == Step::Done {
                            self.held.clear();
                        } else {
                            self.text(c);
                        }
                    }
                    Step::Wrong => {
                        self.place = Place::Text;
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
        self.teller.begin(std::mem::take(&mut self.held));
        self.closers = &[];
        self.place = Place::Call(Choice::new(kind), close);
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

    /// Tells what is held, up to where a mark may begin.
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
        if self.teller.calls() == 0 || held.len() > SPACE_BYTES_MAX || !held.trim().is_empty() {
            self.put_text(&held);
        }
    }

    fn put_text(&mut self, text: &str) {
        if !text.is_empty() {
            self.fresh = false;
            self.closers = &[];
            self.teller.text(text);
        }
    }

    /// The call is none: its text is text, as far as it was not told as a call.
    fn give_up(&mut self) {
        let raw = self.teller.give_up();
        self.closers = &[];
        // Its end may be the beginning of the next mark: some models begin twice.
        let from = raw.len().saturating_sub(MARK_BYTES_MAX);
        let places = raw.char_indices().map(|(at, _)| at).filter(|at| *at >= from);
        let mark = places.into_iter().find(|at| self.is_beginning(&raw[*at..])).unwrap_or(raw.len());
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
