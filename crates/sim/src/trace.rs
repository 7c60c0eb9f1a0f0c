//! What a life tells of itself. Off in ordinary runs; a failing seed is lived again with it on.

use std::fmt;

/// A rule that was broken, and how.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Violation {
    /// The rule's name in the specification, such as `S1`.
    pub rule: &'static str,
    /// What was seen.
    pub what: String,
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.rule, self.what)
    }
}

pub(crate) type Checked = Result<(), Box<Violation>>;

/// Ends a life for breaking `rule`.
pub(crate) fn broken<T>(rule: &'static str, what: impl Into<String>) -> Result<T, Box<Violation>> {
    Err(Box::new(Violation { rule, what: what.into() }))
}

#[derive(Debug, Default)]
pub(crate) struct Trace {
    pub(crate) is_on: bool,
    pub(crate) lines: Vec<String>,
}

impl Trace {
    pub(crate) fn note(&mut self, now: i64, line: impl FnOnce() -> String) {
        if self.is_on {
            let (secs, millis) = (now / 1000, now % 1000);
            self.lines.push(format!("{secs:>6}.{millis:03}  {}", line()));
        }
    }
}
