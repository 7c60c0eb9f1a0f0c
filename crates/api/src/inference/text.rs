//! A text of a request or an answer.

use std::borrow::Cow;

use serde::{Deserialize, Serialize};

/// A text that borrows where the JSON has no escapes, also inside `Option` and `Vec`.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Text<'a>(#[serde(borrow)] pub Cow<'a, str>);

impl Text<'_> {
    /// Borrows the text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}
