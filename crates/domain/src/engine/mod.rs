//! What differs from one engine program to another, as data: how it is started, asked, watched and ended, what it loads,
//! and what it needs. A new engine is a new [`EngineSpec`]; nothing that runs engines knows one by name.

mod embedded;
mod ending;
mod health;
mod needs;
mod template;

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

pub use self::ending::{ExitRule, StopSignal, StopSpec};
pub use self::health::{HealthSpec, LogStage, Progress};
pub use self::needs::{IsolationNeeds, MemoryModel, MetricNames, ModelFormat, Transport};
pub use self::template::{Placeholder, Template};
use crate::ids::EngineKind;

/// How to run one kind of engine.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct EngineSpec {
    /// What endpoints call it.
    pub kind: EngineKind,
    /// The program.
    pub program: PathBuf,
    /// Its arguments, one word each. No shell ever reads them.
    pub args: Vec<Template>,
    /// More of them, for a model that makes vectors only.
    #[serde(default)]
    pub embedding_args: Vec<Template>,
    /// Variables of its environment, besides those that every engine gets. A variable that says whose it is, or which
    /// devices it has, can't be set here.
    #[serde(default)]
    pub environment: Vec<(String, Template)>,
    /// Where it is spoken to.
    pub transport: Transport,
    /// How it is asked how it is doing.
    #[serde(default)]
    pub health: HealthSpec,
    /// What its metrics are called; absent where it has none.
    #[serde(default)]
    pub metrics: Option<MetricNames>,
    /// How it is ended.
    #[serde(default)]
    pub stop: StopSpec,
    /// What its ends mean, first match first, where an exit alone says too little.
    #[serde(default)]
    pub exits: Vec<ExitRule>,
    /// The kinds of model files that it loads.
    pub formats: Vec<ModelFormat>,
    /// How much memory a model takes in it.
    #[serde(default)]
    pub memory: MemoryModel,
    /// What it needs besides its model, its own folder and its transport.
    #[serde(default)]
    pub isolation: IsolationNeeds,
}

impl EngineSpec {
    /// What is wrong with it, as a sentence; each word by itself was checked before.
    ///
    /// # Errors
    ///
    /// That sentence.
    pub fn check(&self) -> Result<(), String> {
        let kind = &self.kind;
        let words = || self.args.iter().chain(self.environment.iter().map(|it| &it.1));
        let names = |placeholder| words().any(|it| it.names(placeholder));
        let (wanted, other, transport) = match self.transport {
            Transport::UnixSocket => (Placeholder::Socket, Placeholder::Port, "unix_socket"),
            Transport::Loopback => (Placeholder::Port, Placeholder::Socket, "loopback"),
        };
        if !names(wanted) {
            return Err(format!(
                "engine {kind}: its transport is {transport}, and no argument has {{{}}}",
                wanted.word()
            ));
        }
        if names(other) {
            return Err(format!(
                "engine {kind}: its transport is {transport}, and {{{}}} is none of its places",
                other.word()
            ));
        }
        if !names(Placeholder::Model) {
            return Err(format!("engine {kind}: no argument has {{{}}}", Placeholder::Model.word()));
        }
        if self.health.ready.is_empty() {
            return Err(format!("engine {kind}: health.ready names no answer"));
        }
        if self.formats.is_empty() {
            return Err(format!("engine {kind}: formats names none"));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn spec() -> EngineSpec {
        EngineSpec::embedded("/bin/dedi-engine".into())
    }

    #[test]
    fn embedded_engine_is_right_and_survives_being_written_down() {
        spec().check().unwrap();
        let text = serde_json::to_string(&spec()).unwrap();
        assert_eq!(serde_json::from_str::<EngineSpec>(&text).unwrap(), spec());
    }

    #[test]
    fn spec_that_no_replica_could_live_with_is_refused_by_name() {
        let said = |change: &dyn Fn(&mut EngineSpec)| {
            let mut it = spec();
            change(&mut it);
            it.check().unwrap_err()
        };
        assert_eq!(
            said(&|it| it.transport = Transport::Loopback),
            "engine dedi: its transport is loopback, and no argument has {port}"
        );
        assert_eq!(
            said(&|it| it.args.push(Template::parse("{port}").unwrap())),
            "engine dedi: its transport is unix_socket, and {port} is none of its places"
        );
        assert_eq!(
            said(&|it| it.args.retain(|it| !it.names(Placeholder::Model))),
            "engine dedi: no argument has {model}"
        );
        assert!(said(&|it| it.health.ready.clear()).contains("names no answer"));
        assert!(said(&|it| it.formats.clear()).contains("formats names none"));
    }
}
