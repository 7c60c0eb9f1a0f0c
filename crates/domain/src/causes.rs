//! Errors as the log tells them.

use std::error::Error;

/// An error and its causes in one line. A cause that the text has already is not repeated.
pub fn with_causes(err: &dyn Error) -> String {
    let mut text = err.to_string();
    let mut source = err.source();
    while let Some(cause) = source {
        let said = cause.to_string();
        if !text.contains(&said) {
            text.push_str(": ");
            text.push_str(&said);
        }
        source = cause.source();
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, thiserror::Error)]
    #[error("{text}")]
    struct Layer {
        text: &'static str,
        source: Option<Box<Layer>>,
    }

    #[test]
    fn causes_are_told_once_each() {
        let end = Layer { text: "no such file", source: None };
        let middle = Layer { text: "opening a.txt: no such file", source: Some(Box::new(end)) };
        let top = Layer { text: "no start", source: Some(Box::new(middle)) };
        assert_eq!(with_causes(&top), "no start: opening a.txt: no such file");
    }
}
