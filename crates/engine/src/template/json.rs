//! `tojson` as transformers defines it: Python's `json.dumps`, which escapes nothing for HTML, with its arguments.

use std::fmt::Write as _;

use minijinja::value::{Rest, ValueKind, ValueOrKwargs};
use minijinja::{Error, State, Value};

use super::python::{self, DEEP_MAX, Paper, arguments, truth, wrong};
use crate::special::may_be_seam;

const INDENT_MAX: i64 = 64;

/// `value|tojson(ensure_ascii, indent, separators, sort_keys)`.
pub(super) fn to_json(state: &mut State, value: &Value, given: Rest<ValueOrKwargs>) -> Result<String, Error> {
    let names = ["ensure_ascii", "indent", "separators", "sort_keys"];
    let [ascii, indent, separators, sorted] = arguments("tojson", &given.into_values(), names)?;
    let indent = match indent.filter(|it| !it.is_none()) {
        None => None,
        Some(text) if text.as_str().is_some() => Some(text.as_str().unwrap_or_default().to_owned()),
        Some(number) => {
            let width = python::whole(Some(&number), 0)?;
            if width > INDENT_MAX {
                return Err(wrong(format!("tojson indents by {INDENT_MAX} at most")));
            }
            Some(" ".repeat(python::count(width)))
        }
    };
    let (comma, colon) = match separators.filter(|it| !it.is_none()) {
        None if indent.is_some() => (",".to_owned(), ": ".to_owned()),
        None => (", ".to_owned(), ": ".to_owned()),
        Some(pair) => {
            let both: Vec<String> = pair.try_iter()?.map(|it| it.to_string()).collect();
            let [comma, colon] = <[String; 2]>::try_from(both).map_err(|_| {
                wrong("the separators of tojson are a text between values and one behind keys")
            })?;
            (comma, colon)
        }
    };
    let form = Form { ascii: truth(ascii.as_ref()), indent, comma, colon, sorted: truth(sorted.as_ref()) };
    let mut paper = Paper::new(state);
    form.put(&mut paper, value, 0)?;
    Ok(paper.into_text())
}

struct Form {
    ascii: bool,
    indent: Option<String>,
    comma: String,
    colon: String,
    sorted: bool,
}

impl Form {
    fn put(&self, paper: &mut Paper<'_, '_>, value: &Value, depth: usize) -> Result<(), Error> {
        if depth > DEEP_MAX {
            return Err(wrong("a value is nested too deep for tojson"));
        }
        match value.kind() {
            ValueKind::None => paper.put("null"),
            ValueKind::Bool => paper.put(if value.is_true() { "true" } else { "false" }),
            ValueKind::Number => paper.put(&number(value)),
            ValueKind::String => self.put_text(paper, value.as_str().unwrap_or_default()),
            ValueKind::Seq | ValueKind::Iterable => {
                paper.put("[")?;
                let mut is_empty = true;
                for item in value.try_iter()? {
                    self.next(paper, is_empty, depth + 1)?;
                    is_empty = false;
                    self.put(paper, &item, depth + 1)?;
                }
                self.close(paper, is_empty, depth, "]")
            }
            ValueKind::Map => {
                paper.put("{")?;
                let mut keys: Vec<Value> = value.try_iter()?.collect();
                if self.sorted {
                    keys.sort();
                }
                for (index, key) in keys.iter().enumerate() {
                    self.next(paper, index == 0, depth + 1)?;
                    self.put_text(paper, &as_key(key)?)?;
                    paper.put(&self.colon)?;
                    self.put(paper, &value.get_item(key)?, depth + 1)?;
                }
                self.close(paper, keys.is_empty(), depth, "}")
            }
            other @ (ValueKind::Undefined | ValueKind::Bytes | ValueKind::Plain | ValueKind::Invalid | _) => {
                Err(wrong(format!("tojson cannot write a value that is {other}")))
            }
        }
    }

    fn next(&self, paper: &mut Paper<'_, '_>, is_first: bool, depth: usize) -> Result<(), Error> {
        if !is_first {
            paper.put(&self.comma)?;
        }
        self.line(paper, depth)
    }

    fn close(&self, paper: &mut Paper<'_, '_>, is_empty: bool, depth: usize, end: &str) -> Result<(), Error> {
        if !is_empty {
            self.line(paper, depth)?;
        }
        paper.put(end)
    }

    fn line(&self, paper: &mut Paper<'_, '_>, depth: usize) -> Result<(), Error> {
        let Some(indent) = &self.indent else { return Ok(()) };
        paper.put("\n")?;
        for _ in 0..depth {
            paper.put(indent)?;
        }
        Ok(())
    }

    fn put_text(&self, paper: &mut Paper<'_, '_>, text: &str) -> Result<(), Error> {
        paper.put("\"")?;
        let mut plain = 0;
        for (at, it) in text.char_indices() {
            let escape: &str = match it {
                '"' => "\\\"",
                '\\' => "\\\\",
                '\n' => "\\n",
                '\r' => "\\r",
                '\t' => "\\t",
                '\u{8}' => "\\b",
                '\u{c}' => "\\f",
                it if it < ' ' || (self.ascii && !(' '..='~').contains(&it) && !may_be_seam(it)) => {
                    paper.put(&text[plain..at])?;
                    plain = at + it.len_utf8();
                    let mut escape = String::new();
                    for unit in it.encode_utf16(&mut [0; 2]) {
                        let _never_fails = write!(escape, "\\u{unit:04x}");
                    }
                    paper.put(&escape)?;
                    continue;
                }
                _ => continue,
            };
            paper.put(&text[plain..at])?;
            plain = at + it.len_utf8();
            paper.put(escape)?;
        }
        paper.put(&text[plain..])?;
        paper.put("\"")
    }
}

fn number(value: &Value) -> String {
    let text = python::number(value);
    match text.as_str() {
        "inf" => "Infinity".to_owned(),
        "-inf" => "-Infinity".to_owned(),
        "nan" => "NaN".to_owned(),
        _ => text,
    }
}

fn as_key(key: &Value) -> Result<String, Error> {
    let kind = key.kind();
    if let Some(text) = key.as_str() {
        Ok(text.to_owned())
    } else if kind == ValueKind::None {
        Ok("null".to_owned())
    } else if kind == ValueKind::Bool {
        Ok(if key.is_true() { "true" } else { "false" }.to_owned())
    } else if kind == ValueKind::Number {
        Ok(number(key))
    } else {
        Err(wrong(format!("tojson cannot write a key that is {kind}")))
    }
}
