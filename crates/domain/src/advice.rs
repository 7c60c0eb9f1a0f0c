//! What would help against a failure, in a command or a change. In step with docs/reasons.md.

use crate::endpoint::Desired;
use crate::replica::FailureCause;

/// Where more is to be seen of an end that may be tried again by itself: in `logs` of the engine, or on the host where
/// something killed it, of which the engine could log nothing.
pub(crate) fn where_to_look(cause: FailureCause, logs: &str) -> String {
    host_log(cause).unwrap_or_else(|| logs.to_owned())
}

/// The host's log, where that is the place that says who did it.
fn host_log(cause: FailureCause) -> Option<String> {
    let whom = match cause {
        FailureCause::EngineKilled => "killed it",
        FailureCause::SupervisorLost => "killed the `dedi-shim` of that replica",
        FailureCause::Lost => "killed the engine and its supervisor",
        FailureCause::EngineExited
        | FailureCause::OutOfMemory
        | FailureCause::DeviceOutOfMemory
        | FailureCause::ModelUnusable
        | FailureCause::EngineLacksGpu
        | FailureCause::SpawnFailed
        | FailureCause::StartupDeadline
        | FailureCause::Unresponsive
        | FailureCause::ProcessLimit
        | FailureCause::DiskLimit
        | FailureCause::HostRestarted
        | FailureCause::DeviceLost
        | FailureCause::Stopped => return None,
    };
    Some(format!("see the host's log (`journalctl -k` or `dmesg`) for who {whom}, such as a memory killer"))
}

/// The next step after a failure that is not mended by trying again.
pub(crate) fn next_step(cause: FailureCause, desired: &Desired) -> String {
    let (id, model, hardware) = (desired.id, &desired.model, &desired.hardware);
    let logs = format!("`dedi endpoints logs {id}`");
    let again = format!("then `dedi endpoints start {id}`");
    if let Some(host_log) = host_log(cause) {
        return format!("{host_log}, {again}");
    }
    match cause {
        FailureCause::EngineExited => format!("mend what the last lines of {logs} say, {again}"),
        FailureCause::OutOfMemory => format!(
            "make another endpoint on hardware with more memory, or lower `slots` or `context_tokens` in the config, {again}"
        ),
        FailureCause::DeviceOutOfMemory => format!(
            "see what it needs with `dedi endpoints create --plan --model {model} --hardware {hardware}`; make another endpoint on larger hardware, or lower `slots` or `context_tokens` in the config, {again}"
        ),
        FailureCause::ModelUnusable => {
            format!(
                "see `dedi models verify {model}` for what is wrong and put the right files back, with `dedi models pull {model}` if they came from a hub, {again}"
            )
        }
        FailureCause::EngineLacksGpu => format!(
            "build an engine for these GPUs with `make engine GPU=cuda`; `dedi doctor` says what it lacks, {again}"
        ),
        FailureCause::SpawnFailed => format!("see `dedi doctor`, {again}"),
        FailureCause::StartupDeadline => {
            format!("see {logs}; for a slow disk raise `startup_deadline_secs` in the config, {again}")
        }
        FailureCause::Unresponsive => format!("see {logs} for what it hangs on, {again}"),
        FailureCause::ProcessLimit => {
            format!(
                "see {logs} for what starts processes without end, or raise `pids_max` in the config, {again}"
            )
        }
        FailureCause::DiskLimit => {
            format!("see {logs} for what it writes, or raise `engine_disk_mib` in the config, {again}")
        }
        FailureCause::EngineKilled
        | FailureCause::SupervisorLost
        | FailureCause::Lost
        | FailureCause::HostRestarted
        | FailureCause::Stopped => again.replacen("then ", "", 1),
        FailureCause::DeviceLost => {
            format!("look at the device that `dedi endpoints hardware` names, {again}")
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use uuid::Uuid;

    use super::*;
    use crate::endpoint::{EndpointState, ReplicaRange, Run, RunCause};
    use crate::hardware::HardwareId;
    use crate::ids::{EndpointId, EndpointName, ModelName, Owner};
    use crate::time::Timestamp;

    fn desired() -> Desired {
        let owner = Owner::parse("team").unwrap();
        let model = ModelName::parse("dedi/demo").unwrap();
        Desired {
            id: EndpointId::from_uuid(Uuid::nil()),
            name: EndpointName::compose(&owner, &model, 1),
            owner,
            display_name: String::new(),
            model,
            engine: crate::ids::EngineKind::default(),
            hardware: HardwareId::parse("1x_gpu_80gb").unwrap(),
            replicas: ReplicaRange::new(1, 1).unwrap(),
            run: Run::Started,
            run_cause: RunCause::User,
            deleted: false,
            inactive_timeout_minutes: None,
            idle: Default::default(),
            availability_zone: None,
            disable_speculative_decoding: false,
            generation: 1,
            observed_generation: 1,
            published: EndpointState::Error,
            published_at: Timestamp(0),
            created_at: Timestamp(0),
            started_at: Timestamp(0),
        }
    }

    #[test]
    fn each_failure_that_counts_has_a_step_of_its_own_that_ends_in_another_try() {
        let steps: Vec<String> = FailureCause::ALL
            .into_iter()
            .filter(|it| it.counts())
            .map(|it| next_step(it, &desired()))
            .collect();
        assert_eq!(steps.iter().collect::<BTreeSet<_>>().len(), steps.len(), "{steps:#?}");
        let again = "dedi endpoints start endpoint-00000000-0000-0000-0000-000000000000`";
        assert!(steps.iter().all(|it| it.ends_with(again)), "{steps:#?}");
    }

    #[test]
    fn too_little_device_memory_is_answered_with_the_command_that_shows_the_arithmetic() {
        let step = next_step(FailureCause::DeviceOutOfMemory, &desired());
        assert!(
            step.contains("`dedi endpoints create --plan --model dedi/demo --hardware 1x_gpu_80gb`"),
            "{step}"
        );
        assert!(next_step(FailureCause::ModelUnusable, &desired()).contains("`dedi models pull dedi/demo`"));
    }
}
