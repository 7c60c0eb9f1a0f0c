//! The methods of Python's texts, lists and dicts that the library and its companion lack or have otherwise.

use minijinja::value::ValueKind;
use minijinja::{Error, State, Value};
use minijinja_contrib::pycompat;

use super::lexer::is_space;
use super::python::{self, arguments, count, pay, repeat, truth, whole, wrong};

/// Calls a method that a value has in Python.
pub(super) fn call(state: &mut State, value: &Value, method: &str, given: &[Value]) -> Result<Value, Error> {
    let known = match value.kind() {
        ValueKind::String => of_text(state, value.as_str().unwrap_or_default(), method, given)?,
        ValueKind::Map => of_dict(value, method, given)?,
        ValueKind::Seq | ValueKind::Iterable => of_list(state, value, method, given)?,
        ValueKind::Number => of_number(value, method, given)?,
        ValueKind::Undefined
        | ValueKind::None
        | ValueKind::Bool
        | ValueKind::Bytes
        | ValueKind::Plain
        | ValueKind::Invalid
        | _ => None,
    };
    match known {
        Some(result) => Ok(result),
        None if is_forbidden(value, method) => {
            Err(wrong(format!("{method} would change a list or dict, which chat templates may not")))
        }
        None => pycompat::unknown_method_callback(state, value, method, given),
    }
}

/// What the sandbox that chat templates run in forbids.
fn is_forbidden(value: &Value, method: &str) -> bool {
    let of_dicts = ["clear", "pop", "popitem", "setdefault", "update"];
    let of_lists = ["append", "clear", "pop", "reverse", "insert", "sort", "extend", "remove"];
    let kind = value.kind();
    (kind == ValueKind::Map && of_dicts.contains(&method))
        || (kind == ValueKind::Seq && of_lists.contains(&method))
}

fn of_text(state: &State<'_, '_>, text: &str, method: &str, given: &[Value]) -> Result<Option<Value>, Error> {
    // Each walks the text once, or a few times.
    pay(state, text.len())?;
    Ok(Some(match method {
        "strip" | "lstrip" | "rstrip" => {
            let [chars] = arguments(method, given, ["chars"])?;
            let chars = chars.filter(|it| !it.is_none()).map(|it| letters(&it)).transpose()?;
            Value::from(strip(text, method, chars.as_deref()))
        }
        "swapcase" => text.chars().map(swapped).collect::<String>().into(),
        "casefold" => text.chars().map(folded).collect::<String>().into(),
        "title" => titled(text).into(),
        "capitalize" => {
            let mut rest = text.chars();
            let first = rest.next().map(title_letter).unwrap_or_default();
            (first + &rest.as_str().to_lowercase()).into()
        }
        "find" | "rfind" | "index" | "rindex" | "count" => searched(state, text, method, given)?,
        "startswith" | "endswith" => {
            let [what, start, end] = arguments(method, given, ["prefix", "start", "end"])?;
            let (from, to) = bounds(text, start.as_ref(), end.as_ref())?;
            let part = text.get(from..to);
            let is_so = |it: &Value| {
                let it = letters(it)?;
                Ok::<_, Error>(part.is_some_and(|part| {
                    if method == "startswith" {
                        part.starts_with(it.as_str())
                    } else {
                        part.ends_with(it.as_str())
                    }
                }))
            };
            let what = what.ok_or_else(|| wrong(format!("{method} needs a text")))?;
            if what.is_tuple() {
                let each: Result<Vec<bool>, Error> = what.try_iter()?.map(|it| is_so(&it)).collect();
                Value::from(each?.into_iter().any(|it| it))
            } else {
                Value::from(is_so(&what)?)
            }
        }
        "split" | "rsplit" => split(state, text, method, given)?,
        "splitlines" => {
            let [keep] = arguments(method, given, ["keepends"])?;
            let lines = lines(text, truth(keep.as_ref()));
            pay(state, lines.len() * 32)?;
            lines.into_iter().map(Value::from).collect::<Vec<_>>().into()
        }
        "partition" | "rpartition" => {
            let [by] = arguments(method, given, ["sep"])?;
            let by = letters(&by.unwrap_or_default())?;
            if by.is_empty() {
                return Err(wrong(format!("{method} needs a text that is not empty")));
            }
            let parts = match (text.split_once(by.as_str()), text.rsplit_once(by.as_str()), method) {
                (Some((before, after)), _, "partition") | (_, Some((before, after)), "rpartition") => {
                    [before, by.as_str(), after]
                }
                (_, _, "partition") => [text, "", ""],
                _ => ["", "", text],
            };
            Value::from(minijinja::value::Tuple::from(parts.map(Value::from).to_vec()))
        }
        "replace" => {
            let [old, new, most] = arguments(method, given, ["old", "new", "count"])?;
            let (old, new) = (letters(&old.unwrap_or_default())?, letters(&new.unwrap_or_default())?);
            let most = whole(most.as_ref(), -1)?;
            let most = if most < 0 { usize::MAX } else { count(most) };
            let found =
                if old.is_empty() { text.chars().count() + 1 } else { text.matches(old.as_str()).count() };
            pay(state, found.min(most).saturating_mul(new.len()))?;
            text.replacen(&old, &new, most).into()
        }
        "removeprefix" | "removesuffix" => {
            let [what] = arguments(method, given, ["prefix"])?;
            let what = letters(&what.unwrap_or_default())?;
            let rest =
                if method == "removeprefix" { text.strip_prefix(&what) } else { text.strip_suffix(&what) };
            Value::from(rest.unwrap_or(text))
        }
        "join" => {
            let [items] = arguments(method, given, ["iterable"])?;
            let mut paper = python::Paper::new(state);
            for (index, item) in items.unwrap_or_default().try_iter()?.enumerate() {
                if index > 0 {
                    paper.put(text)?;
                }
                let item = item.as_str().ok_or_else(|| wrong("join takes texts only"))?.to_owned();
                paper.put(&item)?;
            }
            paper.into_text().into()
        }
        "ljust" | "rjust" | "center" | "zfill" => padded(state, text, method, given)?,
        "expandtabs" => {
            let [size] = arguments(method, given, ["tabsize"])?;
            expanded(state, text, count(whole(size.as_ref(), 8)?))?.into()
        }
        "isdecimal" | "isdigit" => (!text.is_empty() && text.chars().all(|it| is_digit(it, method))).into(),
        "istitle" => (titled(text) == text && text.chars().any(char::is_alphabetic)).into(),
        "isidentifier" => {
            let starts = text.starts_with(|it: char| it == '_' || it.is_alphabetic());
            (starts && text.chars().all(|it| it == '_' || it.is_alphanumeric())).into()
        }
        "isprintable" => text.chars().all(python::is_printable).into(),
        "isspace" => (!text.is_empty() && text.chars().all(is_space)).into(),
        "format" => super::format::format(state, text, given)?.into(),
        "format_map" => {
            let [map] = arguments(method, given, ["mapping"])?;
            super::format::format_map(state, text, &map.unwrap_or_default())?.into()
        }
        "encode" | "translate" | "maketrans" => {
            return Err(wrong(format!("the method {method} of texts is not supported")));
        }
        _ => return Ok(None),
    }))
}

fn letters(value: &Value) -> Result<String, Error> {
    value.as_str().map(str::to_owned).ok_or_else(|| wrong(format!("{value:?} is not a text")))
}

fn strip<'a>(text: &'a str, method: &str, chars: Option<&str>) -> &'a str {
    let goes = |it: char| chars.map_or_else(|| is_space(it), |some| some.contains(it));
    match method {
        "lstrip" => text.trim_start_matches(goes),
        "rstrip" => text.trim_end_matches(goes),
        _ => text.trim_matches(goes),
    }
}

fn swapped(it: char) -> String {
    if it.is_uppercase() { it.to_lowercase().collect() } else { it.to_uppercase().collect() }
}

fn folded(it: char) -> String {
    // What Python folds further than to small letters, as far as texts of people have it.
    match it {
        'ß' | 'ẞ' => "ss".to_owned(),
        'ς' => "σ".to_owned(),
        'ﬁ' => "fi".to_owned(),
        'ﬂ' => "fl".to_owned(),
        'ﬀ' => "ff".to_owned(),
        'ŉ' => "ʼn".to_owned(),
        'ſ' => "s".to_owned(),
        'İ' => "i̇".to_owned(),
        other => other.to_lowercase().collect(),
    }
}

fn title_letter(it: char) -> String {
    match it {
        'ǆ' | 'Ǆ' => "ǅ".to_owned(),
        'ǉ' | 'Ǉ' => "ǈ".to_owned(),
        'ǌ' | 'Ǌ' => "ǋ".to_owned(),
        'ǳ' | 'Ǳ' => "ǲ".to_owned(),
        'ß' => "Ss".to_owned(),
        'ﬁ' => "Fi".to_owned(),
        'ﬂ' => "Fl".to_owned(),
        other => other.to_uppercase().collect(),
    }
}

/// Every word begins with a large letter; whatever is no letter ends a word.
fn titled(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut in_word = false;
    for it in text.chars() {
        let is_letter = it.is_lowercase() || it.is_uppercase() || title_letter(it) != it.to_string();
        if is_letter && !in_word {
            out.push_str(&title_letter(it));
        } else if is_letter {
            out.extend(it.to_lowercase());
        } else {
            out.push(it);
        }
        in_word = is_letter;
    }
    out
}

fn is_digit(it: char, method: &str) -> bool {
    it.is_ascii_digit()
        || (!it.is_ascii() && it.is_numeric() && {
            // Digits of other scripts; above them only for `isdigit`: raised, lowered and circled ones.
            let is_raised = matches!(u32::from(it), 0xb2 | 0xb3 | 0xb9 | 0x2070..=0x2089 | 0x2460..=0x2468);
            let is_decimal =
                matches!(u32::from(it), 0x660..=0x669 | 0x6f0..=0x6f9 | 0x966..=0x96f | 0xff10..=0xff19);
            is_decimal || (method == "isdigit" && is_raised)
        })
}

/// Where a part of a text begins and ends in bytes, given characters as Python counts them. The beginning may lie behind
/// the end.
fn bounds(text: &str, start: Option<&Value>, end: Option<&Value>) -> Result<(usize, usize), Error> {
    let given = |it: Option<&Value>| it.filter(|it| !it.is_none()).map(|it| whole(Some(it), 0)).transpose();
    let (start, end) = (given(start)?, given(end)?);
    if start.is_none() && end.is_none() {
        return Ok((0, text.len()));
    }
    let length = i64::try_from(text.chars().count()).unwrap_or(i64::MAX);
    let index = |it: i64| count(if it < 0 { it + length } else { it });
    let byte = |it: usize| text.char_indices().map(|(at, _)| at).chain([text.len()]).nth(it);
    let from = start.map_or(0, |it| byte(index(it)).unwrap_or(text.len() + 1));
    let to = end.map_or(text.len(), |it| byte(index(it)).unwrap_or(text.len()));
    Ok((from, to))
}

fn searched(state: &State<'_, '_>, text: &str, method: &str, given: &[Value]) -> Result<Value, Error> {
    let [what, start, end] = arguments(method, given, ["sub", "start", "end"])?;
    let what = letters(&what.unwrap_or_default())?;
    let (from, to) = bounds(text, start.as_ref(), end.as_ref())?;
    let Some(part) = text.get(from..to) else {
        return if method.ends_with("index") {
            Err(wrong(format!("{method}: the text is not found")))
        } else {
            Ok(Value::from(if method == "count" { 0 } else { -1 }))
        };
    };
    pay(state, part.len())?;
    if method == "count" {
        let found = if what.is_empty() { part.chars().count() + 1 } else { part.matches(&what).count() };
        return Ok(Value::from(found));
    }
    let at = if method.starts_with('r') { part.rfind(&what) } else { part.find(&what) };
    match at.and_then(|it| text.get(..from + it)) {
        Some(before) => Ok(Value::from(before.chars().count())),
        None if method.ends_with("index") => Err(wrong(format!("{method}: the text is not found"))),
        None => Ok(Value::from(-1)),
    }
}

fn split(state: &State<'_, '_>, text: &str, method: &str, given: &[Value]) -> Result<Value, Error> {
    let [by, most] = arguments(method, given, ["sep", "maxsplit"])?;
    let most = whole(most.as_ref(), -1)?;
    let most = if most < 0 { usize::MAX } else { count(most) };
    let by = by.filter(|it| !it.is_none()).map(|it| letters(&it)).transpose()?;
    let from_end = method == "rsplit";
    let mut parts: Vec<&str> = match by.as_deref() {
        Some("") => return Err(wrong(format!("{method} cannot part a text at nothing"))),
        Some(by) => {
            pay(state, text.matches(by).count().min(most).saturating_mul(64))?;
            let pieces = most.saturating_add(1);
            if from_end { text.rsplitn(pieces, by).collect() } else { text.splitn(pieces, by).collect() }
        }
        None => words(state, text, most, from_end)?,
    };
    if from_end {
        parts.reverse();
    }
    Ok(parts.into_iter().map(Value::from).collect::<Vec<_>>().into())
}

/// The words of a text; after `most` of them the rest as it is.
fn words<'a>(
    state: &State<'_, '_>,
    text: &'a str,
    most: usize,
    from_end: bool,
) -> Result<Vec<&'a str>, Error> {
    let mut out = Vec::new();
    let mut rest = text;
    loop {
        rest = if from_end { rest.trim_end_matches(is_space) } else { rest.trim_start_matches(is_space) };
        if rest.is_empty() {
            return Ok(out);
        }
        pay(state, 64)?;
        if out.len() == most {
            out.push(strip(rest, if from_end { "lstrip" } else { "rstrip" }, None));
            return Ok(out);
        }
        let (word, after) = if from_end {
            let at = rest
                .char_indices()
                .rev()
                .find(|&(_, it)| is_space(it))
                .map_or(0, |(at, it)| at + it.len_utf8());
            (&rest[at..], &rest[..at])
        } else {
            let at = rest.find(is_space).unwrap_or(rest.len());
            (&rest[..at], &rest[at..])
        };
        out.push(word);
        rest = after;
    }
}

/// The lines of a text as Python parts them, with or without their ends.
pub(super) fn lines(text: &str, keep: bool) -> Vec<&str> {
    let mut out = Vec::new();
    let mut begins = 0;
    let mut letters = text.char_indices().peekable();
    while let Some((at, it)) = letters.next() {
        let is_end = matches!(
            it,
            '\n' | '\r' | '\u{b}' | '\u{c}' | '\u{1c}'..='\u{1e}' | '\u{85}' | '\u{2028}' | '\u{2029}'
        );
        if !is_end {
            continue;
        }
        let mut end = at + it.len_utf8();
        if it == '\r' && letters.peek().is_some_and(|(_, next)| *next == '\n') {
            letters.next();
            end += 1;
        }
        out.push(&text[begins..if keep { end } else { at }]);
        begins = end;
    }
    if begins < text.len() {
        out.push(&text[begins..]);
    }
    out
}

fn padded(state: &State<'_, '_>, text: &str, method: &str, given: &[Value]) -> Result<Value, Error> {
    let [width, fill] = arguments(method, given, ["width", "fillchar"])?;
    let width = count(whole(width.as_ref(), 0)?);
    let fill = fill.map(|it| letters(&it)).transpose()?.unwrap_or_else(|| " ".to_owned());
    if fill.chars().count() != 1 {
        return Err(wrong(format!("{method} fills up with one character")));
    }
    let length = text.chars().count();
    let missing = width.saturating_sub(length);
    Ok(Value::from(match method {
        "ljust" => format!("{text}{}", repeat(state, &fill, missing)?),
        "rjust" => format!("{}{text}", repeat(state, &fill, missing)?),
        "zfill" => {
            let (sign, digits) = text.split_at(usize::from(text.starts_with(['+', '-'])));
            format!("{sign}{}{digits}", repeat(state, "0", missing)?)
        }
        _ => {
            let left = missing / 2 + (missing & width & 1);
            format!("{}{text}{}", repeat(state, &fill, left)?, repeat(state, &fill, missing - left)?)
        }
    }))
}

fn expanded(state: &State<'_, '_>, text: &str, size: usize) -> Result<String, Error> {
    let mut paper = python::Paper::new(state);
    let mut column = 0_usize;
    for it in text.chars() {
        match it {
            '\t' => {
                let width = if size == 0 { 0 } else { size - column % size };
                paper.put(&repeat(state, " ", width)?)?;
                column += width;
            }
            other => {
                column = if matches!(other, '\n' | '\r') { 0 } else { column + 1 };
                paper.put(other.encode_utf8(&mut [0; 4]))?;
            }
        }
    }
    Ok(paper.into_text())
}

fn of_dict(value: &Value, method: &str, given: &[Value]) -> Result<Option<Value>, Error> {
    Ok(Some(match method {
        "get" => {
            let [key, default] = arguments(method, given, ["key", "default"])?;
            let key = key.ok_or_else(|| wrong("get needs a key"))?;
            let found = value.as_object().and_then(|it| it.get_value(&key));
            found.or(default).unwrap_or_else(|| Value::from(()))
        }
        "copy" => value.clone(),
        "fromkeys" => return Err(wrong("the method fromkeys of dicts is not supported")),
        _ => return Ok(None),
    }))
}

fn of_list(
    state: &State<'_, '_>,
    value: &Value,
    method: &str,
    given: &[Value],
) -> Result<Option<Value>, Error> {
    if !["index", "count", "copy"].contains(&method) {
        return Ok(None);
    }
    pay(state, value.len().unwrap_or(0).saturating_mul(16))?;
    if method == "copy" {
        return Ok(Some(value.clone()));
    }
    let [what] = arguments(method, given, ["value"])?;
    let what = what.unwrap_or_default();
    let mut same = value.try_iter()?.enumerate().filter(|(_, it)| *it == what);
    Ok(Some(match method {
        "count" => same.count().into(),
        _ => match same.next() {
            Some((at, _)) => at.into(),
            None => return Err(wrong("index: the value is not in the list")),
        },
    }))
}

fn of_number(value: &Value, method: &str, given: &[Value]) -> Result<Option<Value>, Error> {
    let [] = arguments(method, given, [])?;
    Ok(match (method, value.as_i64()) {
        ("bit_length", Some(number)) => Some((64 - number.unsigned_abs().leading_zeros()).into()),
        ("is_integer", _) => {
            let number = f64::try_from(value.clone()).unwrap_or(f64::NAN);
            Some((number.is_finite() && number.fract() == 0.0).into())
        }
        _ => None,
    })
}
