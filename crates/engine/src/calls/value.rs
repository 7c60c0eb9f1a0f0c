//! A value that comes character by character, written as compact JSON while it comes.
//!
//! It reads JSON and what models write in its place: Python's literals and quotes, tuples, keys without quotes, a comma
//! too many, a bare line break in a text. What is none of that is [`Step::Wrong`] at the first character that shows it.
//! What was written before never changes, so it can be sent at once.

use std::fmt::Write as _;

// Nothing here recurses; this only keeps a model that writes brackets for ever from filling the memory.
const DEPTH_MAX: usize = 128;
const WORD_BYTES_MAX: usize = 400;

/// A quote that stands for a family's own quoting; nothing is escaped between two of them.
pub(super) const RAW_QUOTE: char = '\u{e000}';

/// What a character did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Step {
    /// It was taken.
    More,
    /// It was taken and is the last one.
    Done,
    /// The end was before it; it is not taken.
    Before,
    /// It cannot stand here; it is not taken.
    Wrong,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Open {
    List,
    Tuple,
    Object,
    /// A call's arguments: `(a=1, b=2)`, written as an object.
    Arguments,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum State {
    /// A value must come, or the end of the list just begun.
    Value,
    Key,
    BareKey,
    Colon,
    /// A comma or the end of what is open.
    After,
    Text {
        quote: char,
        is_key: bool,
    },
    Escape {
        quote: char,
        is_key: bool,
    },
    /// Hexadecimal digits that are still to come.
    Unicode {
        quote: char,
        is_key: bool,
        left: u8,
    },
    Word(String),
}

/// One value.
#[derive(Clone, Debug)]
pub(super) struct Value {
    open: Vec<Open>,
    state: State,
    /// A comma came; it is written when something follows.
    comma: bool,
}

impl Value {
    pub(super) fn new() -> Self {
        Self { open: Vec::new(), state: State::Value, comma: false }
    }

    /// A call's arguments after their opening parenthesis.
    pub(super) fn arguments(out: &mut String) -> Self {
        out.push('{');
        Self { open: vec![Open::Arguments], state: State::Key, comma: false }
    }

    /// Takes a character; what it adds is appended to `out`.
    pub(super) fn push(&mut self, c: char, out: &mut String) -> Step {
        let colon = self.colon();
        match &mut self.state {
            State::Value => self.begin(c, out),
            State::Key => self.key(c, out),
            State::BareKey if is_word(c) => {
                out.push(c);
                Step::More
            }
            State::BareKey => {
                out.push('"');
                self.state = State::Colon;
                self.push(c, out)
            }
            State::Colon if c.is_whitespace() => Step::More,
            State::Colon if c == colon => {
                out.push(':');
                self.state = State::Value;
                Step::More
            }
            State::Colon => Step::Wrong,
            State::After => self.after(c, out),
            &mut State::Text { quote, is_key } => self.text(c, quote, is_key, out),
            &mut State::Escape { quote, is_key } => {
                self.state = State::Text { quote, is_key };
                match c {
                    '"' | '\\' | '/' | 'b' | 'f' | 'n' | 'r' | 't' => out.extend(['\\', c]),
                    'u' => {
                        self.state = State::Unicode { quote, is_key, left: 4 };
                        out.push_str("\\u");
                    }
                    '\'' => out.push('\''),
                    // No escape at all: the backslash is one.
                    other => {
                        out.push_str("\\\\");
                        put(other, out);
                    }
                }
                Step::More
            }
            &mut State::Unicode { quote, is_key, left } => {
                if !c.is_ascii_hexdigit() {
                    return Step::Wrong;
                }
                out.push(c);
                self.state = match left {
                    1 => State::Text { quote, is_key },
                    _ => State::Unicode { quote, is_key, left: left - 1 },
                };
                Step::More
            }
            State::Word(word) if is_word(c) || matches!(c, '+' | '.') => {
                if word.len() >= WORD_BYTES_MAX {
                    return Step::Wrong;
                }
                word.push(c);
                Step::More
            }
            State::Word(_) => {
                if !self.end_word(out) {
                    return Step::Wrong;
                }
                match self.ended() {
                    Step::Done => Step::Before,
                    Step::More | Step::Before | Step::Wrong => self.push(c, out),
                }
            }
        }
    }

    /// The end of everything: writes what waited for its end. True when the value is whole.
    pub(super) fn finish(&mut self, out: &mut String) -> bool {
        matches!(self.state, State::Word(_)) && self.end_word(out) && self.ended() == Step::Done
    }

    /// Whether anything of it has come.
    pub(super) fn has_begun(&self) -> bool {
        !self.open.is_empty() || self.state != State::Value
    }

    fn colon(&self) -> char {
        if self.open.last() == Some(&Open::Arguments) { '=' } else { ':' }
    }

    fn begin(&mut self, c: char, out: &mut String) -> Step {
        if c.is_whitespace() {
            return Step::More;
        }
        if matches!(c, ']' | ')') {
            return self.after(c, out);
        }
        let opened = match c {
            '[' => Some((Open::List, '[', State::Value)),
            '(' => Some((Open::Tuple, '[', State::Value)),
            '{' => Some((Open::Object, '{', State::Key)),
            _ => None,
        };
        if let Some((open, written, next)) = opened {
            if self.open.len() >= DEPTH_MAX {
                return Step::Wrong;
            }
            self.put_comma(out);
            out.push(written);
            self.open.push(open);
            self.state = next;
            return Step::More;
        }
        if matches!(c, '"' | '\'' | RAW_QUOTE) {
            self.put_comma(out);
            out.push('"');
            self.state = State::Text { quote: c, is_key: false };
            return Step::More;
        }
        if is_word(c) {
            self.put_comma(out);
            self.state = State::Word(c.to_string());
            return Step::More;
        }
        Step::Wrong
    }

    fn key(&mut self, c: char, out: &mut String) -> Step {
        if c.is_whitespace() {
            return Step::More;
        }
        if matches!(c, '}' | ')') {
            return self.after(c, out);
        }
        let is_quote = matches!(c, '"' | '\'' | RAW_QUOTE) && self.open.last() == Some(&Open::Object);
        if !(is_quote || c.is_alphabetic() || c == '_') {
            return Step::Wrong;
        }
        self.put_comma(out);
        out.push('"');
        if is_quote {
            self.state = State::Text { quote: c, is_key: true };
        } else {
            out.push(c);
            self.state = State::BareKey;
        }
        Step::More
    }

    fn text(&mut self, c: char, quote: char, is_key: bool, out: &mut String) -> Step {
        if c == quote {
            out.push('"');
            if is_key {
                self.state = State::Colon;
                return Step::More;
            }
            return self.ended();
        }
        if c == '\\' && quote != RAW_QUOTE {
            self.state = State::Escape { quote, is_key };
        } else {
            put(c, out);
        }
        Step::More
    }

    fn after(&mut self, c: char, out: &mut String) -> Step {
        let closed = match (c, self.open.last()) {
            (c, _) if c.is_whitespace() => return Step::More,
            (',', Some(Open::List | Open::Tuple)) if !self.comma => {
                self.state = State::Value;
                self.comma = true;
                return Step::More;
            }
            (',', Some(Open::Object | Open::Arguments)) if !self.comma => {
                self.state = State::Key;
                self.comma = true;
                return Step::More;
            }
            (']', Some(Open::List)) | (')', Some(Open::Tuple)) => ']',
            ('}', Some(Open::Object)) | (')', Some(Open::Arguments)) => '}',
            _ => return Step::Wrong,
        };
        self.comma = false;
        out.push(closed);
        self.open.pop();
        self.ended()
    }

    /// A value has ended; the whole one, if nothing is open.
    fn ended(&mut self) -> Step {
        self.state = State::After;
        if self.open.is_empty() { Step::Done } else { Step::More }
    }

    fn end_word(&mut self, out: &mut String) -> bool {
        let State::Word(word) = &self.state else { return false };
        let written = match word.as_str() {
            "true" | "True" => "true",
            "false" | "False" => "false",
            "null" | "None" => "null",
            number if serde_json::from_str::<serde_json::Number>(number).is_ok() => number,
            _ => return false,
        };
        out.push_str(written);
        true
    }

    fn put_comma(&mut self, out: &mut String) {
        if std::mem::take(&mut self.comma) {
            out.push(',');
        }
    }
}

fn is_word(c: char) -> bool {
    c.is_alphanumeric() || matches!(c, '_' | '-')
}

/// Writes a character of a JSON text.
pub(super) fn put(c: char, out: &mut String) {
    match c {
        '"' => out.push_str("\\\""),
        '\\' => out.push_str("\\\\"),
        '\n' => out.push_str("\\n"),
        '\r' => out.push_str("\\r"),
        '\t' => out.push_str("\\t"),
        c if c < ' ' => {
            let _never_fails = write!(out, "\\u{:04x}", u32::from(c));
        }
        c => out.push(c),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// What is written, and the rest that is not taken; nothing where it is wrong or not whole.
    fn read(text: &str) -> Option<(String, &str)> {
        let (mut value, mut out) = (Value::new(), String::new());
        for (at, c) in text.char_indices() {
            match value.push(c, &mut out) {
                Step::More => {}
                Step::Done => return Some((out, &text[at + c.len_utf8()..])),
                Step::Before => return Some((out, &text[at..])),
                Step::Wrong => return None,
            }
        }
        value.finish(&mut out).then_some((out, ""))
    }

    #[test]
    fn value_ends_where_json_does() {
        assert_eq!(read("{\"a\": [1, {}]} x"), Some(("{\"a\":[1,{}]}".to_owned(), " x")));
        assert_eq!(read("12, 3"), Some(("12".to_owned(), ", 3")));
        assert_eq!(read("-1.5e3"), Some(("-1.5e3".to_owned(), "")));
        assert_eq!(read(" \"}\\\"]\"]"), Some(("\"}\\\"]\"".to_owned(), "]")));
    }

    #[test]
    fn value_of_python_becomes_json() {
        let text = "{'a': \"it's\", 'b': (1, None), \"c\": True, d: 'x\"y', }";
        assert_eq!(read(text).unwrap().0, r#"{"a":"it's","b":[1,null],"c":true,"d":"x\"y"}"#);
        assert_eq!(read("'a\\'b\nc\\d'").unwrap().0, r#""a'b\nc\\d""#);
    }

    #[test]
    fn value_that_is_none_is_wrong() {
        for text in
            ["{]", "[1,,2]", "{\"a\" 1}", "nul", "01", "{1: 2}", "\"\\u12g4\"", "[,]", "1.", "[1", "}"]
        {
            assert_eq!(read(text), None, "{text}");
        }
        assert_eq!(read(&"[".repeat(DEPTH_MAX + 1)), None);
    }

    proptest! {
        #[test]
        fn value_of_any_json_is_what_serde_writes(
            text in "[ -~é\\n]{0,12}", number in any::<i64>(), flag in any::<bool>(), key in "[a-z\"\\\\ ]{0,4}",
        ) {
            let json = serde_json::json!({"t": [text, {key: number}, flag, null], "e": {}, "l": []});
            let pretty = serde_json::to_string_pretty(&json).unwrap();
            let (read, rest) = read(&pretty).unwrap();
            prop_assert_eq!((read, rest), (json.to_string(), ""));
        }

        #[test]
        fn value_of_anything_is_json_when_whole(text in "[\\[\\]{}(),:=\"'\\\\a1 -]{0,24}") {
            if let Some((read, _)) = read(&text) {
                prop_assert!(serde_json::from_str::<serde_json::Value>(&read).is_ok(), "{} from {}", read, text);
            }
        }
    }
}
