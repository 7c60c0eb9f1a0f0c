//! Why an engine ended, as far as its exit, the kernel's counters and its last lines tell. Pure.

use dedi_domain::FailureCause;
use dedi_domain::engine::ExitRule;

/// What the kernel ends a process with that writes beyond its limit.
const SIGXFSZ: i32 = 25;
/// What the kernel ends a process with when memory is used up.
const SIGKILL: i32 = 9;
/// What a program ends itself with, by an assertion of its own or a fault of its code: SIGILL, SIGTRAP, SIGABRT, SIGBUS,
/// SIGFPE, SIGSEGV and SIGSYS.
const OWN_SIGNALS: [i32; 7] = [4, 5, 6, 7, 8, 11, 31];

/// Everything known of the end.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Ending {
    pub code: Option<i32>,
    pub signal: Option<i32>,
    /// Processes the kernel killed in the replica's group for lack of memory.
    pub oom_kills: u64,
    /// Forks refused in the replica's group.
    pub forks_refused: u64,
    /// We ended it because its folder was too large.
    pub disk_full: bool,
    /// It runs on GPUs.
    pub has_gpus: bool,
    /// It had been ready: what failed is a request, not the load.
    pub was_ready: bool,
}

/// The cause, from the strongest evidence to the weakest. `rules` are the engine's own; `last_lines` come newest first.
pub(crate) fn classify(ending: Ending, rules: &[ExitRule], last_lines: &[String]) -> FailureCause {
    // Too little device memory while loading fails again the same way; while serving, it may not.
    let device = if ending.was_ready { FailureCause::EngineExited } else { FailureCause::DeviceOutOfMemory };
    if ending.disk_full || ending.signal == Some(SIGXFSZ) {
        return FailureCause::DiskLimit;
    }
    if ending.oom_kills > 0 && (ending.signal == Some(SIGKILL) || ending.code.is_some_and(|it| it != 0)) {
        return FailureCause::OutOfMemory;
    }
    let own = |it: &&ExitRule| it.holds(ending.code, ending.has_gpus, ending.was_ready, last_lines);
    // Of a kill from outside, its last lines say nothing.
    if ending.signal != Some(SIGKILL)
        && let Some(rule) = rules.iter().find(own)
    {
        return rule.cause;
    }
    if ending.code == Some(0) {
        return FailureCause::EngineExited;
    }
    if ending.forks_refused > 0 {
        return FailureCause::ProcessLimit;
    }
    if ending.signal != Some(SIGKILL) && last_lines.iter().any(|it| names_device_memory(it)) {
        return device;
    }
    match ending.signal {
        Some(signal) if !OWN_SIGNALS.contains(&signal) => FailureCause::EngineKilled,
        Some(_) | None => FailureCause::EngineExited,
    }
}

/// Whether what a process lacked may explain its end: it says so, and not merely after it had given itself up, when a
/// debugger is refused a look at it. Lines come newest first.
pub(crate) fn may_have_lacked(last_lines: impl IntoIterator<Item = String>) -> bool {
    let mut lacked = false;
    for line in last_lines {
        if dedi_domain::last_words::is_farewell(&line) {
            return names_refusal(&line);
        }
        lacked |= names_refusal(&line);
    }
    lacked
}

/// How the C library and CUDA say that something was refused, or was not to be seen.
fn names_refusal(line: &str) -> bool {
    let line = line.to_ascii_lowercase();
    let said = [
        "permission denied",
        "operation not permitted",
        "os call failed",
        "no cuda-capable device",
        "no rocm-capable",
    ];
    said.iter().any(|it| line.contains(it))
}

/// How CUDA, PyTorch, vLLM and llama.cpp say that a device is full.
fn names_device_memory(line: &str) -> bool {
    let line = line.to_ascii_lowercase();
    let device = ["cuda", "gpu", "device", "vram", "hip error", "vk_error"];
    line.contains("cuda_error_out_of_memory")
        || line.contains("outofmemoryerror")
        || line.contains("out_of_device_memory")
        || (line.contains("out of memory") && device.iter().any(|it| line.contains(it)))
}

#[cfg(test)]
mod tests {
    use super::*;

    const CRASH: Ending = Ending {
        code: Some(1),
        signal: None,
        oom_kills: 0,
        forks_refused: 0,
        disk_full: false,
        has_gpus: true,
        was_ready: false,
    };

    fn cause(ending: Ending, line: &str) -> FailureCause {
        classify(ending, &ExitRule::embedded(), &[line.to_owned()])
    }

    #[test]
    fn classify_names_a_cause_for_each_exit() {
        let full = "torch.OutOfMemoryError: CUDA out of memory. Tried to allocate 2.00 GiB";
        let killed = Ending { code: None, signal: Some(9), ..CRASH };
        assert_eq!(cause(CRASH, "bye"), FailureCause::EngineExited);
        assert_eq!(cause(Ending { code: Some(0), ..CRASH }, full), FailureCause::EngineExited);
        assert_eq!(cause(Ending { code: Some(3), ..CRASH }, ""), FailureCause::ModelUnusable);
        assert_eq!(cause(Ending { code: Some(4), ..CRASH }, ""), FailureCause::DeviceOutOfMemory);
        assert_eq!(cause(Ending { code: Some(4), has_gpus: false, ..CRASH }, ""), FailureCause::OutOfMemory);
        assert_eq!(cause(Ending { code: Some(9), ..CRASH }, ""), FailureCause::EngineLacksGpu);
        assert_eq!(cause(Ending { code: Some(9), has_gpus: false, ..CRASH }, ""), FailureCause::EngineExited);
        assert_eq!(cause(killed, full), FailureCause::EngineKilled);
        assert_eq!(cause(Ending { oom_kills: 1, ..killed }, ""), FailureCause::OutOfMemory);
        assert_eq!(cause(Ending { disk_full: true, ..killed }, full), FailureCause::DiskLimit);
        assert_eq!(cause(Ending { code: None, signal: Some(25), ..CRASH }, ""), FailureCause::DiskLimit);
        assert_eq!(cause(Ending { forks_refused: 9, ..CRASH }, ""), FailureCause::ProcessLimit);
        assert_eq!(cause(Ending { code: None, signal: Some(15), ..CRASH }, ""), FailureCause::EngineKilled);
    }

    #[test]
    fn classify_by_the_engines_own_rules() {
        let cause = |ending: Ending, line: &str| {
            let rules = [
                ExitRule { code: Some(2), ..ExitRule::always(FailureCause::SpawnFailed) },
                ExitRule {
                    says: Some("no available memory for the cache".to_owned()),
                    was_ready: Some(false),
                    ..ExitRule::always(FailureCause::DeviceOutOfMemory)
                },
            ];
            classify(ending, &rules, &["last".to_owned(), line.to_owned()])
        };
        let full = "ValueError: No available memory for the cache blocks";
        assert_eq!(cause(Ending { code: Some(2), ..CRASH }, ""), FailureCause::SpawnFailed);
        assert_eq!(cause(CRASH, full), FailureCause::DeviceOutOfMemory);
        // One that says so and exits as if all were well.
        assert_eq!(cause(Ending { code: Some(0), ..CRASH }, full), FailureCause::DeviceOutOfMemory);
        assert_eq!(cause(Ending { was_ready: true, ..CRASH }, full), FailureCause::EngineExited);
        assert_eq!(cause(Ending { code: Some(3), ..CRASH }, ""), FailureCause::EngineExited);
        let killed = Ending { code: None, signal: Some(9), ..CRASH };
        assert_eq!(cause(killed, full), FailureCause::EngineKilled);
    }

    #[test]
    fn classify_own_abort_as_the_engines_exit() {
        for signal in OWN_SIGNALS {
            let ending = Ending { code: None, signal: Some(signal), ..CRASH };
            assert_eq!(cause(ending, "GGML_ASSERT(x) failed"), FailureCause::EngineExited);
        }
    }

    #[test]
    fn own_abort_is_not_explained_by_what_a_debugger_lacked() {
        let lacked = |lines: &[&str]| may_have_lacked(lines.iter().rev().map(|it| (*it).to_owned()));
        let asserted = "/src/ggml.c:1721: GGML_ASSERT(n_dims >= 1) failed";
        assert!(!lacked(&["loading", asserted, "ptrace: Operation not permitted."]));
        assert!(lacked(&["open: Permission denied"]));
        assert!(lacked(&["cuInit: no CUDA-capable device", "bye"]));
        assert!(lacked(&["terminate called: what(): open: Permission denied"]));
        assert!(!lacked(&["open: Permission denied, going on without", asserted]));
    }

    #[test]
    fn classify_out_of_memory_as_final_while_loading_only() {
        for line in [
            "torch.OutOfMemoryError: CUDA out of memory. Tried to allocate 2.00 GiB",
            "ggml_backend_cuda_buffer_type_alloc_buffer: allocating 1.00 MiB on device 0: cudaMalloc failed: out of memory",
            "CUDA error: CUDA_ERROR_OUT_OF_MEMORY",
        ] {
            assert_eq!(cause(CRASH, line), FailureCause::DeviceOutOfMemory, "{line}");
            assert_eq!(
                cause(Ending { was_ready: true, ..CRASH }, line),
                FailureCause::EngineExited,
                "{line}"
            );
        }
        assert_eq!(cause(CRASH, "host allocation: out of memory"), FailureCause::EngineExited);
    }
}
