//! What the driver's errors mean: NVIDIA's own words with the number that people search for, what helps, and whether
//! they say something of the device that was asked about. Pure.

use std::mem::discriminant;

use nvml_wrapper::error::NvmlError;

/// An error as it is told.
struct Entry {
    number: u32,
    message: &'static str,
    /// As a clause that begins with a verb.
    cure: &'static str,
}

const INSPECT: &str = "run `nvidia-smi`, and look for NVRM and Xid lines in `dmesg`";
const RESET: &str = "look for Xid lines in `dmesg`, then reset it with `nvidia-smi --gpu-reset` or restart the host; \
                     replace it if that recurs";
const OUTDATED: &str = "update the driver: it is older than what is asked of it";

const ENTRIES: [Entry; 17] = [
    Entry { number: 1, message: "Uninitialized", cure: INSPECT },
    Entry { number: 2, message: "Invalid Argument", cure: INSPECT },
    Entry { number: 3, message: "Not Supported", cure: OUTDATED },
    Entry {
        number: 4,
        message: "Insufficient Permissions",
        cure: "give the server's user access to /dev/nvidia*; in a container, start it with the NVIDIA container toolkit",
    },
    Entry { number: 8, message: "Insufficient External Power", cure: "connect its power cables" },
    Entry {
        number: 9,
        message: "Driver Not Loaded",
        cure: "load it with `modprobe nvidia`, or install it; in a container, start it with the NVIDIA container toolkit",
    },
    Entry { number: 10, message: "Timeout", cure: INSPECT },
    Entry { number: 11, message: "Interrupt Request Issue", cure: RESET },
    Entry { number: 12, message: "NVML Shared Library Not Found", cure: NO_LIBRARY },
    Entry { number: 13, message: "Function Not Found", cure: OUTDATED },
    Entry { number: 14, message: "Corrupted infoROM", cure: RESET },
    Entry { number: 15, message: "GPU is lost", cure: RESET },
    Entry { number: 16, message: "GPU requires restart", cure: RESET },
    Entry {
        number: 17,
        message: "The operating system has blocked the request",
        cure: "allow /dev/nvidia* in the device rules of the server's control group or container",
    },
    Entry {
        number: 18,
        message: "Driver/library version mismatch",
        cure: "restart the host, or reload the driver's kernel modules: the driver was updated while it was loaded",
    },
    Entry { number: 20, message: "Insufficient Memory", cure: INSPECT },
    Entry {
        number: 999,
        message: "Unknown Error",
        cure: "run `nvidia-smi` and look for NVRM lines in `dmesg`; restart a container that lost its devices, else the \
               host",
    },
];

/// The entry of an error that has a number.
fn entry(err: &NvmlError) -> Option<&'static Entry> {
    ENTRIES.iter().find(|it| discriminant(&NvmlError::from(it.number)) == discriminant(err))
}

/// What helps where the library is not there.
const NO_LIBRARY: &str = "install NVIDIA's driver with its libraries (Debian: nvidia-driver, libnvidia-ml1); in a container, \
                          start it with the NVIDIA container toolkit; or name the library with \
                          runtime.hardware.nvml_library";

/// `Driver/library version mismatch (NVML error 18)`.
pub(super) fn message(err: &NvmlError) -> String {
    match entry(err) {
        Some(Entry { number, message, .. }) => format!("{message} (NVML error {number})"),
        // Those of the library that loads it.
        None => err.to_string(),
    }
}

/// What helps, as a clause that begins with a verb.
pub(super) fn cure(err: &NvmlError) -> &'static str {
    match (entry(err), err) {
        (Some(it), _) => it.cure,
        (None, NvmlError::LibloadingError(_)) => NO_LIBRARY,
        (None, NvmlError::FailedToLoadSymbol(_)) => OUTDATED,
        (None, _) => INSPECT,
    }
}

/// Whether there is no driver at all, which is how most hosts are.
pub(super) fn is_absence(err: &NvmlError) -> bool {
    matches!(err, NvmlError::LibloadingError(_) | NvmlError::LibraryNotFound | NvmlError::DriverNotLoaded)
}

/// Whether a call is not there, or not for this device: another one may tell the same.
pub(super) fn is_unsupported(err: &NvmlError) -> bool {
    matches!(
        err,
        NvmlError::NotSupported
            | NvmlError::FunctionNotFound
            | NvmlError::FailedToLoadSymbol(_)
            // The version of the structure is not known.
            | NvmlError::UnexpectedVariant(_)
            | NvmlError::InvalidArg
    )
}

/// Whether the error is the device's: it can't compute until somebody did something. All others say that the driver
/// could not answer, which says nothing of the device.
pub(super) fn is_the_devices(err: &NvmlError) -> bool {
    matches!(
        err,
        NvmlError::GpuLost | NvmlError::ResetRequired | NvmlError::InsufficientPower | NvmlError::IrqIssue
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nvml_errors_have_a_message_and_a_remedy() {
        for (code, expected, cure_part) in [
            (18, "Driver/library version mismatch (NVML error 18)", "restart the host"),
            (999, "Unknown Error (NVML error 999)", "`nvidia-smi`"),
            (15, "GPU is lost (NVML error 15)", "`nvidia-smi --gpu-reset`"),
            (3, "Not Supported (NVML error 3)", "update the driver"),
            (4, "Insufficient Permissions (NVML error 4)", "/dev/nvidia*"),
            (9, "Driver Not Loaded (NVML error 9)", "modprobe nvidia"),
        ] {
            let err = NvmlError::from(code);
            assert_eq!(message(&err), expected);
            assert!(cure(&err).contains(cure_part), "{}", cure(&err));
        }
        let missing = NvmlError::FailedToLoadSymbol("undefined symbol: x".into());
        assert!(message(&missing).contains("undefined symbol: x") && is_unsupported(&missing));
    }

    #[test]
    fn nvml_errors_blame_the_device_only_where_it_is_the_cause() {
        for code in [8, 11, 15, 16] {
            assert!(is_the_devices(&NvmlError::from(code)), "{code}");
        }
        for code in [1, 2, 3, 4, 9, 10, 13, 17, 18, 999] {
            assert!(!is_the_devices(&NvmlError::from(code)), "{code}");
        }
    }
}
