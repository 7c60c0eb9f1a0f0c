//! The engine that comes with dedi.

use std::path::PathBuf;

use super::{
    EngineSpec, ExitRule, HealthSpec, IsolationNeeds, MemoryModel, MetricNames, ModelFormat, Placeholder,
    StopSpec, Template, Transport,
};
use crate::ids::EngineKind;
use crate::replica::FailureCause;

impl EngineSpec {
    /// `dedi-engine`, as that program.
    pub fn embedded(program: PathBuf) -> Self {
        let word = Template::literal;
        let args = [
            ("--model", Placeholder::Model),
            ("--socket", Placeholder::Socket),
            ("--model-name", Placeholder::ModelName),
            ("--context", Placeholder::Context),
            ("--slots", Placeholder::Slots),
            ("--threads", Placeholder::Threads),
            ("--gpu-layers", Placeholder::GpuLayers),
        ];
        let args = args.into_iter().flat_map(|(flag, value)| [word(flag), Template::of(value)]);
        Self {
            kind: EngineKind::default(),
            program,
            args: [word("serve")].into_iter().chain(args).collect(),
            embedding_args: vec![word("--embedding")],
            environment: Vec::new(),
            transport: Transport::UnixSocket,
            health: HealthSpec::default(),
            metrics: Some(MetricNames {
                path: "/metrics".to_owned(),
                running: Some("dedi_engine_requests_running".to_owned()),
                waiting: Some("dedi_engine_requests_waiting".to_owned()),
                prompt_tokens: Some("dedi_engine_prompt_tokens_total".to_owned()),
                cached_tokens: Some("dedi_engine_prompt_tokens_cached_total".to_owned()),
                generated_tokens: Some("dedi_engine_generation_tokens_total".to_owned()),
            }),
            stop: StopSpec { drains: true, ..StopSpec::default() },
            exits: exits(),
            formats: vec![ModelFormat::Gguf],
            memory: MemoryModel::Computed,
            isolation: IsolationNeeds::default(),
        }
    }
}

/// Its exit codes, as crates/engine/src/exit.rs names them.
pub(super) fn exits() -> Vec<ExitRule> {
    const MODEL: i32 = 3;
    const MEMORY: i32 = 4;
    const DEVICE: i32 = 9;
    let code = |code: i32, cause| ExitRule { code: Some(code), ..ExitRule::always(cause) };
    let on_gpus = |rule: ExitRule| ExitRule { has_gpus: Some(true), ..rule };
    vec![
        code(MODEL, FailureCause::ModelUnusable),
        on_gpus(code(DEVICE, FailureCause::EngineLacksGpu)),
        // Too little device memory while loading fails again the same way; while serving, it may not.
        ExitRule { was_ready: Some(true), ..on_gpus(code(MEMORY, FailureCause::EngineExited)) },
        on_gpus(code(MEMORY, FailureCause::DeviceOutOfMemory)),
        code(MEMORY, FailureCause::OutOfMemory),
    ]
}
