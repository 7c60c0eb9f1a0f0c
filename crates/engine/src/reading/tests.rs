//! Every family's published form, in one piece, character by character, and cut anywhere.

use std::sync::Arc;

use serde::Deserialize;
use serde_json::{Value, json};

use crate::calls::{Callable, Ending, Part};

use super::{Expect, Habits, Piece, Reading};

#[derive(Debug, Deserialize)]
struct Published {
    family: String,
    about: String,
    reply: String,
    content: String,
    calls: Vec<(String, String)>,
    #[serde(default)]
    reasoning: String,
    /// What the prompt has of the form already.
    #[serde(default)]
    opened: String,
}

fn published() -> Vec<Published> {
    serde_json::from_str(include_str!("../calls/published.json")).unwrap()
}

/// What a client has after the last event.
#[derive(Clone, Debug, Default, PartialEq)]
struct Heard {
    reasoning: String,
    content: String,
    calls: Vec<(String, String)>,
}

fn tools() -> Vec<(String, Option<Value>)> {
    let weather =
        json!({"type": "object", "properties": {"city": {"type": "string"}, "days": {"type": "integer"}}});
    let write = json!({"type": "object", "properties": {
        "path": {"type": "string"}, "text": {"type": "string"}, "options": {"type": "object"},
        "tags": {"type": "array"}, "force": {"type": "boolean"}}});
    vec![("get_weather".into(), Some(weather)), ("write".into(), Some(write)), ("now".into(), None)]
}

fn expecting(in_fragments: bool, opened: &str) -> Expect {
    let habits = Habits { recipients: opened == ">>>", ..Habits::default() };
    let mut callable = Callable::new(tools());
    callable.in_fragments = in_fragments;
    Expect { habits, open_tag: None, callable: Some(Arc::new(callable)) }
}

fn hear(expect: &Expect, pieces: &[&str], ending: Ending) -> Heard {
    let mut reading = Reading::new(expect);
    let mut heard = Heard::default();
    let mut whole = 0;
    let told: Vec<_> = pieces.iter().flat_map(|it| reading.push(it)).collect();
    for piece in told.into_iter().chain(reading.finish(ending)) {
        match piece {
            Piece::Thought(text) => heard.reasoning.push_str(&text),
            Piece::Part(Part::Text(text)) => heard.content.push_str(&text),
            Piece::Part(Part::Call(call)) => {
                let place = call.index as usize;
                if place == heard.calls.len() {
                    assert!(
                        !call.id.is_empty() && !call.function.name.is_empty(),
                        "{call:?} begins without a name"
                    );
                    heard.calls.push((call.function.name, String::new()));
                } else {
                    assert!(call.id.is_empty() && call.function.name.is_empty(), "{call:?} begins twice");
                    assert_eq!(place + 1, heard.calls.len(), "{call:?} goes on after the next has begun");
                }
                heard.calls[place].1.push_str(&call.function.arguments);
            }
            Piece::Part(Part::Called) => whole += 1,
        }
    }
    if ending == Ending::Whole && !expect.callable.as_ref().is_some_and(|it| it.in_fragments) {
        assert_eq!(whole, heard.calls.len(), "only whole calls are told");
    }
    heard
}

fn letters(text: &str) -> Vec<&str> {
    text.split("").filter(|it| !it.is_empty()).collect()
}

#[test]
fn published_forms_are_read_in_one_piece() {
    for case in published() {
        let heard = hear(&expecting(false, &case.opened), &[&case.reply], Ending::Whole);
        let right = Heard { reasoning: case.reasoning, content: case.content, calls: case.calls };
        assert_eq!(heard, right, "{}: {}: {}", case.family, case.about, case.reply);
    }
}

#[test]
fn published_forms_are_read_letter_by_letter_and_cut_anywhere() {
    for case in published() {
        for in_fragments in [false, true] {
            let expect = expecting(in_fragments, &case.opened);
            let whole = hear(&expect, &[&case.reply], Ending::Whole);
            assert_eq!(hear(&expect, &letters(&case.reply), Ending::Whole), whole, "{}", case.reply);
            for (at, _) in case.reply.char_indices().filter(|_| in_fragments) {
                let (before, after) = case.reply.split_at(at);
                assert_eq!(hear(&expect, &[before, after], Ending::Whole), whole, "{before:?} {after:?}");
            }
            if case.about != "malformed" {
                let right = Heard {
                    reasoning: case.reasoning.clone(),
                    content: case.content.clone(),
                    calls: case.calls.clone(),
                };
                assert_eq!(whole, right, "{}: {}: {}", case.family, case.about, case.reply);
            }
        }
    }
}

#[test]
fn published_forms_that_break_off_show_no_markup_and_no_other_arguments() {
    for case in published().into_iter().filter(|it| !it.calls.is_empty() && it.content.is_empty()) {
        for (at, _) in case.reply.char_indices() {
            let begun = &case.reply[..at];
            let plain = hear(&expecting(false, &case.opened), &[begun], Ending::Cut);
            let streamed = hear(&expecting(true, &case.opened), &[begun], Ending::Cut);
            assert_eq!(plain, streamed, "{begun:?}");
            for (told, whole) in plain.calls.iter().zip(&case.calls) {
                assert_eq!(told.0, whole.0);
                assert!(whole.1.starts_with(&told.1), "{} of {} at {begun:?}", told.1, whole.1);
            }
            let is_bare = case.reply.starts_with(['{', '[', '`', 'f']) || begun.trim_start().len() < 7;
            assert!(is_bare || plain.content.trim().len() < 7, "{:?} at {begun:?}", plain.content);
        }
    }
}

#[test]
fn a_call_that_turns_out_to_be_none_loses_nothing() {
    let reply = "<tool_call>\n{\"name\": \"get_weather\", \"arguments\": {\"city\": }}\n</tool_call>";
    assert_eq!(hear(&expecting(false, ""), &[reply], Ending::Whole).content, reply);
    let streamed = hear(&expecting(true, ""), &letters(reply), Ending::Whole);
    assert_eq!(streamed.calls, [("get_weather".to_owned(), "{\"city\":".to_owned())]);
    assert_eq!(streamed.content, "}}\n</tool_call>");
}

#[test]
fn what_is_deeper_or_longer_than_any_call_is_text() {
    let nested = |depth: usize| format!("{{\"a\": {}{}}}", "[".repeat(depth), "]".repeat(depth));
    let call =
        |depth| format!("<tool_call>\n{{\"name\": \"now\", \"arguments\": {}}}\n</tool_call>", nested(depth));
    let heard = |reply: &str| hear(&expecting(false, ""), &[reply], Ending::Whole);
    assert_eq!(heard(&call(127)).calls.len(), 1);
    assert_eq!(heard(&call(128)).content, call(128));
    let header = |spaces| {
        format!("<｜tool▁call▁begin｜>{}now<｜tool▁sep｜>{{}}<｜tool▁call▁end｜>", " ".repeat(spaces))
    };
    assert_eq!(heard(&header(100)).calls.len(), 1);
    assert_eq!(heard(&header(300)).content, header(300));
}

#[test]
fn white_space_without_an_end_is_not_held_for_ever() {
    use crate::calls::SPACE_BYTES_MAX;
    let space = "\n".repeat(SPACE_BYTES_MAX + 1);
    let channels = Expect { habits: Habits { channels: true, ..Habits::default() }, ..Expect::default() };
    for (expect, before) in [
        (expecting(true, ""), ""),
        (expecting(true, ""), "a"),
        (Expect::default(), ""),
        (Expect::default(), "<think>a"),
        (channels, "<|channel|>analysis<|message|>a"),
    ] {
        let mut reading = Reading::new(&expect);
        reading.push(before);
        assert_eq!(reading.push(&space[1..]), [], "{before}");
        assert!(!reading.push("\n").is_empty(), "{before}");
    }
}

#[test]
fn without_tools_all_of_it_is_text() {
    for case in published().into_iter().filter(|it| it.family != "gpt_oss" && it.opened.is_empty()) {
        assert_eq!(hear(&Expect::default(), &[&case.reply], Ending::Whole).content, case.reply);
    }
    let recipients = Expect { habits: Habits { recipients: true, ..Habits::default() }, ..Expect::default() };
    assert_eq!(hear(&recipients, &["all\nHi"], Ending::Whole).content, "Hi");
}

#[test]
fn arguments_are_told_as_they_come() {
    let mut reading = Reading::new(&expecting(true, ""));
    let mut told = Vec::new();
    for piece in
        ["<tool_call>\n<function=write>", "\n<parameter=text>\nab", "c\n", "d\n</para", "meter>\n</function>"]
    {
        let calls = reading.push(piece).into_iter().filter_map(|it| match it {
            Piece::Part(Part::Call(call)) => Some(call.function.name + &call.function.arguments),
            Piece::Part(Part::Text(_) | Part::Called) | Piece::Thought(_) => None,
        });
        told.push(calls.collect::<String>());
    }
    assert_eq!(told, ["write", "{\"text\":\"ab", "c", "\\nd", "\"}"]);
}

#[test]
fn thoughts_are_told_apart() {
    let said = |reasoning: &str, content: &str| (reasoning.to_owned(), content.to_owned());
    let read = |template: &str, open_tag, reply: &str| {
        let expect = Expect { habits: Habits::of(template), open_tag, callable: None };
        let whole = hear(&expect, &[reply], Ending::Whole);
        assert_eq!(hear(&expect, &letters(reply), Ending::Whole), whole, "{reply}");
        (whole.reasoning, whole.content)
    };
    for (open, close) in [
        ("<think>", "</think>"),
        ("<thinking>", "</thinking>"),
        ("[THINK]", "[/THINK]"),
        ("<seed:think>", "</seed:think>"),
        ("◁think▷", "◁/think▷"),
        ("<|START_THINKING|>", "<|END_THINKING|>"),
        ("<|channel>thought", "<channel|>"),
    ] {
        assert_eq!(
            read("", None, &format!("{open}\nhm é\n\n<b>\n{close}\n\nParis.\n")),
            said("hm é\n\n<b>", "Paris.\n")
        );
        assert_eq!(read("", Some(open), &format!("hm{close}Paris.")), said("hm", "Paris."));
        assert_eq!(read("", Some(open), &format!("{open}hm{close}Paris.")), said("hm", "Paris."));
        assert_eq!(read("", Some(open), " hm\n"), said("hm", ""));
        assert_eq!(
            read("", None, &format!("{open}hm {}", &close[..3])),
            said(&format!("hm {}", &close[..3]), "")
        );
        assert_eq!(read("", None, &format!("{open}\n\n{close}\n\nParis.")), said("", "Paris."));
        assert_eq!(
            read("", None, &format!("Use {open}a{close}.")),
            said("", &format!("Use {open}a{close}."))
        );
    }
    assert_eq!(read("", None, "<thought>a</thought>b"), said("", "<thought>a</thought>b"));
    assert_eq!(read("<thought>", None, "<thought>a</thought>b"), said("a", "b"));
    let granite = "Here is my thought process:\na\nHere is my response:\nb";
    assert_eq!(read("", None, granite), said("", granite));
    assert_eq!(read(granite, None, granite), said("a", "b"));
    assert_eq!(read("", None, " <"), said("", " <"));
    assert_eq!(read("", None, " \n"), said("", " \n"));
}

#[test]
fn replies_in_channels_may_have_none() {
    let habits = Habits { channels: true, ..Habits::default() };
    let expect = Expect { habits, open_tag: None, callable: None };
    for reply in ["Hello <b>there</b>", "{\"a\": \"<\"}", " to be"] {
        assert_eq!(hear(&expect, &letters(reply), Ending::Whole).content, reply);
    }
    let heard = hear(&expect, &letters("<|channel|>final<|message|>2 < 3<|end|>"), Ending::Whole);
    assert_eq!(heard.content, "2 < 3");
    let call = "<|channel|>commentary to=functions.rm<|message|>{}<|call|>";
    assert_eq!(
        hear(&expect, &[call], Ending::Whole).content,
        "<|channel|>commentary to=functions.rm<|message|>{}"
    );
}

#[test]
fn thoughts_call_nothing_and_calls_follow_them() {
    let call = "<tool_call>\n{\"name\": \"now\", \"arguments\": {}}\n</tool_call>";
    let heard = hear(&expecting(true, ""), &[&format!("<think>\n{call}\n</think>\n\n{call}")], Ending::Whole);
    assert_eq!((heard.reasoning.as_str(), heard.content.as_str(), heard.calls.len()), (call, "", 1));
}

#[test]
fn prompts_end_within_a_tag_or_not() {
    assert_eq!(super::open_tag("<|im_start|>assistant\n<think>\n"), Some("<think>"));
    assert_eq!(super::open_tag("<think>\n\n</think>\n\n"), None);
    assert_eq!(super::open_tag("[THINK]so far"), Some("[THINK]"));
    assert_eq!(super::open_tag("assistant\n"), None);
}

#[test]
fn templates_tell_how_replies_begin() {
    assert!(Habits::of("{{ '<|channel|>analysis<|message|>' }}").channels);
    assert!(Habits::of("{{ '>>>all\\n' }}").recipients);
    assert_eq!(Habits::of("{{ x }}<|im_start|>"), Habits::default());
}

proptest::proptest! {
    #[test]
    fn any_text_is_kept_wherever_it_is_cut(
        text in "(<tool_call>|</tool_call>|\\[TOOL_CALLS\\]|<think>|</think>|<function=|now|\\{|\\}|\\[|\\]|\"name\"|: |\"now\"|,|\\n| |>|é|\\(|\\)){0,14}",
        cut in 0_usize..60,
    ) {
        for in_fragments in [false, true] {
            let expect = expecting(in_fragments, "");
            let whole = hear(&expect, &[&text], Ending::Whole);
            let at = text.char_indices().map(|it| it.0).nth(cut).unwrap_or(text.len());
            let (before, after) = text.split_at(at);
            proptest::prop_assert_eq!(&hear(&expect, &[before, after], Ending::Whole), &whole);
            if whole.calls.is_empty() && !text.trim_start().starts_with("<think>") {
                proptest::prop_assert_eq!(&whole.content, &text);
            }
        }
    }
}
