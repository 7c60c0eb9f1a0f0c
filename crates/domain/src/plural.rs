//! Numbers in sentences for people.

/// `no replica`, `1 replica`, `2 replicas`.
pub fn count(n: u64, noun: &str) -> String {
    match n {
        0 => format!("no {noun}"),
        1 => format!("1 {noun}"),
        n => format!("{n} {noun}s"),
    }
}

/// The verb that goes with so many: `is` with none and one, `are` with more.
pub fn is_or_are(n: u64) -> &'static str {
    if n < 2 { "is" } else { "are" }
}

/// `none is`, `1 is`, `2 are`.
pub fn so_many_are(n: u64) -> String {
    if n == 0 { "none is".to_owned() } else { format!("{n} {}", is_or_are(n)) }
}
