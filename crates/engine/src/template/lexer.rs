//! Cuts a template into tokens as Jinja2 does with `trim_blocks` and `lstrip_blocks`: what white space a tag takes with
//! it is decided here, and texts in quotes are read as Python reads them.

use super::fault::Fault;

/// A token of a template.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// Text outside of tags, as it reaches the prompt.
    Data(String),
    /// `{{`
    PrintBegin,
    /// `}}`
    PrintEnd,
    /// `{%`
    TagBegin,
    /// `%}`
    TagEnd,
    /// A name or a keyword.
    Name(String),
    /// What a quoted text means.
    Text(String),
    /// A number as it is written.
    Number(String),
    /// An operator or a bracket.
    Op(&'static str),
}

/// A token and the line it is on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Token {
    pub(super) kind: Kind,
    pub(super) line: usize,
}

impl Token {
    pub(super) fn is(&self, op: &str) -> bool {
        matches!(&self.kind, Kind::Op(it) if *it == op)
    }

    pub(super) fn name(&self) -> Option<&str> {
        match &self.kind {
            Kind::Name(it) => Some(it),
            Kind::Data(_)
            | Kind::PrintBegin
            | Kind::PrintEnd
            | Kind::TagBegin
            | Kind::TagEnd
            | Kind::Text(_)
            | Kind::Number(_)
            | Kind::Op(_) => None,
        }
    }
}

// The longer ones first.
const OPERATORS: [&str; 26] = [
    "//", "**", "==", "!=", ">=", "<=", "+", "-", "/", "*", "%", "~", "[", "]", "(", ")", "{", "}", ">", "<",
    "=", ".", ":", "|", ",", ";",
];

/// The tokens of a template.
pub(super) fn lex(source: &str) -> Result<Vec<Token>, Fault> {
    let source = source.replace("\r\n", "\n").replace('\r', "\n");
    let source = source.strip_suffix('\n').unwrap_or(&source);
    let mut lexer = Lexer { source, at: 0, line: 1, counted: 0, line_begins: true, tokens: Vec::new() };
    lexer.run()?;
    Ok(lexer.tokens)
}

struct Lexer<'a> {
    source: &'a str,
    at: usize,
    line: usize,
    /// Up to where lines are counted.
    counted: usize,
    /// Whether what was read last ended with a line.
    line_begins: bool,
    tokens: Vec<Token>,
}

impl<'a> Lexer<'a> {
    fn run(&mut self) -> Result<(), Fault> {
        while let Some(tag) = next_tag(self.source, self.at) {
            let text = &self.source[self.at..tag];
            let begin = &self.source[tag..tag + 2];
            let inside = &self.source[tag + 2..];
            let sign = sign(inside);
            let text = self.stripped(text, sign, begin == "{{");
            self.push(Kind::Data(text.to_owned()));
            self.at = tag;
            if begin == "{%"
                && let Some(length) = raw_begin(inside)
            {
                self.move_to(tag + 2 + length);
                self.raw()?;
                continue;
            }
            self.move_to(tag + 2 + usize::from(sign.is_some()));
            match begin {
                "{#" => self.comment()?,
                "{%" => self.tag(Kind::TagBegin, Kind::TagEnd)?,
                _ => self.tag(Kind::PrintBegin, Kind::PrintEnd)?,
            }
        }
        let rest = &self.source[self.at..];
        self.push(Kind::Data(rest.to_owned()));
        Ok(())
    }

    /// The text before a tag without what the tag takes away.
    fn stripped(&self, text: &'a str, sign: Option<char>, prints: bool) -> &'a str {
        match sign {
            Some('-') => text.trim_end_matches(is_space),
            None if !prints => {
                let line = text.rfind('\n').map_or(0, |it| it + 1);
                let is_blank = text[line..].chars().all(is_space);
                // On a line that something else began, the white space stays.
                if is_blank && !text[line..].is_empty() && (line > 0 || self.line_begins) {
                    &text[..line]
                } else {
                    text
                }
            }
            Some(_) | None => text,
        }
    }

    fn push(&mut self, kind: Kind) {
        if !matches!(&kind, Kind::Data(text) if text.is_empty()) {
            self.tokens.push(Token { kind, line: self.line });
        }
    }

    fn move_to(&mut self, at: usize) {
        self.at = at;
        let passed = &self.source[self.counted..at];
        self.line += passed.matches('\n').count();
        self.line_begins = if passed.is_empty() { self.line_begins } else { passed.ends_with('\n') };
        self.counted = at;
    }

    fn comment(&mut self) -> Result<(), Fault> {
        let Some(end) = self.source[self.at..].find("#}").map(|it| self.at + it) else {
            return Err(self.fault("a comment has no end"));
        };
        let before = self.source[self.at..end].chars().next_back();
        self.end_of_tag(end + 2, before);
        Ok(())
    }

    /// What follows a raw block's beginning, up to its end.
    fn raw(&mut self) -> Result<(), Fault> {
        let mut from = self.at;
        while let Some(tag) = self.source[from..].find("{%").map(|it| from + it) {
            let inside = &self.source[tag + 2..];
            let sign = sign(inside);
            let word = inside[usize::from(sign.is_some())..].trim_start_matches(is_space);
            let Some(after) = word.strip_prefix("endraw").map(|it| it.trim_start_matches(is_space)) else {
                from = tag + 2;
                continue;
            };
            let closing = after.chars().next().filter(|it| matches!(it, '+' | '-'));
            if !after[usize::from(closing.is_some())..].starts_with("%}") {
                from = tag + 2;
                continue;
            }
            let text = self.stripped(&self.source[self.at..tag], sign, false);
            self.push(Kind::Data(text.to_owned()));
            let end = self.source.len() - after.len() + usize::from(closing.is_some()) + 2;
            self.end_of_tag(end, closing);
            return Ok(());
        }
        Err(self.fault("a raw block has no end"))
    }

    /// Passes a tag's end, and what it takes away behind it.
    fn end_of_tag(&mut self, end: usize, sign: Option<char>) {
        let behind = &self.source[end..];
        let taken = match sign {
            Some('-') => behind.len() - behind.trim_start_matches(is_space).len(),
            Some('+') => 0,
            Some(_) | None => usize::from(behind.starts_with('\n')),
        };
        self.move_to(end + taken);
    }

    fn tag(&mut self, begin: Kind, end: Kind) -> Result<(), Fault> {
        let prints = begin == Kind::PrintBegin;
        self.push(begin);
        let mut open: Vec<&'static str> = Vec::new();
        loop {
            let rest = &self.source[self.at..];
            if open.is_empty() && self.tag_end(rest, prints) {
                self.tokens.push(Token { kind: end, line: self.line });
                return Ok(());
            }
            let Some(first) = rest.chars().next() else {
                return Err(self.fault("a tag has no end"));
            };
            if is_space(first) {
                self.move_to(self.source.len() - rest.trim_start_matches(is_space).len());
            } else if first.is_ascii_digit() {
                let length = number_length(rest, self.source[..self.at].ends_with('.'));
                self.push(Kind::Number(rest[..length].to_owned()));
                self.move_to(self.at + length);
            } else if first == '_' || first.is_alphanumeric() {
                let length = rest.find(|it: char| it != '_' && !it.is_alphanumeric()).unwrap_or(rest.len());
                self.push(Kind::Name(rest[..length].to_owned()));
                self.move_to(self.at + length);
            } else if first == '\'' || first == '"' {
                self.text(rest, first)?;
            } else if let Some(op) = OPERATORS.into_iter().find(|it| rest.starts_with(*it)) {
                self.bracket(op, &mut open)?;
                self.push(Kind::Op(op));
                self.move_to(self.at + op.len());
            } else {
                return Err(self.fault(format!("the character {first:?} means nothing here")));
            }
        }
    }

    fn bracket(&self, op: &'static str, open: &mut Vec<&'static str>) -> Result<(), Fault> {
        let closing = match op {
            "(" => ")",
            "[" => "]",
            "{" => "}",
            ")" | "]" | "}" => {
                return if open.pop() == Some(op) {
                    Ok(())
                } else {
                    Err(self.fault(format!("a {op} closes nothing")))
                };
            }
            _ => return Ok(()),
        };
        open.push(closing);
        Ok(())
    }

    /// Passes the end of a tag, if it is here.
    fn tag_end(&mut self, rest: &str, prints: bool) -> bool {
        let close = if prints { "}}" } else { "%}" };
        let sign = rest.chars().next().filter(|it| *it == '-' || (*it == '+' && !prints));
        if !rest[usize::from(sign.is_some())..].starts_with(close) {
            return false;
        }
        let end = self.at + usize::from(sign.is_some()) + 2;
        if prints && sign.is_none() {
            self.move_to(end)
        } else {
            self.end_of_tag(end, sign)
        }
        true
    }

    fn text(&mut self, rest: &str, quote: char) -> Result<(), Fault> {
        let mut escaped = false;
        let end = rest.char_indices().skip(1).find(|&(_, it)| {
            let ends = it == quote && !escaped;
            escaped = it == '\\' && !escaped;
            ends
        });
        let Some((end, _)) = end else {
            return Err(self.fault("a text in quotes has no end"));
        };
        let value = unescaped(&rest[1..end]).map_err(|why| self.fault(why))?;
        self.push(Kind::Text(value));
        self.move_to(self.at + end + 1);
        Ok(())
    }

    fn fault(&self, message: impl Into<String>) -> Fault {
        Fault { line: self.line, message: message.into() }
    }
}

/// White space as Python has it: beside Unicode's, four control characters.
pub(super) fn is_space(it: char) -> bool {
    it.is_whitespace() || ('\u{1c}'..='\u{1f}').contains(&it)
}

fn next_tag(source: &str, from: usize) -> Option<usize> {
    let bytes = source.as_bytes();
    let mut at = from;
    while let Some(brace) = source[at..].find('{').map(|it| at + it) {
        if matches!(bytes.get(brace + 1), Some(b'{' | b'%' | b'#')) {
            return Some(brace);
        }
        at = brace + 1;
    }
    None
}

fn sign(inside: &str) -> Option<char> {
    inside.chars().next().filter(|it| matches!(it, '-' | '+'))
}

/// How long the rest of a raw block's beginning is, behind `{%`.
fn raw_begin(inside: &str) -> Option<usize> {
    let word = inside[usize::from(sign(inside).is_some())..].trim_start_matches(is_space);
    let after = word.strip_prefix("raw")?.trim_start_matches(is_space);
    let rest = match after.strip_prefix("-%}") {
        Some(rest) => rest.trim_start_matches(is_space),
        None => after.strip_prefix("%}")?,
    };
    Some(inside.len() - rest.len())
}

fn number_length(rest: &str, after_dot: bool) -> usize {
    let digits = |from: usize, is_digit: fn(char) -> bool| {
        let mut end = from;
        for (at, it) in rest[from..].char_indices() {
            if is_digit(it) {
                end = from + at + 1;
            } else if it != '_' {
                break;
            }
        }
        end
    };
    let decimal: fn(char) -> bool = |it| it.is_ascii_digit();
    let prefix = rest.get(..2).unwrap_or("").to_ascii_lowercase();
    match prefix.as_str() {
        "0x" => return digits(2, |it| it.is_ascii_hexdigit()),
        "0o" => return digits(2, |it| ('0'..='7').contains(&it)),
        "0b" => return digits(2, |it| matches!(it, '0' | '1')),
        _ => {}
    }
    let whole = digits(0, decimal);
    if after_dot {
        return whole;
    }
    let mut end = whole;
    if rest[end..].starts_with('.') && rest[end + 1..].starts_with(decimal) {
        end = digits(end + 1, decimal);
    }
    if rest[end..].starts_with(['e', 'E']) {
        let signed = end + 1 + usize::from(rest[end + 1..].starts_with(['+', '-']));
        if rest[signed..].starts_with(decimal) {
            end = digits(signed, decimal);
        }
    }
    end
}

/// What a text in quotes means to Python.
fn unescaped(text: &str) -> Result<String, String> {
    if !text.contains('\\') {
        return Ok(text.to_owned());
    }
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find('\\') {
        out.push_str(&rest[..at]);
        let Some(what) = rest[at + 1..].chars().next() else { break };
        rest = &rest[at + 1 + what.len_utf8()..];
        let simple = match what {
            '\n' => continue,
            '\\' | '\'' | '"' => what,
            'a' => '\u{7}',
            'b' => '\u{8}',
            'f' => '\u{c}',
            'n' => '\n',
            'r' => '\r',
            't' => '\t',
            'v' => '\u{b}',
            'x' => code(&mut rest, 2)?,
            'u' => code(&mut rest, 4)?,
            'U' => code(&mut rest, 8)?,
            'N' => {
                return Err("characters by name (\\N{…}) are not supported; write the character".to_owned());
            }
            '0'..='7' => {
                let more = rest.bytes().take(2).take_while(|it| (b'0'..=b'7').contains(it)).count();
                let digits = format!("{what}{}", &rest[..more]);
                rest = &rest[more..];
                u32::from_str_radix(&digits, 8).ok().and_then(char::from_u32).unwrap_or(what)
            }
            other => {
                out.push('\\');
                other
            }
        };
        out.push(simple);
    }
    out.push_str(rest);
    Ok(out)
}

/// The character whose number stands in so many hexadecimal digits.
fn code(rest: &mut &str, digits: usize) -> Result<char, String> {
    let number = rest.get(..digits).filter(|digits| digits.bytes().all(|it| it.is_ascii_hexdigit()));
    let found = number.and_then(|it| u32::from_str_radix(it, 16).ok()).and_then(char::from_u32);
    let found = found.ok_or_else(|| "an escape (\\x, \\u or \\U) in a text names no character".to_owned())?;
    *rest = &rest[digits..];
    Ok(found)
}
