//! What of a reply's bytes its client hears: whole characters, calls apart from text, and nothing after a stop
//! text. Stop texts are looked for in what is read, and so never in a call.

use std::sync::Arc;

use dedi_api::engine::ToolCall;

use crate::calls::{CallFinder, Callable, Ending, Part};
use crate::text::TextOut;

/// One reply's way from bytes to what is told.
#[derive(Debug)]
pub(super) struct Reply {
    text: TextOut,
    calls: Option<Calls>,
}

#[derive(Debug)]
struct Calls {
    finder: CallFinder,
    /// What is left for the reader; the stop texts are looked for here.
    read: TextOut,
    only_one: bool,
}

/// What can be told now.
#[derive(Debug, Default)]
pub(super) struct Told {
    pub(super) text: String,
    pub(super) calls: Vec<ToolCall>,
    /// Whether a stop text was met, or the only call was made; nothing comes after it.
    pub(super) stopped: bool,
}

impl Reply {
    /// A reply that ends before the first of `stops`, and may have calls in it where something is callable.
    pub(super) fn new(stops: &[String], callable: Option<&Arc<Callable>>) -> Self {
        let Some(callable) = callable else { return Self { text: TextOut::new(stops), calls: None } };
        let calls = Calls {
            finder: CallFinder::new(Arc::clone(callable)),
            read: TextOut::new(stops),
            only_one: callable.only_one,
        };
        Self { text: TextOut::new(&[]), calls: Some(calls) }
    }

    /// Takes one token's bytes.
    pub(super) fn push(&mut self, bytes: &[u8]) -> Told {
        let released = self.text.push(bytes);
        let Some(calls) = &mut self.calls else {
            return Told { text: released.text, calls: Vec::new(), stopped: released.stopped };
        };
        let parts = calls.finder.push(&released.text);
        calls.tell(parts)
    }

    /// The end: gives what was held back.
    pub(super) fn finish(&mut self, ending: Ending) -> Told {
        let rest = self.text.finish();
        let Some(calls) = &mut self.calls else { return Told { text: rest, ..Told::default() } };
        let mut parts = calls.finder.push(&rest);
        parts.extend(calls.finder.finish(ending));
        let mut told = calls.tell(parts);
        if !told.stopped {
            told.text.push_str(&calls.read.finish());
        }
        told
    }
}

impl Calls {
    fn tell(&mut self, parts: Vec<Part>) -> Told {
        let mut told = Told::default();
        for part in parts {
            match part {
                Part::Text(text) => {
                    let released = self.read.push(text.as_bytes());
                    told.text.push_str(&released.text);
                    if released.stopped {
                        told.stopped = true;
                        return told;
                    }
                }
                Part::Call(call) => {
                    // A stop text does not go on behind a call.
                    told.text.push_str(&self.read.finish());
                    told.calls.push(call);
                    if self.only_one {
                        told.stopped = true;
                        return told;
                    }
                }
            }
        }
        told
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reply(stops: &[&str]) -> Reply {
        calling(stops, false)
    }

    fn calling(stops: &[&str], only_one: bool) -> Reply {
        let stops: Vec<_> = stops.iter().map(|it| (*it).to_owned()).collect();
        let callable = Callable { names: vec!["add".to_owned()], must_call: false, only_one };
        Reply::new(&stops, Some(&Arc::new(callable)))
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
