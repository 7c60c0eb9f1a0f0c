//! A reply's text, taken apart: what the model thought, what it says, and what it calls.
//!
//! Every character is looked at once and alone, so that where a reply is cut into tokens makes no difference.

use std::sync::Arc;

use crate::calls::{self, CallFinder, Callable, Ending};

use self::channels::Channels;
use self::piece::{put_parts, put_text, put_thought};
use self::thoughts::{Split, Thoughts};

mod channels;
mod piece;
#[cfg(test)]
mod tests;
mod thoughts;

pub use self::piece::Piece;
pub use self::thoughts::{close_tag, open_tag};

/// Whether a control token's text is a mark of thoughts, channels or calls.
#[must_use]
pub fn is_mark(token: &str) -> bool {
    channels::is_mark(token) || thoughts::is_tag(token) || calls::is_mark(token)
}

/// What a model's chat template says of its replies.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Habits {
    /// Replies come in channels, each with a header (gpt-oss).
    pub channels: bool,
    /// Parts of a reply begin with whom they are for (Functionary 3.2).
    pub recipients: bool,
    /// Which marks of thoughts the template has besides those that are always known.
    rare_tags: u16,
}

impl Habits {
    /// Reads them out of a template.
    #[must_use]
    pub fn of(template: &str) -> Self {
        Self {
            channels: template.contains("<|channel|>") && template.contains("<|message|>"),
            recipients: template.contains(">>>") && template.contains("all\\n"),
            rare_tags: thoughts::rare_tags(template),
        }
    }
}

/// How a reply begins, and what may be in it.
#[derive(Clone, Debug, Default)]
pub struct Expect {
    /// What the template says, as far as a reply in a given form follows it.
    pub habits: Habits,
    /// The mark that the prompt ends within.
    pub open_tag: Option<&'static str>,
    /// What may be called, if anything.
    pub callable: Option<Arc<Callable>>,
}

/// Takes one reply apart as it comes.
#[derive(Debug)]
pub struct Reading {
    way: Way,
    callable: Option<Arc<Callable>>,
}

#[derive(Debug)]
enum Way {
    Tags(Thoughts, Option<Box<CallFinder>>),
    Channels(Box<Channels>),
}

impl Reading {
    /// For one reply.
    #[must_use]
    pub fn new(expect: &Expect) -> Self {
        let callable = expect.callable.clone();
        if expect.habits.channels {
            return Self { way: Way::Channels(Box::new(Channels::new(callable.clone()))), callable };
        }
        let finder = match &callable {
            _ if expect.habits.recipients => {
                Some(CallFinder::to_recipients(callable.clone().unwrap_or_default()))
            }
            Some(callable) => Some(CallFinder::new(Arc::clone(callable))),
            None => None,
        };
        let thoughts = Thoughts::new(expect.habits.rare_tags, expect.open_tag);
        Self { way: Way::Tags(thoughts, finder.map(Box::new)), callable }
    }

    /// Whether a control token's text is read.
    #[must_use]
    pub fn reads(&self, token: &str) -> bool {
        (matches!(self.way, Way::Channels(_)) && channels::is_mark(token))
            || thoughts::is_tag(token)
            || (self.callable.is_some() && calls::is_mark(token))
    }

    /// Takes a piece and gives what is sure.
    pub fn push(&mut self, piece: &str) -> Vec<Piece> {
        let mut pieces = Vec::new();
        if let Way::Tags(thoughts, finder) = &mut self.way
            && thoughts.are_over()
        {
            match finder {
                Some(finder) => put_parts(finder.push(piece), &mut pieces),
                None if piece.is_empty() => {}
                None => put_text(piece, &mut pieces),
            }
            return pieces;
        }
        for c in piece.chars() {
            self.take(c, &mut pieces);
        }
        pieces
    }

    /// The end: gives what is left.
    pub fn finish(&mut self, ending: Ending) -> Vec<Piece> {
        let mut pieces = Vec::new();
        match &mut self.way {
            Way::Channels(channels) => channels.finish(ending, &mut pieces),
            Way::Tags(thoughts, finder) => {
                if let Some(split) = thoughts.finish(ending) {
                    put(split, finder.as_deref_mut(), &mut pieces);
                }
                if let Some(finder) = finder {
                    put_parts(finder.finish(ending), &mut pieces);
                }
            }
        }
        pieces
    }

    fn take(&mut self, c: char, pieces: &mut Vec<Piece>) {
        match &mut self.way {
            Way::Channels(channels) => channels.push(c, pieces),
            Way::Tags(thoughts, finder) => {
                let begun = thoughts.at_start().map(str::to_owned);
                if let Some(split) = thoughts.push(c) {
                    put(split, finder.as_deref_mut(), pieces);
                }
                if begun.is_some_and(|it| channels::is_start(&format!("{it}{c}"))) {
                    // Whatever the template says, the reply itself comes in channels.
                    pieces.clear();
                    let mut channels = Channels::new(self.callable.clone());
                    channels::START.chars().for_each(|it| channels.push(it, pieces));
                    self.way = Way::Channels(Box::new(channels));
                }
            }
        }
    }
}

fn put(split: Split, finder: Option<&mut CallFinder>, pieces: &mut Vec<Piece>) {
    match (split, finder) {
        (Split::Thought(text), _) => put_thought(&text, pieces),
        (Split::Rest(text), Some(finder)) => put_parts(finder.push(&text), pieces),
        (Split::Rest(text), None) => put_text(&text, pieces),
    }
}
