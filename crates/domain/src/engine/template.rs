//! Words with places that are filled in for each launch.

use std::fmt;

use serde::{Deserialize, Serialize};

/// One word of a command line or one value of an environment: text with places such as `{model}`. A brace itself is
/// written twice.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Template(Vec<Part>);

#[derive(Clone, Debug, PartialEq, Eq)]
enum Part {
    Text(String),
    Place(Placeholder),
}

/// What can be filled in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Placeholder {
    /// The model's file, or its folder.
    Model,
    /// The model's wire name.
    ModelName,
    /// The unix socket, relative to the folder that the engine works in.
    Socket,
    /// The TCP port.
    Port,
    /// Tokens of context for one request.
    Context,
    /// Tokens of context for all slots together.
    ContextTotal,
    /// Requests at the same time.
    Slots,
    /// Threads that compute.
    Threads,
    /// Layers on GPUs: more than any model has, or 0.
    GpuLayers,
    /// GPUs.
    Gpus,
    /// The engine's own folder, an absolute path.
    Folder,
}

impl Placeholder {
    /// All of them.
    pub const ALL: [Self; 11] = [
        Self::Model,
        Self::ModelName,
        Self::Socket,
        Self::Port,
        Self::Context,
        Self::ContextTotal,
        Self::Slots,
        Self::Threads,
        Self::GpuLayers,
        Self::Gpus,
        Self::Folder,
    ];

    /// As it stands between braces.
    pub fn word(self) -> &'static str {
        match self {
            Self::Model => "model",
            Self::ModelName => "model_name",
            Self::Socket => "socket",
            Self::Port => "port",
            Self::Context => "context",
            Self::ContextTotal => "context_total",
            Self::Slots => "slots",
            Self::Threads => "threads",
            Self::GpuLayers => "gpu_layers",
            Self::Gpus => "gpus",
            Self::Folder => "folder",
        }
    }
}

impl Template {
    /// Text without places.
    pub fn literal(text: &str) -> Self {
        Self(vec![Part::Text(text.to_owned())])
    }

    /// One place and nothing else.
    pub fn of(placeholder: Placeholder) -> Self {
        Self(vec![Part::Place(placeholder)])
    }

    /// Reads `--port={port}`.
    ///
    /// # Errors
    ///
    /// A sentence that names the places there are, for a brace that opens none of them.
    pub fn parse(text: &str) -> Result<Self, String> {
        let (mut parts, mut plain, mut rest) = (Vec::new(), String::new(), text);
        while let Some(at) = rest.find(['{', '}']) {
            plain.push_str(&rest[..at]);
            let from = &rest[at..];
            if let Some(after) = from.strip_prefix("{{").or_else(|| from.strip_prefix("}}")) {
                plain.push_str(&from[..1]);
                rest = after;
                continue;
            }
            let place = from.strip_prefix('{').and_then(|it| it.split_once('}'));
            let known = place.and_then(|(word, after)| {
                Some((Placeholder::ALL.into_iter().find(|it| it.word() == word)?, after))
            });
            let Some((placeholder, after)) = known else {
                let all: Vec<String> =
                    Placeholder::ALL.iter().map(|it| format!("{{{}}}", it.word())).collect();
                return Err(format!(
                    "`{text}` has a brace that opens none of {}; a brace itself is written twice",
                    all.join(", ")
                ));
            };
            if !plain.is_empty() {
                parts.push(Part::Text(std::mem::take(&mut plain)));
            }
            parts.push(Part::Place(placeholder));
            rest = after;
        }
        plain.push_str(rest);
        if !plain.is_empty() || parts.is_empty() {
            parts.push(Part::Text(plain));
        }
        Ok(Self(parts))
    }

    /// Whether it has that place.
    pub fn names(&self, placeholder: Placeholder) -> bool {
        self.0.contains(&Part::Place(placeholder))
    }

    /// The word, with each place filled in. What is filled in is not read again.
    pub fn fill(&self, value: impl Fn(Placeholder) -> String) -> String {
        let each = self.0.iter().map(|part| match part {
            Part::Text(text) => text.clone(),
            Part::Place(placeholder) => value(*placeholder),
        });
        each.collect()
    }
}

impl fmt::Display for Template {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for part in &self.0 {
            match part {
                Part::Text(text) => f.write_str(&text.replace('{', "{{").replace('}', "}}"))?,
                Part::Place(placeholder) => write!(f, "{{{}}}", placeholder.word())?,
            }
        }
        Ok(())
    }
}

impl TryFrom<String> for Template {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        Self::parse(&text)
    }
}

impl From<Template> for String {
    fn from(it: Template) -> Self {
        it.to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn template_is_filled_once_and_prints_as_it_was_written() {
        for (written, filled) in [
            ("--port={port}", "--port=7"),
            ("{model_name}:{slots}", "{port}:7"),
            (r#"{{"context": {context}}}"#, r#"{"context": 7}"#),
            ("", ""),
        ] {
            let template = Template::parse(written).unwrap();
            let value = |it| if it == Placeholder::ModelName { "{port}".to_owned() } else { "7".to_owned() };
            assert_eq!(template.fill(value), filled);
            assert_eq!(template.to_string(), written);
        }
    }

    #[test]
    fn template_with_an_unknown_place_is_refused_with_those_there_are() {
        for wrong in ["{modell}", "{", "a}", "{port", "{}"] {
            let said = Template::parse(wrong).unwrap_err();
            assert!(said.contains("{model}, {model_name}, {socket}, {port}"), "{said}");
        }
    }
}
