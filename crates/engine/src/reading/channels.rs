//! Replies in channels, as gpt-oss writes them: `<|channel|>analysis<|message|>…<|end|><|start|>assistant…`.
//!
//! What is analysed is thought, what is for a function calls it, and the rest is said. The prompt ends behind
//! `<|start|>assistant`, so that a reply begins in a header.

use std::sync::Arc;

use crate::calls::{Callable, Ending, NamedArguments, SPACE_BYTES_MAX};

use super::piece::{Piece, put_parts, put_text, put_thought};

/// What a reply of this form begins with.
pub(super) const START: &str = "<|channel|>";
const MESSAGE: &str = "<|message|>";
/// What ends a message, or begins the next one.
const ENDS: [&str; 5] = ["<|end|>", "<|call|>", "<|return|>", "<|start|>", START];
/// What a reply's first header begins with.
const HEADERS: [&str; 3] = [START, "<|constrain|>", "to="];
const CONSTRAIN: &str = "<|constrain|>";
const HEADER_BYTES_MAX: usize = 400;

/// Whether a control token's text is a mark of this form.
pub(super) fn is_mark(token: &str) -> bool {
    ENDS.contains(&token) || token == MESSAGE || token == CONSTRAIN
}

/// Whether a reply that begins so comes in channels.
pub(super) fn is_start(text: &str) -> bool {
    text == START
}

/// Whether it may become one.
pub(super) fn may_start(text: &str) -> bool {
    START.starts_with(text)
}

/// Reads such a reply.
#[derive(Debug)]
pub(super) struct Channels {
    callable: Option<Arc<Callable>>,
    place: Place,
    held: String,
    calls: u32,
    /// Whether the message has begun, so that white space is a part of it.
    begun: bool,
    /// Whether there was a message.
    has_message: bool,
}

#[derive(Debug)]
enum Place {
    Header,
    Thought,
    Text,
    Call(Box<NamedArguments>),
}

impl Channels {
    pub(super) fn new(callable: Option<Arc<Callable>>) -> Self {
        Self {
            callable,
            place: Place::Header,
            held: String::new(),
            calls: 0,
            begun: false,
            has_message: false,
        }
    }

    pub(super) fn push(&mut self, c: char, pieces: &mut Vec<Piece>) {
        self.held.push(c);
        if matches!(self.place, Place::Header) {
            self.header(pieces);
            return;
        }
        if let Some(end) = ENDS.iter().find(|it| self.held.ends_with(**it)) {
            let message = self.held[..self.held.len() - end.len()].to_owned();
            self.put(&message, true, pieces);
            self.end(Ending::Whole, pieces);
            self.held.clear();
            if *end == START {
                self.held.push_str(START);
            }
            return;
        }
        let may_end = |rest: &str| ENDS.iter().any(|it| it.starts_with(rest));
        let sure = self.held.char_indices().map(|(at, _)| at).find(|at| may_end(&self.held[*at..]));
        let mut sure = sure.unwrap_or(self.held.len());
        if matches!(self.place, Place::Thought) && sure <= SPACE_BYTES_MAX {
            // White space waits for what follows.
            sure = self.held[..sure].trim_end().len();
        }
        let text: String = self.held.drain(..sure).collect();
        self.put(&text, false, pieces);
    }

    pub(super) fn finish(&mut self, ending: Ending, pieces: &mut Vec<Piece>) {
        let held = std::mem::take(&mut self.held);
        if matches!(self.place, Place::Header) {
            // A header that breaks off is for nobody; a text without any is for the reader.
            if !self.has_message && !held.contains('<') {
                self.place = Place::Text;
                self.put(&held, true, pieces);
            }
            return;
        }
        // What is held may be a mark; behind a call that breaks off it is one.
        let is_mark = ending == Ending::Cut && matches!(self.place, Place::Call(_));
        self.put(if is_mark { "" } else { &held }, true, pieces);
        self.end(ending, pieces);
    }

    fn header(&mut self, pieces: &mut Vec<Piece>) {
        if let Some(header) = self.held.strip_suffix(MESSAGE) {
            let header = header.to_owned();
            self.begun = false;
            self.has_message = true;
            self.place = self.message(&header);
            self.held.clear();
            if matches!(self.place, Place::Text) && header.contains("to=") {
                put_text(&format!("{header}{MESSAGE}"), pieces);
            }
        } else if self.held.len() > HEADER_BYTES_MAX || !self.may_be_header() {
            self.place = Place::Text;
            put_text(&std::mem::take(&mut self.held), pieces);
        }
    }

    /// The first one follows the assistant's role; a reply that begins otherwise has none.
    fn may_be_header(&self) -> bool {
        let begun = self.held.trim_start();
        self.has_message || HEADERS.iter().any(|it| it.starts_with(begun) || begun.starts_with(it))
    }

    fn message(&self, header: &str) -> Place {
        let recipient = header.find("to=").map(|at| &header[at + "to=".len()..]);
        let recipient = recipient.and_then(|it| it.split(|c: char| c.is_whitespace() || c == '<').next());
        if let (Some(recipient), Some(callable)) = (recipient, &self.callable) {
            let name = recipient.strip_prefix("functions.").unwrap_or(recipient);
            let call = NamedArguments::new(Arc::clone(callable), name, self.calls);
            return call.map_or(Place::Text, |it| Place::Call(Box::new(it)));
        }
        if recipient.is_none() && header.contains("analysis") { Place::Thought } else { Place::Text }
    }

    /// More of a message; its last part if `whole`.
    fn put(&mut self, text: &str, whole: bool, pieces: &mut Vec<Piece>) {
        match &mut self.place {
            Place::Header => {}
            Place::Text => {
                if !text.is_empty() {
                    put_text(text, pieces);
                }
            }
            Place::Thought => {
                let text = if self.begun { text } else { text.trim_start() };
                let text = if whole { text.trim_end() } else { text };
                if !text.is_empty() {
                    self.begun = true;
                    put_thought(text, pieces);
                }
            }
            Place::Call(call) => put_parts(call.push(text), pieces),
        }
    }

    fn end(&mut self, ending: Ending, pieces: &mut Vec<Piece>) {
        if let Place::Call(call) = &mut self.place {
            let parts = call.finish(ending);
            self.calls = call.calls();
            put_parts(parts, pieces);
        }
        self.place = Place::Header;
    }
}
