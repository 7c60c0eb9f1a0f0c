//! How an engine is ended, and what it means when it ends by itself.

use serde::{Deserialize, Serialize};

use crate::replica::FailureCause;

/// How an engine is ended. Whoever does it has drained it before.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct StopSpec {
    /// What asks it to end.
    pub signal: StopSignal,
    /// Seconds from then until all its processes are killed; absent is what `runtime.stop_grace_secs` says.
    pub grace_secs: Option<u64>,
    /// It finishes the requests that it has before it ends. Where it does not, those that are left are cut.
    pub drains: bool,
}

/// A signal that a program can catch.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum StopSignal {
    /// TERM.
    #[default]
    Term,
    /// INT.
    Int,
    /// QUIT.
    Quit,
}

/// What an end means. All conditions that are there must hold.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ExitRule {
    /// It exited with this code.
    #[serde(default)]
    pub code: Option<i32>,
    /// One of its last lines has this in it, in lower case.
    #[serde(default)]
    pub says: Option<String>,
    /// Whether it ran on GPUs.
    #[serde(default)]
    pub has_gpus: Option<bool>,
    /// Whether it had been ready.
    #[serde(default)]
    pub was_ready: Option<bool>,
    /// What that means.
    pub cause: FailureCause,
}

impl ExitRule {
    /// A rule without conditions.
    pub fn always(cause: FailureCause) -> Self {
        Self { code: None, says: None, has_gpus: None, was_ready: None, cause }
    }

    /// The embedded engine's rules, which records of launches have that name none.
    pub fn embedded() -> Vec<Self> {
        super::embedded::exits()
    }

    /// Whether it holds for such an end.
    pub fn holds(&self, code: Option<i32>, has_gpus: bool, was_ready: bool, last_lines: &[String]) -> bool {
        self.code.is_none_or(|it| code == Some(it))
            && self.has_gpus.is_none_or(|it| it == has_gpus)
            && self.was_ready.is_none_or(|it| it == was_ready)
            && self.says.as_ref().is_none_or(|it| {
                last_lines.iter().any(|line| line.to_ascii_lowercase().contains(it.as_str()))
            })
    }
}
