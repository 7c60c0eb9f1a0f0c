//! Mode `escape`: tries to get out of whatever it was put into, and writes down what it was refused. Does no harm
//! where it succeeds: calls that would change something have arguments that the kernel rejects after its permission
//! check.

mod calls;
mod files;
mod network;
mod processes;

use std::collections::BTreeMap;
use std::io::{self, ErrorKind};
use std::path::Path;

use dedi_testing::{ESCAPE_REPORT, EscapeTargets};

/// What was attempted, and whether it was refused.
#[derive(Default)]
struct Report(BTreeMap<String, bool>);

impl Report {
    fn note<T>(&mut self, attempt: impl Into<String>, done: io::Result<T>) {
        self.0.insert(attempt.into(), done.is_err_and(|err| is_refusal(&err)));
    }
}

/// Tries everything at the targets that the model file names, and leaves the report in the working folder.
pub(crate) fn run(model: &Path) -> io::Result<()> {
    let targets: EscapeTargets = serde_json::from_slice(&std::fs::read(model)?).map_err(io::Error::other)?;
    let mut report = Report::default();
    files::attempt(model, &targets, &mut report);
    network::attempt(&targets, &mut report);
    processes::attempt(&targets, &mut report);
    calls::attempt(&mut report);
    let draft = format!(".{ESCAPE_REPORT}");
    std::fs::write(&draft, serde_json::to_vec_pretty(&report.0)?)?;
    std::fs::rename(draft, ESCAPE_REPORT)
}

/// Refused, rather than tried and failed. ENOSYS is how a filter hides a call.
fn is_refusal(err: &io::Error) -> bool {
    err.kind() == ErrorKind::PermissionDenied || err.raw_os_error() == Some(libc::ENOSYS)
}
