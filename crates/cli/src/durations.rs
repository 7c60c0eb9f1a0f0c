//! Durations in flags: `30s`, `5m`, `2h`, `1h 30m`; a plain number is in the flag's own unit.

use std::time::Duration;

const MINUTE: u64 = 60;
const DAY: u64 = 24 * 60 * MINUTE;

/// A duration of at least a second, in seconds; a plain number is seconds.
///
/// # Errors
///
/// What is wrong with it, as a sentence.
pub fn seconds(text: &str) -> Result<u64, String> {
    match whole_units(text, 1)? {
        0 => Err("must be at least 1s".to_owned()),
        secs => Ok(secs),
    }
}

/// A duration in seconds, which may be 0.
///
/// # Errors
///
/// What is wrong with it, as a sentence.
pub fn seconds_or_none(text: &str) -> Result<u64, String> {
    whole_units(text, 1)
}

/// A duration in minutes; a plain number is minutes.
pub(crate) fn minutes(text: &str) -> Result<u32, String> {
    narrow(whole_units(text, MINUTE)?)
}

/// A duration in days; a plain number is days.
pub(crate) fn days(text: &str) -> Result<u32, String> {
    narrow(whole_units(text, DAY)?)
}

fn whole_units(text: &str, unit: u64) -> Result<u64, String> {
    let text = text.trim();
    if text.bytes().all(|it| it.is_ascii_digit()) && !text.is_empty() {
        return text.parse().map_err(|_too_large| "is too long".to_owned());
    }
    let example = if unit == DAY { "such as 12d or 4weeks" } else { "such as 30s, 5m or 2h" };
    let duration: Duration =
        humantime::parse_duration(text).map_err(|_| format!("is not a duration, {example}"))?;
    if duration.subsec_nanos() != 0 || !duration.as_secs().is_multiple_of(unit) {
        let name = match unit {
            1 => "seconds",
            MINUTE => "minutes",
            _ => "days",
        };
        return Err(format!("must be a whole number of {name}"));
    }
    Ok(duration.as_secs() / unit)
}

fn narrow(n: u64) -> Result<u32, String> {
    u32::try_from(n).map_err(|_| "is too long".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_default_to_their_unit() {
        assert_eq!([seconds("90"), seconds("90s"), seconds("1m 30s")], [Ok(90), Ok(90), Ok(90)]);
        assert_eq!([minutes("90"), minutes("2h"), minutes("0")], [Ok(90), Ok(120), Ok(0)]);
        assert_eq!([days("30"), days("4weeks"), days("48h")], [Ok(30), Ok(28), Ok(2)]);
        assert_eq!(seconds_or_none("0"), Ok(0));
    }

    #[test]
    fn durations_refuse_other_text_with_an_example() {
        for text in ["", "soon", "-5", "5 x", "1.5"] {
            assert_eq!(seconds(text), Err("is not a duration, such as 30s, 5m or 2h".to_owned()), "{text}");
        }
        assert_eq!(seconds("0"), Err("must be at least 1s".to_owned()));
        assert_eq!(seconds("1500ms"), Err("must be a whole number of seconds".to_owned()));
        assert_eq!(minutes("90s"), Err("must be a whole number of minutes".to_owned()));
        assert_eq!(days("36h"), Err("must be a whole number of days".to_owned()));
        assert_eq!(minutes("99999999999"), Err("is too long".to_owned()));
        assert_eq!(seconds("99999999999999999999"), Err("is too long".to_owned()));
    }
}
