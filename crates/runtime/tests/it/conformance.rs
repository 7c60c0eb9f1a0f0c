//! The process runtime does what every runtime must.

use async_trait::async_trait;
use dedi_runtime::process::ProcessRuntime;
use dedi_runtime_api::conformance::{Behaviour, Subject};
use dedi_runtime_api::{Launch, Runtime};

use crate::host::{self, Host};

struct Processes {
    runtime: ProcessRuntime,
    _host: Host,
}

impl Processes {
    async fn start() -> Self {
        let host = Host::new();
        Self { runtime: host.open().await, _host: host }
    }
}

#[async_trait]
impl Subject for Processes {
    fn runtime(&self) -> &dyn Runtime {
        &self.runtime
    }

    fn launch(&self, behaviour: Behaviour) -> Launch {
        host::launch(match behaviour {
            Behaviour::Serves => "ok",
            Behaviour::Exits => "crash-at-start.7",
            Behaviour::EndsSlowly => "ignore-term",
        })
    }

    fn launch_without_model(&self) -> Option<Launch> {
        Some(host::launch(host::ABSENT))
    }

    // It is killed when its grace is over.
    async fn let_end(&self, _launch: &Launch) {}
}

dedi_runtime_api::conformance_tests!(Processes::start().await);
