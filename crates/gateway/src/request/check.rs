//! Ranges of single fields. Each refusal names the field, the limit and what was sent.

use crate::error::ApiError;

/// An integer within bounds.
pub(super) fn int(field: &str, value: Option<i64>, min: i64, max: i64) -> Result<Option<i64>, ApiError> {
    match value {
        Some(it) if it < min => {
            Err(ApiError::field(field, format!("`{field}` must be {min} or more, got {it}")))
        }
        Some(it) if it > max => {
            Err(ApiError::field(field, format!("`{field}` must be {max} or less, got {it}")))
        }
        Some(it) => Ok(Some(it)),
        None => Ok(None),
    }
}

/// A number within bounds.
pub(super) fn number(field: &str, value: Option<f64>, min: f64, max: f64) -> Result<Option<f64>, ApiError> {
    match value {
        Some(it) if it < min => {
            Err(ApiError::field(field, format!("`{field}` must be {min} or more, got {it}")))
        }
        Some(it) if it > max => {
            Err(ApiError::field(field, format!("`{field}` must be {max} or less, got {it}")))
        }
        Some(it) => Ok(Some(it)),
        None => Ok(None),
    }
}

/// One of the allowed values.
pub(super) fn one_of<'a>(
    field: &str,
    value: Option<&'a str>,
    allowed: &[&str],
) -> Result<Option<&'a str>, ApiError> {
    match value {
        Some(it) if !allowed.contains(&it) => Err(ApiError::field(
            field,
            format!("`{field}` must be {}, got `{}`", allowed.join(" or "), short(it)),
        )),
        Some(it) => Ok(Some(it)),
        None => Ok(None),
    }
}

/// At most `max` items.
pub(super) fn count(field: &str, n: usize, max: usize) -> Result<(), ApiError> {
    if n <= max {
        return Ok(());
    }
    Err(ApiError::field(field, format!("`{field}` may have {max} items, got {n}")))
}

/// The beginning of a text, for messages.
pub(super) fn short(text: &str) -> &str {
    text.char_indices().nth(80).map_or(text, |(end, _)| text.get(..end).unwrap_or_default())
}
