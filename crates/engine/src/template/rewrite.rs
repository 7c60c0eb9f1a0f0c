//! Writes a template's tokens down again in the form that the template library reads: white space decided, texts
//! without Python's escapes, what the library lacks rewritten to what it has, and nothing nested or chained so deep that its
//! recursion could not bear it.

use super::bounds::{Blocks, check, check_defaults};
use super::fault::Fault;
use super::lexer::{Kind, Token, lex};
use super::operators::{concatenations, depths, joined, percents, position, without_plus};

/// The filter that gives a loop what it goes over in the library's form.
pub(super) const EACH: &str = "dedi_each";

/// The filter that checks what a variable is set to: a loop may not pile values up.
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
