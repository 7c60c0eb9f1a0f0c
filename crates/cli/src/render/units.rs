//! Numbers, times and ids as short words.

use super::layout::one_line;

/// `1.5 GiB`, the units of the server's sentences.
pub(crate) fn bytes(n: u64) -> String {
    let scaled = [(40, "TiB"), (30, "GiB"), (20, "MiB"), (10, "KiB")];
    match scaled.into_iter().find(|(shift, _)| n >> shift > 0) {
        // Tenths, rounded down: what is shown as needed or done is never more than it is.
        Some((shift, unit)) => {
            let tenths = ((n >> (shift - 10)) * 10) >> 10;
            format!("{}.{} {unit}", tenths / 10, tenths % 10)
        }
        None => format!("{n} B"),
    }
}

/// `42 s`, `3 min 5 s`, `2 h 0 min`.
pub(crate) fn duration(secs: u64) -> String {
    match secs {
        0..60 => format!("{secs} s"),
        60..3_600 => format!("{} min {} s", secs / 60, secs % 60),
        _ => format!("{} h {} min", secs / 3_600, secs % 3_600 / 60),
    }
}

/// A wire time without its fraction of a second.
pub(crate) fn moment(text: &str) -> String {
    let text = one_line(text);
    match text.split_once('.') {
        Some((whole, fraction)) if fraction.ends_with('Z') => format!("{whole}Z"),
        Some(_) | None => text,
    }
}

/// The first eight characters of an id's uuid: enough to tell two replicas apart in a line.
pub(super) fn short(id: &str) -> String {
    let id = one_line(id);
    match id.split_once('-') {
        Some((kind, uuid)) => format!("{kind}-{}", uuid.chars().take(8).collect::<String>()),
        None => id,
    }
}

/// `1 device`, `2 devices`.
pub(super) fn count(n: u32, noun: &str) -> String {
    let s = if n == 1 { "" } else { "s" };
    format!("{n} {noun}{s}")
}
