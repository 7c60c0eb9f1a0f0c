//! What is pulled: `ORG/NAME`, with `@REVISION` and `:FILE` where they are not the usual ones.

use std::fmt;

use dedi_domain::ModelName;

/// A model on the hub, and which of its revisions and files.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Source {
    pub(crate) model: ModelName,
    /// A branch, a tag or a commit.
    pub(crate) revision: String,
    /// A GGUF file or the name of its quantisation.
    pub(crate) file: Option<String>,
}

/// The branch that is meant when none is named.
const REVISION: &str = "main";
const PART_BYTES_MAX: usize = 200;

impl Source {
    pub(crate) fn of(model: ModelName) -> Self {
        Self { model, revision: REVISION.to_owned(), file: None }
    }

    /// Reads `ORG/NAME[@REVISION][:FILE]`.
    pub(crate) fn parse(text: &str) -> Result<Self, String> {
        let (rest, file) = match text.split_once(':') {
            Some((rest, file)) => (rest, Some(file)),
            None => (text, None),
        };
        let (model, revision) = match rest.split_once('@') {
            Some((model, revision)) => (model, revision),
            None => (rest, REVISION),
        };
        let model = ModelName::parse(model).map_err(|err| err.to_string())?;
        if !is_word(revision) {
            return Err(
                "a revision is a branch, a tag or a commit, of letters, digits, `.`, `_`, `-` and `/`"
                    .to_owned(),
            );
        }
        if file.is_some_and(|it| !is_word(it)) {
            return Err(
                "a file is named as the hub lists it, or by its quantisation, such as Q4_K_M".to_owned()
            );
        }
        Ok(Self { model, revision: revision.to_owned(), file: file.map(str::to_owned) })
    }
}

fn is_word(text: &str) -> bool {
    (1..=PART_BYTES_MAX).contains(&text.len())
        && text.split('/').all(|part| !part.is_empty() && !part.starts_with('.'))
        && text.bytes().all(|it| it.is_ascii_alphanumeric() || b"._-+/".contains(&it))
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.model)?;
        if self.revision != REVISION {
            write!(f, "@{}", self.revision)?;
        }
        match &self.file {
            Some(file) => write!(f, ":{file}"),
            None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_source_reads_as_it_prints() {
        for text in ["a/b", "a/b@v1", "a/b:Q8_0", "a/b@refs/pr/1:sub/b-Q4_K_M.gguf"] {
            assert_eq!(Source::parse(text).unwrap().to_string(), text);
        }
        assert_eq!(Source::parse("a/b@main").unwrap().to_string(), "a/b");
        for bad in ["a", "a/b@", "a/b@../x", "a/b:", "a/b:/x", "a/b:..", "a/b@x y", "a/b:x\n", "../b"] {
            assert!(Source::parse(bad).is_err(), "{bad}");
        }
    }
}
