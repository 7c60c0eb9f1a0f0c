//! Turns a reply's bytes into what its client is sent: whole characters, thoughts and calls separate from text, and
//! nothing after a stop text. Stop texts are searched for in the answer only, never in thoughts or calls.

use dedi_api::engine::ToolCall;

use crate::calls::{Ending, Fragment};
use crate::reading::{Expect, Reading, ReplyFragment};
use crate::text::{TextDelta, TextOut};

/// One reply, from sampled bytes to deltas.
#[derive(Debug)]
pub(super) struct Reply {
    text: TextOut,
    /// `None` where the text is sent unparsed.
    read: Option<Read>,
}

#[derive(Debug)]
struct Read {
    reading: Reading,
    /// The answer without thoughts and calls; stop texts are searched for here.
    answer: TextOut,
    only_one: bool,
}

/// What can be sent now.
#[derive(Debug, Default)]
pub(super) struct ReplyDelta {
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
            answer: TextOut::new(stops),
            only_one: expect.callable.as_ref().is_some_and(|it| it.only_one),
        };
        Self { text: TextOut::new(&[]), read: Some(read) }
    }

    /// Takes one token's bytes.
    pub(super) fn push(&mut self, bytes: &[u8]) -> ReplyDelta {
        let TextDelta { text, stopped } = self.text.push(bytes);
        let Some(read) = &mut self.read else { return ReplyDelta { text, stopped, ..ReplyDelta::default() } };
        let fragments = read.reading.push(&text);
        let mut delta = ReplyDelta::default();
        read.parse(fragments, &mut delta);
        delta
    }

    /// Takes a control token, whose name counts where replies are read and it is a mark in them.
    pub(super) fn push_control(&mut self, name: &str) -> ReplyDelta {
        let is_read = self.read.as_ref().is_some_and(|it| it.reading.reads(name));
        self.push(if is_read { name.as_bytes() } else { &[] })
    }

    /// The end: gives what was held back.
    pub(super) fn finish(&mut self, ending: Ending) -> ReplyDelta {
        let rest = self.text.finish();
        let Some(read) = &mut self.read else { return ReplyDelta { text: rest, ..ReplyDelta::default() } };
        let mut delta = ReplyDelta::default();
        let mut fragments = read.reading.push(&rest);
        fragments.extend(read.reading.finish(ending));
        read.parse(fragments, &mut delta);
        if !delta.stopped {
            delta.text.push_str(&read.answer.finish());
        }
        delta
    }
}

impl Read {
    fn parse(&mut self, fragments: Vec<ReplyFragment>, delta: &mut ReplyDelta) {
        for fragment in fragments {
            match fragment {
                ReplyFragment::Thought(text) => delta.thought.push_str(&text),
                ReplyFragment::Answer(Fragment::Text(text)) => {
                    let answer = self.answer.push(text.as_bytes());
                    delta.text.push_str(&answer.text);
                    delta.stopped |= answer.stopped;
                }
                ReplyFragment::Answer(Fragment::Call(call)) => {
                    // A stop text does not go on behind a call.
                    delta.text.push_str(&self.answer.finish());
                    delta.put_call(call);
                }
                ReplyFragment::Answer(Fragment::Called) => delta.stopped |= self.only_one,
            }
            if delta.stopped {
                return;
            }
        }
    }
}

impl ReplyDelta {
    /// Appends the following delta.
    pub(super) fn append(&mut self, later: Self) {
        self.thought.push_str(&later.thought);
        self.text.push_str(&later.text);
        later.calls.into_iter().for_each(|it| self.put_call(it));
        self.stopped |= later.stopped;
    }

    fn put_call(&mut self, call: ToolCall) {
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
    fn stop_text_is_searched_for_in_the_answer_only() {
        let call = b"Now\n<tool_call>\n{\"name\": \"add\", \"arguments\": {}}\n</tool_call>";
        let delta = reply(&["\n", "tool", "add"]).push(call);
        assert_eq!((delta.text.as_str(), delta.calls.len(), delta.stopped), ("Now", 1, false));
        let delta = reply(&["ow"]).push(call);
        assert_eq!((delta.text.as_str(), delta.calls.len(), delta.stopped), ("N", 0, true));
    }

    #[test]
    fn stop_text_does_not_end_thoughts() {
        let delta = reply(&["\n", "hm"]).push(b"<think>\nhm\nhm</think>Paris\nhm");
        assert_eq!((delta.thought.as_str(), delta.text.as_str(), delta.stopped), ("hm\nhm", "Paris", true));
    }

    #[test]
    fn control_tokens_count_where_they_are_marks() {
        let mut read = reply(&[]);
        let control = [read.push_control("[TOOL_CALLS]"), read.push_control("<|eot_id|>")];
        assert!(control.iter().all(|it| it.text.is_empty()));
        let delta = read.push(b"add{}");
        assert_eq!((delta.text.as_str(), delta.calls.len()), ("", 1));
        let mut raw = Reply::new(&[], None);
        assert_eq!(raw.push_control("<think>").text, "");
    }

    #[test]
    fn calls_one_at_a_time_end_with_the_first() {
        let call = "<tool_call>{\"name\": \"add\", \"arguments\": {}}</tool_call>";
        let several = [call, call].join("\n");
        let delta = [true, false].map(|only_one| calling(&[], only_one).push(several.as_bytes()));
        assert_eq!(delta.map(|it| (it.calls.len(), it.stopped)), [(1, true), (2, false)]);
    }

    #[test]
    fn stop_text_over_several_tokens_is_never_sent() {
        let mut reply = reply(&["\nB"]);
        let text: String = [&b"A\n"[..], b"B"].iter().map(|it| reply.push(it).text).collect();
        assert_eq!(text, "A");
    }

    #[test]
    fn stop_text_that_is_incomplete_is_sent_at_the_end() {
        let mut reply = reply(&["END"]);
        let begun = reply.push(b"the EN").text;
        assert_eq!(begun + &reply.finish(Ending::Whole).text, "the EN");
    }
}
