//! What a person types: lines, and the answer to a question.

use std::io::BufRead;

use tokio::sync::mpsc;

use crate::console::Console;
use crate::error::{CliError, Result};

/// Lines of a blocking reader. A thread of its own, not the runtime's: the runtime would wait for it at exit.
pub(crate) fn read_lines(input: Box<dyn BufRead + Send>) -> Result<mpsc::Receiver<String>> {
    let (sender, receiver) = mpsc::channel(1);
    std::thread::Builder::new()
        .name("stdin".to_owned())
        .spawn(move || {
            for line in input.lines() {
                let Ok(line) = line else { return };
                if sender.blocking_send(line).is_err() {
                    return;
                }
            }
        })
        .map_err(|err| CliError::failed(format!("stdin can't be read: {err}"), None))?;
    Ok(receiver)
}

/// Whether a person sits there who can be asked. Scripts are not: what they say is done, as ever.
pub(crate) fn can_ask(console: &Console) -> bool {
    console.terminals().input && console.terminals().err
}

/// Asks a question that only `y` or `yes` answers with yes.
///
/// # Errors
///
/// Any other answer, the end of stdin, and Ctrl-C.
pub(crate) async fn confirm(question: &str, console: &mut Console) -> Result {
    let Some(input) = console.take_input() else { return Ok(()) };
    let mut lines = read_lines(input)?;
    console.prompt(&format!("{question} [y/N] "));
    let interrupted = console.interrupted();
    let answer = tokio::select! {
        answer = lines.recv() => answer,
        () = interrupted => {
            console.say("");
            return Err(CliError::interrupted("nothing was changed", None));
        }
    };
    if answer.is_none() {
        console.say("");
    }
    match answer.as_deref().map(str::trim) {
        Some("y" | "Y" | "yes" | "Yes" | "YES") => Ok(()),
        Some(_) | None => Err(CliError::failed(
            "not confirmed; nothing was changed",
            Some("answer with y, or pass --yes".to_owned()),
        )),
    }
}
