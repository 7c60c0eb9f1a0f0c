//! What a host shows of GPUs when their driver can't be asked: device files and the PCI bus. Where there is one and no
//! driver, somebody expects it to work.

use std::fs;
use std::path::{Path, PathBuf};

/// Where the kernel shows devices.
#[derive(Debug)]
pub(super) struct Traces {
    root: PathBuf,
}

const NVIDIA: &str = "0x10de";
/// Display controllers and those that compute only; the numbers after that say which.
const DISPLAY_CLASS: &str = "0x03";
/// The driver of a device that is lent to a virtual machine.
const LENT: &str = "vfio-pci";

impl Traces {
    /// This host's.
    pub(super) fn new() -> Self {
        Self { root: "/".into() }
    }

    /// What shows that there is an NVIDIA GPU, as a clause.
    pub(super) fn nvidia(&self) -> Option<String> {
        let on_bus = self.on_bus();
        if let Some(slot) = on_bus.first() {
            return Some(match on_bus.len() {
                1 => format!("an NVIDIA GPU is on the PCI bus, in slot {slot}"),
                n => format!("{n} NVIDIA GPUs are on the PCI bus, the first in slot {slot}"),
            });
        }
        // In a container the bus may be hidden; without a module that made them there are no such files.
        let is_device = |it: &PathBuf| {
            let number = it.file_name().and_then(|it| it.to_str()).and_then(|it| it.strip_prefix("nvidia"));
            number.is_some_and(|it| !it.is_empty() && it.bytes().all(|it| it.is_ascii_digit()))
        };
        let file = entries(&self.root.join("dev")).into_iter().find(is_device)?;
        Some(format!("there is a device file {}", Path::new("/dev").join(file.file_name()?).display()))
    }

    /// Slots of NVIDIA's GPUs that are not lent away.
    fn on_bus(&self) -> Vec<String> {
        let devices = entries(&self.root.join("sys/bus/pci/devices"));
        let read = |device: &Path, name: &str| fs::read_to_string(device.join(name)).unwrap_or_default();
        let is_ours = |it: &PathBuf| {
            let driver = fs::read_link(it.join("driver")).unwrap_or_default();
            read(it, "vendor").trim() == NVIDIA
                && read(it, "class").starts_with(DISPLAY_CLASS)
                && driver.file_name().is_none_or(|it| it != LENT)
        };
        let slot = |it: PathBuf| Some(it.file_name()?.to_string_lossy().into_owned());
        devices.into_iter().filter(is_ours).filter_map(slot).collect()
    }
}

/// What is in a folder, sorted; nothing where it can't be read.
fn entries(folder: &Path) -> Vec<PathBuf> {
    let found = fs::read_dir(folder).into_iter().flatten();
    let mut all: Vec<PathBuf> = found.filter_map(|it| Some(it.ok()?.path())).collect();
    all.sort();
    all
}

#[cfg(test)]
mod tests {
    use super::*;

    fn traces() -> (tempfile::TempDir, Traces) {
        let folder = tempfile::tempdir().unwrap();
        let traces = Traces { root: folder.path().to_owned() };
        (folder, traces)
    }

    fn on_bus(folder: &tempfile::TempDir, slot: &str, vendor: &str, class: &str, driver: &str) {
        let device = folder.path().join("sys/bus/pci/devices").join(slot);
        fs::create_dir_all(&device).unwrap();
        fs::write(device.join("vendor"), format!("{vendor}\n")).unwrap();
        fs::write(device.join("class"), format!("{class}\n")).unwrap();
        if !driver.is_empty() {
            std::os::unix::fs::symlink(format!("../../drivers/{driver}"), device.join("driver")).unwrap();
        }
    }

    #[test]
    fn host_without_nvidia_devices_shows_none() {
        let (folder, traces) = traces();
        assert_eq!(traces.nvidia(), None);
        on_bus(&folder, "0000:00:02.0", "0x8086", "0x030000", "i915");
        on_bus(&folder, "0000:01:00.1", NVIDIA, "0x040300", "snd_hda_intel");
        on_bus(&folder, "0000:02:00.0", NVIDIA, "0x030200", LENT);
        fs::create_dir_all(folder.path().join("dev")).unwrap();
        for name in ["nvidiactl", "nvidia-uvm", "null"] {
            fs::write(folder.path().join("dev").join(name), "").unwrap();
        }
        assert_eq!(traces.nvidia(), None, "sound, a lent device, and what a container toolkit leaves");
    }

    #[test]
    fn host_with_nvidia_devices_shows_them_without_a_driver() {
        let (folder, traces) = traces();
        fs::create_dir_all(folder.path().join("dev")).unwrap();
        fs::write(folder.path().join("dev/nvidia0"), "").unwrap();
        assert_eq!(traces.nvidia().unwrap(), "there is a device file /dev/nvidia0");
        on_bus(&folder, "0000:41:00.0", NVIDIA, "0x030200", "");
        assert_eq!(traces.nvidia().unwrap(), "an NVIDIA GPU is on the PCI bus, in slot 0000:41:00.0");
        on_bus(&folder, "0000:61:00.0", NVIDIA, "0x030000", "nouveau");
        assert!(traces.nvidia().unwrap().starts_with("2 NVIDIA GPUs are on the PCI bus"));
    }
}
