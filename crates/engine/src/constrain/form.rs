//! The form of a reply, and why there is no grammar for one.

use llguidance::api::{GrammarWithLexer, ParserLimits, TopLevelGrammar};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

/// Stack of a thread that compiles: a few frames for each part of a schema, of which there may be 4,096.
pub(super) const STACK_BYTES: usize = 128 << 20;

/// What a reply must look like.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum Form {
    /// Any JSON object.
    JsonObject,
    /// JSON that follows this schema.
    JsonSchema(Value),
    /// Text that this pattern matches as a whole.
    Regex(String),
    /// A grammar in llguidance's Lark syntax.
    Lark(String),
    /// One or the other.
    Either(Box<Form>, Box<Form>),
}

/// A part of a form, by the field that asks for it.
#[derive(Clone, Debug)]
pub struct Part {
    /// The field.
    pub param: String,
    /// What it asks for.
    pub form: Form,
}

/// Why there is no grammar for a form.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum FormError {
    /// It cannot be followed; llguidance's message.
    #[error("{0}")]
    Unfit(String),
    /// As many are being compiled or wait for that as may.
    #[error("too many forms are being compiled")]
    Busy,
    /// The engine's own fault.
    #[error("{0}")]
    Internal(String),
}

impl Form {
    /// As llguidance takes it.
    pub(super) fn grammar(self) -> TopLevelGrammar {
        let mut grammars = Vec::new();
        self.add_to(&mut grammars);
        TopLevelGrammar { grammars, max_tokens: None }
    }

    /// Puts its grammars behind those that are there; the first of them is its own.
    fn add_to(self, grammars: &mut Vec<GrammarWithLexer>) {
        let index = grammars.len();
        let grammar = match self {
            Self::JsonObject => GrammarWithLexer::from_json_schema(compact(json!({"type": "object"}))),
            Self::JsonSchema(schema) => GrammarWithLexer::from_json_schema(compact(schema)),
            Self::Regex(pattern) => GrammarWithLexer::from_regex(&pattern),
            Self::Lark(lark) => GrammarWithLexer::from_lark(lark),
            Self::Either(one, other) => {
                grammars.push(GrammarWithLexer::default());
                one.add_to(grammars);
                let second = grammars.len();
                other.add_to(grammars);
                let lark = format!("start: @g{} | @g{second}\n", index + 1);
                grammars[index] = GrammarWithLexer::from_lark(lark);
                name(grammars, index);
                return;
            }
        };
        grammars.push(grammar);
        name(grammars, index);
    }
}

fn name(grammars: &mut [GrammarWithLexer], index: usize) {
    if let Some(it) = grammars.get_mut(index) {
        it.name = Some(format!("g{index}"));
    }
}

/// What compiling and following a form may take. In llguidance's own units; see its `ParserLimits`.
pub(super) fn limits() -> ParserLimits {
    ParserLimits {
        // A reply's lexer remembers its states, one or two kilobytes each.
        max_lexer_states: 50_000,
        // Each token of each constrained reply may take so much of the thread that decodes all of them.
        step_lexer_fuel: 100_000,
        step_max_items: 50_000,
        verbose_errors: false,
        ..ParserLimits::default()
    }
}

/// Without line breaks and indents: allowed as much space as they like, small models write nothing else.
#[must_use]
pub fn compact(mut schema: Value) -> Value {
    if let Some(schema) = schema.as_object_mut() {
        let how = json!({ "whitespace_flexible": false, "item_separator": ", ?", "key_separator": ": ?" });
        schema.insert("x-guidance".to_owned(), how);
    }
    schema
}

/// The library's error message, without advice about options that a client does not have.
pub(super) fn first_line(error: &str) -> String {
    let line = error.lines().next().unwrap_or_default().trim_end_matches([':', '.', ' ']);
    if line.starts_with("oneOf constraints are not supported") {
        return "one of its `oneOf`s has alternatives that the same value could satisfy; use `anyOf`, or tell them apart by a \
                required property with a `const`"
            .to_owned();
    }
    if line.contains("Current row has") {
        return "too many of its properties or alternatives could come next; use fewer, or require them"
            .to_owned();
    }
    if line.starts_with("panic") {
        return "its numbers are too large to work with together".to_owned();
    }
    line.to_owned()
}
