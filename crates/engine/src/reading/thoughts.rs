//! What a model thinks before it answers, between two tags.

use crate::calls::{Ending, SPACE_BYTES_MAX};

const MARK_BYTES: usize = "<thin".len();

/// A pair of tags.
#[derive(Debug)]
struct Tags {
    open: &'static str,
    close: &'static str,
    /// Whether it is one only where the template has it, because people ask for such tags, too.
    rare: bool,
}

const fn tags(open: &'static str, close: &'static str) -> Tags {
    Tags { open, close, rare: false }
}

const fn rare(open: &'static str, close: &'static str) -> Tags {
    Tags { open, close, rare: true }
}

static TAGS: [Tags; 11] = [
    tags("<think>", "</think>"),
    tags("<thinking>", "</thinking>"),
    tags("[THINK]", "[/THINK]"),
    tags("<seed:think>", "</seed:think>"),
    tags("◁think▷", "◁/think▷"),
    tags("<|START_THINKING|>", "<|END_THINKING|>"),
    // Gemma 4.
    tags("<|channel>thought", "<channel|>"),
    // Apertus.
    tags("<|inner_prefix|>", "<|inner_suffix|>"),
    rare("<thought>", "</thought>"),
    rare("<reasoning>", "</reasoning>"),
    // Granite 3.2.
    rare("Here is my thought process:", "Here is my response:"),
];

/// Which of the rare ones a template has, as bits.
pub(super) fn rare_tags(template: &str) -> u16 {
    let has = |it: &Tags| it.rare && template.contains(it.open);
    (0..).zip(&TAGS).filter(|(_, it)| has(it)).fold(0, |bits, (state, _)| bits | (1 << state))
}

/// Whether a control token's text is, or is a part of, a tag.
pub(super) fn is_tag(token: &str) -> bool {
    let is_of = |tag: &str| tag == token || (token.len() > 2 && tag.starts_with(token));
    TAGS.iter().any(|it| is_of(it.open) || it.close == token)
}

/// The open tag that a prompt ends within, searched for after its last message.
#[must_use]
pub fn open_tag(tail: &str) -> Option<&'static str> {
    let open = TAGS.iter().filter_map(|it| Some((tail.rfind(it.open)?, it)));
    let (at, last) = open.max_by_key(|(at, _)| *at)?;
    (!tail[at..].contains(last.close)).then_some(last.open)
}

/// What ends the tag.
#[must_use]
pub fn close_tag(open: &str) -> Option<&'static str> {
    TAGS.iter().find(|it| it.open == open).map(|it| it.close)
}

/// A part of a reply.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Split {
    Thought(String),
    Rest(String),
}

/// Separates thoughts from the answer. They come first; a tag later on is part of the text.
#[derive(Debug)]
pub(super) struct Thoughts {
    rare: u16,
    state: State,
    held: String,
}

#[derive(Debug)]
enum State {
    /// Nothing but white space, and thoughts if `after`, have come.
    Start {
        after: bool,
    },
    /// In thoughts; `open` while nothing has come but the tag that the prompt has already.
    Inside {
        close: &'static str,
        open: Option<&'static str>,
        /// Whether anything was thought.
        begun: bool,
    },
    Rest,
}

impl Thoughts {
    pub(super) fn new(rare: u16, open_tag: Option<&'static str>) -> Self {
        let state = match open_tag.and_then(|it| Some((it, close_tag(it)?))) {
            Some((open, close)) => State::Inside { close, open: Some(open), begun: false },
            None => State::Start { after: false },
        };
        Self { rare, state, held: String::new() }
    }

    /// What has come, while nothing of it is sure.
    pub(super) fn at_start(&self) -> Option<&str> {
        matches!(self.state, State::Start { after: false }).then_some(self.held.trim_start())
    }

    /// Whether all that comes is the rest.
    pub(super) fn are_over(&self) -> bool {
        matches!(self.state, State::Rest)
    }

    pub(super) fn push(&mut self, c: char) -> Option<Split> {
        match self.state {
            State::Rest => Some(Split::Rest(c.to_string())),
            State::Start { after } => {
                self.held.push(c);
                let begun = self.held.trim_start();
                if begun.is_empty() && self.held.len() <= SPACE_BYTES_MAX {
                    return None;
                }
                if let Some(tags) = self.known().find(|it| it.open == begun) {
                    self.state = State::Inside { close: tags.close, open: None, begun: false };
                    self.held.clear();
                    return None;
                }
                let may_be_mark =
                    self.known().any(|it| it.open.starts_with(begun)) || super::channels::may_start(begun);
                if !begun.is_empty() && may_be_mark {
                    return None;
                }
                self.state = State::Rest;
                let held = std::mem::take(&mut self.held);
                // White space between thoughts and answer belongs to neither.
                Some(Split::Rest(if after { held.trim_start().to_owned() } else { held }))
            }
            State::Inside { close, open, begun } => self.inside(c, close, open, begun),
        }
    }

    fn inside(
        &mut self,
        c: char,
        close: &'static str,
        open: Option<&'static str>,
        begun: bool,
    ) -> Option<Split> {
        self.held.push(c);
        let start = self.held.trim_start();
        if let Some(tag) = open {
            // A model that writes the tag again means the same one.
            if start == tag {
                self.held.clear();
                self.state = State::Inside { close, open: None, begun };
                return None;
            }
            if tag.starts_with(start) {
                return None;
            }
        }
        if let Some(text) = self.held.strip_suffix(close) {
            let text = if begun { text.trim_end() } else { text.trim() }.to_owned();
            self.held.clear();
            self.state = State::Start { after: true };
            return (!text.is_empty()).then_some(Split::Thought(text));
        }
        // White space waits for what follows, and so does what may be the end.
        let tag = (1..close.len())
            .rev()
            .filter(|it| close.is_char_boundary(*it))
            .find(|it| self.held.ends_with(&close[..*it]))
            .unwrap_or(0);
        let before = &self.held[..self.held.len() - tag];
        let sure = if before.len() > SPACE_BYTES_MAX { before.len() } else { before.trim_end().len() };
        let text: String = self.held.drain(..sure).collect();
        let text = if begun { text } else { text.trim_start().to_owned() };
        self.state = State::Inside { close, open: None, begun: begun || !text.is_empty() };
        (!text.is_empty()).then_some(Split::Thought(text))
    }

    pub(super) fn finish(&mut self, ending: Ending) -> Option<Split> {
        let held = std::mem::take(&mut self.held);
        let state = std::mem::replace(&mut self.state, State::Rest);
        let split = match state {
            State::Rest => return None,
            State::Start { after: true } if held.trim().is_empty() => return None,
            // So much of a mark is nothing else.
            State::Start { .. }
                if ending == Ending::Cut
                    && held.len() > MARK_BYTES
                    && !held.starts_with(char::is_alphabetic) =>
            {
                return None;
            }
            State::Start { after } => Split::Rest(if after { held.trim_start().to_owned() } else { held }),
            // Thoughts without an end are thoughts.
            State::Inside { begun, .. } => {
                Split::Thought(if begun { held.trim_end().to_owned() } else { held.trim().to_owned() })
            }
        };
        let (Split::Thought(text) | Split::Rest(text)) = &split;
        (!text.is_empty()).then_some(split)
    }

    fn known(&self) -> impl Iterator<Item = &'static Tags> + use<> {
        let rare = self.rare;
        (0..).zip(&TAGS).filter(move |(state, it)| !it.rare || rare & (1_u16 << state) != 0).map(|(_, it)| it)
    }
}
