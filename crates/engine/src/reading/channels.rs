//! Replies in channels, as gpt-oss writes them: `<|channel|>analysis<|message|>…<|end|><|start|>assistant…`.
//!
//! The `analysis` channel is reasoning, what is addressed to a function calls it, and the rest is the answer. The prompt ends behind
//! `<|start|>assistant`, so that a reply begins in a header.

use std::sync::Arc;

use crate::calls::{Callable, Ending, NamedArguments, SPACE_BYTES_MAX};

use super::fragment::{ReplyFragment, put_fragments, put_text, put_thought};

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
    state: State,
    held: String,
    calls: u32,
    /// Whether the message has begun, so that white space is a part of it.
    begun: bool,
    /// Whether there was a message.
    has_message: bool,
}

#[derive(Debug)]
enum State {
    Header,
    Thought,
    Text,
    Call(Box<NamedArguments>),
}

impl Channels {
    pub(super) fn new(callable: Option<Arc<Callable>>) -> Self {
        Self {
            callable,
            state: State::Header,
            held: String::new(),
            calls: 0,
            begun: false,
            has_message: false,
        }
    }

    pub(super) fn push(&mut self, c: char, out: &mut Vec<ReplyFragment>) {
        self.held.push(c);
        if matches!(self.state, State::Header) {
            self.header(out);
            return;
        }
        if let Some(end) = ENDS.iter().find(|it| self.held.ends_with(**it)) {
            let message = self.held[..self.held.len() - end.len()].to_owned();
            self.put(&message, true, out);
            self.end(Ending::Whole, out);
            self.held.clear();
            if *end == START {
                self.held.push_str(START);
            }
            return;
        }
        let may_end = |rest: &str| ENDS.iter().any(|it| it.starts_with(rest));
        let sure = self.held.char_indices().map(|(at, _)| at).find(|at| may_end(&self.held[*at..]));
        let mut sure = sure.unwrap_or(self.held.len());
        if matches!(self.state, State::Thought) && sure <= SPACE_BYTES_MAX {
            // White space waits for what follows.
            sure = self.held[..sure].trim_end().len();
        }
        let text: String = self.held.drain(..sure).collect();
        self.put(&text, false, out);
    }

    pub(super) fn finish(&mut self, ending: Ending, out: &mut Vec<ReplyFragment>) {
        let held = std::mem::take(&mut self.held);
        if matches!(self.state, State::Header) {
            // A header that breaks off is for nobody; a text without any is for the reader.
            if !self.has_message && !held.contains('<') {
                self.state = State::Text;
                self.put(&held, true, out);
            }
            return;
        }
        // What is held may be a mark; behind a call that breaks off it is one.
        let is_mark = ending == Ending::Cut && matches!(self.state, State::Call(_));
        self.put(if is_mark { "" } else { &held }, true, out);
        self.end(ending, out);
    }

    fn header(&mut self, out: &mut Vec<ReplyFragment>) {
        if let Some(header) = self.held.strip_suffix(MESSAGE) {
            let header = header.to_owned();
            self.begun = false;
            self.has_message = true;
            self.state = self.message(&header);
            self.held.clear();
            if matches!(self.state, State::Text) && header.contains("to=") {
                put_text(&format!("{header}{MESSAGE}"), out);
            }
        } else if self.held.len() > HEADER_BYTES_MAX || !self.may_be_header() {
            self.state = State::Text;
            put_text(&std::mem::take(&mut self.held), out);
        }
    }

    /// The first one follows the assistant's role; a reply that begins otherwise has none.
    fn may_be_header(&self) -> bool {
        let begun = self.held.trim_start();
        self.has_message || HEADERS.iter().any(|it| it.starts_with(begun) || begun.starts_with(it))
    }

    fn message(&self, header: &str) -> State {
        let recipient = header.find("to=").map(|at| &header[at + "to=".len()..]);
        let recipient = recipient.and_then(|it| it.split(|c: char| c.is_whitespace() || c == '<').next());
        if let (Some(recipient), Some(callable)) = (recipient, &self.callable) {
            let name = recipient.strip_prefix("functions.").unwrap_or(recipient);
            let call = NamedArguments::new(Arc::clone(callable), name, self.calls);
            return call.map_or(State::Text, |it| State::Call(Box::new(it)));
        }
        if recipient.is_none() && header.contains("analysis") { State::Thought } else { State::Text }
    }

    /// More of a message; its last part if `whole`.
    fn put(&mut self, text: &str, whole: bool, out: &mut Vec<ReplyFragment>) {
        match &mut self.state {
            State::Header => {}
            State::Text => {
                if !text.is_empty() {
                    put_text(text, out);
                }
            }
            State::Thought => {
                let text = if self.begun { text } else { text.trim_start() };
                let text = if whole { text.trim_end() } else { text };
                if !text.is_empty() {
                    self.begun = true;
                    put_thought(text, out);
                }
            }
            State::Call(call) => put_fragments(call.push(text), out),
        }
    }

    fn end(&mut self, ending: Ending, out: &mut Vec<ReplyFragment>) {
        if let State::Call(call) = &mut self.state {
            let fragments = call.finish(ending);
            self.calls = call.calls();
            put_fragments(fragments, out);
        }
        self.state = State::Header;
    }
}
