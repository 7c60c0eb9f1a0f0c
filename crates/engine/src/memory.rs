//! How much memory this process may still use, according to Linux.

/// The least of what the machine has available and what the process's control groups leave; nothing when the kernel
/// does not say.
#[must_use]
pub fn available_bytes() -> Option<u64> {
    dedi_host_memory::memory().ok().map(|it| it.available)
}

/// Bytes as people write them.
#[must_use]
pub fn readable(bytes: u64) -> String {
    #[expect(clippy::cast_precision_loss, reason = "two digits are shown")]
    let bytes = bytes as f64;
    if bytes >= 1e9 { format!("{:.1} GB", bytes / 1e9) } else { format!("{:.0} MB", (bytes / 1e6).ceil()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_read_well() {
        assert_eq!(readable(2_128_768), "3 MB");
        assert_eq!(readable(16_500_000_000), "16.5 GB");
    }
}
