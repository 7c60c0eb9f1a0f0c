//! Makes replies follow a JSON schema, a regular expression or a tool call's form.
//!
//! A form comes from a client, and compiling one may take any time and any memory. So one that is not plainly cheap is
//! compiled on trial first, by a process of its own that has bounds and may be killed ([`trial`]); what passes is compiled
//! here, at a bounded number of places, on a thread with a deep stack.

use std::fmt;
use std::time::{Duration, Instant};

use llguidance::Matcher;
use llguidance::api::{GrammarWithLexer, ParserLimits, StopReason, TopLevelGrammar};
use llguidance::toktrie::SimpleVob;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

mod compiler;
mod plain;
pub mod trial;

pub use compiler::Compiler;

/// Longest computing of the tokens that may come next. It is the model's thread that waits, and with it every reply.
const MASK_MAX: Duration = Duration::from_secs(1);
/// Stack of a thread that compiles: a few frames for each part of a schema, of which there may be 4,096.
const STACK_BYTES: usize = 128 << 20;

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
    /// It cannot be followed, in llguidance's words.
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
    fn grammar(self) -> TopLevelGrammar {
        let mut grammars = Vec::new();
        self.add_to(&mut grammars);
        TopLevelGrammar { grammars, max_tokens: None }
    }

    /// Puts its grammars behind those that are there; the first of them is its own.
    fn add_to(self, grammars: &mut Vec<GrammarWithLexer>) {
        let place = grammars.len();
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
                let lark = format!("start: @g{} | @g{second}\n", place + 1);
                grammars[place] = GrammarWithLexer::from_lark(lark);
                name(grammars, place);
                return;
            }
        };
        grammars.push(grammar);
        name(grammars, place);
    }
}

fn name(grammars: &mut [GrammarWithLexer], place: usize) {
    if let Some(it) = grammars.get_mut(place) {
        it.name = Some(format!("g{place}"));
    }
}

/// What compiling and following a form may take. In llguidance's own units; see its `ParserLimits`.
fn limits() -> ParserLimits {
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

/// Follows one reply through its form.
pub struct Grammar(Matcher);

impl Grammar {
    /// The tokens that may come next.
    ///
    /// # Errors
    /// When the form became too costly to follow.
    pub fn mask(&mut self) -> Result<SimpleVob, FormError> {
        let started = Instant::now();
        let mask =
            self.0.compute_mask_or_eos().map_err(|it| FormError::Unfit(first_line(&it.to_string())))?;
        self.check()?;
        let took = started.elapsed();
        if took > MASK_MAX {
            return Err(FormError::Unfit(format!(
                "it took {} ms to tell what may come next",
                took.as_millis()
            )));
        }
        Ok(mask)
    }

    /// Takes the next token; true when nothing more can follow.
    ///
    /// # Errors
    /// When the form became too costly to follow.
    pub fn advance(&mut self, token: u32) -> Result<bool, FormError> {
        self.0.consume_token(token).map_err(|it| FormError::Unfit(first_line(&it.to_string())))?;
        self.check()?;
        Ok(self.0.is_stopped())
    }

    /// The same form, for another reply.
    #[must_use]
    pub fn fork(&self) -> Self {
        Self(self.0.deep_clone())
    }

    /// A grammar that gave up looks like one that has ended.
    fn check(&self) -> Result<(), FormError> {
        match self.0.stop_reason() {
            StopReason::LexerTooComplex | StopReason::ParserTooComplex => {
                Err(FormError::Unfit("it is too complex to follow".to_owned()))
            }
            StopReason::InternalError | StopReason::Cancelled => {
                let words = self.0.get_error().unwrap_or_else(|| "it could not be followed".to_owned());
                Err(FormError::Unfit(first_line(&words)))
            }
            StopReason::NotStopped
            | StopReason::MaxTokensTotal
            | StopReason::MaxTokensParser
            | StopReason::NoExtension
            | StopReason::NoExtensionBias
            | StopReason::EndOfSentence => Ok(()),
        }
    }
}

impl fmt::Debug for Grammar {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Grammar")
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

/// The library's words for what went wrong, without advice about options that a client does not have.
fn first_line(error: &str) -> String {
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
