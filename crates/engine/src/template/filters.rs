//! The filters, tests and functions of Jinja2 and transformers that the library lacks or has otherwise.

use jiff::Zoned;
use minijinja::value::{Kwargs, Rest, Tuple, ValueKind, ValueOrKwargs, from_args};
use minijinja::{Environment, Error, Output, State, Value};

use super::format;
use super::json::to_json;
use super::lexer::is_space;
use super::methods::lines;
use super::numbers::{float, int, percent, range, round, sum};
use super::operators::PERCENT;
use super::python::{self, arguments, at_path, count, pay, repeat, truth, whole, wrong};
use super::rewrite::{EACH, KEPT};

// The library has some of them otherwise than Jinja2.
const UNSUPPORTED: [&str; 9] =
    ["attr", "filesizeformat", "pprint", "random", "striptags", "urlencode", "urlize", "wordwrap", "xmlattr"];

/// Puts them into an environment.
pub(super) fn add_to(environment: &mut Environment<'static>) {
    environment.set_formatter(print);
    environment.set_unknown_method_callback(super::methods::call);
    environment.add_filter("tojson", to_json);
    environment.add_filter(PERCENT, percent);
    environment.add_filter("format", format_filter);
    environment.add_filter("string", |state: &mut State, it: &Value| python::str(state, it));
    environment.add_filter("join", join);
    environment.add_filter("default", default);
    environment.add_filter("d", default);
    environment.add_filter("trim", trim);
    environment.add_filter("upper", |state: &mut State, it: &Value| text_method(state, it, "upper"));
    environment.add_filter("lower", |state: &mut State, it: &Value| text_method(state, it, "lower"));
    environment
        .add_filter("capitalize", |state: &mut State, it: &Value| text_method(state, it, "capitalize"));
    environment.add_filter("title", title);
    environment.add_filter("center", center);
    environment.add_filter("indent", indent);
    environment.add_filter("wordcount", wordcount);
    environment.add_filter("truncate", truncate);
    environment.add_filter("forceescape", |state: &mut State, it: &Value| {
        Ok::<_, Error>(escaped(&python::str(state, it)?))
    });
    environment.add_filter("e", escape);
    environment.add_filter("escape", escape);
    environment.add_filter("int", int);
    environment.add_filter("float", float);
    environment.add_filter("round", round);
    environment.add_filter("sum", sum);
    for name in UNSUPPORTED {
        environment.add_filter(name, move |_: &Value, _: Rest<ValueOrKwargs>| {
            Err::<Value, _>(wrong(format!("the filter {name} is not supported")))
        });
    }
    environment.add_filter("dictsort", dictsort);
    environment.add_filter(EACH, each);
    environment.add_filter(KEPT, |state: &mut State, it: &Value| {
        python::check_depth(state, it, 0).map(|()| it.clone())
    });
    environment
        .add_test("callable", |it: &Value| matches!(it.kind(), ValueKind::Plain | ValueKind::Undefined));
    environment.add_test("number", |it: &Value| matches!(it.kind(), ValueKind::Number | ValueKind::Bool));
    environment.add_test("mapping", |it: &Value| it.kind() == ValueKind::Map && !is_namespace(it));
    environment.add_test("sequence", |it: &Value| {
        let has_length = [ValueKind::String, ValueKind::Seq, ValueKind::Iterable, ValueKind::Undefined]
            .contains(&it.kind());
        has_length || (it.kind() == ValueKind::Map && !is_namespace(it))
    });
    environment.add_test("iterable", |it: &Value| it.try_iter().is_ok() && !it.is_none());
    environment.add_test("escaped", |it: &Value| it.is_safe());
    environment.add_function("dict", dict);
    environment.add_function("namespace", namespace);
    environment.add_function("cycler", |it: Rest<Value>| minijinja_contrib::globals::cycler(it.0));
    environment.add_function("joiner", minijinja_contrib::globals::joiner);
    environment.add_function("range", range);
    environment.add_function("strftime_now", |it: &str| strftime(it, &now()));
}

/// The date and time that templates get: UTC, as an engine has no zone of its own.
fn now() -> Zoned {
    jiff::Timestamp::now().to_zoned(jiff::tz::TimeZone::UTC)
}

/// A time in the form that Python's `strftime` writes.
pub(super) fn strftime(form: &str, time: &Zoned) -> Result<String, Error> {
    jiff::fmt::strtime::format(form, time).map_err(|it| wrong(format!("strftime_now: {it}")))
}

fn print(out: &mut Output, state: &mut State, value: &Value) -> Result<(), Error> {
    match value.as_str() {
        Some(text) => out.write_str(text).map_err(Error::from),
        None => out.write_str(&python::str(state, value)?).map_err(Error::from),
    }
}

fn format_filter(state: &mut State, text: &Value, given: Rest<ValueOrKwargs>) -> Result<String, Error> {
    let given = given.into_values();
    let (positional, by_name): (&[Value], Kwargs) = from_args(&given)?;
    let text = python::str(state, text)?;
    let mut named = Vec::new();
    for name in by_name.args() {
        named.push((Value::from(name), by_name.get::<Value>(name)?));
    }
    let values = match (positional.is_empty(), named.is_empty()) {
        (false, false) => return Err(wrong("format takes values by place or by name, not both")),
        (true, false) => Value::from_pairs(named),
        (_, true) => Value::from(Tuple::from(positional.to_vec())),
    };
    format::percent(state, &text, &values)
}

fn join(state: &mut State, value: &Value, given: Rest<ValueOrKwargs>) -> Result<String, Error> {
    let [between, attribute] = arguments("join", &given.into_values(), ["d", "attribute"])?;
    let between = between.map_or(Ok(String::new()), |it| python::str(state, &it))?;
    let mut paper = python::Paper::new(state);
    for (index, item) in value.try_iter()?.enumerate() {
        if index > 0 {
            paper.put(&between)?;
        }
        let item = attribute.as_ref().map_or(Ok(item.clone()), |it| at_path(&item, it))?;
        paper.put(&python::str(state, &item)?)?;
    }
    Ok(paper.into_text())
}

fn default(value: &Value, given: Rest<ValueOrKwargs>) -> Result<Value, Error> {
    let [default, boolean] = arguments("default", &given.into_values(), ["default_value", "boolean"])?;
    let is_absent = value.is_undefined() || (truth(boolean.as_ref()) && !value.is_true());
    Ok(if is_absent { default.unwrap_or_else(|| Value::from("")) } else { value.clone() })
}

fn text_method(state: &mut State, value: &Value, method: &str) -> Result<Value, Error> {
    let text = Value::from(python::str(state, value)?);
    super::methods::call(state, &text, method, &[])
}

fn trim(state: &mut State, value: &Value, given: Rest<ValueOrKwargs>) -> Result<Value, Error> {
    let text = Value::from(python::str(state, value)?);
    super::methods::call(state, &text, "strip", &given.into_values())
}

/// Words as the filter sees them: parted by white space, dashes and opening brackets.
fn title(state: &mut State, value: &Value) -> Result<String, Error> {
    let text = python::str(state, value)?;
    pay(state, text.len())?;
    let mut out = String::with_capacity(text.len());
    let mut begins = true;
    for it in text.chars() {
        let parts = is_space(it) || "-({[<".contains(it);
        if begins && !parts {
            out.extend(it.to_uppercase());
        } else {
            out.extend(it.to_lowercase());
        }
        begins = parts;
    }
    Ok(out)
}

fn center(state: &mut State, value: &Value, given: Rest<ValueOrKwargs>) -> Result<Value, Error> {
    let [width] = arguments("center", &given.into_values(), ["width"])?;
    let text = Value::from(python::str(state, value)?);
    super::methods::call(state, &text, "center", &[width.unwrap_or_else(|| Value::from(80))])
}

fn indent(state: &mut State, value: &Value, given: Rest<ValueOrKwargs>) -> Result<String, Error> {
    let [width, first, blank] = arguments("indent", &given.into_values(), ["width", "first", "blank"])?;
    let text = value.as_str().ok_or_else(|| wrong("indent takes a text"))?;
    let by = match width.as_ref().and_then(Value::as_str) {
        Some(text) => text.to_owned(),
        None => repeat(state, " ", count(whole(width.as_ref(), 4)?))?,
    };
    let (first, blank) = (truth(first.as_ref()), truth(blank.as_ref()));
    let mut paper = python::Paper::new(state);
    let text = format!("{text}\n");
    for (index, line) in lines(&text, false).into_iter().enumerate() {
        if index > 0 {
            paper.put("\n")?;
        }
        if (index == 0 && first) || (index > 0 && (blank || !line.is_empty())) {
            paper.put(&by)?;
        }
        paper.put(line)?;
    }
    Ok(paper.into_text())
}

fn wordcount(state: &mut State, value: &Value) -> Result<usize, Error> {
    let text = python::str(state, value)?;
    pay(state, text.len())?;
    Ok(text.split(|it: char| it != '_' && !it.is_alphanumeric()).filter(|it| !it.is_empty()).count())
}

fn truncate(state: &mut State, value: &Value, given: Rest<ValueOrKwargs>) -> Result<String, Error> {
    let names = ["length", "killwords", "end", "leeway"];
    let [length, kill, end, leeway] = arguments("truncate", &given.into_values(), names)?;
    let text = python::str(state, value)?;
    pay(state, text.len())?;
    let end = end.map_or("...".to_owned(), |it| it.to_string());
    let (length, leeway) = (count(whole(length.as_ref(), 255)?), count(whole(leeway.as_ref(), 5)?));
    if text.chars().count() <= length.saturating_add(leeway) {
        return Ok(text);
    }
    let most = length
        .checked_sub(end.chars().count())
        .ok_or_else(|| wrong("truncate leaves no room for its end"))?;
    let cut: String = text.chars().take(most).collect();
    let cut = if truth(kill.as_ref()) {
        cut.as_str()
    } else {
        cut.rsplit_once(' ').map_or(cut.as_str(), |it| it.0)
    };
    Ok(format!("{cut}{end}"))
}

fn escaped(text: &str) -> Value {
    let mut out = String::with_capacity(text.len());
    for it in text.chars() {
        match it {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '\'' => out.push_str("&#39;"),
            '"' => out.push_str("&#34;"),
            other => out.push(other),
        }
    }
    Value::from_safe_string(out)
}

fn escape(state: &mut State, value: &Value) -> Result<Value, Error> {
    if value.is_safe() {
        return Ok(value.clone());
    }
    let text = python::str(state, value)?;
    pay(state, text.len())?;
    Ok(escaped(&text))
}

fn is_namespace(value: &Value) -> bool {
    value.as_object().is_some_and(|it| it.type_name().ends_with("Namespace"))
}

/// What a loop goes over, with a length: the letters of a text, and all that a filter would give one by one.
fn each(state: &mut State, value: &Value) -> Result<Value, Error> {
    if let Some(text) = value.as_str() {
        pay(state, text.len().saturating_mul(32))?;
        return Ok(text.chars().map(Value::from).collect());
    }
    if value.kind() != ValueKind::Iterable || value.len().is_some() {
        return Ok(value.clone());
    }
    let mut items = Vec::new();
    for item in value.try_iter()? {
        pay(state, 64)?;
        items.push(item);
    }
    Ok(Value::from(items))
}

fn dictsort(state: &mut State, value: &Value, given: Rest<ValueOrKwargs>) -> Result<Value, Error> {
    let names = ["case_sensitive", "by", "reverse"];
    let [sensitive, by, reverse] = arguments("dictsort", &given.into_values(), names)?;
    if value.kind() != ValueKind::Map {
        return Err(wrong("dictsort takes a dict"));
    }
    let by_value = match by.as_ref().map_or(Some("key"), Value::as_str) {
        Some("key") => false,
        Some("value") => true,
        _ => return Err(wrong("dictsort goes by key or value")),
    };
    let mut entries = Vec::new();
    for key in value.try_iter()? {
        let item = value.get_item(&key)?;
        let sorted = if by_value { item.clone() } else { key.clone() };
        let sorted = match sorted.as_str() {
            Some(text) if !truth(sensitive.as_ref()) => Value::from(text.to_lowercase()),
            _ => sorted,
        };
        entries.push((sorted, key, item));
    }
    // A comparison reads some bytes of both, a few times for each entry.
    pay(state, entries.len().saturating_mul(64 * 16))?;
    let backwards = truth(reverse.as_ref());
    entries.sort_by(|a, b| if backwards { b.0.cmp(&a.0) } else { a.0.cmp(&b.0) });
    let pairs = entries.into_iter().map(|(_, key, item)| Tuple::from(vec![key, item]));
    Ok(pairs.map(Value::from).collect())
}

fn dict(given: Rest<ValueOrKwargs>) -> Result<Value, Error> {
    Ok(Value::from_pairs(pairs("dict", given)?))
}

/// What `dict` and `namespace` are called with: a dict or a list of pairs, and names.
fn pairs(what: &str, given: Rest<ValueOrKwargs>) -> Result<Vec<(Value, Value)>, Error> {
    let given = given.into_values();
    let (positional, by_name): (&[Value], Kwargs) = from_args(&given)?;
    let mut out = Vec::new();
    if positional.len() > 1 {
        return Err(wrong(format!("{what} takes one dict, and names")));
    }
    for source in positional {
        for entry in source.try_iter()? {
            if source.kind() == ValueKind::Map {
                let value = source.get_item(&entry)?;
                out.push((entry, value));
            } else {
                out.push((entry.get_item_by_index(0)?, entry.get_item_by_index(1)?));
            }
        }
    }
    for name in by_name.args() {
        out.push((Value::from(name), by_name.get::<Value>(name)?));
    }
    Ok(out)
}

fn namespace(given: Rest<ValueOrKwargs>) -> Result<Value, Error> {
    let all = Value::from_pairs(pairs("namespace", given)?);
    minijinja::functions::namespace(Some(ValueOrKwargs::from(all)))
}
