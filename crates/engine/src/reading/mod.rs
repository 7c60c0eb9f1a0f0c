//! Splits a reply's text into reasoning, answer and calls.
//!
//! Each character is examined once, so where a reply is cut into tokens makes no difference.

use std::sync::Arc;

use crate::calls::{self, CallFinder, Callable, Ending};

use self::channels::Channels;
use self::fragment::{put_fragments, put_text, put_thought};
use self::thoughts::{Split, Thoughts};

mod channels;
mod fragment;
#[cfg(test)]
mod tests;
mod thoughts;

pub use self::fragment::ReplyFragment;
pub use self::thoughts::{close_tag, open_tag};

/// Whether a control token's text is a mark of thoughts, channels or calls.
#[must_use]
pub fn is_mark(token: &str) -> bool {
    channels::is_mark(token) || thoughts::is_tag(token) || calls::is_mark(token)
}

/// The format of a model's replies, as far as its chat template shows it.
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
    /// The template's reply format, as far as a reply in a given form follows it.
    pub habits: Habits,
    /// The mark that the prompt ends within.
    pub open_tag: Option<&'static str>,
    /// What may be called, if anything.
    pub callable: Option<Arc<Callable>>,
}

/// Takes one reply apart as it comes.
#[derive(Debug)]
pub struct Reading {
    markup: Markup,
    callable: Option<Arc<Callable>>,
}

#[derive(Debug)]
enum Markup {
    Tags(Thoughts, Option<Box<CallFinder>>),
    Channels(Box<Channels>),
}

impl Reading {
    /// For one reply.
    #[must_use]
    pub fn new(expect: &Expect) -> Self {
        let callable = expect.callable.clone();
        if expect.habits.channels {
            return Self { markup: Markup::Channels(Box::new(Channels::new(callable.clone()))), callable };
        }
        let finder = match &callable {
            _ if expect.habits.recipients => {
                Some(CallFinder::to_recipients(callable.clone().unwrap_or_default()))
            }
            Some(callable) => Some(CallFinder::new(Arc::clone(callable))),
            None => None,
        };
        let thoughts = Thoughts::new(expect.habits.rare_tags, expect.open_tag);
        Self { markup: Markup::Tags(thoughts, finder.map(Box::new)), callable }
    }

    /// Whether a control token's text is read.
    #[must_use]
    pub fn reads(&self, token: &str) -> bool {
        (matches!(self.markup, Markup::Channels(_)) && channels::is_mark(token))
            || thoughts::is_tag(token)
            || (self.callable.is_some() && calls::is_mark(token))
    }

    /// Takes a chunk; returns the fragments that are certain.
    pub fn push(&mut self, chunk: &str) -> Vec<ReplyFragment> {
        let mut out = Vec::new();
        if let Markup::Tags(thoughts, finder) = &mut self.markup
            && thoughts.are_over()
        {
            match finder {
                Some(finder) => put_fragments(finder.push(chunk), &mut out),
                None if chunk.is_empty() => {}
                None => put_text(chunk, &mut out),
            }
            return out;
        }
        for c in chunk.chars() {
            self.take(c, &mut out);
        }
        out
    }

    /// The end: gives what is left.
    pub fn finish(&mut self, ending: Ending) -> Vec<ReplyFragment> {
        let mut out = Vec::new();
        match &mut self.markup {
            Markup::Channels(channels) => channels.finish(ending, &mut out),
            Markup::Tags(thoughts, finder) => {
                if let Some(split) = thoughts.finish(ending) {
                    put(split, finder.as_deref_mut(), &mut out);
                }
                if let Some(finder) = finder {
                    put_fragments(finder.finish(ending), &mut out);
                }
            }
        }
        out
    }

    fn take(&mut self, c: char, out: &mut Vec<ReplyFragment>) {
        match &mut self.markup {
            Markup::Channels(channels) => channels.push(c, out),
            Markup::Tags(thoughts, finder) => {
                let begun = thoughts.at_start().map(str::to_owned);
                if let Some(split) = thoughts.push(c) {
                    put(split, finder.as_deref_mut(), out);
                }
                if begun.is_some_and(|it| channels::is_start(&format!("{it}{c}"))) {
                    // The reply comes in channels, even though the template does not show it.
                    out.clear();
                    let mut channels = Channels::new(self.callable.clone());
                    channels::START.chars().for_each(|it| channels.push(it, out));
                    self.markup = Markup::Channels(Box::new(channels));
                }
            }
        }
    }
}

fn put(split: Split, finder: Option<&mut CallFinder>, out: &mut Vec<ReplyFragment>) {
    match (split, finder) {
        (Split::Thought(text), _) => put_thought(&text, out),
        (Split::Rest(text), Some(finder)) => put_fragments(finder.push(&text), out),
        (Split::Rest(text), None) => put_text(&text, out),
    }
}
