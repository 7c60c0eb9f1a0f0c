//! The pretended runtime does what every runtime must, or the tests of this crate would show nothing.

use async_trait::async_trait;
use dedi_domain::{
    AssignedDevice, DeviceId, DeviceKind, EndpointId, EngineKind, FailureCause, ModelName, Nonce, ReplicaId,
};
use dedi_runtime_api::conformance::{Behaviour, Subject};
use dedi_runtime_api::{Launch, ModelRef, Placement, Runtime};

use crate::random::random_uuid;
use crate::testing::{FakeRuntime, Script};

struct Pretended {
    runtime: FakeRuntime,
    _logs: tempfile::TempDir,
}

impl Pretended {
    fn start() -> Self {
        let (runtime, logs) = (FakeRuntime::with_cores(2), tempfile::tempdir().unwrap());
        runtime.keep_logs_in(logs.path());
        runtime.write_logs();
        Self { runtime, _logs: logs }
    }
}

#[async_trait]
impl Subject for Pretended {
    fn runtime(&self) -> &dyn Runtime {
        &self.runtime
    }

    fn launch(&self, behaviour: Behaviour) -> Launch {
        self.runtime.stops_slowly(behaviour == Behaviour::EndsSlowly);
        self.runtime.script(match behaviour {
            Behaviour::Serves | Behaviour::EndsSlowly => Script::Ready,
            Behaviour::Exits => Script::Exits(FailureCause::EngineExited),
        });
        let kind = DeviceKind { product: "cpu".into(), memory_gb: 8, link: String::new() };
        Launch {
            replica: ReplicaId::from_uuid(random_uuid()),
            nonce: Nonce::from_uuid(random_uuid()),
            endpoint: EndpointId::from_uuid(random_uuid()),
            attempt: 1,
            engine: EngineKind::default(),
            model: ModelRef { name: ModelName::parse("dedi/demo").unwrap(), revision: None },
            placement: Placement::Devices(vec![AssignedDevice {
                id: DeviceId::local("cpu-0"),
                kind,
                index: 0,
            }]),
            context_tokens: 128,
            slots: 2,
            memory_limit_bytes: None,
            embedding: false,
        }
    }

    fn launch_without_model(&self) -> Option<Launch> {
        let launch = self.launch(Behaviour::Serves);
        self.runtime.script(Script::LacksModel);
        Some(launch)
    }

    async fn let_end(&self, _launch: &Launch) {
        self.runtime.stops_slowly(false);
    }
}

dedi_runtime_api::conformance_tests!(Pretended::start());
