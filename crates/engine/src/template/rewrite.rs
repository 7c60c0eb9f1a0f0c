//! Writes a template's tokens down again in the form that the template library reads: white space decided, texts
//! without Python's escapes, what the library lacks put in other words, and nothing nested or chained so deep that its
//! recursion could not bear it.

use super::Fault;
use super::lexer::{Kind, Token, lex};

// Published templates nest some ten blocks; the library's parser goes 150 deep at most, blocks and brackets together.
const BLOCKS_DEEP_MAX: usize = 48;
const BRACKETS_DEEP_MAX: usize = 48;
// The library walks a chain such as `a + b + c` by recursion, one level an operator. Published templates have some forty in
// a tag.
const OPERATORS_MAX: usize = 600;
// Likewise for each `elif` of an `if`; published templates have some twenty.
const BRANCHES_MAX: usize = 200;

/// The filter that stands for the operator `%`, which the library has for numbers only.
pub(super) const PERCENT: &str = "dedi_percent";

/// The filter that gives a loop what it goes over in the library's form.
pub(super) const EACH: &str = "dedi_each";

/// The filter that looks at what a variable is set to: a loop may not pile values up.
pub(super) const KEPT: &str = "dedi_kept";

const TAGS: [&str; 29] = [
    "for",
    "endfor",
    "if",
    "elif",
    "else",
    "endif",
    "block",
    "endblock",
    "extends",
    "print",
    "macro",
    "endmacro",
    "include",
    "from",
    "import",
    "set",
    "endset",
    "with",
    "endwith",
    "call",
    "endcall",
    "filter",
    "endfilter",
    "generation",
    "endgeneration",
    "break",
    "continue",
    "autoescape",
    "endautoescape",
];
// What macros have in Jinja2 without naming it.
const UNNAMED: [&str; 2] = ["varargs", "kwargs"];
const KEYWORDS: [&str; 8] = ["if", "else", "and", "or", "not", "in", "is", "recursive"];

/// The template in the library's form. Lines keep their numbers.
pub(super) fn rewrite(source: &str) -> Result<String, Fault> {
    let tokens = lex(source)?;
    let mut out = Writer { text: String::with_capacity(source.len() + 64), line: 1 };
    let mut blocks = Blocks::default();
    let mut rest = &tokens[..];
    while let Some((token, after)) = rest.split_first() {
        rest = match &token.kind {
            Kind::Data(text) => {
                out.data(text);
                after
            }
            Kind::PrintBegin => {
                let end = after.iter().position(|it| it.kind == Kind::PrintEnd).unwrap_or(after.len());
                blocks.check_names(&after[..end])?;
                out.put("{{");
                out.expression(&after[..end])?;
                out.put(" }}");
                after.get(end + 1..).unwrap_or_default()
            }
            Kind::TagBegin => {
                let end = after.iter().position(|it| it.kind == Kind::TagEnd).unwrap_or(after.len());
                blocks.enter(token.line, &after[..end])?;
                blocks.check_names(&after[..end])?;
                out.tag(token.line, &after[..end])?;
                after.get(end + 1..).unwrap_or_default()
            }
            Kind::PrintEnd | Kind::TagEnd | Kind::Name(_) | Kind::Text(_) | Kind::Number(_) | Kind::Op(_) => {
                after
            }
        };
    }
    Ok(out.text)
}

/// Which blocks are open.
#[derive(Default)]
struct Blocks {
    /// Of each, how many branches it has.
    open: Vec<usize>,
    /// How many of them are macros.
    macros: Vec<usize>,
}

impl Blocks {
    /// Refuses what a macro has by itself in Jinja2 and here only when it is one of its arguments.
    fn check_names(&self, tokens: &[Token]) -> Result<(), Fault> {
        if self.macros.is_empty() {
            return Ok(());
        }
        for (at, token) in tokens.iter().enumerate() {
            let is_own = at.checked_sub(1).and_then(|it| tokens.get(it)).is_none_or(|it| !it.is("."));
            let names = tokens.get(at + 1).is_some_and(|it| it.is("="));
            if let Some(name) = token.name().filter(|it| UNNAMED.contains(it) && is_own && !names) {
                let message = format!("{name} in a macro is not supported; name its arguments");
                return Err(Fault { line: token.line, message });
            }
        }
        Ok(())
    }

    fn enter(&mut self, line: usize, tag: &[Token]) -> Result<(), Fault> {
        let name = tag.first().and_then(Token::name).unwrap_or_default();
        let opens = match name {
            "set" => !tag.iter().any(|it| it.is("=")),
            "for" | "if" | "block" | "macro" | "with" | "autoescape" | "call" | "filter" | "generation" => {
                true
            }
            _ => false,
        };
        if name.starts_with("end") {
            self.open.pop();
            if self.macros.last() == Some(&self.open.len()) {
                self.macros.pop();
            }
        }
        if opens {
            if name == "macro" {
                self.macros.push(self.open.len());
            }
            self.open.push(0);
        }
        if name == "elif"
            && let Some(branches) = self.open.last_mut()
        {
            *branches += 1;
            if *branches > BRANCHES_MAX {
                return Err(Fault { line, message: format!("an if has more than {BRANCHES_MAX} branches") });
            }
        }
        if self.open.len() > BLOCKS_DEEP_MAX {
            return Err(Fault {
                line,
                message: format!("blocks are nested more than {BLOCKS_DEEP_MAX} deep"),
            });
        }
        Ok(())
    }
}

/// A macro's default that is another of its arguments would be read outside of the macro.
fn check_defaults(line: usize, macro_tag: &[Token]) -> Result<(), Fault> {
    let mut names: Vec<&str> = Vec::new();
    for pair in macro_tag.windows(2).skip(1) {
        let [before, token] = pair else { continue };
        let Some(name) = token.name() else { continue };
        if (before.is("(") || before.is(",")) && !names.contains(&name) {
            names.push(name);
        } else if names.contains(&name) && !before.is(".") {
            let message = format!("a macro's default is its argument {name}, which is not supported");
            return Err(Fault { line, message });
        }
    }
    Ok(())
}

struct Writer {
    text: String,
    line: usize,
}

impl Writer {
    fn put(&mut self, text: &str) {
        self.line += text.matches('\n').count();
        self.text.push_str(text);
    }

    /// Text that is no tag, whatever it looks like.
    fn data(&mut self, text: &str) {
        if ["{{", "{%", "{#"].iter().any(|it| text.contains(it)) || text.ends_with('{') {
            self.put("{{ ");
            self.quoted(text);
            self.put(" }}");
        } else {
            self.put(text);
        }
    }

    fn quoted(&mut self, text: &str) {
        let mut out = String::with_capacity(text.len() + 2);
        out.push('"');
        for it in text.chars() {
            match it {
                '"' => out.push_str("\\\""),
                '\\' => out.push_str("\\\\"),
                '\n' => out.push_str("\\n"),
                other => out.push(other),
            }
        }
        out.push('"');
        self.put(&out);
    }

    fn tag(&mut self, line: usize, tag: &[Token]) -> Result<(), Fault> {
        let name = tag.first().and_then(Token::name).unwrap_or_default();
        if !TAGS.contains(&name) {
            return Err(Fault { line, message: format!("the tag {name:?} is not known") });
        }
        if name.ends_with("autoescape") {
            return Err(Fault { line, message: "the tag autoescape is not supported".to_owned() });
        }
        match (name, tag) {
            ("macro", tag) => {
                check_defaults(line, tag)?;
                self.put("{%");
                self.expression(tag)?;
                self.put(" %}");
            }
            ("generation", _) => self.put("{% with %}"),
            ("endgeneration", _) => self.put("{% endwith %}"),
            ("print", [_, printed @ ..]) => {
                self.put("{{");
                self.expression(printed)?;
                self.put(" }}");
            }
            ("for", [_, rest @ ..]) => {
                self.put("{% for");
                let items = depths(rest).find(|(depth, it)| *depth == 0 && it.name() == Some("in"));
                let at = items.map_or(rest.len(), |(_, it)| position(rest, it) + 1);
                self.expression(&rest[..at])?;
                self.items(&rest[at..])?;
                self.put(" %}");
            }
            ("set", tag) if tag.iter().any(|it| it.is("=")) => {
                let at = tag.iter().position(|it| it.is("=")).map_or(tag.len(), |it| it + 1);
                self.put("{%");
                self.expression(&tag[..at])?;
                self.put(" (");
                self.expression(&tag[at..])?;
                self.put(&format!(" )|{KEPT} %}}"));
            }
            (_, tag) => {
                self.put("{%");
                self.expression(tag)?;
                self.put(" %}");
            }
        }
        Ok(())
    }

    /// What a loop goes over: a text's letters too, and several values without brackets.
    fn items(&mut self, rest: &[Token]) -> Result<(), Fault> {
        let end =
            depths(rest).find(|(depth, it)| *depth == 0 && matches!(it.name(), Some("if" | "recursive")));
        let end = end.map_or(rest.len(), |(_, it)| position(rest, it));
        self.put(" (");
        self.expression(&rest[..end])?;
        self.put(&format!(" )|{EACH}"));
        self.expression(&rest[end..])
    }

    fn expression(&mut self, tokens: &[Token]) -> Result<(), Fault> {
        check(tokens)?;
        let tokens = concatenations(&percents(&without_plus(&joined(tokens))));
        for token in &tokens {
            while self.line < token.line {
                self.put("\n");
            }
            self.put(" ");
            match &token.kind {
                Kind::Text(text) => self.quoted(text),
                Kind::Name(it) | Kind::Number(it) => self.put(it),
                Kind::Op(it) => {
                    // A dot, and what follows it, stand close: `1.x` and `a. b` are other things.
                    if *it == "." {
                        self.text.pop();
                    }
                    self.put(it);
                }
                Kind::Data(_) | Kind::PrintBegin | Kind::PrintEnd | Kind::TagBegin | Kind::TagEnd => {}
            }
        }
        Ok(())
    }
}

/// The tokens with the number of brackets around each.
fn depths(tokens: &[Token]) -> impl Iterator<Item = (usize, &Token)> {
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

fn position(tokens: &[Token], one: &Token) -> usize {
    tokens.iter().position(|it| std::ptr::eq(it, one)).unwrap_or(tokens.len())
}

fn is_opening(it: &Token) -> bool {
    it.is("(") || it.is("[") || it.is("{")
}

fn is_closing(it: &Token) -> bool {
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

fn check(tokens: &[Token]) -> Result<(), Fault> {
    let Some(first) = tokens.first() else { return Ok(()) };
    let line = first.line;
    if depths(tokens).any(|(depth, _)| depth > BRACKETS_DEEP_MAX) {
        return Err(Fault {
            line,
            message: format!("brackets are nested more than {BRACKETS_DEEP_MAX} deep"),
        });
    }
    // Within one pair of brackets commas part what is chained; the values of a list are no chain.
    let mut chains = vec![0_usize];
    for token in tokens {
        if is_opening(token) {
            let outer = chains.last().copied().unwrap_or(0);
            chains.push(outer + 1);
        } else if is_closing(token) && chains.len() > 1 {
            chains.pop();
            if let Some(chain) = chains.last_mut() {
                *chain += 1;
            }
        } else if token.is(",") {
            let outer = chains.len().checked_sub(2).and_then(|it| chains.get(it)).copied().unwrap_or(0);
            if let Some(chain) = chains.last_mut() {
                *chain = outer;
            }
        } else if (matches!(token.kind, Kind::Op(_)) || token.name().is_some_and(|it| KEYWORDS.contains(&it)))
            && let Some(chain) = chains.last_mut()
        {
            *chain += 1;
        }
        if chains.last().is_some_and(|it| *it > OPERATORS_MAX) {
            let message = format!("more than {OPERATORS_MAX} operators are chained in one tag");
            return Err(Fault { line: token.line, message });
        }
    }
    Ok(())
}

/// Texts that stand beside each other are one.
fn joined(tokens: &[Token]) -> Vec<Token> {
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
fn without_plus(tokens: &[Token]) -> Vec<Token> {
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
fn percents(tokens: &[Token]) -> Vec<Token> {
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
fn concatenations(tokens: &[Token]) -> Vec<Token> {
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
