//! What `--output` takes.

use clap::ValueEnum;
use serde::Serialize;

/// The form in which a command prints the objects of its answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Output {
    /// Text with every column and full timestamps
    Wide,
    /// JSON, as the server answered
    Json,
    /// The same as YAML
    Yaml,
    /// Ids only, one per line
    Name,
}

impl Output {
    /// The value as text that programs read; none where the form is for people or has ids only.
    ///
    /// # Errors
    ///
    /// Why it can't be written in that form, as a sentence.
    pub fn render(self, value: &impl Serialize) -> Result<Option<String>, String> {
        let wrong =
            |err: &dyn std::error::Error, form| format!("could not write the answer as {form}: {err}");
        match self {
            Self::Wide | Self::Name => Ok(None),
            Self::Json => {
                let text = serde_json::to_string_pretty(value).map_err(|err| wrong(&err, "JSON"))?;
                Ok(Some(format!("{text}\n")))
            }
            Self::Yaml => serde_saphyr::to_string(value).map(Some).map_err(|err| wrong(&err, "YAML")),
        }
    }
}
