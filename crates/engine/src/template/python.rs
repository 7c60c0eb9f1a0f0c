//! Values as Python prints them, arguments as Python takes them, and what both cost.

use std::fmt::Write as _;

use minijinja::value::{Kwargs, ValueKind, from_args};
use minijinja::{Error, ErrorKind, State, Value};

use super::range::Range;
use crate::special::may_be_seam;

// The library counts a byte it copies as a unit of 1/64 fuel; writing values out costs more than copying.
const BYTES_A_FUEL: usize = 16;
const PAID_AHEAD: usize = 1 << 10;
// Values nest as deep as a request's JSON may, 128, and as templates nest brackets; what is deeper was piled up by a template.
// To compare, print or drop it takes the stack.
pub(super) const DEEP_MAX: usize = 200;
// Looking at a value takes a fraction of an instruction.
const LOOK_BYTES: usize = BYTES_A_FUEL / 16;

/// An error of a template, in one sentence.
pub(super) fn wrong(message: impl Into<String>) -> Error {
    Error::new(ErrorKind::InvalidOperation, message.into())
}

/// Takes the fuel for so many bytes.
pub(super) fn pay(state: &State, bytes: usize) -> Result<(), Error> {
    state.consume_fuel(u64::try_from(bytes / BYTES_A_FUEL).unwrap_or(u64::MAX))
}

/// A text that grows as far as there is fuel for it.
pub(super) struct Paper<'s, 'e> {
    state: &'s State<'e, 'e>,
    text: String,
    paid: usize,
}

impl<'s, 'e> Paper<'s, 'e> {
    pub(super) fn new(state: &'s State<'e, 'e>) -> Self {
        Self { state, text: String::new(), paid: 0 }
    }

    pub(super) fn put(&mut self, text: &str) -> Result<(), Error> {
        if self.text.len() + text.len() > self.paid {
            let ahead = text.len() + PAID_AHEAD;
            pay(self.state, ahead)?;
            self.paid += ahead;
        }
        self.text.push_str(text);
        Ok(())
    }

    pub(super) fn into_text(self) -> String {
        self.text
    }
}

/// `str(value)`.
pub(super) fn str(state: &State<'_, '_>, value: &Value) -> Result<String, Error> {
    match value.kind() {
        ValueKind::String => Ok(value.as_str().unwrap_or_default().to_owned()),
        ValueKind::Undefined => Ok(String::new()),
        ValueKind::None
        | ValueKind::Bool
        | ValueKind::Number
        | ValueKind::Bytes
        | ValueKind::Seq
        | ValueKind::Map
        | ValueKind::Iterable
        | ValueKind::Plain
        | ValueKind::Invalid
        | _ => repr(state, value),
    }
}

/// `repr(value)`.
pub(super) fn repr(state: &State<'_, '_>, value: &Value) -> Result<String, Error> {
    let mut paper = Paper::new(state);
    put_repr(&mut paper, value, 0)?;
    Ok(paper.into_text())
}

/// Refuses to keep a value that is nested too deep.
pub(super) fn check_depth(state: &State<'_, '_>, value: &Value, depth: usize) -> Result<(), Error> {
    if depth > DEEP_MAX {
        return Err(wrong(format!("a value is nested more than {DEEP_MAX} deep")));
    }
    let is_map = value.kind() == ValueKind::Map;
    if !is_map && !matches!(value.kind(), ValueKind::Seq | ValueKind::Iterable) {
        return Ok(());
    }
    let mut n_items = 0_usize;
    for item in value.try_iter()? {
        n_items += 1;
        if n_items % 16 == 1 {
            pay(state, LOOK_BYTES * 16)?;
        }
        let item = if is_map { value.get_item(&item)? } else { item };
        check_depth(state, &item, depth + 1)?;
    }
    Ok(())
}

fn put_repr(paper: &mut Paper<'_, '_>, value: &Value, depth: usize) -> Result<(), Error> {
    if depth > DEEP_MAX {
        return Err(wrong("a value is nested too deep to be printed"));
    }
    match value.kind() {
        ValueKind::Undefined => paper.put("Undefined"),
        ValueKind::String => put_quoted(paper, value.as_str().unwrap_or_default()),
        ValueKind::Number => paper.put(&number(value)),
        ValueKind::Seq | ValueKind::Iterable if !is_range(value) => {
            let (open, close) = if value.is_tuple() { ("(", ")") } else { ("[", "]") };
            paper.put(open)?;
            let mut count = 0_usize;
            for item in value.try_iter()? {
                if count > 0 {
                    paper.put(", ")?;
                }
                put_repr(paper, &item, depth + 1)?;
                count += 1;
            }
            if value.is_tuple() && count == 1 {
                paper.put(",")?;
            }
            paper.put(close)
        }
        ValueKind::Map => {
            paper.put("{")?;
            for (index, key) in value.try_iter()?.enumerate() {
                if index > 0 {
                    paper.put(", ")?;
                }
                put_repr(paper, &key, depth + 1)?;
                paper.put(": ")?;
                put_repr(paper, &value.get_item(&key)?, depth + 1)?;
            }
            paper.put("}")
        }
        ValueKind::None
        | ValueKind::Bool
        | ValueKind::Bytes
        | ValueKind::Seq
        | ValueKind::Iterable
        | ValueKind::Plain
        | ValueKind::Invalid
        | _ => paper.put(&value.to_string()),
    }
}

/// Ranges print as they are called.
fn is_range(value: &Value) -> bool {
    value.downcast_object_ref::<Range>().is_some()
}

fn put_quoted(paper: &mut Paper<'_, '_>, text: &str) -> Result<(), Error> {
    let quote = if text.contains('\'') && !text.contains('"') { "\"" } else { "'" };
    paper.put(quote)?;
    for it in text.chars() {
        match it {
            '\\' => paper.put("\\\\")?,
            '\n' => paper.put("\\n")?,
            '\r' => paper.put("\\r")?,
            '\t' => paper.put("\\t")?,
            '\'' if quote == "'" => paper.put("\\'")?,
            it if is_printable(it) || may_be_seam(it) => paper.put(it.encode_utf8(&mut [0; 4]))?,
            it => {
                let number = u32::from(it);
                let mut escape = String::new();
                let _never_fails = match number {
                    0..=0xff => write!(escape, "\\x{number:02x}"),
                    0x100..=0xffff => write!(escape, "\\u{number:04x}"),
                    _ => write!(escape, "\\U{number:08x}"),
                };
                paper.put(&escape)?;
            }
        }
    }
    paper.put(quote)
}

/// Whether Python prints a character as it is. Rust escapes the same ones, and combining marks besides.
pub(super) fn is_printable(it: char) -> bool {
    it == ' '
        || it == '\''
        || it == '"'
        || it == '\\'
        || {
            let is_mark = matches!(u32::from(it), 0x300..=0x36f | 0x483..=0x489 | 0x591..=0x5bd | 0x610..=0x61a
            | 0x64b..=0x65f | 0x900..=0x903 | 0x93a..=0x94f | 0x1ab0..=0x1aff | 0x1dc0..=0x1dff | 0x20d0..=0x20ff
            | 0x302a..=0x302f | 0x3099..=0x309a | 0xfe00..=0xfe0f | 0xfe20..=0xfe2f | 0xe0100..=0xe01ef);
            let is_blank = it.is_whitespace() || it == '\u{ad}';
            is_mark || (!is_blank && it.escape_debug().count() == 1)
        }
}

/// A number as Python prints it.
pub(super) fn number(value: &Value) -> String {
    if value.is_integer() {
        return value.to_string();
    }
    f64::try_from(value.clone()).map_or_else(|_| value.to_string(), float)
}

/// `repr` of a float: the shortest digits that give it back, with an exponent where it is very large or very small.
pub(super) fn float(number: f64) -> String {
    if number.is_nan() {
        return "nan".to_owned();
    }
    if number.is_infinite() {
        return if number > 0.0 { "inf" } else { "-inf" }.to_owned();
    }
    let scientific = format!("{number:e}");
    let (digits, exponent) = scientific.split_once('e').unwrap_or((&scientific, "0"));
    let exponent: i32 = exponent.parse().unwrap_or(0);
    if number != 0.0 && !(-4..16).contains(&exponent) {
        let sign = if exponent < 0 { '-' } else { '+' };
        return format!("{digits}e{sign}{:02}", exponent.unsigned_abs());
    }
    let plain = format!("{number}");
    if plain.contains('.') { plain } else { format!("{plain}.0") }
}

/// The arguments of a call by their names, in the order of `names`.
pub(super) fn arguments<const N: usize>(
    what: &str,
    given: &[Value],
    names: [&str; N],
) -> Result<[Option<Value>; N], Error> {
    let (positional, by_name): (&[Value], Kwargs) = from_args(given)?;
    if positional.len() > N {
        return Err(wrong(format!("{what} takes {N} arguments at most, not {}", positional.len())));
    }
    let mut out = std::array::from_fn(|it| positional.get(it).cloned());
    for name in by_name.args() {
        let Some(slot) = names.iter().position(|it| *it == name).and_then(|it| out.get_mut(it)) else {
            return Err(wrong(format!("{what} has no argument {name}")));
        };
        *slot = Some(by_name.get(name)?);
    }
    Ok(out)
}

/// A whole number among the arguments.
pub(super) fn whole(value: Option<&Value>, default: i64) -> Result<i64, Error> {
    match value {
        None => Ok(default),
        Some(it) => it.as_i64().ok_or_else(|| wrong(format!("{it:?} is not a whole number"))),
    }
}

/// Whether an argument is there and true.
pub(super) fn truth(value: Option<&Value>) -> bool {
    value.is_some_and(Value::is_true)
}

/// A number of repetitions: none where it is negative.
pub(super) fn count(number: i64) -> usize {
    usize::try_from(number.max(0)).unwrap_or(usize::MAX)
}

/// `times` copies of a text, as far as there is fuel for them.
pub(super) fn repeat(state: &State<'_, '_>, text: &str, times: usize) -> Result<String, Error> {
    let bytes = text.len().saturating_mul(times);
    pay(state, bytes)?;
    Ok(text.repeat(times))
}

/// The value at a path such as `at.city`.
pub(super) fn at_path(value: &Value, path: &Value) -> Result<Value, Error> {
    let Some(path) = path.as_str() else { return value.get_item(path) };
    let mut value = value.clone();
    for step in path.split('.') {
        let key = step.parse::<i64>().map_or_else(|_| Value::from(step), Value::from);
        value = value.get_item(&key)?;
    }
    Ok(value)
}
