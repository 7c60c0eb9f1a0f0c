//! Numbers that an operator sets, and what each may be.

use std::ops::RangeInclusive;

/// One number of a table of the config file: its key, its value, and the values that work.
pub type Setting = (&'static str, u64, RangeInclusive<u64>);

/// Refuses the first number that does not work, in a sentence that says what would. `defaults` are the same numbers
/// as they are when nobody sets them.
///
/// # Errors
///
/// That sentence.
pub fn check_settings(table: &str, settings: &[Setting], defaults: &[Setting]) -> Result<(), String> {
    let Some((key, value, allowed)) = settings.iter().find(|(_, value, allowed)| !allowed.contains(value))
    else {
        return Ok(());
    };
    let default = defaults.iter().find(|it| it.0 == *key);
    let default = default.map_or(String::new(), |it| format!(", by default it is {}", it.1));
    Err(format!("{table}.{key} must be {} to {}, got {value}{default}", allowed.start(), allowed.end()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_that_does_not_work_is_named_with_what_would() {
        let of = |slots, wait| [("slots", slots, 1..=256), ("wait_secs", wait, 0..=60)];
        let check = |slots, wait| check_settings("control", &of(slots, wait), &of(4, 10));
        for (slots, wait) in [(1, 0), (256, 60)] {
            assert_eq!(check(slots, wait), Ok(()));
        }
        assert_eq!(check(0, 61).unwrap_err(), "control.slots must be 1 to 256, got 0, by default it is 4");
        assert_eq!(
            check(4, 61).unwrap_err(),
            "control.wait_secs must be 0 to 60, got 61, by default it is 10"
        );
    }
}
