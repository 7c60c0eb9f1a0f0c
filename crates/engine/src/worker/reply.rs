//! What of a reply's bytes its client hears: whole characters, thoughts and calls apart from text, and nothing after a
//! stop text. Stop texts are looked for in what is said, and so never in thoughts and calls.

use dedi_api::engine::ToolCall;

use crate::calls::{Ending, Part};
use crate::reading::{Expect, Piece, Reading};
use crate::text::TextOut;

/// One reply's way from bytes to what is told.
#[derive(Debug)]
pub(super) struct Reply {
    text: TextOut,
    /// Nothing where the text is told as it is.
    read: Option<Read>,
}

#[derive(Debug)]
struct Read {
    reading: Reading,
    /// What is said; the stop texts are looked for here.
    said: TextOut,
    only_one: bool,
}

/// What can be told now.
#[derive(Debug, Default)]
pub(super) struct Told {
    pub(super) thought: String,
    pub(super) text: String,
    pub(super) calls: Vec<ToolCall>,
    /// Whether a stop text was met, or the only call was made; nothing comes after it.
    pub(super) stopped: bool,
}

impl Reply {
    /// A reply that ends before the first of `stops`, and has thoughts and calls in it where that is expected.
    pub(super) fn new(stops: &[String], expect: Option<&Expect>) -> Self {
        let Some(expect) = expect else { return Self { text: TextOut::new(stops), read: None } };
        let read = Read {
            reading: Reading::new(expect),
            said: TextOut::new(stops),
            only_one: expect.callable.as_ref().is_some_and(|it| it.only_one),
        };
        Self { text: TextOut::new(&[]), read: Some(read) }
    }

    /// Takes one token's bytes.
    pub(super) fn push(&mut self, bytes: &[u8]) -> Told {
        let released = self.text.push(bytes);
        let Some(read) = &mut self.read else {
            return Told { text: released.text, stopped: released.stopped, ..Told::default() };
        };
        let pieces = read.reading.push(&released.text);
        let mut told = Told::default();
        read.tell(pieces, &mut told);
        told
    }

    /// Takes a control token, whose name counts where replies are read and it is a mark in them.
    pub(super) fn push_control(&mut self, name: &str) -> Told {
        let is_read = self.read.as_ref().is_some_and(|it| it.reading.reads(name));
        self.push(if is_read { name.as_bytes() } else { &[] })
    }

    /// The end: gives what was held back.
    pub(super) fn finish(&mut self, ending: Ending) -> Told {
        let rest = self.text.finish();
        let Some(read) = &mut self.read else { return Told { text: rest, ..Told::default() } };
        let mut told = Told::default();
        let mut pieces = read.reading.push(&rest);
        pieces.extend(read.reading.finish(ending));
        read.tell(pieces, &mut told);
        if !told.stopped {
            told.text.push_str(&read.said.finish());
        }
        told
    }
}

impl Read {
    fn tell(&mut self, pieces: Vec<Piece>, told: &mut Told) {
        for piece in pieces {
            match piece {
                Piece::Thought(text) => told.thought.push_str(&text),
                Piece::Part(Part::Text(text)) => {
                    let released = self.said.push(text.as_bytes());
                    told.text.push_str(&released.text);
                    told.stopped |= released.stopped;
                }
                Piece::Part(Part::Call(call)) => {
                    // A stop text does not go on behind a call.
                    told.text.push_str(&self.said.finish());
                    told.put(call);
                }
                Piece::Part(Part::Called) => told.stopped |= self.only_one,
            }
            if told.stopped {
                return;
            }
        }
    }
}

impl Told {
    /// Adds what comes later.
    pub(super) fn append(&mut self, later: Self) {
        self.thought.push_str(&later.thought);
        self.text.push_str(&later.text);
        later.calls.into_iter().for_each(|it| self.put(it));
        self.stopped |= later.stopped;
    }

    fn put(&mut self, call: ToolCall) {
        match self.calls.last_mut() {
            Some(last) if last.index == call.index && call.id.is_empty() => {
                last.function.arguments.push_str(&call.function.arguments);
            }
            Some(_) | None => self.calls.push(call),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use crate::calls::Callable;

    use super::*;

    fn reply(stops: &[&str]) -> Reply {
        calling(stops, false)
    }

    fn calling(stops: &[&str], only_one: bool) -> Reply {
        let stops: Vec<_> = stops.iter().map(|it| (*it).to_owned()).collect();
        let mut callable = Callable::new([("add".to_owned(), None)]);
        callable.only_one = only_one;
        Reply::new(&stops, Some(&Expect { callable: Some(Arc::new(callable)), ..Expect::default() }))
    }

    #[test]
    fn a_stop_text_is_looked_for_in_what_is_read() {
        let call = b"Now\n<tool_call>\n{\"name\": \"add\", \"arguments\": {}}\n</tool_call>";
        let told = reply(&["\n", "tool", "add"]).push(call);
        assert_eq!((told.text.as_str(), told.calls.len(), told.stopped), ("Now", 1, false));
        let told = reply(&["ow"]).push(call);
        assert_eq!((told.text.as_str(), told.calls.len(), told.stopped), ("N", 0, true));
    }

    #[test]
    fn stop_texts_do_not_end_thoughts() {
        let told = reply(&["\n", "hm"]).push(b"<think>\nhm\nhm</think>Paris\nhm");
        assert_eq!((told.thought.as_str(), told.text.as_str(), told.stopped), ("hm\nhm", "Paris", true));
    }

    #[test]
    fn control_tokens_count_where_they_are_marks() {
        let mut read = reply(&[]);
        let control = [read.push_control("[TOOL_CALLS]"), read.push_control("<|eot_id|>")];
        assert!(control.iter().all(|it| it.text.is_empty()));
        let told = read.push(b"add{}");
        assert_eq!((told.text.as_str(), told.calls.len()), ("", 1));
        let mut raw = Reply::new(&[], None);
        assert_eq!(raw.push_control("<think>").text, "");
    }

    #[test]
    fn one_call_at_a_time_ends_with_the_first() {
        let call = "<tool_call>{\"name\": \"add\", \"arguments\": {}}</tool_call>";
        let several = [call, call].join("\n");
        let told = [true, false].map(|only_one| calling(&[], only_one).push(several.as_bytes()));
        assert_eq!(told.map(|it| (it.calls.len(), it.stopped)), [(1, true), (2, false)]);
    }

    #[test]
    fn a_stop_text_over_pieces_is_never_read() {
        let mut reply = reply(&["\nB"]);
        let text: String = [&b"A\n"[..], b"B"].iter().map(|it| reply.push(it).text).collect();
        assert_eq!(text, "A");
    }

    #[test]
    fn what_only_looked_like_a_stop_is_read_at_the_end() {
        let mut reply = reply(&["END"]);
        let begun = reply.push(b"the EN").text;
        assert_eq!(begun + &reply.finish(Ending::Whole).text, "the EN");
    }
}
