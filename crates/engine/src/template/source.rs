//! Where a model's chat template comes from: a file that the operator put beside the model, else the model's own file.

use std::fs;
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};

use crate::model::LoadError;

use super::{SOURCE_BYTES_MAX, TemplateError};

/// The name of a file beside a model that stands for the model's own template.
pub const FILE: &str = "chat_template.jinja";

// A template for models that bring none, in the most common form.
const PLAIN: &str = "{% for message in messages %}<|im_start|>{{ message.role }}\n{{ message.content }}<|im_end|>\n\
                     {% endfor %}{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}";

/// A template and where it is from.
#[derive(Debug, PartialEq, Eq)]
pub struct Source {
    /// The template.
    pub text: String,
    /// Where it is from.
    pub origin: Origin,
}

/// Where a template is from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Origin {
    /// A file that somebody put beside the model.
    File(PathBuf),
    /// The model's own file.
    Model,
    /// The model has none.
    Nowhere,
}

impl Origin {
    /// Why a model can't be loaded with this template: the sentence names the file the template is in.
    #[must_use]
    pub fn refuses(&self, model: &Path, error: &TemplateError) -> LoadError {
        let path = match self {
            Self::File(path) => path,
            Self::Model | Self::Nowhere => model,
        };
        LoadError::Template { path: path.to_owned(), cause: error.to_string() }
    }
}

/// The template for a model; `own` gives the one in its file. A template without a letter counts as absent.
///
/// # Errors
/// When there is a file beside the model that cannot be read.
pub fn find(model: &Path, own: impl FnOnce() -> Option<String>) -> Result<Source, LoadError> {
    let beside = model.with_file_name(FILE);
    match read(&beside) {
        Ok(text) if !text.trim().is_empty() => return Ok(Source { text, origin: Origin::File(beside) }),
        Ok(_empty) => {}
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        Err(error) => {
            return Err(LoadError::Template { path: beside, cause: format!("it can't be read ({error})") });
        }
    }
    Ok(match own().filter(|it| !it.trim().is_empty()) {
        Some(text) => Source { text, origin: Origin::Model },
        None => Source { text: PLAIN.to_owned(), origin: Origin::Nowhere },
    })
}

fn read(path: &Path) -> io::Result<String> {
    let mut text = String::new();
    // One byte more than is taken, so that a longer file is recognised.
    fs::File::open(path)?.take(SOURCE_BYTES_MAX as u64 + 1).read_to_string(&mut text)?;
    Ok(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn template_file_beside_the_model_comes_before_the_models_own() {
        let folder = tempfile::tempdir().unwrap();
        let model = folder.path().join("m.gguf");
        let found = || find(&model, || Some("own".to_owned())).unwrap();
        assert_eq!(found(), Source { text: "own".to_owned(), origin: Origin::Model });
        let beside = folder.path().join(FILE);
        fs::write(&beside, "other").unwrap();
        assert_eq!(found(), Source { text: "other".to_owned(), origin: Origin::File(beside.clone()) });
        fs::write(&beside, " \n").unwrap();
        assert_eq!(found().origin, Origin::Model);
        fs::write(&beside, [0xff, 0xfe]).unwrap();
        let error = find(&model, || None).unwrap_err().to_string();
        assert!(error.contains("chat_template.jinja") && error.contains("can't be read"), "{error}");
    }

    #[test]
    fn template_that_is_empty_counts_as_absent() {
        for empty in ["", " ", "\n\t"] {
            let found = find(Path::new("/nowhere/m.gguf"), || Some(empty.to_owned())).unwrap();
            assert_eq!(found.origin, Origin::Nowhere);
        }
    }
}
