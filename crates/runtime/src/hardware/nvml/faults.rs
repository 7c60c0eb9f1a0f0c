//! Faults that don't show at the next look: a GPU that had one answers again as if it were well. They are
//! remembered for as long as the server runs, since only a reset mends what they stand for.

use std::collections::BTreeMap;

use dedi_domain::hardware::Health;
use dedi_domain::{Device, DeviceId};
use nvml_wrapper::Nvml;
use nvml_wrapper::bitmasks::event::EventTypes;
use nvml_wrapper::enums::event::XidError;
use nvml_wrapper::error::NvmlError;
use nvml_wrapper::event::EventSet;

use super::messages::message;

/// Xid numbers that a program brings upon itself; the device is well afterwards.
/// 13 and 31 are bad accesses, 43 and 45 a stopped channel, 68 a video decoder, 109 a context switch.
const OF_PROGRAMS: [u64; 6] = [13, 31, 43, 45, 68, 109];

/// Most faults read at one look.
const FAULTS_MAX: usize = 64;

/// The driver's events, and what they told.
#[derive(Debug)]
pub(super) struct Faults {
    events: Option<EventSet<'static>>,
    broken: BTreeMap<DeviceId, String>,
}

impl Faults {
    /// Watches all GPUs. Without events, as in some virtual machines, a fault shows when a look fails.
    pub(super) fn watch(nvml: &'static Nvml) -> Self {
        let events = register(nvml)
            .inspect_err(|err| tracing::info!("the GPU driver does not tell of faults: {err}"))
            .ok();
        Self { events, broken: BTreeMap::new() }
    }

    /// Reads what happened since the last look.
    pub(super) fn listen(&mut self) {
        let Some(events) = &self.events else { return };
        for _ in 0..FAULTS_MAX {
            // An error is the end of the list in most cases, and else told by the next question.
            let Ok(event) = events.wait(0) else { return };
            let what = match event.event_data {
                Some(XidError::Value(number)) if OF_PROGRAMS.contains(&number) => continue,
                Some(XidError::Value(number)) => format!("the driver reported Xid {number}"),
                Some(XidError::Unknown) => "the driver reported an unknown fault".to_owned(),
                None => continue,
            };
            let Ok(uuid) = event.device.uuid() else { continue };
            tracing::warn!("GPU {uuid}: {what}");
            self.broken.entry(DeviceId::local(uuid)).or_insert(what);
        }
    }

    /// Holds old faults against a device that answers.
    pub(super) fn judge(&mut self, device: &mut Device) {
        match &device.health {
            Health::Faulty(what) if what.starts_with(&message(&NvmlError::GpuLost)) => {
                self.broken.entry(device.id.clone()).or_insert_with(|| what.clone());
            }
            Health::Faulty(_) | Health::Unknown(_) => {}
            Health::Healthy => {
                if let Some(what) = self.broken.get(&device.id) {
                    device.health = Health::Faulty(format!("{what}; once it is reset, restart the server"));
                }
            }
        }
    }
}

fn register(nvml: &'static Nvml) -> Result<EventSet<'static>, NvmlError> {
    let mut events = nvml.create_event_set()?;
    for at in 0..nvml.device_count()? {
        // One that does not answer now is faulty anyway. A refusal ends the whole set, so it isn't risked.
        let Ok(gpu) = nvml.device_by_index(at) else { continue };
        if !gpu.supported_event_types().is_ok_and(|it| it.contains(EventTypes::CRITICAL_XID_ERROR)) {
            continue;
        }
        events = gpu.register_events(EventTypes::CRITICAL_XID_ERROR, events).map_err(|err| err.error)?;
    }
    Ok(events)
}
