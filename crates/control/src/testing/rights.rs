//! Makes a test that runs as root see the rights of files as everybody else does.

use rustix::thread::{CapabilitySet, capabilities, set_capabilities};

/// This thread, and those that it makes from here on, may read what a file's mode says and nothing else.
pub(crate) fn obey_modes() {
    let mut sets = capabilities(None).unwrap();
    let all = CapabilitySet::DAC_OVERRIDE | CapabilitySet::DAC_READ_SEARCH;
    sets.effective.remove(all);
    set_capabilities(None, sets).unwrap();
}
