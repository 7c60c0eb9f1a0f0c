//! How long to wait before the hub is asked again: as long as it says, within what the operator allows, else by a back-off
//! of our own.

use std::time::Duration;

use http::HeaderMap;
use http::header::{DATE, RETRY_AFTER};
use jiff::fmt::rfc2822::DateTimeParser;
use tokio::time::{Instant, sleep};

use super::client::text;
use super::config::HubConfig;
use super::error::HubError;
use super::progress::Progress;

/// The wait that an answer asks for: `Retry-After` in seconds, or as a date of the same clock as the answer's own.
pub(super) fn asked(headers: &HeaderMap) -> Option<Duration> {
    let value = text(headers, RETRY_AFTER.as_str())?;
    read(value.trim(), text(headers, DATE.as_str()).as_deref())
}

fn read(value: &str, now: Option<&str>) -> Option<Duration> {
    if let Ok(secs) = value.parse() {
        return Some(Duration::from_secs(secs));
    }
    let date = |it: &str| DateTimeParser::new().parse_timestamp(it).ok();
    let wait = date(value)?.duration_since(date(now?)?);
    // One that has passed is a wait of nothing.
    Some(Duration::try_from(wait).unwrap_or(Duration::ZERO))
}

/// The wait after the `n`th failure in a row, or why there is none.
fn after(config: &HubConfig, err: HubError, n: u32) -> Result<(Duration, HubError), HubError> {
    let longest = config.retry_after_max();
    if let HubError::Status { status, what, retry_after: Some(wait) } = &err
        && *wait > longest
    {
        return Err(HubError::LongWait { status: *status, what: what.clone(), wait: *wait, longest });
    }
    // Told zero, many ask at once; ours grows.
    Ok((err.retry_after().unwrap_or_default().max(config.backoff(n)), err))
}

/// Waits after the `n`th failure in a row, and lets others see why where the hub asked for it.
pub(super) async fn wait(
    config: &HubConfig,
    progress: &Progress,
    err: HubError,
    n: u32,
) -> Result<(), HubError> {
    let (wait, err) = after(config, err, n)?;
    let is_asked = err.retry_after().is_some();
    if is_asked {
        progress.hold_off(Some((err.to_string(), Instant::now() + wait)));
    }
    sleep(wait).await;
    progress.hold_off(None);
    Ok(())
}

#[cfg(test)]
mod tests {
    use http::StatusCode;

    use super::*;

    #[test]
    fn wait_is_seconds_or_a_date() {
        let now = Some("Mon, 30 Nov 2026 10:00:00 GMT");
        assert_eq!(read("12", now), Some(Duration::from_secs(12)));
        assert_eq!(read("Mon, 30 Nov 2026 10:00:30 GMT", now), Some(Duration::from_secs(30)));
        assert_eq!(read("Mon, 30 Nov 2026 09:00:00 GMT", now), Some(Duration::ZERO), "it has passed");
        assert_eq!(read("Mon, 30 Nov 2026 10:00:30 GMT", None), None, "whose clock is not known");
        assert_eq!((read("soon", now), read("-1", now), read("", now)), (None, None, None));
    }

    #[test]
    fn wait_beyond_the_limit_is_not_made() {
        let config =
            HubConfig { backoff_base_millis: 1_000, retry_after_secs_max: 60, ..HubConfig::default() };
        let told = |secs: Option<u64>| HubError::Status {
            status: StatusCode::TOO_MANY_REQUESTS,
            what: "x.gguf".to_owned(),
            retry_after: secs.map(Duration::from_secs),
        };
        let wait = |secs, n| after(&config, told(secs), n).map(|(wait, _)| wait.as_secs());
        assert_eq!(wait(Some(12), 1).unwrap(), 12);
        assert_eq!(wait(Some(60), 1).unwrap(), 60);
        assert_eq!((wait(None, 3).unwrap(), wait(Some(0), 3).unwrap()), (4, 4), "our own back-off");
        assert_eq!(
            wait(Some(61), 1).unwrap_err().to_string(),
            "the hub answered 429 Too Many Requests for x.gguf and asks to wait 61 s, longer than hub.retry_after_secs_max = 60 allows; try again then"
        );
    }
}
