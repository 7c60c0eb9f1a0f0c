//! Tests that need something of the host that some hosts lack.

/// What must be set to `1` where tests may be left out for want of it.
const MAY_SKIP: &str = "DEDI_TEST_MAY_SKIP";

/// Whether the host has what a test needs. A test that did not run shows nothing, so where it is not allowed to be
/// left out, the want of it is a failure.
///
/// # Panics
/// If the host lacks it and `DEDI_TEST_MAY_SKIP` is not `1`.
#[expect(clippy::panic, reason = "for tests, which end here")]
pub fn has(needed: bool, what: &str) -> bool {
    if needed {
        return true;
    }
    let may_skip = std::env::var(MAY_SKIP).is_ok_and(|it| it == "1");
    if !may_skip {
        panic!("this host lacks {what}; {MAY_SKIP}=1 leaves such tests out");
    }
    eprintln!("not tried: this host lacks {what}");
    false
}
