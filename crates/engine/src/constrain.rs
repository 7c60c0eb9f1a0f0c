//! Makes replies follow a JSON schema, a regular expression or a tool call's form.

use std::fmt;
use std::sync::{Mutex, OnceLock, PoisonError};

use llama_cpp_2::model::LlamaModel;
use llama_cpp_2::sampling::LlamaSampler;
use llguidance::api::TopLevelGrammar;
use llguidance::toktrie::SimpleVob;
use llguidance::{Matcher, ParserFactory};
use serde_json::{Value, json};

/// What a reply must look like.
#[derive(Clone, Debug, PartialEq)]
pub enum Form {
    /// Any JSON object.
    JsonObject,
    /// JSON that follows this schema.
    JsonSchema(Value),
    /// Text that this pattern matches as a whole.
    Regex(String),
    /// A grammar in llguidance's Lark syntax.
    Lark(String),
}

/// A form that cannot be followed, in llguidance's words.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct FormError(String);

/// Follows one reply through its form.
pub struct Grammar(Matcher);

impl Grammar {
    /// The tokens that may come next.
    ///
    /// # Errors
    /// When the form became too costly to follow.
    pub fn mask(&mut self) -> Result<SimpleVob, FormError> {
        self.0.compute_mask_or_eos().map_err(|it| FormError(first_line(&it.to_string())))
    }

    /// Takes the next token; true when nothing more can follow.
    pub fn advance(&mut self, token: u32) -> bool {
        self.0.consume_token(token).is_err() || self.0.is_stopped()
    }

    /// The same form, for another reply.
    #[must_use]
    pub fn fork(&self) -> Self {
        Self(self.0.deep_clone())
    }
}

impl fmt::Debug for Grammar {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Grammar")
    }
}

/// Makes grammars. The first one reads the whole vocabulary, the others share what it read.
#[derive(Default)]
pub struct Constraints {
    factory: OnceLock<Result<Mutex<ParserFactory>, String>>,
}

impl Constraints {
    /// Follows a reply in this form.
    ///
    /// # Errors
    /// When the schema or pattern is not one, or is larger than the limits.
    pub fn grammar(&self, model: &LlamaModel, form: Form) -> Result<Grammar, FormError> {
        let factory = self.factory.get_or_init(|| {
            let mut factory = ParserFactory::new_simple(&LlamaSampler::llguidance_tok_env(model))
                .map_err(|it| it.to_string())?;
            factory.quiet();
            factory.limits_mut().verbose_errors = false;
            Ok(Mutex::new(factory))
        });
        let factory = factory.as_ref().map_err(|it| FormError(it.clone()))?;
        let grammar = match form {
            Form::JsonObject => TopLevelGrammar::from_json_schema(compact(json!({"type": "object"}))),
            Form::JsonSchema(schema) => TopLevelGrammar::from_json_schema(compact(schema)),
            Form::Regex(pattern) => TopLevelGrammar::from_regex(&pattern),
            Form::Lark(lark) => TopLevelGrammar::from_lark(lark),
        };
        let parser = factory.lock().unwrap_or_else(PoisonError::into_inner).create_parser(grammar);
        let matcher = Matcher::new(parser);
        match matcher.get_error() {
            Some(error) => Err(FormError(first_line(&error))),
            None => Ok(Grammar(matcher)),
        }
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

fn first_line(error: &str) -> String {
    error.lines().next().unwrap_or_default().trim_end_matches([':', '.', ' ']).to_owned()
}
