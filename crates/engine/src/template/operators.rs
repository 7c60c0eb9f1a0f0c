//! What the library's operators lack, rewritten to what it has: `%` for texts, `~` that prints as Python does, a plus as a sign, and
//! texts that stand beside each other.

use super::lexer::{Kind, Token};

/// The filter that stands for the operator `%`, which the library has for numbers only.
pub(super) const PERCENT: &str = "dedi_percent";

pub(super) const KEYWORDS: [&str; 8] = ["if", "else", "and", "or", "not", "in", "is", "recursive"];

/// Texts that stand beside each other are one.
pub(super) fn joined(tokens: &[Token]) -> Vec<Token> {
    let mut out: Vec<Token> = Vec::with_capacity(tokens.len());
    for token in tokens {
        if let (Some(Token { kind: Kind::Text(last), .. }), Kind::Text(next)) = (out.last_mut(), &token.kind)
        {
            last.push_str(next);
        } else {
            out.push(token.clone());
        }
    }
    out
}

/// A plus before a value changes nothing, and the library does not know it.
pub(super) fn without_plus(tokens: &[Token]) -> Vec<Token> {
    let mut out: Vec<Token> = Vec::with_capacity(tokens.len());
    for token in tokens {
        let is_sign = token.is("+") && !out.last().is_some_and(ends_value);
        if !is_sign {
            out.push(token.clone());
        }
    }
    out
}

/// `a % b` becomes `a|dedi_percent(b)`, unless another operator that binds as tightly comes before it.
pub(super) fn percents(tokens: &[Token]) -> Vec<Token> {
    let mut out: Vec<Token> = Vec::with_capacity(tokens.len());
    let mut at = 0;
    while let Some(token) = tokens.get(at) {
        at += 1;
        let begins = token.is("%").then(|| value_begins(&out)).flatten();
        let Some(begins) = begins else {
            out.push(token.clone());
            continue;
        };
        let before = begins.checked_sub(1).and_then(|it| out.get(it));
        let binds = before.is_some_and(|it| ["*", "/", "//", "%", "**", "-"].iter().any(|op| it.is(op)));
        let ends = at + value_length(&tokens[at..]);
        if binds || ends == at {
            out.push(token.clone());
            continue;
        }
        let put = |kind: Kind| Token { kind, line: token.line };
        out.extend([put(Kind::Op("|")), put(Kind::Name(PERCENT.to_owned())), put(Kind::Op("("))]);
        out.extend(percents(&tokens[at..ends]));
        out.push(put(Kind::Op(")")));
        at = ends;
    }
    out
}

/// `a ~ b` becomes `a|string ~ b|string` where the sides are plain values: so they are written as Python writes them.
pub(super) fn concatenations(tokens: &[Token]) -> Vec<Token> {
    let mut out: Vec<Token> = Vec::with_capacity(tokens.len());
    let binds = |it: &Token| ["*", "/", "//", "%", "**", "-"].iter().any(|op| it.is(op));
    let is_test = |it: &Token| matches!(it.name(), Some("is" | "not"));
    let mut ends = None;
    for (at, token) in tokens.iter().enumerate() {
        let put = |kind: Kind| Token { kind, line: token.line };
        if token.is("~") {
            let begins = value_begins(&out);
            let before = begins.and_then(|it| it.checked_sub(1)).and_then(|it| out.get(it));
            if begins.is_some() && ends != Some(at) && !before.is_some_and(|it| binds(it) || is_test(it)) {
                out.extend([put(Kind::Op("|")), put(Kind::Name("string".to_owned()))]);
            }
        }
        if ends == Some(at) {
            out.extend([put(Kind::Op("|")), put(Kind::Name("string".to_owned()))]);
        }
        out.push(token.clone());
        if token.is("~") {
            let end = at + 1 + value_length(&tokens[at + 1..]);
            let is_plain =
                tokens.get(at + 1).is_some_and(|it| !it.is("-") && !matches!(it.kind, Kind::Text(_)));
            let goes_on = tokens.get(end).is_some_and(|it| binds(it) || is_test(it));
            ends = Some(end).filter(|it| is_plain && !goes_on && *it > at + 1);
        }
    }
    if ends == Some(tokens.len())
        && let Some(line) = tokens.last().map(|it| it.line)
    {
        out.extend([Kind::Op("|"), Kind::Name("string".to_owned())].map(|kind| Token { kind, line }));
    }
    out
}

/// The tokens with the number of brackets around each.
pub(super) fn depths(tokens: &[Token]) -> impl Iterator<Item = (usize, &Token)> {
    let mut depth = 0_usize;
    tokens.iter().map(move |it| {
        if is_closing(it) {
            depth = depth.saturating_sub(1);
        }
        let here = depth;
        depth += usize::from(is_opening(it));
        (here, it)
    })
}

pub(super) fn position(tokens: &[Token], one: &Token) -> usize {
    tokens.iter().position(|it| std::ptr::eq(it, one)).unwrap_or(tokens.len())
}

pub(super) fn is_opening(it: &Token) -> bool {
    it.is("(") || it.is("[") || it.is("{")
}

pub(super) fn is_closing(it: &Token) -> bool {
    it.is(")") || it.is("]") || it.is("}")
}

/// Whether a value ends with this token.
fn ends_value(it: &Token) -> bool {
    match &it.kind {
        Kind::Text(_) | Kind::Number(_) => true,
        Kind::Name(name) => !KEYWORDS.contains(&name.as_str()),
        Kind::Op(_) => is_closing(it),
        Kind::Data(_) | Kind::PrintBegin | Kind::PrintEnd | Kind::TagBegin | Kind::TagEnd => false,
    }
}

/// Where the value begins that the tokens end with, with its attributes, calls and filters.
fn value_begins(tokens: &[Token]) -> Option<usize> {
    let mut at = tokens.len();
    loop {
        let last = tokens.get(at.checked_sub(1)?)?;
        if !ends_value(last) {
            return None;
        }
        at -= 1;
        if is_closing(last) {
            let mut depth = 1_usize;
            while depth > 0 {
                at = at.checked_sub(1)?;
                depth += usize::from(is_closing(&tokens[at]));
                depth -= usize::from(is_opening(&tokens[at]));
            }
        }
        let before = at.checked_sub(1).and_then(|it| tokens.get(it));
        let goes_on =
            tokens.get(at).is_some_and(is_opening) && !tokens[at].is("{") && before.is_some_and(ends_value);
        if goes_on {
            continue;
        }
        if !before.is_some_and(|it| it.is(".") || it.is("|")) {
            return Some(at);
        }
        at -= 1;
    }
}

/// How many tokens the value has that comes first, with its sign, attributes, calls, filters and powers.
fn value_length(tokens: &[Token]) -> usize {
    let mut at = 0;
    while tokens.get(at).is_some_and(|it| it.is("-")) {
        at += 1;
    }
    let begins = at;
    while let Some(token) = tokens.get(at) {
        let is_first = at == begins;
        if is_opening(token) && (is_first || !token.is("{")) {
            let mut depth = 0_usize;
            while let Some(it) = tokens.get(at) {
                depth += usize::from(is_opening(it));
                depth -= usize::from(is_closing(it)).min(depth);
                at += 1;
                if depth == 0 {
                    break;
                }
            }
        } else if is_first && ends_value(token) {
            at += 1;
        } else if !is_first && (token.is(".") || token.is("|")) {
            at += 2;
        } else if !is_first && token.is("**") {
            at += 1;
            at += value_length(&tokens[at..]);
            break;
        } else {
            break;
        }
    }
    at.min(tokens.len())
}
