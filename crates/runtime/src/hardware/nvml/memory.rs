//! A GPU's memory by the best call that its driver has: the current one, the one of older drivers, and for GPUs without
//! memory of their own the host's.

use nvml_wrapper::Device as Gpu;
use nvml_wrapper::error::{NvmlError, nvml_try};
use nvml_wrapper_sys::bindings::nvmlMemory_t;

use super::messages::is_unsupported;

/// What drivers set aside for themselves. The older call counts it as used.
const RESERVED_BYTES: u64 = 512 << 20;

/// What a GPU has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Memory {
    /// Its own, without what the driver sets aside.
    Own { total: u64, used: u64 },
    /// The host's, which all programs share: so much of it is there.
    Hosts { total: u64, available: u64 },
}

/// The memory as it is now, and all there is on the board, which its name goes by.
pub(super) fn memory(gpu: &Gpu<'_>) -> Result<(Memory, u64), NvmlError> {
    let (of_gpu, refused) = match gpu.memory_info() {
        Ok(it) => {
            let own = Memory::Own { total: it.total.saturating_sub(it.reserved), used: it.used };
            return Ok((own, it.total));
        }
        Err(err) if is_unsupported(&err) => (older(gpu), err),
        Err(err) => return Err(err),
    };
    match of_gpu {
        Ok(it) => {
            let own = Memory::Own { total: it.total, used: it.used.saturating_sub(RESERVED_BYTES) };
            Ok((own, it.total))
        }
        // Both calls are there and neither is for this GPU: it computes in the host's memory.
        Err(NvmlError::NotSupported) => {
            let host = dedi_host_memory::memory().map_err(|_unreadable| refused)?;
            Ok((Memory::Hosts { total: host.total, available: host.available }, host.total))
        }
        Err(err) => Err(err),
    }
}

/// The call of drivers before 2022, which the wrapper has no method for.
#[expect(unsafe_code, reason = "a function of the driver's library")]
fn older(gpu: &Gpu<'_>) -> Result<nvmlMemory_t, NvmlError> {
    let Ok(function) = &gpu.nvml().lib().nvmlDeviceGetMemoryInfo else {
        return Err(NvmlError::FunctionNotFound);
    };
    let mut memory = nvmlMemory_t { total: 0, free: 0, used: 0 };
    // SAFETY: the handle is of the library that the function is of, which `gpu` keeps open, and the function writes one
    // structure of this type.
    nvml_try(unsafe { function(gpu.handle(), &raw mut memory) })?;
    Ok(memory)
}
