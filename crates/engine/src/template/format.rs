//! Python's two ways of formatting: `"%s" % x` and `"{}".format(x)`.

use minijinja::value::{Kwargs, ValueKind, from_args};
use minijinja::{Error, State, Value};

use super::python::{self, Paper, count, float, repeat, wrong};

const PRECISION_MAX: usize = 1000;

/// How one value is to be written.
#[derive(Debug)]
struct Spec {
    fill: char,
    align: Option<char>,
    sign: Option<char>,
    alternate: bool,
    zeros: bool,
    width: usize,
    grouping: Option<char>,
    precision: Option<usize>,
    kind: Option<char>,
}

impl Default for Spec {
    fn default() -> Self {
        Self {
            fill: ' ',
            align: None,
            sign: None,
            alternate: false,
            zeros: false,
            width: 0,
            grouping: None,
            precision: None,
            kind: None,
        }
    }
}

/// `text % values`.
pub(super) fn percent(state: &State<'_, '_>, text: &str, values: &Value) -> Result<String, Error> {
    let is_map = values.kind() == ValueKind::Map;
    let all: Vec<Value> = if values.is_tuple() { values.try_iter()?.collect() } else { vec![values.clone()] };
    let mut next = all.iter();
    let mut take = || next.next().cloned().ok_or_else(|| wrong("a % format has more places than values"));
    let mut paper = Paper::new(state);
    let mut rest = text;
    while let Some(at) = rest.find('%') {
        paper.put(&rest[..at])?;
        rest = &rest[at + 1..];
        let mut key = None;
        if let Some(named) = rest.strip_prefix('(') {
            let (name, after) =
                named.split_once(')').ok_or_else(|| wrong("a % format has a ( without its )"))?;
            key = Some(values.get_item(&Value::from(name))?);
            rest = after;
        }
        let mut spec = Spec::default();
        while let Some(flag) = rest.chars().next().filter(|it| "-+ #0".contains(*it)) {
            rest = &rest[1..];
            match flag {
                '-' => spec.align = Some('<'),
                '#' => spec.alternate = true,
                '0' => spec.zeros = true,
                // A plus wins over a space.
                sign => spec.sign = Some(if spec.sign == Some('+') { '+' } else { sign }),
            }
        }
        spec.width = size(&mut rest, &mut take)?.unwrap_or(0);
        if let Some(after) = rest.strip_prefix('.') {
            rest = after;
            spec.precision = Some(size(&mut rest, &mut take)?.unwrap_or(0));
        }
        rest = rest.trim_start_matches(['h', 'l', 'L']);
        let Some(kind) = rest.chars().next() else { return Err(wrong("a % format ends in the middle")) };
        rest = &rest[kind.len_utf8()..];
        if kind == '%' {
            paper.put("%")?;
            continue;
        }
        let value = key.map_or_else(&mut take, Ok)?;
        paper.put(&conversion(state, &value, kind, spec)?)?;
    }
    paper.put(rest)?;
    if !is_map && next.next().is_some() {
        return Err(wrong("a % format has fewer places than values"));
    }
    Ok(paper.into_text())
}

/// A width or precision: digits, or a star for the next value.
fn size(rest: &mut &str, take: &mut impl FnMut() -> Result<Value, Error>) -> Result<Option<usize>, Error> {
    if let Some(after) = rest.strip_prefix('*') {
        *rest = after;
        return Ok(Some(count(python::whole(Some(&take()?), 0)?)));
    }
    digits(rest)
}

fn digits(rest: &mut &str) -> Result<Option<usize>, Error> {
    let length = rest.bytes().take_while(u8::is_ascii_digit).count();
    let (number, after) = rest.split_at(length);
    *rest = after;
    if number.is_empty() {
        return Ok(None);
    }
    number.parse().map(Some).map_err(|_| wrong(format!("{number} is too large a width")))
}

fn conversion(state: &State<'_, '_>, value: &Value, kind: char, mut spec: Spec) -> Result<String, Error> {
    match kind {
        's' | 'r' | 'a' => {
            let text = if kind == 's' { python::str(state, value)? } else { python::repr(state, value)? };
            let text = spec.precision.map_or(text.clone(), |most| text.chars().take(most).collect());
            spec.zeros = false;
            pad(state, "", &text, &spec, '>')
        }
        'c' => {
            let text = match value.as_str() {
                Some(text) if text.chars().count() == 1 => text.to_owned(),
                Some(_) => return Err(wrong("%c takes one character")),
                None => character(value)?,
            };
            pad(state, "", &text, &spec, '>')
        }
        'd' | 'i' | 'u' => {
            let number =
                f64::try_from(value.clone()).ok().filter(|_| value.is_number() && !value.is_integer());
            let whole = match number {
                Some(number) => Value::from(truncated(number)?),
                None => value.clone(),
            };
            spec.kind = Some('d');
            numeric(state, &whole, &spec)
        }
        'x' | 'X' | 'o' | 'e' | 'E' | 'f' | 'F' | 'g' | 'G' => {
            spec.kind = Some(kind);
            if !matches!(kind, 'x' | 'X' | 'o') {
                spec.precision = Some(spec.precision.unwrap_or(6));
            }
            numeric(state, value, &spec)
        }
        other => Err(wrong(format!("%{other} is no format that is known"))),
    }
}

/// `text.format(…)`.
pub(super) fn format(state: &State<'_, '_>, text: &str, given: &[Value]) -> Result<String, Error> {
    let (positional, by_name): (&[Value], Kwargs) = from_args(given)?;
    let mut next = 0_usize;
    fields(state, text, 0, &mut |name| {
        let index = if name.is_empty() {
            next += 1;
            Some(next - 1)
        } else {
            name.parse().ok()
        };
        match index {
            Some(index) => {
                positional.get(index).cloned().ok_or_else(|| wrong("format has more places than values"))
            }
            None => {
                by_name.get::<Value>(name).map_err(|_| wrong(format!("format has no value called {name}")))
            }
        }
    })
}

/// `text.format_map(map)`.
pub(super) fn format_map(state: &State<'_, '_>, text: &str, map: &Value) -> Result<String, Error> {
    fields(state, text, 0, &mut |name| {
        let found = map.get_item(&Value::from(name))?;
        if found.is_undefined() {
            Err(wrong(format!("format_map has no value called {name}")))
        } else {
            Ok(found)
        }
    })
}

fn fields(
    state: &State<'_, '_>,
    text: &str,
    depth: usize,
    find: &mut dyn FnMut(&str) -> Result<Value, Error>,
) -> Result<String, Error> {
    if depth > 2 {
        return Err(wrong("the fields of a format are nested too deep"));
    }
    let mut paper = Paper::new(state);
    let mut rest = text;
    while let Some(at) = rest.find(['{', '}']) {
        paper.put(&rest[..at])?;
        let brace = &rest[at..=at];
        rest = &rest[at + 1..];
        if let Some(after) = rest.strip_prefix(brace) {
            paper.put(brace)?;
            rest = after;
            continue;
        }
        let mut open = 1_usize;
        let end = rest.char_indices().find(|&(_, it)| {
            open += usize::from(it == '{');
            open -= usize::from(it == '}');
            open == 0
        });
        let Some((end, _)) = end.filter(|_| brace == "{") else {
            return Err(wrong(format!("a {brace} in a format stands alone")));
        };
        let field = &rest[..end];
        rest = &rest[end + 1..];
        paper.put(&one_field(state, field, depth, find)?)?;
    }
    paper.put(rest)?;
    Ok(paper.into_text())
}

fn one_field(
    state: &State<'_, '_>,
    field: &str,
    depth: usize,
    find: &mut dyn FnMut(&str) -> Result<Value, Error>,
) -> Result<String, Error> {
    let at = field.find([':', '!']).unwrap_or(field.len());
    let (path, mut rest) = field.split_at(at);
    let name = path.find(['.', '[']).unwrap_or(path.len());
    let mut value = find(&path[..name])?;
    let mut steps = &path[name..];
    while !steps.is_empty() {
        let (key, after) = if let Some(inner) = steps.strip_prefix('[') {
            inner.split_once(']').ok_or_else(|| wrong("a format has a [ without its ]"))?
        } else {
            let attribute = steps.trim_start_matches('.');
            attribute.split_at(attribute.find(['.', '[']).unwrap_or(attribute.len()))
        };
        let key = key.parse::<i64>().map_or_else(|_| Value::from(key), Value::from);
        value = value.get_item(&key)?;
        if value.is_undefined() {
            return Err(wrong(format!("a format asks for {path}, which is not there")));
        }
        steps = after;
    }
    if let Some(conversion) = rest.strip_prefix('!') {
        let kind = conversion.chars().next();
        rest = kind.map_or("", |it| &conversion[it.len_utf8()..]);
        value = Value::from(match kind {
            Some('r' | 'a') => python::repr(state, &value)?,
            Some('s') => python::str(state, &value)?,
            _ => return Err(wrong("a format converts by !r, !s or !a")),
        });
    }
    let spec = rest.strip_prefix(':').unwrap_or("");
    let spec = if spec.contains('{') { fields(state, spec, depth + 1, find)? } else { spec.to_owned() };
    formatted(state, &value, &spec)
}

/// `format(value, spec)`.
fn formatted(state: &State<'_, '_>, value: &Value, spec: &str) -> Result<String, Error> {
    if spec.is_empty() {
        return python::str(state, value);
    }
    let spec = parse(spec)?;
    let is_number =
        value.is_number() || (value.kind() == ValueKind::Bool && !matches!(spec.kind, None | Some('s')));
    if is_number {
        return numeric(state, value, &spec);
    }
    if value.as_str().is_none() && value.kind() != ValueKind::Bool {
        return Err(wrong("a format of lists, dicts and none takes no width"));
    }
    if !matches!(spec.kind, None | Some('s')) {
        return Err(wrong("a format for numbers was given something else"));
    }
    let text = python::str(state, value)?;
    let text = spec.precision.map_or(text.clone(), |most| text.chars().take(most).collect());
    pad(state, "", &text, &spec, '<')
}

fn parse(text: &str) -> Result<Spec, Error> {
    let mut spec = Spec::default();
    let mut rest = text;
    let mut letters = text.chars();
    match (letters.next(), letters.next()) {
        (Some(fill), Some(align)) if "<>^=".contains(align) => {
            spec.fill = fill;
            spec.align = Some(align);
            rest = &rest[fill.len_utf8() + 1..];
        }
        (Some(align), _) if "<>^=".contains(align) => {
            spec.align = Some(align);
            rest = &rest[1..];
        }
        _ => {}
    }
    if let Some(sign) = rest.chars().next().filter(|it| "+- ".contains(*it)) {
        spec.sign = Some(sign).filter(|it| *it != '-');
        rest = &rest[1..];
    }
    if let Some(after) = rest.strip_prefix('#') {
        spec.alternate = true;
        rest = after;
    }
    if let Some(after) = rest.strip_prefix('0') {
        spec.zeros = spec.align.is_none();
        rest = after;
    }
    spec.width = digits(&mut rest)?.unwrap_or(0);
    if let Some(group) = rest.chars().next().filter(|it| ",_".contains(*it)) {
        spec.grouping = Some(group);
        rest = &rest[1..];
    }
    if let Some(after) = rest.strip_prefix('.') {
        rest = after;
        spec.precision = digits(&mut rest)?;
    }
    let mut letters = rest.chars();
    spec.kind = letters.next();
    if letters.next().is_some() {
        return Err(wrong(format!("{text} is no format that is known")));
    }
    Ok(spec)
}

fn numeric(state: &State<'_, '_>, value: &Value, spec: &Spec) -> Result<String, Error> {
    if spec.precision.is_some_and(|it| it > PRECISION_MAX) {
        return Err(wrong(format!("a format has {PRECISION_MAX} digits behind the point at most")));
    }
    if !value.is_number() && value.kind() != ValueKind::Bool {
        return Err(wrong("a format for numbers was given something else"));
    }
    let is_float = value.is_number() && !value.is_integer();
    let kind = spec.kind.unwrap_or(if is_float || spec.precision.is_some() { 'r' } else { 'd' });
    let mut prefix = "";
    let (is_negative, mut digits) = match kind {
        'd' | 'x' | 'X' | 'o' | 'b' | 'c' | 'n' if is_float => {
            return Err(wrong(format!("{kind} formats whole numbers only")));
        }
        'c' => return pad(state, "", &character(value)?, spec, '>'),
        'd' | 'n' | 'x' | 'X' | 'o' | 'b' => {
            let number =
                i128::try_from(value.clone()).map_err(|_| wrong("a number is too large for a format"))?;
            let size = number.unsigned_abs();
            let (before, digits) = match kind {
                'x' => ("0x", format!("{size:x}")),
                'X' => ("0X", format!("{size:X}")),
                'o' => ("0o", format!("{size:o}")),
                'b' => ("0b", format!("{size:b}")),
                _ => ("", size.to_string()),
            };
            prefix = if spec.alternate { before } else { "" };
            (number < 0, digits)
        }
        _ => {
            let number =
                f64::try_from(value.clone()).map_err(|_| wrong("a number is too large for a format"))?;
            (number.is_sign_negative() && !number.is_nan(), real(number.abs(), kind, spec)?)
        }
    };
    if let Some(group) = spec.grouping {
        digits = grouped(&digits, group);
    }
    let sign = if is_negative { "-" } else { spec.sign.map_or("", |it| if it == '+' { "+" } else { " " }) };
    pad(state, &format!("{sign}{prefix}"), &digits, spec, '>')
}

/// A number that is not negative, in one of the forms for fractions.
fn real(number: f64, kind: char, spec: &Spec) -> Result<String, Error> {
    if !number.is_finite() {
        let text = float(number);
        return Ok(if kind.is_uppercase() { text.to_uppercase() } else { text });
    }
    let precision = spec.precision.unwrap_or(6);
    Ok(match kind {
        'f' | 'F' => format!("{number:.precision$}"),
        '%' => format!("{:.precision$}%", number * 100.0),
        'e' => with_exponent(number, precision),
        'E' => with_exponent(number, precision).to_uppercase(),
        'g' => general(number, precision, spec.alternate),
        'G' => general(number, precision, spec.alternate).to_uppercase(),
        'r' => match spec.precision {
            None => float(number),
            Some(precision) => general(number, precision, spec.alternate),
        },
        other => return Err(wrong(format!("{other} is no format that is known"))),
    })
}

fn with_exponent(number: f64, precision: usize) -> String {
    let text = format!("{number:.precision$e}");
    let (digits, exponent) = text.split_once('e').unwrap_or((&text, "0"));
    let exponent: i32 = exponent.parse().unwrap_or(0);
    format!("{digits}e{}{:02}", if exponent < 0 { '-' } else { '+' }, exponent.unsigned_abs())
}

fn general(number: f64, precision: usize, keep: bool) -> String {
    let precision = precision.max(1);
    let scientific = with_exponent(number, precision - 1);
    let (digits, exponent) = scientific.split_once('e').unwrap_or((&scientific, "0"));
    let power: i64 = exponent.parse().unwrap_or(0);
    let shortened = |text: &str| {
        let text =
            if keep || !text.contains('.') { text } else { text.trim_end_matches('0').trim_end_matches('.') };
        text.to_owned()
    };
    let most = i64::try_from(precision).unwrap_or(i64::MAX);
    if (-4..most).contains(&power) {
        let places = usize::try_from(most - 1 - power).unwrap_or(0);
        shortened(&format!("{number:.places$}"))
    } else {
        format!("{}e{exponent}", shortened(digits))
    }
}

fn grouped(digits: &str, group: char) -> String {
    let (whole, rest) = digits.split_at(digits.find(|it: char| !it.is_ascii_digit()).unwrap_or(digits.len()));
    let mut out = String::with_capacity(digits.len() * 4 / 3 + 1);
    for (at, it) in whole.char_indices() {
        if at > 0 && (whole.len() - at) % 3 == 0 {
            out.push(group);
        }
        out.push(it);
    }
    out + rest
}

fn pad(state: &State<'_, '_>, sign: &str, text: &str, spec: &Spec, usual: char) -> Result<String, Error> {
    let missing = spec.width.saturating_sub(sign.chars().count() + text.chars().count());
    if missing == 0 {
        return Ok(format!("{sign}{text}"));
    }
    let zeros = spec.zeros && spec.align != Some('<');
    let fill = if zeros { "0".to_owned() } else { spec.fill.to_string() };
    let align = if zeros { '=' } else { spec.align.unwrap_or(usual) };
    let (before, inside, behind) = match align {
        '<' => (0, 0, missing),
        '^' => (missing / 2, 0, missing - missing / 2),
        '=' => (0, missing, 0),
        _ => (missing, 0, 0),
    };
    let filled = |times: usize| repeat(state, &fill, times);
    Ok(format!("{}{sign}{}{text}{}", filled(before)?, filled(inside)?, filled(behind)?))
}

fn character(value: &Value) -> Result<String, Error> {
    let number = value.as_i64().and_then(|it| u32::try_from(it).ok());
    let letter = number.and_then(char::from_u32).ok_or_else(|| wrong("a number is that of no character"))?;
    Ok(letter.to_string())
}

/// A number without its fraction.
pub(super) fn truncated(number: f64) -> Result<i128, Error> {
    let whole = number.trunc();
    // 2^126: what is larger would not fit anyway.
    if !(-8.5e37..=8.5e37).contains(&whole) {
        return Err(wrong("a number is too large to be made whole"));
    }
    #[expect(clippy::cast_possible_truncation, reason = "in range, and whole")]
    Ok(whole as i128)
}
