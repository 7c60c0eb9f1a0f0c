//! Every family's published form: as a whole, character by character, and cut anywhere.

use std::sync::Arc;

use serde::Deserialize;
use serde_json::{Value, json};

use crate::calls::{Callable, Ending, Fragment};

use super::{Expect, Habits, Reading, ReplyFragment};

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
struct Parsed {
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

fn parse(expect: &Expect, chunks: &[&str], ending: Ending) -> Parsed {
    let mut reading = Reading::new(expect);
    let mut parsed = Parsed::default();
    let mut whole = 0;
    let fragments: Vec<_> = chunks.iter().flat_map(|it| reading.push(it)).collect();
    for fragment in fragments.into_iter().chain(reading.finish(ending)) {
        match fragment {
            ReplyFragment::Thought(text) => parsed.reasoning.push_str(&text),
            ReplyFragment::Answer(Fragment::Text(text)) => parsed.content.push_str(&text),
            ReplyFragment::Answer(Fragment::Call(call)) => {
                let index = call.index as usize;
                if index == parsed.calls.len() {
                    assert!(
                        !call.id.is_empty() && !call.function.name.is_empty(),
                        "{call:?} begins without a name"
                    );
                    parsed.calls.push((call.function.name, String::new()));
                } else {
                    assert!(call.id.is_empty() && call.function.name.is_empty(), "{call:?} begins twice");
                    assert_eq!(index + 1, parsed.calls.len(), "{call:?} goes on after the next has begun");
                }
                parsed.calls[index].1.push_str(&call.function.arguments);
            }
            ReplyFragment::Answer(Fragment::Called) => whole += 1,
        }
    }
    if ending == Ending::Whole && !expect.callable.as_ref().is_some_and(|it| it.in_fragments) {
        assert_eq!(whole, parsed.calls.len(), "only whole calls are emitted");
    }
    parsed
}

fn letters(text: &str) -> Vec<&str> {
    text.split("").filter(|it| !it.is_empty()).collect()
}

#[test]
fn published_forms_are_read_as_a_whole() {
    for case in published() {
        let parsed = parse(&expecting(false, &case.opened), &[&case.reply], Ending::Whole);
        let right = Parsed { reasoning: case.reasoning, content: case.content, calls: case.calls };
        assert_eq!(parsed, right, "{}: {}: {}", case.family, case.about, case.reply);
    }
}

#[test]
fn published_forms_are_read_letter_by_letter_and_cut_anywhere() {
    for case in published() {
        for in_fragments in [false, true] {
            let expect = expecting(in_fragments, &case.opened);
            let whole = parse(&expect, &[&case.reply], Ending::Whole);
            assert_eq!(parse(&expect, &letters(&case.reply), Ending::Whole), whole, "{}", case.reply);
            for (at, _) in case.reply.char_indices().filter(|_| in_fragments) {
                let (before, after) = case.reply.split_at(at);
                assert_eq!(parse(&expect, &[before, after], Ending::Whole), whole, "{before:?} {after:?}");
            }
            if case.about != "malformed" {
                let right = Parsed {
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
            let plain = parse(&expecting(false, &case.opened), &[begun], Ending::Cut);
            let streamed = parse(&expecting(true, &case.opened), &[begun], Ending::Cut);
            assert_eq!(plain, streamed, "{begun:?}");
            for (fragments, whole) in plain.calls.iter().zip(&case.calls) {
                assert_eq!(fragments.0, whole.0);
                assert!(whole.1.starts_with(&fragments.1), "{} of {} at {begun:?}", fragments.1, whole.1);
            }
            let is_bare = case.reply.starts_with(['{', '[', '`', 'f']) || begun.trim_start().len() < 7;
            assert!(is_bare || plain.content.trim().len() < 7, "{:?} at {begun:?}", plain.content);
        }
    }
}

#[test]
fn calls_that_turn_out_to_be_none_lose_nothing() {
    let reply = "<tool_call>\n{\"name\": \"get_weather\", \"arguments\": {\"city\": }}\n</tool_call>";
    assert_eq!(parse(&expecting(false, ""), &[reply], Ending::Whole).content, reply);
    let streamed = parse(&expecting(true, ""), &letters(reply), Ending::Whole);
    assert_eq!(streamed.calls, [("get_weather".to_owned(), "{\"city\":".to_owned())]);
    assert_eq!(streamed.content, "}}\n</tool_call>");
}

#[test]
fn calls_that_are_too_deep_or_too_long_are_text() {
    let nested = |depth: usize| format!("{{\"a\": {}{}}}", "[".repeat(depth), "]".repeat(depth));
    let call =
        |depth| format!("<tool_call>\n{{\"name\": \"now\", \"arguments\": {}}}\n</tool_call>", nested(depth));
    let parsed = |reply: &str| parse(&expecting(false, ""), &[reply], Ending::Whole);
    assert_eq!(parsed(&call(127)).calls.len(), 1);
    assert_eq!(parsed(&call(128)).content, call(128));
    let header = |spaces| {
        format!("<｜tool▁call▁begin｜>{}now<｜tool▁sep｜>{{}}<｜tool▁call▁end｜>", " ".repeat(spaces))
    };
    assert_eq!(parsed(&header(100)).calls.len(), 1);
    assert_eq!(parsed(&header(300)).content, header(300));
}

#[test]
fn calls_do_not_hold_white_space_for_ever() {
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
fn calls_without_tools_are_text() {
    for case in published().into_iter().filter(|it| it.family != "gpt_oss" && it.opened.is_empty()) {
        assert_eq!(parse(&Expect::default(), &[&case.reply], Ending::Whole).content, case.reply);
    }
    let recipients = Expect { habits: Habits { recipients: true, ..Habits::default() }, ..Expect::default() };
    assert_eq!(parse(&recipients, &["all\nHi"], Ending::Whole).content, "Hi");
}

#[test]
fn calls_emit_arguments_as_they_come() {
    let mut reading = Reading::new(&expecting(true, ""));
    let mut fragments = Vec::new();
    for chunk in
        ["<tool_call>\n<function=write>", "\n<parameter=text>\nab", "c\n", "d\n</para", "meter>\n</function>"]
    {
        let calls = reading.push(chunk).into_iter().filter_map(|it| match it {
            ReplyFragment::Answer(Fragment::Call(call)) => {
                Some(call.function.name + &call.function.arguments)
            }
            ReplyFragment::Answer(Fragment::Text(_) | Fragment::Called) | ReplyFragment::Thought(_) => None,
        });
        fragments.push(calls.collect::<String>());
    }
    assert_eq!(fragments, ["write", "{\"text\":\"ab", "c", "\\nd", "\"}"]);
}

#[test]
fn thoughts_are_separated_from_text() {
    let expected = |reasoning: &str, content: &str| (reasoning.to_owned(), content.to_owned());
    let read = |template: &str, open_tag, reply: &str| {
        let expect = Expect { habits: Habits::of(template), open_tag, callable: None };
        let whole = parse(&expect, &[reply], Ending::Whole);
        assert_eq!(parse(&expect, &letters(reply), Ending::Whole), whole, "{reply}");
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
            expected("hm é\n\n<b>", "Paris.\n")
        );
        assert_eq!(read("", Some(open), &format!("hm{close}Paris.")), expected("hm", "Paris."));
        assert_eq!(read("", Some(open), &format!("{open}hm{close}Paris.")), expected("hm", "Paris."));
        assert_eq!(read("", Some(open), " hm\n"), expected("hm", ""));
        assert_eq!(
            read("", None, &format!("{open}hm {}", &close[..3])),
            expected(&format!("hm {}", &close[..3]), "")
        );
        assert_eq!(read("", None, &format!("{open}\n\n{close}\n\nParis.")), expected("", "Paris."));
        assert_eq!(
            read("", None, &format!("Use {open}a{close}.")),
            expected("", &format!("Use {open}a{close}."))
        );
    }
    assert_eq!(read("", None, "<thought>a</thought>b"), expected("", "<thought>a</thought>b"));
    assert_eq!(read("<thought>", None, "<thought>a</thought>b"), expected("a", "b"));
    let granite = "Here is my thought process:\na\nHere is my response:\nb";
    assert_eq!(read("", None, granite), expected("", granite));
    assert_eq!(read(granite, None, granite), expected("a", "b"));
    assert_eq!(read("", None, " <"), expected("", " <"));
    assert_eq!(read("", None, " \n"), expected("", " \n"));
}

#[test]
fn replies_in_channels_may_have_none() {
    let habits = Habits { channels: true, ..Habits::default() };
    let expect = Expect { habits, open_tag: None, callable: None };
    for reply in ["Hello <b>there</b>", "{\"a\": \"<\"}", " to be"] {
        assert_eq!(parse(&expect, &letters(reply), Ending::Whole).content, reply);
    }
    let parsed = parse(&expect, &letters("<|channel|>final<|message|>2 < 3<|end|>"), Ending::Whole);
    assert_eq!(parsed.content, "2 < 3");
    let call = "<|channel|>commentary to=functions.rm<|message|>{}<|call|>";
    assert_eq!(
        parse(&expect, &[call], Ending::Whole).content,
        "<|channel|>commentary to=functions.rm<|message|>{}"
    );
}

#[test]
fn thoughts_call_nothing_and_calls_follow_them() {
    let call = "<tool_call>\n{\"name\": \"now\", \"arguments\": {}}\n</tool_call>";
    let parsed =
        parse(&expecting(true, ""), &[&format!("<think>\n{call}\n</think>\n\n{call}")], Ending::Whole);
    assert_eq!((parsed.reasoning.as_str(), parsed.content.as_str(), parsed.calls.len()), (call, "", 1));
}

#[test]
fn prompts_end_within_a_tag_or_not() {
    assert_eq!(super::open_tag("<|im_start|>assistant\n<think>\n"), Some("<think>"));
    assert_eq!(super::open_tag("<think>\n\n</think>\n\n"), None);
    assert_eq!(super::open_tag("[THINK]so far"), Some("[THINK]"));
    assert_eq!(super::open_tag("assistant\n"), None);
}

#[test]
fn templates_show_how_replies_begin() {
    assert!(Habits::of("{{ '<|channel|>analysis<|message|>' }}").channels);
    assert!(Habits::of("{{ '>>>all\\n' }}").recipients);
    assert_eq!(Habits::of("{{ x }}<|im_start|>"), Habits::default());
}

proptest::proptest! {
    #[test]
    fn text_is_kept_wherever_it_is_cut(
        text in "(<tool_call>|</tool_call>|\\[TOOL_CALLS\\]|<think>|</think>|<function=|now|\\{|\\}|\\[|\\]|\"name\"|: |\"now\"|,|\\n| |>|é|\\(|\\)){0,14}",
        cut in 0_usize..60,
    ) {
        for in_fragments in [false, true] {
            let expect = expecting(in_fragments, "");
            let whole = parse(&expect, &[&text], Ending::Whole);
            let at = text.char_indices().map(|it| it.0).nth(cut).unwrap_or(text.len());
            let (before, after) = text.split_at(at);
            proptest::prop_assert_eq!(&parse(&expect, &[before, after], Ending::Whole), &whole);
            if whole.calls.is_empty() && !text.trim_start().starts_with("<think>") {
                proptest::prop_assert_eq!(&whole.content, &text);
            }
        }
    }
}
