//! NVIDIA's management library without an NVIDIA driver: the symbols that `dedi` asks for, answered from a
//! file. For tests on hosts without a GPU.
//!
//! A handle is the GPU's position plus one and never pointed at, so a wrong one is an error like any other.

#![expect(
    unsafe_code,
    reason = "C calls it: the symbols must have their names, and texts and lists come as pointers"
)]

mod world;

use std::ffi::{c_char, c_uint, c_ulonglong};
use std::sync::atomic::{AtomicU32, AtomicUsize, Ordering};

use nvml::{
    nvmlDevice_t, nvmlEventData_t, nvmlEventSet_t, nvmlMemory_t, nvmlMemory_v2_t, nvmlProcessInfo_t,
    nvmlReturn_t,
};
use nvml_wrapper_sys::bindings as nvml;

use crate::world::{Gpu, Process, Question, World};

const SUCCESS: nvmlReturn_t = nvml::nvmlReturn_enum_NVML_SUCCESS;
const BAD_ARGUMENT: nvmlReturn_t = nvml::nvmlReturn_enum_NVML_ERROR_INVALID_ARGUMENT;
const TOO_SMALL: nvmlReturn_t = nvml::nvmlReturn_enum_NVML_ERROR_INSUFFICIENT_SIZE;

/// What a driver sets aside for itself.
const RESERVED_BYTES: u64 = 400 << 20;

/// `nvmlEventTypeXidCriticalError`.
const XID: c_ulonglong = 8;

/// GPUs that faults are told of, a bit each; a real driver has this for each set of events.
static WATCHED: AtomicU32 = AtomicU32::new(0);

/// How many faults have been told.
static TOLD: AtomicUsize = AtomicUsize::new(0);

fn answer(result: Result<(), nvmlReturn_t>) -> nvmlReturn_t {
    result.err().unwrap_or(SUCCESS)
}

fn handle(at: u32) -> nvmlDevice_t {
    std::ptr::without_provenance_mut(at as usize + 1)
}

fn position(handle: nvmlDevice_t) -> Result<u32, nvmlReturn_t> {
    handle.addr().checked_sub(1).and_then(|it| u32::try_from(it).ok()).ok_or(BAD_ARGUMENT)
}

fn gpu(handle: nvmlDevice_t, question: Question) -> Result<Gpu, nvmlReturn_t> {
    World::now()?.gpu(position(handle)?)?.asked(question)
}

fn set<T>(place: Option<&mut T>, value: T) -> Result<(), nvmlReturn_t> {
    *place.ok_or(BAD_ARGUMENT)? = value;
    Ok(())
}

/// Writes a text and its end.
fn write(text: &str, buffer: *mut c_char, length: c_uint) -> Result<(), nvmlReturn_t> {
    if buffer.is_null() || text.len() >= length as usize {
        return Err(TOO_SMALL);
    }
    // SAFETY: the buffer has `length` bytes as the caller says, and the text with its end is not longer.
    unsafe {
        buffer.copy_from_nonoverlapping(text.as_ptr().cast(), text.len());
        buffer.add(text.len()).write(0);
    }
    Ok(())
}

/// Writes a list, or only its length where it does not fit.
fn write_all(
    processes: &[Process],
    count: Option<&mut c_uint>,
    infos: *mut nvmlProcessInfo_t,
) -> Result<(), nvmlReturn_t> {
    let count = count.ok_or(BAD_ARGUMENT)?;
    let room = *count as usize;
    *count = c_uint::try_from(processes.len()).unwrap_or(c_uint::MAX);
    if processes.len() > room || (infos.is_null() && !processes.is_empty()) {
        return Err(TOO_SMALL);
    }
    for (at, process) in processes.iter().enumerate() {
        let info = nvmlProcessInfo_t {
            pid: process.pid,
            usedGpuMemory: if process.is_hidden { c_ulonglong::MAX } else { process.mib << 20 },
            gpuInstanceId: c_uint::MAX,
            computeInstanceId: c_uint::MAX,
        };
        // SAFETY: the caller's list has `room` places, and `at` is less than that.
        unsafe { infos.add(at).write(info) };
    }
    Ok(())
}

/// There is a driver.
#[unsafe(no_mangle)]
pub extern "C" fn nvmlInit_v2() -> nvmlReturn_t {
    answer(World::now().map(drop))
}

/// Always well.
#[unsafe(no_mangle)]
pub extern "C" fn nvmlShutdown() -> nvmlReturn_t {
    SUCCESS
}

/// The driver's version.
#[unsafe(no_mangle)]
pub extern "C" fn nvmlSystemGetDriverVersion(text: *mut c_char, length: c_uint) -> nvmlReturn_t {
    answer(World::now().and_then(|_| write("570.00", text, length)))
}

/// How many GPUs there are, those that fail included.
#[unsafe(no_mangle)]
pub extern "C" fn nvmlDeviceGetCount_v2(count: Option<&mut c_uint>) -> nvmlReturn_t {
    answer(World::now().and_then(|it| set(count, c_uint::try_from(it.gpus.len()).unwrap_or(0))))
}

/// The GPU at a position.
#[unsafe(no_mangle)]
pub extern "C" fn nvmlDeviceGetHandleByIndex_v2(
    at: c_uint,
    device: Option<&mut nvmlDevice_t>,
) -> nvmlReturn_t {
    answer(World::now().and_then(|it| it.gpu(at)).and_then(|_| set(device, handle(at))))
}

/// Its name.
#[unsafe(no_mangle)]
pub extern "C" fn nvmlDeviceGetName(device: nvmlDevice_t, text: *mut c_char, length: c_uint) -> nvmlReturn_t {
    answer(gpu(device, Question::Name).and_then(|it| write(&it.name, text, length)))
}

/// Its id.
#[unsafe(no_mangle)]
pub extern "C" fn nvmlDeviceGetUUID(device: nvmlDevice_t, text: *mut c_char, length: c_uint) -> nvmlReturn_t {
    answer(gpu(device, Question::Uuid).and_then(|it| write(&it.uuid, text, length)))
}

/// Its memory.
#[unsafe(no_mangle)]
pub extern "C" fn nvmlDeviceGetMemoryInfo_v2(
    device: nvmlDevice_t,
    memory: Option<&mut nvmlMemory_v2_t>,
) -> nvmlReturn_t {
    answer(gpu(device, Question::Memory).and_then(|it| {
        let memory = memory.ok_or(BAD_ARGUMENT)?;
        memory.total = it.memory_mib << 20;
        memory.reserved = 0;
        memory.used = it.used_bytes();
        memory.free = memory.total.saturating_sub(memory.used);
        Ok(())
    }))
}

/// Its memory, as older drivers tell it: what they set aside counts as used.
#[unsafe(no_mangle)]
pub extern "C" fn nvmlDeviceGetMemoryInfo(
    device: nvmlDevice_t,
    memory: Option<&mut nvmlMemory_t>,
) -> nvmlReturn_t {
    answer(gpu(device, Question::MemoryV1).and_then(|it| {
        let memory = memory.ok_or(BAD_ARGUMENT)?;
        memory.total = it.memory_mib << 20;
        memory.used = it.used_bytes() + RESERVED_BYTES;
        memory.free = memory.total.saturating_sub(memory.used);
        Ok(())
    }))
}

/// Who computes on it.
#[unsafe(no_mangle)]
pub extern "C" fn nvmlDeviceGetComputeRunningProcesses_v3(
    device: nvmlDevice_t,
    count: Option<&mut c_uint>,
    infos: *mut nvmlProcessInfo_t,
) -> nvmlReturn_t {
    answer(gpu(device, Question::Processes).and_then(|it| write_all(&it.processes, count, infos)))
}

/// The same as older drivers tell it, which have the same structure for it.
#[unsafe(no_mangle)]
pub extern "C" fn nvmlDeviceGetComputeRunningProcesses_v2(
    device: nvmlDevice_t,
    count: Option<&mut c_uint>,
    infos: *mut nvmlProcessInfo_t,
) -> nvmlReturn_t {
    answer(gpu(device, Question::ProcessesV2).and_then(|it| write_all(&it.processes, count, infos)))
}

/// Who draws with it, as older drivers tell it.
#[unsafe(no_mangle)]
pub extern "C" fn nvmlDeviceGetGraphicsRunningProcesses_v2(
    device: nvmlDevice_t,
    count: Option<&mut c_uint>,
    infos: *mut nvmlProcessInfo_t,
) -> nvmlReturn_t {
    answer(gpu(device, Question::GraphicsV2).and_then(|it| write_all(&it.graphics, count, infos)))
}

/// Who draws with it.
#[unsafe(no_mangle)]
pub extern "C" fn nvmlDeviceGetGraphicsRunningProcesses_v3(
    device: nvmlDevice_t,
    count: Option<&mut c_uint>,
    infos: *mut nvmlProcessInfo_t,
) -> nvmlReturn_t {
    answer(gpu(device, Question::Graphics).and_then(|it| write_all(&it.graphics, count, infos)))
}

/// Whether it is cut into instances.
#[unsafe(no_mangle)]
pub extern "C" fn nvmlDeviceGetMigMode(
    device: nvmlDevice_t,
    current: Option<&mut c_uint>,
    pending: Option<&mut c_uint>,
) -> nvmlReturn_t {
    answer(gpu(device, Question::MigMode).and_then(|it| {
        set(current, c_uint::from(it.is_cut))?;
        set(pending, c_uint::from(it.is_cut))
    }))
}

/// A set of events; there is only one.
#[unsafe(no_mangle)]
pub extern "C" fn nvmlEventSetCreate(events: Option<&mut nvmlEventSet_t>) -> nvmlReturn_t {
    answer(set(events, std::ptr::without_provenance_mut(1)))
}

/// Forgets which GPUs are watched.
#[unsafe(no_mangle)]
pub extern "C" fn nvmlEventSetFree(_events: nvmlEventSet_t) -> nvmlReturn_t {
    WATCHED.store(0, Ordering::Relaxed);
    SUCCESS
}

/// Faults, and nothing else.
#[unsafe(no_mangle)]
pub extern "C" fn nvmlDeviceGetSupportedEventTypes(
    device: nvmlDevice_t,
    types: Option<&mut c_ulonglong>,
) -> nvmlReturn_t {
    answer(gpu(device, Question::Events).and_then(|_| set(types, XID)))
}

/// Watches a GPU's faults.
#[unsafe(no_mangle)]
pub extern "C" fn nvmlDeviceRegisterEvents(
    device: nvmlDevice_t,
    types: c_ulonglong,
    _events: nvmlEventSet_t,
) -> nvmlReturn_t {
    answer(gpu(device, Question::Events).and_then(|_| position(device)).map(|at| {
        if types & XID != 0 {
            WATCHED.fetch_or(1_u32.checked_shl(at).unwrap_or(0), Ordering::Relaxed);
        }
    }))
}

/// The next fault of a watched GPU that was not told yet. Never waits.
#[unsafe(no_mangle)]
pub extern "C" fn nvmlEventSetWait_v2(
    _events: nvmlEventSet_t,
    data: Option<&mut nvmlEventData_t>,
    _timeout_ms: c_uint,
) -> nvmlReturn_t {
    answer(World::now().and_then(|it| {
        let watched = WATCHED.load(Ordering::Relaxed);
        let told = TOLD.load(Ordering::Relaxed);
        let next = it.xids.into_iter().enumerate().skip(told);
        let (at, xid) = next
            .into_iter()
            .find(|(_, xid)| watched & 1_u32.checked_shl(xid.gpu).unwrap_or(0) != 0)
            .ok_or(nvml::nvmlReturn_enum_NVML_ERROR_TIMEOUT)?;
        TOLD.store(at + 1, Ordering::Relaxed);
        let data = data.ok_or(BAD_ARGUMENT)?;
        data.device = handle(xid.gpu);
        data.eventType = XID;
        data.eventData = xid.number;
        Ok(())
    }))
}
