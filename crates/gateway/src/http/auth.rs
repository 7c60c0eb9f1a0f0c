//! Who a request comes from. Failures are counted per address, so that guessing is slow; a valid key is never
//! turned away for the failures of others.

use std::net::IpAddr;

use dedi_domain::{KeyFailures, KeyTable, Principal, Timestamp};
use http::{HeaderMap, header};

use super::error::ApiError;

/// The bearer of a valid key that may run inference.
pub(crate) fn check(
    keys: &KeyTable,
    failures: &KeyFailures,
    headers: &HeaderMap,
    peer: IpAddr,
    now: Timestamp,
) -> Result<Principal, ApiError> {
    let Some(principal) = bearer(headers).and_then(|it| keys.check(it, now)) else {
        return Err(match failures.count(peer, now) {
            Ok(()) => ApiError::InvalidKey,
            Err(retry_after) => ApiError::TooManyKeys { retry_after },
        });
    };
    if principal.role.may_infer() {
        Ok(principal)
    } else {
        Err(ApiError::RoleForbidden { role: principal.role })
    }
}

/// The key in the one `Authorization` header; two of them are nobody's.
fn bearer(headers: &HeaderMap) -> Option<&str> {
    let mut values = headers.get_all(header::AUTHORIZATION).iter();
    let value = values.next()?.to_str().ok()?;
    let (scheme, key) = value.split_once(' ')?;
    (values.next().is_none() && scheme.eq_ignore_ascii_case("bearer")).then(|| key.trim())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_one_well_formed_bearer_header_counts() {
        let with = |values: &[&str]| {
            let mut headers = HeaderMap::new();
            for value in values {
                headers.append(header::AUTHORIZATION, value.parse().unwrap());
            }
            bearer(&headers).map(str::to_owned)
        };
        assert_eq!(with(&["Bearer abc"]).as_deref(), Some("abc"));
        assert_eq!(with(&["bearer  abc "]).as_deref(), Some("abc"));
        assert_eq!(with(&["Basic abc"]), None);
        assert_eq!(with(&["Bearer abc", "Bearer def"]), None);
        assert_eq!(with(&[]), None);
    }
}
