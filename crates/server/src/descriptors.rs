//! How many files and sockets this process may have open.

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// Takes as many descriptors as the host allows: the usual limit of 1,024 is for programs that may still use
/// `select`. Replicas get a limit of their own.
pub(crate) fn raise() {
    let now = getrlimit(Resource::Nofile);
    if now.current != now.maximum
        && let Err(err) = setrlimit(Resource::Nofile, Rlimit { current: now.maximum, maximum: now.maximum })
    {
        tracing::debug!("the limit of open files stays as it is: {err}");
    }
}

/// How many descriptors this process may have open; `None` without a limit.
pub(crate) fn limit() -> Option<usize> {
    getrlimit(Resource::Nofile).current.map(|it| usize::try_from(it).unwrap_or(usize::MAX))
}
