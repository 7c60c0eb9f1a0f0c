//! What commands of the server's side print. A reader that has gone is no error, as with `| head`; anything else that
//! keeps the output from being written is one, so that nobody takes an empty file for the answer.

use std::io::{self, ErrorKind, Write};
use std::process::ExitCode;

use dedi_cli::Output;
use serde::Serialize;

use crate::exit::EXIT_BROKEN;

/// Prints to stdout, to the last byte.
///
/// # Errors
///
/// The exit code, with its sentence said.
pub(crate) fn out(text: &str) -> Result<(), ExitCode> {
    let mut stdout = io::stdout().lock();
    written(stdout.write_all(text.as_bytes()).and_then(|()| stdout.flush()))
}

/// Prints `value` where JSON or YAML is asked for, else `text`.
///
/// # Errors
///
/// The exit code, with its sentence said.
pub(crate) fn object(output: Option<Output>, value: &impl Serialize, text: &str) -> Result<(), ExitCode> {
    match output.map_or(Ok(None), |it| it.render(value)) {
        Ok(Some(data)) => out(&data),
        Ok(None) => out(text),
        Err(message) => Err(fail(EXIT_BROKEN, &message)),
    }
}

/// What a write to stdout came to.
pub(crate) fn written(done: io::Result<()>) -> Result<(), ExitCode> {
    match done {
        Ok(()) => Ok(()),
        Err(err) if err.kind() == ErrorKind::BrokenPipe => Ok(()),
        Err(err) => Err(fail(EXIT_BROKEN, &format!("stdout can't be written: {err}"))),
    }
}

/// Says a line on stderr. Nothing better can be done about a closed stderr than to go on.
pub(crate) fn say(line: &str) {
    let _unheard = writeln!(io::stderr(), "{line}");
}

/// One sentence on stderr, and the code.
pub(crate) fn fail(code: u8, message: &str) -> ExitCode {
    say(&format!("error: {message}"));
    ExitCode::from(code)
}
