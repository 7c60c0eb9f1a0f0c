//! Values as sentences and answers show them.

use dedi_domain::Timestamp;

/// RFC 3339, UTC, milliseconds, `Z`.
pub(crate) fn time(at: Timestamp) -> String {
    let at = jiff::Timestamp::from_millisecond(at.0).unwrap_or(jiff::Timestamp::UNIX_EPOCH);
    format!("{at:.3}")
}

/// Bytes for people: `1.5 GiB`, `300 MiB`.
#[expect(clippy::cast_precision_loss, reason = "two digits are shown")]
pub(crate) fn gib(bytes: u64) -> String {
    if bytes >= 1 << 30 {
        format!("{:.1} GiB", bytes as f64 / f64::from(1 << 30))
    } else {
        format!("{} MiB", bytes.div_ceil(1 << 20))
    }
}

/// A client's text inside a sentence: bounded and without control characters.
pub(crate) fn shown(text: &str) -> String {
    text.chars().filter(|it| !it.is_control()).take(256).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_has_exactly_three_digits_and_a_z() {
        assert_eq!(time(Timestamp(1_738_665_835_405)), "2025-02-04T10:43:55.405Z");
        assert_eq!(time(Timestamp(1_738_665_835_000)), "2025-02-04T10:43:55.000Z");
        assert_eq!(time(Timestamp(i64::MAX)), "1970-01-01T00:00:00.000Z");
    }
}
