//! Numbers, times and ids as short words.

use jiff::Timestamp;

use super::layout::one_line;
use super::view::View;
use crate::ids::is_uuid;

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

/// How long ago a wire time was, as `42s`, `12m`, `3h`, `4d`; the time itself in a wide view.
pub(super) fn age(text: &str, view: &View) -> String {
    match text.parse::<Timestamp>() {
        Ok(then) if !view.is_wide => span(view.now.duration_since(then).as_secs()),
        Ok(_) | Err(_) => moment(text),
    }
}

/// How long until a wire time, as `in 4d`, or `expired`; the time itself in a wide view.
pub(super) fn until(text: &str, view: &View) -> String {
    match text.parse::<Timestamp>() {
        Ok(then) if !view.is_wide => match then.duration_since(view.now).as_secs() {
            ..=0 => "expired".to_owned(),
            secs => format!("in {}", span(secs)),
        },
        Ok(_) | Err(_) => moment(text),
    }
}

/// The largest unit of which there are two, so that the number says something. A clock that is behind the server's
/// makes it 0.
fn span(secs: i64) -> String {
    let secs = secs.max(0);
    let unit = [(86_400, "d"), (3_600, "h"), (60, "m")].into_iter().find(|(unit, _)| secs >= 2 * unit);
    let (unit, name) = unit.unwrap_or((1, "s"));
    format!("{}{name}", secs / unit)
}

/// The first eight digits of an id's uuid, enough to tell two apart; other texts as they are.
pub(crate) fn short(id: &str) -> String {
    let id = one_line(id);
    match id.split_once('-') {
        Some((kind, uuid)) if is_uuid(uuid) => {
            format!("{kind}-{}", uuid.chars().take(8).collect::<String>())
        }
        Some(_) | None => id,
    }
}

/// `1 device`, `2 devices`.
pub(super) fn count(n: u32, noun: &str) -> String {
    let s = if n == 1 { "" } else { "s" };
    format!("{n} {noun}{s}")
}
