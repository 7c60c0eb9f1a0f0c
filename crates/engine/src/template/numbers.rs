//! Filters and functions of numbers.

use minijinja::value::{Rest, ValueKind, ValueOrKwargs};
use minijinja::{Error, State, Value};

use super::format::{self, truncated};
use super::lexer::is_space;
use super::python::{arguments, at_path, pay, whole, wrong};
use super::range::Range;

const RANGE_MAX: usize = 100_000;

pub(super) fn int(state: &mut State, value: &Value, given: Rest<ValueOrKwargs>) -> Result<Value, Error> {
    let [default, base] = arguments("int", &given.into_values(), ["default", "base"])?;
    let default = default.unwrap_or_else(|| Value::from(0));
    let base = u32::try_from(whole(base.as_ref(), 10)?).unwrap_or(10);
    if value.is_undefined() {
        return Err(wrong("int of what is undefined"));
    }
    if value.is_integer() {
        return Ok(value.clone());
    }
    if value.kind() == ValueKind::Bool {
        return Ok(Value::from(i64::from(value.is_true())));
    }
    let read = match value.as_str() {
        Some(text) => parse_int(text, base).or_else(|| text_float(text).and_then(|it| truncated(it).ok())),
        None => f64::try_from(value.clone()).ok().and_then(|it| truncated(it).ok()),
    };
    pay(state, 64)?;
    Ok(read.map_or(default, Value::from))
}

fn parse_int(text: &str, base: u32) -> Option<i128> {
    let text = text.trim_matches(is_space).replace('_', "").to_ascii_lowercase();
    let (sign, digits) = match text.strip_prefix('-') {
        Some(digits) => (-1, digits),
        None => (1, text.strip_prefix('+').unwrap_or(&text)),
    };
    let prefixed = |prefix: &str| digits.strip_prefix(prefix);
    let (digits, base) = match base {
        16 => (prefixed("0x").unwrap_or(digits), 16),
        8 => (prefixed("0o").unwrap_or(digits), 8),
        2 => (prefixed("0b").unwrap_or(digits), 2),
        0 => [("0x", 16), ("0o", 8), ("0b", 2)]
            .into_iter()
            .find_map(|(prefix, base)| prefixed(prefix).map(|it| (it, base)))
            .unwrap_or((digits, 10)),
        3..=36 => (digits, base),
        _ => return None,
    };
    if digits.starts_with(['+', '-']) {
        return None;
    }
    i128::from_str_radix(digits, base).ok().map(|it| it * sign)
}

fn text_float(text: &str) -> Option<f64> {
    text.trim_matches(is_space).replace('_', "").parse().ok()
}

pub(super) fn float(value: &Value, given: Rest<ValueOrKwargs>) -> Result<Value, Error> {
    let [default] = arguments("float", &given.into_values(), ["default"])?;
    if value.is_undefined() {
        return Err(wrong("float of what is undefined"));
    }
    let number = match (value.as_str(), value.kind()) {
        (Some(text), _) => text_float(text),
        (None, ValueKind::Bool) => Some(f64::from(u8::from(value.is_true()))),
        (None, _) => f64::try_from(value.clone()).ok(),
    };
    Ok(number.map_or_else(|| default.unwrap_or_else(|| Value::from(0.0)), Value::from))
}

pub(super) fn round(value: &Value, given: Rest<ValueOrKwargs>) -> Result<Value, Error> {
    let [precision, method] = arguments("round", &given.into_values(), ["precision", "method"])?;
    let precision =
        i32::try_from(whole(precision.as_ref(), 0)?).map_err(|_| wrong("round: too many digits"))?;
    if !(-300..=300).contains(&precision) {
        return Err(wrong("round: too many digits"));
    }
    let number = f64::try_from(value.clone()).map_err(|_| wrong("round takes a number"))?;
    let factor = 10_f64.powi(precision);
    match method.as_ref().map_or(Some("common"), Value::as_str) {
        Some("common") if value.is_integer() && precision >= 0 => Ok(value.clone()),
        Some("common") if precision >= 0 => {
            // The exact digits decide, ties go to the even one, as in Python.
            let digits = usize::try_from(precision).unwrap_or(0);
            let rounded = format!("{number:.digits$}").parse::<f64>();
            rounded.map(Value::from).map_err(|_| wrong("round takes a number"))
        }
        Some("common") => {
            let rounded = (number * factor).round_ties_even() / factor;
            Ok(if value.is_integer() { Value::from(truncated(rounded)?) } else { Value::from(rounded) })
        }
        Some("ceil") => Ok(Value::from((number * factor).ceil() / factor)),
        Some("floor") => Ok(Value::from((number * factor).floor() / factor)),
        _ => Err(wrong("round: the method is common, ceil or floor")),
    }
}

pub(super) fn sum(state: &mut State, value: &Value, given: Rest<ValueOrKwargs>) -> Result<Value, Error> {
    let [attribute, start] = arguments("sum", &given.into_values(), ["attribute", "start"])?;
    let (mut whole, mut real) = (0_i128, None::<f64>);
    let start = start.unwrap_or_else(|| Value::from(0));
    for item in std::iter::once(start).chain(value.try_iter()?) {
        pay(state, 64)?;
        let item = match &attribute {
            Some(path) if item.kind() != ValueKind::Number => at_path(&item, path)?,
            _ => item,
        };
        if let (true, Ok(number), None) = (item.is_integer(), i128::try_from(item.clone()), real) {
            whole = whole.checked_add(number).ok_or_else(|| wrong("sum: the numbers are too large"))?;
        } else {
            let number = f64::try_from(item).map_err(|_| wrong("sum takes numbers"))?;
            #[expect(clippy::cast_precision_loss, reason = "as Python adds an int to a float")]
            let before = real.unwrap_or(whole as f64);
            real = Some(before + number);
        }
    }
    Ok(real.map_or_else(|| Value::from(whole), Value::from))
}

/// `left % right`, for texts and numbers.
pub(super) fn percent(state: &mut State, left: &Value, right: &Value) -> Result<Value, Error> {
    if let Some(text) = left.as_str() {
        return format::percent(state, text, right).map(Value::from);
    }
    let impossible = || wrong(format!("% cannot be applied to a {} and a {}", left.kind(), right.kind()));
    if let (Ok(left), Ok(right)) = (i128::try_from(left.clone()), i128::try_from(right.clone())) {
        let rest = left.checked_rem_euclid(right).ok_or_else(|| wrong("% by zero"))?;
        return Ok(Value::from(if right < 0 && rest != 0 { rest + right } else { rest }));
    }
    let number = |it: &Value| f64::try_from(it.clone()).map_err(|_| impossible());
    let (left, right) = (number(left)?, number(right)?);
    if right == 0.0 {
        return Err(wrong("% by zero"));
    }
    let rest = left % right;
    Ok(Value::from(if rest != 0.0 && (rest < 0.0) != (right < 0.0) { rest + right } else { rest }))
}

pub(super) fn range(given: Rest<ValueOrKwargs>) -> Result<Value, Error> {
    let [first, second, step] = arguments("range", &given.into_values(), ["start", "stop", "step"])?;
    let first = whole(first.as_ref(), 0)?;
    let (start, stop) = match &second {
        Some(stop) => (first, whole(Some(stop), 0)?),
        None => (0, first),
    };
    let step = whole(step.as_ref(), 1)?;
    if step == 0 {
        return Err(wrong("range: the step is zero"));
    }
    let span =
        if step > 0 { i128::from(stop) - i128::from(start) } else { i128::from(start) - i128::from(stop) };
    let width = i128::from(step.unsigned_abs());
    let length = usize::try_from((span + width - 1).max(0) / width).unwrap_or(usize::MAX);
    if length > RANGE_MAX {
        return Err(wrong(format!("range: more than {RANGE_MAX} numbers")));
    }
    Ok(Value::from_object(Range { start, stop, step, length }))
}
