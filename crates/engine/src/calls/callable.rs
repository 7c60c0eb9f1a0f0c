//! What may be called.

use serde_json::Value;

use super::schema::{Parameters, Types};

/// What may be called.
#[derive(Debug, Default)]
pub struct Callable {
    pub(super) functions: Vec<Function>,
    /// Whether the reply is a call whatever it says, because a grammar makes it one.
    pub must_call: bool,
    /// Whether a reply ends with its first call.
    pub only_one: bool,
    /// Whether a call is told while it comes, and not only when it is whole.
    pub in_fragments: bool,
}

#[derive(Debug)]
pub(super) struct Function {
    pub(super) name: String,
    parameters: Parameters,
}

impl Callable {
    /// The functions by name, with the schemas of what they take.
    #[must_use]
    pub fn new(functions: impl IntoIterator<Item = (String, Option<Value>)>) -> Self {
        let functions = functions
            .into_iter()
            .map(|(name, schema)| Function { name, parameters: Parameters::new(schema) })
            .collect();
        Self { functions, ..Self::default() }
    }

    pub(super) fn find(&self, name: &str) -> Option<usize> {
        self.functions.iter().position(|it| it.name == name)
    }

    /// Whether a function's name begins so.
    pub(super) fn may_begin(&self, name: &str) -> bool {
        self.functions.iter().any(|it| it.name.starts_with(name))
    }

    pub(super) fn name(&self, function: usize) -> &str {
        self.functions.get(function).map_or("", |it| &it.name)
    }

    pub(super) fn types(&self, function: usize, argument: &str) -> Types {
        self.functions.get(function).map_or_else(Types::text, |it| it.parameters.types(argument))
    }
}
